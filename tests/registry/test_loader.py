"""Plugins that fail, print, warn or bring too much along: each is reported, and takes nothing else down."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

import zoo
from tests.conftest import World, zoo_command
from tests.registry.plugins import GOOD, MINE, own, plugin
from zoo.registry.loader import load_plugins
from zoo.registry.plugins import Plugin

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
