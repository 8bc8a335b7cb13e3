"""What `zoo.info` held."""

from zoo.surgery.changes import Change as Change
from zoo.surgery.changes import Changes as Changes
from zoo.surgery.provenance import Info as Info
