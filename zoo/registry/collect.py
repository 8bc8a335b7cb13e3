"""Asking the hooks of one plugin what it declares, and checking what comes back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any

import pluggy

from ..messages.errors import PluginError, ZooError
from ..messages.text import ask_for, find_near
from ..spec.spec import Spec, parse
from . import hookspecs
from .declarations import ROLES, Arch, Family, Modifier
from .declare import check_name

# The hooks that are asked when a plugin is loaded, and what each declares.
COLLECTED = {
    "zoo_archs": "arch",
    "zoo_families": "family",
    "zoo_modifiers": "modifier",
    "zoo_variants": "variant",
    "zoo_layers": "layer",
    "zoo_activations": "activation",
    "zoo_norms": "norm",
    "zoo_classes": "class",
}
PLURALS = {kind: f"{kind}s" for kind in [*COLLECTED.values(), "command"]} | {"family": "families", "class": "classes"}
KINDS: dict[type, str] = {Arch: "arch", Family: "family", Modifier: "modifier", Spec: "variant"}
_DECLARED: dict[str, type[Arch | Family | Modifier]] = {"arch": Arch, "family": Family, "modifier": Modifier}
_ELSEWHERE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_CLASSES = re.compile(r"[\w.*]+:[\w.*]+")

_EXPECTED = {"variant": "name and spec", "class": "'module:Class' and what it is"}

Declared = list[tuple[str, str, Any]]
"""Kind, name and value of each declaration."""


def make_hook_manager() -> pluggy.PluginManager:
    """A manager that knows the hooks and no plugin."""
    manager = pluggy.PluginManager("zoo")
    manager.add_hookspecs(hookspecs)
    return manager


def collect(manager: pluggy.PluginManager, module: ModuleType, key: str) -> Declared:
    """Register a plugin's module under a key, and ask its hooks what they declare, each by itself.

    Raises PluginError for a hook that there isn't, and for anything else but declarations.
    """
    known = [name for name in vars(hookspecs) if name.startswith("zoo_")]
    _check_marked(module, known)
    manager.register(module, key)
    for name in vars(manager.hook):
        # `optionalhook=True` is for a hook that only some versions of the zoo have.
        if name not in known and not all(one.optionalhook for one in implementations(manager, key, name)):
            raise PluginError(f"unknown hook '{name}'; {ask_for(find_near(name, known, cutoff=0.3) or known[:1])}")
    found: Declared = []
    for hook, kind in COLLECTED.items():
        for implementation in implementations(manager, key, hook):
            found += [(kind, name, value) for name, value in _check(hook, kind, implementation.function())]
    return found


def implementations(manager: pluggy.PluginManager, key: str, hook: str) -> list[pluggy.HookImpl]:
    """What one plugin has for a hook."""
    return [one for one in getattr(manager.hook, hook).get_hookimpls() if one.plugin_name == key]


def _check_marked(module: ModuleType, known: Iterable[str]) -> None:
    """A function with a hook's name and no `@zoo.hookimpl` above it would be passed over in silence."""
    for name in known:
        function = vars(module).get(name)
        if callable(function) and not hasattr(function, "zoo_impl"):
            raise PluginError(f"write @zoo.hookimpl above {name}(): without it, it is no hook")


def _check(hook: str, kind: str, result: Any) -> list[tuple[str, Any]]:
    """What a hook returned, each with its name."""
    if kind in _DECLARED:
        return _read_declarations(hook, kind, result)
    if not isinstance(result, Mapping):
        what = _EXPECTED.get(kind, f"name and what makes the {kind}")
        raise PluginError(f"{hook}() returned {type(result).__name__}; expected a dict of {what}")
    for name in result if kind != "class" else ():
        check_name(kind, name)
    read: Callable[[str, str, Any], Any] = {"variant": _read_spec, "class": _read_roles}.get(kind, _read_maker)
    return [(name, read(hook, name, value)) for name, value in result.items()]


def _read_declarations(hook: str, kind: str, result: Any) -> list[tuple[str, Any]]:
    if not isinstance(result, Iterable) or isinstance(result, (str, Mapping)):
        raise PluginError(f"{hook}() returned {type(result).__name__}; expected a list of {PLURALS[kind].capitalize()}")
    found = []
    for value in result:
        if not isinstance(value, _DECLARED[kind]):
            raise PluginError(f"{hook}() returned {value!r}; expected what @zoo.{kind} makes")
        check_name(kind, value.name)
        found.append((value.name, value))
    return found


def _read_spec(hook: str, name: str, text: Any) -> Any:
    try:
        return parse(text)
    except ZooError as error:
        raise PluginError(f"{hook}() gives no spec for '{name}': {error}") from error


def _read_maker(hook: str, name: str, maker: Any) -> Any:
    """A function or class, or where it is: the hook need not import torch to say it."""
    if callable(maker) or (isinstance(maker, str) and _ELSEWHERE.fullmatch(maker)):
        return maker
    raise PluginError(
        f"{hook}() gives {maker!r} for '{name}'; expected a function or a class, or where it is: 'module:attribute'"
    )


def _read_roles(hook: str, place: Any, roles: Any) -> str:
    """What classes are: words with spaces between them; none for what is no layer of any kind."""
    if not isinstance(place, str) or not _CLASSES.fullmatch(place):
        raise PluginError(f"{hook}() gives {place!r}; expected where a class is, 'module:Class', with * for any part")
    if isinstance(roles, str) and set(roles.split()) <= set(ROLES):
        return roles
    raise PluginError(f"{hook}() says that '{place}' is {roles!r}; expected some of {', '.join(ROLES)}, or ''")
