"""Whose a name is: bare where that is clear, `owner/name` always, and what ships with the zoo before a stranger's."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from ..messages.errors import PluginError, UnknownNameError
from ..messages.text import ask_for, find_near
from ..spec.spec import Spec
from .loader import quieten
from .plugins import Plugin, reason_of

T = TypeVar("T")
Maker = Callable[..., Any]
NONE: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Owned(Generic[T]):
    """A declaration, the plugin that it came from, and the name that reaches it: bare where that is clear.

    family: the one that it was found through.
    """

    plugin: Plugin
    value: T
    name: str = ""
    family: str = ""

    @property
    def owner(self) -> str:
        """What stands in front of its names."""
        return self.plugin.owner


# Who claims a name, by owner.
Claims = Mapping[str, Owned[T]]


# Names are anyone's: a plugin may call a modifier what the zoo, timm or another plugin calls its own, and nobody can be
# asked. One rule for all of them: what ships with the zoo keeps the bare name, so that no installation changes what a
# text means; two strangers who claim a bare name both lose it; `owner/name` always works. A name is printed as short as
# that rule reads back (`qualify`). How it can fail: a text with a bare name of a stranger's stops working, with an
# error that names both, when a second plugin with that name is installed; hence files keep owners.
def choose_owner(kind: str, name: str, claims: Claims[T]) -> str | None:
    """The owner that a bare name means: the zoo's own before a stranger; UnknownNameError for two strangers."""
    own = [owner for owner, claim in claims.items() if claim.owner == "zoo"]
    if own or len(claims) < 2:
        return next(iter([*own, *claims]), None)
    owners = sorted(claims)
    word = "variant" if all(isinstance(claim.value, Spec) for claim in claims.values()) else kind
    error = UnknownNameError(
        f"{len(owners)} plugins have {'an' if word[0] in 'aeiou' else 'a'} {word} '{name}': {', '.join(owners)}; "
        f"say which, as in '{owners[0]}/{name}'",
        name=name,
        suggestions=[f"{owner}/{name}" for owner in owners],
    )
    error.owners = tuple(owners)
    raise error


def qualify(name: str, owner: str, claims: Claims[T]) -> str:
    """The name under which a claim is reached: bare, if the bare name means it."""
    try:
        return name if choose_owner("arch", name, claims) == owner else f"{owner}/{name}"
    except UnknownNameError:
        return f"{owner}/{name}"


def find_claims(name: str, table: Mapping[str, Claims[T]]) -> tuple[str, Claims[T]]:
    """The bare name in `owner/name` or `name`, and who claims it."""
    owner, slash, rest = name.partition("/")
    if not slash:
        return name, table.get(name, NONE)
    return rest, {o: claim for o, claim in table.get(rest, NONE).items() if o == owner}


def unknown_name(
    kind: str, name: str, known: Iterable[str], otherwise: str, absent: str, most: int = 3
) -> UnknownNameError:
    """The error for a name that nobody has.

    It names the nearest of the known ones, another owner's thing of the same name first, or says `otherwise` what there
    is; `absent` are the lines about plugins that are missing.
    """
    known = list(known)
    near = [other for other in known if other.endswith(f"/{name}")][:2]
    near += [other for other in find_near(name, known, most) if other not in near]
    message = f"no {kind} '{name}'; {ask_for(near[:most]) or otherwise}{absent}"
    return UnknownNameError(message, name=name, suggestions=near[:most])


class Offers(Mapping[str, Maker]):
    """What makes modules, by the names that reach it: the functions and classes that plugins offer, each loaded on use.

    `offers[name]` raises UnknownNameError for a name that nobody has, or two have, and PluginError for what can't be
    loaded. own: what no plugin can take over; others: the names to show when nothing is near.
    list_absent: gives the plugins that failed and might have had a name, for the error about it.
    """

    def __init__(
        self,
        kind: str,
        table: Mapping[str, Claims[Maker | str]],
        own: Mapping[str, Maker] = NONE,
        others: str = "",
        list_absent: Callable[[str], str] = lambda name: "",
    ) -> None:
        self.kind, self.table, self.own, self.others, self.list_absent = kind, table, own, others, list_absent

    def find(self, name: str) -> Owned[Maker | str] | None:
        """Whose a name is, under the name that reaches it; None where nobody has it."""
        rest, claims = find_claims(name, self.table)
        owner = choose_owner(self.kind, name, claims)
        if owner is None:
            return None
        reached = f"{owner}/{rest}" if rest in self.own else qualify(rest, owner, self.table[rest])
        return Owned(claims[owner].plugin, claims[owner].value, reached)

    def canonical(self, name: str) -> str:
        """The shortest name that means the same."""
        found = None if name in self.own else self.find(name)
        return found.name if found else name

    def __getitem__(self, name: str) -> Maker:
        if name in self.own:
            return self.own[name]
        found = self.find(name)
        if found is None:
            raise self.unknown(name)
        return self._load(found)

    def unknown(self, name: str) -> UnknownNameError:
        """The error for a name that nobody has."""
        others = self.others or f"the names: {', '.join(self) or 'none'}"
        return unknown_name(self.kind, name, self, others, self.list_absent(name), most=1)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self.own or bool(find_claims(name, self.table)[1]))

    def __iter__(self) -> Iterator[str]:
        yield from self.own
        for name, claims in sorted(self.table.items()):
            for owner in sorted(claims):
                yield f"{owner}/{name}" if name in self.own else qualify(name, owner, claims)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def makes(self, module: object) -> bool:
        """Whether a module is of a class that a plugin offers. What wasn't imported yet has made none."""
        for claims in self.table.values():
            for claim in claims.values():
                maker = claim.value
                if isinstance(maker, str):
                    place, _, attribute = maker.partition(":")
                    maker = getattr(sys.modules.get(place), attribute, maker)
                if isinstance(maker, type) and isinstance(module, maker):
                    return True
        return False

    def _load(self, found: Owned[Maker | str]) -> Maker:
        maker: Any = found.value
        if isinstance(maker, str):
            place, _, attribute = maker.partition(":")
            try:
                with quieten():
                    maker = getattr(import_module(place), attribute)
            except (Exception, SystemExit) as error:
                raise PluginError(self._blame(found, f"can't be loaded: {reason_of(error)}")) from error
        if not callable(maker):
            raise PluginError(self._blame(found, f"is a {type(maker).__name__}, and must make modules when called"))
        return maker  # type: ignore[no-any-return]

    def _blame(self, found: Owned[Maker | str], problem: str) -> str:
        return f"{self.kind} '{found.name}' of {found.owner}, '{found.value}', {problem}"
