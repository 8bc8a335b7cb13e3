"""Weights drawn anew, against torch's own functions under the same seed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import zoo


def seeded(call: Any) -> Any:
    torch.manual_seed(5)
    return call()


def test_a_scheme_fills_weights_and_leaves_or_fills_biases() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.Linear(4, 2)))
    bias, inside = model[0].bias.clone(), model[1][0].weight.clone()
    scheme = zoo.bind_scheme("normal", {"std": 0.02})
    seeded(lambda: zoo.initialise(model, "0", scheme))
    assert torch.equal(model[0].weight, seeded(lambda: nn.init.normal_(torch.empty(4, 3), std=0.02)))
    assert torch.equal(model[0].bias, bias)
    zoo.initialise(model, "0", scheme, bias=2.0)
    assert model[0].bias.tolist() == [2.0] * 4
    zoo.initialise(model, "1", scheme)
    assert torch.equal(model[1][0].weight, inside)  # what is in a module isn't its own


@pytest.mark.parametrize("make", [lambda: nn.Conv2d(3, 4, 3), lambda: nn.MultiheadAttention(4, 2)])
def test_without_a_scheme_a_module_does_as_when_it_was_made(make: Any) -> None:
    model = make()
    for parameter in model.parameters():
        nn.init.constant_(parameter, 7.0)
    seeded(lambda: zoo.initialise(model, ""))
    again = seeded(make)
    own = dict(again.named_parameters(recurse=False))
    if isinstance(model, nn.Conv2d):
        assert all(torch.equal(parameter, own[name]) for name, parameter in model.named_parameters(recurse=False))
    assert not any((parameter == 7.0).any() for _, parameter in model.named_parameters(recurse=False))


def test_a_module_on_meta_shows_that_it_was_written() -> None:
    layer = nn.Linear(3, 4, device="meta")
    version = layer.weight._version
    zoo.initialise(layer, "", zoo.bind_scheme("orthogonal", {}))
    assert layer.weight._version > version


class Silent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))


REFUSALS = [
    (lambda: zoo.bind_scheme("nrmal", {}), zoo.OptionError, "initialise: no scheme 'nrmal'; did you mean 'normal'?"),
    (
        lambda: zoo.bind_scheme("qqq", {}, "lora"),
        zoo.OptionError,
        "lora: no scheme 'qqq'; the schemes: uniform, norm",
    ),
    (lambda: zoo.bind_scheme("normal", {"sd": 1}), zoo.OptionError, "initialise: normal has no option 'sd'; its opt"),
    (lambda: zoo.bind_scheme("normal", {"std": "x"}), zoo.OptionError, "initialise: normal can't take std='x'; its op"),
    (lambda: zoo.bind_scheme("constant", {}), zoo.OptionError, "initialise: constant needs 'val'; its options: val"),
    (
        lambda: zoo.initialise(Silent(), ""),
        zoo.NotApplicableError,
        "the model itself (Silent) doesn't say how it is i",
    ),
    (
        lambda: zoo.initialise(nn.Sequential(Silent()), "0", zoo.bind_scheme("orthogonal", {}), modifier="lora"),
        zoo.OptionError,
        "lora: orthogonal can't fill '0.scale' [3]: ",
    ),
]


@pytest.mark.parametrize(("call", "kind", "text"), REFUSALS, ids=[text for *_, text in REFUSALS])
def test_refusals(call: Any, kind: type[zoo.ZooError], text: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value).startswith(text)
