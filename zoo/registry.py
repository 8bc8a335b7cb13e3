"""What is installed: one object that is filled once and passed to whoever needs it. Look-ups go to dicts."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from threading import RLock
from types import ModuleType, NoneType
from typing import Any, Generic, TypeVar

import pluggy

from . import hookspecs
from .declare import Arch, Family, Modifier, check_name
from .errors import PluginError, UnknownNameError, ZooError
from .layers import torch_layers
from .loader import OWN, RESERVED_OWNERS, Plugin, load_plugins
from .spec import Spec, parse
from .values import Call

T = TypeVar("T")


@dataclass(frozen=True)
class Owned(Generic[T]):
    """A declaration, the plugin that it came from, and the name that reaches it: bare where that is clear."""

    plugin: Plugin
    value: T
    name: str = ""

    @property
    def owner(self) -> str:
        return self.plugin.owner


# Who claims a name, by owner.
Claims = Mapping[str, Owned[T]]


def choose(kind: str, name: str, claims: Claims[T]) -> str | None:
    """The owner that a bare name means: the zoo's own before a stranger; UnknownNameError for two strangers."""
    own = [owner for owner, claim in claims.items() if claim.owner == "zoo"]
    if own or len(claims) < 2:
        return next(iter([*own, *claims]), None)
    owners = sorted(claims)
    word = "a variant" if all(isinstance(claim.value, Spec) for claim in claims.values()) else _A[kind]
    raise UnknownNameError(
        f"{len(owners)} plugins have {word} '{name}': {', '.join(owners)}; say which, as in '{owners[0]}/{name}'"
    )


def _named(name: str, owner: str, claims: Claims[T]) -> str:
    """The name under which a claim is reached: bare, if the bare name means it."""
    try:
        return name if choose("arch", name, claims) == owner else f"{owner}/{name}"
    except UnknownNameError:
        return f"{owner}/{name}"


