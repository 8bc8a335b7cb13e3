"""Asking families, the open-ended providers of archs: for an arch by its name, for all names, and for a prefix.

A family is a stranger's code. What it raises, unless that is its word on the name, marks its plugin as failed and takes
nothing else down.
"""

from __future__ import annotations

from types import NoneType

from ..messages.errors import PluginError, UnknownNameError, ZooError
from ..registry.declarations import Arch, Family
from ..registry.loader import quieten
from ..registry.owners import Owned, choose_owner, qualify, unknown_name
from ..registry.registry import Registry
from ..spec.spec import Spec


def list_families(registry: Registry) -> list[tuple[str, Owned[Family]]]:
    """The families with the owner's name that stands in front of their archs: the zoo's own go by theirs."""
    entries = [entry for claims in registry.tables["family"].values() for entry in claims.values()]
    return [(entry.value.name if entry.owner == "zoo" else entry.owner, entry) for entry in entries]


def ask_family(entry: Owned[Family], name: str, source: str | None, registry: Registry) -> Arch | None:
    """What a family has under a name; nothing where it raises or gives something else.

    Raises:
        ZooError: the family's own word on the name.
    """
    try:
        arch = entry.value.resolve(name, source)
        if not isinstance(arch, (Arch, NoneType)):
            raise PluginError(f"family '{entry.value.name}' gave {arch!r} for '{name}'; expected a zoo.Arch or None")
        return arch
    except ZooError as error:
        if not isinstance(error, PluginError):
            raise
        registry.mark_failed(entry.plugin, error)
    except (Exception, SystemExit) as error:
        registry.mark_failed(entry.plugin, error)
    return None


def names_of(entry: Owned[Family], registry: Registry) -> list[str]:
    """The names that a family lists; none where it can't."""
    try:
        with quieten():
            names = list(entry.value.names())
        if odd := [name for name in names if not isinstance(name, str)]:
            raise PluginError(f"family '{entry.value.name}' lists {odd[0]!r}, which is no name")
        return names
    except (Exception, SystemExit) as error:
        registry.mark_failed(entry.plugin, error)
        return []


def find_behind_prefix(name: str, source: str, registry: Registry) -> Owned[Arch | Spec]:
    """The arch that a prefix and what stands behind its colon mean.

    Raises:
        UnknownNameError: no family has the prefix, or none of its families knows the source.
    """
    behind = _families_behind(name, registry)
    for entry, reached in behind:
        if (arch := ask_family(entry, name.rpartition("/")[2], source, registry)) is not None:
            return Owned(entry.plugin, arch, reached, entry.value.name)
    if behind:
        owner = behind[0][0].owner
        absent = registry.list_absent(f"{owner}/")
        raise UnknownNameError(f"'{name}' of {owner} has nothing called '{source}'{absent}", name=source)
    known = sorted({prefix for _, entry in list_families(registry) for prefix in entry.value.prefixes})
    raise unknown_name("prefix", name, known, f"the prefixes: {', '.join(known)}", registry.list_absent(name))


def rebuild_arch(prefix: str, recipe: str, registry: Registry) -> Owned[Arch] | None:
    """The arch that a recipe out of a file describes, by the family of its prefix; None where none takes recipes.

    What the prefix points to is neither opened nor fetched.
    """
    for entry, reached in _families_behind(prefix, registry):
        if entry.value.rebuild is not None:
            return Owned(entry.plugin, entry.value.rebuild(prefix.rpartition("/")[2], recipe), reached)
    return None


def _families_behind(name: str, registry: Registry) -> list[tuple[Owned[Family], str]]:
    """The families that a prefix means, each with the name that reaches it.

    It is a name like any other: the zoo's own first, `owner/prefix` says whose.
    """
    prefix, entries = name.rpartition("/")[2], list_families(registry)
    claims = {label: entry for label, entry in reversed(entries) if prefix in entry.value.prefixes}
    owner = choose_owner("prefix", name, {o: claim for o, claim in claims.items() if name in (prefix, f"{o}/{prefix}")})
    asked = [entry for label, entry in entries if label == owner and prefix in entry.value.prefixes]
    return [(entry, qualify(prefix, str(owner), claims)) for entry in asked]
