"""What `zoo.select` leaves out on request: what is inside another place, and what modifiers inserted."""

from __future__ import annotations

import pytest
from torch import nn

import zoo


def net() -> nn.Sequential:
    return nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), nn.Sequential(nn.Linear(2, 2)), nn.ReLU())


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("*", [""]),
        ("0*", ["0"]),
        (["0.0", "0.1"], ["0.0", "0.1"]),
        (["0.1", "0", "2"], ["0", "2"]),
        ("Sequential", [""]),
        (["Sequential", "!"], NotImplemented),
        ("?", ["0", "1", "2"]),
    ],
)
def test_the_outermost_of_what_a_selector_names(where: str | list[str], expected: list[str]) -> None:
    model = net()
    if expected is NotImplemented:
        with pytest.raises(zoo.NoEffectError):
            zoo.select(model, where, outermost=True)
        return
    found = zoo.select(model, where, outermost=True)
    assert list(found) == expected
    assert all(module is model.get_submodule(path) for path, module in found.items())


def test_the_outermost_are_those_of_a_kind() -> None:
    found = zoo.select(net(), "*", kind=nn.Sequential, outermost=True)
    assert list(found) == [""]
    assert list(zoo.select(net(), ["0", "1"], kind=nn.Sequential, outermost=True)) == ["0", "1"]


def test_names_that_begin_alike_are_not_inside_each_other() -> None:
    model = nn.Module()
    model.layer1, model.layer10 = nn.Sequential(nn.ReLU()), nn.ReLU()
    assert list(zoo.select(model, "layer1*", outermost=True)) == ["layer1", "layer10"]


def test_what_was_inserted_is_passed_over() -> None:
    model = net()
    zoo.insert_before(model, "0.1", nn.Sequential(nn.ReLU()))
    zoo.insert_after(model, "2", nn.ReLU())
    assert len(zoo.select(model, kind=nn.ReLU)) == 4
    assert list(zoo.select(model, kind=nn.ReLU, inserted=False)) == ["0.1", "2"]
    with pytest.raises(zoo.NoEffectError, match=r"at=2\.zoo_after\.0 matches nothing"):
        zoo.select(model, "2.zoo_after.0", inserted=False)


def test_a_module_that_was_inserted_and_stands_elsewhere_is_found_there() -> None:
    model = net()
    zoo.insert_before(model, "0.1", model[2])
    assert list(zoo.select(model, kind=nn.ReLU)) == ["0.1", "0.1.zoo_before.0"]
    assert list(zoo.select(model, kind=nn.ReLU, inserted=False)) == ["0.1", "2"]
