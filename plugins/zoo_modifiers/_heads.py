"""The modules behind `heads`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

import zoo


class Heads(nn.ModuleDict):
    """A layer for each name, all on the same features, with so many outputs each.

    Between the trunk and the end of the model the outputs travel as one tensor, side by side along `dim`, so that
    whatever the arch does behind its classifier (flatten, average over two classifiers, upsample) goes on working;
    `TaskChoice` takes them apart. With `task` set, only that head is computed.
    """

    zoo_walks = False  # the forward goes by the names in `sizes`, so that more may be registered beside the heads

    def __init__(self, layers: Mapping[str, nn.Module], sizes: Mapping[str, int], dim: int) -> None:
        super().__init__(layers)
        self.sizes = dict(sizes)
        self.dim = dim
        self.task: str | None = None

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        if self.task is not None:
            return self[self.task](*args, **kwargs)  # type: ignore[no-any-return]
        return torch.cat([self[name](*args, **kwargs) for name in self.sizes], self.dim)


class TaskChoice(zoo.Mixin):
    """On the root: a dict of all heads' outputs, or with `task=` the output of that head alone."""

    options = ("task",)

    def forward(self, *args: Any, task: str | None = None, **kwargs: Any) -> Any:
        several = [self.get_submodule(path) for path in self.zoo_heads_at]  # type: ignore[attr-defined]
        sizes = several[0].sizes
        if task is not None and task not in sizes:
            raise zoo.OptionError(f"there is no head '{task}'; the heads: {', '.join(sizes)}")
        if task is None:
            return _apart(super().forward(*args, **kwargs), sizes, several[0].dim)  # type: ignore[misc]
        for heads in several:
            heads.task = task
        try:
            return super().forward(*args, **kwargs)  # type: ignore[misc]
        finally:
            for heads in several:
                heads.task = None  # or one failing call would choose for the next


def _apart(output: Any, sizes: Mapping[str, int], dim: int) -> Any:
    """The outputs by name, wherever in a tuple or a dict of outputs they stand together."""
    if isinstance(output, Tensor):
        if not -output.ndim <= dim < output.ndim or output.shape[dim] != sum(sizes.values()):
            return output
        return dict(zip(sizes, torch.split(output, list(sizes.values()), dim), strict=True))
    if isinstance(output, dict):
        return {key: _apart(value, sizes, dim) for key, value in output.items()}
    if isinstance(output, tuple) and hasattr(output, "_fields"):
        return type(output)(*(_apart(value, sizes, dim) for value in output))
    if isinstance(output, (list, tuple)):
        return type(output)(_apart(value, sizes, dim) for value in output)
    return output
