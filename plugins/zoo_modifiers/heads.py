"""Several heads on one trunk."""

from __future__ import annotations

import keyword
import re
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge

import zoo

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn


@zoo.modifier(examples=["heads(cls=10, reg=1)", "heads(species=200, age=1)"])
def heads(model: nn.Module, /, at: zoo.Where = "head", **sizes: Annotated[int, Ge(1)]) -> nn.Module:
    """One linear head for each name, with so many outputs, on the shared trunk, in the place of the classifier.

    `model(x)` then returns a dict of all outputs, `model(x, task="cls")` computes that one head and returns its tensor.
    The heads are an nn.ModuleDict; with heads there already, the new ones join them. A convolutional classifier gets
    convolutional heads. An arch with several classifiers, as distilled ones have, gets heads in the place of each.
    """
    from torch import nn

    from ._heads import Heads, TaskChoice

    _check_names(sizes)
    if at == "head" and "head" not in zoo.sites_of(model):
        raise zoo.NotApplicableError(
            f"this {type(model).__name__} names no classifier; say where, as in heads(..., at=fc)"
        )
    paths = tuple(_classifier(model, path) for path in zoo.select(model, at))
    if getattr(model, "zoo_heads_at", paths) != paths:
        raise zoo.NotApplicableError(f"this model has its heads at {' and '.join(model.zoo_heads_at)}; add to those")  # type: ignore[arg-type]
    for path in paths:
        old = model.get_submodule(path)
        if isinstance(old, Heads):
            if twice := sizes.keys() & old.sizes.keys():
                raise zoo.OptionError(f"heads: there is a head '{min(twice)}' already")
            make = _maker(old[next(iter(old.sizes))], None)
            for name, size in sizes.items():
                zoo.add(model, path, name, make(size))
            old.sizes = {**old.sizes, **sizes}
            continue
        make = _maker(old, zoo.width_of(model))
        layers = {name: make(size) for name, size in sizes.items()}
        dim = -1 if isinstance(next(iter(layers.values())), nn.Linear) else 1
        model = zoo.replace(model, path, Heads(layers, sizes, dim))
    return zoo.become(model, "", TaskChoice, zoo_heads_at=paths)


def _maker(old: nn.Module, width: int | None) -> Callable[[int], nn.Module]:
    """What makes a layer like the old classifier, with another number of outputs."""
    from torch import nn

    if isinstance(old, nn.modules.conv._ConvNd):
        conv: Any = getattr(nn, f"Conv{len(old.kernel_size)}d")
        where: Any = (old.kernel_size, old.stride, old.padding, old.dilation)
        return lambda size: conv(old.in_channels, size, *where, bias=old.bias is not None)
    if isinstance(old, nn.Linear):
        return lambda size: nn.Linear(old.in_features, size, bias=old.bias is not None)
    assert width is not None
    return lambda size: nn.Linear(width, size)


def _classifier(model: nn.Module, path: str) -> str:
    """The last layer with an output width at or inside a site, or the heads or the Identity that stand there."""
    from torch import nn

    from ._heads import Heads

    kinds = (Heads, nn.Linear, nn.modules.conv._ConvNd)
    inside = {f"{path}.{name}".strip("."): m for name, m in model.get_submodule(path).named_modules()}
    if found := [name for name, module in inside.items() if isinstance(module, Heads)]:
        return found[-1]
    if found := [name for name, module in inside.items() if isinstance(module, kinds)]:
        return found[-1]
    if isinstance(model.get_submodule(path), nn.Identity) and zoo.width_of(model):
        return path  # built without a classifier: the pooled features arrive here
    met = type(model.get_submodule(path)).__name__
    raise zoo.NotApplicableError(f"heads needs a linear layer or a convolution at '{path}', where a {met} stands")


def _check_names(sizes: dict[str, int]) -> None:
    from torch import nn

    if not sizes:
        raise zoo.OptionError("heads needs at least one name=size, as in heads(cls=10, reg=1)")
    for name in sizes:
        reason = ""
        if not name.isidentifier() or keyword.iskeyword(name):
            reason = "Python can't take it for a name"
        elif hasattr(nn.ModuleDict, name) or name in ("training", "sizes", "task", "dim"):
            reason = "nn.ModuleDict has an attribute of that name"
        elif name.startswith("zoo_"):
            reason = "what is inserted at a place stands under such names"
        if reason:
            other = f"{name.removeprefix('zoo_')}_head" if name.isidentifier() else re.sub(r"\W", "_", name)
            raise zoo.OptionError(f"heads: a head can't be called '{name}': {reason}; call it '{other}', say")
