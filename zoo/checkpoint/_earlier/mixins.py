"""What `zoo.mixins` held."""

from zoo.surgery.mixins import Mixin as Mixin
from zoo.surgery.mixins import _rebuild as _rebuild
