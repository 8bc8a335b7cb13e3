"""Weights from one model into another by name: what waits for its first input, and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import zoo

pytestmark = pytest.mark.filterwarnings("ignore:Lazy modules")


def test_a_model_that_waits_for_its_sizes_takes_them_from_the_weights() -> None:
    source = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    model = nn.Sequential(nn.LazyLinear(3), nn.LazyBatchNorm1d())
    assert zoo.carry(model, source).exact
    again = nn.Sequential(nn.LazyLinear(3), nn.LazyBatchNorm1d())
    again.load_state_dict(source.state_dict())
    x = torch.randn(5, 4)
    torch.testing.assert_close(model(x), source(x), rtol=0, atol=0)
    torch.testing.assert_close(again(x), model(x), rtol=0, atol=0)


def test_what_waits_for_its_size_is_told_without_one() -> None:
    with pytest.raises(zoo.CheckpointError, match=r"of another shape or kind: 0\.weight \(wants float32\[\?\], "):
        zoo.carry(nn.Sequential(nn.LazyLinear(3)), {"0.weight": torch.ones(3, 4).long(), "0.bias": torch.ones(3)})
