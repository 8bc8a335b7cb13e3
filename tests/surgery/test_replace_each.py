"""`zoo.replace_each` is one `zoo.replace` after the other, whatever stands where."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import zoo


def seen(module: nn.Module, args: Any) -> None:
    """A user's hook."""


class Net(nn.Module):
    """Shared, nested, inserted before, in a mode of its own, in half precision, with a hook."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU()
        self.again = self.act
        self.blocks = nn.Sequential(*(nn.Sequential(nn.Linear(4, 4), nn.ReLU()) for _ in range(3)))
        self.alias = self.blocks[1]
        self.encoder = nn.TransformerEncoderLayer(4, 1, 4)
        self.drop = nn.Dropout(0.1)
        self.blocks[0][1].register_forward_pre_hook(seen)
        self.blocks[2].eval()
        self.half()
        zoo.insert_before(self, "drop", nn.ReLU())


Layers = dict[str, nn.Module]
CASES: dict[str, Callable[[Any], Layers]] = {
    "nothing": lambda m: {},
    "one": lambda m: {"drop": nn.Dropout(0.2)},
    "leaves": lambda m: {path: nn.SiLU() for path in zoo.select(m, kind=nn.ReLU)},
    "a shared one by both names": lambda m: {"act": nn.SiLU(), "again": nn.GELU()},
    "with weights": lambda m: {f"blocks.{i}.0": nn.Linear(4, 4) for i in range(3)},
    "what is in a shared container": lambda m: {"alias.1": nn.SiLU(), "blocks.1.0": nn.Linear(4, 4)},
    "a container, then what is in it": lambda m: {"alias": nn.Sequential(nn.Linear(4, 4)), "blocks.1.0": nn.Identity()},
    "what wraps the old one": lambda m: {"act": nn.Sequential(m.act), "drop": nn.SiLU()},
    "what wraps another": lambda m: {"act": nn.Sequential(m.drop), "drop": nn.Identity()},
    "the one that stands there": lambda m: {"act": m.act, "drop": m.drop},
    "one for several": lambda m: dict.fromkeys(["act", "blocks.0.1", "drop"], nn.SiLU()),
    "what was inserted": lambda m: {"drop": nn.Dropout(0.2), "drop.zoo_before.0": nn.SiLU()},
    "inside an encoder": lambda m: {"encoder.dropout": nn.Dropout(0.3), "encoder.linear1": nn.Linear(4, 4)},
    "the root": lambda m: {"": nn.Linear(4, 4)},
}


def picture(model: nn.Module) -> list[Any]:
    """What stands where, with everything that a replaced module hands over, and who is the same object as whom."""
    first: dict[int, str] = {}
    found: list[Any] = []
    for path, module in model.named_modules(remove_duplicate=False):
        hooks = [[*module._forward_pre_hooks.values()], module.training]
        tensors = [(name, t.dtype, first.setdefault(id(t), path)) for name, t in module.named_parameters(recurse=False)]
        found.append((path, type(module).__qualname__, first.setdefault(id(module), path), hooks, tensors))
    return found


@pytest.mark.parametrize("name", CASES)
def test_it_is_the_same_as_one_after_the_other(name: str) -> None:
    torch.manual_seed(0)
    one = Net()
    other = copy.deepcopy(one)
    layers, twins = CASES[name](one), CASES[name](other)
    got = zoo.replace_each(one, layers)
    expected: nn.Module = other
    for path, layer in twins.items():
        expected = zoo.replace(expected, path, layer)
    assert picture(got) == picture(expected)
    for path in layers:
        assert (got.get_submodule(path) is layers[path]) == (expected.get_submodule(path) is twins[path])


REFUSED: dict[str, tuple[Layers, type[Exception], str]] = {
    "no such place": ({"act": nn.SiLU(), "nowhere": nn.SiLU()}, zoo.NoEffectError, "there is no module at 'nowhere'"),
    "a place that comes by another": (
        {"act": nn.Sequential(nn.ReLU()), "again.0": nn.SiLU()},
        zoo.NoEffectError,
        "there is no module at 'again.0'",
    ),
    "no layer": ({"act": nn.SiLU(), "drop": nn.SiLU}, zoo.OptionError, "a layer is a module, such as nn.ReLU(), not"),  # type: ignore[dict-item]
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_it_refuses_it_refuses_before_it_touches_anything(name: str) -> None:
    layers, error, text = REFUSED[name]
    model = Net()
    before = picture(model)
    with pytest.raises(error) as caught:
        zoo.replace_each(model, layers)
    assert str(caught.value).startswith(text)
    assert picture(model) == before


def test_it_walks_once_where_replace_walks_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Sequential(OrderedDict((f"act{i}", nn.ReLU()) for i in range(20)))
    walks = []
    plain = zoo.surgery.edits.holders_of_each  # type: ignore[attr-defined]

    def counted(*args: Any) -> Any:
        walks.append(args)
        return plain(*args)

    monkeypatch.setattr("zoo.surgery.edits.holders_of_each", counted)
    zoo.replace_each(model, {f"act{i}": nn.SiLU() for i in range(20)})
    assert len(walks) == 1
