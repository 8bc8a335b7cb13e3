"""The classifier of a model: where it is, and what makes one like it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import zoo

from ._names import place_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn


def classifiers(model: nn.Module, at: zoo.Where, modifier: str) -> tuple[str, ...]:
    """The paths of the layers, at or inside the sites that `at` names, that give the outputs."""
    if at == "head" and "head" not in zoo.sites_of(model):
        raise zoo.NotApplicableError(
            f"this {type(model).__name__} names no classifier; say where, as in {modifier}(..., at=fc)"
        )
    return tuple(dict.fromkeys(classifier(model, path, modifier) for path in zoo.select(model, at)))


def classifier(model: nn.Module, path: str, modifier: str = "heads") -> str:
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
    raise zoo.NotApplicableError(
        f"{modifier} needs a linear layer or a convolution at {place_of(path)}, where a {met} stands"
    )


def maker(old: nn.Module, width: int | None) -> Callable[[int], nn.Module]:
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
