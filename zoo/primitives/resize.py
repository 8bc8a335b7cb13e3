"""A layer like another one with other widths: made anew by its own class, or given other inputs where it stands."""

from __future__ import annotations

import inspect
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..messages.errors import NotApplicableError, ShapeError
from ..surgery.mixins import parts_of
from ..surgery.placement import match
from ..surgery.walk import split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

# The options of torch's constructors that are widths. One of `_BOTH` is what a layer takes and gives.
_IN = ("in_features", "in_channels", "num_embeddings")
_OUT = ("out_features", "out_channels", "embedding_dim")
_BOTH = ("num_features", "num_channels", "normalized_shape")

# What a subclass overrides when it computes something else than the class of torch that it comes from.
_COMPUTES = {"forward", "_conv_forward", "_output_padding", "__call__", "weight", "bias"}


def features_of(layer: nn.Module) -> tuple[int | None, int | None]:
    """How many features, channels or rows a layer takes and how many it gives; None for what it doesn't say.

    Args:
        layer: any layer; what its class calls `in_features`, `in_channels`, `num_embeddings` and the like.

    Returns:
        How many it takes, how many it gives.

    Example:
        >>> from torch import nn
        >>> zoo.features_of(nn.ConvTranspose2d(8, 16, 3)), zoo.features_of(nn.BatchNorm2d(4))
        ((8, 16), (4, 4))
    """
    return _read_width(layer, (*_IN, *_BOTH))[1], _read_width(layer, (*_OUT, *_BOTH))[1]


def _read_width(layer: nn.Module, names: tuple[str, ...]) -> tuple[str, int | None]:
    """The first of these attributes that is a width, and the width."""
    for name in names:
        value = getattr(layer, name, None)
        if isinstance(value, tuple) and len(value) == 1:  # the shape that a LayerNorm is for
            value = value[0]
        if type(value) is int:
            return name, value
    return "", None


def make_like(layer: nn.Module, in_features: int | None = None, out_features: int | None = None) -> nn.Module:
    """A fresh layer of the same class with other widths; everything else of torch's own stays as it is.

    That is kernel, stride, padding and its mode, dilation, groups, whether there is a bias, eps, momentum, what an
    embedding pads, and also mode, device and dtype. Weights are drawn as for any new layer; `copy_weights`, or
    `zoo.replace(..., keep_weights=True)`, puts in those that keep their shape. Weights that are computed
    (`torch.nn.utils.parametrizations`), hooks and what was inserted at the layer don't come along.

    Args:
        layer: A linear layer, a convolution (transposed ones too), an embedding, a norm, or a subclass of these.
        in_features: Features or channels that go in, rows of an embedding; as they are, where it is None.
        out_features: Features or channels that come out, columns of an embedding; for a norm the same as those that
            go in.

    Returns:
        The layer, held by no model yet.

    Raises:
        NotApplicableError: For a layer without such a width, and for a class that computes in a way of its own and has
            a constructor of its own too, since what that takes isn't known; write `replace(site, layer)` there.
        ShapeError: For widths that torch refuses, such as 6 outputs in 4 groups.

    Example:
        >>> import zoo
        >>> from torch import nn
        >>> zoo.make_like(nn.Conv2d(3, 16, 3, stride=2, padding=1, padding_mode="reflect"), in_features=1)
        Conv2d(1, 16, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), padding_mode=reflect)
    """
    made, options = _recipe(layer)
    widths = _bind_widths(layer, options, in_features, out_features)
    try:
        # On meta it costs no memory to make one of any size.
        with torch.device("meta") if any(t.is_meta for t in layer.parameters()) else nullcontext():
            new = made(**options | widths)
    except (ValueError, RuntimeError, AssertionError) as error:
        wanted = ", ".join(f"{name}={width}" for name, width in widths.items())
        what = f"no {made.__name__} like this one can have {wanted}: {error}"
        raise ShapeError(f"{what}; write another with replace(site, layer)") from None
    match(layer, "", new)
    return new


