"""The group behind the command `zoo`: its own commands first, then those that plugins add."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from ..messages.errors import PluginError, ZooError, printable
from ..registry.declare import check_name
from ..registry.entry_points import check_own_package, kept_quiet
from ..registry.owners import Owned, choose, claims_of, reached_as
from ..registry.registry import Registry, default_registry

Table = dict[str, dict[str, Owned[click.Command]]]


class Commands(click.Group):
    """Prints a ZooError in a line or a few, without a traceback. Asks plugins only for what isn't the zoo's own."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            check_own_package()
            return super().invoke(ctx)
        except ZooError as error:
            click.echo(f"zoo: {printable(str(error))}", err=True)
            ctx.exit(1)

    def list_commands(self, ctx: click.Context) -> list[str]:
        table = plugin_commands(installed())
        others = [self._reached(name, owner, table) for name, claims in sorted(table.items()) for owner in claims]
        return [*super().list_commands(ctx), *others]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if (own := super().get_command(ctx, cmd_name)) is not None:
            return own
        _, claims = claims_of(cmd_name, plugin_commands(installed()))
        owner = choose("command", cmd_name, claims)
        return claims[owner].value if owner else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Wrong usage tells of the plugins that failed and might have had the command."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if not (more := printable(installed().not_there(args[0]))):
                raise
            raise click.UsageError(f"{error.format_message()}{more}", ctx) from None

    def _reached(self, name: str, owner: str, table: Table) -> str:
        """A name of the zoo's own can't be taken over."""
        return f"{owner}/{name}" if name in self.commands else reached_as(name, owner, table[name])


def plugin_commands(registry: Registry) -> Table:
    """The commands that plugins add, by name and owner. A plugin whose hook fails is marked, and has none."""
    table: Table = {}
    for plugin, hook in registry.asked("zoo_commands"):
        try:
            with kept_quiet():
                found = _checked(hook.function())
            for name in found:
                if plugin.owner in table.get(name, {}):
                    raise PluginError(f"{plugin.owner} declares the command '{name}' twice")
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            registry.mark_failed(plugin, error)
            continue
        registry.note(plugin, "commands", tuple(found))
        for name, command in found.items():
            table.setdefault(name, {})[plugin.owner] = Owned(plugin, command)
    return table


def _checked(result: Any) -> dict[str, click.Command]:
    if not isinstance(result, Iterable) or isinstance(result, str):
        raise PluginError(f"zoo_commands() returned {type(result).__name__}; expected a list of click's commands")
    found: dict[str, click.Command] = {}
    for command in result:
        if not isinstance(command, click.Command):
            raise PluginError(f"zoo_commands() returned {command!r}; expected what @click.command() makes")
        check_name("command", command.name)
        command.get_short_help_str()  # what `zoo --help` asks of it
        if command.name in found:
            raise PluginError(f"zoo_commands() has two commands '{command.name}'")
        found[str(command.name)] = command
    return found


def installed() -> Registry:
    """The registry of all that is installed, for a command whose stdout someone reads as data.

    What plugins write to it on import goes to stderr, also what a subprocess or a C library of theirs writes.
    """
    with _spared_stdout():
        return default_registry()


@contextmanager
def _spared_stdout() -> Iterator[None]:
    try:
        sys.stdout.flush()
        saved = os.dup(1)
    except (OSError, ValueError, AttributeError):  # there's no stdout
        yield
        return
    try:
        os.dup2(2, 1)
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)
