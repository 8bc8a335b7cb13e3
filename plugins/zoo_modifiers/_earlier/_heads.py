"""What `zoo_modifiers._heads` held."""

from zoo import Head as Head
from zoo import Heads as Heads
from zoo_modifiers.heads import TaskChoice as TaskChoice
