"""The layer of each parameter, for learning rates that fall with depth."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def by_module(model: nn.Module, depth: int | None = None) -> dict[str, int]:
    """Modules with weights in the model's own order; those that agree down to this depth are one layer."""
    layers: dict[str, int] = {}
    paths = {name: ".".join(name.split(".")[:-1][:depth]) for name, _ in model.named_parameters()}
    return {name: layers.setdefault(path, len(layers)) for name, path in paths.items()}


def by_block(model: nn.Module) -> dict[str, int]:
    """Each of `blocks.0`, `layers.1` and the like is a layer, and what stands beside them."""
    return by_module(model, 2)


def by_part(model: nn.Module) -> dict[str, int]:
    """Each child of the model is a layer."""
    return by_module(model, 1)
