"""`zoo.replace` and `zoo.remove`: in every place where a module stands, and with the weights kept where they fit."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import zoo
from tests.nets import Family, Negated, Net, Shift, Tied, Wrapped, keys

# -- weights that are kept --------------------------------------------------------------------------------------------


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).double()


def test_what_has_its_name_and_shape_goes_on() -> None:
    model = net()
    old, new = model[0], nn.Linear(5, 4)
    weight = new.weight.detach().clone()
    zoo.replace(model, "0", new, keep_weights=True)
    assert torch.equal(new.bias, old.bias)
    assert new.bias is not old.bias
    assert new.bias.dtype == torch.float64
    assert torch.equal(new.weight, weight.double())


def test_buffers_go_on_too() -> None:
    model = net()
    model(torch.ones(5, 3).double())
    old, new = model[1], nn.BatchNorm1d(4)
    zoo.replace(model, "1", new, keep_weights=True)
    assert {name: value.tolist() for name, value in new.state_dict().items()} == {
        name: value.tolist() for name, value in old.state_dict().items()
    }


def test_where_nothing_fits_it_is_refused_and_nothing_was_touched() -> None:
    model = net()
    before = list(model.named_modules())
    with pytest.raises(zoo.ShapeError) as met:
        zoo.replace(model, "0", nn.Linear(5, 6), keep_weights=True)
    assert str(met.value) == "keep_weights: nothing of '0' (Linear) fits into Linear"
    assert list(model.named_modules()) == before


def test_what_was_inserted_before_does_not_count_as_kept() -> None:
    model = net()
    zoo.insert_before(model, "0", nn.Linear(3, 3))
    with pytest.raises(zoo.ShapeError, match="nothing of '0'"):
        zoo.replace(model, "0", nn.Linear(3, 7), keep_weights=True)


def test_without_it_every_weight_is_new() -> None:
    model = net()
    new = nn.Linear(3, 4)
    weight = new.weight.detach().clone()
    zoo.replace(model, "0", new)
    assert torch.equal(new.weight, weight.double())


def test_what_is_on_meta_gives_its_names_alone() -> None:
    old, new = nn.Linear(3, 4, device="meta"), nn.Linear(3, 4)
    weight = new.weight.detach().clone()
    assert zoo.copy_weights(old, new) == ["weight", "bias"]
    assert torch.equal(new.weight, weight)
    assert zoo.copy_weights(new, old) == ["weight", "bias"]


def test_what_has_no_shape_yet_fits_nothing() -> None:
    assert zoo.copy_weights(nn.LazyLinear(4), nn.Linear(3, 4)) == []
    assert zoo.copy_weights(nn.Linear(3, 4), nn.LazyLinear(4)) == []


# -- every place where a module stands --------------------------------------------------------------------------------


def test_replace_an_alias_under_one_parent_and_under_two() -> None:
    for path in ("act", "again", "inner.1"):
        model, new = Family(), nn.SiLU()
        assert zoo.replace(model, path, new) is model
        assert model.act is new
        assert model.again is new
        assert model.inner[1] is new


def test_replace_under_a_parent_that_is_shared_itself() -> None:
    block = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    model = nn.ModuleDict({"a": block, "b": nn.Sequential(block)})
    zoo.replace(model, "b.0.1", nn.SiLU())
    assert model["a"] is model["b"][0] is block
    assert isinstance(block[1], nn.SiLU)


def test_replace_the_root() -> None:
    old, new = nn.ReLU().eval(), nn.SiLU()
    assert zoo.replace(old, "", new) is new
    assert not new.training


def test_replace_while_iterating_a_selection() -> None:
    model = nn.Sequential(nn.ReLU(), nn.Sequential(nn.ReLU(), nn.ReLU()))
    for path in zoo.select(model, "ReLU"):
        zoo.replace(model, path, nn.SiLU())
    assert not any(isinstance(m, nn.ReLU) for m in model.modules())
    assert sum(isinstance(m, nn.SiLU) for m in model.modules()) == 3


def test_replace_nested_matches_takes_the_outer_one() -> None:
    model = zoo.modify(nn.ModuleDict({"a": nn.Sequential(nn.Sequential(nn.ReLU()))}), "replace(Sequential, Tanh())")
    assert repr(model) == repr(nn.ModuleDict({"a": nn.Tanh()}))


def test_replace_by_a_layer_that_wraps_the_old_one() -> None:
    model = Family()
    x, old = torch.randn(2, 3), model.act
    wrapped = Wrapped(old)
    zoo.replace(model, "act", wrapped)
    assert wrapped.inner is old, "it goes on holding the old one, and not itself"
    assert model.act is model.again is model.inner[1] is wrapped
    torch.testing.assert_close(model(x), -F.relu(-F.relu(model.inner[0](-F.relu(x)))))


def test_wrapping_leaves_the_mode_of_what_is_wrapped() -> None:
    model = nn.ModuleDict({"norm": nn.BatchNorm1d(3).eval()}).train()
    model["norm"].eval()
    inner = model["norm"]
    zoo.replace(model, "norm", Wrapped(inner))
    assert not inner.training
    assert not model["norm"].training


def test_replace_keeps_other_ties() -> None:
    model = Tied()
    zoo.replace(model, "mid", nn.Linear(4, 4))
    zoo.insert_before(model, "out", Shift())
    zoo.insert_after(model, "embed", Shift())
    zoo.become(model, "out", Negated)
    assert model.out.weight is model.embed.weight
    assert copy.deepcopy(model).out.weight.requires_grad
    twin = copy.deepcopy(model)
    assert twin.out.weight is twin.embed.weight


def test_remove_moves_no_name_and_no_number() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3)).eval()
    before = keys(model)
    zoo.remove(model, "1")
    assert keys(model) == before
    assert isinstance(model[1], nn.Identity)
    assert not model[1].training
    assert isinstance(zoo.remove(nn.ReLU(), ""), nn.Identity)


def test_remove_in_all_places() -> None:
    model = zoo.remove(Family(), "inner.1")
    assert model.act is model.again is model.inner[1]
    assert isinstance(model.act, nn.Identity)


@pytest.mark.parametrize("edit", [zoo.replace, zoo.insert_before, zoo.insert_after])
def test_an_edit_of_no_place(edit: Any) -> None:
    with pytest.raises(zoo.NoEffectError, match=r"^there is no module at 'fc\.nope'; in 'fc' there is: nothing$"):
        edit(Net(), "fc.nope", Shift())
    with pytest.raises(zoo.NoEffectError, match=r"^there is no module at 'nope'; in this Net there is: conv, act, fc$"):
        edit(Net(), "nope", Shift())


# -- inserting --------------------------------------------------------------------------------------------------------


def test_names_of_modules_do_not_steer_a_terminal() -> None:
    model = Net()
    model.add_module("\x1b[31mred", nn.ReLU())
    with pytest.raises(zoo.NoEffectError) as caught:
        zoo.remove(model, "\x1b]0;x")
    assert str(caught.value) == ("there is no module at '\\x1b]0;x'; in this Net there is: conv, act, fc, \\x1b[31mred")
