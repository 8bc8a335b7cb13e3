"""Two sets of tensors held against each other by name: what `carry`, `load`, `save` and `verify` compare with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor
from torch.nn.parameter import is_lazy

from ..messages.text import and_more, printable
from ..surgery.config import tensor_text

SHOWN = 5


class Mismatch(NamedTuple):
    """A name under which two sides don't hold the same. wanted, found: as `float32[2, 70]`, empty where it's absent."""

    name: str
    wanted: str
    found: str


@dataclass(frozen=True)
class Report:
    """Names of weights. matched: carried over. missing: in the model alone. unexpected: in the source alone.

    reshaped: in both, but of another shape or kind, as (name, wanted, found).
    """

    matched: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    reshaped: tuple[tuple[str, str, str], ...] = ()

    @property
    def exact(self) -> bool:
        """Whether every weight found its place."""
        return not (self.missing or self.unexpected or self.reshaped)

    def __str__(self) -> str:
        lines = [f"{len(self.matched)} weights matched"]
        lines += _enumerate("missing from the source", self.missing)
        lines += _enumerate("unexpected in the source", self.unexpected)
        lines += _enumerate("of another shape or kind", [f"{n} (wants {a}, found {b})" for n, a, b in self.reshaped])
        return "\n  ".join(lines)


def _enumerate(what: str, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    shown = printable(", ".join(names[:SHOWN]))
    return [f"{len(names)} {what}: {shown}{and_more(len(names), SHOWN, ', … and ')}"]


def match_tensors(wanted: Mapping[str, Tensor], found: Mapping[str, Any]) -> Report:
    """What of `found` fits what is `wanted`, and what doesn't, for values that are copied into tensors that stay.

    A tensor with several names is filled under any of them.
    """
    odd = mismatches(wanted, found, exact=False)
    names = {one.name for one in odd}
    matched = tuple(name for name in wanted if name in found and name not in names)
    filled = {id(wanted[name]) for name in matched}
    return Report(
        matched,
        tuple(name for name, _, met in odd if not met and id(wanted[name]) not in filled),
        tuple(name for name, wants, _ in odd if not wants),
        tuple((name, wants, met) for name, wants, met in odd if wants and met),
    )


def mismatches(wanted: Mapping[str, Tensor], found: Mapping[str, Any], *, exact: bool) -> list[Mismatch]:
    """The names under which two sides differ, in the order of what is wanted, then what was found besides.

    found: tensors, or what has their shape and dtype. exact: the values will lie in the model as they are found, and
    not be copied into what is there: then only floats may be of another precision.
    """
    odd = []
    for name in dict.fromkeys([*wanted, *found]):
        if name not in wanted:
            odd.append(Mismatch(name, "", tensor_text(found[name])))
        elif name not in found:
            odd.append(Mismatch(name, tensor_text(wanted[name]), ""))
        elif not _fits(wanted[name], found[name], exact):
            odd.append(Mismatch(name, tensor_text(wanted[name]), tensor_text(found[name])))
    return odd


def _fits(wanted: Tensor, found: Any, exact: bool) -> bool:
    """Same shape, which a lazy tensor takes from what it gets; a float may become another float, but no integer one."""
    if not is_lazy(wanted) and tuple(wanted.shape) != tuple(found.shape):
        return False
    a, b = wanted.dtype, found.dtype
    if exact:
        return bool(a == b) or (a.is_floating_point and b.is_floating_point)
    return (a.is_floating_point, a.is_complex) == (b.is_floating_point, b.is_complex)
