"""The classifier of a model: which layer it is, and what makes one like it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from torch import nn

from ..messages.errors import NotApplicableError
from ..messages.text import format_place
from ..surgery.provenance import sites_of, width_of
from ..surgery.select import select
from ..surgery.walk import join, parent_path, places
from .resize import make_like, maker_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_KINDS = (nn.Linear, nn.modules.conv._ConvNd)

# On an Identity that stands where a classifier was: a function from a number of outputs to a layer like it. It's
# pickled with the model, so what it is made of has to stay importable: torch's classes, as `functools.partial`.
_CUT = "_zoo_cut"


def classifiers_of(model: nn.Module, at: str | Sequence[str] = "head", modifier: str = "heads") -> tuple[str, ...]:
    """The paths of the layers that give a model's outputs, at or inside the places that `at` names.

    It's the last linear layer or convolution that is declared there; or a module whose class says
    `zoo_is_classifier = True`, as one that holds several heads does; or the Identity that stands for a classifier that
    isn't there.

    Args:
        model: The model.
        at: Where to look, as for `select`; `head` are the classifiers that the model's arch names.
        modifier: Who asks, for the messages.

    Returns:
        One path for each place, each once.

    Raises:
        NotApplicableError: For a model that names no classifier, and for a place that holds none.

    Example:
        >>> import zoo
        >>> zoo.classifiers_of(zoo.create("convnet"))
        ('head',)
    """
    if at == "head" and "head" not in sites_of(model):
        raise NotApplicableError(
            f"this {type(model).__name__} names no classifier; say where, as in {modifier}(..., at=fc)"
        )
    standing = dict(places(model))
    sites = sites_of(model)["head"] if at == "head" else ()
    if all(path in standing for path in sites):
        sites = tuple(select(model, at))
    else:  # num_classes(0) has put an Identity in the place of what the classifier is inside of
        sites = tuple(_find_standing(standing, path) for path in sites)
    return tuple(dict.fromkeys(_find_classifier(model, path, modifier) for path in sites))


def _find_standing(modules: Mapping[str, nn.Module], path: str) -> str:
    """The path, or that of the innermost module around it that there is."""
    while path not in modules:
        path = parent_path(path)
    return path


def _find_classifier(model: nn.Module, site: str, modifier: str) -> str:
    """The path of the layer at or inside a site that gives its output."""
    inside = {join(site, name): module for name, module in model.get_submodule(site).named_modules()}
    several = {path: module for path, module in inside.items() if getattr(module, "zoo_is_classifier", False)}
    layers = {path: module for path, module in inside.items() if _gives_features(module)}
    if several or layers:
        return _pick_last(several or layers)
    if isinstance(inside[site], nn.Identity) and width_of(model):
        return site  # built without a classifier: the pooled features arrive here
    met = type(inside[site]).__name__
    raise NotApplicableError(
        f"{modifier} needs a linear layer or a convolution at {format_place(site)}, where a {met} stands"
    )


def _gives_features(module: nn.Module) -> bool:
    return isinstance(module, _KINDS) or _CUT in vars(module)


def _pick_last(candidates: Mapping[str, nn.Module]) -> str:
    """Of several layers at one site, the one whose output leaves it.

    No forward is seen here, so the order of declaration stands for that of the calls. The two differ in a class that
    declares its output layer first.
    """
    return list(candidates)[-1]


def make_classifier(model: nn.Module, path: str, n: int) -> nn.Module:
    """A fresh classifier with n outputs for a place that `classifiers_of` found; `zoo.replace` puts it there.

    Args:
        model: The model.
        path: The path of its classifier.
        n: The number of outputs. With 0, an Identity that knows what it stands for, so that another can come there.

    Returns:
        A layer like the one that is there, or was; a linear layer for the arch's features, where there never was one.

    Raises:
        NotApplicableError: For a layer of which none of another size can be made; see `make_like`.
        ShapeError: For a number of outputs that such a layer can't have.

    Example:
        >>> import zoo
        >>> zoo.make_classifier(zoo.create("convnet"), "head", 5)
        Linear(in_features=128, out_features=5, bias=True)
    """
    old = model.get_submodule(path)
    layer = next((module for module in old.modules() if isinstance(module, _KINDS)), None)
    if n == 0:
        identity = nn.Identity()
        vars(identity)[_CUT] = _find_maker(model, old, layer)
        return identity
    if layer is not None:
        return make_like(layer, out_features=n)
    if (make := _find_maker(model, old, None)) is not None:
        return make(n)
    raise NotApplicableError(
        f"what stood at {format_place(path)} was of a class of which none of another size can be made; "
        "write replace(site, layer)"
    )


def _find_maker(model: nn.Module, old: nn.Module, layer: nn.Module | None) -> Callable[[int], nn.Module] | None:
    """What makes a classifier like this one for a number of outputs; None for one that can't be made anew."""
    if layer is not None:
        try:
            return maker_of(layer)
        except NotApplicableError:
            return None
    width = width_of(model)
    return vars(old)[_CUT] if _CUT in vars(old) else None if width is None else partial(nn.Linear, width)
