"""Rows of alike blocks: how deep a place is, for what changes with depth (drop path, layer scale, freezing, rates)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

from torch import nn

from ..surgery.mixins import parts_of
from ..surgery.placement import walks
from ..surgery.select import is_inserted
from ..surgery.walk import children_of, join, parameter_slots, parent_path, places


def blocks_of(model: nn.Module) -> tuple[tuple[str, ...], ...]:
    """The blocks of a model, row by row, in the model's own order: of a ResNet its four stages, of a ViT one row.

    A block is an element of a Sequential, a ModuleList, a ModuleDict, or of what holds nothing but numbered children,
    and has three layers with weights or more. A row is what one of these holds, where two blocks in it are of one
    class, or where others like it stand beside it. What modifiers inserted belongs to the block where they did.

    Args:
        model: a live model, or a part of one.

    Returns:
        The paths of the blocks of each row; nothing for a model without such rows.

    Example:
        >>> import zoo
        >>> zoo.blocks_of(zoo.create("resnet10t", device="meta"))
        (('layer1.0',), ('layer2.0',), ('layer3.0',), ('layer4.0',))
    """
    # The problem: nothing in a model says "block", and alike things repeat on several levels: layers in a block, blocks
    # in a stage, stages in a model. The trick: the innermost level on which something large repeats is that of blocks,
    # and what holds a row of them is a stage; a stage of one block repeats nothing, and is known by its neighbours.
    # How it can fail: a block that is itself a list of large and alike parts is taken for a stage, unless there are
    # more of them, with as many parts each, than a model has stages.
    return tuple(_rows(model, "").rows)


_MOST_STAGES = 10


@dataclass(frozen=True)
class _Found:
    """Rows of blocks. repeats: whether something does in there, or they are guessed from lists that stand together."""

    rows: list[tuple[str, ...]]
    repeats: bool = False


def _rows(module: nn.Module, path: str) -> _Found:
    children = _children(module)
    inside = {name: _rows(child, join(path, name)) for name, child in children.items()}
    row = _row(module, path)
    if not any(found.repeats for found in inside.values()):
        lone = [one for name, child in children.items() if (one := _blocks(child, join(path, name)))]
        guessed = [one for found in inside.values() for one in found.rows] or (lone if len(lone) > 1 else [])
        lists = all(_kind(module.get_submodule(block[len(path) :].lstrip("."))) is nn.Sequential for block in row)
        return _Found([row], True) if row and not (lists and guessed) else _Found(guessed)
    sizes = [tuple(map(len, found.rows)) for found in inside.values() if found.rows]
    if row and len(sizes) > _MOST_STAGES and len(set(sizes)) == 1 and len(sizes[0]) == 1:
        return _Found([row], True)
    for name in [name for name, found in inside.items() if not found.repeats]:
        inside[name] = _like_a_neighbour(path, name, children, inside)
    return _Found([one for found in inside.values() for one in found.rows], True)


def _row(module: nn.Module, path: str) -> tuple[str, ...]:
    """The blocks of a container in which two are of one class; none of any other."""
    kinds = [_kind(child) for child in _children(module).values() if _is_large(child)]
    return _blocks(module, path) if walks(module) and len(set(kinds)) < len(kinds) else ()


def _like_a_neighbour(path: str, name: str, children: Mapping[str, nn.Module], inside: Mapping[str, _Found]) -> _Found:
    """The blocks of a stage that has one: they are where a neighbour of its class has several."""
    for other, found in inside.items():
        if found.repeats and _kind(children[other]) is _kind(children[name]):
            place = parent_path(found.rows[0][0])[len(join(path, other)) :].lstrip(".")
            there = dict(places(children[name])).get(place)
            row = () if there is None else _blocks(there, join(join(path, name), place))
            return _Found([row] if row else [])
    return _Found([])


def _blocks(module: nn.Module, path: str) -> tuple[str, ...]:
    """The blocks that a container holds; none of anything else."""
    large = (join(path, name) for name, child in _children(module).items() if _is_large(child))
    return tuple(large) if _is_row(module) else ()


def _is_row(module: nn.Module) -> bool:
    """Whether its children stand in a row: it goes over them, or their names are numbers behind one word."""
    children = _children(module)
    words = {re.sub(r"\d+$", "", name) for name in children if name[-1:].isdigit()}
    kinds = {_kind(child) for child in children.values()}
    numbered = len(words) == 1 and len(kinds) == 1 and all(name[-1:].isdigit() for name in children)
    return walks(module) or (numbered and not any(map(walks, children.values())))


def _children(module: nn.Module) -> dict[str, nn.Module]:
    """The children, without what was inserted at the module."""
    return {name: child for name, child in children_of(module).items() if not is_inserted(name)}


def _kind(module: nn.Module) -> type:
    """The class, whatever it became since."""
    return parts_of(type(module))[0]


def _is_large(module: nn.Module) -> bool:
    """Whether it can be a block, and is no mere convolution with its norm: three layers with weights or more."""
    if type(module) in (nn.ModuleList, nn.ModuleDict):
        return False  # which nobody calls
    return len(list(islice((one for one in module.modules() if parameter_slots(one)), 3))) > 2
