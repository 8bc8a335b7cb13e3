"""The command `zoo`: what the Python functions give, printed. Exit status 1 for a ZooError, 2 for wrong usage."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import click

from ..files.header import is_file
from ..messages.render import Branch, as_rich
from ..messages.text import printable
from .files import convert, show_file, verify
from .group import Commands, load_installed

KINDS = ("archs", "modifiers", "variants", "plugins")
WIDE = 10_000


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
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
    rows = {k: [row for row in _list_rows(k) if fnmatchcase(row["name"], glob)] for k in kinds}
    if as_json:
        _echo_json([row if kind else {"kind": k} | row for k in kinds for row in rows[k]])
    elif kind == "archs":
        _echo_lines(row["name"] for row in rows["archs"])
    elif kind == "plugins":
        _show_plugins(rows["plugins"])
    elif kind:
        _show_table(rows[kind])
    else:
        _show_overview(rows)


@main.command()
@click.argument("spec")
@click.option("--summary", is_flag=True, help="A table of modules: output shapes, parameters, FLOPs, activations.")
@click.option("--depth", type=click.IntRange(0), help="With --summary: print no deeper than this.")
@click.option("--json", "as_json", is_flag=True, help="One object.")
def show(spec: str, summary: bool, depth: int | None, as_json: bool) -> None:
    """A model: its parts, what its modifiers changed, parameters and sites; or what a file says that it holds.

    Nothing is downloaded or computed.
    """
    if depth is not None and not summary:
        raise click.UsageError("--depth goes with --summary")
    if is_file(spec) and not summary:
        show_file(spec, as_json)
        return
    import zoo

    if summary:
        found = zoo.summary(zoo.load(spec, device="meta") if is_file(spec) else spec, depth=depth)
        _echo_json(found.to_dict()) if as_json else _echo_lines(str(found).split("\n"))
        return
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
    _echo_lines([*lines, f"sites       {sites or 'none'}"])
    under = changes.tree().under or (Branch("none"),)
    _echo_tree(Branch("changes", under=under))


@main.command("diff")
@click.argument("a")
@click.argument("b")
@click.option("--json", "as_json", is_flag=True, help="One array of objects, one for each difference.")
def diff_(a: str, b: str, as_json: bool) -> None:
    """What differs between two specs: structure, options and shapes. What repeats is folded."""
    import zoo

    found = zoo.diff(a, b)
    if as_json:
        _echo_json([{"name": one.path} | asdict(one) for one in found])
        return
    _echo_tree(found.tree())


@main.command()
@click.option("--json", "as_json", is_flag=True, help="One array of objects, each with a name.")
@click.option("-v", "--verbose", is_flag=True, help="With the traceback of each plugin that failed.")
def plugins(as_json: bool, verbose: bool) -> None:
    """The plugins that were found: what they contribute, how long their import took, and why one failed.

    An import that brings torch in says so: it makes every listing slow.
    """
    from ..report.catalog import list_plugins

    rows = [asdict(plugin) for plugin in list_plugins(registry=load_installed())]
    if as_json:
        _echo_json(rows)
        return
    _show_plugins(rows)
    if verbose:
        for row in rows:
            _echo_lines(["", f"{row['name']} of {row['distribution']}: {row['source']}", *row["warnings"]])
            _echo_lines([row["traceback"]] if row["traceback"] else [])


@main.command("new-plugin")
@click.argument("name")
@click.option("--arch", is_flag=True, help="With an arch.")
@click.option("--modifier", is_flag=True, help="With a modifier; so it is without --arch, too.")
@click.option("--into", default=".", type=click.Path(path_type=Path), help="The folder that the package's comes into.")
def new_plugin_(name: str, arch: bool, modifier: bool, into: Path) -> None:
    """A new plugin: a package NAME, such as zoo-acme, that installs and passes its tests, to start from."""
    from .scaffold import new_plugin

    made = new_plugin(name, into, arch=arch, modifier=modifier, registry=load_installed())
    files = sorted(path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file())
    _echo_lines([f"{made}", *(f"  {file}" for file in files), ""])
    _echo_lines([f'next: cd {shlex.quote(str(made))} && pip install -e ".[test]" && pytest'])


main.add_command(convert)
main.add_command(verify)


def _list_rows(kind: str) -> list[dict[str, Any]]:
    """One object for each thing of a kind."""
    from ..report import catalog

    registry = load_installed()
    if kind == "archs":
        return [{"name": name} for name in catalog.list_archs()]
    if kind == "modifiers":
        described = [catalog.describe(name) for name in catalog.list_modifiers()]
        return [
            {"name": d.name, "owner": d.owner, "signature": d.signature, "doc": d.doc.split("\n")[0]} for d in described
        ]
    if kind == "variants":
        return [{"name": v.name, "spec": v.spec} for v in catalog.list_variants()]
    return [asdict(plugin) for plugin in registry.plugins]


def _show_overview(rows: dict[str, list[dict[str, Any]]]) -> None:
    """All that is installed in a line each; not as rich's tables, which take a second for a hundred plugins."""
    archs = [row["name"] for row in rows["archs"]]
    texts = {
        "modifiers": [row["doc"] for row in rows["modifiers"]],
        "variants": [row["spec"] for row in rows["variants"]],
        "plugins": [f"{_format_version(row)}, {row['status']}{_format_reason(row)}" for row in rows["plugins"]],
    }
    shown = click.HelpFormatter(width=_width())
    shown.write(f"{len(archs)} archs, such as {', '.join(archs[:3])}; all of them: zoo list archs\n")
    for kind, found in texts.items():
        if found:
            shown.write(f"\n{kind}\n")
            with shown.indentation():
                shown.write_dl([(row["name"], text) for row, text in zip(rows[kind], found, strict=True)])
    _echo_lines([shown.getvalue().rstrip()])


def _show_plugins(rows: list[dict[str, Any]]) -> None:
    """The columns of plugins that fit a terminal, and below why one doesn't work; the rest is in `--json` and `-v`."""
    columns = ("name", "distribution", "version", "status", "module")
    _show_table(
        [
            {column: row[column] for column in columns}
            | {
                "import": f"{1e3 * row['seconds']:.0f} ms{', torch' if row['torch'] else ''}",
                "contributes": "; ".join(f"{kind}: {', '.join(names)}" for kind, names in row["contributes"].items()),
            }
            for row in rows
        ]
    )
    _echo_lines(
        f"{row['name']} of {_format_version(row)} {row['status']}{_format_reason(row)}" for row in rows if row["reason"]
    )


def _format_version(row: Mapping[str, Any]) -> str:
    return f"{row['distribution']} {row['version']}"


def _format_reason(row: Mapping[str, Any]) -> str:
    return f": {row['reason']}" if row["reason"] else ""


def _show_table(rows: Sequence[dict[str, Any]]) -> None:
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
    Console(highlight=False, width=_width()).print(table)


def _width() -> int:
    """The terminal's columns; in a pipe a row isn't folded, for those who search in it."""
    return shutil.get_terminal_size(fallback=(WIDE, 24)).columns


def _echo_tree(branch: Branch) -> None:
    """In a terminal with colours, folded to its width; elsewhere each row is one line, for those who search in it."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDE
    console.print(as_rich(branch))


def _echo_json(data: Any) -> None:
    click.echo(json.dumps(data, indent=2, default=str))


def _echo_lines(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(printable(line))
