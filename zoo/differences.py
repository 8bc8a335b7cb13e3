"""What differs between two models: values first, then the tree that a person reads.

`diff` takes specs and models; specs are built on the meta device. `verify` holds a model against its own spec.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

import torch

from .accounts import own_flops
from .blueprint import sample_input
from .checkpoint import differs, load
from .errors import OptionError, ZooError
from .factory import create, spec_of
from .flops import flops_by_path
from .headers import is_file
from .info import KEY, info_of
from .manifest import RESERVED, read
from .mixins import parts_of
from .planning import plan_of
from .record import brief
from .registry import Registry, default_registry
from .spec import Spec
from .states import ModuleState, same
from .trees import Branch, as_html, as_rich, as_text, capped, counted, fold, row
from .walker import places
from .wrappers import unwrapped

if TYPE_CHECKING:
    from rich.tree import Tree
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


@dataclass(frozen=True)
class Side:
    """One of the two that are compared, with its totals; flops of one sample input, None if unknown."""

    name: str
    parameters: int
    flops: int | None = None


class Differences(tuple[Difference, ...]):
    """What differs, in the models' order; false when nothing does. Prints as a tree; what repeats is one row."""

    a: Side
    b: Side

    @classmethod
    def of(cls, found: Iterable[Difference], a: Side, b: Side) -> Differences:
        made = cls(found)
        made.a, made.b = a, b
        return made

    def tree(self) -> Branch:
        """The totals of both, and under them a row for each kind of difference."""
        if not self:
            return Branch(f"{self.a.name} and {self.b.name}: no difference")
        count = "1 difference" if len(self) == 1 else f"{len(self)} differences"
        head = f"{self.a.name} → {self.b.name}: {count}, {_totals(self.a, self.b)}"
        return Branch(head, "bold", capped([_row(alike) for alike in fold(self, lambda one: one.words)]))

    def __str__(self) -> str:
        return as_text(self.tree())

    def __rich__(self) -> Tree:
        return as_rich(self.tree())

    def _repr_html_(self) -> str:
        return as_html(self.tree())


def _totals(a: Side, b: Side) -> str:
    flops = None if a.flops is None or b.flops is None else (a.flops, b.flops)
    pairs = [("parameters", (a.parameters, b.parameters)), *([("FLOPs", flops)] if flops else [])]
    return ", ".join(f"{x:,} {word}" if x == y else f"{x:,} → {y:,} {word}" for word, (x, y) in pairs)


def _row(alike: list[Difference]) -> Branch:
    first, flops = alike[0], [one.flops for one in alike]
    parameters, total = sum(one.parameters for one in alike), None if None in flops else sum(filter(None, flops))
    counts = counted(max(parameters, 0), max(-parameters, 0), total)
    style = {"only in a": "red", "only in b": "green"}.get(first.what, "yellow")
    return row([one.path for one in alike], first.words + counts, style)


@dataclass(frozen=True)
class _Resolved:
    """A side as a model, with the FLOPs at each path where they can be had."""

    name: str
    model: nn.Module
    flops: Mapping[str, int]

    @property
    def side(self) -> Side:
        return Side(self.name, sum(p.numel() for p in self.model.parameters()), self.flops.get(""))


def diff(a: Any, b: Any, *, registry: Registry | None = None) -> Differences:
    """What differs between two specs or models, in structure, options and shapes; weights are not compared.

    FLOPs are counted on the meta device, for one sample input of the arch, where the zoo knows the arch.
    """
    one, two = _resolved(a, registry), _resolved(b, registry)
    return Differences.of(_differences(one, two), one.side, two.side)


def verify(model: nn.Module | str | os.PathLike[str], *, registry: Registry | None = None) -> Differences:
    """What a model has that its spec doesn't say: the spec is built on meta and compared. False when all is declared.

    A file's weights are held against its own spec, by name, shape and dtype. Raises ZooError for a model that can't be
    rebuilt from its spec.
    """
    if isinstance(model, (str, os.PathLike)):
        return _verified_file(model, registry)
    spec, info = spec_of(model), info_of(model)
    if info is not None and (info.obstacle or spec.arch.name.startswith("?")):
        why = info.obstacle or f"'{spec.arch.name}' is an arch that the zoo doesn't know"
        raise ZooError(f"'{spec}' can't be rebuilt, so there is nothing to hold the model against: {why}")
    found = diff(create(spec, device="meta", registry=registry), model, registry=registry)
    return Differences.of(found, replace(found.a, name=str(spec)), replace(found.b, name="the model"))


def _verified_file(path: str | os.PathLike[str], registry: Registry | None) -> Differences:
    manifest, found = differs(path, registry)
    what = {(True, False): "only in b", (False, True): "only in a", (False, False): "weight"}
    rows = [Difference(name, what[not wants, not has], wants, has) for name, wants, has in found]
    header = read(path)[1]
    count = sum(prod(e.shape) for name, e in header.entries.items() if not name.startswith(RESERVED))
    return Differences.of(rows, Side(str(manifest.spec), count), Side(os.fspath(path), count))


