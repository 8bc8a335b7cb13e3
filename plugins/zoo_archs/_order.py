"""The layer of each parameter, for learning rates that fall with depth."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

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


# What goes into the layer that is there already, by what that one ended with.
_JOINS = {"light": ("light", "layer", "between"), "layer": ("light", "between"), "block": ("between",)}


def by_rows(model: nn.Module) -> dict[str, int]:
    """Each element of a row of alike blocks is a layer, and so is what stands in front of such rows or behind them.

    As timm counts: outside of blocks, a norm belongs to the convolution or linear layer before it, or where there's
    none the one that follows, and so does a parameter without a layer, such as a class token. What is no more than a
    convolution with its norm, and stands behind a block, belongs to what follows, such as what makes images smaller.
    """
    layers: dict[str, int] = {}
    last, number = "", -1
    for kind, names in _units(model, ""):
        if kind == "small":
            kind = "between" if last == "block" else "layer"
        joins = last in _JOINS.get(kind, ())
        number += not joins
        layers |= dict.fromkeys(names, number)
        if not (joins and kind == "light"):
            last = kind
    return layers


def _units(module: nn.Module, path: str) -> Iterator[tuple[str, list[str]]]:
    """What is one layer, in the model's own order: a `block`, a `small` one, a `layer`, or `light`, which is none."""
    from torch import nn

    if own := [f"{path}{name}" for name, p in module._parameters.items() if p is not None]:
        yield "light", own
    for name, child in module.named_children():
        inside = [(f"{path}{name}.{n}", p) for n, p in child.named_parameters(remove_duplicate=False)]
        flat = type(child) is nn.Sequential and all(map(_is_one, child))
        if _has_row(child) or (flat and not isinstance(module, nn.Sequential)):
            yield from _units(child, f"{path}{name}.")
        elif child._modules and inside:
            yield "block" if _is_big(child) and not _is_one(child) else "small", [n for n, _ in inside]
        elif inside:
            yield "light" if all(p.ndim < 2 for _, p in inside) else "layer", [n for n, _ in inside]


def _has_row(module: nn.Module) -> bool:
    """Whether somewhere in there two blocks of one class stand in a row."""
    from torch import nn

    for one in module.modules():
        if isinstance(one, (nn.Sequential, nn.ModuleList, nn.ModuleDict)) and getattr(one, "zoo_walks", True):
            kinds = [type(child) for child in one.children() if _is_big(child)]
            if len(set(kinds)) < len(kinds):
                return True
    return False


def _is_big(module: nn.Module) -> bool:
    """Whether it's a block, and no mere convolution with its norm: three layers with weights or more."""
    return sum(bool(m._parameters) for m in module.modules()) > 2


def _is_one(module: nn.Module) -> bool:
    """Whether it's a single layer, with what a modifier put before or after it, or several heads in its place."""
    return not getattr(module, "zoo_walks", True) or all(name.startswith("zoo_") for name in module._modules)
