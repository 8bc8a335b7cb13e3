"""Layers added to a model, taken out of it, or given other numbers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import zoo

if TYPE_CHECKING:
    from torch import nn


@zoo.modifier(examples=["append(head, Dropout(0.1))"])
def append(
    model: nn.Module, /, site: zoo.Where | None = None, layer: zoo.Layer | None = None, **parts: zoo.Layer
) -> nn.Module:
    """A layer behind each site: `append(layers3, Dropout(0.5))`.

    In a Sequential it becomes the last element, otherwise it runs after the module. With a name of its own,
    `append(layers4=Sequential(BatchNorm1d(2), Linear(2, 1)))`, it is a new part of the model behind the last one;
    one at a time, since names have no order.
    """
    if (site is None) != (layer is None) or (site is None and not parts):
        raise zoo.OptionError("append takes a site and a layer, or name=layer, as in append(head, Dropout(0.5))")
    if len(parts) > 1:
        each = "+".join(f"append({name}={parts[name]})" for name in sorted(parts, key=_by_number))
        raise zoo.OptionError(f"append takes one new part, since names have no order; write them in turn: {each}")
    if site is not None and layer is not None:
        model = _put(model, site, layer, first=False)
    for name, part in parts.items():
        _behind(model, name, part)
    return model


def _by_number(name: str) -> list[Any]:
    """layers9 before layers10."""
    return [int(piece) if piece.isdecimal() else piece for piece in re.split(r"(\d+)", name)]


def _behind(model: nn.Module, name: str, part: zoo.Layer) -> None:
    """A new part of the root that runs behind the others, once."""
    from torch import nn

    from ._tail import Tail

    runs = next(cls for cls in type(model).__mro__ if "forward" in vars(cls) and not issubclass(cls, zoo.Mixin))
    if not zoo.walks(model):
        zoo.add(model, "", name, part.build())
        zoo.become(model, "", Tail, zoo_tail=(*getattr(model, "zoo_tail", ()), name))
    elif runs is nn.Sequential:
        zoo.add(model, "", name, part.build())
    else:
        last = next(reversed(model._modules), "")
        site = f'"{last}"' if last.isdecimal() else last or "site"
        raise zoo.NotApplicableError(
            f"this {type(model).__name__} goes over all that is in it, and would take a new part for one of those; "
            f"name a place inside, as in append({site}, {part})"
        )


@zoo.modifier(examples=["prepend(head, Dropout(0.1))"])
def prepend(model: nn.Module, /, site: zoo.Where, layer: zoo.Layer) -> nn.Module:
    """A layer in front of each site: in a Sequential its first element, otherwise it runs before the module."""
    return _put(model, site, layer, first=True)


def _put(model: nn.Module, site: zoo.Where, layer: zoo.Layer, first: bool) -> nn.Module:
    from torch import nn

    for path, module in zoo.select(model, site).items():
        if type(module) is nn.Sequential:
            taken = module._modules
            key = next(k for k in map(str, range(len(taken), 2 * len(taken) + 1)) if k not in taken)
            zoo.add(model, path, key, layer.build(), first)
        else:
            put = zoo.insert_before if first else zoo.insert_after
            model = put(model, path, layer.build())
    return model


@zoo.modifier(examples=["remove(head)"])
def remove(model: nn.Module, /, site: zoo.Where) -> nn.Module:
    """Take modules out. An Identity stays in the place of each, so that the names of the others stand."""
    for path in zoo.select(model, site, outermost=True):
        model = zoo.remove(model, path)
    return model


@zoo.modifier(examples=["replace(head, Identity())"])
def replace(model: nn.Module, /, site: zoo.Where, layer: zoo.Layer, keep_weights: bool = False) -> nn.Module:
    """Put a layer in the place of every module that `site` names, a fresh one each: `replace(act1, PReLU(64))`.

    keep_weights: copy every parameter and buffer of the old one that has its name and shape in the new one.
    """
    pairs = []
    for path, old in zoo.select(model, site, outermost=True).items():
        new = layer.build()
        model = zoo.replace(model, path, new, keep_weights=keep_weights)
        pairs.append((old, new))
    _tie_again(pairs)
    return model


def _tie_again(pairs: list[tuple[nn.Module, nn.Module]]) -> None:
    """A parameter that several of the old ones shared, and that is replaced in all of them, is one in the new ones."""
    first: dict[tuple[int, str], nn.Parameter] = {}
    for old, new in pairs:
        fresh = dict(new.named_parameters())
        for name, parameter in old.named_parameters():
            one = first.setdefault((id(parameter), name), fresh[name]) if name in fresh else None
            if one is not None and one is not fresh[name] and one.shape == fresh[name].shape:
                holder, _, own = name.rpartition(".")
                setattr(new.get_submodule(holder), own, one)


# What can soundly be changed on a module that stays, and what it has to be.
_SETTABLE: dict[str, tuple[Callable[[Any], bool], str]] = {
    "eps": (lambda v: _number(v) and v > 0, "a number above 0"),
    "momentum": (lambda v: v is None or (_number(v) and 0 <= v <= 1), "a number from 0 to 1, or None"),
    "p": (lambda v: _number(v) and 0 <= v <= 1, "a number from 0 to 1"),
    "negative_slope": (lambda v: _number(v), "a number"),
    "inplace": (lambda v: isinstance(v, bool), "True or False"),
}


@zoo.modifier(name="set", examples=["set(BatchNorm2d, eps=1e-3)"])
def set_(model: nn.Module, /, site: zoo.Where, **options: float | bool | None) -> nn.Module:
    """Other numbers for modules that stay: `eps`, `momentum`, `p`, `negative_slope`, `inplace`.

    Other options are refused: sizes would need other weights, and the rest takes part in how a module was built.
    """
    if not options:
        raise zoo.OptionError("set needs at least one option=value, as in set(bn1, eps=1e-3)")
    for name, value in options.items():
        if name not in _SETTABLE:
            raise zoo.OptionError(
                f"set can't change '{name}' in place, since weights or structure may hang on it; "
                f"it takes {', '.join(_SETTABLE)}; for others write replace(site, layer)"
            )
        fits, expected = _SETTABLE[name]
        if not fits(value):
            raise zoo.OptionError(f"set: {name}={value} is out of range; expected {expected}")
    for path, module in zoo.select(model, site).items():
        for name, value in options.items():
            if not hasattr(module, name):
                raise zoo.NotApplicableError(f"{zoo.format_place(path, type(module).__name__)} has no '{name}' to set")
            setattr(module, name, value)
    return model


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
