"""The commands about what is installed: `zoo list` and `zoo plugins`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from fnmatch import fnmatchcase
from typing import Any

import click

from .group import load_installed
from .output import echo_json, echo_lines, echo_table, terminal_width

KINDS = ("archs", "modifiers", "variants", "plugins")


@click.command("list")
@click.argument("kind", type=click.Choice(KINDS), required=False)
@click.argument("glob", default="*")
@click.option("--json", "as_json", is_flag=True, help="One array of objects, each with a name.")
def list_(kind: str | None, glob: str, as_json: bool) -> None:
    """What is installed: archs, modifiers, variants or plugins, all or those that GLOB matches."""
    kinds = [kind] if kind else list(KINDS)
    rows = {k: [row for row in _list_rows(k) if fnmatchcase(row["name"], glob)] for k in kinds}
    if as_json:
        echo_json([row if kind else {"kind": k} | row for k in kinds for row in rows[k]])
    elif kind == "archs":
        echo_lines(row["name"] for row in rows["archs"])
    elif kind == "plugins":
        _show_plugins(rows["plugins"])
    elif kind:
        echo_table(rows[kind])
    else:
        _show_overview(rows)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One array of objects, each with a name.")
@click.option("-v", "--verbose", is_flag=True, help="With the traceback of each plugin that failed.")
def plugins(as_json: bool, verbose: bool) -> None:
    """The plugins that were found: what they contribute, how long their import took, and why one failed.

    An import that brings torch in says so: it makes every listing slow.
    """
    from ..report.catalog import list_plugins

    rows = [asdict(plugin) for plugin in list_plugins(registry=load_installed())]
    if as_json:
        echo_json(rows)
        return
    _show_plugins(rows)
    if verbose:
        for row in rows:
            echo_lines(["", f"{row['name']} of {row['distribution']}: {row['source']}", *row["warnings"]])
            echo_lines([row["traceback"]] if row["traceback"] else [])


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
    shown = click.HelpFormatter(width=terminal_width())
    shown.write(f"{len(archs)} archs, such as {', '.join(archs[:3])}; all of them: zoo list archs\n")
    for kind, found in texts.items():
        if found:
            shown.write(f"\n{kind}\n")
            with shown.indentation():
                shown.write_dl([(row["name"], text) for row, text in zip(rows[kind], found, strict=True)])
    echo_lines([shown.getvalue().rstrip()])


def _show_plugins(rows: list[dict[str, Any]]) -> None:
    """The columns of plugins that fit a terminal, and below why one doesn't work; the rest is in `--json` and `-v`."""
    columns = ("name", "distribution", "version", "status", "module")
    echo_table(
        [
            {column: row[column] for column in columns}
            | {
                "import": f"{1e3 * row['seconds']:.0f} ms{', torch' if row['torch'] else ''}",
                "contributes": "; ".join(f"{kind}: {', '.join(names)}" for kind, names in row["contributes"].items()),
            }
            for row in rows
        ]
    )
    echo_lines(
        f"{row['name']} of {_format_version(row)} {row['status']}{_format_reason(row)}" for row in rows if row["reason"]
    )


def _format_version(row: Mapping[str, Any]) -> str:
    return f"{row['distribution']} {row['version']}"


def _format_reason(row: Mapping[str, Any]) -> str:
    return f": {row['reason']}" if row["reason"] else ""
