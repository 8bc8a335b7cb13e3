"""The walker's edits: change one place of a model and leave all else as it was.

Each finds every name of a shared module, gives what it puts in the mode, device and dtype of its neighbours, and
returns the model, which is a new object only where the root itself was replaced.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import nn

from ..messages.errors import NoEffectError, OptionError, ShapeError
from ..messages.text import format_place, list_names
from .guards import refuse_cycle, refuse_name
from .insert import After, Before, Insertion, insert
from .mixins import parts_of
from .placement import (
    at,
    check_layer,
    copy_weights,
    find_fitting,
    hand_over_hooks,
    leave_fast_path,
    match,
)
from .walk import child_slots, free_number, holders_of, holders_of_each, move_to_front, parent_path, split


def replace(model: nn.Module, path: str, layer: nn.Module, *, keep_weights: bool = False) -> nn.Module:
    """Put a layer in the place of the module at `path`, in all places where that module stands.

    The layer takes over mode, device, dtype and the users' hooks of what it replaces, and what was inserted before and
    after it.

    Args:
        model: the model, which is edited in place.
        path: where; `""` is the root, and then the layer is what comes back.
        layer: what comes there. The one that stands there already stays, and nothing changes.
        keep_weights: copy into the layer every parameter and buffer of the old one that has its name and shape there.

    Returns:
        The model, which is another object only where the root was replaced.

    Raises:
        NoEffectError: nothing stands at the path.
        OptionError: this is no layer, or one that holds the place that it is for.
        ShapeError: with `keep_weights`, where nothing fits.

    Example:
        >>> import torch, zoo
        >>> model = zoo.create("simple")
        >>> zoo.replace(model, "layers3.0", torch.nn.Linear(100, 5))  # doctest: +ELLIPSIS
        Simple(...
    """
    check_layer(layer)
    old = at(model, path)
    if old is not layer:
        _fit(model, path, old, layer, keep_weights)
    if old is model:
        return _hand_over_insertions(layer, path, old, layer)
    return _put(model, path, old, layer, holders_of(model, old))


def replace_each(model: nn.Module, layers: Mapping[str, nn.Module]) -> nn.Module:
    """Put a layer in each of several places: the same as one `zoo.replace` after the other, in less time.

    Each `zoo.replace` looks through the whole model for the other places of the module that it replaces; this looks
    once for all of them. All places are looked up before the first is touched.

    Args:
        model: the model, which is edited in place.
        layers: path to the layer that comes there.

    Returns:
        The model, which is another object only where the root was replaced.

    Raises:
        NoEffectError: nothing stands at one of the paths.
        OptionError: one of these is no layer, or one that holds the place that it is for.

    Example:
        >>> import torch, zoo
        >>> model = zoo.create("simple")
        >>> found = zoo.select(model, kind=torch.nn.ReLU)
        >>> model = zoo.replace_each(model, {path: torch.nn.SiLU() for path in found})
    """
    for layer in layers.values():
        check_layer(layer)
    olds = [at(model, path) for path in layers]
    holders = holders_of_each(model, olds)
    for path, layer in layers.items():
        old, parent = at(model, path), at(model, parent_path(path))
        known = any(holder is parent for holder, _ in holders.get(id(old), ()))
        # Of one leaf for another, the holders are still those of before; others may bring or take what comes later.
        if child_slots(layer) or child_slots(old) or not known:
            model = replace(model, path, layer)
            holders = holders_of_each(model, olds)
            continue
        if old is not layer:
            _fit(model, path, old, layer, keep_weights=False)
        _put(model, path, old, layer, holders[id(old)])
    return model


def _fit(model: nn.Module, path: str, old: nn.Module, layer: nn.Module, keep_weights: bool) -> None:
    """Check that a layer can come to a place, then make it fit there."""
    if path:
        refuse_cycle(layer, at(model, parent_path(path)), path)
    if keep_weights and not find_fitting(old, layer):
        raise ShapeError(
            f"keep_weights: nothing of {format_place(path, type(old).__name__)} fits into {type(layer).__name__}"
        )
    leave_fast_path(model, path)
    match(model, path, layer)
    if keep_weights:  # afterwards, since now the layer has the old one's device and dtype
        copy_weights(old, layer)
    hand_over_hooks(old, layer)


def _put(
    model: nn.Module, path: str, old: nn.Module, layer: nn.Module, holders: Iterable[tuple[nn.Module, str]]
) -> nn.Module:
    # Not inside the new layer: one that wraps the old module must go on holding it.
    inside = {id(m) for m in layer.modules()} - {id(m) for m in old.modules()} if child_slots(layer) else ()
    for parent, name in holders:
        if id(parent) not in inside:
            setattr(parent, name, layer)
    return _hand_over_insertions(model, path, old, layer)


def _hand_over_insertions(model: nn.Module, path: str, old: nn.Module, new: nn.Module) -> nn.Module:
    """What was inserted stands before or after the place, whatever stands there; unless the old one is still inside."""
    mixins = parts_of(type(old))[1]
    if not mixins or old is new or any(module is old for module in new.modules()):
        return model
    for mixin in reversed(mixins):
        if issubclass(mixin, Insertion):
            layers = list(getattr(old, mixin.child))
            for layer in layers if mixin is After else reversed(layers):
                insert(model, path, layer, mixin, first=mixin is Before)
    return model


def remove(model: nn.Module, path: str) -> nn.Module:
    """Take the module at `path` out. An Identity stays in its place, so that no other name or number moves.

    Args:
        model: the model, which is edited in place.
        path: where, and in every other place where that module stands.

    Returns:
        The model, or the Identity where the root was taken out.

    Raises:
        NoEffectError: nothing stands at the path.

    Example:
        >>> import torch
        >>> zoo.remove(torch.nn.Sequential(torch.nn.ReLU()), "0")
        Sequential(
          (0): Identity()
        )
    """
    return replace(model, path, nn.Identity())


def add(model: nn.Module, path: str, name: str | None, layer: nn.Module, first: bool = False) -> nn.Module:
    """Register a layer under the module at `path`, as its last or first child; whether it runs is up to that one.

    Args:
        model: the model, which is edited in place.
        path: the module that gets a child; `""` is the root.
        name: what the child is called; None for the next free number, as the elements of a Sequential have them.
        layer: what comes there. It takes on the module's mode, device and dtype.
        first: whether it comes before the children that are there.

    Returns:
        The model.

    Raises:
        NoEffectError: nothing stands at the path.
        OptionError: the name is taken or can't be one, or this is no layer, or one that holds the module.

    Example:
        >>> import torch
        >>> model = zoo.add(torch.nn.Sequential(torch.nn.ReLU()), "", None, torch.nn.Tanh())
        >>> [name for name, _ in model.named_children()]
        ['0', '1']
    """
    check_layer(layer)
    if name is not None:
        refuse_name(name)
    parent = at(model, path)
    name = free_number(parent) if name is None else name
    refuse_cycle(layer, parent, path)
    if hasattr(parent, name):
        place = f" at '{path}'" if path else ""
        empty = "; zoo.fill puts a layer into a slot that is empty" if getattr(parent, name) is None else ""
        raise OptionError(f"the {type(parent).__name__}{place} has a '{name}' already{empty}")
    match(model, path, layer)
    parent.add_module(name, layer)
    if first:
        move_to_front(parent, name)
    return model


def fill(model: nn.Module, path: str, layer: nn.Module) -> nn.Module:
    """Put a layer into a slot that a module has and that is empty, as timm's blocks have `se` and `drop_path`.

    Such a slot is an attribute that is None, which the module's forward looks at; what comes there is called by it. The
    layer takes on mode, device and dtype of the module.

    Args:
        model: the model, which is edited in place.
        path: the slot, as in `layer1.0.se`; in every place where the module that has it stands.
        layer: what comes there.

    Returns:
        The model.

    Raises:
        NoEffectError: the module has no such slot.
        OptionError: something stands there (`zoo.replace` is for that), or this is no layer.
    """
    check_layer(layer)
    holder, name = split(path)
    parent = at(model, holder)
    empty = _empty_slots(parent)
    if name not in empty:
        if there := child_slots(parent).get(name):
            met = format_place(path, type(there).__name__)
            raise OptionError(f"{met} is no empty slot; zoo.replace puts another layer there")
        place, some = format_place(holder, type(parent).__name__), list_names(empty, 8) or "none"
        raise NoEffectError(f"{place} has no empty slot '{name}'; its empty slots: {some}")
    refuse_cycle(layer, parent, path)
    leave_fast_path(model, path)
    match(model, holder, layer)
    setattr(parent, name, layer)
    return model


def _empty_slots(module: nn.Module) -> list[str]:
    """The names under which a module could hold another one and holds None, registered or not."""
    own = [name for name, value in vars(module).items() if value is None and not name.startswith("_")]
    return [*own, *(name for name, child in child_slots(module).items() if child is None)]
