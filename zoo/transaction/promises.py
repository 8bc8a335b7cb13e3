"""The promises that every modifier makes, held against what one did: names, ties, class, modes, devices, hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

from ..messages.errors import PluginError
from ..messages.text import format_place
from ..surgery.config import PLAIN, TORCHS_OWN
from ..surgery.mixins import parts_of
from ..surgery.walk import NON_PERSISTENT, child_slots, join, parent_path
from .detect import Snapshot
from .states import untouched


def broken_promise(before: Snapshot, after: Snapshot, name: str) -> PluginError | None:
    """The first promise of every modifier that this one broke, if any."""
    for promise, broken in _PROMISES:
        if problem := broken(before, after):
            error = PluginError(f"modifier '{name}' {problem}")
            error.promise = promise
            return error
    return None


def _renamed(before: Snapshot, after: Snapshot) -> str | None:
    old, new = before.tensors, after.tensors
    names_now: dict[int, list[str]] = {}
    for name, state in new.items():
        names_now.setdefault(id(state.tensor), []).append(name)
    for name, state in old.items():
        now = names_now.get(id(state.tensor), [])
        if now and name not in new and not any(n in old and old[n].tensor is state.tensor for n in now):
            return (
                f"renamed '{name}' to '{now[0]}', so that checkpoints of the base no longer fit; "
                "zoo.insert_before, zoo.insert_after and zoo.become leave every name as it is"
            )
    return None


def _persistence(before: Snapshot, after: Snapshot) -> str | None:
    """Buffers that stay, but came into the state dict or went out of it."""
    for path, module in after.paths.items():
        old, new = before.states.get(id(module)), after.states[id(module)]
        if old is None or untouched(old, new):
            continue
        was, now = (state.containers[NON_PERSISTENT] for state in (old, new))
        if moved := (was ^ now) & old.tensors.keys() & new.tensors.keys():
            name = min(moved)
            took = "put {} into" if name in was else "took {} out of"
            full = join(path, name)
            return f"{took.format(repr(full))} the state dict, so that checkpoints of the base no longer fit"
    return None


def _untied(before: Snapshot, after: Snapshot) -> str | None:
    old, new = before.tensors, after.tensors
    groups: dict[int, list[str]] = {}
    for name, state in old.items():
        groups.setdefault(id(state.tensor), []).append(name)
    for names in groups.values():
        held = [n for n in names if n in new and _holder(before, n) is _holder(after, n)]
        if len({id(new[n].tensor) for n in held}) > 1:
            return f"untied {' and '.join(repr(n) for n in held)}, which were one tensor"
    shared: dict[int, list[str]] = {}
    for path, module in before.paths.items():
        shared.setdefault(id(module), []).append(path)
    for paths in shared.values():
        now = [after.paths[p] for p in paths if p in after.paths and _holder(before, p) is _holder(after, p)]
        if len({id(m) for m in now}) > 1:
            return f"replaced a shared module in one of its places only: {', '.join(paths)}; use zoo.replace"
    return None


def _holder(snapshot: Snapshot, name: str) -> nn.Module | None:
    return snapshot.paths.get(parent_path(name))


def _other_class(before: Snapshot, after: Snapshot) -> str | None:
    old, new = before.root, after.root
    # Of the base alone: what it became are mixins over it, side by side and not one above the other.
    base = parts_of(before.state("").cls)[0]
    if (old is new or child_slots(old)) and not isinstance(new, base):
        return f"returned a {type(new).__name__} for a {type(old).__name__}; a variant stays of its base's class"
    return None


def _disturbed(before: Snapshot, after: Snapshot) -> str | None:
    """Mode, device, dtype and hooks of what stayed. A module that became something else may hold its own mode."""
    for path, module in after.paths.items():
        old, new = before.states.get(id(module)), after.states[id(module)]
        if old is None or untouched(old, new):
            continue
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


def _half_swapped(before: Snapshot, after: Snapshot) -> str | None:
    """A module that was replaced, but that some attribute outside the module tree still holds and may go on calling."""
    gone = {id(m): m for m in before.paths.values()} if len(before.states) else {}
    for module in after.paths.values():
        gone.pop(id(module), None)
    if not gone:
        return None
    for path, module in after.paths.items():
        for key, value in vars(module).items():
            if key in TORCHS_OWN or isinstance(value, PLAIN):
                continue
            if any(id(item) in gone for item in _items(value)):
                return (
                    f"replaced a module that the attribute '{key}' of '{path or type(module).__name__}' still holds "
                    "outside the module tree, so that a forward would go on using the old one"
                )
    return None


def _items(value: Any, above: tuple[int, ...] = ()) -> Iterator[Any]:
    """What a plain container holds, all the way down; one that holds itself is gone through once."""
    if not isinstance(value, (list, tuple, set, frozenset, dict)):
        yield value
    elif id(value) not in above:
        for item in value.values() if isinstance(value, dict) else value:
            yield from _items(item, (*above, id(value)))


_PROMISES: tuple[tuple[str, Callable[[Snapshot, Snapshot], str | None]], ...] = (
    ("names", _renamed),
    ("names", _persistence),
    ("sharing", _untied),
    ("state", _other_class),
    ("state", _disturbed),
    ("sharing", _half_swapped),
)
