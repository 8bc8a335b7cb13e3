"""Looking names up: what a modifier's or an arch's name means, and what names there are."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from ..messages.errors import UnknownNameError
from ..registry.collect import KINDS
from ..registry.declarations import Arch, Modifier
from ..registry.owners import Owned, choose_owner, find_claims, qualify, unknown_name
from ..registry.registry import Registry
from ..spec.spec import Spec
from ..spec.values import Call
from .families import ask_family, find_behind_prefix, list_families, names_of

T = TypeVar("T")


def find_modifier(name: str, registry: Registry) -> Owned[Modifier]:
    """The modifier of this name, bare or `owner/name`.

    Raises:
        UnknownNameError: nobody has it, or two strangers do; with the nearest names, or the owners.
    """
    table = registry.tables["modifier"]
    rest, claims = find_claims(name, table)
    owner = choose_owner("modifier", name, claims)
    if owner is None:
        known = [reached for reached, _ in list_declared(Modifier, registry)]
        raise unknown_name("modifier", name, known, "see `zoo list modifiers`", registry.list_absent(name))
    return replace(claims[owner], name=qualify(rest, owner, table[rest]))


def find_base(call: Call, registry: Registry) -> Owned[Arch | Spec]:
    """What a spec's first part names: an arch, out of the archs and the families, or a named variant.

    Raises:
        UnknownNameError: nobody has it, two strangers do, or it can't stand there.
    """
    name = call.name
    if name.startswith("?"):
        raise UnknownNameError(f"'{name}' stands for a model that the zoo didn't make, so it can't be built", name=name)
    if call.source is not None:
        return find_behind_prefix(name, call.source, registry)
    owner, slash, rest = name.partition("/")
    claims = _claims_of_base(rest, registry, owner) if slash else _claims_of_base(name, registry)
    found = choose_owner("arch", name, claims)
    if found is None and name in registry.tables["modifier"]:
        message = f"'{name}' is a modifier; put an arch in front of it, as in 'resnet18+{call}'"
        raise UnknownNameError(message, name=name)
    if found is None:
        raise unknown_name("arch", name, find_archs(registry), "see `zoo list archs`", registry.list_absent(name))
    rest = rest or name
    return replace(claims[found], name=qualify(rest, found, _claims_of_base(rest, registry)))


def find_archs(registry: Registry) -> list[str]:
    """Every arch under the name that reaches it, sorted; those that families list too."""
    names = {name for name, _ in list_declared(Arch, registry)}
    for label, entry in list_families(registry):
        own = names_of(entry, registry)
        bare = entry.value.bare and entry.owner == "zoo"
        names.update(own if bare else (qualify(name, label, _claims_of_base(name, registry)) for name in own))
    return sorted(names)


def list_declared(kind: type[T], registry: Registry) -> list[tuple[str, Owned[T]]]:
    """Every declaration of a kind under the name that reaches it, sorted."""
    found: list[tuple[str, Owned[T]]] = []
    for name, claims in registry.tables[KINDS[kind]].items():
        rivals = _claims_of_base(name, registry) if kind in (Arch, Spec) else claims
        found += [(qualify(name, owner, rivals), claim) for owner, claim in claims.items()]
    return sorted(found, key=lambda item: item[0])


def _claims_of_base(name: str, registry: Registry, owner: str | None = None) -> dict[str, Owned[Arch | Spec]]:
    """Who offers a bare name as the first part of a spec, or what this owner does."""
    found: dict[str, Owned[Arch | Spec]] = {}
    for kind in ("arch", "variant"):
        for other, claim in registry.tables[kind].get(name, {}).items():
            if owner in (None, other):
                found.setdefault(other, claim)
    for label, entry in list_families(registry):
        asked = entry.value.bare if owner is None else owner in (label, entry.value.name)
        if asked and (arch := ask_family(entry, name, None, registry)) is not None:
            found.setdefault(label, Owned(entry.plugin, arch, family=entry.value.name))
    return found
