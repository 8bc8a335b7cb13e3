"""The modules behind `heads`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

import zoo


class Head(nn.Module):
    """What one head is to be, as a layer of a spec: `heads(reg=Head(1, hidden=64, dropout=0.2))`.

    size: the number of outputs. hidden: the width of a hidden layer with ReLU; None for a linear head. dropout: the
    probability in front of the last layer. `heads` makes the layers, since the trunk's width is known there.
    """

    def __init__(self, size: int, hidden: int | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        for name, value in (("size", size), ("hidden", hidden)):
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise zoo.OptionError(f"Head: {name} is {value!r}; expected an integer of at least 1")
        if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0 <= dropout <= 1:
            raise zoo.OptionError(f"Head: dropout is {dropout!r}; expected a number from 0 to 1")
        self.size, self.hidden, self.dropout = size, hidden, dropout

    def forward(self, x: Tensor) -> Tensor:
        raise zoo.NotApplicableError("a Head says what `heads` should make, as in heads(reg=Head(1, hidden=64))")


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
        outputs = [self[name](*args, **kwargs) for name in self.sizes]
        for (name, size), output in zip(self.sizes.items(), outputs, strict=True):
            if output.shape[self.dim] != size:  # what follows couldn't be taken apart
                got = output.shape[self.dim]
                raise zoo.ShapeError(f"the head '{name}' gives {got} outputs, not {size}; drop_heads takes one away")
        return torch.cat(outputs, self.dim)


class TaskChoice(zoo.Mixin):
    """On the root: a dict of all heads' outputs, or with `task=` the output of that head alone.

    Where `zoo_heads_default` names a head, that is what a call without `task=` gives; `task="*"` is all of them.
    """

    options = ("task",)
    zoo_heads_default: str | None = None

    def forward(self, *args: Any, task: str | None = None, **kwargs: Any) -> Any:
        several = [self.get_submodule(path) for path in self.zoo_heads_at]  # type: ignore[attr-defined]
        sizes = several[0].sizes
        task = task or self.zoo_heads_default or "*"
        if task == "*":
            return _apart(super().forward(*args, **kwargs), sizes, several[0].dim)  # type: ignore[misc]
        if task not in sizes:
            raise zoo.OptionError(f"there is no head '{task}'; the heads: {', '.join(sizes)}")
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
