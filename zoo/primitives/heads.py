"""Several heads on one trunk: layers on the same features, side by side."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..messages.errors import NotApplicableError, OptionError, ShapeError
from ..plan.layers import Layer
from ..surgery.edits import add, replace
from .choice import Choice, call_with

ALL = "*"


class Head(nn.Module):
    """What one head is to be, as a layer of a spec: `heads(reg=Head(1, hidden=64, dropout=0.2))`.

    size: the number of outputs. hidden: the width of a hidden layer with ReLU; None for a linear head. dropout: the
    probability in front of the last layer. `heads` makes the layers, since the trunk's width is known there.
    """

    def __init__(self, size: int, hidden: int | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        for name, value in (("size", size), ("hidden", hidden)):
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise OptionError(f"Head: {name} is {value!r}; expected an integer of at least 1")
        if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0 <= dropout <= 1:
            raise OptionError(f"Head: dropout is {dropout!r}; expected a number from 0 to 1")
        self.size, self.hidden, self.dropout = size, hidden, dropout

    def forward(self, x: Tensor) -> Tensor:
        raise NotApplicableError("a Head says what `heads` should make, as in heads(reg=Head(1, hidden=64))")

    @classmethod
    def read(cls, name: str, value: Any, hidden: int | None, dropout: float) -> Head:
        """The head that an option says: by its number of outputs, with what else holds for all, or whole.

        Raises:
            OptionError: For another layer.
        """
        head = value.build() if isinstance(value, Layer) else cls(value, hidden, dropout)
        if not isinstance(head, cls):
            raise OptionError(f"heads: {name} is {value}; expected a number of outputs, or a Head(size, ...)")
        return head

    def make(self, make: Callable[[int], nn.Module]) -> nn.Module:
        """The layers of the head.

        Args:
            make: What makes a layer like the classifier for a number of outputs, such as
                `partial(zoo.make_classifier, model, path)`.

        Returns:
            One layer, or a Sequential of `hidden`, `act`, `drop` and `out`.

        Example:
            >>> Head(2, dropout=0.1).make(lambda n: nn.Linear(8, n))
            Sequential(
              (drop): Dropout(p=0.1, inplace=False)
              (out): Linear(in_features=8, out_features=2, bias=True)
            )
        """
        if self.hidden is None and not self.dropout:
            return make(self.size)
        layers = {"drop": nn.Dropout(self.dropout)} if self.dropout else {}
        if self.hidden is None:
            return nn.Sequential(OrderedDict(**layers, out=make(self.size)))
        first: Any = make(self.hidden)
        bias = first.bias is not None
        if isinstance(first, nn.Linear):
            out: nn.Module = nn.Linear(self.hidden, self.size, bias=bias)
        else:
            out = getattr(nn, f"Conv{len(first.kernel_size)}d")(self.hidden, self.size, 1, bias=bias)
        return nn.Sequential(OrderedDict(hidden=first, act=nn.ReLU(), **layers, out=out))


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


def place_heads(model: nn.Module, path: str, layers: Mapping[str, nn.Module], sizes: Mapping[str, int]) -> nn.Module:
    """Put heads in the place of a classifier, or beside the heads that are there.

    Args:
        model: The model.
        path: The path of its classifier, or of its heads.
        layers: The heads by name.
        sizes: The outputs of each.

    Returns:
        The model; another object where the classifier was the model itself.

    Raises:
        OptionError: For a name that is there already.
    """
    old: Any = model.get_submodule(path)
    if not isinstance(old, Heads):
        return replace(model, path, Heads(layers, sizes))
    if twice := layers.keys() & old.sizes.keys():
        raise OptionError(f"heads: there is a head '{min(twice)}' already")
    for name, layer in layers.items():
        add(model, path, name, layer)
    old.sizes = {**old.sizes, **sizes}
    return model


def heads_of(model: Any) -> list[Heads]:
    """The heads of a model, where they still stand where `heads` put them: at the paths in `zoo_heads_at`.

    Args:
        model: any model.

    Returns:
        Each `zoo.Heads`; none for a model without.

    Example:
        >>> [heads] = zoo.heads_of(zoo.create("simple+heads(cls=10, reg=1)"))
        >>> list(heads)
        ['cls', 'reg']
    """
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
