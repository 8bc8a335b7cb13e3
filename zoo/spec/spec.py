"""`Spec`: the text of a variant as an immutable value, with a small algebra."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..messages.errors import SpecError, UnknownNameError
from .values import Call


@dataclass(frozen=True, eq=False, repr=False)
class Spec:
    """One arch with zero or more modifiers, applied left to right: an immutable value. Equal when they print equal.

    `zoo.parse` makes one of a text, and `str` gives the text back.

    Attributes:
        arch: the call of the arch, with its own options.
        parts: the call of each modifier, in order.

    Example:
        >>> spec = zoo.parse("resnet18+dropout(0.2)+act(silu)")
        >>> spec.base, spec.without("dropout"), spec.base + "bn(eps=1e-4)"
        (Spec('resnet18'), Spec('resnet18+act(silu)'), Spec('resnet18+bn(eps=0.0001)'))
    """

    arch: Call
    parts: tuple[Call, ...] = ()

    @property
    def base(self) -> Spec:
        """The bare arch, with its own options."""
        return Spec(self.arch)

    def without(self, name: str) -> Spec:
        """The spec less every part of this name.

        Raises:
            UnknownNameError: it has no part of this name.
        """
        kept = tuple(part for part in self.parts if part.name != name)
        if len(kept) == len(self.parts):
            names = ", ".join(dict.fromkeys(part.name for part in self.parts)) or "none"
            raise UnknownNameError(f"'{self}' has no part '{name}'; its parts: {names}", spec=str(self), name=name)
        return replace(self, parts=kept)

    def __add__(self, mods: str | Call | Iterable[Call]) -> Spec:
        """The spec with more parts behind its own: `spec + "dropout(0.2)+act(silu)"`.

        Raises:
            SpecError: the text can't be read, or it's anything but modifiers.
        """
        from .parser import read_mods  # here, since the parser takes 30 ms and a listing parses nothing

        if isinstance(mods, str):
            return replace(self, parts=self.parts + read_mods(mods))
        more = (mods,) if isinstance(mods, Call) or not isinstance(mods, Iterable) else tuple(mods)
        if odd := [part for part in more if not isinstance(part, Call)]:
            raise SpecError(f"what comes behind a spec are modifiers, such as 'dropout(0.2)', not {odd[0]!r}")
        return replace(self, parts=self.parts + more)

    def __str__(self) -> str:
        return "+".join(map(str, (self.arch, *self.parts)))

    def __repr__(self) -> str:
        return f"Spec({str(self)!r})"

    # Through the text, since Python says that 1 == 1.0 == True.
    def __eq__(self, other: object) -> bool:
        return str(self) == str(other) if isinstance(other, Spec) else NotImplemented

    def __hash__(self) -> int:
        return hash(str(self))


def parse(text: str | Spec) -> Spec:
    """The spec that a text stands for. Syntax alone: no name is looked up, nothing is imported.

    Args:
        text: such as `"resnet18+dropout(0.2)"`, of at most 4,096 characters and 32 parts. A spec is given back as it
            is.

    Returns:
        The spec as an immutable value. It prints in one spelling, which parses to the same spec.

    Raises:
        SpecError: the text is no spec; the message has the column, a caret and what was expected.

    Example:
        >>> zoo.parse("resnet18 + dropout( p = .2 )")
        Spec('resnet18+dropout(p=0.2)')
    """
    from .parser import read_spec

    return text if isinstance(text, Spec) else Spec(*read_spec(text))
