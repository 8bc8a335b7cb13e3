"""Other sizes for what stays, against what timm makes of pretrained weights."""

from __future__ import annotations

import pytest
import torch
from timm.models._manipulate import adapt_input_conv
from torch import nn

import zoo


@pytest.mark.parametrize("n", [1, 2, 5, 6])
def test_the_weights_are_those_that_timm_makes(n: int) -> None:
    layer = nn.Conv2d(3, 8, 3)
    layer.weight.requires_grad = False
    calls: list[int] = []
    layer.register_forward_hook(lambda *_: calls.append(1))
    expected = adapt_input_conv(n, layer.weight.detach().clone())
    zoo.adapt_inputs(layer, n)
    torch.testing.assert_close(layer.weight, nn.Parameter(expected, requires_grad=False))
    assert (layer.in_channels, layer.weight.requires_grad) == (n, False)
    assert layer(torch.randn(2, n, 5, 5)).shape == (2, 8, 3, 3)
    assert calls == [1]


def test_a_stem_that_folds_pixels_goes_on_folding() -> None:
    layer = nn.Conv2d(12, 8, 1)  # of four pixels with three channels each
    old = layer.weight.detach().clone()
    zoo.adapt_inputs(layer, 1, had=3)
    assert layer.in_channels == 4
    torch.testing.assert_close(layer.weight.detach(), old.unflatten(1, (4, 3)).sum(2))


def test_what_takes_as_many_already_keeps_its_weight() -> None:
    layer = nn.Conv2d(3, 8, 1)
    weight = layer.weight
    zoo.adapt_inputs(layer, 3, draw=True)
    assert layer.weight is weight


def test_drawn_weights_are_those_of_a_new_layer() -> None:
    layer, linear = nn.Conv2d(3, 8, 3), nn.Linear(12, 8)
    torch.manual_seed(2)
    zoo.adapt_inputs(layer, 5, draw=True)
    zoo.adapt_inputs(linear, 1, had=3)
    torch.manual_seed(2)
    assert torch.equal(layer.weight, nn.Conv2d(5, 8, 3, bias=False).weight)
    assert torch.equal(linear.weight, nn.Linear(4, 8, bias=False).weight)


def test_what_is_said_of_a_size_is_corrected_where_it_meant_that_size() -> None:
    model = nn.Sequential(nn.Sequential(nn.Conv2d(3, 8, 1)), nn.Conv2d(3, 8, 1))
    model.in_chans, model[0].in_chans, model[1].in_chans, model[0].depth = 3, 12, 3, 3
    zoo.restate(model, "0.0", ("in_chans", "in_chs"), 3, 1)
    assert (model.in_chans, model[0].in_chans, model[1].in_chans, model[0].depth) == (1, 12, 3, 3)
    assert model[0][0].in_channels == 3
    model.in_chans = True  # a flag is no size
    zoo.restate(model, "0.0", ("in_chans",), 1, 7)
    assert model.in_chans is True
