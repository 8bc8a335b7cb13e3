"""Several heads on one trunk."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Le

import zoo

from ._names import check_names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import nn

    from ._heads import Head

Size = Annotated[int, Ge(1)]


@zoo.modifier(examples=["heads(cls=10, reg=1)", "heads(cls=10, reg=Head(1, hidden=64, dropout=0.2))"])
def heads(
    model: nn.Module,
    /,
    at: zoo.Where = "head",
    default: str | None = None,
    hidden: Size | None = None,
    dropout: Annotated[float, Ge(0), Le(1)] = 0.0,
    **sizes: Size | zoo.Layer,
) -> nn.Module:
    """One head for each name, with so many outputs, on the shared trunk, in the place of the classifier.

    `model(x)` then returns a dict of all outputs, `model(x, task="cls")` computes that one head and returns its tensor.
    The heads are an nn.ModuleDict; with heads there already, the new ones join them. A convolutional classifier gets
    convolutional heads. An arch with several classifiers, as distilled ones have, gets heads in the place of each.

    default: the head that `model(x)` computes and gives; `task="*"` is all of them then. `default="*"` undoes that.
    hidden, dropout: the width of a hidden layer with ReLU, and the dropout in front of the last layer, of each head
        that isn't a `Head(size, hidden, dropout)` of its own.
    """
    from ._heads import Heads, TaskChoice, heads_of

    check_names("heads", "head", sizes, ("sizes", "dim", "choice", "chosen"))
    wanted = _wanted(sizes, hidden, dropout)
    there: tuple[str, ...] = model.zoo_heads_at if heads_of(model) else ()  # type: ignore[assignment]
    paths = there if there and at == "head" else zoo.classifiers_of(model, at, "heads")
    if there and paths != there:
        raise zoo.NotApplicableError(f"this model has its heads at {' and '.join(there)}; add to those")
    if not sizes and not (there and default):
        raise zoo.OptionError("heads needs at least one name=size, as in heads(cls=10, reg=1)")
    for path in paths:
        old = model.get_submodule(path)
        if isinstance(old, Heads):
            _join(model, path, old, wanted)
        else:
            make = partial(zoo.make_classifier, model, path)
            layers = {name: _made(head, make) for name, head in wanted.items()}
            dim = -1 if _is_linear(next(iter(layers.values()))) else 1
            counts = {name: head.size for name, head in wanted.items()}
            model = zoo.replace(model, path, Heads(layers, counts, dim))
    known: Any = model.get_submodule(paths[0]).sizes
    if default not in (None, "*", *known):
        raise zoo.OptionError(f"heads: there is no head '{default}' to be the default; the heads: {', '.join(known)}")
    before = getattr(model, "zoo_heads_default", None)
    default = None if default == "*" else default or (before if before in known else None)
    return zoo.become(model, "", TaskChoice, zoo_heads_at=paths, zoo_heads_default=default)


@zoo.modifier(examples=["drop_heads(reg)"])
def drop_heads(model: nn.Module, /, *names: str) -> nn.Module:
    """Take heads away that `heads` put there; the others keep their names and weights."""
    from ._heads import heads_of

    there = heads_of(model)
    if not there:
        raise zoo.NotApplicableError(f"this {type(model).__name__} has no heads; heads(cls=10, reg=1) makes them")
    known = there[0].sizes
    if not names:
        raise zoo.OptionError(f"drop_heads needs the names of heads; there are {', '.join(known)}")
    for name in names:
        if name not in known:
            raise zoo.OptionError(f"there is no head '{name}'; the heads: {', '.join(known)}")
        if name == getattr(model, "zoo_heads_default", None):
            raise zoo.OptionError(f"'{name}' is what model(x) gives; name another first, as in heads(default=...)")
    if not known.keys() - set(names):
        raise zoo.OptionError("drop_heads leaves a model one head at least; num_classes puts a classifier there")
    for several in there:
        several.sizes = {name: size for name, size in several.sizes.items() if name not in names}
        for name in set(names):
            del several[name]
    return model


def _wanted(sizes: Mapping[str, Any], hidden: int | None, dropout: float) -> dict[str, Head]:
    """What each head is to be."""
    from ._heads import Head

    wanted = {}
    for name, size in sizes.items():
        head = size.build() if isinstance(size, zoo.Layer) else Head(size, hidden, dropout)
        if not isinstance(head, Head):
            raise zoo.OptionError(f"heads: {name} is {size}; expected a number of outputs, or a Head(size, ...)")
        wanted[name] = head
    return wanted


def _join(model: nn.Module, path: str, old: Any, wanted: Mapping[str, Head]) -> None:
    """New heads beside those that are there."""
    if twice := wanted.keys() & old.sizes.keys():
        raise zoo.OptionError(f"heads: there is a head '{min(twice)}' already")
    make = partial(zoo.make_classifier, model, path)
    for name, head in wanted.items():
        zoo.add(model, path, name, _made(head, make))
    old.sizes = {**old.sizes, **{name: head.size for name, head in wanted.items()}}


def _made(head: Head, make: Callable[[int], nn.Module]) -> nn.Module:
    """The layers of a head: one like the classifier, or with a hidden layer in front that is."""
    from torch import nn

    if head.hidden is None and not head.dropout:
        return make(head.size)
    layers = {"drop": nn.Dropout(head.dropout)} if head.dropout else {}
    if head.hidden is None:
        return nn.Sequential(OrderedDict(**layers, out=make(head.size)))
    first: Any = make(head.hidden)
    bias = first.bias is not None
    if isinstance(first, nn.Linear):
        out: nn.Module = nn.Linear(head.hidden, head.size, bias=bias)
    else:
        out = getattr(nn, f"Conv{len(first.kernel_size)}d")(head.hidden, head.size, 1, bias=bias)
    return nn.Sequential(OrderedDict(hidden=first, act=nn.ReLU(), **layers, out=out))


def _is_linear(layer: nn.Module) -> bool:
    """Whether its features are the last dimension, and not, as a convolution's, the first after the batch."""
    from torch import nn

    return any(isinstance(module, nn.Linear) for module in layer.modules())
