"""Weights from a layer into the one that comes in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def topmost(paths: dict[str, nn.Module]) -> list[str]:
    """Those that aren't inside another."""
    tops: list[str] = []
    for path in paths:
        if not any(top == "" or path.startswith(f"{top}.") for top in tops):
            tops.append(path)
    return tops


def copy_fitting(old: nn.Module, new: nn.Module) -> list[str]:
    """Copy every parameter and buffer that has its name and shape in the new layer; the names of those."""
    import torch

    theirs = old.state_dict()
    ours = {name: value for name, value in new.state_dict().items() if name in theirs}
    fitting = [name for name, value in ours.items() if value.shape == theirs[name].shape]
    with torch.no_grad():
        for name in fitting:
            if not theirs[name].is_meta:
                ours[name].copy_(theirs[name])
    return fitting
