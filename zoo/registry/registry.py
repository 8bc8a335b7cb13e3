"""What is installed: one object that is filled once and passed to whoever needs it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from dataclasses import replace
from functools import cache
from types import ModuleType
from typing import Any, TypeVar

from ..messages.errors import PluginError
from .collect import COLLECTED, KINDS, PLURALS, Declared, collect, implementations, make_hook_manager
from .declarations import Arch, Modifier
from .loader import load_plugins, quieten
from .owners import Offers, Owned
from .plugins import OWN, RESERVED_OWNERS, Plugin, list_absent, reason_of

T = TypeVar("T")


class Registry:
    """What plugins declare, by kind, name and owner, and the plugins that it came from.

    `zoo.create` and its like use that of all that is installed; one made by hand goes in as `registry=`.
    """

    def __init__(self, plugins: Iterable[tuple[Plugin, ModuleType | None]] = ()) -> None:
        self.plugins: list[Plugin] = []
        # Kind of declaration, then name, then owner.
        self.tables: dict[str, dict[str, dict[str, Owned[Any]]]] = {kind: {} for kind in COLLECTED.values()}
        self._kept: dict[Any, Any] = {}
        self._hooks = make_hook_manager()
        for plugin, module in plugins:
            self.plugins.append(self._register(plugin, module) if module else plugin)

    @classmethod
    def of(cls, *modules: ModuleType, owner: str = "zoo") -> Registry:
        """A registry of these modules alone, for tests.

        Args:
            modules: those that a plugin's entry points would name.
            owner: whose their declarations are; `owner/name` reaches them, and the zoo's own are also reached bare.

        Example:
            >>> import zoo_archs, zoo_modifiers
            >>> registry = zoo.Registry.of(zoo_archs, zoo_modifiers)
            >>> "dropout" in zoo.list_modifiers(registry=registry)
            True
        """
        distribution = OWN if owner == "zoo" else owner
        return cls((Plugin(m.__name__, distribution, "0", owner, m.__name__), m) for m in modules)

    def also(self, *declarations: Arch | Modifier, owner: str) -> Registry:
        """The same registry with these archs and modifiers too, as this owner's; this one stays as it is."""
        more, plugin = copy(self), Plugin(owner, owner, "0", owner, owner)
        more.tables, more._kept = {**self.tables}, {}
        for value in declarations:
            table = more.tables[KINDS[type(value)]]
            claims = {**table.get(value.name, {}), owner: Owned(plugin, value)}
            more.tables[KINDS[type(value)]] = {**table, value.name: claims}
        return more

    def keep(self, make: Callable[[Registry], T]) -> T:
        """What a function or class makes of this registry: made once, and gone with it. So no memory is global."""
        if make not in self._kept:
            self._kept.setdefault(make, make(self))  # of two threads the first is kept
        found: T = self._kept[make]
        return found

    def offers(self, kind: str) -> Offers:
        """What plugins add of a kind, `layer`, `activation` or `norm`. Imports nothing."""
        return Offers(kind, self.tables[kind], list_absent=self.list_absent)

    def implementations(self, hook: str) -> Iterator[tuple[Plugin, Any]]:
        """Each plugin's implementation of a hook that isn't asked when plugins are loaded."""
        for plugin in [*self.plugins]:
            for implementation in implementations(self._hooks, _key(plugin), hook):
                yield plugin, implementation

    def mark_failed(self, plugin: Plugin, error: BaseException) -> None:
        """A plugin that was well when it was loaded failed later; what else it declares stays, and the first reason."""
        self._update(plugin, lambda found: found if found.reason else found.as_failed(reason_of(error), error))

    def note(self, plugin: Plugin, kind: str, names: tuple[str, ...]) -> None:
        """Write down what else a plugin contributes."""
        self._update(plugin, lambda found: replace(found, contributes={**found.contributes, kind: names}))

    def list_absent(self, name: str) -> str:
        """The plugins that might have had a name, and failed or are disabled: a line each."""
        return list_absent(self.plugins, name)

    def _update(self, plugin: Plugin, change: Callable[[Plugin], Plugin]) -> None:
        self.plugins[:] = [change(found) if _key(found) == _key(plugin) else found for found in self.plugins]

    def _register(self, plugin: Plugin, module: ModuleType) -> Plugin:
        """Collect what a plugin declares, all or nothing."""
        key = _key(plugin)
        if plugin.owner in RESERVED_OWNERS and plugin.distribution != OWN:
            return plugin.as_failed(f"the owner's name '{plugin.owner}' belongs to the zoo's own plugins")
        if self._hooks.is_registered(module):
            by = next(p for p in self.plugins if _key(p) == self._hooks.get_name(module))
            return plugin.as_failed(
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
            return plugin.as_failed(reason_of(error), error)
        names = {PLURALS[kind]: tuple(n for k, n, _ in declared if k == kind) for kind in COLLECTED.values()}
        plugin = replace(plugin, contributes={kind: found for kind, found in names.items() if found})
        for kind, name, value in declared:
            self.tables[kind].setdefault(name, {})[plugin.owner] = Owned(plugin, value)
        return plugin

    def _check_once(self, plugin: Plugin, declared: Declared) -> None:
        """Raise PluginError for a name that one owner declares twice."""
        for at, (kind, name, _) in enumerate(declared):
            if plugin.owner in self.tables[kind].get(name, {}) or (kind, name) in [d[:2] for d in declared[:at]]:
                raise PluginError(f"{plugin.owner} declares the name '{name}' twice")


def _key(plugin: Plugin) -> str:
    return f"{plugin.distribution}:{plugin.name}:{plugin.module}"


@cache
def default_registry() -> Registry:
    """The registry of all that is installed, made on first use."""
    return Registry(load_plugins())


_at_work: ContextVar[Registry | None] = ContextVar("zoo_registry", default=None)


@contextmanager
def use_registry(registry: Registry | None) -> Iterator[None]:
    """While a modifier of this registry works, `activations` and `norms` answer from it."""
    token = _at_work.set(registry)
    try:
        yield
    finally:
        _at_work.reset(token)


def current_registry() -> Registry:
    """That of the modifier at work, else that of all that is installed."""
    return _at_work.get() or default_registry()
