"""What differs between two models: values first, then the tree that a person reads.

`diff` takes specs and models; specs are built on the meta device. `verify` holds a model against its own spec.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

import torch

from ..checkpoint.load import load, verify_file
from ..factory.builder import arch_of
from ..factory.factory import create, spec_of, twin_of
from ..files.header import is_file
from ..files.manifest import RESERVED, read
from ..messages.errors import OptionError, ZooError
from ..messages.render import Branch, as_html, as_rich, as_text, cap, fold, format_counts, row
from ..messages.text import count
from ..registry.registry import Registry, default_registry
from ..spec.spec import Spec
from ..surgery.provenance import info_of
from ..surgery.wrappers import unwrap
from ..trace.flops import count_flops
from ..trace.meta import try_on_meta
from .compare import Difference, compare_models

if TYPE_CHECKING:
    from rich.tree import Tree
    from torch import nn


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
        head = f"{self.a.name} → {self.b.name}: {count(len(self), 'difference')}, {_format_totals(self.a, self.b)}"
        return Branch(head, "bold", cap([_format_row(alike) for alike in fold(self, lambda one: one.words)]))

    def __str__(self) -> str:
        return as_text(self.tree())

    def __rich__(self) -> Tree:
        return as_rich(self.tree())

    def _repr_html_(self) -> str:
        return as_html(self.tree())


def _format_totals(a: Side, b: Side) -> str:
    flops = None if a.flops is None or b.flops is None else (a.flops, b.flops)
    pairs = [("parameters", (a.parameters, b.parameters)), *([("FLOPs", flops)] if flops else [])]
    return ", ".join(f"{x:,} {word}" if x == y else f"{x:,} → {y:,} {word}" for word, (x, y) in pairs)


def _format_row(alike: list[Difference]) -> Branch:
    first, flops = alike[0], [one.flops for one in alike]
    parameters, total = sum(one.parameters for one in alike), None if None in flops else sum(filter(None, flops))
    counts = format_counts(max(parameters, 0), max(-parameters, 0), total)
    style = {"only in a": "red", "only in b": "green"}.get(first.what, "yellow")
    return row([one.path for one in alike], first.words + counts, style)


@dataclass(frozen=True)
class _Model:
    """A side as a model, with the FLOPs at each path where they can be had."""

    name: str
    model: nn.Module
    flops: Mapping[str, int]

    @property
    def side(self) -> Side:
        return Side(self.name, sum(p.numel() for p in self.model.parameters()), self.flops.get(""))


def diff(a: Any, b: Any, *, registry: Registry | None = None) -> Differences:
    """What differs between two models: structure, options, shapes, forward hooks, what is trained.

    Weights are not compared, nor where a model is: device, dtype, train or eval mode.

    Args:
        a: A spec, which is built without memory; a file of `zoo.save`; or a live model, which stays as it is.
        b: The same.
        registry: What is installed; by default everything that was found.

    Returns:
        The differences in the models' order, false when there are none; printed, a tree. FLOPs are those of one sample
        input of the arch, two for a multiply and add, and None where the zoo doesn't know the arch.

    Raises:
        OptionError: What is neither a spec nor a model.
        ZooError: What `zoo.create` and `zoo.load` raise.

    Example:
        >>> print(zoo.diff("simple", "simple+dropout(0.2)"))
        simple → simple+dropout(0.2): 2 differences, 17,452 parameters, 34,280 FLOPs
          layers3.0: BatchNorm1d → BatchNorm1d with Before
          layers3.0.zoo_before: Sequential(0: Dropout), only in b
    """
    one, two = _resolve(a, registry), _resolve(b, registry)
    return Differences.of(compare_models(one.model, two.model, (one.flops, two.flops)), one.side, two.side)


def verify(model: nn.Module | str | os.PathLike[str], *, registry: Registry | None = None) -> Differences:
    """What a model has that its spec doesn't say: the spec is built again and compared.

    Args:
        model: A live model that the zoo made or modified; or a file of `zoo.save`, whose weights are held against its
            own spec by name, shape and dtype, and not read.
        registry: What is installed; by default everything that was found.

    Returns:
        The differences, as of `zoo.diff`; false when all is declared.

    Raises:
        ZooError: The model can't be rebuilt from its spec, or the zoo neither made nor modified it.
        CheckpointError: The file can't be read, or names what isn't installed.

    Example:
        >>> model = zoo.create("simple+dropout(0.2)")
        >>> bool(zoo.verify(model))
        False
    """
    if isinstance(model, (str, os.PathLike)):
        return _verify_file(model, registry)
    spec, info = spec_of(model), info_of(model)
    if info is not None and not info.is_buildable:
        why = info.obstacle or f"'{spec.arch.name}' is an arch that the zoo doesn't know"
        raise ZooError(f"'{spec}' can't be rebuilt, so there is nothing to hold the model against: {why}")
    assert info is not None
    found = diff(twin_of(info, registry or default_registry()), model, registry=registry)
    return Differences.of(found, replace(found.a, name=str(spec)), replace(found.b, name="the model"))


def _verify_file(path: str | os.PathLike[str], registry: Registry | None) -> Differences:
    manifest, found = verify_file(path, registry)
    what = {(True, False): "only in b", (False, True): "only in a", (False, False): "weight"}
    rows = [Difference(name, what[not wants, not has], wants, has) for name, wants, has in found]
    header = read(path)[1]
    count = sum(prod(e.shape) for name, e in header.entries.items() if not name.startswith(RESERVED))
    return Differences.of(rows, Side(str(manifest.spec), count), Side(os.fspath(path), count))


def _resolve(thing: Any, registry: Registry | None) -> _Model:
    """A spec, a file or a live model as a model: on meta, or in memory for an arch that can't be built there."""
    if is_file(thing):
        model, name = try_on_meta(lambda device: load(thing, device=device, registry=registry)), os.fspath(thing)
    elif isinstance(thing, (str, Spec)):
        model, name = try_on_meta(lambda device: create(thing, device=device, registry=registry)), str(thing)
    else:
        model = unwrap(thing)
        if not isinstance(model, torch.nn.Module):
            raise OptionError(f"diff takes specs and models, such as 'resnet18+act(silu)', not {thing!r}")
        info = info_of(model)
        name = str(info.spec) if info else type(model).__name__
    arch = arch_of(model, registry)
    return _Model(name, model, count_flops(model, arch.sample) if arch else {})
