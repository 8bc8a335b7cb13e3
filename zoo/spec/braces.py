"""Braces, as bash expands them: one text that stands for a family of specs."""

from __future__ import annotations

import re
from itertools import pairwise

from ..messages.errors import SpecError
from .parser import MAX_CHARACTERS
from .spec import Spec, parse

MAX_SPECS = 10_000
MAX_BRACES = 100  # bounds both the recursion and the quadratic search for closing braces

_TOKEN = re.compile(r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[{},+()\[\]])""", re.DOTALL)
_RANGE = re.compile(
    r"(-?[0-9]{1,9})\.\.(-?[0-9]{1,9})(?:\.\.(-?[0-9]{1,9}))?|([A-Za-z])\.\.([A-Za-z])(?:\.\.(-?[0-9]{1,9}))?"
)


def expand(text: str) -> list[Spec]:
    """The specs that a text with braces stands for, in bash's order.

    Args:
        text: a spec with lists (`{18,34}`) and ranges (`{1..3}`, `{01..10..3}`, `{a..e}`) in braces, also inside each
            other. Braces inside quotes stand for themselves, and a comma inside ( ) or [ ] is the spec's own.

    Returns:
        Each spec once, as `zoo.parse` reads it. An empty part vanishes with its plus.

    Raises:
        SpecError: one of the texts is no spec, or they are more than 10,000.

    Example:
        >>> [str(spec) for spec in zoo.expand("resnet{18,34}+{,dropout(0.2)}")]
        ['resnet18', 'resnet18+dropout(0.2)', 'resnet34', 'resnet34+dropout(0.2)']
    """
    if not isinstance(text, str):
        raise SpecError(f"a spec is a text such as 'resnet18+dropout(0.2)', not {type(text).__name__}")
    if len(text) > MAX_CHARACTERS:
        raise SpecError(f"{len(text):,} characters; a text may have at most {MAX_CHARACTERS:,}")
    return list(dict.fromkeys(parse(_drop_empty_parts(one)) for one in expand_braces(text)))


# Bash has no grammar for braces, only habits: a brace opens a group if a comma or `..` stands on its level before it
# closes; else it is text, and so is what closes it. So there's no parser here but a search: the first brace that has
# such an end is the first group, its choices are expanded each by itself, what follows is expanded once, and the
# product is taken. The text is split into tokens first, quotes whole, so that nothing inside them counts. How it can
# fail: by time and memory, for `{a,b}` written thirty times is a billion specs. Hence the three limits, each checked
# before the work.
def expand_braces(text: str) -> list[str]:
    """The raw expansion, text to texts: nested lists and ranges (`{1..3}`, `{01..10..3}`, `{a..e}`)."""
    tokens = [piece for piece in _TOKEN.split(text) if piece]
    if tokens.count("{") > MAX_BRACES:
        raise SpecError(f"{tokens.count('{')} opening braces; a text may have at most {MAX_BRACES}")
    return _expand(tokens)


def _expand(tokens: list[str]) -> list[str]:
    """Expand the first group that bash takes for one, then the rest behind it; the product is capped."""
    for start, token in enumerate(tokens):
        if token != "{" or (start == 0 and tokens[1:2] == ["}"]):
            continue  # bash takes {} at the start of what it expands for text
        if (stop := _find_close(tokens, start)) is None:
            continue
        head, tails = "".join(tokens[:start]), _expand(tokens[stop + 1 :])
        choices = _expand_choices(tokens[start + 1 : stop])
        if len(choices) * len(tails) > MAX_SPECS:
            raise SpecError(f"the braces stand for more than {MAX_SPECS:,} specs")
        return [head + choice + tail for choice in choices for tail in tails]
    return ["".join(tokens)]


def _find_close(tokens: list[str], start: int) -> int | None:
    """Where the group that opens at `start` closes: at the first brace on its level behind a comma or `..`."""
    depth, group = 0, False
    for at in range(start + 1, len(tokens)):
        token = tokens[at]
        if token == "}" and depth == 0 and group:
            return at
        depth += (token == "{") - (token == "}" and depth > 0)
        if depth == 0 and token[0] not in "\"'":
            group = group or token == "," or ".." in (token[:-1] if tokens[at + 1 : at + 2] == ["}"] else token)
    return None


def _expand_choices(tokens: list[str]) -> list[str]:
    """What stands between braces, expanded. Without any comma it is a range, or else text, braces and all."""
    if "," not in tokens:
        text = "".join(tokens)
        found = _expand_range(text)
        return ["{" + text + "}"] if found is None else found
    edges, depth = [-1], 0
    for at, token in enumerate(tokens):
        depth += (token == "{") - (token == "}" and depth > 0)
        if token == "," and depth == 0:
            edges.append(at)
    found = []
    for a, b in pairwise([*edges, len(tokens)]):
        found += _expand(tokens[a + 1 : b])
        if len(found) > MAX_SPECS:
            raise SpecError(f"the braces stand for more than {MAX_SPECS:,} specs")
    return found


def _expand_range(text: str) -> list[str] | None:
    match = _RANGE.fullmatch(text)
    if not match:
        return None
    first, last, step, *letters = match.groups()
    if letters[0]:
        a, b, stride = ord(letters[0]), ord(letters[1]), abs(int(letters[2] or 1)) or 1
        return [chr(code) for code in _steps(a, b, stride)]
    padded = any(re.fullmatch(r"-?0[0-9]+", end) for end in (first, last))
    width = max(len(first), len(last)) if padded else 0
    return [f"{number:0{width}d}" for number in _steps(int(first), int(last), abs(int(step or 1)) or 1)]


def _steps(first: int, last: int, stride: int) -> range:
    steps = range(first, last + 1, stride) if first <= last else range(first, last - 1, -stride)
    if len(steps) > MAX_SPECS:
        raise SpecError(f"the braces stand for more than {MAX_SPECS:,} specs")
    return steps


def _drop_empty_parts(text: str) -> str:
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
