"""Plugins as they are installed: found through entry points, imported each by itself, reported when they fail."""

from __future__ import annotations

import importlib.metadata
import itertools
import json
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

import zoo
from tests.conftest import World, zoo_command
from zoo.plan.lookup import find_base, find_modifier
from zoo.registry.loader import load_plugins
from zoo.registry.plugins import Plugin
from zoo.registry.registry import Registry

# The smallest plugin, as an author would write it; the body is what the docs leave to him.
LEAKY = """
import zoo

@zoo.modifier(examples=["leaky", "leaky(0.2)"])
def leaky(model, /, slope: float = 0.01, at: zoo.Where = "*"):
    '''Swap every ReLU for a LeakyReLU of this slope.'''
    from torch import nn
    for path in zoo.select(model, at, kind=nn.ReLU):
        model = zoo.replace(model, path, nn.LeakyReLU(slope))
    return model

@zoo.hookimpl
def zoo_modifiers():
    return [leaky]
"""

GOOD = """
import zoo

@zoo.modifier
def shout(model, /, times: int = 1):
    '''Does next to nothing.'''
    model.shouted = times
    return model

@zoo.hookimpl
def zoo_modifiers():
    return [shout]
"""


def plugin(registry: Registry, distribution: str) -> Plugin:
    (found,) = [p for p in zoo.list_plugins(registry=registry) if p.distribution == distribution]
    return found


def kinds(model: nn.Module) -> set[str]:
    return {type(module).__name__ for module in model.modules()}


def own(registry: Registry) -> list[tuple[str, str]]:
    return [(p.name, p.status) for p in registry.plugins if p.distribution == "plugzoo"]


# -- the ten-line plugin ----------------------------------------------------------------------------------------------


def test_the_ten_line_plugin_works_as_written(world: World) -> None:
    world.add("zoo-leaky", LEAKY)
    registry = world.registry()
    assert plugin(registry, "zoo-leaky").status == "ok"
    model = zoo.create("simple+leaky(0.2)", registry=registry)
    assert [m.negative_slope for m in model.modules() if isinstance(m, nn.LeakyReLU)] == [0.2, 0.2]
    assert not [m for m in model.modules() if isinstance(m, nn.ReLU)]
    assert str(zoo.spec_of(model)) == "simple+leaky(slope=0.2)"
    assert len(zoo.changes(model)) == 2

    bare = zoo.create("simple", registry=registry)
    bare.load_state_dict(model.state_dict(), strict=True)
    for layers in (bare.layers1, bare.layers2):
        layers[1] = nn.LeakyReLU(0.2)
    x = torch.randn(8, 100)
    assert torch.equal(model.eval()(x), bare.eval()(x))


def test_the_ten_line_plugin_is_listed_and_described(world: World) -> None:
    world.add("zoo-leaky", LEAKY)
    registry = world.registry()
    assert "leaky" in zoo.list_modifiers(registry=registry)
    described = zoo.describe("leaky", registry=registry)
    assert described == zoo.describe("zoo-leaky/leaky", registry=registry)
    assert (described.name, described.kind, described.owner, described.version) == (
        "leaky",
        "modifier",
        "zoo-leaky",
        "1.0",
    )
    assert described.doc == "Swap every ReLU for a LeakyReLU of this slope."
    assert described.examples == ("leaky", "leaky(0.2)")
    assert described.options == (
        {"name": "slope", "type": "float", "default": 0.01},
        {"name": "at", "type": "Where", "default": "*"},
    )
    assert str(described) == (
        "modifier leaky(slope: float = 0.01, at: Where = '*')\n"
        "from zoo-leaky 1.0\n\n"
        "Swap every ReLU for a LeakyReLU of this slope.\n\n"
        "  leaky\n"
        "  leaky(0.2)"
    )


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("simple+leaky(True)", zoo.OptionError, "leaky: slope is True (bool); expected "),
        ("simple+leaky(slop=1.0)", zoo.OptionError, "leaky has no option 'slop'; did you mean 'slope'?"),
        ("simple+leaky(at=nowhere)", zoo.NoEffectError, "at=nowhere matches nothing in this Simple"),
        (
            "simple+act(silu)+leaky",
            zoo.NotApplicableError,
            "leaky changed nothing: it found nothing to work on in this",
        ),
    ],
)
def test_a_strangers_modifier_gets_the_same_checks(
    world: World, spec: str, error: type[zoo.ZooError], message: str
) -> None:
    world.add("zoo-leaky", LEAKY)
    with pytest.raises(error) as caught:
        zoo.create(spec, registry=world.registry())
    assert str(caught.value).startswith(message)


