"""The hooks, each by the example that its documentation shows, and what strangers' hooks can't do."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import PathDistribution
from pathlib import Path
from typing import Any

import click
import pytest
import torch
from torch import nn

import zoo
from tests.conftest import World, zoo_command
from zoo.registry import hookspecs
from zoo.registry.commands import list_commands
from zoo.registry.entry_points import find_plugins
from zoo.registry.registry import default_registry

DOC = Path(__file__).parents[2] / "plugins" / "README.md"
SECTION = re.compile(r"^### `(zoo_\w+)\((.*?)\)`\n(.*?)(?=^##)", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HOOKS = [name for name in vars(hookspecs) if name.startswith("zoo_")]
SECTIONS = {name: body for name, _, body in SECTION.findall(DOC.read_text(encoding="utf-8"))}


@pytest.fixture
def fresh() -> Iterator[None]:
    """What is installed is found out anew, and again afterwards."""
    default_registry.cache_clear()
    yield
    default_registry.cache_clear()
    default_registry()  # before another test's distributions stand on the path


# -- the documentation ------------------------------------------------------------------------------------------------


def test_every_hook_is_documented_and_nothing_else() -> None:
    assert len(HOOKS) == 10
    assert list(SECTIONS) == [
        "zoo_modifiers", "zoo_archs", "zoo_families", "zoo_variants",
        "zoo_layers", "zoo_activations", "zoo_norms", "zoo_classes", "zoo_commands", "zoo_built",
    ]  # fmt: skip
    assert set(SECTIONS) == set(HOOKS)
    for name in HOOKS:
        first, *more = (getattr(hookspecs, name).__doc__ or "").strip().split("\n")
        assert first, f"{name} needs a sentence"
        assert not more, "the page of the hooks has a sentence each"


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("hook", HOOKS)
def test_the_example_of_a_hook_works_as_shown(hook: str, world: World) -> None:
    """Its files are installed as a distribution, the rest is run, and what stands below is compared."""
    found = FENCE.findall(SECTIONS[hook])
    files = {code.split("\n")[0][2:]: code for kind, code in found if kind == "python" and code.startswith("# zoo_")}
    plugin, *others = [name.removesuffix(".py") for name in files]
    world.add(plugin.replace("_", "-"), files[f"{plugin}.py"], module=plugin, version="0.1.0")
    for other in others:
        (world.tmp_path / "site" / f"{other}.py").write_text(files[f"{other}.py"])
    assert f"def {hook}(" in files[f"{plugin}.py"], "the example is whole"

    namespace: dict[str, Any] = {"zoo": zoo}
    checked = 0
    for at, (kind, code) in enumerate(found):
        if kind == "python" and code not in files.values():
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(code, namespace)
            assert found[at + 1] == ("text", printed.getvalue())
            checked += 1
        if kind == "console":
            for entry in re.split(r"^\$ zoo ", code, flags=re.MULTILINE)[1:]:
                command, _, output = entry.partition("\n")
                result = zoo_command(*command.split())
                assert (result.output, result.exit_code == 0) == (output, not output.startswith("zoo: "))
                checked += 1
    assert checked
    assert [p.status for p in zoo.list_plugins() if p.distribution == plugin.replace("_", "-")] == ["ok"]


# -- layers -----------------------------------------------------------------------------------------------------------

LAYERS = """
import sys
import zoo
from torch import nn

class Double(nn.Module):
    def forward(self, x):
        return 2 * x

class Picky(nn.Module):
    def __init__(self, size: int):
        super().__init__()
        self.size = int(nn.init.ones_(nn.Parameter(nn.Linear(1, size).weight)).sum())  # not on meta

@zoo.hookimpl
def zoo_layers():
    return {"Double": Double, "ReLU": Double, "Picky": Picky, "Number": int, "Gone": "no_such_module:Layer",
            "Flat": "math:pi", "Exit": lambda: sys.exit(3)}
