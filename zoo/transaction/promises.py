"""The promises that every modifier makes, held against what one did: names, ties, class, modes, devices, hooks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Set
from typing import Any

from torch import Tensor

from ..messages.errors import PluginError
from ..messages.text import format_place
from ..registry.declarations import Modifier
from ..surgery.config import PLAIN, TORCHS_OWN
from ..surgery.mixins import parts_of
from ..surgery.walk import NON_PERSISTENT, child_slots, join, parent_path
from .detect import Delta
from .module_state import ModuleState


def find_broken_promise(delta: Delta, name: str) -> PluginError | None:
    """The first promise of every modifier that this one broke, if any."""
    for promise, broken in _PROMISES:
        if problem := broken(delta):
            error = PluginError(f"modifier '{name}' {problem}")
            error.promise = promise
            return error
    return None


def find_broken_effect(delta: Delta, modifier: Modifier) -> PluginError | None:
    """What a modifier did to the names in the state dict, where it declares that it does no such thing."""
    keys = modifier.effects.keys
    came = None if keys in ("add", "change") else _gain(delta, forwards=True)
    went = None if keys in ("remove", "change") else _gain(delta, forwards=False)
    if came is None and went is None:
        return None
    done = f"added '{came}'" if came is not None else f"took '{went}' away"
    error = PluginError(f"modifier '{modifier.name}' declares keys='{keys}', and {done}")
    error.promise = "effects"
    return error


def _gain(delta: Delta, forwards: bool) -> str | None:
    """A name in the state dict that one of the two moments has and the other hasn't, if there is one."""
    sides = [(path, old, new) if forwards else (path, new, old) for path, old, new in [*delta.moved, *delta.stayed]]
    had = {join(path, name) for path, old, _ in sides for name in _state_names(old)}
    return next(
        (full for path, _, new in sides for name in _state_names(new) if (full := join(path, name)) not in had), None
    )


def _state_names(state: ModuleState | None) -> Iterator[str]:
    """The names of a module's own tensors that a state dict has."""
    if state is not None and state.held:
        hidden = state.slots(NON_PERSISTENT)
        yield from (name for name in state.tensors if name not in hidden)


def _find_renamed(delta: Delta) -> str | None:
    lost = {join(path, n): t for path, old, new in delta.moved if old for n, t in _list_lost(old, new)}
    lost |= {join(path, n): t for path, old, new in delta.stayed for n, t in _list_lost(old, new)}
    if not lost:
        return None
    old, new = delta.before.tensors, delta.after.tensors
    names_now: dict[int, list[str]] = {}
    for name, state in new.items():
        names_now.setdefault(id(state.tensor), []).append(name)
    for name in old:
        tensor = lost.get(name)
        now = names_now.get(id(tensor), [])
        if tensor is not None and now and not any(n in old and old[n].tensor is tensor for n in now):
            return (
                f"renamed '{name}' to '{now[0]}', so that checkpoints of the base no longer fit; "
                "zoo.insert_before, zoo.insert_after and zoo.become leave every name as it is"
            )
    return None


