"""A transaction takes back whatever was done in it, once or twice, and a trial always does."""

from __future__ import annotations

import types
from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD

import zoo
from zoo.transaction.snapshot import Snapshot
from zoo.transaction.transaction import Transaction, trial


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 3)
        self.norm = nn.BatchNorm1d(3)
        self.sizes = [1, [2]]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.fc(x))


def trained() -> tuple[Net, SGD]:
    model = Net()
    optimizer = SGD(model.parameters(), 0.1, momentum=0.9)
    model(torch.randn(4, 3)).sum().backward()
    optimizer.step()
    return model, optimizer


def picture(model: Any, optimizer: Any) -> list[Any]:
    tensors = {name: value.clone() for name, value in model.state_dict().items()}
    state = [[key, value.clone()] for per in optimizer.state.values() for key, value in per.items()]
    groups = [[id(p) for p in group["params"]] for group in optimizer.param_groups]
    modules = [(path, id(module), type(module), module.training) for path, module in model.named_modules()]
    return [tensors, state, groups, modules, [p.grad.clone() for p in model.parameters()], repr(model.sizes)]


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def spoil(model: Any, optimizer: Any, writes: Any, error: BaseException) -> None:
    """Something of everything, and then an error."""
    model.sizes[1].append(3)
    model.sizes.append(4)
    model.norm.eval().eps = 1.0
    model.norm.__class__ = nn.BatchNorm2d
    model.norm.register_forward_hook(print)
    model.fc.weight.grad = None
    model.fc.bias.requires_grad_(False)
    model.fc.weight.data = model.fc.weight.data.double()
    with writes:
        model.norm.running_mean.add_(1)
        model.norm.weight.data.mul_(2)
    model.extra = nn.Linear(3, 3)
    del model.fc
    optimizer.param_groups[0]["params"].pop()
    optimizer.state.clear()
    raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_what_raises_in_it_takes_everything_back(error: type[BaseException]) -> None:
    model, optimizer = trained()
    before = picture(model, optimizer)
    with pytest.raises(error), Transaction(Snapshot(model), [optimizer]) as transaction:
        spoil(model, optimizer, transaction.writes, error())
    assert same(picture(model, optimizer), before)
    assert transaction.now is transaction.start


def test_what_ends_well_stays() -> None:
    model, optimizer = trained()
    with Transaction(Snapshot(model), [optimizer]):
        model.norm.eps = 1.0
    assert model.norm.eps == 1.0


def test_a_trial_is_taken_back_in_any_case() -> None:
    model, optimizer = trained()
    before = picture(model, optimizer)
    with trial(model) as transaction, transaction.writes:
        model.norm.eps = 1.0
        model.norm.running_mean.add_(1)
    assert model.norm.eps == 1e-5
    assert same(picture(model, optimizer), before)


def test_an_interrupt_on_the_way_back_is_raised_when_everything_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """An impatient user presses Ctrl-C twice."""
    model, optimizer = trained()
    before = picture(model, optimizer)
    restores = []
    plain = Snapshot.restore

    def interrupted(self: Any) -> nn.Module:
        restores.append(self)
        if len(restores) == 1:
            raise KeyboardInterrupt("the second")
        return plain(self)

    monkeypatch.setattr(Snapshot, "restore", interrupted)
    with pytest.raises(KeyboardInterrupt, match="the second"), Transaction(Snapshot(model), [optimizer]) as transaction:
        spoil(model, optimizer, transaction.writes, KeyboardInterrupt("the first"))
    assert same(picture(model, optimizer), before)


@zoo.arch(sites={"head": "head"}, sample=(4,))
def two() -> nn.Module:
    """Two layers."""
    return nn.Sequential(OrderedDict(first=nn.Linear(4, 4), head=nn.Linear(4, 2)))


@zoo.modifier
def starts_at_zero(model: Any, /) -> nn.Module:
    """Other classes, and a first layer that starts at zero."""
    nn.init.zeros_(model.first.weight)
    return zoo.replace(model, "head", nn.Linear(4, 3))


def test_values_stay_as_written_where_nothing_is_known_of_the_sizes() -> None:
    """The arch's sample fits the model neither before nor after: a look at both leaves what was written."""
    module = types.ModuleType("acme")
    vars(module).update(
        zoo_archs=zoo.hookimpl(specname="zoo_archs")(lambda: [two]),
        zoo_modifiers=zoo.hookimpl(specname="zoo_modifiers")(lambda: [starts_at_zero]),
    )
    registry = zoo.Registry.of(module)
    model: Any = zoo.create("two", registry=registry)
    model.first = nn.Linear(5, 4)  # by hand
    zoo.modify(model, "starts_at_zero", registry=registry)
    assert model(torch.randn(2, 5)).shape == (2, 3)
    assert not model.first.weight.any()