"""


@pytest.mark.parametrize(
    ("layer", "error", "message"),
    [
        ("Doubel()", zoo.UnknownNameError, "no layer 'Doubel'; did you mean 'Double'?"),
        ("Qqqq()", zoo.UnknownNameError, "no layer 'Qqqq'; the layers are torch.nn's and those of plugins"),
        ("acme/Nil()", zoo.UnknownNameError, "no layer 'acme/Nil'; the layers are torch.nn's and those of plugins"),
        ("Double(3)", zoo.OptionError, "Double(3): "),
        ("Double", zoo.OptionError, "append: layer=Double is a word, not a layer; write Double()"),
        ("Number(3)", zoo.PluginError, "Number(3) gives a int; a layer is an nn.Module"),
        (
            "Gone()",
            zoo.PluginError,
            "layer 'Gone' of acme, 'no_such_module:Layer', can't be loaded: ModuleNotFoundError: No module named "
            "'no_such_module'",
        ),
        ("Exit()", zoo.PluginError, "Exit raised SystemExit: 3"),
        ("Flat()", zoo.PluginError, "layer 'Flat' of acme, 'math:pi', is a float, and must make modules when called"),
    ],
)
def test_a_layer_that_cannot_be_had(world: World, layer: str, error: type[zoo.ZooError], message: str) -> None:
    world.add("acme", LAYERS)
    with pytest.raises(error) as caught:
        zoo.create(f"simple+append(layers3, {layer})", registry=world.registry())
    assert str(caught.value).startswith(message)


def test_a_layer_of_torch_cannot_be_taken_over(world: World) -> None:
    world.add("acme", LAYERS)
    registry = world.registry()
    theirs = zoo.create("simple+append(layers3, acme/ReLU())", registry=registry)
    assert type(theirs.layers3[-1]).__name__ == "Double"
    assert str(zoo.spec_of(theirs)) == "simple+append(site=layers3, layer=acme/ReLU())"
    ours = zoo.create("simple+append(layers3, ReLU())", registry=registry)
    assert type(ours.layers3[-1]) is nn.ReLU


def test_layers_work_inside_layers_and_under_the_name_that_reaches_them(world: World) -> None:
    world.add("acme", LAYERS)
    registry = world.registry()
    model = zoo.create("simple+append(layers3, Sequential(acme/Double(), Tanh(), Double()))", registry=registry)
    assert str(zoo.spec_of(model)) == "simple+append(site=layers3, layer=Sequential(Double(), Tanh(), Double()))"
    x = torch.randn(4, 100)
    bare = zoo.create("simple", weights=model, strict=False).eval()
    assert torch.equal(model.eval()(x), 2 * torch.tanh(2 * bare(x)))


def test_a_layer_that_two_plugins_have(world: World) -> None:
    world.add("acme", LAYERS)
    world.add("bolt", LAYERS)
    registry = world.registry()
    with pytest.raises(zoo.UnknownNameError, match="2 plugins have a layer 'Double': acme, bolt; say which, as in "):
        zoo.create("simple+append(layers3, Double())", registry=registry)
    model = zoo.create("simple+append(layers3, bolt/Double())", registry=registry)
    assert type(model.layers3[-1]).__module__ == "mod_bolt"
    assert str(zoo.spec_of(model)) == "simple+append(site=layers3, layer=bolt/Double())"


def test_a_layer_that_cannot_be_built_on_meta_is_tried_on_the_cpu(world: World) -> None:
    world.add("acme", LAYERS)
    model = zoo.create("mlp(4, [2])+append(layers, Picky(3))", registry=world.registry(), device="cpu")
    assert [m.size for m in model.modules() if type(m).__name__ == "Picky"] == [3]


# -- activations ------------------------------------------------------------------------------------------------------

ACTIVATIONS = """
import sys
import zoo
from torch import nn

class Own(nn.Module):
    def forward(self, x):
        return x * x

@zoo.hookimpl
def zoo_activations():
    return {"own": Own, "silu": Own, "numb": len, "dict": dict, "stop": lambda **_: sys.exit(3)}
