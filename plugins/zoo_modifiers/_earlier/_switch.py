"""What `zoo_modifiers._switch` held."""

from zoo import Switch as Switch
from zoo_modifiers.switch import ActChoice as ActChoice
from zoo_modifiers.switch import LayerChoice as LayerChoice