# -- plugins that fail ------------------------------------------------------------------------------------------------

FAILING = [
    ("an error on import", "raise RuntimeError('no licence')", "", "RuntimeError: no licence"),
    ("a missing package", "import nobody_has_this", "", "ModuleNotFoundError: No module named 'nobody_has_this'"),
    ("a syntax error", "def f(:", "", "SyntaxError: invalid syntax"),
    ("an exit on import", "import sys; sys.exit(4)", "", "SystemExit: 4"),
    ("a module that isn't there", None, "not_there_at_all", "ModuleNotFoundError: No module named 'not_there_at_all'"),
    ("a function", GOOD, "mod_bad:zoo_modifiers", "the entry point names a function; it must name a module"),
    ("a missing attribute", GOOD, "mod_bad:nothing", "AttributeError: module 'mod_bad' has no attribute 'nothing'"),
    ("no module's name", GOOD, "!", "AttributeError: "),
    (
        "a wrong return",
        "import zoo\n@zoo.hookimpl\ndef zoo_modifiers(): return 1",
        "",
        "zoo_modifiers() returned int; ",
    ),
    (
        "a misspelt hook",
        "import zoo\n@zoo.hookimpl\ndef zoo_modifier(): return []",
        "",
        "unknown hook 'zoo_modifier'; did you mean",
    ),
    (
        "a hook without its mark",
        "def zoo_modifiers(): return []",
        "",
        "write @zoo.hookimpl above zoo_modifiers(): without it, it is no hook",
    ),
    (
        "arguments that the hook hasn't",
        "import zoo\n@zoo.hookimpl\ndef zoo_modifiers(models): return []",
        "",
        "PluginValidationError: ",
    ),
    (
        "a name that no spec can say",
        "import zoo\n@zoo.hookimpl\ndef zoo_archs(): return [zoo.Arch('two words', dict)]",
        "",
        "arch 'two words': a name is letters, digits and _ . -, not starting with a digit",
    ),
    (
        "a layer that is a number",
        "import zoo\n@zoo.hookimpl\ndef zoo_layers(): return {'L': 3}",
        "",
        "zoo_layers() gives 3 for 'L'; expected a function or a class, or where it is: 'module:attribute'",
    ),
    (
        "a list of activations",
        "import zoo\n@zoo.hookimpl\ndef zoo_activations(): return ['relu']",
        "",
        "zoo_activations() returned list; expected a dict of name and what makes the activation",
    ),
    ("an exception of its own kind", "class Stop(BaseException): pass\nraise Stop('now')", "", "Stop: now"),
    (
        "an exception without a text",
        "class E(Exception):\n  def __str__(self): 1 / 0\nraise E",
        "",
        "E: (it has no text)",
    ),
    (
        "no docstring",
        "import zoo\n@zoo.modifier\ndef m(model): return model",
        "",
        "modifier 'm' needs a doc",
    ),
    (
        "an error in a hook",
        "import zoo\n@zoo.hookimpl\ndef zoo_archs(): raise OSError('disk')",
        "",
        "OSError: disk",
    ),
]


@pytest.mark.parametrize(("code", "value", "reason"), [row[1:] for row in FAILING], ids=[row[0] for row in FAILING])
def test_a_plugin_that_fails_is_reported_and_takes_nothing_down(
    world: World, code: str | None, value: str, reason: str
) -> None:
    world.add("bad", code, value=value)
    world.add("zoo-good", GOOD)
    registry = world.registry()
    failed = plugin(registry, "bad")
    assert (failed.status, failed.version) == ("failed", "1.0")
    assert failed.reason.startswith(reason)
    assert plugin(registry, "zoo-good").status == "ok"
    assert all(status == "ok" for _, status in own(registry))
    assert "shout" in zoo.list_modifiers(registry=registry)
    with pytest.raises(zoo.UnknownNameError) as caught:
        zoo.create("simple+what", registry=registry)
    assert f"\n  plugin 'main' of bad failed: {failed.reason.splitlines()[0]}" in str(caught.value)
    assert "zoo-good" not in str(caught.value)


