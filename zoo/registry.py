"""What is installed: one object that is filled once and passed to whoever needs it. Look-ups go to dicts."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from threading import RLock
from types import ModuleType
from typing import Any, Generic, TypeVar

import pluggy

from . import hookspecs
from .declare import Arch, Family, Modifier
from .errors import PluginError, UnknownNameError
from .layers import torch_layers
from .loader import OWN, Plugin, load_plugins
from .spec import Spec, parse
from .values import Call

T = TypeVar("T")


@dataclass(frozen=True)
class Owned(Generic[T]):
    """A declaration, the plugin that it came from, and the name that reaches it: bare where that is clear."""

    plugin: Plugin
    value: T
    name: str

    @property
    def owner(self) -> str:
        return self.plugin.owner


class Table(Generic[T]):
    """Names and who claims them. The zoo's own claim wins; two strangers' claims make the bare name ambiguous."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._claims: dict[str, dict[str, Owned[T]]] = {}

    def add(self, name: str, plugin: Plugin, value: T) -> None:
        claims = self._claims.setdefault(name, {})
        claims[plugin.owner] = Owned(plugin, value, name)
        bare = "zoo" if "zoo" in claims else plugin.owner if len(claims) == 1 else None
        for owner, claim in claims.items():
            claims[owner] = replace(claim, name=name if owner == bare else f"{owner}/{name}")

    def claimed(self, name: str, plugin: Plugin) -> bool:
        """Whether this plugin's owner has the name already."""
        return plugin.owner in self._claims.get(name, {})

    def find(self, name: str) -> dict[str, Owned[T]]:
        """Who claims a bare name, or the one claim that `owner/name` means."""
        owner, slash, rest = name.partition("/")
        if not slash:
            return self._claims.get(name, {})
        return {o: claim for o, claim in self._claims.get(rest, {}).items() if o == owner}

    def choose(self, name: str, claims: Mapping[str, Owned[T]]) -> Owned[T] | None:
        """The one that a name means: the zoo's own before a stranger's; UnknownNameError for two strangers'."""
        own = [claim for claim in claims.values() if claim.plugin.owner == "zoo"]
        if own or len(claims) == 1:
            return [*own, *claims.values()][0]
        if not claims:
            return None
        owners = sorted(claims)
        raise UnknownNameError(
            f"{len(owners)} plugins have a {self.kind} '{name}': {', '.join(owners)}; "
            f"say which, as in '{owners[0]}/{name}'"
        )

    def items(self) -> Iterator[tuple[str, Owned[T]]]:
        """Every claim under the name that reaches it, sorted."""
        claims = [claim for by_owner in self._claims.values() for claim in by_owner.values()]
        yield from sorted(((claim.name, claim) for claim in claims), key=lambda item: item[0])


