"""`zoo.replace` with the weights kept where they fit, held against copies made by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import zoo


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).double()


def test_what_has_its_name_and_shape_goes_on() -> None:
    model = net()
    old, new = model[0], nn.Linear(5, 4)
    weight = new.weight.detach().clone()
    zoo.replace(model, "0", new, keep_weights=True)
    assert torch.equal(new.bias, old.bias)
    assert new.bias is not old.bias
    assert new.bias.dtype == torch.float64
    assert torch.equal(new.weight, weight.double())


def test_buffers_go_on_too() -> None:
    model = net()
    model(torch.ones(5, 3).double())
    old, new = model[1], nn.BatchNorm1d(4)
    zoo.replace(model, "1", new, keep_weights=True)
    assert {name: value.tolist() for name, value in new.state_dict().items()} == {
        name: value.tolist() for name, value in old.state_dict().items()
    }


def test_where_nothing_fits_it_is_refused_and_nothing_was_touched() -> None:
    model = net()
    before = list(model.named_modules())
    with pytest.raises(zoo.ShapeError) as met:
        zoo.replace(model, "0", nn.Linear(5, 6), keep_weights=True)
    assert str(met.value) == "keep_weights: nothing of '0' (Linear) fits into Linear"
    assert list(model.named_modules()) == before


def test_what_was_inserted_before_does_not_count_as_kept() -> None:
    model = net()
    zoo.insert_before(model, "0", nn.Linear(3, 3))
    with pytest.raises(zoo.ShapeError, match="nothing of '0'"):
        zoo.replace(model, "0", nn.Linear(3, 7), keep_weights=True)


def test_without_it_every_weight_is_new() -> None:
    model = net()
    new = nn.Linear(3, 4)
    weight = new.weight.detach().clone()
    zoo.replace(model, "0", new)
    assert torch.equal(new.weight, weight.double())


def test_what_is_on_meta_gives_its_names_alone() -> None:
    old, new = nn.Linear(3, 4, device="meta"), nn.Linear(3, 4)
    weight = new.weight.detach().clone()
    assert zoo.copy_weights(old, new) == ["weight", "bias"]
    assert torch.equal(new.weight, weight)
    assert zoo.copy_weights(new, old) == ["weight", "bias"]


def test_what_has_no_shape_yet_fits_nothing() -> None:
    assert zoo.copy_weights(nn.LazyLinear(4), nn.Linear(3, 4)) == []
    assert zoo.copy_weights(nn.Linear(3, 4), nn.LazyLinear(4)) == []