def _resolved(thing: Any, registry: Registry | None) -> _Resolved:
    if is_file(thing):
        model, name = load(thing, device="meta", registry=registry), os.fspath(thing)
        return _Resolved(name, model, _flops(model, registry or default_registry()))
    if isinstance(thing, (str, Spec)):
        model, name = create(thing, device="meta", registry=registry), str(thing)
    else:
        model = unwrapped(thing)
        if not isinstance(model, torch.nn.Module):
            raise OptionError(f"diff takes specs and models, such as 'resnet18+act(silu)', not {thing!r}")
        info = info_of(model)
        name = str(info.spec) if info else type(model).__name__
    return _Resolved(name, model, _flops(model, registry or default_registry()))


def _flops(model: nn.Module, registry: Registry) -> Mapping[str, int]:
    """The FLOPs at each path; nothing where the model's arch is unknown, or can't be run on its sample any more."""
    info = info_of(model)
    if info is None or info.spec.arch.name.startswith("?"):
        return {}
    try:
        sample = sample_input(model, plan_of(info.spec.base, registry).arch.sample, batch=1)
        return flops_by_path(model, sample) if sample else {}
    except Exception:  # a model that was edited by hand may fail in any way, and still be compared
        return {}


def _differences(a: _Resolved, b: _Resolved) -> Iterator[Difference]:
    """Places in the order of `a`, then what only `b` has; nothing below a place that only one has."""
    one, two = dict(places(a.model)), dict(places(b.model))
    known = bool(a.flops and b.flops)
    own = own_flops(a.model, a.flops), own_flops(b.model, b.flops)
    lone: list[str] = []
    for path in dict.fromkeys([*one, *two]):
        if any(path.startswith(f"{top}.") for top in lone):
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
        flops = sign * (a.flops if path in one else b.flops).get(path, 0) if known else None
        size = sign * sum(p.numel() for p in module.parameters())
        texts = ("", brief(module)) if path in two else (brief(module), "")
        yield Difference(path, what, *texts, parameters=size, flops=flops)
    yield from _ties(a.model, b.model)


def _ties(a: nn.Module, b: nn.Module) -> Iterator[Difference]:
    """Parameters and buffers of both that are one tensor in one model and several in the other."""
    sides = [
        {f"{path}.{name}".lstrip("."): id(t) for path, m in places(model) for name, t in _tensors(m)}
        for model in (a, b)
    ]
    common = [name for name in sides[0] if name in sides[1]]
    first: list[dict[int, str]] = [{}, {}]
    for name in common:
        before, after = (seen.setdefault(side[name], name) for seen, side in zip(first, sides, strict=True))
        if before != after:
            texts = ["nothing" if other == name else other for other in (before, after)]
            yield Difference(name, "tied to", texts[0], texts[1])


def _tensors(module: nn.Module) -> list[tuple[str, torch.Tensor]]:
    return [(name, t) for name, t in [*module._parameters.items(), *module._buffers.items()] if t is not None]


def _at_place(path: str, a: nn.Module, b: nn.Module) -> Iterator[Difference]:
    kinds = [(base.__name__, tuple(m.__name__ for m in mixins)) for base, mixins in (parts_of(type(m)) for m in (a, b))]
    if kinds[0] != kinds[1]:
        leaf = not a._modules and not b._modules
        before, after = (brief(m) if leaf else _kind(kind) for m, kind in zip((a, b), kinds, strict=True))
        another = kinds[0][0] != kinds[1][0]
        yield Difference(path, "class", before, after, parameters=_own_size(b) - _own_size(a) if another else 0)
        if another:
            return
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
                prod(shape or [0]) if name in m._parameters else 0 for shape, m in zip(shapes, (a, b), strict=True)
            ]
            yield Difference(path, name, before, after, parameters=sizes[1] - sizes[0])


def _by_hand(path: str, a: ModuleState, b: ModuleState) -> Iterator[Difference]:
    """What changes a model and shows in no option and no shape: a forward of the instance's own, what is trained."""
    before, after = ("its own" if "forward" in state.attributes else "its class's" for state in (a, b))
    if before != after:
        yield Difference(path, "forward", before, after)
    for name, tensor in a.tensors.items():
        other = b.tensors.get(name)
        if other and tensor.requires_grad != other.requires_grad:
            at = f"{path}.{name}".lstrip(".")
            yield Difference(at, "requires_grad", str(tensor.requires_grad), str(other.requires_grad))


def _own_size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters(recurse=False))


def _kind(kind: tuple[str, tuple[str, ...]]) -> str:
    base, mixins = kind
    return f"{base} with {', '.join(mixins)}" if mixins else base


def _options(config: Mapping[str, Any]) -> dict[str, Any]:
    """Options that say something: plain values. Functions and objects of two builds are never the same."""
    plain = (int, float, str, bool, type(None), list, tuple)
    return {k: v for k, v in config.items() if isinstance(v, plain) and k != KEY and not _has_objects(v)}


def _has_objects(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(map(_has_objects, value))
    return not isinstance(value, (int, float, str, bool, type(None)))
