"""The modules behind `heads`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

import zoo


class Heads(nn.ModuleDict):
    """A linear layer for each name, all on the same features (N, in_features).

    Returns a dict of (N, size) tensors, or the one tensor of the head that `task` names.
    """

    def __init__(self, in_features: int, sizes: Mapping[str, int], bias: bool = True) -> None:
        super().__init__()
        self.in_features = in_features
        self.bias = bias
        self.task: str | None = None
        self.add(sizes)

    def add(self, sizes: Mapping[str, int]) -> None:
        """More heads beside those that are here."""
        for name, size in sizes.items():
            if name in self:
                raise zoo.OptionError(f"heads: there is a head '{name}' already")
            self[name] = nn.Linear(self.in_features, size, self.bias)

    def forward(self, x: Tensor, task: str | None = None) -> Any:
        task = task or self.task
        return {name: head(x) for name, head in self.items()} if task is None else self[task](x)


class TaskChoice(zoo.Mixin):
    """Lets a model's forward take `task=`, and hands it to the heads for the length of that call."""

    options = ("task",)

    def forward(self, *args: Any, task: str | None = None, **kwargs: Any) -> Any:
        heads = self.get_submodule(self.zoo_heads_at)  # type: ignore[attr-defined]
        if task is not None and task not in heads:
            raise zoo.OptionError(f"there is no head '{task}'; the heads: {', '.join(heads)}")
        heads.task = task
        try:
            return super().forward(*args, **kwargs)  # type: ignore[misc]
        finally:
            heads.task = None  # or one failing call would choose for the next
