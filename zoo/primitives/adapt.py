"""Other sizes for what stays: a layer that takes other inputs, and what the modules around it say of that."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn

from ..surgery.walk import parent_path


@torch.no_grad()
def adapt_inputs(layer: Any, n: int, had: int | None = None, draw: bool = False) -> None:
    """Make a layer take another number of inputs where it stands, so that its class, its hooks and all else stay.

    The new weights are made of the old ones, as timm does when it loads pretrained weights: for one channel they are
    summed up, else repeated in turn and scaled, so that the outputs keep their size. What a linear layer takes can't
    be told apart in this way, so its weights are drawn.

    Args:
        layer: A convolution, or a linear layer of patches, that holds its weight itself and doesn't work in groups.
        n: The number of channels that come in from now on.
        had: How many came in so far, where the layer folds pixels into channels and takes several times as many; it
            goes on doing that.
        draw: Whether to draw the weights of a convolution too.

    Example:
        >>> import zoo
        >>> from torch import nn
        >>> stem = nn.Conv2d(3, 8, 3)
        >>> zoo.adapt_inputs(stem, 1)
        >>> stem.weight.shape
        torch.Size([8, 1, 3, 3])
    """
    name = "in_features" if hasattr(layer, "in_features") else "in_channels"
    takes = getattr(layer, name)
    had = had or takes
    fold = takes // had
    if takes != n * fold:
        old = layer.weight
        new = _adapt_weight(old.detach(), had, n, fold)
        if draw or new.ndim == 2:
            nn.init.kaiming_uniform_(new, a=math.sqrt(5))  # what such a layer does when it's made
        layer.weight = nn.Parameter(new, requires_grad=old.requires_grad)
        if isinstance(getattr(layer, "scale", None), float):  # a scaled convolution of timm's divides by its fan-in
            layer.scale *= math.sqrt(old[0].numel() / new[0].numel())
    setattr(layer, name, n * fold)


def _adapt_weight(weight: Tensor, had: int, n: int, fold: int) -> Tensor:
    """Weights (out, fold × had, …) for n channels instead of `had`."""
    wide = weight.float().reshape(len(weight), fold, had, *weight.shape[2:])
    if n == 1:
        wide = wide.sum(dim=2, keepdim=True)
    else:
        times = -(-n // had)
        wide = wide.repeat(1, 1, times, *[1] * (weight.ndim - 2))[:, :, :n] * (had / float(n))
    return wide.flatten(1, 2).to(weight.dtype)


def restate(model: nn.Module, path: str, names: Collection[str], old: int, new: int) -> None:
    """Correct what the modules around a place say of a size that is another now.

    Args:
        model: The model.
        path: The place; what stands there has been changed already.
        names: The attributes that may say it, such as `in_chans`.
        old: What they said. An attribute that says something else means something else, and stays.
        new: What they are to say.
    """
    while path:
        path = parent_path(path)
        holder = model.get_submodule(path)
        for name in names:
            if type(vars(holder).get(name)) is int and vars(holder)[name] == old:
                setattr(holder, name, new)
