"""The group behind the command `zoo`: its own commands first, then those that plugins add."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from ..messages.errors import ZooError
from ..messages.text import printable
from ..registry.commands import list_commands
from ..registry.loader import check_own_package
from ..registry.owners import choose_owner, find_claims, qualify
from ..registry.registry import Registry, default_registry


class Commands(click.Group):
    """Prints a ZooError in a line or a few, without a traceback. Asks plugins only for what isn't the zoo's own."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for."""
        try:
            check_own_package()
            return super().invoke(ctx)
        except ZooError as error:
            click.echo(f"zoo: {printable(str(error))}", err=True)
            ctx.exit(1)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names that `zoo --help` shows."""
        table = list_commands(load_installed())
        # A name of the zoo's own can't be taken over.
        others = [
            f"{owner}/{name}" if name in self.commands else qualify(name, owner, claims)
            for name, claims in sorted(table.items())
            for owner in claims
        ]
        return [*super().list_commands(ctx), *others]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name, bare or `owner/name`."""
        if (own := super().get_command(ctx, cmd_name)) is not None:
            return own
        _, claims = find_claims(cmd_name, list_commands(load_installed()))
        owner = choose_owner("command", cmd_name, claims)
        return claims[owner].value if owner else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Wrong usage tells of the plugins that failed and might have had the command."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if not (more := printable(load_installed().list_absent(args[0]))):
                raise
            raise click.UsageError(f"{error.format_message()}{more}", ctx) from None


def load_installed() -> Registry:
    """The registry of all that is installed, for a command whose stdout someone reads as data.

    What plugins write to it on import goes to stderr, also what a subprocess or a C library of theirs writes.
    """
    with _spare_stdout():
        return default_registry()


@contextmanager
def _spare_stdout() -> Iterator[None]:
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
