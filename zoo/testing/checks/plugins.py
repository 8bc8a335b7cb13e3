"""Checks of a plugin as it is installed: how it loads, and whose names it takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ...messages.errors import ZooError
from ...messages.text import list_names
from ...plan.lookup import list_declared
from ...plan.resolve import plan_of
from ...registry.declarations import Arch, Family, Modifier
from ...registry.owners import Owned
from ...registry.plugins import OWN, Plugin
from ...registry.registry import Registry
from ...report.catalog import list_plugins
from ...spec.spec import Spec
from ...spec.values import Call
from ..results import Skip
from ..tools import brief

MOST_SECONDS = 1.0

# Imported by itself, with what the zoo needs there already, as in a user's process.
_IMPORT = """
import io, json, sys, time
from contextlib import redirect_stdout, redirect_stderr
import zoo
zoo.hookimpl, zoo.modifier
before = set(sys.modules)
start, said = time.perf_counter(), io.StringIO()
with redirect_stdout(said), redirect_stderr(said):
    __import__(sys.argv[1])
took = time.perf_counter() - start
heavy = [name for name in ("torch", "timm", "torchvision", "transformers") if name in sys.modules]
print(json.dumps({"seconds": took, "heavy": heavy, "said": said.getvalue()}))
"""


@dataclass(frozen=True)
class Installed:
    """A distribution's plugins, and what they contribute."""

    distribution: str
    registry: Registry

    @property
    def plugins(self) -> list[Plugin]:
        return [plugin for plugin in self.registry.plugins if plugin.distribution == self.distribution]

    @property
    def ok(self) -> bool:
        return bool(self.plugins) and all(plugin.status == "ok" for plugin in self.plugins)

    def must_load(self) -> None:
        """Skip where there is nothing to look at."""
        if not self.ok:
            raise Skip("see 'loads'")

    def declarations_of(self, kind: type) -> list[tuple[str, Owned[Any]]]:
        """What they declare of a kind, each under the name that reaches it."""
        self.must_load()
        found: list[tuple[str, Owned[Any]]] = list_declared(kind, self.registry)
        return [(name, owned) for name, owned in found if owned.plugin.distribution == self.distribution]

    @property
    def classes(self) -> list[type]:
        return []

    @cached_property
    def imported(self) -> list[tuple[Plugin, dict[str, Any]]]:
        """What importing each module does in a process of its own."""
        self.must_load()
        return [(plugin, _import_elsewhere(plugin.module.partition(":")[0])) for plugin in self.plugins]


def _import_elsewhere(module: str) -> dict[str, Any]:
    env = os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    done = subprocess.run([sys.executable, "-c", _IMPORT, module], capture_output=True, text=True, env=env, timeout=120)
    if done.returncode or not done.stdout:
        last = done.stderr.strip().split("\n")[-1]
        raise AssertionError(f"importing {module} ends in {last or f'exit status {done.returncode}'}")
    found: dict[str, Any] = json.loads(done.stdout.strip().split("\n")[-1])
    return found


def loads(installed: Installed) -> str:
    """It is installed with an entry point in the group `zoo`, loads, and has no hook that the zoo doesn't know."""
    plugins = installed.plugins
    known = ", ".join(sorted({plugin.distribution for plugin in installed.registry.plugins}))
    assert plugins, f"no plugin of a distribution '{installed.distribution}' is installed; those: {known or 'none'}"
    for plugin in plugins:
        assert plugin.status == "ok", f"plugin '{plugin.name}' {plugin.status}: {plugin.reason}"
    return ", ".join(f"{plugin.name} {plugin.version}" for plugin in plugins)


def imports_light(installed: Installed) -> None:
    """Importing it imports neither torch nor a library of models: `zoo list` imports every plugin."""
    for plugin, found in installed.imported:
        heavy = list_names(found["heavy"])
        assert not heavy, f"importing {plugin.module} imports {heavy}; do that inside the functions that need it"


def imports_quick(installed: Installed) -> str:
    """Importing it takes less than a second and prints nothing."""
    total = 0.0
    for plugin, found in installed.imported:
        assert not found["said"], f"importing {plugin.module} prints {found['said'].strip()[:80]!r}"
        if found["heavy"]:
            raise Skip("see 'imports_light'")
        took = found["seconds"]
        if took > MOST_SECONDS:  # once more, since the first import may have had to compile, or the machine was busy
            took = _import_elsewhere(plugin.module.partition(":")[0])["seconds"]
        assert took < MOST_SECONDS, f"importing {plugin.module} takes {took:.1f} s"
        total += took
    return f"{total * 1000:.0f} ms"


def contributes(installed: Installed) -> str:
    """It contributes something."""
    installed.must_load()
    found = [plugin for plugin in list_plugins(registry=installed.registry) if plugin in installed.plugins]
    words = [f"{len(names)} {kind}" for plugin in found for kind, names in plugin.contributes.items()]
    words += ["a watcher" for plugin, _ in installed.registry.implementations("zoo_built") if plugin in found]
    assert words, "it declares nothing: no hook of it returns anything"
    return ", ".join(words)


def own_names(installed: Installed) -> None:
    """Each name reaches what it stands for by itself: no other plugin, and not the zoo, has it too."""
    if installed.distribution == OWN:
        raise Skip("its names are the zoo's own")
    for kind in (Arch, Modifier, Spec):
        taken = [name for name, _ in installed.declarations_of(kind) if "/" in name]
        assert not taken, f"{list_names(taken)}: the bare name is someone else's too, so that only owner/name works"


def families(installed: Installed) -> str | None:
    """A family lists names and resolves each, and answers None to one that it doesn't know."""
    found = [entry.value for _, entry in installed.declarations_of(Family)]
    if not found:
        raise Skip("it has no family")
    for family in found:
        names = list(family.names())
        assert all(isinstance(name, str) for name in names), f"family '{family.name}' lists what is no name"
        for name in names[:: max(1, len(names) // 10)]:
            assert isinstance(family.resolve(name, None), Arch), f"family '{family.name}' lists '{name}', and has none"
        strange = _resolve(family, "zoo-testing-no-such-arch")
        assert strange is None, f"family '{family.name}' answers {strange!r} to a name that it can't know"
    return ", ".join(family.name for family in found)


def _resolve(family: Family, name: str) -> Any:
    try:
        return family.resolve(name, None)
    except ZooError:
        return None  # its word on the name


def variants(installed: Installed) -> str | None:
    """Each named variant is made of archs, modifiers and options that there are."""
    found = [name for name, _ in installed.declarations_of(Spec)]
    if not found:
        raise Skip("it has no named variants")
    for name in found:
        try:
            plan_of(Spec(Call(name)), installed.registry)
        except ZooError as error:
            raise AssertionError(f"the variant '{name}': {brief(error)}") from error
    return list_names(found)
