"""Two models held against each other, place by place: structure, options, shapes, ties, and what a hand may do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torch.nn.parameter import is_lazy

from ..messages.render import format_counts, row
from ..surgery.config import brief, compare_options, compare_order, config_of, shape_text, tell_apart
from ..surgery.mixins import class_name, parts_of
from ..surgery.placement import users, walks
from ..surgery.walk import below, child_slots, join, parameters_of, places, tensors_by_name, tensors_of
from ..trace.flops import own_flops

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
        return format_counts(max(self.parameters, 0), max(-self.parameters, 0), self.flops)


def compare_models(
    a: nn.Module, b: nn.Module, flops: tuple[Mapping[str, int], Mapping[str, int]]
) -> Iterator[Difference]:
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
            found = list(_compare_modules(path, one[path], two[path]))
            more = own[1][path] - own[0][path]
            # It belongs to the first shape that differs, if any does.
            heaviest = max(range(len(found)), key=lambda i: abs(found[i].parameters), default=None)
            yield from (replace(d, flops=more * (i == heaviest) if known else None) for i, d in enumerate(found))
            continue
        lone.append(path)
        module, sign, what = (one[path], -1, "only in a") if path in one else (two[path], 1, "only in b")
        count = sign * flops[path in two].get(path, 0) if known else None
        size = sign * _size(module.parameters())
        texts = ("", brief(module)) if path in two else (brief(module), "")
        yield Difference(path, what, *texts, parameters=size, flops=count)
    yield from _compare_ties(a, b)


def _compare_ties(a: nn.Module, b: nn.Module) -> Iterator[Difference]:
    """Parameters and buffers of both that are one tensor in one model and several in the other."""
    sides = [{name: id(t) for name, t in tensors_by_name(model).items()} for model in (a, b)]
    common = [name for name in sides[0] if name in sides[1]]
    first: list[dict[int, str]] = [{}, {}]
    for name in common:
        before, after = (seen.setdefault(side[name], name) for seen, side in zip(first, sides, strict=True))
        if before != after:
            texts = ["nothing" if other == name else other for other in (before, after)]
            yield Difference(name, "tied to", texts[0], texts[1])


def _compare_modules(path: str, a: nn.Module, b: nn.Module) -> Iterator[Difference]:
    """What differs between two modules that stand in the same place, in themselves and not in their children."""
    (one, above), (two, mixins) = parts_of(type(a)), parts_of(type(b))
    another = class_name(one) != class_name(two)
    same_class = not another and [*map(class_name, above)] == [*map(class_name, mixins)]
    if not same_class:
        size = _size(b.parameters(recurse=False)) - _size(a.parameters(recurse=False)) if another else 0
        yield Difference(path, "class", *_name_apart(a, b), parameters=size)
    if another:
        return
    if walks(a) and (orders := compare_order(child_slots(a), child_slots(b))):
        yield Difference(path, "order", *orders)
    children = {**child_slots(a), **child_slots(b)}
    for key, before, after in compare_options(_plain_options(a), _plain_options(b), same_class, children):
        yield Difference(path, key, before, after)
    yield from _compare_handiwork(path, a, b)
    olds, news = tensors_of(a), tensors_of(b)
    for name in dict.fromkeys([*olds, *news]):
        before, after = (shape_text(side[name]) if name in side else "none" for side in (olds, news))
        if before != after:
            sizes = [_size(parameter for key, parameter in parameters_of(m).items() if key == name) for m in (a, b)]
            yield Difference(path, name, before, after, parameters=sizes[1] - sizes[0])


def _size(parameters: Iterable[nn.Parameter]) -> int:
    return sum(p.numel() for p in parameters if not is_lazy(p))


def _compare_handiwork(path: str, a: nn.Module, b: nn.Module) -> Iterator[Difference]:
    """What changes a model and shows in no option and no shape: its own forward, hooks on it, what is trained."""
    before, after = ("its own" if "forward" in vars(module) else "its class's" for module in (a, b))
    if before != after:
        yield Difference(path, "forward", before, after)
    before, after = (", ".join(_forward_hooks(module)) or "none" for module in (a, b))
    if before != after:
        yield Difference(path, "forward hooks", before, after)
    others = tensors_of(b)
    for name, tensor in tensors_of(a).items():
        if name in others and tensor.requires_grad != others[name].requires_grad:
            texts = str(tensor.requires_grad), str(others[name].requires_grad)
            yield Difference(join(path, name), "requires_grad", *texts)


def _forward_hooks(module: nn.Module) -> list[str]:
    """The users' hooks that a forward runs; those on a backward compute nothing that a model gives."""
    hooks = (vars(module).get(name, {}) for name in ("_forward_pre_hooks", "_forward_hooks"))
    return [getattr(h, "__qualname__", type(h).__name__) for kind in hooks for h in kind.values() if users(h)]


def _name_apart(a: nn.Module, b: nn.Module) -> tuple[str, str]:
    """Two modules of different classes in words that differ: their options too, where nothing is in them."""
    ways: list[Callable[[nn.Module], str]] = [_short_name, lambda module: class_name(parts_of(type(module))[0])]
    return tell_apart(a, b, ways if child_slots(a) or child_slots(b) else [brief, *ways])


def _short_name(module: nn.Module) -> str:
    base, mixins = parts_of(type(module))
    return f"{base.__name__} with {', '.join(m.__name__ for m in mixins)}" if mixins else base.__name__


def _plain_options(module: nn.Module) -> dict[str, Any]:
    """Options that say something: plain values. Functions and objects of two builds are never the same."""
    return {key: value for key, value in config_of(vars(module)).items() if _is_plain(value)}


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return isinstance(value, (int, float, str, bool, type(None)))
