"""What is installed: one object that is filled once and passed to whoever needs it. Look-ups go to dicts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from dataclasses import replace
from functools import cache, cached_property
from threading import RLock
from types import ModuleType, NoneType
from typing import Any, TypeVar

from ..messages.errors import PluginError, UnknownNameError, ZooError
from ..messages.text import ask_for, find_near
from ..spec.spec import Spec
from ..spec.values import Call
from .collect import COLLECTED, KINDS, PLURALS, Declared, collect, hook_manager, implementations
from .declare import Arch, Family, Modifier
from .layers import layer_table
from .loader import load_plugins, quieten
from .owners import Offers, Owned, choose, find_claims, qualify
from .plugins import OWN, RESERVED_OWNERS, Plugin, list_absent, reason_of

T = TypeVar("T")


class Registry:
    """Archs, families, modifiers and named variants by name, and the plugins they came from."""

    def __init__(self, plugins: Iterable[tuple[Plugin, ModuleType | None]] = ()) -> None:
        self.plugins: list[Plugin] = []
        # Kind of declaration, then name, then owner.
        self._tables: dict[str, dict[str, dict[str, Owned[Any]]]] = {kind: {} for kind in COLLECTED.values()}
        self.memo: dict[str, Any] = {}  # blueprints of archs, by canonical spec
        self.lock = RLock()  # building draws from torch's one global generator
        self._hooks = hook_manager()
        for plugin, module in plugins:
            self.plugins.append(self._register(plugin, module) if module else plugin)

    @classmethod
    def of(cls, *modules: ModuleType, owner: str = "zoo") -> Registry:
        """A registry of these modules alone, for tests: `Registry.of(zoo_archs, my_plugin)`."""
        distribution = OWN if owner == "zoo" else owner
        return cls((Plugin(m.__name__, distribution, "0", owner, m.__name__), m) for m in modules)

    def also(self, *declarations: Arch | Modifier, owner: str) -> Registry:
        """The same registry with these archs and modifiers too, as this owner's; this one stays as it is."""
        more, plugin = copy(self), Plugin(owner, owner, "0", owner, owner)
        more._tables, more.memo = {**self._tables}, {}
        for value in declarations:
            table = more._tables[KINDS[type(value)]]
            claims = {**table.get(value.name, {}), owner: Owned(plugin, value)}
            more._tables[KINDS[type(value)]] = {**table, value.name: claims}
        return more

    def _register(self, plugin: Plugin, module: ModuleType) -> Plugin:
        """Collect what a plugin declares, all or nothing."""
        key = _key(plugin)
        if plugin.owner in RESERVED_OWNERS and plugin.distribution != OWN:
            return plugin.failed(f"the owner's name '{plugin.owner}' belongs to the zoo's own plugins")
        if self._hooks.is_registered(module):
            by = next(p for p in self.plugins if _key(p) == self._hooks.get_name(module))
            return plugin.failed(
                f"the module {module.__name__} is registered already: it's the plugin '{by.name}' of {by.distribution}"
            )
        try:
            with quieten():
                declared = collect(self._hooks, module, key)
            self._check_once(plugin, declared)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if self._hooks.is_registered(module):
                self._hooks.unregister(module)
            return plugin.failed(reason_of(error), error)
        names = {PLURALS[kind]: tuple(n for k, n, _ in declared if k == kind) for kind in COLLECTED.values()}
        plugin = replace(plugin, contributes={kind: found for kind, found in names.items() if found})
        for kind, name, value in declared:
            self._tables[kind].setdefault(name, {})[plugin.owner] = Owned(plugin, value)
        return plugin

    def _check_once(self, plugin: Plugin, declared: Declared) -> None:
        """Raise PluginError for a name that one owner declares twice."""
        for at, (kind, name, _) in enumerate(declared):
            if plugin.owner in self._tables[kind].get(name, {}) or (kind, name) in [d[:2] for d in declared[:at]]:
                raise PluginError(f"{plugin.owner} declares the name '{name}' twice")

    def hooks_of(self, plugin: Plugin) -> list[str]:
        """The names of the hooks that a plugin implements."""
        module = self._hooks.get_plugin(f"{plugin.distribution}:{plugin.name}")
        return [] if module is None else [caller.name for caller in self._hooks.get_hookcallers(module) or ()]

    @cached_property
    def layers(self) -> Offers:
        """The layers that a spec may name. Imports torch."""
        return layer_table(self._tables["layer"], self.list_absent)

    def offers(self, kind: str) -> Offers:
        """What plugins add of a kind, `layer` or `activation`. Imports nothing."""
        return Offers(kind, self._tables[kind], list_absent=self.list_absent)

    def asked(self, hook: str) -> Iterator[tuple[Plugin, Any]]:
        """Each plugin's implementation of a hook that isn't asked when plugins are loaded."""
        for plugin in [*self.plugins]:
            for implementation in implementations(self._hooks, _key(plugin), hook):
                yield plugin, implementation

    # -- look-ups -------------------------------------------------------------------------------------------------

    def modifier(self, name: str) -> Owned[Modifier]:
        """The modifier of this name; UnknownNameError with the nearest names."""
        table = self._tables["modifier"]
        rest, claims = find_claims(name, table)
        found = choose("modifier", name, claims)
        if found is None:
            raise self.unknown("modifier", name, [n for n, _ in self.modifiers()])
        return replace(claims[found], name=qualify(rest, found, table[rest]))

    def modifiers(self) -> list[tuple[str, Owned[Modifier]]]:
        """Every modifier under the name that reaches it, sorted."""
        return self.declared(Modifier)

    def base(self, call: Call) -> Owned[Arch | Spec]:
        """What a spec's first part names: an arch, out of the archs and the families, or a named variant."""
        name = call.name
        if call.is_unknown:
            raise UnknownNameError(f"'{name}' stands for a model that the zoo didn't make, so it can't be built")
        if call.source is not None:
            return self._prefixed(name, call.source)
        owner, slash, rest = name.partition("/")
        claims = self._offers(rest, owner) if slash else self._offers(name)
        found = choose("arch", name, claims)
        if found is None and name in self._tables["modifier"]:
            raise UnknownNameError(f"'{name}' is a modifier; put an arch in front of it, as in 'resnet18+{call}'")
        if found is None:
            raise self.unknown("arch", name, self.arch_names())
        rest = rest or name
        return replace(claims[found], name=qualify(rest, found, self._offers(rest)))

    def _offers(self, name: str, owner: str | None = None) -> dict[str, Owned[Arch | Spec]]:
        """Who offers a bare name as the first part of a spec, or what this owner does."""
        found: dict[str, Owned[Arch | Spec]] = {}
        for kind in ("arch", "variant"):
            for other, claim in self._tables[kind].get(name, {}).items():
                if owner in (None, other):
                    found.setdefault(other, claim)
        for label, entry in self._families():
            asked = entry.value.bare if owner is None else owner in (label, entry.value.name)
            if asked and (arch := self._resolved(entry, name, None)) is not None:
                found.setdefault(label, Owned(entry.plugin, arch, family=entry.value.name))
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
            self.mark_failed(entry.plugin, error)
        except (Exception, SystemExit) as error:
            self.mark_failed(entry.plugin, error)
        return None

    def _listed(self, entry: Owned[Family]) -> list[str]:
        """The names that a family lists; none, and the plugin failed, where it can't."""
        try:
            with quieten():
                names = list(entry.value.names())
            if odd := [name for name in names if not isinstance(name, str)]:
                raise PluginError(f"family '{entry.value.name}' lists {odd[0]!r}, which is no name")
            return names
        except (Exception, SystemExit) as error:
            self.mark_failed(entry.plugin, error)
            return []

    def mark_failed(self, plugin: Plugin, error: BaseException) -> None:
        """A plugin that was well when it was loaded failed later; what else it declares stays."""
        self.plugins[:] = [p.failed(reason_of(error), error) if _key(p) == _key(plugin) else p for p in self.plugins]

    def _families(self) -> list[tuple[str, Owned[Family]]]:
        """The families with the owner's name that stands in front of their archs: the zoo's own go by theirs."""
        entries = [entry for claims in self._tables["family"].values() for entry in claims.values()]
        return [(entry.value.name if entry.owner == "zoo" else entry.owner, entry) for entry in entries]

    def _prefixed(self, name: str, source: str) -> Owned[Arch | Spec]:
        """The arch behind a prefix."""
        behind = self._behind(name)
        for entry, reached in behind:
            if (arch := self._resolved(entry, name.rpartition("/")[2], source)) is not None:
                return Owned(entry.plugin, arch, reached, entry.value.name)
        if behind:
            owners = behind[0][0].owner
            raise UnknownNameError(
                f"'{name}' of {owners} has nothing called '{source}'{self.list_absent(f'{owners}/')}"
            )
        known = sorted({p for _, entry in self._families() for p in entry.value.prefixes})
        raise self.unknown("prefix", name, known)

    def _behind(self, name: str) -> list[tuple[Owned[Family], str]]:
        """The families that a prefix means, each with the name that reaches it.

        It is a name like any other: the zoo's own first, `owner/prefix` says whose.
        """
        prefix, entries = name.rpartition("/")[2], self._families()
        claims = {label: entry for label, entry in reversed(entries) if prefix in entry.value.prefixes}
        owner = choose("prefix", name, {o: claim for o, claim in claims.items() if name in (prefix, f"{o}/{prefix}")})
        asked = [entry for label, entry in entries if label == owner and prefix in entry.value.prefixes]
        return [(entry, qualify(prefix, str(owner), claims)) for entry in asked]

    def note(self, plugin: Plugin, kind: str, names: tuple[str, ...]) -> None:
        """Write down what else a plugin contributes."""
        self.plugins[:] = [
            replace(p, contributes={**p.contributes, kind: names}) if _key(p) == _key(plugin) else p
            for p in self.plugins
        ]

    def rebuilt(self, prefix: str, recipe: str) -> Owned[Arch] | None:
        """The arch that a recipe out of a file describes, by the family of its prefix; None where none takes recipes.

        What the prefix points to is neither opened nor fetched.
        """
        for entry, reached in self._behind(prefix):
            if entry.value.rebuild is not None:
                return Owned(entry.plugin, entry.value.rebuild(prefix.rpartition("/")[2], recipe), reached)
        return None

    def arch_names(self) -> list[str]:
        """Every arch under the name that reaches it, sorted."""
        names = {qualify(name, o, self._offers(name)) for name, claims in self._tables["arch"].items() for o in claims}
        for label, entry in self._families():
            bare = entry.value.bare and entry.owner == "zoo"
            own = self._listed(entry)
            names.update(own if bare else (qualify(n, label, self._offers(n)) for n in own))
        return sorted(names)

    def variants(self) -> list[tuple[str, Owned[Spec]]]:
        """Every named variant under the name that reaches it, sorted."""
        return self.declared(Spec)

    def declared(self, kind: type[T]) -> list[tuple[str, Owned[T]]]:
        """Every declaration of a kind under the name that reaches it, sorted."""
        found: list[tuple[str, Owned[T]]] = []
        for name, claims in self._tables[KINDS[kind]].items():
            rivals = self._offers(name) if kind in (Arch, Spec) else claims
            found += [(qualify(name, owner, rivals), claim) for owner, claim in claims.items()]
        return sorted(found, key=lambda item: item[0])

    def unknown(self, kind: str, name: str, known: list[str]) -> UnknownNameError:
        """The error for a name that nobody has: the nearest names, and the plugins that are missing."""
        near = [n for n in known if n.endswith(f"/{name}")][:2]
        near += [n for n in find_near(name, known, 3) if n not in near][: 3 - len(near)]
        others = f"the prefixes: {', '.join(known)}" if kind == "prefix" else f"see `zoo list {kind.split()[0]}s`"
        return UnknownNameError(f"no {kind} '{name}'; {ask_for(near) or others}{self.list_absent(name)}")

    def list_absent(self, name: str) -> str:
        """The plugins that might have had a name, and failed or are disabled: a line each."""
        return list_absent(self.plugins, name)


def _key(plugin: Plugin) -> str:
    return f"{plugin.distribution}:{plugin.name}:{plugin.module}"


@cache
def default_registry() -> Registry:
    """The registry of all that is installed, made on first use."""
    return Registry(load_plugins())


_at_work: ContextVar[Registry | None] = ContextVar("zoo_registry", default=None)


@contextmanager
def at_work(registry: Registry | None) -> Iterator[None]:
    """While a modifier of this registry works, `activations` answers from it."""
    token = _at_work.set(registry)
    try:
        yield
    finally:
        _at_work.reset(token)


def activations(*, registry: Registry | None = None) -> Offers:
    """The activations that plugins add: name to a function or class that makes the module.

    Under a bare name where that is clear, and under `owner/name` always. For a modifier at work, those of the registry
    that it came from.
    """
    return (registry or _at_work.get() or default_registry()).offers("activation")
