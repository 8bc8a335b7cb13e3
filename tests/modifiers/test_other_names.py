"""What goes by several names means the same, and prints by one."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import zoo

SAME = [
    ("reinit(Linear, normal, std=1)", "reinit(Linear, normal_, std=1.0)", "reinit(at=Linear, scheme=normal, std=1.0)"),
    ("reinit(Linear, constant, val=3)", "reinit(Linear, constant_, val=3.0)", None),
    ("act(swish)", "act(silu)", "act(name=silu)"),
    ("switch_act(relu, swish)", "switch_act(relu, silu)", "switch_act(relu, silu)"),
]


@pytest.mark.parametrize(("one", "other", "text"), SAME, ids=[one for one, *_ in SAME])
def test_what_means_the_same_prints_the_same(one: str, other: str, text: str | None) -> None:
    specs = [zoo.spec_of(zoo.create(f"simple+{mods}", device="meta")) for mods in (one, other)]
    assert specs[0] == specs[1]
    assert text is None or str(specs[0]) == f"simple+{text}"


def test_every_other_name_of_timms_is_known() -> None:
    from timm.layers import create_act

    by_layer: dict[Any, list[str]] = {}
    for name, layer in {**create_act._ACT_LAYER_DEFAULT, **create_act._ACT_LAYER_ME}.items():
        by_layer.setdefault(layer, []).append(name)
    for names in by_layer.values():
        assert {str(zoo.spec_of(zoo.create(f"simple+act({name})"))) for name in names} == {
            f"simple+act(name={names[0]})"
        }
    assert "name: str, at" in zoo.describe("act").signature


def test_a_choice_goes_by_its_other_name_too() -> None:
    model, x = zoo.create("simple+switch_act(relu, swish)").eval(), torch.randn(2, 100)
    assert torch.equal(model(x, act_type="swish"), model(x, act_type="silu"))
    assert not torch.equal(model(x, act_type="swish"), model(x))
