"""Two models held against each other, place by place: structure, options, shapes, ties, and what a hand may do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

from ..messages.render import counted, row
from ..surgery.mixins import class_name, parts_of
from ..surgery.placement import users, walks
from ..surgery.provenance import KEY
from ..surgery.walk import below, child_slots, join, named_tensors, parameter_slots, places
from ..trace.flops import own_flops
from ..transaction.detect import brief
from ..transaction.states import ModuleState, same

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Difference:
    """One place where two models differ. `what`: `only in a`, `only in b`, `class`, the name of an option, a shape.

    parameters, flops: how many more (or less) `b` has at this place, where that is what differs; flops are those of one
    sample input, and None if unknown.
    """

    path: str
    what: str
    before: str = ""
    after: str = ""
    parameters: int = 0
    flops: int | None = None

    def __str__(self) -> str:
        return row([self.path], self.words + self.counts).text

    @property
    def words(self) -> str:
        """The difference without its place and its counts."""
        if self.what == "class":
            return f"{self.before} → {self.after}"
        if self.what.startswith("only"):
            return f"{self.before or self.after}, {self.what}"
        return f"{self.what} {self.before} → {self.after}"

    @property
    def counts(self) -> str:
        return counted(max(self.parameters, 0), max(-self.parameters, 0), self.flops)


def compared(a: nn.Module, b: nn.Module, flops: tuple[Mapping[str, int], Mapping[str, int]]) -> Iterator[Difference]:
    """Places in the order of `a`, then what only `b` has; nothing below a place that only one has.

    flops: of each, at each path; empty where they aren't known.
    """
    one, two = dict(places(a)), dict(places(b))
    known = all(flops)
    own = own_flops(a, flops[0]), own_flops(b, flops[1])
    lone: list[str] = []
    for path in dict.fromkeys([*one, *two]):
        if any(below(path, top) for top in lone):
            continue
        if path in one and path in two:
            found = list(_at_place(path, one[path], two[path]))
            more = own[1][path] - own[0][path]
            # It belongs to the first shape that differs, if any does.
            heaviest = max(range(len(found)), key=lambda i: abs(found[i].parameters), default=None)
            yield from (replace(d, flops=more * (i == heaviest) if known else None) for i, d in enumerate(found))
            continue
        lone.append(path)
        module, sign, what = (one[path], -1, "only in a") if path in one else (two[path], 1, "only in b")
        count = sign * flops[path in two].get(path, 0) if known else None
        size = sign * sum(p.numel() for p in module.parameters())
        texts = ("", brief(module)) if path in two else (brief(module), "")
        yield Difference(path, what, *texts, parameters=size, flops=count)
    yield from _ties(a, b)


def _ties(a: nn.Module, b: nn.Module) -> Iterator[Difference]:
    """Parameters and buffers of both that are one tensor in one model and several in the other."""
    sides = [{name: id(t) for name, t in named_tensors(model).items()} for model in (a, b)]
    common = [name for name in sides[0] if name in sides[1]]
    first: list[dict[int, str]] = [{}, {}]
    for name in common:
        before, after = (seen.setdefault(side[name], name) for seen, side in zip(first, sides, strict=True))
        if before != after:
            texts = ["nothing" if other == name else other for other in (before, after)]
            yield Difference(name, "tied to", texts[0], texts[1])


def _at_place(path: str, a: nn.Module, b: nn.Module) -> Iterator[Difference]:
    kinds = [tuple(map(class_name, (base, *mixins))) for base, mixins in (parts_of(type(m)) for m in (a, b))]
    if kinds[0] != kinds[1]:
        another = kinds[0][0] != kinds[1][0]
        size = _own_size(b) - _own_size(a) if another else 0
        yield Difference(path, "class", *_told_apart(a, b), parameters=size)
        if another:
            return
    yield from _reordered(path, a, b)
    one, two = ModuleState.of(a), ModuleState.of(b)
    was, now = _options(one.config()), _options(two.config())
    for key in dict.fromkeys([*was, *now]):
        if kinds[0] != kinds[1] and key.startswith("zoo_"):
            continue  # the state of what it became
        if key not in was or key not in now or not same(was[key], now[key]):
            yield Difference(path, key, repr(was.get(key, "unset")), repr(now.get(key, "unset")))
    yield from _by_hand(path, one, two)
    for name in dict.fromkeys([*one.tensors, *two.tensors]):
        shapes = [list(state.tensors[name].shape) if name in state.tensors else None for state in (one, two)]
        if shapes[0] != shapes[1]:
            before, after = ("none" if shape is None else str(shape) for shape in shapes)
            sizes = [
                prod(shape or [0]) if name in parameter_slots(m) else 0 for shape, m in zip(shapes, (a, b), strict=True)
            ]
            yield Difference(path, name, before, after, parameters=sizes[1] - sizes[0])


def _reordered(path: str, a: nn.Module, b: nn.Module) -> Iterator[Difference]:
    """The elements that both containers have, in another order: that of their calls."""
    if walks(a):
        orders = [[name for name in child_slots(m) if name in child_slots(other)] for m, other in ((a, b), (b, a))]
        if orders[0] != orders[1]:
            yield Difference(path, "order", ", ".join(orders[0]), ", ".join(orders[1]))


def _by_hand(path: str, a: ModuleState, b: ModuleState) -> Iterator[Difference]:
    """What changes a model and shows in no option and no shape: its own forward, hooks on it, what is trained."""
    before, after = ("its own" if "forward" in state.attributes else "its class's" for state in (a, b))
    if before != after:
        yield Difference(path, "forward", before, after)
    before, after = (", ".join(_forward_hooks(state)) or "none" for state in (a, b))
    if before != after:
        yield Difference(path, "forward hooks", before, after)
    for name, tensor in a.tensors.items():
        other = b.tensors.get(name)
        if other and tensor.requires_grad != other.requires_grad:
            at = join(path, name)
            yield Difference(at, "requires_grad", str(tensor.requires_grad), str(other.requires_grad))


def _own_size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters(recurse=False))


def _forward_hooks(state: ModuleState) -> list[str]:
    """The users' hooks that a forward runs; those on a backward compute nothing that a model gives."""
    hooks = (state.containers.get(name, {}) for name in ("_forward_pre_hooks", "_forward_hooks"))
    return [getattr(h, "__qualname__", type(h).__name__) for kind in hooks for h in kind.values() if users(h)]


def _told_apart(a: nn.Module, b: nn.Module) -> tuple[str, str]:
    """Two modules of different classes in words that differ."""
    ways: list[Callable[[nn.Module], str]] = [_kind, lambda module: class_name(parts_of(type(module))[0])]
    if not child_slots(a) and not child_slots(b):
        ways.insert(0, brief)
    told = [(way(a), way(b)) for way in ways]
    return next((pair for pair in told if pair[0] != pair[1]), told[-1])


def _kind(module: nn.Module) -> str:
    base, mixins = parts_of(type(module))
    return f"{base.__name__} with {', '.join(m.__name__ for m in mixins)}" if mixins else base.__name__


def _options(config: Mapping[str, Any]) -> dict[str, Any]:
    """Options that say something: plain values. Functions and objects of two builds are never the same."""
    plain = (int, float, str, bool, type(None), list, tuple)
    return {k: v for k, v in config.items() if isinstance(v, plain) and k != KEY and not _has_objects(v)}


def _has_objects(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(map(_has_objects, value))
    return not isinstance(value, (int, float, str, bool, type(None)))
