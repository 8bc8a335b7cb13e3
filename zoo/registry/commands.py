"""The commands that plugins add to the command line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..messages.errors import PluginError
from .declare import check_name
from .loader import quieten
from .owners import Owned
from .registry import Registry

if TYPE_CHECKING:
    import click


def list_commands(registry: Registry) -> dict[str, dict[str, Owned[click.Command]]]:
    """The commands that plugins add, by name and owner. A plugin whose hook fails is marked, and has none."""
    table: dict[str, dict[str, Owned[click.Command]]] = {}
    for plugin, hook in registry.implementations("zoo_commands"):
        try:
            with quieten():
                found = _check(hook.function())
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


def _check(result: Any) -> dict[str, click.Command]:
    import click  # here, since a listing in Python needs no command line

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