"""


def test_an_activation_of_a_plugin_in_numbers(world: World) -> None:
    world.add("acme", ACTIVATIONS)
    registry = world.registry()
    model = zoo.create("simple+act(own)", registry=registry).eval()
    by_hand = zoo.create("simple", weights=model).eval()
    square = type(model.layers1[1])()
    by_hand.layers1[1] = by_hand.layers2[1] = square
    x = torch.randn(8, 100)
    assert torch.equal(model(x), by_hand(x))
    again = zoo.modify(model, "act(relu)", registry=registry)
    assert type(again.layers1[1]) is nn.ReLU, "what a plugin brought is an activation, too"


def test_an_activation_of_timm_cannot_be_taken_over(world: World) -> None:
    world.add("acme", ACTIVATIONS)
    registry = world.registry()
    assert type(zoo.create("simple+act(silu)", registry=registry).layers1[1]) is nn.SiLU
    assert type(zoo.create("simple+act(acme/silu)", registry=registry).layers1[1]).__name__ == "Own"


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("owm", zoo.OptionError, "act: no activation 'owm'; did you mean 'own'?"),
        ("bolt/own", zoo.OptionError, "act: no activation 'bolt/own'; the names: celu, "),
        ("numb", zoo.PluginError, "modifier 'act' of zoo raised TypeError: "),
        ("dict", zoo.PluginError, "act: dict() gives a dict; an activation is an nn.Module"),
        ("stop", zoo.PluginError, "modifier 'act' of zoo raised SystemExit: 3"),
    ],
)
def test_an_activation_that_cannot_be_had(world: World, name: str, error: type[zoo.ZooError], message: str) -> None:
    world.add("acme", ACTIVATIONS)
    with pytest.raises(error) as caught:
        zoo.create(f"simple+act({name})", registry=world.registry())
    assert str(caught.value).startswith(message)


def test_an_activation_that_two_plugins_have(world: World) -> None:
    world.add("acme", ACTIVATIONS)
    world.add("bolt", ACTIVATIONS)
    registry = world.registry()
    with pytest.raises(zoo.UnknownNameError, match="2 plugins have an activation 'own': acme, bolt; say which, as in"):
        zoo.create("simple+act(own)", registry=registry)
    model = zoo.create("simple+act(bolt/own)", registry=registry)
    assert type(model.layers1[1]).__module__ == "mod_bolt"


def test_a_modifier_at_work_sees_the_activations_of_its_own_registry(world: World) -> None:
    world.add("acme", ACTIVATIONS)
    assert {"own", "acme/silu"} <= {*zoo.activations(registry=world.registry())} | {"acme/silu"}
    assert "own" not in zoo.activations()
    with pytest.raises(zoo.UnknownNameError, match="no activation 'own'; the names: celu, "):
        zoo.activations()["own"]


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ("simple+append(layers3, Bad())", zoo.UnknownNameError),
        ("simple+act(bad)", zoo.OptionError),
        ("simple+append(layers3, acme/Bad())", zoo.UnknownNameError),
        ("acme/bad", zoo.UnknownNameError),
    ],
)
def test_what_a_failed_plugin_had_names_the_plugin(world: World, spec: str, error: type[zoo.ZooError]) -> None:
    world.add("acme", "raise OSError('disk')")
    world.add("bolt", "raise OSError('full')")
    with pytest.raises(error) as caught:
        zoo.create(spec, registry=world.registry())
    assert "\n  plugin 'main' of acme failed: OSError: disk" in str(caught.value)
    assert ("of bolt failed: OSError: full" in str(caught.value)) is ("acme" not in spec)


@pytest.mark.usefixtures("fresh")
def test_a_command_of_a_failed_plugin_names_the_plugin(world: World) -> None:
    world.add("acme", "raise OSError('di\\x1bsk')")
    result = zoo_command("greet")
    assert result.exit_code == 2
    assert "No such command 'greet'" in result.stderr
    assert "\n  plugin 'main' of acme failed: OSError: di\\x1bsk" in result.stderr


# -- commands ---------------------------------------------------------------------------------------------------------

COMMANDS = """
import click
import zoo

@click.command()
def greet():
    '''Say hello.'''
    click.echo("hello from {who}")

@click.command("list")
def list_():
    '''Not the zoo's list.'''
    click.echo("a list of {who}")

@zoo.hookimpl
def zoo_commands():
    return [greet, list_]
