"""Braces, as bash expands them: one text that stands for a family of specs."""

from __future__ import annotations

import re
from itertools import pairwise

from .errors import SpecError
from .grammar import MAX_CHARACTERS
from .spec import Spec, parse

MAX_SPECS = 10_000

_TOKEN = re.compile(r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[{},+()\[\]])""", re.DOTALL)
_RANGE = re.compile(r"(-?\d{1,9})\.\.(-?\d{1,9})(?:\.\.(-?\d{1,9}))?|([A-Za-z])\.\.([A-Za-z])(?:\.\.(-?\d{1,9}))?")


def expand(text: str) -> list[Spec]:
    """The specs of a family, in bash's order.

    >>> [str(spec) for spec in expand("resnet{18,34}+{,dropout(0.2)}")]
    ['resnet18', 'resnet18+dropout(0.2)', 'resnet34', 'resnet34+dropout(0.2)']

    Braces inside quotes stand for themselves. An empty part vanishes with its plus, each spec is checked by
    `zoo.parse`, and equal ones stand once. At most 10,000 specs.
    """
    if len(text) > MAX_CHARACTERS:
        raise SpecError(f"{len(text):,} characters; a text may have at most {MAX_CHARACTERS:,}")
    return list(dict.fromkeys(parse(_without_empty_parts(one)) for one in expand_braces(text)))


def expand_braces(text: str) -> list[str]:
    """The raw expansion, text to texts: nested lists and ranges (`{1..3}`, `{01..10..3}`, `{a..e}`)."""
    return _expand([piece for piece in _TOKEN.split(text) if piece])


def _expand(tokens: list[str]) -> list[str]:
    """Expand the first group that bash takes for one, then the rest behind it; the product is capped."""
    for start, token in enumerate(tokens):
        if token != "{" or (start == 0 and tokens[1:2] == ["}"]):
            continue  # bash takes {} at the start of what it expands for text
        if (found := _group(tokens, start)) is None:
            continue
        stop, choices = found
        head, tails = "".join(tokens[:start]), _expand(tokens[stop + 1 :])
        if len(choices) * len(tails) > MAX_SPECS:
            raise SpecError(f"the braces stand for more than {MAX_SPECS:,} specs")
        return [head + choice + tail for choice in choices for tail in tails]
    return ["".join(tokens)]


def _group(tokens: list[str], start: int) -> tuple[int, list[str]] | None:
    """Where the group that opens at `start` closes, and its choices; None if bash would leave the brace alone."""
    depth, commas = 0, [start]
    for at in range(start, len(tokens)):
        depth += {"{": 1, "}": -1}.get(tokens[at], 0)
        if tokens[at] == "," and depth == 1:
            commas.append(at)
        if depth == 0 and len(commas) == 1:
            if (choices := _range("".join(tokens[start + 1 : at]))) is not None:
                return at, choices
            depth = 1  # no comma so far: bash takes this brace for text and looks for a later one
        elif depth == 0:
            break
    else:
        return None
    edges = [*commas, at]
    return at, [one for a, b in pairwise(edges) for one in _expand(tokens[a + 1 : b])]


def _range(text: str) -> list[str] | None:
    match = _RANGE.fullmatch(text)
    if not match:
        return None
    first, last, step, *letters = match.groups()
    if letters[0]:
        a, b, stride = ord(letters[0]), ord(letters[1]), abs(int(letters[2] or 1)) or 1
        return [chr(code) for code in _steps(a, b, stride)]
    padded = any(re.fullmatch(r"-?0\d+", end) for end in (first, last))
    width = max(len(first), len(last)) if padded else 0
    return [f"{number:0{width}d}" for number in _steps(int(first), int(last), abs(int(step or 1)) or 1)]


def _steps(first: int, last: int, stride: int) -> range:
    steps = range(first, last + 1, stride) if first <= last else range(first, last - 1, -stride)
    if len(steps) > MAX_SPECS:
        raise SpecError(f"the braces stand for more than {MAX_SPECS:,} specs")
    return steps


def _without_empty_parts(text: str) -> str:
    """`a++b+` → `a+b`. The arch stays, even when it's empty: that is an error for `parse` to explain."""
    parts, depth = [""], 0
    for token in _TOKEN.split(text):
        depth += (token in ("(", "[")) - (token in (")", "]"))
        if token == "+" and depth == 0:
            parts.append("")
        else:
            parts[-1] += token
    arch, *mods = parts
    return "+".join([arch, *(part for part in mods if part.strip())])
