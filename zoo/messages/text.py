"""The words that messages are made of: a quotation, a place, a list that is cut short, the nearest names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


def printable(text: str) -> str:
    """Text with what would steer a terminal made visible: names and reasons come from strangers' packages and files."""
    return "".join(c if c.isprintable() or c in "\n\t" else f"\\x{ord(c):02x}" for c in text)


def shorten(text: str, most: int) -> str:
    """A text of at most so many characters; dots say that there was more."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def put_in_a_line(text: str, most: int = 120) -> str:
    """A text without its line breaks and repeated spaces, and short."""
    return shorten(" ".join(text.split()), most)


def escape(text: str, most: int = 100) -> str:
    """A text out of a file, as a message may show it: short, and nothing in it steers a terminal."""
    return printable(shorten(text, most)).replace("\n", "\\n")


def quote(text: str, most: int = 100) -> str:
    """The same between quotes."""
    return f"'{escape(text, most)}'"


def format_place(path: str, kind: str = "", root: str = "the model itself") -> str:
    """A place of a model in words, for a message.

    Args:
        path: the module's path; names in it may be anyone's, so what would steer a terminal is made visible.
        kind: the name of its class, where that belongs into the message.
        root: what the model itself is called.

    Returns:
        The words, for the middle of a sentence.

    Example:
        >>> zoo.format_place("fc", "Linear"), zoo.format_place("")
        ("'fc' (Linear)", 'the model itself')
    """
    place = f"'{printable(path)}'" if path else root
    return f"{place} ({kind})" if kind else place


def format_error(error: BaseException) -> str:
    """An exception in words: its class and its text, if it can say one."""
    try:
        text = str(error)
    except Exception:
        text = "(it has no text)"
    return f"{type(error).__name__}: {text}"


def count(number: int, noun: str) -> str:
    """`1 difference`, `3 differences`."""
    return f"{number} {noun}{'s' * (number != 1)}"


def and_more(total: int, most: int, lead: str = " and ") -> str:
    """What stands behind the first few of many: ` and 3 more`; nothing where those are all."""
    return f"{lead}{total - most} more" if total > most else ""


def list_names(names: Iterable[str], most: int = 4) -> str:
    """`'a', 'b' and 3 more`."""
    found = list(names)
    return ", ".join(f"'{name}'" for name in found[:most]) + and_more(len(found), most)


def list_lines(lines: Sequence[str], most: int, lead: str = "… and ") -> str:
    """The first few of many, each on a line below the message, and how many more there are."""
    return "".join(f"\n  {line}" for line in lines[:most]) + and_more(len(lines), most, f"\n  {lead}")


def find_near(name: str, known: Iterable[str], most: int = 1, cutoff: float = 0.6) -> list[str]:
    """The known names that someone who typed this one may have meant, the nearest first."""
    return difflib.get_close_matches(name, list(known), n=most, cutoff=cutoff)


def ask_for(near: Iterable[str]) -> str:
    """`did you mean 'silu' or 'gelu'?`; nothing where nothing is near."""
    names = " or ".join(map(repr, near))
    return f"did you mean {names}?" if names else ""


def suggest(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """What to say of a name that nobody knows: `did you mean 'silu'?`, or something else where nothing is near.

    Args:
        name: what was typed.
        known: the names that there are.
        otherwise: what to say where none of them is near.

    Returns:
        The words, for the end of a message.

    Example:
        >>> zoo.suggest("silo", ["relu", "silu"], "the names: relu, silu")
        "did you mean 'silu'?"
    """
    return ask_for(find_near(name, known)) or otherwise