CRASHING = """
import sys
import zoo

@zoo.modifier(examples=["leave"])
def leave(model, /, how: str = "exit"):
    '''Ends the program.'''
    if how == "exit":
        sys.exit(3)
    raise KeyboardInterrupt

@zoo.arch()
def empty():
    '''No module.'''
    return {}

def resolve(name, source):
    raise OSError("disk")

@zoo.hookimpl
def zoo_modifiers():
    return [leave]

@zoo.arch()
def broken(width: int = 1):
    '''Fails.'''
    raise RuntimeError("boom")

@zoo.hookimpl
def zoo_archs():
    return [empty, broken]

@zoo.hookimpl
def zoo_families():
    return [zoo.Family("far", resolve, list, prefixes=("pfx",))]
"""


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        (
            "simple+leave",
            zoo.PluginError,
            "modifier 'leave' of zoo-crash raised SystemExit: 3\n  in part 1, 'leave', of 'simple+leave'",
        ),
        ("simple+leave(interrupt)", KeyboardInterrupt, ""),
        ("empty", zoo.PluginError, "arch 'empty' returned dict; it must return an nn.Module"),
        ("broken", zoo.PluginError, "arch 'broken' of zoo-crash raised RuntimeError: boom"),
        ("broken+act(silu)", zoo.PluginError, "arch 'broken' of zoo-crash raised RuntimeError: boom"),
        ("broken(2)", zoo.OptionError, "broken(width=2): RuntimeError: boom; broken(width: int = 1)"),
        (
            "pfx:x",
            zoo.UnknownNameError,
            "'pfx' of zoo-crash has nothing called 'x'\n  plugin 'main' of zoo-crash failed: OSError: disk",
        ),
    ],
)
def test_what_a_plugin_does_wrong_is_an_error_of_the_zoo(
    world: World, spec: str, error: type[BaseException], message: str
) -> None:
    world.add("zoo-crash", CRASHING)
    world.add("zoo-other", "raise OSError('not mine')")
    with pytest.raises(error) as caught:
        zoo.create(spec, registry=world.registry())
    assert str(caught.value) == message


def test_a_module_that_two_plugins_name_says_whose_it_is(world: World) -> None:
    world.add("zoo-a", GOOD, module="shared_module", name="first")
    world.add("zoo-b", None, module="shared_module", name="second")
    assert plugin(world.registry(), "zoo-b").reason == (
        "the module shared_module is registered already: it's the plugin 'first' of zoo-a"
    )


def test_the_traceback_of_a_failed_plugin_is_kept(world: World) -> None:
    module = world.add("bad", "def f():\n    raise RuntimeError('deep inside')\nf()")
    failed = plugin(world.registry(), "bad")
    assert f"{module}.py" in failed.traceback
    assert failed.traceback.rstrip().endswith("RuntimeError: deep inside")


def test_metadata_without_a_name_takes_nothing_down(world: World, tmp_path: Path) -> None:
    world.add("wrecked", GOOD)
    (tmp_path / "site" / "wrecked-1.0.dist-info" / "METADATA").unlink()
    world.add("zoo-good", GOOD, module="good_one")
    registry = world.registry()
    assert plugin(registry, "zoo-good").status == "ok"
    assert all(status == "ok" for _, status in own(registry))


# -- plugins that are a nuisance --------------------------------------------------------------------------------------

NOISY = """
import sys, warnings
print("loaded")
sys.stderr.write("to stderr\\n")
warnings.warn("old", DeprecationWarning)
import os
os.system("echo from a shell")
""" + GOOD.replace("    return [shout]", "    print('asked')\n    return [shout]")


