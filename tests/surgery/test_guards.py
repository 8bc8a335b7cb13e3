"""What an edit refuses, and why: places that would lose it, layers in themselves, names that can't be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import zoo
from tests.nets import Negated, Net, Shift, Sliced, Wrapped, images, keys


def own_forward(model: nn.Module) -> nn.Module:
    """As `accelerator.prepare` does for mixed precision."""
    model.forward = torch.autocast("cpu", dtype=torch.bfloat16)(model.forward)
    return model


def a_net_with_a_forward_of_its_own(at: str) -> nn.Module:
    model = Net()
    own_forward(model.get_submodule(at))
    return model


PAST = (
    " has a forward of its own, set on the instance, which goes past what is put there; modify the model before its "
    "forward is replaced (before accelerator.prepare, say), or name another place"
)
GOES_PAST: list[tuple[str, str, Callable[[nn.Module], Any], str]] = [
    ("insert before", "fc", lambda m: zoo.insert_before(m, "fc", Shift()), "'fc' (Linear)"),
    ("insert after", "fc", lambda m: zoo.insert_after(m, "fc", Shift()), "'fc' (Linear)"),
    ("become", "", lambda m: zoo.become(m, "", Negated), "the model itself (Net)"),
    ("dropout", "", lambda m: zoo.modify(m, "dropout(0.9, at='')"), "the model itself (Net)"),
    ("heads", "", lambda m: zoo.modify(m, "heads(a=1, b=2)"), "the model itself (Net)"),
    ("a tail", "", lambda m: zoo.modify(m, "append(more=Linear(2, 5))"), "the model itself (Net)"),
    ("a choice", "", lambda m: zoo.modify(m, "switch_act(relu, silu)"), "the model itself (Net)"),
]


@pytest.mark.parametrize(("at", "edit", "place"), [row[1:] for row in GOES_PAST], ids=[row[0] for row in GOES_PAST])
def test_what_an_instances_own_forward_would_go_past_is_refused(at: str, edit: Any, place: str) -> None:
    model = a_net_with_a_forward_of_its_own(at)
    before, classes = keys(model), [type(module) for module in model.modules()]
    with pytest.raises(zoo.NotApplicableError) as caught:
        edit(model)
    assert str(caught.value).partition("\n")[0] == place + PAST
    assert (keys(model), [type(module) for module in model.modules()]) == (before, classes)


def test_around_an_instances_own_forward_all_else_works() -> None:
    model = zoo.modify(a_net_with_a_forward_of_its_own(""), "freeze+act(silu)+dropout(1.0, at=fc)").train()
    torch.testing.assert_close(model(images()).float(), model.fc.bias.expand(2, 2), atol=1e-2, rtol=0)
    model = own_forward(zoo.modify(Net(), "dropout(0.5, at=fc)"))
    zoo.modify(model, "dropout(1.0, at=fc)")  # the one that is there
    torch.testing.assert_close(model(images()).float(), model.fc.bias.expand(2, 2), atol=1e-2, rtol=0)


LATER = (
    "gets its sizes in its first forward, which makes it a {} and would lose this; run a forward first, then zoo.modify"
)


@pytest.mark.parametrize(
    ("build", "mods", "place", "becomes"),
    [
        (lambda: nn.Sequential(nn.LazyLinear(3)), "dropout(0.1, at='0')", "'0' (LazyLinear)", "Linear"),
        (lambda: nn.ModuleDict({"fc": nn.LazyLinear(3)}), "dropout(0.1, at=fc)", "'fc' (LazyLinear)", "Linear"),
        (lambda: nn.Sequential(nn.LazyBatchNorm1d()), "freeze", "'0' (LazyBatchNorm1d)", "BatchNorm1d"),
    ],
)
def test_what_a_first_forward_would_undo_is_refused(build: Any, mods: str, place: str, becomes: str) -> None:
    model = build()
    with pytest.raises(zoo.NotApplicableError) as caught:
        zoo.modify(model, mods)
    assert str(caught.value).partition("\n")[0] == f"{place} {LATER.format(becomes)}"
    inner = next(model.children())
    inner(torch.randn(4, 5))
    assert type(inner).__name__ == becomes
    assert zoo.changes(zoo.modify(model, mods))


def test_layers_without_sizes_yet_can_be_frozen_and_come_anywhere() -> None:
    model = zoo.modify(nn.Sequential(nn.LazyLinear(3)), "freeze")
    assert model(torch.randn(2, 4)).shape == (2, 3)
    assert [p.requires_grad for p in model.parameters()] == [False, False]
    assert model[0].weight.abs().sum() > 0, "it drew its weights all the same"
    zoo.modify(model, "unfreeze")
    assert [p.requires_grad for p in model.parameters()] == [True, True]
    model = zoo.modify(
        nn.Sequential(nn.Linear(4, 4)).double(), "append('', LazyLinear(3))+append('', LazyBatchNorm1d())"
    )
    assert model(torch.randn(2, 4, dtype=torch.float64)).dtype == torch.float64
    with pytest.raises(zoo.NotApplicableError) as caught:
        zoo.create("simple+append(x=LazyLinear(3))+prepend(x, Tanh())")
    assert str(caught.value).partition("\n")[0] == f"'x' (LazyLinear) {LATER.format('Linear')}"


def test_a_failure_thaws_and_freezes_layers_without_sizes_again() -> None:
    model = nn.Sequential(nn.LazyLinear(3))
    with pytest.raises(zoo.NotApplicableError, match="has no BatchNorm"):
        zoo.modify(model, "freeze+bn(eps=1)")
    assert [p.requires_grad for p in model.parameters()] == [True, True]


CYCLES: list[tuple[str, Callable[[nn.Module], Any], str]] = [
    (
        "behind a part of itself",
        lambda m: zoo.insert_after(m, "body.0", m.body),
        "this Sequential is or holds 'body.0'",
    ),
    ("before itself", lambda m: zoo.insert_before(m, "body.1", m.body[1]), "this Tanh is or holds 'body.1'"),
    ("in the place of a part", lambda m: zoo.replace(m, "body.0", m.body), "this Sequential is or holds 'body.0'"),
    (
        "in the place of a part, wrapped",
        lambda m: zoo.replace(m, "body", Wrapped(m)),
        "this Wrapped is or holds 'body'",
    ),
    ("as its own child", lambda m: zoo.add(m, "body", "3", m), "this Sliced is or holds 'body'"),
    ("as the root's child", lambda m: zoo.add(m, "", "x", m), "this Sliced is or holds the model itself"),
    ("as state", lambda m: zoo.become(m, "body.0", Negated, zoo_all=m), "this Sliced is or holds 'body.0'"),
]


@pytest.mark.parametrize(("edit", "text"), [row[1:] for row in CYCLES], ids=[row[0] for row in CYCLES])
def test_a_layer_can_not_come_into_itself(edit: Any, text: str) -> None:
    model = Sliced()
    classes = [type(module) for module in model.modules()]
    with pytest.raises(zoo.OptionError) as caught:
        edit(model)
    assert str(caught.value) == (
        f"{text}, and can't be put into itself; give a new layer, or a copy.deepcopy of this one"
    )
    assert [type(module) for module in model.modules()] == classes
    assert model(torch.randn(2, 3)).shape == (2, 3)


DOT = "a dot stands between a module and what is in it"
UNDER = "what is inserted at a place stands under such names"
NAMES: list[tuple[Any, str]] = [
    ("a.b", f"a new part can't be called 'a.b': {DOT}; call it 'a_b', say"),
    ("\x1b[1m.", f"a new part can't be called '\\x1b[1m.': {DOT}; call it '1m', say"),
    (".", f"a new part can't be called '.': {DOT}; call it 'extra', say"),
    (
        "zoo_x",
        f"a new part can't be called 'zoo_x': {UNDER}; call it 'x', say",
    ),
    ("", "a new part needs a name, such as 'extra', not ''"),
    (3, "a new part needs a name, such as 'extra', not 3"),
]


@pytest.mark.parametrize(("name", "text"), NAMES)
def test_what_a_new_part_can_not_be_called(name: Any, text: str) -> None:
    model = Net()
    with pytest.raises(zoo.OptionError) as caught:
        zoo.add(model, "", name, nn.ReLU())
    assert str(caught.value) == text
    assert list(model._modules) == ["conv", "act", "fc"]


def test_texts_about_the_root_say_so() -> None:
    with pytest.raises(zoo.NotApplicableError) as caught:
        zoo.insert_before(nn.ModuleList(), "", nn.ReLU())
    assert str(caught.value) == "the model itself is a ModuleList, which is never called; name one of its elements"
    with pytest.raises(zoo.NotApplicableError, match=r"^the model itself \(Net\) never became Negated$"):
        zoo.unbecome(Net(), "", Negated)
