"""The values that a spec is made of, and how they print. Printing is the inverse of `zoo.spec.parser`.

A value is None, a bool, a 64-bit int, a finite float, a str, a `List`, a tuple, or a `Call` (a layer).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..messages.errors import SpecError

# The one terminal for names, shared with the grammar by a test; ASCII on purpose: no look-alike letters.
NAME = re.compile(r"[A-Za-z_.*?/@-][A-Za-z0-9_.*?/@-]*")
NUMBER = re.compile(r"-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![A-Za-z0-9_.*?/@-])")
CONSTANTS = {"True": True, "False": False, "None": None}
INT_LIMIT = 2**63
BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

Value = Any  # None | bool | int | float | str | List | tuple[Value, ...] | Call


class List(tuple[Any, ...]):
    """A list in a spec: immutable like a tuple, but printed with square brackets."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"[{', '.join(map(repr, self))}]"


@dataclass(frozen=True)
class Call:
    """A name with arguments: the arch, a part or a layer of a spec.

    `args` are (keyword or None, value) pairs; `source` is what stands behind an arch's colon (`hf-hub:timm/resnet18`).
    """

    name: str
    args: tuple[tuple[str | None, Value], ...] = ()
    source: str | None = None

    @property
    def is_unknown(self) -> bool:
        """Whether it stands for an arch that the zoo doesn't know: `?MyNet`, a model of the user's own."""
        return self.name.startswith("?")

    def __str__(self) -> str:
        colon = "" if self.source is None else f":{_format_string(self.source, negated=False)}"
        return f"{self.name}{colon}{format_args(self.args)}"


def format_args(args: tuple[tuple[str | None, Value], ...]) -> str:
    """`(0.2, at=head)`; empty when there are none."""
    if not args:
        return ""
    return "(" + ", ".join(format_value(v) if k is None else f"{k}={format_value(v)}" for k, v in args) + ")"


def format_value(value: Value) -> str:
    """The text that reads back as this value; SpecError for what a spec can't hold."""
    match value:
        case None | bool():
            return str(value)
        case Call():
            return str(value) if value.args else f"{value.name}()"  # without brackets it would be a word
        case int() if -INT_LIMIT <= value < INT_LIMIT:
            return str(value)
        case float() if math.isfinite(value):
            return repr(float(value))
        case str():
            return _format_string(value)
        case List():
            return "[" + ", ".join(map(format_value, value)) + "]"
        case tuple():
            return "(" + ", ".join(map(format_value, value)) + ("," if len(value) == 1 else "") + ")"
    if isinstance(value, int):
        raise SpecError("an integer that doesn't fit in 64 bits can't be written in a spec")
    raise SpecError(
        f"{value!r} ({type(value).__name__}) can't be written in a spec: it takes numbers, strings, lists, tuples, "
        "True, False, None and layers"
    )


def is_name(text: str) -> bool:
    """Whether a text may stand for a keyword."""
    return bool(NAME.fullmatch(text)) and not NUMBER.fullmatch(text)


def _format_string(text: str, negated: bool = True) -> str:
    for char in text:
        if reason := find_fault(char):
            raise SpecError(f"the string {text!r} holds {reason}, which a spec can't carry")
    if is_name(text) and text not in CONSTANTS:
        return text
    if negated and text[:1] == "!" and text[1:2] not in ("", "!"):
        return "!" + _format_string(text[1:])
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def find_fault(char: str) -> str | None:
    """Why this character may not stand inside quotes, or None. Control characters hide, bidirectional ones disguise."""
    code = ord(char)
    if code < 32 or 127 <= code < 160 or code in (0x2028, 0x2029):
        return f"the control character U+{code:04X}"
    if char in BIDI:
        return f"the bidirectional control character U+{code:04X}"
    if 0xD800 <= code <= 0xDFFF:
        return f"the lone surrogate U+{code:04X}"
    return None


def from_python(value: Any) -> Value:
    """A Python value as a spec holds it; SpecError if it can't be written in a spec."""
    match value:
        case list():
            frozen: Value = List(map(from_python, value))
        case tuple() if not isinstance(value, List):
            frozen = tuple(map(from_python, value))
        case _:
            frozen = getattr(value, "call", value)  # a `zoo.Layer` stands for its call
    format_value(frozen)
    return frozen


def convert_sequences(kind: type, value: Value) -> Any:
    """The value with every list and tuple in it turned into `kind`, for functions that insist on one of them."""
    return kind(convert_sequences(kind, v) for v in value) if isinstance(value, tuple) else value


def iter_layers(value: Value) -> Iterator[Call]:
    """Every layer inside a value, outermost first."""
    if isinstance(value, Call):
        yield value
        for _, arg in value.args:
            yield from iter_layers(arg)
    elif isinstance(value, tuple):
        for item in value:
            yield from iter_layers(item)
