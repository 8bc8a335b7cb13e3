"""Plugins as they are installed: the ten lines of an author at work, and switched off again."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

import zoo
from tests.conftest import World
from tests.registry.plugins import LEAKY, MINE, plugin
from zoo.registry.loader import load_plugins
from zoo.registry.registry import Registry

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
