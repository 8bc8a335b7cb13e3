"""Whether a forward reaches what a modifier changed: told of each place, and refused where it reaches none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import zoo_archs
import zoo_modifiers
from torch import Tensor, nn

import zoo
from tests.nets import Mixed, registry_of


class Spare(nn.Module):
    """Of two activations and two layers, a forward reaches one."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 2)
        self.act = nn.ReLU()
        self.unused_act = nn.ReLU()
        self.unused = nn.Linear(4, 2)
        self.rest = nn.ModuleList([nn.ReLU(), nn.Tanh()])
        self.width = 4

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.fc(x))


@zoo.arch(sites={"head": "fc"}, sample=(4,))
def spare() -> nn.Module:
    """A net with parts that nothing calls."""
    return Spare()


Function = Callable[[Any], Any]
OTHER: list[zoo.Modifier] = []


def declared(function: Function) -> zoo.Modifier:
    function.__doc__ = "An edit by hand."
    return zoo.modifier(function)


def other(function: Function) -> zoo.Modifier:
    OTHER.append(declared(function))
    return OTHER[-1]


@other
def turns_round(model, /, at: zoo.Where = "*"):
    for module in zoo.select(model, at).values():
        first = next(iter(module._modules))
        module._modules[first] = module._modules.pop(first)
    return model


@other
def swaps_unused_act(model):
    model.unused_act = nn.SiLU()
    return model


@other
def writes_unused_weights(model):
    nn.init.zeros_(model.unused.weight)
    return model


@other
def freezes_unused(model):
    model.unused.requires_grad_(False)
    return model


@other
def sets_width(model):
    model.width = 5
    return model


@other
def inserts_at_unused(model):
    return zoo.insert_before(model, "unused", nn.Dropout())


@other
def swaps_both_acts(model):
    model.act, model.unused_act = nn.SiLU(), nn.SiLU()
    return model


REGISTRY = registry_of(spare, *OTHER, beside=(zoo_archs, zoo_modifiers), owner="zoo-acme")


def modify(model: nn.Module, mods: str) -> nn.Module:
    return zoo.modify(model, mods, registry=REGISTRY)


DEAD = [
    ("swaps_unused_act", "'unused_act'"),
    ("writes_unused_weights", "'unused.weight'"),
    ("freezes_unused", "'unused.weight', 'unused.bias'"),
    ("sets_width", "the model itself"),
    ("inserts_at_unused", "'unused'"),
]

ATTEMPTS: dict[str, Function] = {
    "create": lambda name: zoo.create(f"spare+{name}", registry=REGISTRY),
    "modify": lambda name: modify(zoo.create("spare", registry=REGISTRY), name),
}


@pytest.mark.parametrize("attempt", ATTEMPTS)
@pytest.mark.parametrize(("name", "sites"), DEAD)
def test_a_change_that_no_forward_reaches(name: str, sites: str, attempt: str) -> None:
    with pytest.raises(zoo.NotApplicableError) as caught:
        ATTEMPTS[attempt](name)
    text = f"{name} would change {sites}, which no forward of the model reaches"
    assert str(caught.value).partition("\n")[0] == text


def test_live_is_told_of_each_place() -> None:
    model = zoo.create("spare+swaps_both_acts", registry=REGISTRY)
    assert [(c.path, c.live) for c in zoo.changes(model)] == [("act", True), ("unused_act", False)]
    assert str(zoo.changes(model)) == (
        "swaps_both_acts\n"
        "  act: replaced ReLU() → SiLU()\n"
        "  unused_act: replaced ReLU() → SiLU(), not reached by a forward"
    )


def test_a_new_order_is_live_as_its_container_is() -> None:
    for spec, path in (("convnet(channels=4, depth=2)", "blocks"), ("simple", "layers1")):
        model = zoo.create(f"{spec}+turns_round({path})", registry=REGISTRY)
        (change,) = zoo.changes(model)
        assert (change.path, change.what, change.before, change.after) == (path, "order", "0, 1", "1, 0")
        assert change.live is True
        assert list(model.get_submodule(path)._modules) == ["1", "0"]
    with pytest.raises(zoo.NotApplicableError) as caught:
        zoo.create("spare+turns_round(rest)", registry=REGISTRY)
    assert str(caught.value).startswith("turns_round would change 'rest', which no forward of the model reaches")


def test_what_has_no_order_has_none_to_tell_of() -> None:
    """Only containers run their children in the order in which they are registered."""
    with pytest.raises(zoo.NoEffectError, match=r"^turns_round changed nothing"):
        modify(Mixed(), "turns_round('')")
