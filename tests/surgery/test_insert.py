"""Edits give what a forward written by hand gives, as they are, copied, pickled, compiled and exported."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import zoo
from tests import nets
from tests.nets import Negated, Net, Plus, Shift, images, pickled, saved

Edit = Callable[[Any], Any]
Hand = Callable[[Net, Tensor], Tensor]
S = (Shift(1.0), Shift(-3.0))
EDITS: dict[str, tuple[Edit, Hand]] = {
    "before": (
        lambda m: zoo.insert_before(m, "fc", Shift(1.0)),
        lambda o, x: o.fc(S[0](o.pooled(x))),
    ),
    "after": (
        lambda m: zoo.insert_after(m, "fc", Shift(1.0)),
        lambda o, x: S[0](o.fc(o.pooled(x))),
    ),
    "two before": (
        lambda m: zoo.insert_before(zoo.insert_before(m, "fc", Shift(1.0)), "fc", Shift(-3.0)),
        lambda o, x: o.fc(S[0](S[1](o.pooled(x)))),
    ),
    "two after": (
        lambda m: zoo.insert_after(zoo.insert_after(m, "fc", Shift(1.0)), "fc", Shift(-3.0)),
        lambda o, x: S[1](S[0](o.fc(o.pooled(x)))),
    ),
    "before and after": (
        lambda m: zoo.insert_after(zoo.insert_before(m, "fc", Shift(1.0)), "fc", Shift(-3.0)),
        lambda o, x: S[1](o.fc(S[0](o.pooled(x)))),
    ),
    "before the root": (
        lambda m: zoo.insert_before(m, "", Shift(1.0)),
        lambda o, x: o(S[0](x)),
    ),
    "after the root": (
        lambda m: zoo.insert_after(m, "", Shift(1.0)),
        lambda o, x: S[0](o(x)),
    ),
    "become": (
        lambda m: zoo.become(m, "conv", Negated),
        lambda o, x: o.fc(F.relu(-o.conv(x)).mean((2, 3))),
    ),
    "two mixins on the root": (
        lambda m: zoo.become(zoo.become(m, "", Plus, zoo_plus=5.0), "", Negated),
        lambda o, x: -(o(x) + 5),
    ),
    "mixins of both kinds": (
        lambda m: zoo.insert_before(zoo.become(m, "fc", Plus, zoo_plus=5.0), "fc", Shift(1.0)),
        lambda o, x: o.fc(S[0](o.pooled(x))) + 5,
    ),
    "replace": (
        lambda m: zoo.replace(m, "act", nn.SiLU()),
        lambda o, x: o.fc(F.silu(o.conv(x)).mean((2, 3))),
    ),
    "remove": (
        lambda m: zoo.remove(m, "act"),
        lambda o, x: o.fc(o.conv(x).mean((2, 3))),
    ),
}


def exported(strict: bool) -> Callable[[nn.Module], Any]:
    def export(model: nn.Module) -> Any:
        batch = torch.export.Dim("batch", min=2, max=64)
        shapes = {"x": {0: batch}, "scale": None}
        return torch.export.export(model, (images(4), 1.0), dynamic_shapes=shapes, strict=strict).module()

    return export


WAYS = nets.WAYS | {"export strict": exported(True), "export": exported(False)}


@pytest.fixture(scope="module", params=EDITS)
def edited(request: pytest.FixtureRequest) -> tuple[Net, nn.Module, Hand]:
    torch.manual_seed(0)
    edit, hand = EDITS[request.param]
    original = Net()
    return original, edit(copy.deepcopy(original)), hand


@pytest.mark.parametrize("way", WAYS)
def test_an_edit_gives_what_the_hand_written_forward_gives(edited: tuple[Net, nn.Module, Hand], way: str) -> None:
    original, model, hand = edited
    result = WAYS[way](model)
    x = images(4)
    torch.testing.assert_close(result(x, 1.0), hand(original, x))
    if "export" in way:
        torch.testing.assert_close(result(images(7), 1.0).shape, (7, 2), msg="the batch is dynamic")


def test_an_edit_leaves_names_signature_and_class(edited: tuple[Net, nn.Module, Hand]) -> None:
    original, model, _ = edited
    assert type(model).__name__ == "Net"
    assert isinstance(model, Net)
    assert inspect.signature(model.forward) == inspect.signature(original.forward)
    for path, module in original.named_modules():
        if path != "act":
            there = model.get_submodule(path)
            assert isinstance(there, type(module))
            assert inspect.signature(there.forward) == inspect.signature(module.forward)
    state, new = original.state_dict(), model.state_dict()
    assert [key for key in new if key in state] == list(state), "no key is renamed, none changes its place"
    assert all(torch.equal(new[key], state[key]) for key in state)
    assert model.load_state_dict(state, strict=False).unexpected_keys == []


def test_a_copy_of_an_edited_model_is_independent(edited: tuple[Net, nn.Module, Hand]) -> None:
    _, model, _ = edited
    for twin in (copy.deepcopy(model), pickled(model), saved(model)):
        ours, theirs = {id(m) for m in model.modules()}, {id(m) for m in twin.modules()}
        assert not ours & theirs
        assert not {id(p) for p in model.parameters()} & {id(p) for p in twin.parameters()}
        assert type(twin) is type(model)
        assert list(twin.state_dict()) == list(model.state_dict())


def test_inductor_compiles_two_insertions() -> None:
    torch._dynamo.reset()
    model, x = nn.Sequential(nn.Linear(4, 4)), torch.randn(2, 4)
    expected = S[1](F.linear(S[0](x), model[0].weight, model[0].bias))
    zoo.insert_after(zoo.insert_before(model, "0", Shift(1.0)), "0", Shift(-3.0))
    with torch.no_grad():
        torch.testing.assert_close(torch.compile(model, fullgraph=True)(x), expected)


def test_keyword_calls_reach_an_insertion() -> None:
    model, x = Net(), images()
    expected = model(S[0](x), 2.0)
    zoo.insert_before(model, "", Shift(1.0))
    torch.testing.assert_close(model(x=x, scale=2.0), expected)
    torch.testing.assert_close(model(scale=2.0, x=x), expected, msg="the input is the first of the signature")


def test_keys_of_what_is_inserted() -> None:
    model = zoo.insert_before(Net(), "fc", Shift())
    before = list(model.state_dict())
    assert before == ["conv.weight", "conv.bias", "fc.weight", "fc.bias", "fc.zoo_before.0.by"]
    zoo.insert_before(model, "fc", Shift(-3.0))
    zoo.insert_after(model, "act", Shift())
    assert set(model.state_dict()) == {*before, "fc.zoo_before.1.by", "act.zoo_after.0.by"}
    assert model.state_dict()["fc.zoo_before.0.by"] == 1, "a later insertion renames no earlier one"
