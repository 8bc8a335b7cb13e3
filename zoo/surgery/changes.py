"""What a modifier did, as values: one `Change` for each thing, in words that are a type; `Changes` print as a tree."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ..messages.render import Branch, as_html, as_rich, as_text, cap, fold, format_counts, row

if TYPE_CHECKING:
    from rich.tree import Tree


class What(StrEnum):
    """The kinds of change, each equal to its word. `What("eps")` is `What.OPTION`: any other text names an option.

    An option that bears the name of a word, such as a module's own attribute `order`, counts as what the word says.
    """

    REPLACED = "replaced"
    ADDED = "added"
    REMOVED = "removed"
    INSERTED_BEFORE = "inserted before"
    INSERTED_AFTER = "inserted after"
    BECAME = "became"
    NO_LONGER = "no longer"
    CLASS = "class"
    ORDER = "order"
    VALUES = "values"
    REQUIRES_GRAD = "requires_grad"
    HOOK_ADDED = "hook added"
    HOOK_REMOVED = "hook removed"
    ALREADY = "already"
    OPTION = "option"

    @classmethod
    def _missing_(cls, value: object) -> What | None:
        return cls.OPTION if isinstance(value, str) else None

    # A pickle and a repr hold the word alone, so that either reads without this class.
    __repr__ = str.__repr__

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return str, (str(self),)

    @property
    def is_structural(self) -> bool:
        """Whether something else stands at the place by now, with all that is in it."""
        return self in (What.REPLACED, What.ADDED, What.REMOVED) or self.is_insertion

    @property
    def is_insertion(self) -> bool:
        """Whether something came that runs before or after what is at the place."""
        return self in (What.INSERTED_BEFORE, What.INSERTED_AFTER)

    @property
    def is_arrival(self) -> bool:
        """Whether there is more than before."""
        return self in (What.ADDED, What.BECAME, What.HOOK_ADDED) or self.is_insertion

    @property
    def is_departure(self) -> bool:
        """Whether there is less than before."""
        return self in (What.REMOVED, What.NO_LONGER, What.HOOK_REMOVED)

    @property
    def is_of_tensors(self) -> bool:
        """Whether a parameter or buffer that goes on under its name may be the place."""
        return self in (What.VALUES, What.REQUIRES_GRAD, What.REPLACED)

    @property
    def is_of_calls(self) -> bool:
        """Whether it changes what a call of the module does, and nothing else."""
        return self in (What.BECAME, What.CLASS) or self.is_insertion


@dataclass(frozen=True)
class Change:
    """One thing that one modifier did.

    part: the modifier, as the spec has it. path: where. what: `replaced`, `added`, `removed`, `inserted before`, … or
    the name of an option that was set; `already` for what was so before. before, after: as text.
    added, removed: numbers of parameters. flops: what a forward of one sample needs more (or less) at the path, two for
    each multiply and add, as torch counts them; None if unknown.
    live: whether a forward of the model reaches the place; None if unknown.
    aliases: the other paths of a shared module.
    """

    part: str
    path: str
    what: str
    before: str = ""
    after: str = ""
    added: int = 0
    removed: int = 0
    live: bool | None = None
    aliases: tuple[str, ...] = ()
    flops: int | None = None

    def __str__(self) -> str:
        return row([self.path], self.words + format_counts(self.added, self.removed, self.flops)).text

    @property
    def kind(self) -> What:
        """`what` as a type, also where it came out of a file as a plain text."""
        return What(self.what)

    @property
    def resizes_input(self) -> bool:
        """Whether the place stayed, but takes another number of channels by now."""
        return self.what in ("in_channels", "in_features")

    @property
    def words(self) -> str:
        """What was done, without the place and the counts."""
        arrow = f"{self.before} → {self.after}" if self.before and self.after else self.before or self.after
        return f"{self.what} {arrow}" + (", not reached by a forward" if self.live is False else "")


class Changes(tuple[Change, ...]):
    """What was done to a model, in order; false when nothing was. Prints as a tree; what repeats is one row."""

    __slots__ = ()

    def tree(self) -> Branch:
        """One branch for each modifier, with a row for each thing that it did."""
        parts = ((part, fold(done, lambda c: c.words)) for part, done in groupby(self, lambda c: c.part))
        return Branch(under=tuple(Branch(part, "bold", cap([*map(_row, groups)])) for part, groups in parts))

    def __str__(self) -> str:
        return as_text(self.tree()) or "no changes"

    def __rich__(self) -> Tree:
        return as_rich(self.tree() if self else Branch("no changes"))

    def _repr_html_(self) -> str:
        return as_html(self.tree() if self else Branch("no changes"))


def _row(changes: list[Change]) -> Branch:
    """The same thing in one or more places, with the counts of all of them together."""
    first, flops = changes[0], [change.flops for change in changes]
    total = None if None in flops else sum(filter(None, flops))
    counts = format_counts(sum(c.added for c in changes), sum(c.removed for c in changes), total)
    return row([change.path for change in changes], first.words + counts, _style(first.kind))


def _style(kind: What) -> str:
    if kind is What.ALREADY:
        return "dim"
    return "red" if kind.is_departure else "green" if kind.is_arrival else "yellow"
