"""Text to values, and nothing else: no name is looked up here. The rules are in grammar.lark.

Every limit is checked on the bare text first, so that hostile input is refused before the parser sees it.
"""

from __future__ import annotations

import math
import re
import unicodedata
from functools import cache
from pathlib import Path
from typing import Any

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from ..messages.errors import SpecError
from ..messages.text import shorten
from .values import CONSTANTS, INT_LIMIT, Call, List, Value, find_fault

MAX_CHARACTERS = 4096
MAX_PARTS = 32
MAX_NESTING = 8

_WORDS = {
    "NAME": "a name",
    "QUESTION": "'?'",
    "NUMBER": "a number",
    "STRING": "a quoted string",
    "PLUS": "'+'",
    "LPAR": "'('",
    "RPAR": "')'",
    "LSQB": "'['",
    "RSQB": "']'",
    "COMMA": "','",
    "COLON": "':'",
    "EQUAL": "'='",
    "BANG": "'!'",
    "$END": "the end",
}
_ORDER = {word: index for index, word in enumerate(_WORDS.values())}


@cache
def _make_parser() -> Lark:
    rules = (Path(__file__).parent / "grammar.lark").read_text(encoding="ascii")
    return Lark(rules, parser="lalr", start=["spec", "mods"], propagate_positions=True)


def read_spec(text: str, most: int | None = MAX_CHARACTERS) -> tuple[Call, tuple[Call, ...]]:
    """`arch+part+part` as its arch and its parts. most: characters; None for a text that a program wrote."""
    arch, *parts = _read(text, "spec", most)
    return arch, tuple(parts)


def read_mods(text: str, most: int | None = MAX_CHARACTERS) -> tuple[Call, ...]:
    """`part+part`, without an arch."""
    return _read(text, "mods", most)


def _read(text: str, start: str, most: int | None) -> tuple[Call, ...]:
    _check_limits(text, start, most)
    try:
        tree = _make_parser().parse(text, start=start)
    except UnexpectedInput as error:
        raise _explain(text, error) from None
    if most and len(tree.children) > MAX_PARTS + (start == "spec"):
        raise SpecError(f"{len(tree.children) - (start == 'spec')} parts; a text may have at most {MAX_PARTS}")
    return tuple(_read_call(text, child) for child in tree.children if isinstance(child, Tree))


def _check_limits(text: str, start: str, most: int | None) -> None:
    if not isinstance(text, str):
        wanted = "a spec is a text such as 'resnet18" if start == "spec" else "modifiers are a text such as 'act(silu)"
        raise SpecError(f"{wanted}+dropout(0.2)', not {type(text).__name__}")
    if most and len(text) > most:
        raise SpecError(f"{len(text):,} characters; a spec has at most {most:,}")
    if not text.strip():
        wanted = "the name of an arch, such as 'resnet18'" if start == "spec" else "a modifier, such as 'dropout(0.2)'"
        raise SpecError(f"the spec is empty; expected {wanted}")
    quote, depth, escaped = "", 0, False
    for at, char in enumerate(text):
        if quote:
            if reason := find_fault(char):
                raise _point_at(text, at, f"{reason} inside quotes")
            quote = "" if char == quote and not escaped else quote
            escaped = char == "\\" and not escaped
        elif char in "\"'":
            quote, escaped = char, False
        elif not char.isascii():
            raise _point_at(text, at, f"{_name_character(char)} outside quotes; names are plain ASCII")
        else:
            depth += (char in "([") - (char in ")]")
            if depth > MAX_NESTING:
                raise _point_at(text, at, f"more than {MAX_NESTING} levels of brackets")


def _name_character(char: str) -> str:
    code = f"U+{ord(char):04X} {unicodedata.name(char, 'unnamed character')}"
    return f"'{char}' ({code})" if char.isprintable() else code


def _point_at(text: str, at: int, message: str) -> SpecError:
    """The message with a piece of the text and a caret under the column that it speaks of."""
    start, stop = max(0, at - 50), at + 30
    shown = "".join(c if c.isprintable() else "·" for c in text[start:stop])
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in shown[: at - start])
    lead, trail = "…" if start else "", "…" if stop < len(text) else ""
    caret = " " * (len(lead) + at - start + wide) + "^"
    return SpecError(f"column {at + 1}: {message}\n  {lead}{shown}{trail}\n  {caret}", spec=text, column=at + 1)