class Registry:
    """Archs, families, modifiers and named variants by name, and the plugins they came from."""

    def __init__(self, plugins: Iterable[tuple[Plugin, ModuleType | None]] = ()) -> None:
        self.plugins: list[Plugin] = []
        self.archs: Table[Arch] = Table("arch")
        self.families: Table[Family] = Table("family")
        self.modifiers: Table[Modifier] = Table("modifier")
        self.variants: Table[Spec] = Table("variant")
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
        try:
            if self._hooks.register(module, key) is None:
                return plugin.failed(f"the module {module.__name__} is registered already")
            self._hooks.check_pending()  # a misspelt hook would be ignored in silence
            declared = [(table, *claim) for hook, (_, table) in _COLLECTED.items() for claim in self._claims(key, hook)]
            for at, (table, name, _) in enumerate(declared):
                if getattr(self, table).claimed(name, plugin) or (table, name) in [d[:2] for d in declared[:at]]:
                    raise PluginError(f"{plugin.owner} declares the name '{name}' twice")
        except (Exception, SystemExit) as error:
            self._hooks.unregister(module)
            text = str(error) if isinstance(error, PluginError) else f"{type(error).__name__}: {error}"
            return plugin.failed(text, error)
        for table, name, value in declared:
            getattr(self, table).add(name, plugin, value)
        return plugin

    def _claims(self, key: str, hook: str) -> list[tuple[str, Any]]:
        """What one plugin returns from one hook, checked. Called by itself, so that an error has a name."""
        kind = _COLLECTED[hook][0]
        found: list[tuple[str, Any]] = []
        for impl in getattr(self._hooks.hook, hook).get_hookimpls():
            if impl.plugin_name != key:
                continue
            result = impl.function()
            if kind is Spec:
                if not isinstance(result, Mapping):
                    raise PluginError(f"{hook}() returned {type(result).__name__}; expected a dict of name and spec")
                found += [(name, parse(text)) for name, text in result.items()]
                continue
            if not isinstance(result, Iterable) or isinstance(result, (str, Mapping)):
                raise PluginError(f"{hook}() returned {type(result).__name__}; expected a list of {kind.__name__}s")
            for value in result:
                if not isinstance(value, (Arch, Family, Modifier)) or not isinstance(value, kind):
                    word = f"@zoo.{kind.__name__.lower()}"
                    raise PluginError(f"{hook}() returned {value!r}; expected what {word} makes")
                found.append((value.name, value))
        return found

    @cached_property
    def layers(self) -> Mapping[str, Any]:
        """The layers that a spec may name. Imports torch."""
        return torch_layers()

    # -- look-ups -------------------------------------------------------------------------------------------------

    def modifier(self, name: str) -> Owned[Modifier]:
        """The modifier of this name; UnknownNameError with the nearest names."""
        found = self.modifiers.choose(name, self.modifiers.find(name))
        if found is None:
            raise self.unknown("modifier", name, [n for n, _ in self.modifiers.items()])
        return found

    def arch(self, call: Call) -> Owned[Arch]:
        """The arch that a spec's first part names, out of the archs and the families."""
        name = call.name
        if name.startswith("?"):
            raise UnknownNameError(f"'{name}' stands for a model that the zoo didn't make, so it can't be built")
        if call.source is not None:
            return self._prefixed(name, call.source)
        claims = dict(self.archs.find(name))
        owner, slash, rest = name.partition("/")
        for family_name, entry in self.families.items():
            asked = owner in (family_name, entry.owner) if slash else entry.value.bare
            if asked and (arch := entry.value.resolve(rest if slash else name, None)) is not None:
                claims.setdefault(family_name, Owned(entry.plugin, arch, _full(entry.value, arch.name)))
        found = self.archs.choose(name, claims)
        if found is None:
            raise self.unknown("arch", name, self.arch_names())
        return found

    def variant(self, name: str) -> Spec | None:
        """The spec behind a variant's name."""
        found = self.variants.choose(name, self.variants.find(name))
        return found.value if found else None

    def _prefixed(self, prefix: str, source: str) -> Owned[Arch]:
        for _, entry in self.families.items():
            if prefix in entry.value.prefixes and (arch := entry.value.resolve(prefix, source)) is not None:
                return Owned(entry.plugin, arch, prefix)
        known = sorted(p for _, entry in self.families.items() for p in entry.value.prefixes)
        raise self.unknown("prefix", prefix, known)

    def arch_names(self) -> list[str]:
        """Every arch under the name that reaches it."""
        names = {name for name, _ in self.archs.items()}
        for _, entry in self.families.items():
            family = entry.value
            names.update(_full(family, name) for name in family.names())
        return sorted(names)

    def unknown(self, kind: str, name: str, known: list[str]) -> UnknownNameError:
        """The error for a name that nobody has: the nearest names, and the plugins that are missing."""
        near = [n for n in known if n.endswith(f"/{name}")][:2]
        near += [n for n in difflib.get_close_matches(name, known, n=3, cutoff=0.6) if n not in near][: 3 - len(near)]
        hint = f"; did you mean {' or '.join(repr(n) for n in near)}?" if near else f"; see `zoo list {_PLURALS[kind]}`"
        missing = [
            f"\n  plugin '{p.name}' of {p.distribution} {p.status}: {p.reason}" for p in self.plugins if p.reason
        ]
        return UnknownNameError(f"no {kind} '{name}'{hint}{''.join(missing)}")


def _full(family: Family, name: str) -> str:
    return name if family.bare else f"{family.name}/{name}"


_COLLECTED: dict[str, tuple[type, str]] = {
    "zoo_archs": (Arch, "archs"),
    "zoo_families": (Family, "families"),
    "zoo_modifiers": (Modifier, "modifiers"),
    "zoo_variants": (Spec, "variants"),
}
_PLURALS = {"arch": "archs", "modifier": "modifiers", "prefix": "archs", "layer": "archs", "variant": "variants"}


@cache
def default_registry() -> Registry:
    """The registry of all that is installed, made on first use."""
    return Registry(load_plugins())