class Registry:
    """Archs, families, modifiers and named variants by name, and the plugins they came from."""

    def __init__(self, plugins: Iterable[tuple[Plugin, ModuleType | None]] = ()) -> None:
        self.plugins: list[Plugin] = []
        # Kind of declaration, then name, then owner.
        self._tables: dict[type, dict[str, dict[str, Owned[Any]]]] = {kind: {} for kind in _COLLECTED.values()}
        self.memo: dict[str, Any] = {}  # blueprints of archs, by canonical spec
        self.lock = RLock()  # building draws from torch's one global generator
        self._hooks = pluggy.PluginManager("zoo")
        self._hooks.add_hookspecs(hookspecs)
        for plugin, module in plugins:
            self.plugins.append(self._register(plugin, module) if module else plugin)

    @classmethod
    def of(cls, *modules: ModuleType, owner: str = "zoo") -> Registry:
        """A registry of these modules alone, for tests: `Registry.of(zoo_archs, my_plugin)`."""
        distribution = OWN if owner == "zoo" else owner
        return cls((Plugin(m.__name__, distribution, "0", owner, m.__name__), m) for m in modules)

    def _register(self, plugin: Plugin, module: ModuleType) -> Plugin:
        """Collect what a plugin declares, all or nothing."""
        key = f"{plugin.distribution}:{plugin.name}"
        if plugin.owner in RESERVED_OWNERS and plugin.distribution != OWN:
            return plugin.failed(f"the owner's name '{plugin.owner}' belongs to the zoo's own plugins")
        if self._hooks.is_registered(module):
            return plugin.failed(f"the module {module.__name__} is registered already")
        try:
            self._hooks.register(module, key)
            self._hooks.check_pending()  # a misspelt hook would be ignored in silence
            declared = [
                (kind, *claim) for hook, kind in _COLLECTED.items() for claim in self._declared(key, hook, kind)
            ]
            for at, (kind, name, _) in enumerate(declared):
                if plugin.owner in self._tables[kind].get(name, {}) or (kind, name) in [d[:2] for d in declared[:at]]:
                    raise PluginError(f"{plugin.owner} declares the name '{name}' twice")
        except (Exception, SystemExit) as error:
            self._hooks.unregister(module)
            text = str(error) if isinstance(error, PluginError) else f"{type(error).__name__}: {error}"
            return plugin.failed(text, error)
        for kind, name, value in declared:
            self._tables[kind].setdefault(name, {})[plugin.owner] = Owned(plugin, value)
        return plugin

    def _declared(self, key: str, hook: str, kind: type) -> list[tuple[str, Any]]:
        """What one plugin returns from one hook, checked. Called by itself, so that an error has a name."""
        found: list[tuple[str, Any]] = []
        for impl in getattr(self._hooks.hook, hook).get_hookimpls():
            if impl.plugin_name == key:
                result = impl.function()
                found += _variants(hook, result) if kind is Spec else _declarations(hook, kind, result)
        return found

    @cached_property
    def layers(self) -> Mapping[str, Any]:
        """The layers that a spec may name. Imports torch."""
        return torch_layers()

    # -- look-ups -------------------------------------------------------------------------------------------------

    def modifier(self, name: str) -> Owned[Modifier]:
        """The modifier of this name; UnknownNameError with the nearest names."""
        owner, slash, rest = name.partition("/")
        table = self._tables[Modifier]
        claims = {o: c for o, c in table.get(rest, {}).items() if o == owner} if slash else table.get(name, {})
        found = choose("modifier", name, claims)
        if found is None:
            raise self.unknown("modifier", name, [n for n, _ in self.modifiers()])
        rest = rest or name
        return replace(claims[found], name=_named(rest, found, table[rest]))

    def modifiers(self) -> list[tuple[str, Owned[Modifier]]]:
        """Every modifier under the name that reaches it, sorted."""
        table = self._tables[Modifier]
        return sorted((_named(n, o, claims), c) for n, claims in table.items() for o, c in claims.items())

    def base(self, call: Call) -> Owned[Arch | Spec]:
        """What a spec's first part names: an arch, out of the archs and the families, or a named variant."""
        name = call.name
        if name.startswith("?"):
            raise UnknownNameError(f"'{name}' stands for a model that the zoo didn't make, so it can't be built")
        if call.source is not None:
            return self._prefixed(name, call.source)
        owner, slash, rest = name.partition("/")
        claims = self._offers(rest, owner) if slash else self._offers(name)
        found = choose("arch", name, claims)
        if found is None:
            raise self.unknown("arch", name, self.arch_names())
        rest = rest or name
        return replace(claims[found], name=_named(rest, found, self._offers(rest)))

    def _offers(self, name: str, owner: str | None = None) -> dict[str, Owned[Arch | Spec]]:
        """Who offers a bare name as the first part of a spec, or what this owner does."""
        found: dict[str, Owned[Arch | Spec]] = {}
        for kind in (Arch, Spec):
            for other, claim in self._tables[kind].get(name, {}).items():
                if owner in (None, other):
                    found.setdefault(other, claim)
        for label, entry in self._families():
            asked = entry.value.bare if owner is None else owner in (label, entry.value.name)
            if asked and (arch := self._resolved(entry, name, None)) is not None:
                found.setdefault(label, Owned(entry.plugin, arch))
        return found

    def _resolved(self, entry: Owned[Family], name: str, source: str | None) -> Arch | None:
        """What a family has under a name; nothing, and the plugin failed, where it raises or gives something else."""
        try:
            arch = entry.value.resolve(name, source)
            if not isinstance(arch, (Arch, NoneType)):
                raise PluginError(
                    f"family '{entry.value.name}' gave {arch!r} for '{name}'; expected a zoo.Arch or None"
                )
            return arch
        except ZooError as error:
            if not isinstance(error, PluginError):
                raise  # its word on the name
            self._failed(entry, error)
        except (Exception, SystemExit) as error:
            self._failed(entry, error)
        return None

    def _listed(self, entry: Owned[Family]) -> list[str]:
        """The names that a family lists; none, and the plugin failed, where it can't."""
        try:
            names = list(entry.value.names())
            if odd := [name for name in names if not isinstance(name, str)]:
                raise PluginError(f"family '{entry.value.name}' lists {odd[0]!r}, which is no name")
            return names
        except (Exception, SystemExit) as error:
            self._failed(entry, error)
            return []

    def _failed(self, entry: Owned[Family], error: BaseException) -> None:
        reason = str(error) if isinstance(error, PluginError) else f"{type(error).__name__}: {error}"
        self.plugins[:] = [p.failed(reason, error) if _same(p, entry.plugin) else p for p in self.plugins]

    def _families(self) -> list[tuple[str, Owned[Family]]]:
        """The families with the owner's name that stands in front of their archs: the zoo's own go by theirs."""
        entries = [entry for claims in self._tables[Family].values() for entry in claims.values()]
        return [(entry.value.name if entry.owner == "zoo" else entry.owner, entry) for entry in entries]

    def _prefixed(self, prefix: str, source: str) -> Owned[Arch | Spec]:
        for _, entry in self._families():
            if prefix in entry.value.prefixes and (arch := self._resolved(entry, prefix, source)) is not None:
                return Owned(entry.plugin, arch, prefix)
        known = sorted(p for _, entry in self._families() for p in entry.value.prefixes)
        raise self.unknown("prefix", prefix, known)

    def rebuilt(self, prefix: str, recipe: str) -> Owned[Arch] | None:
        """The arch that a recipe out of a file describes, by the family of its prefix; None where none takes recipes.

        What the prefix points to is neither opened nor fetched.
        """
        for _, entry in self._families():
            if prefix in entry.value.prefixes and entry.value.rebuild is not None:
                return Owned(entry.plugin, entry.value.rebuild(prefix, recipe), prefix)
        return None

    def arch_names(self) -> list[str]:
        """Every arch under the name that reaches it, sorted."""
        names = {_named(name, o, self._offers(name)) for name, claims in self._tables[Arch].items() for o in claims}
        for label, entry in self._families():
            bare = entry.value.bare and entry.owner == "zoo"
            own = self._listed(entry)
            names.update(own if bare else (_named(n, label, self._offers(n)) for n in own))
        return sorted(names)

    def variants(self) -> list[tuple[str, Owned[Spec]]]:
        """Every named variant under the name that reaches it, sorted."""
        table = self._tables[Spec]
        found = ((_named(n, o, self._offers(n)), c) for n, claims in table.items() for o, c in claims.items())
        return sorted(found, key=lambda item: item[0])

    def unknown(self, kind: str, name: str, known: list[str]) -> UnknownNameError:
        """The error for a name that nobody has: the nearest names, and the plugins that are missing."""
        near = [n for n in known if n.endswith(f"/{name}")][:2]
        near += [n for n in difflib.get_close_matches(name, known, n=3, cutoff=0.6) if n not in near][: 3 - len(near)]
        others = f"the prefixes: {', '.join(known)}" if kind == "prefix" else f"see `zoo list {_PLURALS[kind]}`"
        hint = f"; did you mean {' or '.join(repr(n) for n in near)}?" if near else f"; {others}"
        missing = [
            f"\n  plugin '{p.name}' of {p.distribution} {p.status}: {p.reason}" for p in self.plugins if p.reason
        ]
        return UnknownNameError(f"no {kind} '{name}'{hint}{''.join(missing)}")


