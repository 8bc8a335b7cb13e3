"""Three ways to write one network, each the zoo's `mlp`: the same function under the same weights."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

import zoo


class ByName(nn.Module):
    """All layers by name."""

    def __init__(self) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(28 * 28, 512)
        self.act1 = nn.ReLU()
        self.fc2 = nn.Linear(512, 512)
        self.act2 = nn.ReLU()
        self.fc3 = nn.Linear(512, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.flatten(x)
        x = self.act1(self.fc1(x))
        x = self.act2(self.fc2(x))
        return self.fc3(x)


def layers() -> list[nn.Module]:
    return [nn.Linear(28 * 28, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)]


class FlattenOutside(nn.Module):
    """A Sequential, and Flatten beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.linear_relu_stack = nn.Sequential(*layers())

    def forward(self, x: Tensor) -> Tensor:
        return self.linear_relu_stack(self.flatten(x))


SPELLINGS = {
    "by name": ByName,
    "one Sequential": lambda: nn.Sequential(nn.Flatten(), *layers()),
    "Flatten outside": FlattenOutside,
}
spelt = pytest.mark.parametrize("spelling", SPELLINGS)


def with_weights_of(target: nn.Module, source: nn.Module) -> nn.Module:
    """The weights in order, whatever their names."""
    pairs = zip(target.state_dict(), source.state_dict().values(), strict=True)
    target.load_state_dict({name: tensor.clone() for name, tensor in pairs})
    return target


@spelt
def test_one_network(spelling: str) -> None:
    theirs = SPELLINGS[spelling]()
    ours = with_weights_of(zoo.create("mlp"), theirs)
    x = torch.randn(4, 1, 28, 28)
    assert torch.equal(ours(x), theirs(x))
    ours(x).square().sum().backward()
    theirs(x).square().sum().backward()
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    one, other = zoo.summary(ours, (28, 28)), zoo.summary(theirs, (28, 28))
    assert (one.parameters, one.flops) == (other.parameters, other.flops) == (669_706, 2 * 668_672)


@spelt
def test_and_one_variant(spelling: str) -> None:
    theirs = SPELLINGS[spelling]()
    last = list(dict(theirs.named_modules()))[-1]
    ours = with_weights_of(zoo.create("mlp"), theirs)
    ours = zoo.modify(ours, "act(gelu)+dropout(0.3)")
    changed = zoo.modify(copy.deepcopy(theirs), f'act(gelu)+dropout(0.3, at="{last}")')
    x = torch.randn(4, 28, 28)
    torch.manual_seed(1)
    wanted = ours(x)
    torch.manual_seed(1)
    assert torch.equal(changed(x), wanted)
    assert not torch.equal(theirs(x), wanted)
