"""`reinit`, against what torch draws."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import zoo
from tests.modifiers.refusals import NOTHING, OPTION, assert_refused

SCHEMES = [
    ("normal, mean=1, std=2", lambda w: nn.init.normal_(w, mean=1, std=2)),
    ("uniform, a=-1, b=2", lambda w: nn.init.uniform_(w, -1, 2)),
    ("trunc_normal, std=0.02", lambda w: nn.init.trunc_normal_(w, std=0.02)),
    ("constant, val=3", lambda w: nn.init.constant_(w, 3)),
    ("ones", nn.init.ones_),
    ("zeros", nn.init.zeros_),
    ("dirac, groups=2", lambda w: nn.init.dirac_(w, 2)),
    ("xavier_uniform, gain=2", lambda w: nn.init.xavier_uniform_(w, 2)),
    ("xavier_normal", nn.init.xavier_normal_),
    ("kaiming_uniform, a=1", lambda w: nn.init.kaiming_uniform_(w, 1)),
    ("kaiming_normal, mode=fan_out, nonlinearity=relu", lambda w: nn.init.kaiming_normal_(w, 0, "fan_out", "relu")),
    ("orthogonal", nn.init.orthogonal_),
]


@pytest.mark.parametrize(("scheme", "draw"), SCHEMES, ids=[scheme for scheme, _ in SCHEMES])
def test_reinit_is_what_torch_draws(scheme: str, draw: Any) -> None:
    base = zoo.create("convnet(4, 2)")
    torch.manual_seed(4)
    model = zoo.modify(base, f"reinit(Conv2d, {scheme})", copy=True)
    torch.manual_seed(4)
    expected = [draw(block.conv.weight.detach().clone()) for block in base.blocks]
    for block, weight in zip(model.blocks, expected, strict=True):
        assert torch.equal(block.conv.weight, weight)
    for name, value in model.state_dict().items():
        assert "conv" in name or torch.equal(value, base.state_dict()[name]), name
    assert zoo.spec_of(zoo.create(str(zoo.spec_of(model)), device="meta")) == zoo.spec_of(model)


def test_reinit_on_matrices() -> None:
    assert torch.equal(zoo.create("simple+reinit(layers1.0, eye)").layers1[0].weight, torch.eye(100))
    weight = zoo.create("simple+reinit(layers1.0, sparse, sparsity=0.5)").layers1[0].weight
    assert (weight == 0).sum(0).tolist() == [50] * 100


def test_biases_stay_unless_they_are_named() -> None:
    base = zoo.create("simple")
    stay = zoo.modify(base, "reinit(Linear, normal, mean=1, std=1)", copy=True)
    assert 0.9 < stay.layers1[0].weight.mean() < 1.1
    assert torch.equal(stay.layers1[0].bias, base.layers1[0].bias)
    filled = zoo.modify(base, "reinit(Linear, ones, bias=0.5)", copy=True)
    assert set(filled.layers2[0].bias.tolist()) == {0.5}
    assert torch.equal(filled.layers3[0].bias, base.layers3[0].bias)


def test_without_a_scheme_each_layer_does_as_when_it_was_made() -> None:
    torch.manual_seed(6)
    made = nn.Linear(100, 100)
    torch.manual_seed(6)
    model = zoo.modify(zoo.create("simple"), "reinit(head)", copy=True)
    torch.manual_seed(6)
    model = zoo.modify(model, "reinit(layers1)")
    assert torch.equal(model.layers1[0].weight, made.weight)
    assert torch.equal(model.layers1[0].bias, made.bias)
    assert {change.what for change in zoo.changes(model)} == {"values"}


REINIT_REFUSALS = [
    ("simple+reinit(Linear, nrmal)", OPTION, "reinit: no scheme 'nrmal'; did you mean 'normal'?"),
    ("simple+reinit(Linear, calculate_gain)", OPTION, "reinit: no scheme 'calculate_gain'; the schemes: "),
    ("simple+reinit(Linear, normal, sd=1)", OPTION, "reinit: normal has no option 'sd'; its options: mean"),
    ("simple+reinit(Linear, normal, std=big)", OPTION, "reinit: normal can't take std='big'; its options: "),
    ("simple+reinit(Linear, constant)", OPTION, "reinit: constant needs 'val'; its options: val"),
    ("simple+reinit(Linear, std=1)", OPTION, "reinit: options belong to a scheme, as in reinit(Linear, "),
    ("simple+reinit(Linear, normal, generator=1)", OPTION, "reinit: normal has no option 'generator'; its "),
    ("simple+reinit('*', orthogonal)", OPTION, "reinit: orthogonal can't fill 'layers3.0.weight' [70]: "),
    ("vit_tiny_patch16_224(depth=1)+reinit('*')", NOTHING, "the model itself (VisionTransformer) "),
]


@pytest.mark.parametrize(("spec", "kind", "text"), REINIT_REFUSALS, ids=[spec for spec, _, _ in REINIT_REFUSALS])
def test_refusals(spec: str, kind: type[zoo.ZooError], text: str) -> None:
    assert_refused(spec, kind, text)
