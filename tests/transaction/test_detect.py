"""What the engine notices by itself of edits by hand, and how it's recorded."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
import zoo_archs
import zoo_modifiers
from torch import nn

import zoo
from tests.nets import Mixed, registry_of, seen, watched


class Doubled(zoo.Mixin):
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return super().forward(*args, **kwargs) * 2


class MyLinear(nn.Linear):
    """Another class with the same insides."""


Function = Callable[[Any], Any]
GOOD: list[tuple[zoo.Modifier, list[tuple[Any, ...]]]] = []
ALREADY: list[tuple[zoo.Modifier, str, str]] = []
OTHER: list[zoo.Modifier] = []


def declared(function: Function) -> zoo.Modifier:
    function.__doc__ = "An edit by hand."
    return zoo.modifier(function)


def good(*expected: tuple[Any, ...]) -> Callable[[Function], None]:
    """A modifier whose changes must be these: path, what, before, after, added, removed, aliases."""
    return lambda function: GOOD.append((declared(function), list(expected)))


def already(path: str, value: str) -> Callable[[Function], None]:
    """A modifier that sets what is so."""
    return lambda function: ALREADY.append((declared(function), path, value))


def other(function: Function) -> zoo.Modifier:
    OTHER.append(declared(function))
    return OTHER[-1]


@good(("norm", "eps", "1e-05", "0.001"))
def sets_attribute(model):
    model.norm.eps = 1e-3
    return model


@good(("", "rate", "0.5", "0.1"))
def sets_root_attribute(model):
    model.rate = 0.1
    return model


@good(("norm", "extra", "unset", "3"))
def adds_attribute(model):
    model.norm.extra = 3
    return model


@good(("", "rate", "0.5", "unset"))
def deletes_attribute(model):
    del model.rate
    return model


@good(("", "sizes", "[1, 2]", "[1, 2, 3]"))
def appends_to_a_list(model):
    model.sizes.append(3)
    return model


@good(("", "table", "{'x': [1]}", "{'x': [1, 2]}"))
def appends_deeper(model):
    model.table["x"].append(2)
    return model


@good(("head.0", "replaced", "Dropout(p=0.1, inplace=False)", "Dropout(p=0.3, inplace=False)"))
def sets_item(model):
    model.head[0] = nn.Dropout(0.3)
    return model


LINEAR = "Linear(in_features=4, out_features={}, bias=True)"


@good(("head.1", "replaced", LINEAR.format(2), LINEAR.format(3), 15, 10))
def sets_item_with_weights(model):
    model.head[1] = nn.Linear(4, 3)
    return model


@good(("head.1", "replaced", LINEAR.format(2), LINEAR.format(2), 10, 10))
def draws_weights_again(model):
    model.head[1] = nn.Linear(4, 2)
    return model


@good(("head.2", "added", "", "Linear(in_features=2, out_features=2, bias=True)", 6))
def appends_layer(model):
    model.head.append(nn.Linear(2, 2))
    return model


@good(("head", "replaced", "Sequential(0: Dropout, 1: Linear)", "Sequential(0: Linear)", 10, 10))
def replaces_container(model):
    model.head = nn.Sequential(nn.Linear(4, 2))
    return model


@good(("norm", "removed", repr(nn.BatchNorm1d(4)), "", 0, 8))
def deletes_layer(model):
    del model.norm
    return model


@good(("norm.weight", "requires_grad", "True", "False"))
def freezes(model):
    model.norm.weight.requires_grad = False
    return model


@good(
    ("head.1.weight", "requires_grad", "True", "False"),
    ("head.1.bias", "requires_grad", "True", "False"),
)
def freezes_layer(model):
    model.head[1].requires_grad_(False)
    return model


@good(("norm.weight", "values", "float32[4]", "float32[4]"))
def writes_weights(model):
    nn.init.constant_(model.norm.weight, 2)
    return model


@good(("norm.running_mean", "values", "float32[4]", "float32[4]"))
def writes_buffer(model):
    model.norm.running_mean += 1
    return model


@good(("norm", "hook added", "", "seen"))
def adds_hook(model):
    model.norm.register_forward_pre_hook(seen)
    return model


@good(("norm.weight", "hook added", "", "watched"), ("norm.bias", "hook added", "", "watched"))
def adds_tensor_hooks(model):
    model.norm.weight.register_hook(watched)
    model.norm.bias.register_post_accumulate_grad_hook(watched)
    return model


@good(("head", "order", "0, 1", "1, 0"))
def reorders(model):
    model.head._modules["0"] = model.head._modules.pop("0")
    return model


@good(("head.2", "added", "", "ReLU()"))
def adds_in_front(model):
    return zoo.add(model, "head", "2", nn.ReLU(), first=True)


@good(("norm.bias", "replaced", "float32[4]", "float32[4]", 0, 4))
def ties(model):
    model.norm.bias = model.norm.weight
    return model


@good(
    ("norm.weight", "replaced", "float32[4]", "float32[4]", 4, 4),
    ("norm.bias", "replaced", "float32[4]", "float32[4]", 0, 4),
)
def ties_anew(model):
    model.norm.weight = model.norm.bias = nn.Parameter(torch.ones(4))
    return model


@good(
    ("head.2", "added", "", "Linear(in_features=2, out_features=2, bias=True)", 6),
    ("head.3", "added", "", "Linear(in_features=2, out_features=2, bias=True)", 2),
)
def adds_two_that_are_tied(model):
    model.head.extend([nn.Linear(2, 2), nn.Linear(2, 2)])
    model.head[3].weight = model.head[2].weight
    return model


@good(("scale", "added", "", "float32[3]", 3))
def adds_parameter(model):
    model.scale = nn.Parameter(torch.ones(3))
    return model


@good(("head.1.gain", "added", "", "float32[2]"))
def adds_buffer(model):
    model.head[1].register_buffer("gain", torch.ones(2))
    return model


@good(("norm.weight", "replaced", "float32[4]", "float32[4]", 4, 4))
def replaces_parameter(model):
    model.norm.weight = nn.Parameter(torch.ones(4))
    return model


@good(("norm.weight", "removed", "float32[4]", "", 0, 4))
def removes_parameter(model):
    model.norm.weight = None
    return model


@good(("head.1", "class", "Linear", "MyLinear"))
def swaps_class(model):
    model.head[1].__class__ = MyLinear
    return model


@good(("norm", "became", "BatchNorm1d", "Doubled(BatchNorm1d)"))
def becomes(model):
    return zoo.become(model, "norm", Doubled)


@good(("act", "replaced", "ReLU()", "SiLU()", 0, 0, ("again",)))
def replaces_shared(model):
    return zoo.replace(model, "again", nn.SiLU())


@good(("act", "replaced", "ReLU()", "SiLU()", 0, 0, ("again",)))
def replaces_shared_by_hand(model):
    model.act = model.again = nn.SiLU()
    return model


@good(("norm", "inserted before", "", "Linear(in_features=4, out_features=4, bias=True)", 20))
def inserts(model):
    return zoo.insert_before(model, "norm", nn.Linear(4, 4))


@other
def inserts_twice(model):
    return zoo.insert_before(zoo.insert_before(model, "norm", nn.Dropout(0.1)), "norm", nn.Linear(4, 4))


@good(("a", "eps", "unset", "1"), ("norm", "eps", "1e-05", "1"), ("head.0", "p", "0.1", "0.2"))
def sets_several(model):
    model.head[0].p = 0.2
    model.norm.eps = 1
    model.a.eps = 1
    return model


@already("norm", "eps=1e-05")
def sets_same_eps(model):
    model.norm.eps = 1e-5
    return model


@already("", "rate=0.5")
def sets_same_rate(model):
    setattr(model, "rate", 0.5)  # noqa: B010
    return model


@already("head.0", "Dropout(p=0.1, inplace=False)")
def sets_equal_item(model):
    model.head[0] = nn.Dropout(0.1)
    return model


@already("head.0", "Dropout(p=0.1, inplace=False)")
def sets_same_item(model):
    model.head[0] = model.head[0]
    return model


@already("norm.weight", "requires_grad=True")
def thaws_what_is_thawed(model):
    model.norm.weight.requires_grad_(True)
    return model


@already("norm.weight", "requires_grad=True")
def thaws_by_attribute(model):
    model.norm.weight.requires_grad = True
    return model


# -- others, for single tests -----------------------------------------------------------------------------------------


@other
def hooks_the_head(model):
    model.head[1].weight.register_hook(lambda grad: 1 / 0)
    return model


@other
def sets_private(model):
    model._secret = 1
    return model


@other
def breaks_off(model):
    model.rate = 0.1
    raise RuntimeError("boom")


@other
def replaces_tied(model):
    return zoo.replace(model, "1", nn.Linear(4, 4))


REGISTRY = registry_of(
    *(row[0] for row in [*GOOD, *ALREADY]), *OTHER, beside=(zoo_archs, zoo_modifiers), owner="zoo-acme"
)


def modify(model: nn.Module, mods: str) -> nn.Module:
    return zoo.modify(model, mods, registry=REGISTRY)


def test_the_plugin_loads() -> None:
    assert [p.reason for p in REGISTRY.plugins] == ["", "", ""]


# -- tests ------------------------------------------------------------------------------------------------------------


def names(table: list[Any]) -> list[str]:
    return [row[0].name for row in table]


def test_each_of_two_insertions_at_one_place_is_recorded() -> None:
    rows = {(c.path, c.what, c.after, c.added) for c in zoo.changes(modify(Mixed(), "inserts_twice"))}
    linear = ("norm", "inserted before", "Linear(in_features=4, out_features=4, bias=True)", 20)
    assert rows == {("norm", "inserted before", "Dropout(p=0.1, inplace=False)", 0), linear}


def test_a_refused_hook_on_a_parameter_is_taken_back() -> None:
    model, fired = Mixed(), []
    users = model.head[1].weight.register_hook(lambda grad: fired.append("user"))
    with pytest.raises(zoo.PluginError):
        modify(model, "adds_tensor_hooks+hooks_the_head+breaks_off")
    assert [p._backward_hooks for p in model.norm.parameters()] == [None, None]
    assert [p._post_accumulate_grad_hooks for p in model.norm.parameters()] == [None, None]
    model(torch.randn(3, 4)).sum().backward()
    assert fired == ["user"]
    users.remove()
    model(torch.randn(3, 4)).sum().backward()
    assert fired == ["user"], "the handle still removes it"


def test_live_is_unknown_for_a_model_that_the_zoo_has_no_arch_for() -> None:
    assert [c.live for c in zoo.changes(modify(Mixed(), "sets_several"))] == [None] * 3


@pytest.mark.parametrize(("modifier", "expected"), GOOD, ids=names(GOOD))
def test_a_hand_edit_is_recorded(modifier: zoo.Modifier, expected: list[tuple[Any, ...]]) -> None:
    model = Mixed()
    assert modify(model, modifier.name) is model
    rows = [(*row, *(0, 0, ())[len(row) - 4 :]) for row in expected]
    found = zoo.changes(model)
    assert [(c.path, c.what, c.before, c.after, c.added, c.removed, c.aliases) for c in found] == rows
    assert {c.part for c in found} == {modifier.name}
    assert str(zoo.spec_of(model)) == f"?Mixed+{modifier.name}"


@pytest.mark.parametrize(("modifier", "path", "value"), ALREADY, ids=names(ALREADY))
def test_what_was_already_so_is_recorded_and_no_error(modifier: zoo.Modifier, path: str, value: str) -> None:
    found = zoo.changes(modify(Mixed(), modifier.name))
    assert [(c.path, c.what, c.before, c.after) for c in found] == [(path, "already", value, value)]


def test_a_private_attribute_is_not_told_as_already_so() -> None:
    model = Mixed()
    try:
        modify(model, "sets_private")
    except zoo.NotApplicableError:
        assert not hasattr(model, "_secret")
    else:
        assert [c.what for c in zoo.changes(model)] != ["already"]


def test_already_in_a_chain_on_an_arch() -> None:
    model = zoo.create("simple+bn(eps=1e-3)+bn(eps=1e-3)")
    first, second = zoo.changes(model)
    assert (first.what, first.before, first.after, first.live) == ("eps", "1e-05", "0.001", True)
    assert (second.what, second.before, second.live) == ("already", "eps=0.001", True)


def test_the_parameters_added_and_removed_add_up() -> None:
    total = lambda m: sum(p.numel() for p in m.parameters())  # noqa: E731
    for modifier, _ in GOOD:
        model = Mixed()
        before = total(model)
        found = zoo.changes(modify(model, modifier.name))
        assert total(model) - before == sum(c.added - c.removed for c in found), modifier.name


def test_a_tied_weight_that_stays_is_not_counted_as_removed() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    (change,) = zoo.changes(modify(model, "replaces_tied"))
    assert (change.added, change.removed) == (20, 4)


def test_changes_add_up_over_calls_and_print_as_a_tree() -> None:
    model = Mixed()
    assert not zoo.changes(model)
    assert str(zoo.changes(model)) == "no changes"
    modify(modify(model, "sets_attribute"), "adds_parameter+sets_same_rate")
    assert str(zoo.changes(model)) == (
        "sets_attribute\n"
        "  norm: eps 1e-05 → 0.001\n"
        "adds_parameter\n"
        "  scale: added float32[3], +3 parameters\n"
        "sets_same_rate\n"
        "  (root): already rate=0.5 → rate=0.5"
    )
    assert str(zoo.spec_of(model)) == "?Mixed+sets_attribute+adds_parameter+sets_same_rate"


def test_changes_are_plain_values() -> None:
    model = modify(Mixed(), "sets_several+adds_parameter+replaces_shared")
    found = zoo.changes(model)
    assert pickle.loads(pickle.dumps(found)) == found
    assert copy.deepcopy(found) == found
    assert len({hash(c) for c in found}) == len(found)
    assert zoo.changes(copy.deepcopy(model)) == found
    assert zoo.changes(pickle.loads(pickle.dumps(model))) == found


def test_the_record_adds_no_key() -> None:
    model = modify(Mixed(), "sets_attribute")
    assert list(model.state_dict()) == list(Mixed().state_dict())


@pytest.mark.parametrize("name", ["sets_item_with_weights", "appends_layer", "replaces_container"])
def test_what_is_put_in_by_hand_takes_the_mode_of_its_place(name: str) -> None:
    model = Mixed().eval()
    assert {m.training for m in modify(model, name).modules()} == {False}


def test_the_record_sees_writes_on_meta() -> None:
    model = modify(Mixed().to_empty(device="meta"), "writes_weights+freezes+sets_item_with_weights")
    assert [c.what for c in zoo.changes(model)] == ["values", "requires_grad", "replaced"]


def test_inference_tensors_have_no_version_and_are_no_error() -> None:
    with torch.inference_mode():
        model = Mixed()
    assert [c.what for c in zoo.changes(modify(model, "sets_attribute"))] == ["eps"]
