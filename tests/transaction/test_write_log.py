"""What was written into weights comes back when a later part fails, whichever way it was written."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

import zoo
from tests.nets import frozen, registry_of
from tests.pictures import Picture


def test_weights_that_were_written_come_back_when_a_later_part_fails() -> None:
    model = zoo.create("simple")
    model.layers1[0].weight.grad = torch.ones(100, 100)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(zoo.OptionError):
        zoo.modify(model, "reinit(Linear, zeros)+reinit(BatchNorm1d, ones)+freeze+reinit(BatchNorm1d, orthogonal)")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.layers1[0].weight.grad is not None
    assert not frozen(model)


def write_anyhow(model: nn.Module) -> None:
    """Through `.data`, a view, a buffer, and an out= argument."""
    linear, norm = model.layers1[0], model.layers3[0]
    linear.weight.data.zero_()
    with torch.no_grad():
        linear.bias[:3].fill_(7)
        norm.running_mean += 1
        torch.neg(model.layers2[0].weight, out=model.layers2[0].weight)
        torch._foreach_mul_([norm.weight, norm.bias], 2.0)
    model.layers2[0].bias.data = torch.zeros(70)


def test_any_write_of_anyones_comes_back() -> None:
    @zoo.modifier
    def spoil(model: nn.Module, /) -> nn.Module:
        """Write, then fail."""
        write_anyhow(model)
        raise zoo.NotApplicableError("no")

    plugin = type(zoo)("plugin")
    plugin.zoo_modifiers = zoo.hookimpl(specname="zoo_modifiers")(lambda: [spoil])
    model = zoo.create("simple")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(zoo.NotApplicableError):
        zoo.modify(model, "spoil", registry=zoo.Registry.of(plugin))
    assert [name for name, value in model.state_dict().items() if not torch.equal(value, before[name])] == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda model: model.zero_grad(set_to_none=False),
        lambda model: model.zero_grad(set_to_none=True),
        lambda model: torch.nn.utils.clip_grad_norm_(model.parameters(), 1e-3),
        lambda model: model.half().float(),
        lambda model: model.layers1[0].weight.grad.data.fill_(1),
    ],
    ids=["zeroed", "dropped", "clipped", "cast to and fro", "written to"],
)
def test_gradients_come_back(spoil: Callable[[nn.Module], object]) -> None:
    @zoo.modifier
    def spoil_gradients(model: nn.Module, /) -> nn.Module:
        """Spoil what a backward left, then fail."""
        spoil(model)
        raise zoo.NotApplicableError("no")

    model = zoo.create("simple")
    model(torch.randn(4, 100)).square().mean().backward()
    before = Picture(model)
    with pytest.raises(zoo.NotApplicableError):
        zoo.modify(model, "spoil_gradients", registry=registry_of(spoil_gradients))
    before.assert_same(Picture(model))
