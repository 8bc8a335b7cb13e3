"""What `zoo.fitting` held."""

from zoo.surgery.placement import slow_path as slow_path
