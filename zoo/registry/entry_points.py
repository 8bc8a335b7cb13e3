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
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from importlib.metadata import Distribution, EntryPoint
from types import ModuleType

from ..messages.errors import PluginError
from ..messages.text import format_error, list_lines

OWN = "plugzoo"  # the distribution whose names no other can take over
RESERVED_OWNERS = ("zoo", "timm", "torchvision")  # what stands in front of its names
LONGEST_REASON = 1000
MOST_WARNINGS = 20
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

    def failed(self, reason: str, error: BaseException | None = None) -> Plugin:
        """The same plugin with status `failed`."""
        text = "".join(traceback.format_exception(error)) if error else ""
        short = reason if len(reason) <= LONGEST_REASON else f"{reason[:LONGEST_REASON]} …"
        return replace(self, status="failed", reason=short, traceback=text)


@dataclass(frozen=True)
class Found:
    """A plugin that was found and not imported yet. `entry` is None where its metadata can't be read."""

    plugin: Plugin
    entry: EntryPoint | None = None
    needs: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()


def normalise(name: str) -> str:
    """A distribution's name as packaging compares it: `Zoo_Acme` and `zoo-acme` are one."""
    return re.sub(r"[-_.]+", "-", name).lower()


def reason_of(error: BaseException) -> str:
    """Why a plugin failed, in words."""
    return str(error) if isinstance(error, PluginError) else format_error(error)


def not_there(plugins: Iterable[Plugin], name: str) -> str:
    """What to add to an error about a name that nobody has: a line for each plugin that failed or is disabled.

    Only those of the owner in front of the name, where it has one; and the first few of many.
    """
    owner, slash, _ = name.partition("/")
    own = "zoo" if owner in RESERVED_OWNERS else owner
    silent = [p for p in plugins if p.reason and (not slash or p.owner == own)]
    silent.sort(key=lambda p: p.status != "failed")  # whoever disabled one knows of it
    lines = [f"plugin '{p.name}' of {p.distribution} {p.status}: {p.reason}" for p in silent]
    return list_lines(lines, MOST_NAMED, "and ") + ("; see `zoo plugins`" if len(silent) > MOST_NAMED else "")


def find_plugins() -> list[Found]:
    """The entry points of the group `zoo`, ordered by owner and name, so that `sys.path` decides nothing.

    A distribution that shows several times, as stale editable installs do, counts once: the first on the path, as for
    Python's imports, and of several in one folder the newest.
    """
    copies: dict[str, list[_Copy]] = {}
    for dist in importlib.metadata.distributions():
        try:
            text = dist.read_text("entry_points.txt") or ""
            problem = ""
        except Exception as error:
            text, problem = "[zoo]", reason_of(error)
        if "[zoo]" in text:
            copy = _read(dist, problem)
            # Without a name nothing says that two are the same.
            key = copy.name if copy.name != "unknown" else f"unknown {len(copies)}"
            copies.setdefault(key, []).append(copy)
    found = [one for several in copies.values() for one in _entries(several)]
    return sorted(found, key=lambda f: (f.plugin.owner != "zoo", f.plugin.distribution, f.plugin.name, f.plugin.module))


@dataclass(frozen=True)
class _Copy:
    """What the metadata of one installation say."""

    name: str
    version: str
    place: str
    entries: tuple[EntryPoint, ...] = ()
    needs: tuple[str, ...] = ()
    problem: str = ""


def _read(dist: Distribution, problem: str) -> _Copy:
    """The metadata of an installation; a broken one may lack any part of it."""
    copy = _Copy("unknown", "?", str(dist.locate_file("")), problem=problem)
    try:
        metadata = dist.metadata
        if metadata["Name"]:
            copy = replace(copy, name=normalise(metadata["Name"]))
        copy = replace(copy, version=metadata["Version"] or "?", needs=tuple(metadata.get_all("Requires-Dist") or ()))
        return copy if problem else replace(copy, entries=tuple(e for e in dist.entry_points if e.group == "zoo"))
    except Exception as error:
        return replace(copy, problem=reason_of(error))


def _entries(copies: list[_Copy]) -> list[Found]:
    """The entry points of one distribution, of which there may be several copies."""
    here = [copy for copy in copies if copy.place == copies[0].place]
    copy = max(here, key=lambda copy: [int(part) for part in re.findall(r"\d+", copy.version)])
    owner = "zoo" if copy.name == OWN else copy.name
    if copy.problem:
        plugin = Plugin("?", copy.name, copy.version, owner, "?", source=copy.place)
        return [Found(plugin.failed(f"its metadata can't be read: {copy.problem}"))]
    places = tuple(f"{one.version} in {one.place}" for one in copies)
    return [
        Found(Plugin(e.name, copy.name, copy.version, owner, e.value, source=copy.place), e, copy.needs, places)
        for e in dict.fromkeys(copy.entries)
    ]


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
    if unmet := _unmet(found.needs, installed):
        return plugin.failed(unmet), None
    before, start = set(sys.modules), time.perf_counter()
    module, problem = None, None
    with kept_quiet() as met:
        try:
            module = entry.load()
        except KeyboardInterrupt:
            raise
        # SystemExit too: a plugin that calls sys.exit() on import must not end the user's program.
        except BaseException as error:
            problem = error
    took = time.perf_counter() - start
    plugin = replace(plugin, seconds=took, torch=_brought_torch(module, before), warnings=tuple(met))
    if problem is not None:
        stale = f"; its metadata is there {len(found.copies)} times: {', '.join(found.copies)}"
        return plugin.failed(reason_of(problem) + (stale if len(found.copies) > 1 else ""), problem), None
    if not isinstance(module, ModuleType):
        return plugin.failed(f"the entry point names a {type(module).__name__}; it must name a module"), None
    return replace(plugin, source=getattr(module, "__file__", None) or plugin.source), module


def _unmet(needs: Iterable[str], version: str) -> str:
    """The requirement on plugzoo that isn't met, if there is one: it says which version of the API a plugin needs."""
    ours = [text for text in needs if normalise(re.split(r"[^\w.-]", text.strip(), maxsplit=1)[0]) == OWN]
    if not version or not any(re.search(r"[<>=!~]", text) for text in ours):
        return ""
    try:
        from packaging.requirements import InvalidRequirement, Requirement  # timm brings it, with huggingface_hub
    except ImportError:
        return ""
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
def kept_quiet() -> Iterator[list[str]]:
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


def _brought_torch(module: object, before: set[str]) -> bool:
    """Whether an import brought torch in; where that was there already, whether what was imported holds any of it."""
    if "torch" not in sys.modules or "torch" not in before:
        return "torch" in sys.modules
    root = getattr(module, "__name__", "").partition(".")[0]
    new = [one for name, one in [*sys.modules.items()] if name not in before and name.partition(".")[0] == root]
    return any(_of_torch(value) for one in (module, *new) for value in [*getattr(one, "__dict__", {}).values()])


def _of_torch(value: object) -> bool:
    """Whether this is a module or a class of torch's, or an instance of one."""
    try:
        owner = value if isinstance(value, (ModuleType, type)) else type(value)
        name = owner.__name__ if isinstance(owner, ModuleType) else owner.__module__
        return str(name).partition(".")[0] == "torch"
    except Exception:  # a stranger's metaclass
        return False
