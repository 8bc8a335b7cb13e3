"""The commands about files: `zoo convert`, `zoo verify`, and `zoo show` of one."""

from __future__ import annotations

import json
from dataclasses import asdict
from math import prod
from typing import Any

import click

from ..messages.text import printable
from .output import echo_json


@click.command()
@click.argument("source", metavar="IN")
@click.argument("path", metavar="OUT")
@click.argument("spec")
@click.option("--map", "renamed", multiple=True, metavar="OLD=NEW", help="A part that is called otherwise in IN.")
def convert(source: str, path: str, spec: str, renamed: tuple[str, ...]) -> None:
    """Weights of torch.save or of a plain safetensors file as a file of the zoo. No code in IN is run."""
    from ..checkpoint.convert import convert as converted

    if odd := [pair for pair in renamed if "=" not in pair]:
        raise click.UsageError(f"--map takes OLD=NEW, not '{odd[0]}'")
    text = converted(source, path, spec, map=dict(pair.split("=", 1) for pair in renamed) or None)
    click.echo(printable(f"{path}: {text}"))


@click.command()
@click.argument("file")
@click.option("--json", "as_json", is_flag=True, help="One array of objects, one for each difference.")
def verify(file: str, as_json: bool) -> None:
    """Whether FILE holds what its spec says: built on meta, and compared by name, shape and dtype. Status 1 if not."""
    from ..files.manifest import list_other_versions, read
    from ..report.diff import verify as verified

    found = verified(file)
    if as_json:
        echo_json([{"name": one.path} | asdict(one) for one in found])
    else:
        click.echo(printable(f"{found}{list_other_versions(read(file)[0])}"))
    if found:
        raise SystemExit(1)


def show_file(file: str, as_json: bool) -> None:
    """What a file says of itself. Nothing is built, so that it works where a plugin is missing."""
    from ..files.manifest import read
    from ..surgery.changes import Changes

    manifest, header = read(file)
    own = {name: e for name, e in header.entries.items() if not name.startswith("zoo:")}
    numbers = sum(prod(entry.shape) for entry in own.values())
    kinds = ", ".join(sorted({entry.dtype for entry in own.values()}))
    changes = Changes(manifest.changes)
    if as_json:
        data: dict[str, Any] = json.loads(manifest.dump())
        echo_json({"name": file, "tensors": len(own), "numbers": numbers, **data})
        return
    lines = [f"file        {file}", str(manifest), f"tensors     {len(own)}, {numbers:,} numbers, {kinds}", "changes"]
    click.echo(printable("\n".join([*lines, *(f"  {line}" for line in str(changes).split("\n"))])))