"""


@pytest.mark.usefixtures("fresh")
def test_commands_of_two_plugins(world: World) -> None:
    for who in ("acme", "bolt"):
        world.add(who, COMMANDS.format(who=who))
    assert zoo_command("acme/greet").output == "hello from acme\n"
    assert zoo_command("bolt/list").output == "a list of bolt\n"
    assert zoo_command("list", "modifiers").exit_code == 0, "the zoo's own can't be taken over"
    assert "a list of" not in zoo_command("list").output
    clash = zoo_command("greet")
    assert clash.exit_code == 1
    assert clash.stderr == "zoo: 2 plugins have a command 'greet': acme, bolt; say which, as in 'acme/greet'\n"
    shown = zoo_command("--help").output
    for name in ("acme/greet", "acme/list", "bolt/greet", "bolt/list", "new-plugin"):
        assert re.search(rf"^  {name} ", shown, re.MULTILINE), name


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise OSError('disk')", "OSError: disk"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("return 3", "zoo_commands() returned int; expected a list of click's commands"),
        ("return [len]", f"zoo_commands() returned {len!r}; expected what @click.command() makes"),
        ("return [click.Command('two words')]", "command 'two words': a name is letters, digits and _ . -, not"),
        ("return [click.Command('a'), click.Command('a')]", "zoo_commands() has two commands 'a'"),
    ],
)
def test_a_broken_command_takes_nothing_down(world: World, body: str, reason: str) -> None:
    world.add("bad", f"import zoo, click\n@zoo.hookimpl\ndef zoo_commands():\n    {body}")
    world.add("good", COMMANDS.format(who="good"))
    assert zoo_command("greet").output == "hello from good\n"
    assert zoo_command("--help").exit_code == 0
    (failed,) = [p for p in zoo.list_plugins() if p.distribution == "bad"]
    assert failed.status == "failed"
    assert failed.reason.startswith(reason)
    assert zoo_command("nonsense").exit_code == 2


@pytest.mark.usefixtures("fresh")
def test_a_listing_never_asks_for_commands(world: World, tmp_path: Path) -> None:
    """They may import what is heavy, and `zoo list` is quick."""
    world.add("acme", f"import zoo\n@zoo.hookimpl\ndef zoo_commands():\n    open({str(tmp_path / 'asked')!r}, 'w')")
    assert zoo_command("list").exit_code == 0
    assert zoo_command("list", "plugins").exit_code == 0
    assert not (tmp_path / "asked").exists()
    assert zoo_command("plugins").exit_code == 0
    assert (tmp_path / "asked").exists()


def test_plugins_tell_which_commands_they_add(world: World) -> None:
    world.add("acme", COMMANDS.format(who="acme"))
    registry = world.registry()
    (found,) = [p for p in zoo.list_plugins(registry=registry) if p.distribution == "acme"]
    assert found.contributes == {"commands": ("greet", "list")}
    assert isinstance(list_commands(registry)["greet"]["acme"].value, click.Command)


# -- being told -------------------------------------------------------------------------------------------------------

WATCHER = """
import zoo

told = []

@zoo.hookimpl
def zoo_built(model, spec):
    told.append((model, spec, [zoo.changes(model), zoo.create("simple")]))
    return "something else"

@zoo.hookimpl(specname="zoo_built")
def only_the_spec(spec):
    raise OSError("disk")
"""


def test_a_watcher_is_told_once_of_each_finished_model(world: World) -> None:
    module = world.add("acme", WATCHER.partition("@zoo.hookimpl(specname")[0])
    registry = world.registry()
    model = zoo.create("simple + dropout(0.2) + act(silu)", registry=registry)
    zoo.create("simple", device="meta", registry=registry)
    zoo.diff("simple", "simple+dropout", registry=registry)
    ((told, spec, _),) = sys.modules[module].told
    assert told is model
    assert spec == zoo.spec_of(model)
    assert type(model).__name__ == "Simple", "what a watcher returns is nothing"


def test_a_watcher_that_fails_is_a_warning_and_the_model_comes(world: World) -> None:
    world.add("acme", WATCHER)
    registry = world.registry()
    with pytest.warns(zoo.PluginWarning) as caught:
        model = zoo.create("simple", registry=registry)
    assert isinstance(model, nn.Module)
    assert [str(w.message) for w in caught] == ["plugin 'main' of acme: zoo_built raised OSError: disk"]
    assert caught[0].filename == __file__


def test_a_watcher_can_stop_the_program_by_hand_only(world: World) -> None:
    world.add("acme", "import zoo\n@zoo.hookimpl\ndef zoo_built(model, spec): raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        zoo.create("simple", registry=world.registry())


# -- a hundred of them ------------------------------------------------------------------------------------------------

GOOD = """
import zoo

@zoo.modifier
def good{n}(model, /, p: float = 0.5):
    '''A dropout.'''
    from torch import nn
    return zoo.insert_before(model, "layers3", nn.Dropout(p))

@zoo.hookimpl
def zoo_modifiers():
    return [good{n}]
