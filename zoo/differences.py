"""What differs between two models: values first, then the tree that a person reads.

`diff` takes specs and models; specs are built on the meta device. `verify` holds a model against its own spec.
"""

from __future__ import annotations

import html
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from .checkpoint import differs, load
from .errors import ZooError
from .factory import create, spec_of
from .headers import is_file
from .info import KEY, info_of
from .manifest import RESERVED, read
from .mixins import parts_of
from .record import ModuleState, brief, same
from .registry import Registry
from .spec import Spec
from .walker import places

if TYPE_CHECKING:
    from torch import nn

MOST_SHOWN = 200


@dataclass(frozen=True)
class Difference:
    """One place where two models differ. `what`: `only in a`, `only in b`, `class`, the name of an option, a shape."""

    path: str
    what: str
    before: str = ""
    after: str = ""

    def __str__(self) -> str:
        return f"{self.path or '(root)'}: {self.words}"

    @property
    def words(self) -> str:
        """The difference without its place."""
        if self.what == "class":
            return f"{self.before} → {self.after}"
        if self.what.startswith("only"):
            return f"{self.before or self.after}, {self.what}"
        return f"{self.what} {self.before} → {self.after}"


class Differences(tuple[Difference, ...]):
    """What differs, in the models' order; false when nothing does. Prints as a tree that folds what repeats."""

    names: tuple[str, str]
    parameters: tuple[int, int]

    @classmethod
    def of(cls, found: Iterable[Difference], names: tuple[str, str], parameters: tuple[int, int]) -> Differences:
        made = cls(found)
        made.names, made.parameters = names, parameters
        return made

    def lines(self) -> list[tuple[str, str, int]]:
        """Rows of (paths, words, how many): the same difference in many places is one row."""
        rows: dict[str, list[str]] = {}
        for one in self:
            rows.setdefault(one.words, []).append(one.path)
        return [(_span(paths), words, len(paths)) for words, paths in rows.items()]

    def __str__(self) -> str:
        a, b = self.names
        if not self:
            return f"{a} and {b}: no difference"
        old, new = self.parameters
        count = "1 difference" if len(self) == 1 else f"{len(self)} differences"
        head = f"{a} → {b}: {count}, {old:,} → {new:,} parameters"
        rows = self.lines()
        shown = [_row(*row) for row in rows[:MOST_SHOWN]]
        more = [f"  … and {len(rows) - MOST_SHOWN} more"] if len(rows) > MOST_SHOWN else []
        return "\n".join([head, *shown, *more])

    def _repr_html_(self) -> str:
        """For notebooks: escaped, without scripts, capped."""
        rows = self.lines()
        items = "".join(f"<li>{html.escape(_row(*row).strip())}</li>" for row in rows[:MOST_SHOWN])
        more = f"<li>… and {len(rows) - MOST_SHOWN} more</li>" if len(rows) > MOST_SHOWN else ""
        summary = html.escape(str(self).split("\n")[0])
        return f"<details open><summary>{summary}</summary><ul>{items}{more}</ul></details>"


def _span(paths: list[str]) -> str:
    return paths[0] or "(root)" if len(paths) == 1 else f"{paths[0]} … {paths[-1]}"


def _row(paths: str, words: str, count: int) -> str:
    return f"  {paths}: {f'{count} × ' if count > 1 else ''}{words}"


def diff(a: Any, b: Any, *, registry: Registry | None = None) -> Differences:
    """What differs between two specs or models, in structure, options and shapes; weights are not compared."""
    (name_a, one), (name_b, two) = _resolved(a, registry), _resolved(b, registry)
    found = list(_differences(one, two))
    counts = tuple(sum(p.numel() for p in model.parameters()) for model in (one, two))
    return Differences.of(found, (name_a, name_b), (counts[0], counts[1]))


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
    found = diff(create(spec, device="meta", registry=registry), model)
    return Differences.of(found, (str(spec), "the model"), found.parameters)


def _verified_file(path: str | os.PathLike[str], registry: Registry | None) -> Differences:
    manifest, found = differs(path, registry)
    what = {(True, False): "only in b", (False, True): "only in a", (False, False): "weight"}
    rows = [Difference(name, what[not wants, not has], wants, has) for name, wants, has in found]
    header = read(path)[1]
    count = sum(prod(e.shape) for name, e in header.entries.items() if not name.startswith(RESERVED))
    return Differences.of(rows, (str(manifest.spec), os.fspath(path)), (count, count))


def _resolved(thing: Any, registry: Registry | None) -> tuple[str, nn.Module]:
    if is_file(thing):
        return os.fspath(thing), load(thing, device="meta", registry=registry)
    if isinstance(thing, (str, Spec)):
        return str(thing), create(thing, device="meta", registry=registry)
    inner = getattr(thing, "_orig_mod", thing)
    info = info_of(inner)
    return str(info.spec) if info else type(inner).__name__, inner


def _differences(a: nn.Module, b: nn.Module) -> Iterable[Difference]:
    """Places in the order of `a`, then what only `b` has; nothing below a place that only one has."""
    one, two = dict(places(a)), dict(places(b))
    lone: list[str] = []
    for path in dict.fromkeys([*one, *two]):
        if any(path.startswith(f"{top}.") for top in lone):
            continue
        if path not in two:
            lone.append(path)
            yield Difference(path, "only in a", before=brief(one[path]))
        elif path not in one:
            lone.append(path)
            yield Difference(path, "only in b", after=brief(two[path]))
        else:
            yield from _at_place(path, one[path], two[path])


def _at_place(path: str, a: nn.Module, b: nn.Module) -> Iterable[Difference]:
    kinds = [(base.__name__, tuple(m.__name__ for m in mixins)) for base, mixins in (parts_of(type(m)) for m in (a, b))]
    if kinds[0] != kinds[1]:
        leaf = not a._modules and not b._modules
        before, after = (brief(m) if leaf else _kind(kind) for m, kind in zip((a, b), kinds, strict=True))
        yield Difference(path, "class", before, after)
        if kinds[0][0] != kinds[1][0]:
            return
    one, two = ModuleState.of(a), ModuleState.of(b)
    was, now = _options(one.config()), _options(two.config())
    for key in dict.fromkeys([*was, *now]):
        if key not in was or key not in now or not same(was[key], now[key]):
            yield Difference(path, key, repr(was.get(key, "unset")), repr(now.get(key, "unset")))
    shapes = [{name: list(s.shape) for name, s in state.tensors.items()} for state in (one, two)]
    for name in dict.fromkeys([*shapes[0], *shapes[1]]):
        if shapes[0].get(name) != shapes[1].get(name):
            yield Difference(path, name, str(shapes[0].get(name, "none")), str(shapes[1].get(name, "none")))


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
