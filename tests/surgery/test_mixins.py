"""`zoo.become`: a module gets a new class and stays the object that it was."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import zoo
from tests.nets import Negated, Net, Shift


def test_become_keeps_the_object_and_isinstance() -> None:
    model = Net()
    fc, weight = model.fc, model.fc.weight
    zoo.become(model, "fc", Negated)
    assert model.fc is fc
    assert fc.weight is weight
    assert isinstance(fc, nn.Linear)
    assert isinstance(fc, Negated)
    zoo.become(model, "fc", Negated)
    x = torch.randn(2, 4)
    torch.testing.assert_close(fc(x), -F.linear(x, fc.weight, fc.bias), msg="the same mixin once")


@pytest.mark.parametrize("bad", [nn.Linear, Shift, 3, "Negated", Negated()])
def test_become_takes_a_plain_class(bad: Any) -> None:
    with pytest.raises(zoo.OptionError, match=r"^become takes a class that isn't an nn.Module itself, not "):
        zoo.become(Net(), "fc", bad)