"""
BROKEN = {
    "raises": ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
    "exits": ("import sys; sys.exit(4)", "SystemExit: 4"),
    "unparsable": ("def f(:", "SyntaxError: invalid syntax"),
    "missing": ("import nobody_has_this", "ModuleNotFoundError: No module named 'nobody_has_this'"),
    "misspelt": (
        "import zoo\n@zoo.hookimpl\ndef zoo_modifers(): return []",
        "unknown hook 'zoo_modifers'; did you mean 'zoo_modifiers'?",
    ),
    "unmarked": (
        "def zoo_modifiers(): return []",
        "write @zoo.hookimpl above zoo_modifiers(): without it, it is no hook",
    ),
    "wrong": ("import zoo\n@zoo.hookimpl\ndef zoo_archs(): return 3", "zoo_archs() returned int; expected a list of"),
    "undocumented": ("import zoo\n@zoo.modifier\ndef m(model): return model", "modifier 'm' needs a docstring"),
    "hostile": ("class E(BaseException):\n  def __str__(self): raise OSError\nraise E", "E: (it has no text)"),
    "future": ("", "it needs plugzoo>=99, and this is plugzoo "),
}


def populate(world: World) -> None:
    for n in range(90):
        world.add(f"fine-{n}", GOOD.format(n=n))
    for name, (code, _) in BROKEN.items():
        world.add(f"bad-{name}", code, metadata="Requires-Dist: plugzoo>=99\n" if name == "future" else "")


def test_a_hundred_distributions_ten_of_them_broken(world: World) -> None:
    populate(world)
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(world.tmp_path / "site"), *sys.path])}

    def command(*args: str) -> Any:
        done = [sys.executable, "-c", "from zoo.cli.main import main; main()", *args]
        return subprocess.run(done, capture_output=True, text=True, env=env, timeout=120)

    listed = command("list")
    assert listed.returncode == 0
    squeezed = " ".join(listed.stdout.split())
    for name, (_, reason) in BROKEN.items():
        assert f"main bad-{name} 1.0, failed: {reason}" in squeezed
    plugins = {row["distribution"]: row for row in json.loads(command("plugins", "--json").stdout)}
    assert {name for name, row in plugins.items() if row["status"] == "failed"} == {f"bad-{name}" for name in BROKEN}
    for name, (_, reason) in BROKEN.items():
        assert plugins[f"bad-{name}"]["reason"].startswith(reason)
    assert sum(name.startswith("fine-") and row["status"] == "ok" for name, row in plugins.items()) == 90
    names = [row["name"] for row in json.loads(command("list", "modifiers", "--json").stdout)]
    assert {f"good{n}" for n in range(90)} <= set(names)


def test_ninety_of_a_hundred_work(world: World) -> None:
    populate(world)
    registry = world.registry()
    chain = "+".join(f"good{n}(0.25)" for n in range(0, 90, 10))
    assert str(zoo.spec_of(zoo.create(f"simple+{chain}", registry=registry))).count("p=0.25") == 9
    with pytest.raises(zoo.UnknownNameError) as caught:
        zoo.create("simple+good91", registry=registry)
    for name in sorted(BROKEN)[:5]:
        assert f"\n  plugin 'main' of bad-{name} failed: {BROKEN[name][1]}" in str(caught.value)
    assert str(caught.value).partition("\n  in part")[0].endswith("\n  and 5 more; see `zoo plugins`")
    for name in ("bad-name/thing", "fine-1/thing"):
        with pytest.raises(zoo.UnknownNameError) as caught:
            zoo.create(f"simple+{name}", registry=registry)
        assert str(caught.value).count("\n  plugin ") == (name in [f"bad-{n}/thing" for n in BROKEN])


def test_metadata_are_read_once_and_only_those_of_plugins(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What finding them costs, in files that are opened: `benchmarks/door.py` has the time."""
    populate(world)
    bystander = world.tmp_path / "site" / "bystander-1.0.dist-info"
    bystander.mkdir()
    (bystander / "METADATA").write_text("Metadata-Version: 2.1\nName: bystander\nVersion: 1.0\n")
    (bystander / "entry_points.txt").write_text("[console_scripts]\nbystander = bystander:main\n")
    opened: Counter[str] = Counter()
    read = PathDistribution.read_text

    def counting(self: PathDistribution, filename: str) -> str | None:
        opened[f"{self.locate_file('')}/{self._path.name}/{filename}"] += 1  # type: ignore[attr-defined]
        return read(self, filename)

    monkeypatch.setattr(PathDistribution, "read_text", counting)
    assert len([found for found in find_plugins() if found.plugin.owner.startswith(("fine", "bad"))]) == 100
    here = {name.rpartition("site/")[2]: n for name, n in opened.items() if str(world.tmp_path) in name}
    assert {n for name, n in here.items() if name.endswith("METADATA")} == {1}
    assert max(here.values()) == 2
    assert [name for name in here if "bystander" in name] == ["bystander-1.0.dist-info/entry_points.txt"]
