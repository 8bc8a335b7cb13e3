"""What a person reads of a list of findings: what repeats is said once. As text, as a coloured tree, as HTML."""

from __future__ import annotations

import html
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from .text import and_more, printable

if TYPE_CHECKING:
    from rich.tree import Tree

T = TypeVar("T")
MOST_SHOWN = 200
_COLOURS = {"green": "#1a7f37", "red": "#cf222e", "yellow": "#9a6700", "dim": "#6e7781"}


@dataclass(frozen=True)
class Branch:
    """A line with what hangs under it. style: `green`, `red`, `yellow`, `dim`, `bold` or nothing. No text, no line."""

    text: str = ""
    style: str = ""
    under: tuple[Branch, ...] = ()


def fold(items: Iterable[T], key: Callable[[T], Hashable]) -> list[list[T]]:
    """The items in groups of equal keys, in the order in which the keys first appear."""
    groups: dict[Hashable, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return list(groups.values())


def row(paths: Sequence[str], words: str, style: str = "") -> Branch:
    """`fc: words` for one path, `act1 … layer4.1.act2: 17 × words` for several."""
    if len(paths) == 1:
        return Branch(f"{paths[0] or '(root)'}: {words}", style)
    return Branch(f"{paths[0] or '(root)'} … {paths[-1]}: {len(paths)} × {words}", style)


def format_counts(added: int, removed: int, flops: int | None) -> str:
    """`, +513 parameters, +1,026 FLOPs`; nothing for what is zero or unknown."""
    parameters = "".join(f", {sign}{n:,} parameters" for sign, n in (("+", added), ("-", removed)) if n)
    return parameters + (f", {flops:+,} FLOPs" if flops else "")


def cap(rows: Sequence[Branch]) -> tuple[Branch, ...]:
    """As many rows as anyone reads, and how many more there are."""
    more = and_more(len(rows), MOST_SHOWN, "… and ")
    return (*rows[:MOST_SHOWN], Branch(more, "dim")) if more else tuple(rows)


def as_text(branch: Branch, depth: int = 0) -> str:
    """Indented lines, for print and for files."""
    own = ["  " * depth + printable(branch.text)] if branch.text else []
    deeper = depth + bool(branch.text)
    return "\n".join([*own, *(as_text(one, deeper) for one in branch.under)])


def as_rich(branch: Branch) -> Tree:
    """A coloured tree, for the terminal; `rich.print` asks for it."""
    from rich.text import Text
    from rich.tree import Tree

    # Text, since rich would read square brackets in a str as markup.
    tree = Tree(Text(printable(branch.text), branch.style), guide_style="dim", hide_root=not branch.text)
    for one in branch.under:
        tree.children.append(as_rich(one))
    return tree


def as_html(branch: Branch) -> str:
    """For notebooks: escaped, without scripts; lines with something under them fold."""
    inside = "".join(as_html(one) for one in branch.under)
    if not branch.text:
        return f"<div>{inside}</div>"
    colour = _COLOURS.get(branch.style)
    style = f' style="color:{colour}"' if colour else ""
    text = f"<code{style}>{html.escape(printable(branch.text))}</code>"
    if not branch.under:
        return f'<div style="margin-left:1.5em">{text}</div>'
    return f'<details open style="margin-left:0.5em"><summary>{text}</summary>{inside}</details>'
