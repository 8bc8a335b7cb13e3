"""Finding plugins by their entry points. Nothing is imported.

pluggy's own loader stops at the first plugin that fails and passes over a second distribution that uses the same
entry-point name, so this one reads the entry points itself.
"""

from __future__ import annotations

import importlib.metadata
import re
from dataclasses import dataclass, replace
from importlib.metadata import Distribution, EntryPoint

from .plugins import OWN, Plugin, normalise, reason_of


@dataclass(frozen=True)
class Found:
    """A plugin that was found and not imported yet. `entry` is None where its metadata can't be read."""

    plugin: Plugin
    entry: EntryPoint | None = None
    needs: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()


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
    found = [one for several in copies.values() for one in _read_entries(several)]
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


def _read_entries(copies: list[_Copy]) -> list[Found]:
    """The entry points of one distribution, of which there may be several copies."""
    here = [copy for copy in copies if copy.place == copies[0].place]
    copy = max(here, key=lambda copy: [int(part) for part in re.findall(r"\d+", copy.version)])
    owner = "zoo" if copy.name == OWN else copy.name
    if copy.problem:
        plugin = Plugin("?", copy.name, copy.version, owner, "?", source=copy.place)
        return [Found(plugin.as_failed(f"its metadata can't be read: {copy.problem}"))]
    places = tuple(f"{one.version} in {one.place}" for one in copies)
    return [
        Found(Plugin(e.name, copy.name, copy.version, owner, e.value, source=copy.place), e, copy.needs, places)
        for e in dict.fromkeys(copy.entries)
    ]
