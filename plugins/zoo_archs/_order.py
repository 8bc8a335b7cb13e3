"""The layer of each parameter, for learning rates that fall with depth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import zoo

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
    blocks = {path for row in zoo.blocks_of(model) for path in row}
    stages = {path.rpartition(".")[0] for path in blocks}
    layers: dict[str, int] = {}
    last, number = "", -1
    for kind, names in _units(model, "", blocks, stages):
        if kind == "small":
            kind = "between" if last == "block" else "layer"
        joins = last in _JOINS.get(kind, ())
        number += not joins
        layers |= dict.fromkeys(names, number)
        if not (joins and kind == "light"):
            last = kind
    return layers


def _units(module: nn.Module, path: str, blocks: set[str], stages: set[str]) -> Iterator[tuple[str, list[str]]]:
    """What is one layer, in the model's own order: a `block`, a `small` one, a `layer`, or `light`, which is none."""
    from torch import nn

    if own := [f"{path}{name}" for name, _ in module.named_parameters(recurse=False, remove_duplicate=False)]:
        yield "light", own
    for name, child in module.named_children():
        at = f"{path}{name}"
        inside = [(f"{at}.{n}", p) for n, p in child.named_parameters(remove_duplicate=False)]
        flat = type(child) is nn.Sequential and all(map(_is_one, child))
        holds = at not in blocks and any(stage == at or stage.startswith(f"{at}.") for stage in stages)
        if holds or (flat and not isinstance(module, nn.Sequential)):
            yield from _units(child, f"{at}.", blocks, stages)
        elif inside and next(child.children(), None) is not None:
            yield (
                "block" if at in blocks or (_is_large(child) and not _is_one(child)) else "small",
                [n for n, _ in inside],
            )
        elif inside:
            yield "light" if all(p.ndim < 2 for _, p in inside) else "layer", [n for n, _ in inside]


def _is_large(module: nn.Module) -> bool:
    """Whether it's no mere convolution with its norm: three layers with weights or more."""
    return sum(bool(one._parameters) for one in module.modules()) > 2


def _is_one(module: nn.Module) -> bool:
    """Whether it's a single layer, with what a modifier put before or after it, or several heads in its place."""
    return not getattr(module, "zoo_walks", True) or all(n.startswith("zoo_") for n, _ in module.named_children())