def test_what_a_plugin_prints_goes_to_stderr(world: World) -> None:
    world.add("noisy", NOISY)
    code = "from zoo.cli.main import main; main()"
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(world.tmp_path / "site"), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", code, "list", "--json"], capture_output=True, text=True, env=env, timeout=120
    )
    assert done.returncode == 0
    assert "shout" in [row["name"] for row in json.loads(done.stdout)]
    assert {"loaded", "asked", "to stderr", "from a shell"} <= set(done.stderr.split("\n"))


def test_a_warning_on_import_is_kept_and_is_no_error(world: World) -> None:
    """Not even where warnings are errors, as in this run."""
    module = world.add("noisy", "import warnings\nwarnings.warn('old', DeprecationWarning)\n" + GOOD)
    found = plugin(world.registry(), "noisy")
    assert (found.status, found.reason) == ("ok", "")
    (kept,) = found.warnings
    assert kept == f"DeprecationWarning: old ({world.tmp_path}/site/{module}.py, line 2)"


@pytest.mark.parametrize("code", ["raise KeyboardInterrupt", "import zoo\n@zoo.hookimpl\ndef zoo_archs(): raise {}"])
def test_the_user_can_interrupt_an_import(world: World, code: str) -> None:
    world.add("slow", code.format("KeyboardInterrupt"))
    with pytest.raises(KeyboardInterrupt):
        world.registry()


@pytest.mark.parametrize(
    ("code", "torch"),
    [
        ("import torch", True),
        ("from torch import nn", True),
        ("from torch.nn import Linear", True),
        ("import json", False),
        ("def f():\n    import torch", False),
    ],
)
def test_it_shows_who_brings_torch_in(world: World, code: str, torch: bool) -> None:
    """Also where torch is there already, as in this process."""
    world.add("acme", code)
    assert plugin(world.registry(), "acme").torch is torch


def test_where_a_plugin_is_and_what_it_contributes(world: World) -> None:
    module = world.add("acme", MINE.format(name="mark", mark="Tanh"))
    found = plugin(world.registry(), "acme")
    assert found.source == str(world.tmp_path / "site" / f"{module}.py")
    assert found.contributes == {"archs": ("resnet18",), "modifiers": ("mark",), "variants": ("simple",)}
    assert 0 < found.seconds < 60
    bad = world.add("bad", "1 / 0")
    assert plugin(world.registry(), "bad").source == str(world.tmp_path / "site")
    assert bad not in sys.modules


@pytest.mark.parametrize(
    ("needs", "reason"),
    [
        ("plugzoo", ""),
        ("plugzoo>=0.1", ""),
        ("PlugZoo (>=0.0.1,<5)", ""),
        ("plugzoo>=99", "it needs plugzoo>=99, and this is plugzoo 0.1.0"),
        ("plugzoo<0.1; python_version > '3'", "it needs plugzoo<0.1, and this is plugzoo 0.1.0"),
        ("plugzoo<0.1; python_version < '3'", ""),
        ("plugzoo<0.1; extra == 'old'", ""),
        ("plugzoo-extras>=99", ""),
        ("plugzoo >> what", ""),
    ],
)
def test_a_plugin_that_needs_another_version_is_not_imported(world: World, needs: str, reason: str) -> None:
    module = world.add("acme", GOOD, metadata=f"Requires-Dist: timm\nRequires-Dist: {needs}\n")
    found = plugin(world.registry(), "acme")
    assert (found.status, found.reason) == ("failed" if reason else "ok", reason)
    assert (module in sys.modules) is (not reason)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"[zoo]\nno equals sign\n", "its metadata can't be read: TypeError: "),
        (b"[zoo]\nmain = \xff\xfe\n", "its metadata can't be read: UnicodeDecodeError: "),
    ],
)
def test_metadata_that_cannot_be_read_take_nothing_down(world: World, text: bytes, reason: str) -> None:
    world.add("wrecked", None)
    (world.tmp_path / "site" / "wrecked-1.0.dist-info" / "entry_points.txt").write_bytes(text)
    world.add("zoo-good", GOOD)
    registry = world.registry()
    assert plugin(registry, "zoo-good").status == "ok"
    found = plugin(registry, "wrecked")
    assert (found.status, found.version) == ("failed", "1.0")
    assert found.reason.startswith(reason)


