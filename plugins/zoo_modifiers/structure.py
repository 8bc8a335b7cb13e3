"""Layers added to a model, taken out of it, or given other numbers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import zoo

if TYPE_CHECKING:
    from torch import nn


@zoo.modifier(examples=["append(head, Dropout(0.1))"], effects=zoo.Effects(keys="add"))
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
        each = "+".join(f"append({name}={parts[name]})" for name in sorted(parts, key=_split_numbers))
        raise zoo.OptionError(f"append takes one new part, since names have no order; write them in turn: {each}")
    if site is not None and layer is not None:
        model = _put(model, site, layer, first=False)
    for name, part in parts.items():
        _put_behind(model, name, part)
    return model


def _split_numbers(name: str) -> list[Any]:
    """layers9 before layers10."""
    return [int(piece) if piece.isdecimal() else piece for piece in re.split(r"(\d+)", name)]


def _put_behind(model: nn.Module, name: str, part: zoo.Layer) -> None:
    """A new part of the root that runs behind the others, once."""
    from torch import nn

    runs = next(cls for cls in type(model).__mro__ if "forward" in vars(cls) and not issubclass(cls, zoo.Mixin))
    if not zoo.walks(model):
        zoo.add(model, "", name, part.build())
        zoo.become(model, "", Tail, zoo_tail=(*getattr(model, "zoo_tail", ()), name))
    elif runs is nn.Sequential:
        zoo.add(model, "", name, part.build())
    else:
        last = next((child for child, _ in reversed(list(model.named_children()))), "")
        site = f'"{last}"' if last.isdecimal() else last or "site"
        raise zoo.NotApplicableError(
            f"this {type(model).__name__} goes over all that is in it, and would take a new part for one of those; "
            f"name a place inside, as in append({site}, {part})"
        )


class Tail(zoo.Mixin):
    """Runs the modules named in `zoo_tail` on the output, one after the other."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        output = super().forward(*args, **kwargs)  # type: ignore[misc]
        for name in self.zoo_tail:  # type: ignore[attr-defined]
            output = getattr(self, name)(output)
        return output


@zoo.modifier(examples=["prepend(head, Dropout(0.1))"], effects=zoo.Effects(keys="add"))
def prepend(model: nn.Module, /, site: zoo.Where, layer: zoo.Layer) -> nn.Module:
    """A layer in front of each site: in a Sequential its first element, otherwise it runs before the module."""
    return _put(model, site, layer, first=True)


def _put(model: nn.Module, site: zoo.Where, layer: zoo.Layer, first: bool) -> nn.Module:
    from torch import nn

    put = zoo.insert_before if first else zoo.insert_after
    for path, module in zoo.select(model, site).items():
        if type(module) is nn.Sequential:
            zoo.add(model, path, None, layer.build(), first)
        else:
            model = put(model, path, layer.build())
    return model


@zoo.modifier(examples=["remove(head)"], effects=zoo.Effects(keys="remove"))
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
        pairs.append((old, new := layer.build()))
        model = zoo.replace(model, path, new, keep_weights=keep_weights)
    zoo.tie_again(pairs)
    return model


# What can soundly be changed on a module that stays, and what it has to be.
_SETTABLE: dict[str, tuple[Callable[[Any], bool], str]] = {
    "eps": (lambda v: _number(v) and v > 0, "a number above 0"),
    "momentum": (lambda v: v is None or (_number(v) and 0 <= v <= 1), "a number from 0 to 1, or None"),
    "p": (lambda v: _number(v) and 0 <= v <= 1, "a number from 0 to 1"),
    "negative_slope": (lambda v: _number(v), "a number"),
    "inplace": (lambda v: isinstance(v, bool), "True or False"),
}


@zoo.modifier(name="set", examples=["set(BatchNorm2d, eps=1e-3)"], effects=zoo.Effects(keys="keep"))
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
