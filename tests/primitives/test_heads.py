"""Heads by hand, as a plugin would use them: made, put in a place, called, and found again."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

import zoo


class Tasks(zoo.Mixin):
    options = ("which",)

    def forward(self, *args: Any, which: str | None = None, **kwargs: Any) -> Any:
        run: Any = super().forward  # type: ignore[misc]
        return zoo.call_heads(self, which, None, lambda: run(*args, **kwargs))


def several(model: nn.Module, path: str, **sizes: int) -> nn.Module:
    make = partial(zoo.make_classifier, model, path)
    layers = {name: zoo.Head(size).make(make) for name, size in sizes.items()}
    model = zoo.place_heads(model, path, layers, sizes)
    return zoo.become(model, "", Tasks, zoo_heads_at=(path,))


def test_heads_are_put_in_a_place_and_others_join_them() -> None:
    model = several(nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 3)), "1", a=2, b=1)
    x = torch.randn(3, 4)
    assert {name: tuple(out.shape) for name, out in model(x).items()} == {"a": (3, 2), "b": (3, 1)}
    assert torch.equal(model(x, which="b"), model[1].b(model[0](x)))  # type: ignore[index]
    several(model, "1", c=4)
    assert list(model(x)) == ["a", "b", "c"]
    assert zoo.heads_of(model) == [model[1]]  # type: ignore[index]
    with pytest.raises(zoo.OptionError, match="heads: there is a head 'c' already"):
        several(model, "1", c=4)


def test_the_root_may_be_the_place() -> None:
    model = several(nn.Linear(4, 3), "", a=2)
    assert torch.equal(model(torch.ones(1, 4))["a"], model.a(torch.ones(1, 4)))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("head", "kinds"),
    [
        (zoo.Head(2), ["Conv2d"]),
        (zoo.Head(2, dropout=0.5), ["Sequential", "Dropout", "Conv2d"]),
        (zoo.Head(2, hidden=7, dropout=0.5), ["Sequential", "Conv2d", "ReLU", "Dropout", "Conv2d"]),
    ],
    ids=["one", "dropout", "hidden"],
)
def test_the_layers_of_a_head(head: zoo.Head, kinds: list[str]) -> None:
    layers = head.make(lambda n: nn.Conv2d(3, n, 3, padding=1, bias=False))
    assert [type(module).__name__ for module in layers.modules()] == kinds
    assert layers(torch.randn(2, 3, 6, 6)).shape == (2, 2, 6, 6)
    assert [name for name, _ in layers.named_parameters() if "bias" in name] == []


def test_a_dict_a_named_tuple_and_a_list_of_outputs_are_taken_apart() -> None:
    heads = zoo.Heads({"a": nn.Linear(2, 2), "b": nn.Linear(2, 1)}, {"a": 2, "b": 1})

    class Many(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.heads = heads

        def forward(self, x: torch.Tensor) -> Any:
            out = self.heads(x)
            return {"out": out, "rows": [out, x], "most": torch.max(out, 0)}

    found = zoo.become(Many(), "", Tasks, zoo_heads_at=("heads",))(torch.randn(5, 2))
    assert list(found["out"]) == ["a", "b"]
    assert list(found["rows"][0]) == ["a", "b"]
    assert found["rows"][1].shape == (5, 2)
    assert type(found["most"]) is type(torch.max(torch.ones(1, 1), 0))
