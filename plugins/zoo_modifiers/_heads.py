"""The modules behind `heads`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

import zoo

from ._recall import Chooses, calling, nobody_chose


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


class Heads(Chooses):
    """A layer for each name, all on the same features, with so many outputs each.

    Between the trunk and the end of the model the outputs travel as one tensor, side by side along `dim`, so that
    whatever the arch does behind its classifier (flatten, average over two classifiers, upsample) goes on working;
    `TaskChoice` takes them apart. With a `choice`, only that head is computed.
    """

    zoo_is_classifier = True  # what looks for the classifier finds these

    def __init__(self, layers: Mapping[str, nn.Module], sizes: Mapping[str, int], dim: int) -> None:
        super().__init__(layers)
        self.sizes = dict(sizes)
        self.dim = dim

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        task = self.chosen() or "*"
        if task != "*":
            return self[task](*args, **kwargs)  # type: ignore[no-any-return]
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
        several = heads_of(self)
        if not several:  # someone put something else in their place
            if task is None:
                return super().forward(*args, **kwargs)  # type: ignore[misc]
            where = " and ".join(self.zoo_heads_at)  # type: ignore[attr-defined]
            raise zoo.NotApplicableError(f"task={task!r}: there are no heads at {where} any more; leave task= out")
        sizes = several[0].sizes
        wanted = task
        if task is None:
            wanted = self.zoo_heads_default if self.zoo_heads_default in sizes else "*"
        elif not isinstance(task, str) or task not in (*sizes, "*"):
            raise zoo.OptionError(f"there is no head {task!r}; the heads: {', '.join(sizes)}")
        if wanted == "*" and nobody_chose(self):
            output = super().forward(*args, **kwargs)  # type: ignore[misc]
        else:
            run = super().forward  # type: ignore[misc]
            output = calling(self, [(heads, str(wanted)) for heads in several], lambda: run(*args, **kwargs))
        return _apart(output, sizes, several[0].dim) if wanted == "*" else output


def heads_of(model: Any) -> list[Heads]:
    """The heads of a model, where they still stand where `heads` put them."""
    found = (_at(model, path) for path in getattr(model, "zoo_heads_at", ()))
    return [module for module in found if isinstance(module, Heads)]


def _at(module: Any, path: str) -> Any:
    """What stands at a path, None for nothing. Each call of a model asks, and get_submodule raises."""
    for name in path.split(".") if path else ():
        module = getattr(module, name, None)
    return module


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
