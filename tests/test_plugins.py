"""Plugins as they are installed: found through entry points, imported each by itself, reported when they fail."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest
import torch
from torch import nn

import zoo
from zoo.loader import Plugin, load_plugins
from zoo.registry import Registry

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


class World:
    """Distributions made up in a directory that stands on `sys.path`."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tmp_path, self.monkeypatch = tmp_path, monkeypatch

    def add(
        self, dist: str, code: str | None, *, module: str = "", value: str = "", name: str = "", site: str = "site"
    ) -> str:
        """Install a distribution with one module and one entry point. Returns the module's name."""
        place = self.tmp_path / site
        module = module or f"mod_{dist}".replace("-", "_").lower()
        info = place / f"{dist.replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[zoo]\n{name or 'main'} = {value or module}\n")
        if code is not None:
            (place / f"{module}.py").write_text(dedent(code))
        if str(place) not in sys.path:
            self.monkeypatch.syspath_prepend(str(place))
        return module

    def registry(self, disabled: str = "") -> Registry:
        return Registry(load_plugins(disabled))

    def forget(self) -> None:
        """Take what was imported from here out of `sys.modules`."""
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None) or "").startswith(str(self.tmp_path)):
                del sys.modules[name]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.delenv("ZOO_DISABLE_PLUGINS", raising=False)
    made = World(tmp_path, monkeypatch)
    yield made
    made.forget()


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
    ("a misspelt hook", "import zoo\n@zoo.hookimpl\ndef zoo_modifier(): return []", "", "PluginValidationError: "),
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
    assert described.version == "0.1.0"
    assert described.doc
    assert described.signature.startswith(f"{name}(")
    assert {"name", "type"} <= set().union(*described.options, {"name", "type"})
    for option in described.options:
        assert set(option) <= {"name", "type", "default"}


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
