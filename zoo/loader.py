"""Finding and importing plugins, each by itself: one that fails is reported and takes nothing else down.

pluggy's own loader stops at the first plugin that fails and passes over a second distribution that uses the same
entry-point name, so this one reads the entry points itself.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import sys
import time
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, replace
from types import ModuleType

OWN = "plugzoo"  # the distribution whose names no other can take over
RESERVED_OWNERS = ("zoo", "timm", "torchvision")  # what stands in front of its names


@dataclass(frozen=True)
class Plugin:
    """One plugin and how it fared.

    name: the entry point's; distribution, version: the installed package it came with; module: what was imported.
    owner: what stands in front of a name to say whose it is. status: `ok`, `failed` or `disabled`, with the reason.
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

    def failed(self, reason: str, error: BaseException | None = None) -> Plugin:
        """The same plugin with status `failed`."""
        text = "".join(traceback.format_exception(error)) if error else ""
        return replace(self, status="failed", reason=reason, traceback=text)


def normalise(name: str) -> str:
    """A distribution's name as packaging compares it: `Zoo_Acme` and `zoo-acme` are one."""
    return re.sub(r"[-_.]+", "-", name).lower()


def find_plugins() -> list[tuple[Plugin, importlib.metadata.EntryPoint]]:
    """The entry points of the group `zoo`, ordered by owner and name, so that `sys.path` decides nothing.

    A distribution that shows twice, as stale editable installs do, counts once.
    """
    found: dict[tuple[bool, str, str], tuple[Plugin, importlib.metadata.EntryPoint]] = {}
    for entry in importlib.metadata.entry_points(group="zoo"):
        distribution, version = _origin(entry)
        owner = "zoo" if distribution == OWN else distribution
        plugin = Plugin(entry.name, distribution, version, owner, entry.value)
        found.setdefault((owner != "zoo", distribution, entry.name), (plugin, entry))
    return [found[key] for key in sorted(found)]


def _origin(entry: importlib.metadata.EntryPoint) -> tuple[str, str]:
    """Distribution and version behind an entry point; a broken installation has metadata without either."""
    try:
        name, version = entry.dist.name, entry.dist.version  # type: ignore[union-attr]
    except Exception:
        return "unknown", "?"
    return normalise(name) if name else "unknown", version or "?"


def load_plugins(disabled: str | None = None) -> list[tuple[Plugin, ModuleType | None]]:
    """Import every plugin that isn't disabled; with each its module, or None and the reason.

    disabled: names of entry points or distributions, comma-separated, or `*` for all that aren't the zoo's own; by
    default the environment variable ZOO_DISABLE_PLUGINS.
    """
    names = os.environ.get("ZOO_DISABLE_PLUGINS", "") if disabled is None else disabled
    off = {name.strip() for name in names.split(",") if name.strip()}
    off |= {normalise(name) for name in off if name != "*"}
    return [_load(plugin, entry, off) for plugin, entry in find_plugins()]


def _load(plugin: Plugin, entry: importlib.metadata.EntryPoint, off: Iterable[str]) -> tuple[Plugin, ModuleType | None]:
    if plugin.name in off or plugin.distribution in off or ("*" in off and plugin.distribution != OWN):
        return replace(plugin, status="disabled", reason="by ZOO_DISABLE_PLUGINS"), None
    had_torch, start = "torch" in sys.modules, time.perf_counter()
    try:
        module = entry.load()
    # SystemExit too: a plugin that calls sys.exit() on import must not end the user's program.
    except (Exception, SystemExit) as error:
        return plugin.failed(f"{type(error).__name__}: {error}", error), None
    took = time.perf_counter() - start
    plugin = replace(plugin, seconds=took, torch="torch" in sys.modules and not had_torch)
    if not isinstance(module, ModuleType):
        return plugin.failed(f"the entry point names a {type(module).__name__}; it must name a module"), None
    return plugin, module
