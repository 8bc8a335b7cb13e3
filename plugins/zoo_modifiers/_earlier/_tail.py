"""What `zoo_modifiers._tail` held."""

from zoo_modifiers.structure import Tail as Tail
