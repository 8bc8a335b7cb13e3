"""Importing plugins, each by itself: one that fails is reported and takes nothing else down."""

from __future__ import annotations

import importlib.metadata
import os
import re
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from types import ModuleType

from ..messages.errors import PluginError
from .entry_points import Found, find_plugins
from .plugins import OWN, Plugin, normalise, reason_of

MOST_WARNINGS = 20


def load_plugins(disabled: str | None = None) -> list[tuple[Plugin, ModuleType | None]]:
    """Import every plugin that isn't disabled; with each its module, or None and the reason.

    disabled: names of entry points or distributions, comma-separated, or `*` for all that aren't the zoo's own; by
    default the environment variable ZOO_DISABLE_PLUGINS.
    """
    check_own_package()
    names = os.environ.get("ZOO_DISABLE_PLUGINS", "") if disabled is None else disabled
    off = {name.strip() for name in names.split(",") if name.strip()}
    off |= {normalise(name) for name in off if name != "*"}
    found = find_plugins()
    installed = next((one.plugin.version for one in found if one.plugin.distribution == OWN), "")
    return [_load(one, off, installed) for one in found]


def check_own_package() -> None:
    """Raise PluginError where another distribution's `zoo` lies over this one: `import zoo` would give the wrong one.

    analytics-zoo, for one, installs a package of that name.
    """
    package = sys.modules[__name__.partition(".")[0]]
    if not hasattr(package, "_HOMES"):
        others = sorted(set(importlib.metadata.packages_distributions().get("zoo", ())) - {OWN})
        raise PluginError(
            f"`import zoo` gives {package.__file__}, which isn't plugzoo's: another package of that name lies over it. "
            f"Type: pip uninstall {' '.join(others) or 'analytics-zoo'}; pip install --force-reinstall --no-deps {OWN}"
        )


def _load(found: Found, off: Iterable[str], installed: str) -> tuple[Plugin, ModuleType | None]:
    plugin, entry = found.plugin, found.entry
    if plugin.name in off or plugin.distribution in off or ("*" in off and plugin.distribution != OWN):
        return replace(plugin, status="disabled", reason="by ZOO_DISABLE_PLUGINS"), None
    if entry is None:
        return plugin, None
    if unmet := _find_unmet(found.needs, installed):
        return plugin.as_failed(unmet), None
    before, start = set(sys.modules), time.perf_counter()
    module, problem = None, None
    with quieten() as met:
        try:
            module = entry.load()
        except KeyboardInterrupt:
            raise
        # SystemExit too: a plugin that calls sys.exit() on import must not end the user's program.
        except BaseException as error:
            problem = error
    took = time.perf_counter() - start
    plugin = replace(plugin, seconds=took, torch=_brings_torch(module, before), warnings=tuple(met))
    if problem is not None:
        stale = f"; its metadata is there {len(found.copies)} times: {', '.join(found.copies)}"
        return plugin.as_failed(reason_of(problem) + (stale if len(found.copies) > 1 else ""), problem), None
    if not isinstance(module, ModuleType):
        return plugin.as_failed(f"the entry point names a {type(module).__name__}; it must name a module"), None
    return replace(plugin, source=getattr(module, "__file__", None) or plugin.source), module


def _find_unmet(needs: Iterable[str], version: str) -> str:
    """The requirement on plugzoo that isn't met, if there is one: it says which version of the API a plugin needs."""
    ours = [text for text in needs if normalise(re.split(r"[^\w.-]", text.strip(), maxsplit=1)[0]) == OWN]
    if not version or not any(re.search(r"[<>=!~]", text) for text in ours):
        return ""
    from packaging.requirements import InvalidRequirement, Requirement

    for text in ours:
        try:
            need = Requirement(text)
        except InvalidRequirement:
            continue
        applies = need.marker is None or need.marker.evaluate({"extra": ""})
        if applies and not need.specifier.contains(version, prereleases=True):
            return f"it needs {need.name}{need.specifier}, and this is {OWN} {version}"
    return ""


@contextmanager
def quieten() -> Iterator[list[str]]:
    """While a plugin's own code runs: what it prints goes to stderr, and its warnings into the list that this gives.

    So a listing stays what it is, and a program in which warnings are errors keeps its plugins.
    """
    met: list[str] = []
    with warnings.catch_warnings(record=True) as caught, redirect_stdout(sys.stderr):
        warnings.simplefilter("default")
        try:
            yield met
        finally:
            met += [f"{reason_of(w.message)} ({w.filename}, line {w.lineno})" for w in caught[:MOST_WARNINGS]]  # type: ignore[arg-type]


def _brings_torch(module: object, before: set[str]) -> bool:
    """Whether an import brought torch in; where that was there already, whether what was imported holds any of it."""
    if "torch" not in sys.modules or "torch" not in before:
        return "torch" in sys.modules
    root = getattr(module, "__name__", "").partition(".")[0]
    new = [one for name, one in [*sys.modules.items()] if name not in before and name.partition(".")[0] == root]
    return any(_is_of_torch(value) for one in (module, *new) for value in [*getattr(one, "__dict__", {}).values()])


def _is_of_torch(value: object) -> bool:
    """Whether this is a module or a class of torch's, or an instance of one."""
    try:
        owner = value if isinstance(value, (ModuleType, type)) else type(value)
        name = owner.__name__ if isinstance(owner, ModuleType) else owner.__module__
        return str(name).partition(".")[0] == "torch"
    except Exception:  # a stranger's metaclass
        return False
