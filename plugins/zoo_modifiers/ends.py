"""The two ends of a model: how many channels come in, how many classes go out."""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge

import zoo

from .heads import TaskChoice

if TYPE_CHECKING:
    from torch import nn


@zoo.modifier(examples=["num_classes(10)", "num_classes(0)"])
def num_classes(model: nn.Module, /, n: Annotated[int, Ge(0)], at: zoo.Where = "head") -> nn.Module:
    """A fresh classifier for n classes on the trunk as it is; with 0 the model gives its features.

    A model of timm gets what timm's own `reset_classifier` makes. Where a classifier has n classes already, it stays.
    Auxiliary classifiers, as torchvision's GoogLeNet has them, go along. Heads go, and `model(x)` is a tensor again.
    """
    model, placed = _replace_heads(model, n, at)
    own: Any = getattr(model, "num_classes", None)
    if at == "head" and callable(getattr(model, "reset_classifier", None)) and "head" in zoo.sites_of(model):
        if own != n:
            return _reset_by_timm(model, n)
    else:
        aux = zoo.sites_of(model).get("aux", ()) if at == "head" else ()
        for path in dict.fromkeys([*(placed or zoo.classifiers_of(model, at, "num_classes")), *aux]):
            model = _put_classifier(model, path, n)
    if isinstance(own, int) and at == "head":
        model.num_classes = n  # type: ignore[assignment]
    return model


def _replace_heads(model: nn.Module, n: int, at: zoo.Where) -> tuple[nn.Module, tuple[str, ...]]:
    """With one classifier for n classes where `heads` put several; and the paths of those."""
    if not isinstance(model, TaskChoice):
        return model, ()
    paths: tuple[str, ...] = model.zoo_heads_at if zoo.heads_of(model) else ()  # type: ignore[assignment]
    if paths and at != "head" and zoo.classifiers_of(model, at, "num_classes") != paths:
        raise zoo.NotApplicableError(f"this model has its heads at {' and '.join(paths)}; num_classes goes there")
    for path in paths:
        model = _put_classifier(model, path, n)
    return zoo.unbecome(model, "", TaskChoice, "zoo_heads_at", "zoo_heads_default"), paths


def _reset_by_timm(model: Any, n: int) -> nn.Module:
    """What timm's own `reset_classifier` puts into the model."""
    # The one that would drop the second classifier of a distilled model unless told not to.
    two = any(vars(module).get("distillation") is True for module in model.modules())
    told = {"distillation": True} if two and "distillation" in signature(model.reset_classifier).parameters else {}
    return zoo.adopt(model, lambda: model.reset_classifier(n, **told))


def _put_classifier(model: nn.Module, path: str, n: int) -> nn.Module:
    """Another classifier in one place; itself, where it has n classes."""
    from torch import nn

    old = model.get_submodule(path)
    there = 0 if isinstance(old, nn.Identity) else zoo.features_of(old)[1]
    return zoo.replace(model, path, old if there == n else zoo.make_classifier(model, path, n))


@zoo.modifier(examples=["in_chans(1)", "in_chans(4, init=random)"], effects=zoo.Effects(keys="keep"))
def in_chans(
    model: nn.Module, /, n: Annotated[int, Ge(1)], init: Literal["timm", "random"] = "timm", at: zoo.Where = "stem"
) -> nn.Module:
    """Another number of input channels: the first convolution takes n.

    init: `timm` makes the new weights of the old ones, as timm does when it loads pretrained weights: summed up for one
        channel, else repeated in turn and scaled, so that the outputs keep their size. `random` draws them anew, and
        so does `timm` for a linear layer of patches, where timm doesn't adapt either.
    """
    if at == "stem" and "stem" not in zoo.sites_of(model):
        raise zoo.NotApplicableError(f"this {type(model).__name__} names no stem; say where, as in in_chans(1, at=...)")
    means = getattr(getattr(model, "transform", None), "image_mean", None)
    if means is not None and len(means) not in (1, n):
        what = f"this {type(model).__name__} normalises images of {len(means)} channels itself"
        raise zoo.NotApplicableError(f"{what}, so in_chans can't make it take {n}")
    layers = [_find_input_layer(model, path, place) for path, place in zoo.select(model, at).items()]
    had = {path: _count_channels(model, layer) for path, layer in layers}  # before any of them says otherwise
    for path, layer in layers:
        zoo.adapt_inputs(layer, n, had[path], draw=init == "random")
        zoo.restate(model, path, ("in_chans", "in_channels", "in_chs"), had[path], n)
    return model


def _find_input_layer(model: nn.Module, path: str, place: nn.Module) -> tuple[str, Any]:
    """The first layer with weights at or inside a place: a convolution, or the linear layer of an image's patches."""
    from torch import nn

    kinds = (nn.Linear, nn.modules.conv._ConvNd)
    name, layer = next(((n, m) for n, m in place.named_modules() if isinstance(m, kinds)), ("", place))
    found = f"{path}.{name}".strip(".")
    patches = isinstance(layer, nn.Linear) and type(vars(model).get("in_chans")) is int
    if not patches and (not isinstance(layer, nn.modules.conv._ConvNd) or layer.transposed):
        met = type(layer).__name__
        raise zoo.NotApplicableError(f"in_chans needs a convolution at {zoo.format_place(found)}, where a {met} stands")
    grouped = getattr(layer, "groups", 1) != 1
    if grouped or "weight" not in dict(layer.named_parameters(recurse=False)):
        what = f"{zoo.format_place(found)}, a {type(layer).__name__} that"
        raise zoo.NotApplicableError(
            f"in_chans can't adapt {what} {'works in groups' if grouped else 'computes its weight'}"
        )
    return found, layer


def _count_channels(model: nn.Module, layer: Any) -> int:
    """The channels of the image, of which a stem that folds pixels into channels takes several times as many."""
    cfg: Any = getattr(model, "pretrained_cfg", None) or {}
    takes = getattr(layer, "in_features", getattr(layer, "in_channels", 0))
    sizes = [getattr(model, "in_chans", None), (cfg.get("input_size") or (None,))[0], takes]
    return next(size for size in sizes if isinstance(size, int) and size > 0 and takes % size == 0)
