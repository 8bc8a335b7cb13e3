"""Whose a name is, where two distributions have it."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

import zoo
from tests.conftest import World
from tests.registry.plugins import GOOD, MINE, kinds, plugin
from zoo.plan.lookup import find_base, find_modifier


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
