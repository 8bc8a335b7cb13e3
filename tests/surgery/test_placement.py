"""What comes new has the device, dtype and mode of its place, and shares and freezes what it did."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zoo
from tests.nets import Net, Plus, Tied


class SelfTied(nn.Module):
    """A layer whose two parts share one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
        self.b.weight = self.a.weight
        self.register_buffer("steps", torch.zeros(2, dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_new_layer_keeps_its_own_ties_and_integers(dtype: torch.dtype, device: str) -> None:
    model = Tied().to(device, dtype)
    new = SelfTied()
    zoo.replace(model, "mid", new)
    assert new.a.weight is new.b.weight
    assert new.steps.dtype is torch.int64
    assert new.steps.device.type == device


def test_a_new_layer_that_shares_a_weight_with_the_model_goes_on_sharing() -> None:
    model = Tied().to(torch.bfloat16)
    new = nn.Linear(4, 5, bias=True)
    new.weight = model.embed.weight
    zoo.replace(model, "out", new)
    assert new.weight is model.embed.weight
    assert new.bias.dtype is torch.bfloat16


PUTS: dict[str, Callable[[nn.Module, nn.Module], Any]] = {
    "replace": lambda m, layer: zoo.replace(m, "fc", layer),
    "replace what has no weights": lambda m, layer: zoo.replace(m, "act", layer),
    "insert_before": lambda m, layer: zoo.insert_before(m, "fc", layer),
    "insert_after": lambda m, layer: zoo.insert_after(m, "act", layer),
    "become": lambda m, layer: zoo.become(m, "fc", Plus, zoo_plus=0, extra=layer),
}


@pytest.mark.parametrize("put", PUTS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_what_comes_new_has_the_device_and_dtype_of_its_place(put: str, dtype: torch.dtype, device: str) -> None:
    model, layer = Net().to(device, dtype), nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    PUTS[put](model, layer)
    tensors = [t for t in [*layer.parameters(), *layer.buffers()] if t.is_floating_point()]
    assert {(t.device.type, t.dtype) for t in tensors} == {(device, dtype)}
    assert layer[1].num_batches_tracked.dtype is torch.int64
    assert {(t.device.type, t.dtype) for t in model.parameters()} == {(device, dtype)}


@pytest.mark.parametrize("put", PUTS)
@pytest.mark.parametrize("training", [False, True])
def test_what_comes_new_has_the_mode_of_its_place(put: str, training: bool) -> None:
    model, layer = Net().train(training), nn.Sequential(nn.Dropout(), nn.Sequential(nn.Dropout()))
    layer.train(not training)
    PUTS[put](model, layer)
    assert {m.training for m in model.modules()} == {training}


def test_a_place_in_another_mode_than_the_model() -> None:
    model = Net()
    model.fc.eval()
    zoo.insert_before(model, "fc", nn.Dropout())
    assert model.training
    assert {m.training for m in model.fc.modules()} == {False}
    model.train()
    assert all(m.training for m in model.modules()), "train() reaches what was inserted"


@pytest.mark.parametrize("put", PUTS)
def test_frozen_parameters_stay_frozen_and_new_ones_as_they_came(put: str) -> None:
    model, layer = Net().requires_grad_(False), nn.Linear(4, 4)
    PUTS[put](model, layer)
    mine = {id(p) for p in layer.parameters()}
    assert all(p.requires_grad == (id(p) in mine) for p in model.parameters())
