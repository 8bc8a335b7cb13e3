"""Edits of layers that do more than one thing: a norm with an activation, a weight that is computed."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

import zoo
from tests.nets import Negated, Net, Shift, images, keys
from tests.surgery.test_hooks import AT_FC

S = (Shift(1.0), Shift(-3.0))


def fused(cls: str) -> tuple[nn.Module, nn.Module]:
    from timm import layers

    norm = layers.GroupNormAct(8, num_groups=4) if cls == "GroupNormAct" else layers.BatchNormAct2d(8)
    norm.eval()
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.uniform_(-1, 1)
        if hasattr(norm, "running_mean"):
            norm.running_mean.uniform_(-1, 1)
            norm.running_var.uniform_(0.5, 2)
    return norm, nn.Sequential(nn.Conv2d(3, 8, 1), norm).eval()


def norm_alone(norm: Any, x: Tensor, eps: float) -> Tensor:
    if hasattr(norm, "running_mean"):
        return F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.1, eps)
    return F.group_norm(x, norm.num_groups, norm.weight, norm.bias, eps)


@pytest.mark.parametrize("cls", ["BatchNormAct2d", "GroupNormAct"])
def test_a_fused_norm_keeps_its_norm_when_the_activation_is_swapped(cls: str) -> None:
    norm, model = fused(cls)
    zoo.modify(model, "act(silu)")
    x = torch.randn(2, 3, 4, 4)
    assert model[1] is norm
    torch.testing.assert_close(model(x), F.silu(norm_alone(norm, model[0](x), norm.eps)))


def test_a_fused_norm_keeps_its_activation_when_the_norm_is_changed() -> None:
    norm, model = fused("BatchNormAct2d")
    zoo.modify(model, "bn(eps=0.5)")
    zoo.insert_before(model, "1", Shift(1.0))
    x = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(model(x), F.relu(norm_alone(norm, S[0](model[0](x)), 0.5)))
    zoo.become(model, "1", Negated)
    torch.testing.assert_close(model(x), -F.relu(norm_alone(norm, S[0](model[0](x)), 0.5)))


def weight_normed() -> nn.Module:
    model = Net()
    nn.utils.parametrizations.weight_norm(model.fc)
    return model


@pytest.mark.parametrize("edit", ["insert_before", "insert_after", "become"])
def test_a_weight_normed_layer_keeps_its_keys(edit: str) -> None:
    model = weight_normed()
    before, parameters = keys(model), list(model.fc.parameters())
    original, x = copy.deepcopy(model), images()
    AT_FC[edit](model)
    assert [key for key in model.state_dict() if "zoo_" not in key] == before[0]
    assert [p for p, old in zip(model.fc.parameters(), parameters, strict=False) if p is not old] == []
    hand = {
        "insert_before": original.fc(S[0](original.pooled(x))),
        "insert_after": S[0](original(x)),
        "become": -original(x),
    }[edit]
    torch.testing.assert_close(model(x), hand)
    torch.testing.assert_close(copy.deepcopy(model)(x), hand)
    with torch.no_grad():
        model.fc.parametrizations.weight.original0.mul_(2)
    assert not torch.allclose(model(x), hand), "the norm still is a parameter of the forward"


def test_a_weight_norm_that_comes_after_an_insertion() -> None:
    model = zoo.insert_before(Net(), "fc", Shift(1.0))
    nn.utils.parametrizations.weight_norm(model.fc)
    expected = model(x := images())
    try:
        zoo.insert_after(model, "fc", Shift(-3.0))
    except zoo.NotApplicableError:
        torch.testing.assert_close(model(x), expected)
        return
    assert parametrize.is_parametrized(model.fc)
    torch.testing.assert_close(model(x), S[1](expected))
