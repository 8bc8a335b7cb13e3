"""The knobs that an arch has built in, held against timm's own attributes."""

from __future__ import annotations

import pytest
from torch import nn

import zoo


@pytest.mark.parametrize(
    ("text", "attribute", "slot"),
    [
        ("head.drop", "p", zoo.Slot("head.drop", "p")),
        ("head:rate", "p", zoo.Slot("head", "rate")),
        (":drop_rate", "p", zoo.Slot("", "drop_rate")),
        ("", "p", zoo.Slot("", "p")),
        ("head", "", zoo.Slot("head", "")),
    ],
)
def test_a_slot_is_read_from_what_an_arch_says(text: str, attribute: str, slot: zoo.Slot) -> None:
    assert zoo.Slot.parse(text, attribute) == slot


@pytest.mark.parametrize(
    ("spec", "place", "slot"),
    [
        ("resnet18(drop_rate=0.25)", "fc", zoo.Slot("", "drop_rate")),
        ("vit_tiny_patch16_224(drop_rate=0.25)", "head", zoo.Slot("head_drop", "p")),
        ("convnext_atto(drop_rate=0.25)", "head.fc", zoo.Slot("head.drop", "p")),
    ],
)
def test_a_slot_is_the_archs_own_number(spec: str, place: str, slot: zoo.Slot) -> None:
    model = zoo.create(spec, device="meta")
    (found,) = zoo.slots_at(model, place, "drop", "p")
    assert found == slot
    assert found.read(model) == 0.25
    assert found.is_in(model)
    found.set(model, 0.5)
    assert getattr(model.get_submodule(slot.path), slot.attribute) == 0.5


def test_what_has_no_such_knob_has_no_slots() -> None:
    model = zoo.create("resnet18", device="meta")
    assert zoo.slots_at(model, "layer1", "drop", "p") == ()
    assert zoo.slots_at(model, "fc", "path", "p") == ()
    assert zoo.slots_at(nn.Sequential(nn.Linear(2, 2)), "0", "drop", "p") == ()


def test_a_slot_whose_module_was_replaced_is_no_longer_there() -> None:
    model = zoo.create("vit_tiny_patch16_224+remove(head_drop)", device="meta")
    assert zoo.slots_at(model, "head", "drop", "p") == ()
    assert not zoo.Slot("nowhere", "p").is_in(model)


def test_dropout_goes_in_front_of_a_head_whose_own_dropout_was_taken_out() -> None:
    model = zoo.create("vit_tiny_patch16_224+remove(head_drop)+dropout(0.3)", device="meta")
    assert str(zoo.changes(model)).splitlines()[2:] == [
        "dropout(p=0.3)",
        "  head: inserted before Dropout(p=0.3, inplace=False)",
    ]
