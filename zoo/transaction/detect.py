"""What a modifier really did: the model before and after, compared by the engine, not told by the modifier.

A `Snapshot` holds references and shallow copies. From two of them come the list of changes and the promises that were
broken, and from one the way back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

from torch import Tensor, nn

from ..surgery.changes import Change, What
from ..surgery.config import brief, compare_options, compare_order, same_make, tensor_text
from ..surgery.mixins import parts_of
from ..surgery.placement import walks
from ..surgery.walk import CHILDREN, join, places
from .states import ModuleState, TensorState, sized, untouched


class Snapshot:
    """A model at one moment."""

    def __init__(self, model: nn.Module) -> None:
        self.root = model
        self.paths: dict[str, nn.Module] = dict(places(model))
        self.states = {id(m): ModuleState.of(m) for m in self.paths.values()}
        self.first: dict[int, str] = {}
        for path, module in self.paths.items():
            self.first.setdefault(id(module), path)

    def state(self, path: str) -> ModuleState:
        return self.states[id(self.paths[path])]

    @cached_property
    def tensors(self) -> dict[str, TensorState]:
        """Every name of every parameter and buffer, the second names of tied ones too."""
        return {join(path, name): state for path in self.paths for name, state in self.state(path).tensors.items()}

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """Parameters by name, the second names of tied ones too."""
        return {n: state.tensor for n, state in self.tensors.items() if isinstance(state.tensor, nn.Parameter)}

    def restore(self) -> nn.Module:
        """Put all modules back, but not what was written into tensors, and return the old root."""
        for state in self.states.values():
            state.restore()
        return self.root


def compare(before: Snapshot, after: Snapshot, part: str) -> list[Change]:
    """What differs between two moments of one model, topmost places first, each once."""
    count = _Count(before, after)
    return [*_structure(before, after, part, count), *_settings(before, after, part, count)]


class _Count:
    """The parameters that came and that went. Each counts once, where it first shows, in however many places it is."""

    def __init__(self, before: Snapshot, after: Snapshot) -> None:
        old, new = _sizes(before), _sizes(after)
        self.new = new.keys() - old.keys()
        self._came = {key: new[key] for key in self.new}
        self._went = {key: size for key, size in old.items() if key not in new}

    def added(self, tensors: Iterable[Tensor]) -> int:
        return sum(self._came.pop(id(tensor), 0) for tensor in tensors)

    def removed(self, tensors: Iterable[Tensor]) -> int:
        return sum(self._went.pop(id(tensor), 0) for tensor in tensors)


def _sizes(snapshot: Snapshot) -> dict[int, int]:
    held = [state.tensor for state in snapshot.tensors.values()]
    return {id(tensor): tensor.numel() for tensor in held if isinstance(tensor, nn.Parameter) and sized(tensor)}


def _structure(before: Snapshot, after: Snapshot, part: str, count: _Count) -> Iterator[Change]:
    """Modules that were replaced, added or removed; nothing below such a place is reported again."""
    pairs: dict[tuple[int, int], list[str]] = {}
    for path in dict.fromkeys([*before.paths, *after.paths]):
        old, new = before.paths.get(path), after.paths.get(path)
        if old is not new:
            pairs.setdefault((id(old), id(new)), []).append(path)
    done: list[str] = []
    for path, *aliases in pairs.values():
        if any(path.startswith(top) for top in done):
            continue
        done.append(f"{path}." if path else "")
        old, new = before.paths.get(path), after.paths.get(path)
        if old is None and new is not None and (inserted := _insertions(path, after)):
            for site, what, layer in inserted:
                yield Change(part, site, what, "", brief(layer), added=count.added(layer.parameters()))
            continue
        what = What.ADDED if old is None else What.REMOVED if new is None else What.REPLACED
        text_old, text_new = "" if old is None else brief(old), "" if new is None else brief(new)
        weights, weights_old = ([] if module is None else [*module.parameters()] for module in (new, old))
        settled = not any(id(weight) in count.new for weight in weights)
        if settled and old is not None and new is not None and same_make(old, new):
            what = What.ALREADY
        yield Change(
            part,
            path,
            what,
            text_old,
            text_new,
            added=count.added(weights),
            removed=count.removed(weights_old),
            aliases=tuple(aliases),
        )


def _insertions(path: str, after: Snapshot) -> list[tuple[str, What, nn.Module]]:
    """For what insertions added: the site that each serves, `inserted before` or `after`, and the layer itself.

    The first insertion at a site adds the holder `site.zoo_before`, a later one adds `site.zoo_before.N`.
    """
    names = path.split(".")
    for depth in (1, 2):
        site, name = ".".join(names[:-depth]), names[-depth] if depth <= len(names) else ""
        for mixin in parts_of(type(after.paths.get(site)))[1]:
            if getattr(mixin, "child", None) == name:
                added = after.paths[path]
                layers = list(added.children()) if depth == 1 else [added]
                return [(site, mixin.what, layer) for layer in layers]  # type: ignore[attr-defined]
    return []


def _settings(before: Snapshot, after: Snapshot, part: str, count: _Count) -> Iterator[Change]:
    """What changed on modules that stayed: class, public configuration, tensors, hooks."""
    for path, module in after.paths.items():
        if after.first[id(module)] != path or id(module) not in before.states:
            continue
        old, new = before.states[id(module)], after.states[id(module)]
        if untouched(old, new):
            continue
        others = [other for other, shared in after.paths.items() if shared is module and other != path]
        for change in _on_module(path, old, new, part, count):
            aliases = (f"{other}{change.path.removeprefix(path)}" for other in others)
            yield replace(change, aliases=tuple(aliases))


def _on_module(path: str, old: ModuleState, new: ModuleState, part: str, count: _Count) -> Iterator[Change]:
    """What changed on one module."""
    yield from _class_change(path, old, new, part)
    yield from _order_change(path, old, new, part)
    children = {**old.containers[CHILDREN], **new.containers[CHILDREN]}
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
    if walks(new.module) and (texts := compare_order(old.containers[CHILDREN], new.containers[CHILDREN])):
        yield Change(part, path, What.ORDER, *texts)


def _class_change(path: str, old: ModuleState, new: ModuleState, part: str) -> Iterator[Change]:
    if old.cls is new.cls:
        return
    (base, had), (base_now, has) = parts_of(old.cls), parts_of(new.cls)
    if base is not base_now:
        yield Change(part, path, What.CLASS, base.__name__, base_now.__name__)
    for mixin in has:
        if mixin not in had and not hasattr(mixin, "child"):  # an insertion shows by the child that it added
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
    return "" if state is None else tensor_text(state)
