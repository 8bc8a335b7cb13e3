"""The walker's edits: change one place of a model and leave all else as it was.

Each finds every name of a shared module, gives what it puts in the mode, device and dtype of its neighbours, and
returns the model, which is a new object only where the root itself was replaced.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from ..messages.errors import NoEffectError, NotApplicableError, OptionError, ShapeError
from ..messages.text import format_place, list_names
from .changes import What
from .guards import refuse_cycle, refuse_mixin, refuse_name, refuse_uncalled
from .mixins import Mixin, add_mixin, drop_mixin, parts_of
from .placement import at, check_layer, copy_weights, fitting_weights, hand_over_hooks, match, slow_path, walks
from .walk import child_slots, free_number, holders_of, holders_of_each, join, move_to_front, parent_path, split, way_to


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
    if keep_weights and not fitting_weights(old, layer):
        raise ShapeError(
            f"keep_weights: nothing of {format_place(path, type(old).__name__)} fits into {type(layer).__name__}"
        )
    _no_fast_path(model, path)
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
        if mixin in (Before, After):
            layers = list(getattr(old, mixin.child))
            for layer in layers if mixin is After else reversed(layers):
                _insert(model, path, layer, mixin, first=mixin is Before)
    return model


def remove(model: nn.Module, path: str) -> nn.Module:
    """Take the module at `path` out. An Identity stays in its place, so that no other name or number moves."""
    return replace(model, path, nn.Identity())


class Before(Mixin):
    """Runs `zoo_before` on the first input."""

    what = What.INSERTED_BEFORE
    child = "zoo_before"

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if args:
            return super().forward(self.zoo_before(args[0]), *args[1:], **kwargs)  # type: ignore[misc, attr-defined]
        name = self.zoo_input  # type: ignore[attr-defined]  # the first parameter, called by keyword
        if name in kwargs:
            kwargs = {**kwargs, name: self.zoo_before(kwargs[name])}  # type: ignore[attr-defined]
        return super().forward(**kwargs)  # type: ignore[misc]


class After(Mixin):
    """Runs `zoo_after` on the output."""

    what = What.INSERTED_AFTER
    child = "zoo_after"

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.zoo_after(super().forward(*args, **kwargs))  # type: ignore[misc, attr-defined]


def insert_before(model: nn.Module, path: str, layer: nn.Module) -> nn.Module:
    """Put a layer in front of the module at `path`. No key of the module changes; the layer's are `…zoo_before.N`.

    In front of a Sequential means in front of its first element, so that no index moves. Inserted twice, the later
    one comes first: it stands in front of the site as it then is.
    """
    return _insert(model, path, layer, Before, first=True)


def insert_after(model: nn.Module, path: str, layer: nn.Module) -> nn.Module:
    """Put a layer behind the module at `path`; the mirror image of `insert_before`."""
    return _insert(model, path, layer, After, first=False)


def _insert(model: nn.Module, path: str, layer: nn.Module, mixin: type, first: bool) -> nn.Module:
    check_layer(layer)
    module, path = _innermost(model, at(model, path), path, first)
    refuse_uncalled(model, module, path)
    refuse_mixin(module, path, mixin)
    refuse_cycle(layer, module, path)
    _no_fast_path(model, path)
    match(model, path, layer)
    name = mixin.child  # type: ignore[attr-defined]
    if mixin not in parts_of(type(module))[1]:
        add_mixin(module, mixin)
        module.add_module(name, nn.Sequential().train(module.training))
    sequence = getattr(module, name)
    sequence.add_module(number := free_number(sequence), layer)
    if first:
        move_to_front(sequence, number)
    return model


def _innermost(model: nn.Module, module: nn.Module, path: str, first: bool) -> tuple[nn.Module, str]:
    """The first or last element of a Sequential, which takes an insertion for it; any other module itself.

    A Sequential runs whatever is registered in it, so it can't hold a child of its own, and a new element would move
    the indices that other code uses.
    """
    while type(module) is nn.Sequential and (children := child_slots(module)):
        name = list(children)[0 if first else -1]
        element = children[name]
        if element is None or len(holders_of(model, element)) > 1:
            break  # where it stands in other places too, the insertion would run there as well
        module, path = element, join(path, name)
    return module, path


def _no_fast_path(model: nn.Module, path: str) -> None:
    """Inside a TransformerEncoderLayer: make it call its children in eval mode too.

    Its fast path computes with their weights and knows nothing of what they have become. Any hook switches it off.
    """
    for parent in (way_to(model, path) or [])[:-1]:
        if isinstance(parent, nn.TransformerEncoderLayer) and slow_path not in parent._forward_pre_hooks.values():
            parent.register_forward_pre_hook(slow_path)


def add(model: nn.Module, path: str, name: str | None, layer: nn.Module, first: bool = False) -> nn.Module:
    """Register a layer under the module at `path`, as its last or first child; whether it runs is up to that one.

    name: None for the next free number, as the elements of a Sequential have them.
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
    _no_fast_path(model, path)
    match(model, holder, layer)
    setattr(parent, name, layer)
    return model


def _empty_slots(module: nn.Module) -> list[str]:
    """The names under which a module could hold another one and holds None, registered or not."""
    own = [name for name, value in vars(module).items() if value is None and not name.startswith("_")]
    return [*own, *(name for name, child in child_slots(module).items() if child is None)]


def become(model: nn.Module, path: str, mixin: type, **state: Any) -> nn.Module:
    """Give the module at `path` a new class: the mixin over its own class. It stays the same object.

    mixin: a class with the methods to override, a subclass of `zoo.Mixin` or not. state: attributes to set on the
    module. The class can be pickled and copied as long as the mixin can be imported.
    """
    if not isinstance(mixin, type) or issubclass(mixin, nn.Module):
        raise OptionError(f"become takes a class that isn't an nn.Module itself, not {mixin!r}")
    module = at(model, path)
    for value in state.values():
        if isinstance(value, nn.Module):
            refuse_cycle(value, module, path)
    if "forward" in vars(mixin):
        refuse_uncalled(model, nn.Identity() if walks(module) else module, path)
        _no_fast_path(model, path)
    if mixin not in parts_of(type(module))[1]:
        refuse_mixin(module, path, mixin)
    add_mixin(module, mixin)
    for name, value in state.items():
        if isinstance(value, nn.Module):
            match(model, path, value)
        setattr(module, name, value)
    return model


def unbecome(model: nn.Module, path: str, mixin: type, *state: str) -> nn.Module:
    """Take a mixin off the module at `path` again, and the attributes named in `state`; the inverse of `become`."""
    module = at(model, path)
    if mixin not in parts_of(type(module))[1]:
        raise NotApplicableError(f"{format_place(path, type(module).__name__)} never became {mixin.__name__}")
    drop_mixin(module, mixin)
    for name in state:
        delattr(module, name)
    return model
