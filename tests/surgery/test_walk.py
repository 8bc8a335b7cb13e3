"""Walking a module and its tensors, held against torch's own walks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from zoo.surgery import walk


class Net(nn.Module):
    """A block that stands in two places, two tied weights, an empty slot, and a buffer of each kind."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
        self.again = self.stem
        self.drop: nn.Module | None
        self.register_module("drop", None)
        self.head = nn.Linear(3, 2, bias=False)
        self.tied = nn.Linear(3, 2, bias=False)
        self.tied.weight = self.head.weight
        self.register_buffer("kept", torch.zeros(1))
        self.register_buffer("lost", torch.zeros(2), persistent=False)
        self.register_buffer("empty", None)


def test_places_are_torchs_walk_with_every_name() -> None:
    model = Net()
    found = list(walk.places(model))
    assert found == list(model.named_modules(remove_duplicate=False))
    assert [path for path, _ in found] == [
        "",
        "stem",
        "stem.0",
        "stem.1",
        "again",
        "again.0",
        "again.1",
        "head",
        "tied",
    ]


def test_places_are_those_of_one_moment() -> None:
    model = Net()
    met = []
    for path, module in walk.places(model):
        met.append(path)
        module.add_module("new", nn.Identity())
    assert "new" not in met
    assert len(met) == 9


def test_a_module_that_holds_itself_ends_as_in_torch() -> None:
    model = nn.Module()
    model.me = model
    with pytest.raises(RecursionError):
        list(walk.places(model))


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning", "ignore:.torch.jit:DeprecationWarning")
def test_scripted_modules_are_walked() -> None:
    model = torch.jit.script(nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.ReLU())))
    assert [path for path, _ in walk.places(model)] == [path for path, _ in model.named_modules()]
    assert walk.tensors_by_name(model).keys() == dict(model.named_parameters()).keys()


def test_tensors_have_every_name() -> None:
    model = Net()
    expected = {
        **dict(model.named_parameters(remove_duplicate=False)),
        **dict(model.named_buffers(remove_duplicate=False)),
    }
    found = walk.tensors_by_name(model)
    assert found.keys() == expected.keys()
    assert all(found[name] is tensor for name, tensor in expected.items())
    assert found["head.weight"] is found["tied.weight"]


def test_what_a_module_holds_itself() -> None:
    model = Net()
    assert list(walk.children_of(model)) == ["stem", "again", "head", "tied"]
    assert list(walk.child_slots(model)) == ["stem", "again", "drop", "head", "tied"]
    assert list(walk.parameters_of(model)) == []
    assert list(walk.buffers_of(model)) == ["kept", "lost"]
    assert list(walk.buffer_slots(model)) == ["kept", "lost", "empty"]
    assert walk.parameter_slots(nn.Linear(1, 1, bias=False))["bias"] is None
    assert list(walk.tensors_of(model.stem[1])) == [
        "weight",
        "bias",
        "running_mean",
        "running_var",
        "num_batches_tracked",
    ]


def test_persistence_is_that_of_the_state_dict() -> None:
    model = Net()
    assert [name for name in walk.buffers_of(model) if walk.persistent(model, name)] == ["kept"]
    assert walk.non_persistent(model) == {"lost"}
    assert "kept" in model.state_dict()
    assert "lost" not in model.state_dict()


def test_holders_are_all_parents() -> None:
    model = Net()
    assert walk.holders_of(model, model.stem) == [(model, "stem"), (model, "again")]
    assert walk.holders_of(model, model.stem[0]) == [(model.stem, "0")]
    assert walk.holders_of(model, model) == []
    assert walk.holders_of(model, nn.ReLU()) == []


@pytest.mark.parametrize(
    ("path", "name", "whole"),
    [("", "", ""), ("", "fc", "fc"), ("a.b", "", "a.b"), ("a.b", "c", "a.b.c"), ("a", "b.c", "a.b.c")],
)
def test_join(path: str, name: str, whole: str) -> None:
    assert walk.join(path, name) == whole


@pytest.mark.parametrize("path", ["", "fc", "a.b", "a.b.c"])
def test_split_is_the_inverse_of_join(path: str) -> None:
    parent, name = walk.split(path)
    assert walk.join(parent, name) == path
    assert parent == walk.parent_path(path)
    assert "." not in name


@pytest.mark.parametrize(
    ("path", "top", "inside"),
    [("a.b", "a", True), ("a", "a", True), ("ab", "a", False), ("a", "a.b", False), ("a", "", True), ("", "", True)],
)
def test_below(path: str, top: str, inside: bool) -> None:
    assert walk.below(path, top) is inside


def test_move_to_front() -> None:
    model = Net()
    walk.move_to_front(model, "head")
    assert list(walk.child_slots(model)) == ["head", "stem", "again", "drop", "tied"]


def test_set_tensor_keeps_order_and_persistence() -> None:
    model = Net()
    weight, lost = nn.Parameter(torch.ones(2, 3)), torch.ones(2)
    walk.set_tensor(model.head, "weight", weight)
    walk.set_tensor(model, "lost", lost)
    assert model.head.weight is weight
    assert model.lost is lost
    assert list(walk.buffer_slots(model)) == ["kept", "lost", "empty"]
    assert "lost" not in model.state_dict()


def test_set_tensor_moves_between_parameters_and_buffers() -> None:
    layer = nn.Linear(3, 2)
    walk.set_tensor(layer, "bias", torch.zeros(2))
    assert (list(walk.parameters_of(layer)), list(walk.buffers_of(layer))) == (["weight"], ["bias"])
    walk.set_tensor(layer, "bias", nn.Parameter(torch.zeros(2)))
    assert (list(walk.parameters_of(layer)), list(walk.buffers_of(layer))) == (["weight", "bias"], [])
