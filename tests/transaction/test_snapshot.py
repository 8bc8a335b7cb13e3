"""What stayed as it was keeps its state in the next snapshot, and nothing that was changed does."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from tests.pictures import Picture
from zoo.transaction.snapshot import Snapshot


def seen(*args: Any) -> None:
    """A user's hook."""


class Net(nn.Module):
    def __init__(self) -> None:
        self.early = [1]  # before torch's own attributes are there
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)
        self.act = nn.ReLU()
        self.again = self.act
        self.blocks = nn.ModuleList([nn.ReLU(), nn.Sequential(nn.Linear(4, 4))])
        self.sizes: Any = [1, [2, 3]]
        self.table: Any = {"a": {"b": [1]}}
        self.names = {"x"}
        self.empty: Any = []
        self.flag, self.width, self.rate = True, 1, 0.5
        self.fc.weight.register_hook(seen)
        self.fc.weight.grad = torch.ones(4, 4)


# What is done by hand, and the places whose states can't be the same any more.
CHANGES: dict[str, tuple[Callable[[Any], Any], set[str]]] = {
    "nothing": (lambda m: [m.fc(torch.ones(1, 4)), m.state_dict(), repr(m)], set()),
    "an option": (lambda m: setattr(m.norm, "eps", 0.1), {"norm"}),
    "True for 1": (lambda m: setattr(m, "width", True), {""}),
    "1 for True": (lambda m: setattr(m, "flag", 1), {""}),
    "another name for an equal value": (lambda m: [delattr(m, "rate"), setattr(m, "speed", 0.5)], {""}),
    "a private one": (lambda m: setattr(m.act, "_secret", 1), {"act"}),
    "an item of a list": (lambda m: m.sizes.append(4), {""}),
    "an item of a list in a list": (lambda m: m.sizes[1].append(4), {""}),
    "an item deep in a dict": (lambda m: m.table["a"]["b"].append(2), {""}),
    "an item of a set": (lambda m: m.names.add("y"), {""}),
    "an item of an empty list": (lambda m: m.empty.append(1), {""}),
    "an item of a list that was set early": (lambda m: m.early.append(2), {""}),
    "the order of a dict": (lambda m: m.blocks._modules.update({"0": m.blocks._modules.pop("0")}), {"blocks"}),
    "a class": (lambda m: setattr(m.norm, "__class__", nn.BatchNorm2d), {"norm"}),
    "a mode": (lambda m: m.blocks[1].eval(), {"blocks.1", "blocks.1.0"}),
    "a child": (lambda m: setattr(m, "act", nn.SiLU()), {"", "act"}),
    "a hook": (lambda m: m.act.register_forward_hook(seen), {"act"}),
    "a hook of a weight": (lambda m: m.norm.weight.register_hook(seen), {"norm"}),
    "another hook of a weight": (lambda m: m.fc.weight.register_hook(seen), {"fc"}),
    "a hook less": (lambda m: m.fc.weight._backward_hooks.clear(), {"fc"}),
    "a hook after the gradient": (lambda m: m.fc.bias.register_post_accumulate_grad_hook(seen), {"fc"}),
    "a write": (lambda m: nn.init.zeros_(m.blocks[1][0].bias), {"blocks.1.0"}),
    "a write into a buffer": (lambda m: m.norm.running_mean.add_(1), {"norm"}),
    "a flag of a weight": (lambda m: m.fc.bias.requires_grad_(False), {"fc"}),
    "a shape": (lambda m: setattr(m.fc.bias, "data", torch.ones(2)), {"fc"}),
    "a dtype": (lambda m: setattr(m.fc.bias, "data", torch.ones(4).double()), {"fc"}),
    "a weight": (lambda m: setattr(m.fc, "bias", nn.Parameter(torch.ones(4))), {"fc"}),
    "a weight less": (lambda m: setattr(m.fc, "bias", None), {"fc"}),
    "out of the state dict": (lambda m: m.norm._non_persistent_buffers_set.add("running_var"), {"norm"}),
    "a dict of torch's own": (lambda m: vars(m.act).update(_forward_hooks=OrderedDict()), {"act"}),
}


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("name", CHANGES)
def test_exactly_what_was_changed_has_another_state(name: str, device: str) -> None:
    change, expected = CHANGES[name]
    if name == "nothing" and device == "meta":
        change = lambda m: repr(m)  # noqa: E731
    with torch.device(device):
        model = Net()
        before = Snapshot(model)
        change(model)
        after = Snapshot(model, before)
    changed = {after.first[key] for key, state in after.states.items() if before.states.get(key) is not state}
    assert changed == expected
    again = Snapshot(model, after)
    assert all(again.states[key] is state for key, state in after.states.items())


@pytest.mark.parametrize("name", [name for name in CHANGES if "write" not in name])
def test_the_way_back_ends_where_it_began(name: str) -> None:
    """What was written into tensors comes back by the transaction, which keeps a copy of it."""
    model = Net()
    before, start = Picture(model), Snapshot(model)
    CHANGES[name][0](model)
    if name not in ("nothing", "True for 1", "1 for True") and "hook" not in name:
        with pytest.raises(AssertionError):
            before.assert_same(Picture(model))
    start.restore()
    before.assert_same(Picture(model))
    start.restore()
    before.assert_same(Picture(model))


def test_a_container_that_holds_itself() -> None:
    model: Any = Net()
    model.sizes.append(model.sizes)
    start = Snapshot(model)
    assert Snapshot(model, start).states[id(model)] is start.states[id(model)]
    model.sizes[1].append(5)
    assert Snapshot(model, start).states[id(model)] is not start.states[id(model)]
    start.restore()
    assert model.sizes[:2] == [1, [2, 3]]
    assert model.sizes[2] is model.sizes


def test_what_a_container_held_is_told_as_it_was() -> None:
    model: Any = Net()
    expected = copy.deepcopy((model.sizes, model.table, model.names, model.empty))
    state = Snapshot(model).state("")
    model.sizes[1].append(4)
    model.table["a"]["b"].clear()
    model.names.clear()
    model.empty.append(1)
    assert tuple(map(state.content, ("sizes", "table", "names", "empty"))) == expected
