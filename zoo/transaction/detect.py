"""What a modifier really did: the model before and after, compared by the engine, not told by the modifier."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from itertools import accumulate
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ..surgery.changes import Change, What
from ..surgery.config import brief, compare_options, compare_order, same_make, tensor_text
from ..surgery.insert import Insertion
from ..surgery.mixins import parts_of
from ..surgery.placement import walks
from ..surgery.walk import CHILDREN, join
from .module_state import ModuleState
from .snapshot import Snapshot
from .tensor_state import TensorState

State = ModuleState | None


class Delta:
    """Two moments of one model, and what isn't the same in both by identity; all else is as it was.

    stayed: the modules of both that aren't quite what they were, each with its path and both states. moved: the paths
    where another module stands, or none any more, or one where none stood, each with the states of both.
    """

    def __init__(self, before: Snapshot, after: Snapshot) -> None:
        self.before, self.after = before, after
        old, new = before.states, after.states
        self.stayed: list[tuple[str, ModuleState, ModuleState]] = [
            (after.first[key], old[key], state) for key, state in new.items() if key in old and old[key] is not state
        ]
        paths = after.paths
        gone = [(path, module, paths.get(path)) for path, module in before.places if paths.get(path) is not module]
        came = [(path, None, module) for path, module in after.places if path not in before.paths]
        self.moved: list[tuple[str, State, State]] = [
            (path, None if was is None else old[id(was)], None if now is None else new[id(now)])
            for path, was, now in [*gone, *came]
        ]


def compare(delta: Delta, part: str) -> list[Change]:
    """What differs between two moments of one model, topmost places first, each once."""
    count = _Count(delta)
    return [*_structure(delta, part, count), *_settings(delta, part, count)]


class _Count:
    """The parameters that came and that went. Each counts once, where it first shows, in however many places it is.

    Most edits bring and take none, and then nothing is counted.
    """

    def __init__(self, delta: Delta) -> None:
        self._delta = delta

    @cached_property
    def _tables(self) -> tuple[dict[int, int], dict[int, int], frozenset[int]]:
        """The sizes of what came and of what went, each until it has been counted, and all that came."""
        before, after = _sizes(self._delta.before), _sizes(self._delta.after)
        came = {key: size for key, size in after.items() if key not in before}
        return came, {key: size for key, size in before.items() if key not in after}, frozenset(came)

    def is_new(self, tensors: Iterable[Tensor]) -> bool:
        return any(id(tensor) in self._tables[2] for tensor in tensors)

    def added(self, tensors: Iterable[Tensor]) -> int:
        return sum(self._tables[0].pop(id(tensor), 0) for tensor in tensors)

    def removed(self, tensors: Iterable[Tensor]) -> int:
        return sum(self._tables[1].pop(id(tensor), 0) for tensor in tensors)


def _sizes(snapshot: Snapshot) -> dict[int, int]:
    held = (tensor for state in snapshot.states.values() for tensor in state.held)
    return {id(tensor): tensor.numel() for tensor in held if isinstance(tensor, nn.Parameter) and not is_lazy(tensor)}


def _structure(delta: Delta, part: str, count: _Count) -> Iterator[Change]:
    """Modules that were replaced, added or removed; nothing below such a place is reported again."""
    pairs: dict[tuple[int, int], list[tuple[str, State, State]]] = {}
    for place in delta.moved:
        pairs.setdefault((id(place[1]), id(place[2])), []).append(place)
    tops: set[str] = set()
    texts: dict[Any, str] = {}
    for (path, old, new), *others in pairs.values():
        if not tops.isdisjoint(_above(path)):
            continue
        tops.add(path)
        if old is None and new is not None and (inserted := _insertions(path, delta.after)):
            for site, what, layer in inserted:
                yield Change(part, site, what, "", brief(layer), added=count.added(layer.parameters()))
            continue
        what = What.ADDED if old is None else What.REMOVED if new is None else What.REPLACED
        weights, weights_old = _weights(new), _weights(old)
        if old and new and old.cls is new.cls and not count.is_new(weights) and same_make(old.module, new.module):
            what = What.ALREADY
        was, now = ("" if state is None else _brief(state, texts) for state in (old, new))
        came, went = count.added(weights), count.removed(weights_old)
        aliases = tuple(alias for alias, *_ in others)
        yield Change(part, path, what, was, now, added=came, removed=went, aliases=aliases)


def _brief(state: ModuleState, known: dict[Any, str]) -> str:
    """A module in a line. Activations are alike by the dozen, and asking one for its options takes a while."""
    if state.containers or state.odd or not state.is_intact():
        return brief(state.module)
    key = (state.cls, state.others, *map(type, state.others))  # since True == 1
    if key not in known:
        known[key] = brief(state.module)
    return known[key]


def _above(path: str) -> Iterator[str]:
    """The root and every path on the way to a place."""
    if path:
        yield ""
        yield from accumulate(path.split(".")[:-1], join)


def _weights(state: State) -> list[nn.Parameter]:
    return [] if state is None or not state.containers else list(state.module.parameters())


def _insertions(path: str, after: Snapshot) -> list[tuple[str, What, nn.Module]]:
    """For what insertions added: the site that each serves, `inserted before` or `after`, and the layer itself.

    The first insertion at a site adds the holder `site.zoo_before`, a later one adds `site.zoo_before.N`.
    """
    names = path.split(".")
    for depth in (1, 2):
        site, name = ".".join(names[:-depth]), names[-depth] if depth <= len(names) else ""
        for mixin in parts_of(type(after.paths.get(site)))[1]:
            if issubclass(mixin, Insertion) and mixin.child == name:
                added = after.paths[path]
                layers = list(added.children()) if depth == 1 else [added]
                return [(site, mixin.what, layer) for layer in layers]
    return []


def _settings(delta: Delta, part: str, count: _Count) -> Iterator[Change]:
    """What changed on modules that stayed: class, public configuration, tensors, hooks."""
    for path, old, new in delta.stayed:
        others = delta.after.aliases.get(id(new.module), [path])[1:]
        for change in _on_module(path, old, new, part, count):
            aliases = tuple(f"{other}{change.path.removeprefix(path)}" for other in others)
            yield replace(change, aliases=aliases) if aliases else change


def _on_module(path: str, old: ModuleState, new: ModuleState, part: str, count: _Count) -> Iterator[Change]:
    """What changed on one module."""
    yield from _class_change(path, old, new, part)
    yield from _order_change(path, old, new, part)
    if not old.is_set_like(new):
        children = {**old.content(CHILDREN), **new.content(CHILDREN)}
        for key, was, now in compare_options(old.config(), new.config(), old.cls is new.cls, children):
            yield Change(part, path, key, was, now)
    for name in dict.fromkeys([*old.tensors, *new.tensors]):
        yield from _tensor_change(path, name, old.tensors.get(name), new.tensors.get(name), part, count)
    yield from _hook_changes(path, old.hooks(), new.hooks(), part)


def _hook_changes(path: str, had: Mapping[int, Any], has: Mapping[int, Any], part: str) -> Iterator[Change]:
    for number in dict.fromkeys([*had, *has]):
        if had.get(number) is not has.get(number):
            hook = has.get(number) or had[number]
            done = What.HOOK_ADDED if number in has else What.HOOK_REMOVED
            yield Change(part, path, done, after=getattr(hook, "__qualname__", type(hook).__name__))


def _order_change(path: str, old: ModuleState, new: ModuleState, part: str) -> Iterator[Change]:
    """The order in which a container runs what it held before and goes on holding."""
    if walks(new.module) and (texts := compare_order(old.content(CHILDREN), new.content(CHILDREN))):
        yield Change(part, path, What.ORDER, *texts)


def _class_change(path: str, old: ModuleState, new: ModuleState, part: str) -> Iterator[Change]:
    if old.cls is new.cls:
        return
    (base, had), (base_now, has) = parts_of(old.cls), parts_of(new.cls)
    if base is not base_now:
        yield Change(part, path, What.CLASS, base.__name__, base_now.__name__)
    for mixin in has:
        if mixin not in had and not issubclass(mixin, Insertion):  # an insertion shows by the child that it added
            yield Change(part, path, What.BECAME, base.__name__, f"{mixin.__name__}({base.__name__})")
    for mixin in had:
        if mixin not in has:
            yield Change(part, path, What.NO_LONGER, f"{mixin.__name__}({base.__name__})", base.__name__)


def _tensor_change(
    path: str, name: str, old: TensorState | None, new: TensorState | None, part: str, count: _Count
) -> Iterator[Change]:
    at = join(path, name)
    if old is None or new is None or old.tensor is not new.tensor:
        what = What.REPLACED if old and new else What.ADDED if new else What.REMOVED
        came, went = count.added([new.tensor] if new else []), count.removed([old.tensor] if old else [])
        yield Change(part, at, what, shape_of(old), shape_of(new), added=came, removed=went)
        return
    if old.requires_grad != new.requires_grad:
        yield Change(part, at, What.REQUIRES_GRAD, str(old.requires_grad), str(new.requires_grad))
    if old.version != new.version or old.shape != new.shape:
        yield Change(part, at, What.VALUES, shape_of(old), shape_of(new))
    yield from _hook_changes(at, old.hooks(), new.hooks(), part)


def shape_of(state: TensorState | None) -> str:
    """Dtype and sizes of a tensor, as a change shows them; empty for one that isn't there."""
    return "" if state is None else tensor_text(state)
