"""The outline of a model: equal where nothing that it tells of changed, and the same text in a pickle as ever."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest
import torch
from torch import nn

import zoo
from zoo.surgery.provenance import Outline, info_of, outline_of
from zoo.transaction.snapshot import Snapshot


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 2)
        self.lazy = nn.LazyLinear(2)
        self.norm = nn.BatchNorm1d(2)
        self.norm.register_buffer("steps", torch.zeros(1), persistent=False)
        self.again = self.fc
        self.scale = nn.Parameter(torch.ones(()))


EDITS: dict[str, Callable[[Any], Any]] = {
    "a class": lambda m: setattr(m.norm, "__class__", nn.BatchNorm2d),
    "a shape": lambda m: setattr(m.fc, "weight", nn.Parameter(torch.ones(2, 4))),
    "a name": lambda m: m.fc.register_parameter("gain", nn.Parameter(torch.ones(2))),
    "a part": lambda m: m.add_module("tail", nn.ReLU()),
    "a part less": lambda m: delattr(m, "again"),
    "a lazy one's shape": lambda m: m.lazy(torch.ones(1, 3)),
    "into the state dict": lambda m: m.norm.register_buffer("steps", torch.zeros(1)),
}


def test_the_digest_is_that_of_a_text_of_all_classes_names_and_shapes() -> None:
    """As 0.1 wrote it into pickles: no such pickle may look as if someone had edited the model since."""
    text = """: torch.nn.modules.container.Sequential
0: torch.nn.modules.linear.Linear
0.weight[2, 3]
0.bias[2]
1: torch.nn.modules.activation.ReLU"""
    expected = sha256(text.encode()).hexdigest()[:16]
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    assert outline_of(model).digest == Snapshot(model).outline.digest == expected
    assert outline_of(model) == expected
    assert outline_of(model) != ""


@pytest.mark.parametrize("name", EDITS)
def test_what_it_tells_of(name: str) -> None:
    model = Net()
    before = outline_of(model)
    assert before == outline_of(model) == Snapshot(model).outline
    EDITS[name](model)
    assert outline_of(model) != before
    assert Snapshot(model).outline == outline_of(model)
    assert outline_of(model).digest != before.digest


def test_values_flags_and_options_are_no_part_of_it() -> None:
    model: Any = Net()
    before = outline_of(model)
    nn.init.zeros_(model.fc.weight)
    model.eval().norm.eps = 1.0
    model.fc.requires_grad_(False)
    assert outline_of(model) == before


def test_classes_of_one_name_are_equal() -> None:
    """A class that is made again, as in a notebook, is the same to the digest."""
    models = [type("Made", (nn.Module,), {"__module__": "here"})() for _ in range(2)]
    assert outline_of(models[0]) == outline_of(models[1])


def test_a_pickle_holds_the_digest_and_a_copy_the_outline_itself() -> None:
    model = zoo.create("simple+dropout(0.2)")
    info = info_of(model)
    assert info is not None
    assert isinstance(info.outline, Outline)
    assert pickle.loads(pickle.dumps(info.outline)) == info.outline.digest == str(info.outline.digest)
    assert info_of(copy.deepcopy(model)).outline is info.outline  # type: ignore[union-attr]
    assert hash(info.outline) == hash(info.outline.digest)
    again = pickle.loads(pickle.dumps(model))
    zoo.modify(again, "act(silu)")
    assert info_of(again).outline == outline_of(again)  # type: ignore[union-attr]


def test_a_model_that_was_pickled_and_edited_by_hand_is_known_as_such(tmp_path: Any) -> None:
    model: Any = pickle.loads(pickle.dumps(zoo.create("simple")))
    zoo.save(model, tmp_path / "as-it-was.safetensors")
    model.layers1[1] = nn.Sequential(nn.Tanh())
    zoo.modify(model, "dropout(0.2)")
    with pytest.raises(zoo.CheckpointError):
        zoo.save(model, tmp_path / "edited.safetensors")