def test_a_reason_of_a_megabyte_is_cut() -> None:
    assert len(Plugin("a", "a", "1", "a", "a").as_failed("x" * 10**6).reason) < 1100


def test_a_package_that_lies_over_the_zoos_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As analytics-zoo's does, which installs a `zoo` of its own."""
    other = types.ModuleType("zoo")
    other.__file__ = "/site-packages/zoo/__init__.py"
    monkeypatch.setitem(sys.modules, "zoo", other)
    with pytest.raises(zoo.PluginError) as caught:
        load_plugins()
    assert str(caught.value).startswith("`import zoo` gives /site-packages/zoo/__init__.py, which isn't plugzoo's: ")
    assert "pip uninstall " in str(caught.value)
    result = zoo_command("show", "simple")
    assert (result.exit_code, result.stderr) == (1, f"zoo: {caught.value}\n")


# -- whose name -------------------------------------------------------------------------------------------------------

MINE = """
import zoo

@zoo.modifier
def {name}(model, /):
    '''Leaves a mark that a forward goes through.'''
    from torch import nn
    return zoo.insert_before(model, "layers1.0", nn.{mark}())

@zoo.arch(sample=(100,))
def resnet18():
    '''Not a ResNet.'''
    from torch import nn
    return nn.Linear(100, 2)

@zoo.hookimpl
def zoo_modifiers():
    return [{name}]

@zoo.hookimpl
def zoo_archs():
    return [resnet18]

@zoo.hookimpl
def zoo_variants():
    return {{"simple": "mlp"}}
"""


def test_two_strangers_with_one_name(world: World) -> None:
    marks = {"acme": "Tanh", "bolt": "Sigmoid"}
    for dist, mark in marks.items():
        world.add(dist, MINE.format(name="mark", mark=mark))
    registry = world.registry()
    with pytest.raises(zoo.UnknownNameError, match="2 plugins have a modifier 'mark': acme, bolt; say which"):
        zoo.create("simple+mark", registry=registry)
    for dist, mark in marks.items():
        model = zoo.create(f"simple+{dist}/mark", registry=registry)
        assert kinds(model) >= {mark}


def test_what_ships_with_the_zoo_cannot_be_taken_over(world: World) -> None:
    world.add("acme", MINE.format(name="dropout", mark="Tanh"))
    registry = world.registry()
    assert plugin(registry, "acme").status == "ok"
    model = zoo.create("simple+dropout", registry=registry)
    assert type(model).__name__ == "Simple"
    assert "Dropout" in kinds(model)
    assert "Tanh" not in kinds(model)
    assert type(zoo.create("resnet18", device="meta", registry=registry)).__name__ == "ResNet"
    assert type(zoo.create("acme/resnet18", device="meta", registry=registry)) is nn.Linear
    assert "Tanh" in kinds(zoo.create("simple+acme/dropout", registry=registry))
    assert type(zoo.create("acme/simple", registry=registry)).__name__ == "MLP"


def test_the_order_of_the_path_changes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    dists = ["acme", "bolt", "Crate_Co"]
    for dist in dists:
        world.add(dist, MINE.format(name="mark", mark="Tanh"), site=dist)
    places = [str(world.tmp_path / dist) for dist in dists]
    rest = [entry for entry in sys.path if entry not in places]
    seen = set()
    for order in itertools.permutations(places):
        monkeypatch.setattr(sys, "path", [*order, *rest])
        registry = world.registry()
        plugins = tuple((p.name, p.owner, p.status) for p in registry.plugins)
        listed = tuple(zoo.list_modifiers(registry=registry)), tuple(zoo.list_archs(registry=registry))
        seen.add((plugins, listed))
    ((plugins, (modifiers, _)),) = seen
    assert list(dict.fromkeys(owner for _, owner, _ in plugins)) == ["zoo", "acme", "bolt", "crate-co"]
    assert {"acme/mark", "bolt/mark", "crate-co/mark"} <= set(modifiers)


