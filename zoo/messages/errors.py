"""Every error that the zoo raises on purpose. One base class, so that callers can catch them all.

Each says that it stands in `zoo`, where users catch it: so a traceback reads `zoo.ShapeError`, and a pickle names what
stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


class ZooError(Exception):
    """The base of all errors of the zoo. The message says what was met, what was expected and what to type instead.

    What programs want of it stands in fields too, each empty where it doesn't apply.

    Attributes:
        spec: the text of the spec that was read.
        part: the part of it that the error is about, as it is written: `act(silo)`.
        column: where in the text of the spec, counted from 1.
        name: the name that it is about: of an arch, a modifier, a layer, or a term of a selector.
        option: the option of that name that it is about.
        suggestions: what to write in place of the name or the option, the nearest first.
    """

    __module__ = "zoo"

    def __init__(
        self,
        *args: object,
        spec: str = "",
        part: str = "",
        column: int | None = None,
        name: str = "",
        option: str = "",
        suggestions: Iterable[str] = (),
    ) -> None:
        super().__init__(*args)
        self.spec, self.part, self.column = spec, part, column
        self.name, self.option, self.suggestions = name, option, tuple(suggestions)


class SpecError(ZooError, ValueError):
    """The text of a spec can't be read; the message points at the column."""

    __module__ = "zoo"


class UnknownNameError(ZooError, LookupError):
    """No arch, modifier or layer of this name is installed; the message has the nearest names.

    owners: of a bare name that several plugins have, those.
    """

    __module__ = "zoo"
    owners: tuple[str, ...] = ()


class OptionError(ZooError, TypeError, ValueError):
    """An option is unknown, missing, of a wrong type or out of range; the message has the signature."""

    __module__ = "zoo"


class NotApplicableError(ZooError):
    """The model has nothing that the modifier works on, or has it where no forward reaches."""

    __module__ = "zoo"


class NoEffectError(NotApplicableError):
    """A term of a selector that the user wrote matched nothing, or a modifier changed nothing."""

    __module__ = "zoo"


class ShapeError(ZooError, ValueError):
    """Sizes that can't fit; the message names the site, both sizes and what would fit."""

    __module__ = "zoo"


class PluginError(ZooError):
    """A plugin declares the wrong thing, or a modifier broke one of the promises that all modifiers make.

    promise: in the latter case, the check of `zoo.testing` that holds the same promise.
    """

    __module__ = "zoo"
    promise: str = ""


class PluginWarning(UserWarning):
    """A plugin that was told of a built model failed; the model is well."""

    __module__ = "zoo"


class CheckpointError(ZooError):
    """A file of weights can't be read, or doesn't belong to the model."""

    __module__ = "zoo"


class FetchError(ZooError, OSError):
    """What a spec or a call points to can't be had: the network refuses it, or there is no such file."""

    __module__ = "zoo"


@contextmanager
def fill_fields(**fields: Any) -> Iterator[None]:
    """What is known here goes into the fields of an error raised inside, where those who raised it didn't say."""
    try:
        yield
    except ZooError as error:
        for field, value in fields.items():
            if not getattr(error, field):
                setattr(error, field, value)
        raise


@dataclass(frozen=True)
class Place:
    """A part of a spec, in words where an error tells of it. number: which modifier, counted from 1; 0 is the arch."""

    spec: str
    part: str
    number: int = 0

    def __str__(self) -> str:
        if self.number:
            return f"part {self.number}, '{self.part}', of '{self.spec}'"
        return f"the arch of '{self.spec}'"


# An error is raised deep down, where nobody knows which part of which spec is being read; the place is known far up,
# where nobody knows what is wrong. So each border that knows a place catches the error and raises it again with the
# place behind its text. Borders lie inside each other (a variant's parts, a load that creates), and only the innermost
# may speak, or the user reads three places of which one is right: hence the mark. It's a new object, since the text of
# an exception is set when it's made; `vars` carries the fields over. How it can fail: an error class whose `__init__`
# needs more than a text can't be made again here, so none has one; and a border that knows better than the inner one
# (the name of a variant) must take the mark off first.
def locate(error: ZooError, place: Place | str) -> ZooError:
    """The same error with the place it came from added once, at the border: in words, and in its fields.

    So it is raised: `raise locate(error, place) from None`.
    """
    if getattr(error, "_located", False):
        return error
    new = type(error)(f"{error}\n  in {place}")
    vars(new).update(vars(error))
    if isinstance(place, Place):
        new.spec, new.part = place.spec, place.part
    new._located = True  # type: ignore[attr-defined]
    return new
