"""What `zoo.info` held."""

from zoo.surgery.provenance import Change as Change
from zoo.surgery.provenance import Changes as Changes
from zoo.surgery.provenance import Info as Info
