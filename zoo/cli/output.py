"""How commands print: tables and trees as wide as the terminal, and in a pipe each row on one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from typing import Any

import click

from ..messages.render import Branch, as_rich
from ..messages.text import printable

WIDE = 10_000


def echo_table(rows: Sequence[dict[str, Any]]) -> None:
    """A table of the columns worth reading, as wide as the terminal; elsewhere each row is one line."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not rows:
        click.echo("none")
        return
    columns = [c for c in rows[0] if c != "owner" and any(row[c] for row in rows)]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        # Text, since rich would read square brackets in a str as markup.
        table.add_row(*(Text(printable(str(row[c]))) for c in columns))
    Console(highlight=False, width=terminal_width()).print(table)


def terminal_width() -> int:
    """The terminal's columns; in a pipe a row isn't folded, for those who search in it."""
    return shutil.get_terminal_size(fallback=(WIDE, 24)).columns


def echo_tree(branch: Branch) -> None:
    """In a terminal with colours, folded to its width; elsewhere each row is one line, for those who search in it."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDE
    console.print(as_rich(branch))


def echo_json(data: Any) -> None:
    """For programs that read it."""
    click.echo(json.dumps(data, indent=2, default=str))


def echo_lines(lines: Iterable[str]) -> None:
    """For people, so that nothing in it steers their terminal."""
    for line in lines:
        click.echo(printable(line))
