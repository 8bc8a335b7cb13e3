"""`zoo.fill`: a layer comes into a slot that holds None, registered or not."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zoo


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.se = None  # as timm's blocks have it
        self.unread = None
        self.register_module("drop", None)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if self.se is not None:
            x = self.se(x)
        return x if self.drop is None else self.drop(x)


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = Block()
        self.two = self.one

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.one(x))


class Times(nn.Module):
    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = nn.Parameter(torch.tensor(by))

    def forward(self, x: Tensor) -> Tensor:
        return self.by * x


@pytest.mark.parametrize("slot", ["se", "drop"])
def test_what_fills_a_slot_is_called_by_the_forward(slot: str) -> None:
    model = Twice().double().eval()
    x = torch.ones(1, 3, 2, 2).double()
    by_hand = Twice().double()
    by_hand.load_state_dict(model.state_dict())
    setattr(by_hand.one, slot, Times(3.0).double())
    assert zoo.fill(model, f"one.{slot}", Times(3.0)) is model
    assert torch.equal(model(x), by_hand(x))
    assert not torch.equal(model(x), Twice()(x.float()).double())
    assert getattr(model.two, slot).by.dtype == torch.float64
    assert getattr(model.two, slot).training is False
    assert list(model.state_dict()) == list(by_hand.state_dict())


REFUSED: dict[str, tuple[Callable[[nn.Module], Any], type[zoo.ZooError], str]] = {
    "filled": (
        lambda m: zoo.fill(m, "one.conv", nn.ReLU()),
        zoo.OptionError,
        "'one.conv' (Conv2d) is no empty slot; zoo.replace puts another layer there",
    ),
    "unknown": (
        lambda m: zoo.fill(m, "one.es", nn.ReLU()),
        zoo.NoEffectError,
        "'one' (Block) has no empty slot 'es'; its empty slots: 'se', 'unread', 'drop'",
    ),
    "none": (
        lambda m: zoo.fill(m, "one.conv.se", nn.ReLU()),
        zoo.NoEffectError,
        "'one.conv' (Conv2d) has no empty slot 'se'; its empty slots: none",
    ),
    "no layer": (
        lambda m: zoo.fill(m, "one.se", nn.ReLU),
        zoo.OptionError,
        "a layer is a module, such as nn.ReLU(), not the class ReLU; write ReLU(...)",
    ),
    "itself": (
        lambda m: zoo.fill(m, "one.se", m),
        zoo.OptionError,
        "this Twice is or holds 'one.se', and can't be put into itself; give a new layer, or a copy.deepcopy of this "
        "one",
    ),
    "added": (
        lambda m: zoo.add(m, "one", "se", nn.ReLU()),
        zoo.OptionError,
        "the Block at 'one' has a 'se' already; zoo.fill puts a layer into a slot that is empty",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_fill_refuses(case: str) -> None:
    call, kind, text = REFUSED[case]
    model = Twice()
    before = list(model.named_modules())
    with pytest.raises(kind) as met:
        call(model)
    assert str(met.value) == text
    assert list(model.named_modules()) == before


@zoo.arch(sample=(3, 4, 4))
def twice() -> nn.Module:
    """Twice."""
    return Twice()


@zoo.modifier(examples=["times('one.se')"])
def times(model: nn.Module, /, slot: str) -> nn.Module:
    """Times 3."""
    return zoo.fill(model, slot, Times(3.0))


@pytest.fixture
def registry() -> zoo.Registry:
    plugin = types.ModuleType("plugin")
    plugin.zoo_archs = zoo.hookimpl(specname="zoo_archs")(lambda: [twice])  # type: ignore[attr-defined]
    plugin.zoo_modifiers = zoo.hookimpl(specname="zoo_modifiers")(lambda: [times])  # type: ignore[attr-defined]
    return zoo.Registry.of(plugin)


def test_a_filled_slot_is_told_as_what_came_into_it(registry: zoo.Registry) -> None:
    model = zoo.create("twice+times('one.se')", registry=registry)
    assert str(zoo.changes(model)).splitlines() == ["times(slot=one.se)", "  one.se: added Times(), +1 parameters"]
    assert [change.live for change in zoo.changes(model)] == [True]
    bare = zoo.create("twice", registry=registry)
    assert [(d.path, d.what) for d in zoo.diff(bare, model)] == [("one.se", "only in b"), ("two.se", "only in b")]
    assert [(d.path, d.what) for d in zoo.diff(model, bare)] == [("one.se", "only in a"), ("two.se", "only in a")]


def test_a_slot_that_nothing_reads_is_not_known_to_run(registry: zoo.Registry) -> None:
    model = zoo.create("twice+times('one.unread')", registry=registry)
    assert [(change.path, change.live) for change in zoo.changes(model)] == [("one.unread", None)]
