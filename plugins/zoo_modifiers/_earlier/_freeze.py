"""What `zoo_modifiers._freeze` held."""

from zoo_modifiers.freeze import Held as Held
