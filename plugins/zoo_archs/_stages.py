"""Stages: the parts of a trunk, one behind the other, as lists of paths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import zoo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn


def of_timm(model: nn.Module) -> list[list[str]]:
    """The stages by timm's own list of features: each goes up to one of them, from behind the one before.

    What is in front of the first block is the stem, which is no stage, and of a ViT each block is one. Empty where timm
    lists nothing, or where what it calls `stages` isn't numbered from 0.
    """
    children = dict(model.named_children())
    if "stages" in children:
        names = [name for name, _ in children["stages"].named_children()]
        return [[f"stages.{name}"] for name in names] if names == [*map(str, range(len(names)))] else []
    info: Any = getattr(model, "feature_info", None) or []
    ends = find_paths(model, [one.get("module") for one in getattr(info, "info", info) if isinstance(one, dict)])
    if len(set(ends)) < len(ends):
        return []  # as CoaT's, which run side by side
    parts: list[list[str]] = [[]]
    for element in _elements(model, "", ends):
        if next(model.get_submodule(element).parameters(), None) is not None:
            parts[-1].append(element)
        if any(f"{end}.".startswith(f"{element}.") for end in ends):
            parts.append([])
    return _from_the_first_block(model, [part for part in parts[:-1] if part])


def _elements(model: nn.Module, path: str, ends: Sequence[str]) -> list[str]:
    """What stands one behind the other: the children, or those of a child in which several stages end."""
    found: list[str] = []
    for name, _ in model.get_submodule(path).named_children():
        at = f"{path}.{name}".lstrip(".")
        several = sum(end.startswith(f"{at}.") for end in ends) > 1
        found += _elements(model, at, ends) if several else [at]
    return found


def _from_the_first_block(model: nn.Module, parts: list[list[str]]) -> list[list[str]]:
    """Without what stands in front of the first block; all of them where a model isn't made of blocks."""
    stem = find_paths(model, (getattr(model, "pretrained_cfg", None) or {}).get("first_conv"))
    large = [
        [
            path
            for path in part
            if _is_large(model.get_submodule(path)) and not any(f"{s}.".startswith(f"{path}.") for s in stem)
        ]
        for part in parts
    ]
    if not any(large):
        return parts
    kept = [part for part, blocks in zip(parts, large, strict=True) if blocks]
    first = next(blocks[0] for blocks in large if blocks)
    return [kept[0][kept[0].index(first) :], *kept[1:]]


def _is_large(module: nn.Module) -> bool:
    """Whether it's more than a convolution with its norm: three layers with weights or more."""
    return sum(bool(one._parameters) for one in module.modules()) > 2


def find_paths(model: nn.Module, paths: Any) -> list[str]:
    """Those of some paths that there are."""
    modules = dict(model.named_modules())
    return [path for path in ([paths] if isinstance(paths, str) else paths or []) if path in modules]


def of_torchvision(model: nn.Module) -> list[list[str]]:
    """Each row of blocks, with what makes the image smaller in front of it; none where nothing says where one begins.

    In a single row a stage begins where a block makes the image smaller itself; of a ViT each block is one.
    """
    if any(f".{kind}." in type(model).__module__ for kind in ("detection", "segmentation", "optical_flow")):
        return []
    if type(model).__name__ == "MaxVit":
        return [[f"blocks.{name}"] for name, _ in model.blocks.named_children()]  # type: ignore[union-attr]
    if type(model).__name__ == "EfficientNet":  # of the second kind, whose first blocks are one convolution each
        return [[f"features.{n}"] for n in range(1, len(model.features) - 1)]  # type: ignore[arg-type]
    rows = zoo.blocks_of(model)
    if len(rows) == 1:
        return _split_row(model, rows[0])
    found = [row[0].rpartition(".")[0] for row in rows]
    return [[*(_between(model, found[n - 1], stage) if n else ()), stage] for n, stage in enumerate(found)]


def _split_row(model: nn.Module, row: Sequence[str]) -> list[list[str]]:
    """A single row in stages."""
    from torch import nn

    blocks = {path: model.get_submodule(path) for path in row}
    if len({str([p.shape for p in block.parameters()]) for block in blocks.values()}) == 1:
        return [[path] for path in row]
    parts: list[list[str]] = [[]]
    for path, block in blocks.items():
        if parts[-1] and any(isinstance(m, nn.Conv2d) and 2 in m.stride for m in block.modules()):
            parts.append([])
        parts[-1].append(path)
    return parts if len(parts) > 1 else []


def _between(model: nn.Module, before: str, stage: str) -> list[str]:
    """What stands between two stages and has weights, where they are elements of one Sequential."""
    from torch import nn

    holder, _, name = stage.rpartition(".")
    parent = model.get_submodule(holder)
    names = [other for other, _ in parent.named_children()]
    if not isinstance(parent, nn.Sequential) or before.rpartition(".")[0] != holder:
        return []
    there = [f"{holder}.{other}" for other in names[names.index(before.rpartition(".")[2]) + 1 : names.index(name)]]
    return [path for path in there if next(model.get_submodule(path).parameters(), None) is not None]