def test_stale_metadata_counts_once(world: World, tmp_path: Path) -> None:
    """An editable install that was made twice leaves two pieces of metadata for one distribution."""
    world.add("Zoo_Good", GOOD)
    world.add("zoo-good", None, module="mod_zoo_good", site="stale")
    (tmp_path / "site" / "zoo_good-0.9.dist-info").mkdir()
    (tmp_path / "site" / "zoo_good-0.9.dist-info" / "METADATA").write_text("Name: zoo-good\nVersion: 0.9\n")
    (tmp_path / "site" / "zoo_good-0.9.dist-info" / "entry_points.txt").write_text("[zoo]\nmain = mod_zoo_good\n")
    registry = world.registry()
    assert plugin(registry, "zoo-good").status == "ok"
    assert zoo.list_modifiers(registry=registry).count("shout") == 1


def test_the_newest_of_two_copies_in_one_folder_counts(world: World) -> None:
    for version in ("0.9", "0.10", "0.2"):
        world.add("zoo-good", GOOD, version=version)
    found = plugin(world.registry(), "zoo-good")
    assert (found.version, found.status) == ("0.10", "ok")


def test_a_copy_that_is_stale_is_told_of(world: World) -> None:
    """The first on the path counts, as for Python's imports; its module may be gone."""
    world.add("zoo-good", GOOD, version="2.0")
    world.add("Zoo_Good", None, module="long_gone", version="1.0", site="first")
    found = plugin(world.registry(), "zoo-good")
    assert (found.version, found.status) == ("1.0", "failed")
    assert found.reason == (
        "ModuleNotFoundError: No module named 'long_gone'; its metadata is there 2 times: "
        f"1.0 in {world.tmp_path / 'first'}, 2.0 in {world.tmp_path / 'site'}"
    )


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_order_changes_what_a_name_means(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Neither that of installation nor that of the path: each name means the same plugin, or is the same error."""
    dists = ["acme", "bolt", "Crate_Co", "dome"]
    marks = {"acme": "Tanh", "bolt": "Sigmoid", "Crate_Co": "Tanh", "dome": "ELU"}
    with pytest.MonkeyPatch.context() as monkeypatch:
        world = World(tmp_path_factory.mktemp("world"), monkeypatch)
        try:
            for dist in data.draw(st.permutations(dists)):
                name = {"Crate_Co": "crate", "dome": "dropout"}.get(dist, "mark")
                world.add(dist, MINE.format(name=name, mark=marks[dist]), site=dist)
            places = [str(world.tmp_path / dist) for dist in data.draw(st.permutations(dists))]
            rest = [entry for entry in sys.path if entry not in places]
            monkeypatch.setattr(sys, "path", [*places, *rest] if data.draw(st.booleans()) else [*rest, *places])
            registry = world.registry()
            meant = {
                name: find_modifier(name, registry).owner for name in ("crate", "dropout", "dome/dropout", "acme/mark")
            }
            assert meant == {"crate": "crate-co", "dropout": "zoo", "dome/dropout": "dome", "acme/mark": "acme"}
            with pytest.raises(zoo.UnknownNameError) as caught:
                find_modifier("mark", registry)
            assert str(caught.value) == "2 plugins have a modifier 'mark': acme, bolt; say which, as in 'acme/mark'"
            assert find_base(zoo.parse("resnet18").arch, registry).owner == "zoo"
        finally:
            world.forget()


def test_two_distributions_may_use_one_entry_point_name(world: World) -> None:
    world.add("acme", MINE.format(name="one", mark="Tanh"), name="archs")
    world.add("bolt", MINE.format(name="two", mark="Tanh"), name="archs")
    registry = world.registry()
    assert {"one", "two", "dropout"} <= set(zoo.list_modifiers(registry=registry))
    assert [p.distribution for p in registry.plugins if p.name == "archs"] == ["plugzoo", "acme", "bolt"]


# -- ZOO_DISABLE_PLUGINS ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "off"),
    [
        ("", []),
        ("first", ["zoo-acme"]),
        ("zoo-acme", ["zoo-acme"]),
        ("Zoo_Acme", ["zoo-acme"]),
        (" first , bolt ,", ["bolt", "zoo-acme"]),
        ("*", ["bolt", "zoo-acme"]),
        ("nobody", []),
        ("timm", ["timm"]),
    ],
)
def test_plugins_can_be_disabled(world: World, monkeypatch: pytest.MonkeyPatch, value: str, off: list[str]) -> None:
    world.add("zoo-acme", MINE.format(name="one", mark="Tanh"), name="first")
    world.add("bolt", MINE.format(name="two", mark="Tanh"), name="second")
    monkeypatch.setenv("ZOO_DISABLE_PLUGINS", value)
    registry = Registry(load_plugins())
    disabled = [p for p in registry.plugins if p.status == "disabled"]
    assert sorted("timm" if p.distribution == "plugzoo" else p.distribution for p in disabled) == off
    assert {p.reason for p in disabled} <= {"by ZOO_DISABLE_PLUGINS"}
    for dist, module, name in (("zoo-acme", "mod_zoo_acme", "one"), ("bolt", "mod_bolt", "two")):
        assert (module in sys.modules) == (dist not in off), "a disabled plugin is never imported"
        assert (name in zoo.list_modifiers(registry=registry)) == (dist not in off)


def test_an_unknown_name_tells_of_disabled_plugins(world: World) -> None:
    world.add("zoo-acme", MINE.format(name="one", mark="Tanh"), name="first")
    with pytest.raises(zoo.UnknownNameError) as caught:
        zoo.create("simple+one", registry=world.registry("*"))
    assert "\n  plugin 'first' of zoo-acme disabled: by ZOO_DISABLE_PLUGINS" in str(caught.value)


# -- declarations -----------------------------------------------------------------------------------------------------

DECLARATIONS = [
    ("@zoo.modifier\ndef m(): 'x'", "modifier 'm': the first parameter is the model, as in m(model, /, ...)"),
    (
        "@zoo.modifier\ndef m(model, a: int, *rest: int): 'x'",
        "modifier 'm': *rest takes every positional value; put 'a' behind it",
    ),
    (
        "@zoo.arch()\ndef a(width: int, *rest: int): 'x'",
        "arch 'a': *rest takes every positional value; put 'width' behind it",
    ),
    ("@zoo.modifier\ndef m(model, p=1): 'x'", "modifier 'm': option 'p' needs a type, as in 'p: int'"),
    ("@zoo.modifier\ndef m(model, p: int): 'x'", "modifier 'm': 'p' has no default, so give examples=[\"m(...)\"]"),
    (
        "@zoo.modifier(name='two words')\ndef m(model): 'x'",
        "modifier 'two words': a name is letters, digits and _ . -, not starting with a digit",
    ),
    ("@zoo.modifier\ndef m(model): pass", "modifier 'm' needs a docstring: it is what `zoo.describe('m')` shows"),
    ("@zoo.arch\ndef a(): 'x'", "write @zoo.arch(), with brackets, above 'a'"),
    ("@zoo.arch()\ndef a(): pass", "arch 'a' needs a docstring: it is what `zoo.describe('a')` shows"),
]


@pytest.mark.parametrize(("code", "message"), DECLARATIONS)
def test_a_declaration_that_cannot_work_says_why(code: str, message: str) -> None:
    with pytest.raises(zoo.PluginError) as caught:
        exec(code, {"zoo": zoo})
    assert str(caught.value) == message


# -- what is installed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["act", "bn", "dropout", "heads", "replace", "simple", "mlp", "convnet", "resnet18"])
def test_everything_that_ships_is_described(name: str) -> None:
    described = zoo.describe(name)
    assert described.name == name
    of = "timm" if name == "resnet18" else "plugzoo"
    assert (described.owner, described.version) == ("timm" if of == "timm" else "zoo", importlib.metadata.version(of))
    assert described.doc
    assert described.signature.startswith(f"{name}(")
    assert {"name", "type"} <= set().union(*described.options, {"name", "type"})
    for option in described.options:
        assert set(option) <= {"name", "type", "default"}


@pytest.mark.parametrize(
    ("name", "library"), [("torchvision/resnet18", "torchvision"), ("timm/resnet18", "timm"), ("hf-hub:a/b", "timm")]
)
def test_an_arch_of_a_library_has_its_version(name: str, library: str) -> None:
    described = zoo.describe(name)
    assert (described.owner, described.version) == (library, importlib.metadata.version(library))
    assert f"\nfrom {library} {importlib.metadata.version(library)}\n" in str(described)


@pytest.mark.parametrize("wrong", [3, ["resnet18"], None])
def test_a_listing_takes_a_glob(wrong: Any) -> None:
    with pytest.raises(zoo.OptionError) as caught:
        zoo.list_archs(wrong)
    assert str(caught.value) == f"list_archs takes a glob, such as '*resnet*', not {wrong!r}"
    if wrong is not None:
        with pytest.raises(zoo.OptionError) as caught:
            zoo.list_variants(wrong)
        assert str(caught.value) == f"list_variants takes an arch, such as 'resnet18', not {wrong!r}"


TAKEOVER = """
import zoo

@zoo.modifier(examples=["dropout(3)", "dropout(times=2)+act(silu)"])
def dropout(model, /, times: int):
    '''None of the zoo's.'''
    from torch import nn
    return zoo.insert_before(model, "layers3", nn.Dropout(times / 10))

@zoo.hookimpl
def zoo_modifiers():
    return [dropout]
"""


def test_an_example_is_listed_under_the_name_that_reaches_it(world: World) -> None:
    world.add("zoo-takeover", TAKEOVER)
    registry = world.registry()
    found = {v.name: v.what for v in zoo.list_variants("simple", registry=registry) if "takeover" in v.modifier}
    assert found == {
        "zoo-takeover/dropout(3)": "1 × inserted before",
        "zoo-takeover/dropout(times=2)+act(silu)": "1 × inserted before, 2 × replaced",
    }
    assert zoo.describe("zoo-takeover/dropout", registry=registry).examples == tuple(found)
    assert zoo.describe("dropout", registry=registry).examples == zoo.describe("dropout").examples


def test_a_name_that_two_have_is_described_as_it_is_created(world: World) -> None:
    for dist in ("zoo-a", "zoo-b"):
        world.add(dist, TAKEOVER.replace("dropout", "clash"))
    registry = world.registry()
    with pytest.raises(zoo.UnknownNameError) as caught:
        zoo.describe("clash", registry=registry)
    assert str(caught.value) == "2 plugins have a modifier 'clash': zoo-a, zoo-b; say which, as in 'zoo-a/clash'"
    assert zoo.describe("zoo-b/clash", registry=registry).examples[0] == "zoo-b/clash(3)"


def test_an_unknown_name_cannot_be_described() -> None:
    with pytest.raises(zoo.UnknownNameError, match=r"^no arch or modifier 'dropuot'; did you mean 'dropout'"):
        zoo.describe("dropuot")


def test_variants_of_an_arch_say_what_would_change_or_why_not() -> None:
    found = {v.name: v for v in zoo.list_variants("simple")}
    assert {v.modifier for v in found.values()} == set(zoo.list_modifiers())
    assert [name for modifier in zoo.list_modifiers() for name in zoo.describe(modifier).examples] == list(found)
    assert found["dropout(0.2)"].applies
    assert found["dropout(0.2)"].spec == "simple+dropout(0.2)"
    assert found["bn(eps=1e-4)"].what == "1 × eps"
    assert found["act(silu)"].what == "2 × replaced"
    (refused,) = [v for v in zoo.list_variants("mlp") if v.name == "bn(eps=1e-4)"]
    assert not refused.applies
    assert refused.what == "this MLP has no BatchNorm"


def test_what_a_listing_says_of_a_variant_is_what_creating_it_does() -> None:
    for variant in zoo.list_variants("convnet"):
        if variant.applies:
            done = [change.what for change in zoo.changes(zoo.create(variant.spec))]
            assert variant.what == ", ".join(f"{done.count(what)} × {what}" for what in dict.fromkeys(done))
        else:
            with pytest.raises(zoo.ZooError):
                zoo.create(variant.spec)


def test_the_zoos_own_plugins_are_well() -> None:
    mine = [p for p in zoo.list_plugins() if p.owner == "zoo"]
    assert {"archs", "modifiers", "timm"} <= {p.name for p in mine}
    assert {(p.distribution, p.version, p.status, p.reason) for p in mine} == {("plugzoo", "0.1.0", "ok", "")}