def _bind_widths(layer: nn.Module, options: Mapping[str, Any], takes: int | None, gives: int | None) -> dict[str, int]:
    """The options that are to be others, checked."""
    wanted: dict[str, int] = {}
    for names, width, what in ((_IN, takes, "inputs"), (_OUT, gives, "outputs")):
        name, _ = _read_width(layer, (*names, *_BOTH))
        if width is None:
            continue
        if name not in options:
            kind = type(layer).__name__
            raise NotApplicableError(f"a {kind} has no number of {what} of its own; write replace(site, layer)")
        if wanted.setdefault(name, width) != width:
            raise ShapeError(f"a {type(layer).__name__} gives as many as it takes, not {takes} in and {gives} out")
    return wanted


def maker_of(layer: nn.Module) -> Callable[[int], nn.Module]:
    """What makes a layer like this one for a number of outputs. It's pickled as its class and some numbers alone."""
    made, options = _recipe(layer)
    takes, _ = _read_width(layer, _IN)
    gives, _ = _read_width(layer, _OUT)
    inputs = [options.pop(takes)] if takes in options else []  # in front, so that the outputs can come behind
    return partial(made, *inputs, **{name: value for name, value in options.items() if name != gives})


def _recipe(layer: nn.Module) -> tuple[type[nn.Module], dict[str, Any]]:
    """The class that makes such a layer, and the options with which it makes this one.

    Problem: torch's layers don't keep their options as such. Trick: each of its constructors keeps what it takes under
    the same name, but for `bias`, which is there or not; so the signature says what to read. It can fail for a
    constructor that isn't torch's: then the class of torch below it makes the layer, if that computes the same.
    """
    cls = _class_of(layer)
    torchs = next((base for base in cls.__mro__ if _is_torchs(base)), nn.Module)
    made = next(base for base in cls.__mro__ if "__init__" in vars(base))
    above = cls.__mro__[: cls.__mro__.index(torchs)]
    if not _is_torchs(made):
        if any(_COMPUTES & vars(base).keys() for base in above):
            raise NotApplicableError(
                f"a {cls.__name__} computes in a way of its own, and what its constructor takes isn't known, so none "
                "of another size can be made; write one with replace(site, layer)"
            )
        cls = torchs
    takes = [name for name in inspect.signature(cls).parameters if name not in ("device", "dtype")]
    options = {name: getattr(layer, name) for name in takes if name[0] != "_" and hasattr(layer, name)}
    if "bias" in options:
        options["bias"] = options["bias"] is not None
    return cls, options


def _is_torchs(cls: type) -> bool:
    return cls.__module__.startswith("torch.nn.modules.")


def _class_of(layer: nn.Module) -> type[nn.Module]:
    """The class of a layer, without what `become` and torch's parametrisations put over it."""
    cls: Any = type(layer)
    while True:
        base = cls.__bases__[0] if cls.__module__ == "torch.nn.utils.parametrize" else parts_of(cls)[0]
        if base is cls:
            return base  # type: ignore[no-any-return]
        cls = base


def tie_again(pairs: Iterable[tuple[nn.Module, nn.Module]]) -> None:
    """Make one parameter of those that come in the place of one: layers that shared a weight go on sharing theirs.

    Args:
        pairs: Each layer that was replaced, with the one that stands there now. A parameter is tied where both have it
            under one name, and the new ones in one shape.

    Example:
        >>> import zoo
        >>> from torch import nn
        >>> a, b = nn.Linear(3, 4), nn.Linear(3, 4)
        >>> b.weight = a.weight
        >>> zoo.tie_again([(a, new_a := zoo.make_like(a, 5)), (b, new_b := zoo.make_like(b, 5))])
        >>> new_b.weight is new_a.weight, new_b.bias is new_a.bias
        (True, False)
    """
    first: dict[tuple[int, str], nn.Parameter] = {}
    for old, new in pairs:
        fresh = dict(new.named_parameters())
        for name, parameter in old.named_parameters():
            one = first.setdefault((id(parameter), name), fresh[name]) if name in fresh else None
            if one is not None and one is not fresh[name] and one.shape == fresh[name].shape:
                holder, own = split(name)
                setattr(new.get_submodule(holder), own, one)
