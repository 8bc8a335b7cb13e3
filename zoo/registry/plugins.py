"""A plugin, how it fared, and what to say of those that aren't there."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from ..messages.errors import PluginError
from ..messages.text import format_error, list_lines

OWN = "plugzoo"  # the distribution whose names no other can take over
RESERVED_OWNERS = ("zoo", "timm", "torchvision")  # what stands in front of its names
LONGEST_REASON = 1000
MOST_NAMED = 5


@dataclass(frozen=True)
class Plugin:
    """One plugin and how it fared.

    name: the entry point's; distribution, version: the installed package it came with; module: what was imported.
    owner: what stands in front of a name to say whose it is. status: `ok`, `failed` or `disabled`, with the reason.
    seconds: what its import took; torch: whether that brought torch in. source: the file that it was imported from, or
    the folder of its metadata where it wasn't. contributes: the names that it declares, by kind. warnings: those that
    its import gave.
    """

    name: str
    distribution: str
    version: str
    owner: str
    module: str
    status: str = "ok"
    reason: str = ""
    seconds: float = 0.0
    torch: bool = False
    traceback: str = ""
    source: str = ""
    contributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    warnings: tuple[str, ...] = ()

    def as_failed(self, reason: str, error: BaseException | None = None) -> Plugin:
        """The same plugin with status `failed`."""
        text = "".join(traceback.format_exception(error)) if error else ""
        short = reason if len(reason) <= LONGEST_REASON else f"{reason[:LONGEST_REASON]} …"
        return replace(self, status="failed", reason=short, traceback=text)


def normalise(name: str) -> str:
    """A distribution's name as packaging compares it: `Zoo_Acme` and `zoo-acme` are one."""
    return re.sub(r"[-_.]+", "-", name).lower()


def reason_of(error: BaseException) -> str:
    """Why a plugin failed, in words."""
    return str(error) if isinstance(error, PluginError) else format_error(error)


def list_absent(plugins: Iterable[Plugin], name: str) -> str:
    """What to add to an error about a name that nobody has: a line for each plugin that failed or is disabled.

    Only those of the owner in front of the name, where it has one; and the first few of many.
    """
    owner, slash, _ = name.partition("/")
    own = "zoo" if owner in RESERVED_OWNERS else owner
    silent = [p for p in plugins if p.reason and (not slash or p.owner == own)]
    silent.sort(key=lambda p: p.status != "failed")  # whoever disabled one knows of it
    lines = [f"plugin '{p.name}' of {p.distribution} {p.status}: {p.reason}" for p in silent]
    return list_lines(lines, MOST_NAMED, "and ") + ("; see `zoo plugins`" if len(silent) > MOST_NAMED else "")
