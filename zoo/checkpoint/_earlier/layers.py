"""What `zoo.layers` held."""

from zoo.registry.layers import Template as Template
