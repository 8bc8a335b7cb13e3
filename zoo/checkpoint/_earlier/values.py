"""What `zoo.values` held."""

from zoo.spec.values import Call as Call
from zoo.spec.values import List as List