def _same(a: Plugin, b: Plugin) -> bool:
    return (a.distribution, a.name) == (b.distribution, b.name)


def _declarations(hook: str, kind: type, result: Any) -> list[tuple[str, Any]]:
    """The list that a hook returned, each with its name; PluginError for anything else."""
    word = kind.__name__.lower()
    if not isinstance(result, Iterable) or isinstance(result, (str, Mapping)):
        raise PluginError(
            f"{hook}() returned {type(result).__name__}; expected a list of {_PLURALS[word].capitalize()}"
        )
    found = []
    for value in result:
        if not isinstance(value, (Arch, Family, Modifier)) or not isinstance(value, kind):
            raise PluginError(f"{hook}() returned {value!r}; expected what @zoo.{word} makes")
        found.append((value.name, value))
    return found


def _variants(hook: str, result: Any) -> list[tuple[str, Spec]]:
    if not isinstance(result, Mapping):
        raise PluginError(f"{hook}() returned {type(result).__name__}; expected a dict of name and spec")
    for name in result:
        check_name("variant", name)
    return [(name, parse(text)) for name, text in result.items()]


# The hooks that are asked once, and what each returns.
_COLLECTED: dict[str, type] = {
    "zoo_archs": Arch,
    "zoo_families": Family,
    "zoo_modifiers": Modifier,
    "zoo_variants": Spec,
}
_PLURALS = {"arch": "archs", "family": "families", "modifier": "modifiers", "arch or modifier": "archs"}
_A = {"arch": "an arch", "modifier": "a modifier"}


@cache
def default_registry() -> Registry:
    """The registry of all that is installed, made on first use."""
    return Registry(load_plugins())
