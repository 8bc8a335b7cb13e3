"""The command `zoo`: what the Python functions give, printed. Exit status 1 for a ZooError, 2 for wrong usage."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ..files.header import is_file
from ..messages.render import Branch
from .files import convert, show_file, verify
from .group import Commands, load_installed
from .listings import list_, plugins
from .output import echo_json, echo_lines, echo_tree


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="plugzoo", prog_name="zoo")
def main() -> None:
    """A model zoo in which one line of text is a model."""


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
    if summary:
        import zoo

        found = zoo.summary(zoo.load(spec, device="meta") if is_file(spec) else spec, depth=depth)
        echo_json(found.to_dict()) if as_json else echo_lines(str(found).split("\n"))
    elif is_file(spec):
        show_file(spec, as_json)
    else:
        _show_model(spec, as_json)


def _show_model(spec: str, as_json: bool) -> None:
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
        echo_json(data)
        return
    sites = ", ".join(f"{name}: {' '.join(paths)}" for name, paths in data["sites"].items() if "." not in name)
    lines = [data["model"], "", f"spec        {data['name']}", f"parameters  {data['parameters']:,}"]
    echo_lines([*lines, f"sites       {sites or 'none'}"])
    under = changes.tree().under or (Branch("none"),)
    echo_tree(Branch("changes", under=under))


@main.command("diff")
@click.argument("a")
@click.argument("b")
@click.option("--json", "as_json", is_flag=True, help="One array of objects, one for each difference.")
def diff_(a: str, b: str, as_json: bool) -> None:
    """What differs between two specs: structure, options and shapes. What repeats is folded."""
    import zoo

    found = zoo.diff(a, b)
    if as_json:
        echo_json([{"name": one.path} | asdict(one) for one in found])
        return
    echo_tree(found.tree())


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
    echo_lines([f"{made}", *(f"  {file}" for file in files), ""])
    echo_lines([f'next: cd {shlex.quote(str(made))} && pip install -e ".[test]" && pytest'])


for command in (list_, plugins, convert, verify):
    main.add_command(command)