def _list_lost(old: ModuleState, new: ModuleState | None) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a module whose names are no longer at its place."""
    if old.held:
        names: Collection[str] = new.tensors if new else ()
        yield from ((name, state.tensor) for name, state in old.tensors.items() if name not in names)


def _find_unpersisted(delta: Delta) -> str | None:
    """Buffers that stay, but came into the state dict or went out of it."""
    for path, old, new in delta.stayed:
        if not old.held:
            continue
        was, now = (state.slots(NON_PERSISTENT) for state in (old, new))
        if moved := (was ^ now) & old.tensors.keys() & new.tensors.keys():
            name = min(moved)
            took = "put {} into" if name in was else "took {} out of"
            full = join(path, name)
            return f"{took.format(repr(full))} the state dict, so that checkpoints of the base no longer fit"
    return None


def _find_untied(delta: Delta) -> str | None:
    """One of several names of a tensor, or of a module, that holds another one by now."""
    before, after = delta.before, delta.after
    swapped = {
        id(state.tensor)
        for _, old, new in delta.stayed
        for name, state in (old.tensors.items() if old.held else ())
        if name in new.tensors and new.tensors[name].tensor is not state.tensor
    }
    groups: dict[int, list[str]] = {}
    for name, state in before.tensors.items() if swapped else ():
        if id(state.tensor) in swapped:
            groups.setdefault(id(state.tensor), []).append(name)
    for names in groups.values():
        held = [n for n in names if n in after.tensors and _stays(delta, n)]
        if len({id(after.tensors[n].tensor) for n in held}) > 1:
            return f"untied {' and '.join(repr(n) for n in held)}, which were one tensor"
    for paths in before.aliases.values():
        now = [after.paths[p] for p in paths if p in after.paths and _stays(delta, p)]
        if len({id(m) for m in now}) > 1:
            return f"replaced a shared module in one of its places only: {', '.join(paths)}; use zoo.replace"
    return None


def _stays(delta: Delta, name: str) -> bool:
    """Whether what holds a place is the same module in both."""
    holder = parent_path(name)
    return delta.before.paths.get(holder) is delta.after.paths.get(holder)


def _find_other_class(delta: Delta) -> str | None:
    old, new = delta.before.root, delta.after.root
    # Of the base alone: what it became are mixins over it, side by side and not one above the other.
    base = parts_of(delta.before.state("").cls)[0]
    if (old is new or child_slots(old)) and not isinstance(new, base):
        return f"returned a {type(new).__name__} for a {type(old).__name__}; a variant stays of its base's class"
    return None


def _find_disturbed(delta: Delta) -> str | None:
    """Mode, device, dtype and hooks of what stayed. A module that became something else may hold its own mode."""
    for path, old, new in delta.stayed:
        place = format_place(path, root="the model")
        mode, mode_now = old.training, new.training
        if mode != mode_now and old.cls is new.cls:
            words = {True: "train", False: "eval"}
            return f"left {place} in {words[mode_now]} mode; it was in {words[mode]} mode"
        if gone := [h for k, h in old.hooks().items() if k not in new.hooks()]:
            return f"removed the hook {_name(gone[0])!r} from {place}"
        for name, state in old.tensors.items():
            now = new.tensors.get(name)
            if now is None:
                continue
            if now.tensor is state.tensor and (gone := [h for k, h in state.hooks().items() if k not in now.hooks()]):
                return f"removed the hook {_name(gone[0])!r} from '{name}' of {place}"
            if now.device != state.device or (now.tensor is state.tensor and now.dtype != state.dtype):
                return f"moved '{name}' of {place} from {state.dtype} on {state.device} to {now.dtype} on {now.device}"
    return None


def _name(hook: Any) -> Any:
    return getattr(hook, "__qualname__", hook)


def _find_half_swapped(delta: Delta) -> str | None:
    """A module that was replaced, but that some attribute outside the module tree still holds and may go on calling."""
    gone = delta.before.states.keys() - delta.after.states.keys()
    if not gone:
        return None
    for key, state in delta.after.states.items():
        if any(_holds(value, gone) for value in state.odd):
            attribute = next(k for k, v in state.attributes.items() if k not in TORCHS_OWN and _holds(v, gone))
            place = delta.after.first[key] or state.cls.__name__
            return (
                f"replaced a module that the attribute '{attribute}' of '{place}' still holds "
                "outside the module tree, so that a forward would go on using the old one"
            )
    return None


def _holds(value: Any, wanted: Set[int], above: tuple[int, ...] = ()) -> bool:
    """Whether a value is one of these, or a plain container that holds one, however deep."""
    if not isinstance(value, (list, tuple, set, frozenset, dict)):
        return id(value) in wanted
    if id(value) in above:
        return False
    items = value.values() if isinstance(value, dict) else value
    inside = (*above, id(value))
    return any(type(item) not in PLAIN and _holds(item, wanted, inside) for item in items)


_PROMISES: tuple[tuple[str, Callable[[Delta], str | None]], ...] = (
    ("names", _find_renamed),
    ("names", _find_unpersisted),
    ("sharing", _find_untied),
    ("state", _find_other_class),
    ("state", _find_disturbed),
    ("sharing", _find_half_swapped),
)
