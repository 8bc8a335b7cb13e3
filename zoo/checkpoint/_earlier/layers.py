"""What `zoo.layers` held."""

from zoo.plan.layers import Template as Template
