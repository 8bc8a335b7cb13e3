"""Several heads on one trunk: layers on the same features, side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..messages.errors import NotApplicableError, OptionError, ShapeError
from .choice import Choice, call_with

ALL = "*"


class Heads(Choice, nn.ModuleDict):
    """A layer for each name, all on the same features, with so many outputs each.

    Between the trunk and the end of the model the outputs travel as one tensor, side by side along `dim`, so that
    whatever the arch does behind its classifier (flatten, average over two classifiers, upsample) goes on working;
    `call_heads` takes them apart. Where a call chooses one, only that head is computed.

    Args:
        layers: The heads by name.
        sizes: The outputs of each.
        dim: Where the outputs are; the last dimension behind linear layers, the second behind convolutions.
    """

    zoo_walks = False  # the forward goes by names, so that more may be registered beside the heads
    zoo_is_classifier = True  # what looks for the classifier finds these
    sizes: dict[str, int]
    dim: int

    def __init__(self, layers: Mapping[str, nn.Module], sizes: Mapping[str, int], dim: int | None = None) -> None:
        super().__init__(layers)
        self.sizes = dict(sizes)
        linear = any(isinstance(module, nn.Linear) for layer in layers.values() for module in layer.modules())
        self.dim = (-1 if linear else 1) if dim is None else dim

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        task = self.chosen() or ALL
        if task != ALL:
            return self[task](*args, **kwargs)  # type: ignore[no-any-return]
        outputs = [self[name](*args, **kwargs) for name in self.sizes]
        for (name, size), output in zip(self.sizes.items(), outputs, strict=True):
            if output.shape[self.dim] != size:  # what follows couldn't be taken apart
                got = output.shape[self.dim]
                raise ShapeError(f"the head '{name}' gives {got} outputs, not {size}; drop_heads takes one away")
        return torch.cat(outputs, self.dim)


def heads_of(model: Any) -> list[Heads]:
    """The heads of a model, where they still stand where `heads` put them: at the paths in `zoo_heads_at`."""
    found = (_find(model, path) for path in getattr(model, "zoo_heads_at", ()))
    return [module for module in found if isinstance(module, Heads)]


def _find(module: Any, path: str) -> Any:
    """What stands at a path, None for nothing. Each call of a model asks, and get_submodule raises."""
    for name in path.split(".") if path else ():
        module = getattr(module, name, None)
    return module


def call_heads(model: Any, task: str | None, default: str | None, call: Callable[[], Any]) -> Any:
    """Make a call of a model with heads.

    Args:
        model: The root, with the paths of its heads in `zoo_heads_at`.
        task: The head that is wanted; `*` for all, None for the default.
        default: The head that a call without a task gives; all, where it's None or isn't there any more.
        call: Makes the call.

    Returns:
        What the model gives, with that head's output in it, or a dict of those of all heads in the place of an output.

    Raises:
        OptionError: For a task that is no head.
        NotApplicableError: For a task where there are no heads any more.
    """
    several = heads_of(model)
    if not several:  # someone put something else in their place
        if task is None:
            return call()
        where = " and ".join(model.zoo_heads_at)
        raise NotApplicableError(f"task={task!r}: there are no heads at {where} any more; leave task= out")
    sizes = several[0].sizes
    if task is not None and (not isinstance(task, str) or task not in (*sizes, ALL)):
        raise OptionError(f"there is no head {task!r}; the heads: {', '.join(sizes)}")
    wanted = task or (default if default in sizes else ALL)
    output = call_with(model, [(heads, None if wanted == ALL else wanted) for heads in several], call)
    return _split(output, several[0]) if wanted == ALL else output


def _split(output: Any, heads: Heads) -> Any:
    """The outputs by name, wherever in a tuple or a dict of outputs they stand together."""
    sizes, dim = heads.sizes, heads.dim
    if isinstance(output, Tensor):
        if not -output.ndim <= dim < output.ndim or output.shape[dim] != sum(sizes.values()):
            return output
        return dict(zip(sizes, torch.split(output, list(sizes.values()), dim), strict=True))
    if isinstance(output, dict):
        return {key: _split(value, heads) for key, value in output.items()}
    if isinstance(output, tuple) and hasattr(output, "_fields"):
        return type(output)(*(_split(value, heads) for value in output))
    if isinstance(output, (list, tuple)):
        return type(output)(_split(value, heads) for value in output)
    return output
