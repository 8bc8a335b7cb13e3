"""Edits at a Sequential, a ModuleList and a ModuleDict, which are walked, sliced and counted besides being called."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zoo
from tests.nets import WAYS, Shift, Sliced, keys


class Residual(nn.Sequential):
    """A Sequential with a forward of its own that runs all that is in it."""

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


class Each(nn.ModuleDict):
    """A ModuleDict that is called, and iterates itself."""

    def forward(self, x: Tensor) -> Tensor:
        return sum((m(x) for m in self.values()), torch.zeros(()))


class Listed(nn.ModuleList):
    """A ModuleList that is called, and iterates itself."""

    def forward(self, x: Tensor) -> Tensor:
        for m in self:
            x = m(x)
        return x


CONVNET = "convnet(channels=4, depth=2)"
S = (Shift(1.0), Shift(-3.0))


def test_a_sequential_that_its_owner_slices_and_counts() -> None:
    for path in ("body", "body.0", "body.1", "body.2"):
        model = Sliced()
        plain, x = copy.deepcopy(model.body), torch.randn(2, 3)
        elements, before = list(model.body), keys(model)
        zoo.insert_before(model, path, nn.Dropout(0.0))
        zoo.insert_after(model, path, nn.Dropout(0.0))
        assert [m for m, old in zip(model.body, elements, strict=True) if m is not old] == []
        assert keys(model) == before
        torch.testing.assert_close(model(x), plain(x))


@pytest.mark.parametrize(
    ("edit", "hand"),
    [
        (zoo.insert_before, lambda o, x: o.body(S[0](x))),
        (zoo.insert_after, lambda o, x: S[0](o.body(x))),
    ],
)
@pytest.mark.parametrize("way", ["itself", "deepcopy", "pickle", "compile"])
def test_at_a_sequential(edit: Any, hand: Any, way: str) -> None:
    model = Sliced()
    original, x = copy.deepcopy(model), torch.randn(2, 3)
    edit(model, "body", Shift(1.0))
    torch.testing.assert_close(WAYS[way](model)(x), hand(original, x))


def test_at_a_sequential_inside_a_sequential() -> None:
    model = nn.Sequential(nn.Sequential(nn.Sequential(nn.Linear(3, 3), nn.ReLU())))
    original, x = copy.deepcopy(model), torch.randn(2, 3)
    zoo.insert_before(model, "", Shift(1.0))
    zoo.insert_after(model, "0", Shift(-3.0))
    torch.testing.assert_close(model(x), S[1](original(S[0](x))))


CONTAINERS: dict[str, nn.Module] = {
    "an empty Sequential": nn.Sequential(),
    "a Sequential with its own forward": Residual(nn.Linear(3, 3), nn.ReLU()),
    "an empty one with its own forward": Residual(),
    "a ModuleList that is called": Listed([nn.Linear(3, 3), nn.ReLU()]),
    "a ModuleDict that is called": Each({"a": nn.Linear(3, 3), "b": nn.ReLU()}),
    "a Sequential that ends as it starts": (lambda act: nn.Sequential(act, nn.Linear(3, 3), act))(nn.ReLU()),
    "a Sequential of one thing twice": (lambda fc: nn.Sequential(fc, fc))(nn.Linear(3, 3)),
}


@pytest.mark.parametrize("way", ["itself", "pickle", "compile"])
@pytest.mark.parametrize("edit", [zoo.insert_before, zoo.insert_after])
@pytest.mark.parametrize("name", CONTAINERS)
def test_what_is_inserted_at_a_container_runs_once(name: str, edit: Any, way: str) -> None:
    original, x = CONTAINERS[name], torch.randn(2, 3)
    model = nn.ModuleDict({"body": copy.deepcopy(original)})
    length, before = len(model["body"]), keys(model)
    try:
        edit(model, "body", Shift(1.0))
    except zoo.NotApplicableError:
        assert [type(m) for m in model.modules()] == [nn.ModuleDict, *(type(m) for m in original.modules())]
        assert keys(model) == before
        return
    body = WAYS[way](model["body"])
    torch.testing.assert_close(body(x), original(S[0](x)) if edit is zoo.insert_before else S[0](original(x)))
    assert len(model["body"]) == length


@pytest.mark.parametrize("cls", [nn.ModuleList, nn.ModuleDict])
def test_a_container_that_is_never_called_takes_no_insertion(cls: Any) -> None:
    model = nn.ModuleDict({"body": cls()})
    text = f"'body' is a {cls.__name__}, which is never called; name one of its elements"
    for edit in (zoo.insert_before, zoo.insert_after):
        with pytest.raises(zoo.NotApplicableError) as caught:
            edit(model, "body", Shift())
        assert str(caught.value) == text


def test_iterating_a_module_list_stays_as_it_was() -> None:
    model = zoo.create(CONVNET).eval()
    blocks = list(model.blocks)
    zoo.insert_before(model, "blocks.0", Shift())
    zoo.insert_after(model, "blocks.1", Shift())
    assert len(model.blocks) == 2
    assert all(a is b for a, b in zip(model.blocks, blocks, strict=True))
    assert model(torch.randn(2, 3, 8, 8)).shape == (2, 10)
