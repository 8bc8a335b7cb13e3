"""What is installed, listed and described."""

from __future__ import annotations

import importlib.metadata
from typing import Any

import pytest

import zoo
from tests.conftest import World


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
