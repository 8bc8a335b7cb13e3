"""Several heads on one trunk."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Le

import zoo

if TYPE_CHECKING:
    from torch import nn

Size = Annotated[int, Ge(1)]


class TaskChoice(zoo.Mixin):
    """On the root: all heads' outputs, or that of `zoo_heads_default`; with `task=` that of one, or of all."""

    options = ("task",)
    zoo_heads_default: str | None = None

    def forward(self, *args: Any, task: str | None = None, **kwargs: Any) -> Any:
        run = super().forward  # type: ignore[misc]
        return zoo.call_heads(self, task, self.zoo_heads_default, lambda: run(*args, **kwargs))


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
    zoo.check_names("heads", "head", sizes, zoo.Heads)
    wanted = {name: zoo.Head.read(name, size, hidden, dropout) for name, size in sizes.items()}
    there: Any = model.zoo_heads_at if zoo.heads_of(model) else ()
    paths = there if there and at == "head" else zoo.classifiers_of(model, at, "heads")
    if there and paths != there:
        raise zoo.NotApplicableError(f"this model has its heads at {' and '.join(there)}; add to those")
    if not sizes and not (there and default):
        raise zoo.OptionError("heads needs at least one name=size, as in heads(cls=10, reg=1)")
    for path in paths:
        make = partial(_make_layer, model, path)
        layers = {name: head.make(make) for name, head in wanted.items()}
        model = zoo.place_heads(model, path, layers, {name: head.size for name, head in wanted.items()})
    known: Any = model.get_submodule(paths[0]).sizes
    if default not in (None, "*", *known):
        raise zoo.OptionError(f"heads: there is no head '{default}' to be the default; the heads: {', '.join(known)}")
    before = getattr(model, "zoo_heads_default", None)
    default = None if default == "*" else default or (before if before in known else None)
    return zoo.become(model, "", TaskChoice, zoo_heads_at=paths, zoo_heads_default=default)


def _make_layer(model: nn.Module, path: str, n: int) -> nn.Module:
    """A layer like the classifier. Where that is timm's Linear, which computes the same, heads have been torch's."""
    from torch import nn

    layer = zoo.make_classifier(model, path, n)
    if type(layer).__module__ == "timm.layers.linear":
        layer.__class__ = nn.Linear
    return layer


@zoo.modifier(examples=["drop_heads(reg)"], effects=zoo.Effects(keys="remove"))
def drop_heads(model: nn.Module, /, *names: str) -> nn.Module:
    """Take heads away that `heads` put there; the others keep their names and weights."""
    there = zoo.heads_of(model)
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
