"""The classifier of a model: where it is, and what makes one like it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import zoo

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import nn


def classifiers(model: nn.Module, at: zoo.Where, modifier: str) -> tuple[str, ...]:
    """The paths of the layers, at or inside the sites that `at` names, that give the outputs."""
    if at == "head" and "head" not in zoo.sites_of(model):
        raise zoo.NotApplicableError(
            f"this {type(model).__name__} names no classifier; say where, as in {modifier}(..., at=fc)"
        )
    standing = dict(model.named_modules(remove_duplicate=False))
    paths = zoo.sites_of(model)["head"] if at == "head" else ()
    if all(path in standing for path in paths):
        paths = tuple(zoo.select(model, at))
    else:  # num_classes(0) has put an Identity in the place of what the classifier is inside of
        paths = tuple(_standing(standing, path) for path in paths)
    return tuple(dict.fromkeys(classifier(model, path, modifier) for path in paths))


def _standing(modules: Mapping[str, nn.Module], path: str) -> str:
    """The path, or that of the innermost module around it that there is."""
    while path not in modules:
        path = path.rpartition(".")[0]
    return path


# On an Identity that stands where a classifier was: what makes one like it.
_CUT = "_zoo_cut"


def classifier(model: nn.Module, path: str, modifier: str = "heads") -> str:
    """The last layer with an output width at or inside a site, or the heads or the Identity that stand there."""
    from torch import nn

    from ._heads import Heads

    kinds = (nn.Linear, nn.modules.conv._ConvNd)
    inside = {f"{path}.{name}".strip("."): m for name, m in model.get_submodule(path).named_modules()}
    if found := [name for name, module in inside.items() if isinstance(module, Heads)]:
        return found[-1]
    if found := [name for name, module in inside.items() if isinstance(module, kinds) or _CUT in vars(module)]:
        return found[-1]
    if isinstance(model.get_submodule(path), nn.Identity) and zoo.width_of(model):
        return path  # built without a classifier: the pooled features arrive here
    met = type(model.get_submodule(path)).__name__
    raise zoo.NotApplicableError(
        f"{modifier} needs a linear layer or a convolution at {zoo.format_place(path)}, where a {met} stands"
    )


def no_classifier(old: nn.Module, width: int | None) -> nn.Module:
    """An Identity that knows what was cut off, so that another can come there."""
    from torch import nn

    new = nn.Identity()
    vars(new)[_CUT] = maker(old, width)
    return new


def maker(old: nn.Module, width: int | None) -> Callable[[int], nn.Module]:
    """What makes a layer like the old classifier, with another number of outputs. It can be copied and pickled."""
    from torch import nn

    from ._heads import Heads

    if _CUT in vars(old):
        return vars(old)[_CUT]  # type: ignore[no-any-return]
    if isinstance(old, Heads):  # what takes the features in one of them
        one = old[next(iter(old.sizes))]
        old = next(m for m in one.modules() if hasattr(m, "in_features") or hasattr(m, "in_channels"))
    if isinstance(old, nn.modules.conv._ConvNd):
        conv: Any = getattr(nn, f"Conv{len(old.kernel_size)}d")
        where = {name: getattr(old, name) for name in ("kernel_size", "stride", "padding", "dilation")}
        return partial(conv, old.in_channels, bias=old.bias is not None, **where)
    if isinstance(old, nn.Linear):
        return partial(nn.Linear, old.in_features, bias=old.bias is not None)
    assert width is not None
    return partial(nn.Linear, width)
