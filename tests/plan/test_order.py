"""The order that modifiers declare: held when a spec is resolved, before anything is built."""

from __future__ import annotations

import types

import pytest
from torch import nn

import zoo

BUILT: list[str] = []


@zoo.arch(sample=(3,))
def net() -> nn.Module:
    """One layer."""
    BUILT.append("net")
    return nn.Sequential(nn.Linear(3, 3), nn.ReLU())


def modifier(name: str, **effects: object) -> zoo.Modifier:
    def apply(model: nn.Module, /) -> nn.Module:
        """A layer."""
        return zoo.insert_after(model, "0", nn.Identity())

    return zoo.modifier(name=name, effects=zoo.Effects(**effects))(apply)  # type: ignore[arg-type]


@pytest.fixture
def registry() -> zoo.Registry:
    BUILT.clear()
    plugin = types.ModuleType("plugin")
    modifiers = [
        modifier("plain"),
        modifier("late", after=("plain", "first")),
        modifier("first", before=("plain",)),
        modifier("once", repeats=False),
    ]
    plugin.zoo_archs = zoo.hookimpl(specname="zoo_archs")(lambda: [net])  # type: ignore[attr-defined]
    plugin.zoo_modifiers = zoo.hookimpl(specname="zoo_modifiers")(lambda: modifiers)  # type: ignore[attr-defined]
    return zoo.Registry.of(plugin)


@pytest.mark.parametrize(
    "spec",
    ["net+plain+late", "net+first+plain+late", "net+late", "net+first", "net+once+plain", "net+plain+plain+late"],
)
def test_an_order_that_all_agree_to(spec: str, registry: zoo.Registry) -> None:
    assert str(zoo.spec_of(zoo.create(spec, registry=registry))) == spec


WRONG = [
    ("net+late+plain", "late has to come after plain; write +plain+late", "part 2, 'plain', of 'net+late+plain'"),
    ("net+plain+first", "first has to come before plain; write +first+plain", "part 2, 'first', of 'net+plain+first'"),
    ("net+late+first", "late has to come after first; write +first+late", "part 2, 'first', of 'net+late+first'"),
    ("net+once+plain+once", "once works once, and has been applied already; write it once", "part 3, 'once', of "),
]


@pytest.mark.parametrize(("spec", "text", "place"), WRONG)
def test_a_wrong_order_is_refused_before_anything_is_built(
    spec: str, text: str, place: str, registry: zoo.Registry
) -> None:
    with pytest.raises(zoo.NotApplicableError) as met:
        zoo.create(spec, registry=registry)
    assert str(met.value).startswith(f"{text}\n  in {place}")
    assert not BUILT


@pytest.mark.parametrize(("spec", "text"), [row[:2] for row in WRONG])
def test_a_live_model_knows_what_was_applied_before(spec: str, text: str, registry: zoo.Registry) -> None:
    first, _, last = spec.rpartition("+")
    model = zoo.create(first, registry=registry)
    before = list(model.named_modules())
    with pytest.raises(zoo.NotApplicableError) as met:
        zoo.modify(model, last, registry=registry)
    assert str(met.value).startswith(text)
    assert list(model.named_modules()) == before


def test_a_variant_is_in_order_with_what_stands_behind_it(registry: zoo.Registry) -> None:
    plugin = types.ModuleType("plugin")
    plugin.zoo_archs = zoo.hookimpl(specname="zoo_archs")(lambda: [net])  # type: ignore[attr-defined]
    modifiers = [modifier("plain"), modifier("late", after=("plain",))]
    plugin.zoo_modifiers = zoo.hookimpl(specname="zoo_modifiers")(lambda: modifiers)  # type: ignore[attr-defined]
    plugin.zoo_variants = zoo.hookimpl(specname="zoo_variants")(lambda: {"known": "net+late"})  # type: ignore[attr-defined]
    with pytest.raises(zoo.NotApplicableError, match="late has to come after plain"):
        zoo.create("known+plain", registry=zoo.Registry.of(plugin))


def test_a_modifier_that_is_no_longer_installed_orders_nothing(registry: zoo.Registry) -> None:
    model = zoo.create("net+late", registry=registry)
    plugin = types.ModuleType("plugin")
    plugin.zoo_modifiers = zoo.hookimpl(specname="zoo_modifiers")(lambda: [modifier("plain")])  # type: ignore[attr-defined]
    assert str(zoo.spec_of(zoo.modify(model, "plain", registry=zoo.Registry.of(plugin)))) == "net+late+plain"
