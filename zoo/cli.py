"""The command `zoo`: what the Python functions give, printed. Exit status 1 for a ZooError, 2 for wrong usage."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from fnmatch import fnmatchcase
from typing import Any

import click

from .cli_files import convert, show_file, verify
from .errors import ZooError, printable
from .headers import is_file

KINDS = ("archs", "modifiers", "variants", "plugins")


class _Commands(click.Group):
    """Prints a ZooError in a line or a few, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ZooError as error:
            click.echo(f"zoo: {printable(str(error))}", err=True)
            ctx.exit(1)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="plugzoo", prog_name="zoo")
def main() -> None:
    """A model zoo in which one line of text is a model."""


@main.command("list")
@click.argument("kind", type=click.Choice(KINDS), required=False)
@click.argument("glob", default="*")
@click.option("--json", "as_json", is_flag=True, help="One array of objects, each with a name.")
def list_(kind: str | None, glob: str, as_json: bool) -> None:
    """What is installed: archs, modifiers, variants or plugins, all or those that GLOB matches."""
    kinds = [kind] if kind else list(KINDS)
    rows = {k: [row for row in _rows(k) if fnmatchcase(row["name"], glob)] for k in kinds}
    if as_json:
        _echo_json([row if kind else {"kind": k} | row for k in kinds for row in rows[k]])
    elif kind == "archs":
        _echo_lines(row["name"] for row in rows["archs"])
    elif kind:
        _table(rows[kind])
    else:
        _overview(rows)


@main.command()
@click.argument("spec")
@click.option("--json", "as_json", is_flag=True, help="One object.")
def show(spec: str, as_json: bool) -> None:
    """A model: its parts, what its modifiers changed, parameters and sites; or what a file says that it holds.

    Nothing is downloaded or computed.
    """
    if is_file(spec):
        show_file(spec, as_json)
        return
    import zoo

    model = zoo.create(spec, device="meta")
    changes = zoo.changes(model)
    data: dict[str, Any] = {
        "name": str(zoo.spec_of(model)),
        "class": type(model).__name__,
        "parameters": sum(p.numel() for p in model.parameters()),
        "sites": {name: list(paths) for name, paths in zoo.sites_of(model).items()},
        "changes": [asdict(change) for change in changes],
        "model": repr(model),
    }
    if as_json:
        _echo_json(data)
        return
    sites = ", ".join(f"{name}: {' '.join(paths)}" for name, paths in data["sites"].items())
    lines = [data["model"], "", f"spec        {data['name']}", f"parameters  {data['parameters']:,}"]
    lines += [f"sites       {sites or 'none'}", "changes", *(f"  {line}" for line in str(changes).split("\n"))]
    _echo_lines(lines)


@main.command("diff")
@click.argument("a")
@click.argument("b")
@click.option("--json", "as_json", is_flag=True, help="One array of objects, one for each difference.")
def diff_(a: str, b: str, as_json: bool) -> None:
    """What differs between two specs: structure, options and shapes. What repeats is folded."""
    from rich.console import Console
    from rich.text import Text

    import zoo

    found = zoo.diff(a, b)
    if as_json:
        _echo_json([{"name": one.path} | asdict(one) for one in found])
        return
    console = Console(highlight=False, soft_wrap=True)
    head, *rows = str(found).split("\n")
    console.print(Text(printable(head), style="bold"))
    for row in rows:
        console.print(
            Text(printable(row), style="green" if "only in b" in row else "red" if "only in a" in row else "yellow")
        )


@main.command()
@click.option("--json", "as_json", is_flag=True, help="One array of objects, each with a name.")
@click.option("-v", "--verbose", is_flag=True, help="With the traceback of each plugin that failed.")
def plugins(as_json: bool, verbose: bool) -> None:
    """The plugins that were found: distribution and version, status, and why one failed."""
    rows = _rows("plugins")
    if as_json:
        _echo_json(rows)
        return
    _table(rows)
    if verbose:
        _echo_lines(line for row in rows if row["traceback"] for line in ("", row["name"], row["traceback"]))


main.add_command(convert)
main.add_command(verify)


def _rows(kind: str) -> list[dict[str, Any]]:
    """One object for each thing of a kind."""
    from . import listing
    from .registry import default_registry

    registry = default_registry()
    if kind == "archs":
        return [{"name": name} for name in listing.list_archs()]
    if kind == "modifiers":
        described = [listing.describe(name) for name in listing.list_modifiers()]
        return [
            {"name": d.name, "owner": d.owner, "signature": d.signature, "doc": d.doc.split("\n")[0]} for d in described
        ]
    if kind == "variants":
        return [{"name": v.name, "spec": v.spec} for v in listing.list_variants()]
    return [asdict(plugin) for plugin in registry.plugins]


def _overview(rows: dict[str, list[dict[str, Any]]]) -> None:
    archs = [row["name"] for row in rows["archs"]]
    click.echo(f"{len(archs)} archs, such as {', '.join(archs[:3])}; all of them: zoo list archs")
    for kind in KINDS[1:]:
        if rows[kind]:
            click.echo(f"\n{kind}")
            _table(rows[kind])


def _table(rows: Sequence[dict[str, Any]]) -> None:
    """A table of the columns worth reading, as wide as the terminal."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not rows:
        click.echo("none")
        return
    columns = [c for c in rows[0] if c not in ("traceback", "seconds", "torch", "owner")]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        # Text, since rich would read square brackets in a str as markup.
        table.add_row(*(Text(printable(str(row[c]))) for c in columns))
    Console(highlight=False).print(table)


def _echo_json(data: Any) -> None:
    click.echo(json.dumps(data, indent=2, default=str))


def _echo_lines(lines: Iterable[str]) -> None:
    click.echo("\n".join(printable(line) for line in lines))