def _explain(text: str, error: UnexpectedInput) -> SpecError:
    # `allowed` of UnexpectedCharacters is what the lexer's state takes, which is more, and without the end.
    parser: Any = getattr(error, "interactive_parser", None)
    names: set[str] = parser.accepts() if parser else set()
    words = sorted({_WORDS[n] for n in names if n in _WORDS}, key=lambda word: _ORDER[word])
    expected = f"; expected {' or '.join(words)}" if words else ""
    at: int = len(text) if error.pos_in_stream is None else error.pos_in_stream
    if isinstance(error, UnexpectedToken) and error.token.type == "$END":
        at = len(text.rstrip())
        return _point_at(text, at, f"the spec ends too early{expected}")
    if isinstance(error, UnexpectedCharacters):
        met = text[at]
        if met in "\"'":
            return _point_at(text, at, f"a quote that isn't closed, or a backslash before anything but {met} or \\")
        if met.isdigit() or (met == "-" and text[at + 1 : at + 2].isdigit()):
            if "STRING" not in names:
                return _point_at(text, at, f"a name doesn't start with a digit{expected}")
            return _point_at(text, at, 'neither a number nor a word, which starts with a letter; quote it, as in "1x"')
        shown = f"'{met}'" if met.isprintable() else f"U+{ord(met):04X}"
        return _point_at(text, at, f"unexpected {shown}{expected}")
    token = error.token if isinstance(error, UnexpectedToken) else ""
    return _point_at(text, at, f"unexpected '{shorten(token, 40)}'{expected}")


def _read_call(text: str, tree: Tree[Token]) -> Call:
    """An arch, a part or a layer."""
    name, source = "", None
    args: tuple[tuple[str | None, Value], ...] = ()
    for child in tree.children:
        if isinstance(child, Token):
            name += child
        elif child is not None and child.data == "source":
            token = child.children[0]
            source = _read_string(token) if token.type == "STRING" else str(token)  # type: ignore[union-attr]
        elif child is not None:
            args = _read_args(text, child)
    if name.strip("?") == "" and tree.data == "arch":
        raise _point_at(text, tree.meta.start_pos, "expected the name of an arch")
    return Call(name, args, source)


def _read_args(text: str, tree: Tree[Token]) -> tuple[tuple[str | None, Value], ...]:
    args: list[tuple[str | None, Value]] = []
    for arg in tree.children:
        if not isinstance(arg, Tree):
            continue  # the brackets were empty
        *key, value = arg.children
        keyword = str(key[0].children[0]) if key and isinstance(key[0], Tree) else None
        at = arg.meta.start_pos
        if keyword is None and args and args[-1][0] is not None:
            raise _point_at(text, at, f"a positional value after the keyword '{args[-1][0]}'; expected a keyword")
        if keyword is not None and any(keyword == k for k, _ in args):
            raise _point_at(text, at, f"the keyword '{keyword}' stands twice")
        args.append((keyword, _read_value(text, value)))
    return tuple(args)


def _read_value(text: str, node: Token | Tree[Token]) -> Value:
    assert isinstance(node, Tree)
    items = [child for child in node.children if child is not None]
    match node.data:
        case "number":
            return _read_number(text, items[0])
        case "string":
            return _read_string(items[0])
        case "word":
            word = str(items[0])
            return CONSTANTS.get(word, word)
        case "negated":
            token = items[0]
            return "!" + (_read_string(token) if token.type == "STRING" else str(token))  # type: ignore[union-attr]
        case "list":
            return List(_read_value(text, item) for item in items)
        case "tuple":
            return tuple(_read_value(text, item) for item in items)
    return _read_call(text, node)


def _read_number(text: str, token: Token | Tree[Token]) -> int | float:
    assert isinstance(token, Token)
    at = token.start_pos or 0
    if token.lstrip("-").isdigit():
        if len(token) > 20 or not -INT_LIMIT <= int(token) < INT_LIMIT:
            raise _point_at(text, at, "this integer doesn't fit in 64 bits")
        return int(token)
    number = float(token)
    if not math.isfinite(number):
        raise _point_at(text, at, f"{shorten(token, 40)} is too large for a number")
    return number


def _read_string(token: Token | Tree[Token]) -> str:
    assert isinstance(token, Token)
    return re.sub(r"\\(.)", r"\1", token[1:-1])
