"""`zoo.modify(model, mods, optimizer=...)`: training goes on with the state of all that stays, and nothing is lost."""

from __future__ import annotations

import copy
import types
from collections.abc import Callable
from typing import Any

import pytest
import torch
import zoo_archs
import zoo_modifiers as zoo_modifiers_plugin
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import OneCycleLR

import zoo
from tests.digits import digits
from tests.pictures import Picture
from zoo.registry.registry import Registry

SPEC = "convnet(channels=8, depth=2, in_chans=1)"
# What is done in the middle, in one call: a layer more, another head, another activation.
EDIT = "append(blocks.0, BatchNorm2d(8))+replace(head, Sequential(Linear(16, 16), Linear(16, 10)))+act(silu)"
NEW = ["blocks.0.zoo_after.0.weight", "blocks.0.zoo_after.0.bias", "head.0.weight", "head.0.bias"]
NEW += ["head.1.weight", "head.1.bias"]

MAKERS: dict[str, Callable[[Any], Optimizer]] = {
    "sgd": lambda params: SGD(params, lr=0.1, momentum=0.9),
    "adamw": lambda params: AdamW(params, lr=1e-2, weight_decay=0.01),
}


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest) -> Callable[[Any], Optimizer]:
    return MAKERS[request.param]


@pytest.fixture(scope="module", name="digits")
def some_digits() -> tuple[Tensor, Tensor]:
    return digits(256)


def steps(model: nn.Module, optimizers: list[Optimizer], data: tuple[Tensor, Tensor], epochs: int = 1) -> list[float]:
    """The loss of each epoch."""
    x, y = data
    model.train()
    losses = []
    for _ in range(epochs):
        total = 0.0
        for bx, by in zip(x.split(64), y.split(64), strict=True):
            loss = nn.functional.cross_entropy(model(bx), by)
            model.zero_grad()
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
            total += loss.item()
        losses.append(total)
    return losses


def params(model: nn.Module) -> dict[str, nn.Parameter]:
    return dict(model.named_parameters())


def held(optimizer: Optimizer, model: nn.Module) -> list[list[str]]:
    """The names in each group; '?' for what the model doesn't have."""
    names = {id(p): name for name, p in model.named_parameters()}
    return [[names.get(id(p), "?") for p in group["params"]] for group in optimizer.param_groups]


def tensors(state: dict[str, Any]) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if isinstance(value, Tensor)}


def trunk_and_head(model: nn.Module) -> list[dict[str, Any]]:
    split: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for name, p in model.named_parameters():
        split[name.startswith("head")].append(p)
    return [{"params": split[False], "lr": 0.01}, {"params": split[True], "lr": 0.1}]


def decay_or_not(model: nn.Module) -> list[dict[str, Any]]:
    decayed = [p for p in model.parameters() if p.ndim > 1]
    rest = [p for p in model.parameters() if p.ndim < 2]
    return [{"params": decayed, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]


# --- training goes on --------------------------------------------------------------------------------------------


def test_modify_in_the_middle_of_training(make: Callable[[Any], Optimizer], digits: tuple[Tensor, Tensor]) -> None:
    model = zoo.create(SPEC)
    optimizer = make(model.parameters())
    first = steps(model, [optimizer], digits, 3)
    assert first[-1] < first[0]
    old = params(model)
    states = {name: optimizer.state[p] for name, p in old.items()}
    buffers = {name: tensors(state) for name, state in states.items()}
    values = copy.deepcopy(buffers)
    assert all(values.values())  # every parameter has a momentum by now

    assert zoo.modify(model, EDIT, optimizer=optimizer) is model

    new = params(model)
    stays = [name for name in old if name in new and old[name] is new[name]]
    assert stays == [name for name in old if not name.startswith("head")]
    for name in stays:
        assert optimizer.state[new[name]] is states[name]
        now = tensors(states[name])
        assert all(now[key] is buffers[name][key] and torch.equal(now[key], values[name][key]) for key in values[name])
    assert sorted(held(optimizer, model)[0]) == sorted(new)  # each once, none of the removed
    assert {id(p) for p in optimizer.state} == {id(new[name]) for name in stays}
    assert sorted(set(new) - set(stays)) == sorted(NEW)

    before = {name: p.detach().clone() for name, p in new.items()}
    second = steps(model, [optimizer], digits, 4)
    assert [name for name, p in new.items() if torch.equal(p, before[name])] == []  # all of them learn
    assert second[-1] < second[0]
    assert second[-1] < first[-1]


def test_an_edit_without_parameters_changes_nothing_in_training(digits: tuple[Tensor, Tensor]) -> None:
    """The run with `set(...)` to what is so already goes on, bit for bit, as the run without it."""
    runs = []
    for mods in (None, "set(BatchNorm2d, eps=1e-5)"):
        torch.manual_seed(0)
        model = zoo.create(SPEC)
        optimizer = MAKERS["adamw"](model.parameters())
        losses = steps(model, [optimizer], digits)
        if mods:
            zoo.modify(model, mods, optimizer=optimizer)
        runs.append(losses + steps(model, [optimizer], digits))
    assert runs[0] == runs[1]


def test_its_state_can_be_saved_and_loaded_afterwards(
    make: Callable[[Any], Optimizer], digits: tuple[Tensor, Tensor]
) -> None:
    model = zoo.create(SPEC)
    optimizer = make(model.parameters())
    steps(model, [optimizer], digits)
    zoo.modify(model, EDIT, optimizer=optimizer)
    steps(model, [optimizer], digits)
    saved = optimizer.state_dict()
    again = make([p for group in optimizer.param_groups for p in group["params"]])
    again.load_state_dict(saved)
    torch.testing.assert_close(again.state_dict(), saved, rtol=0, atol=0)


def test_a_schedule_goes_on(make: Callable[[Any], Optimizer], digits: tuple[Tensor, Tensor]) -> None:
    model = zoo.create(SPEC)
    optimizer = make(model.parameters())
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    rate = optimizer.param_groups[0]["lr"]
    steps(model, [optimizer], digits)
    schedule.step()
    zoo.modify(model, EDIT, optimizer=optimizer)
    steps(model, [optimizer], digits)
    schedule.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(rate / 4)


# --- who joins which group ---------------------------------------------------------------------------------------

TRUNK, HEAD = 0, 1
DECAY, NO_DECAY = 0, 1
JOINING = [
    # (groups, modifiers, {new parameter: its group})
    (trunk_and_head, "replace(head, Linear(16, 10))", {"head.weight": HEAD, "head.bias": HEAD}),
    (trunk_and_head, "replace(head, Sequential(Linear(16, 10)))", {"head.0.weight": HEAD, "head.0.bias": HEAD}),
    (trunk_and_head, "heads(a=2, b=3)", {"head.a.weight": HEAD, "head.b.bias": HEAD}),
    (trunk_and_head, "prepend(head, LayerNorm(16))", {"head.zoo_before.0.weight": HEAD}),
    (trunk_and_head, "append(blocks.1, BatchNorm2d(16))", {"blocks.1.zoo_after.0.weight": TRUNK}),
    (trunk_and_head, "replace(blocks.0.norm, GroupNorm(2, 8))", {"blocks.0.norm.weight": TRUNK}),
    (trunk_and_head, "act(prelu)", {"blocks.0.act.weight": TRUNK, "blocks.1.act.weight": TRUNK}),
    (trunk_and_head, "append(tail=Linear(10, 2))", {"tail.weight": HEAD, "tail.bias": HEAD}),
    (
        trunk_and_head,
        "append(blocks.0, BatchNorm2d(8))+append(head, Linear(10, 2))",
        {"blocks.0.zoo_after.0.bias": TRUNK, "head.zoo_after.0.weight": HEAD},
    ),
    (decay_or_not, "replace(head, Linear(16, 10))", {"head.weight": DECAY, "head.bias": NO_DECAY}),
    (decay_or_not, "heads(a=2, b=3)", {"head.a.weight": DECAY, "head.a.bias": NO_DECAY, "head.b.bias": NO_DECAY}),
    (
        decay_or_not,
        "append(head, Linear(10, 2))",
        {"head.zoo_after.0.weight": DECAY, "head.zoo_after.0.bias": NO_DECAY},
    ),
    (decay_or_not, "append(tail=Linear(10, 2))", {"tail.weight": DECAY, "tail.bias": NO_DECAY}),
    (
        decay_or_not,
        "replace(blocks.0.norm, GroupNorm(2, 8))",
        {"blocks.0.norm.weight": NO_DECAY, "blocks.0.norm.bias": NO_DECAY},
    ),
]


@pytest.mark.parametrize(("grouping", "mods", "expected"), JOINING)
def test_new_ones_join_their_neighbours(
    grouping: Callable[[nn.Module], list[dict[str, Any]]], mods: str, expected: dict[str, int]
) -> None:
    model = zoo.create(SPEC)
    optimizer = AdamW(grouping(model))
    before = held(optimizer, model)
    kept = [id(group) for group in optimizer.param_groups]
    old = params(model)
    zoo.modify(model, mods, optimizer=optimizer)
    now = held(optimizer, model)
    assert {name: next(i for i, names in enumerate(now) if name in names) for name in expected} == expected
    assert sorted(name for names in now for name in names) == sorted(params(model))
    stays = {name for name, p in params(model).items() if old.get(name) is p}
    assert [[n for n in names if n in stays] for names in now] == [[n for n in names if n in stays] for names in before]
    assert [id(group) for group in optimizer.param_groups] == kept


def test_the_caller_names_a_group_by_its_index() -> None:
    model = zoo.create(SPEC)
    optimizer = SGD(trunk_and_head(model), lr=0.1)
    zoo.modify(model, "append(head, Linear(10, 2))", optimizer=optimizer, group=TRUNK)
    assert held(optimizer, model)[TRUNK][-2:] == ["head.zoo_after.0.weight", "head.zoo_after.0.bias"]
    zoo.modify(model, "append(tail=Linear(2, 2))", optimizer=optimizer, group=-1)
    assert held(optimizer, model)[HEAD][-2:] == ["tail.weight", "tail.bias"]


def test_the_caller_names_the_options_of_a_new_group(
    make: Callable[[Any], Optimizer], digits: tuple[Tensor, Tensor]
) -> None:
    model = zoo.create(SPEC)
    optimizer = make(model.parameters())
    steps(model, [optimizer], digits)
    zoo.modify(model, "replace(head, Linear(16, 10))", optimizer=optimizer, group={"lr": 0.03})
    assert held(optimizer, model)[1] == ["head.weight", "head.bias"]
    assert not {"head.weight", "head.bias"} & set(held(optimizer, model)[0])
    old, new = optimizer.param_groups
    assert new["lr"] == 0.03
    assert {k: v for k, v in new.items() if k not in ("params", "lr")} == {
        k: v for k, v in old.items() if k not in ("params", "lr")
    }
    before = model.head.weight.detach().clone()
    steps(model, [optimizer], digits)
    assert not torch.equal(before, model.head.weight)


def test_a_group_that_loses_all_stays() -> None:
    """Index and options of the others stand, and a scheduler finds as many groups as it had."""
    model = zoo.create(SPEC)
    optimizer = SGD(trunk_and_head(model), lr=0.1)
    zoo.modify(model, "remove(head)", optimizer=optimizer)
    assert [group["lr"] for group in optimizer.param_groups] == [0.01, 0.1]
    assert held(optimizer, model)[HEAD] == []
    assert sorted(held(optimizer, model)[TRUNK]) == sorted(params(model))


def test_several_optimizers(digits: tuple[Tensor, Tensor]) -> None:
    model = zoo.create(SPEC)
    trunk, head = SGD(model.blocks.parameters(), lr=0.1, momentum=0.9), AdamW(model.head.parameters(), lr=1e-2)
    steps(model, [trunk, head], digits)
    zoo.modify(model, EDIT, optimizer=[trunk, head])
    assert sorted(held(trunk, model)[0]) == sorted(n for n in params(model) if n.startswith("blocks"))
    assert sorted(held(head, model)[0]) == sorted(n for n in params(model) if n.startswith("head"))
    assert not head.state
    assert {id(p) for p in trunk.state} == {id(p) for n, p in params(model).items() if n not in NEW and "head" not in n}
    losses = steps(model, [trunk, head], digits, 3)
    assert losses[-1] < losses[0]


def test_frozen_ones_stay_out() -> None:
    """What the optimizer never held doesn't come in, be it frozen or left out on purpose."""
    model = zoo.create(SPEC)
    model.blocks[0].requires_grad_(False)
    optimizer = AdamW(model.blocks[1].parameters())
    before = held(optimizer, model)[0]
    zoo.modify(model, "append(head, Dropout(0.1))+act(silu)", optimizer=optimizer)
    assert held(optimizer, model)[0] == before
    zoo.modify(model, "append(blocks.1, BatchNorm2d(16))", optimizer=optimizer)
    assert held(optimizer, model)[0] == [*before, "blocks.1.zoo_after.0.weight", "blocks.1.zoo_after.0.bias"]


@zoo.modifier
def frozen_tail(model: nn.Module, /) -> nn.Module:
    """A frozen and a trained layer more."""
    zoo.add(model, "", "frozen", nn.Linear(10, 10).requires_grad_(False))
    zoo.add(model, "", "learns", nn.Linear(10, 10))
    return model


@zoo.modifier
def tied(model: nn.Module, /) -> nn.Module:
    """Two new layers that share one weight."""
    one, two = nn.Linear(10, 10), nn.Linear(10, 10)
    two.weight = one.weight
    zoo.add(model, "", "one", one)
    return zoo.add(model, "", "two", two)


@zoo.modifier
def breaks_off(model: nn.Module, /) -> nn.Module:
    """Edits, then fails."""
    model = zoo.replace(model, "head", nn.Linear(16, 3))
    zoo.remove(model, "blocks.0.norm")
    raise RuntimeError("broken")


@zoo.hookimpl
def zoo_modifiers() -> list[Any]:
    return [frozen_tail, tied, breaks_off]


def own() -> Registry:
    """The zoo's own plugins, and the modifiers above."""
    module = types.ModuleType("own")
    module.zoo_modifiers = zoo_modifiers
    return Registry.of(zoo_archs, zoo_modifiers_plugin, module)


def test_new_ones_that_are_frozen_stay_out() -> None:
    model = zoo.create(SPEC)
    optimizer = AdamW(model.parameters())
    with_tail = zoo.modify(model, "frozen_tail", optimizer=optimizer, registry=own())
    assert held(optimizer, with_tail)[0][-2:] == ["learns.weight", "learns.bias"]
    assert not any(name.startswith("frozen") for name in held(optimizer, with_tail)[0])


def test_a_tied_one_joins_once() -> None:
    model = zoo.create(SPEC)
    optimizer = AdamW(model.parameters())
    zoo.modify(model, "tied", optimizer=optimizer, registry=own())
    assert sorted(held(optimizer, model)[0][-3:]) == ["one.bias", "one.weight", "two.bias"]


def test_one_that_still_stands_elsewhere_stays() -> None:
    """Of two layers that share a weight one goes: the weight is still trained, with its state."""
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    model[2].weight = model[0].weight
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.randn(2, 4)).sum().backward()
    optimizer.step()
    momentum = optimizer.state[model[0].weight]["momentum_buffer"]
    zoo.modify(model, "replace('2', Linear(4, 4, bias=False))", optimizer=optimizer)
    assert optimizer.state[model[0].weight]["momentum_buffer"] is momentum
    assert sorted(held(optimizer, model)[0]) == ["0.bias", "0.weight", "2.weight"]


def test_parameters_of_others_are_let_be() -> None:
    """An optimizer that also trains something that isn't the model's, such as a loss with weights."""
    model, other = zoo.create(SPEC), nn.Linear(2, 2)
    optimizer = SGD([{"params": other.parameters()}, {"params": model.parameters()}], lr=0.1)
    zoo.modify(model, EDIT, optimizer=optimizer)
    assert [id(p) for p in optimizer.param_groups[0]["params"]] == [id(p) for p in other.parameters()]
    assert sorted(held(optimizer, model)[1]) == sorted(params(model))


def test_names_in_the_groups_follow() -> None:
    """torch keeps the names that an optimizer is given, in step with the parameters."""
    model = zoo.create(SPEC)
    optimizer = AdamW(model.named_parameters(), lr=1e-2)
    zoo.modify(model, EDIT, optimizer=optimizer)
    assert optimizer.param_groups[0]["param_names"] == held(optimizer, model)[0]
    zoo.modify(model, "append(tail=Linear(10, 2))", optimizer=optimizer, group={"lr": 0.5})
    assert [group["param_names"] for group in optimizer.param_groups] == held(optimizer, model)


def test_a_new_group_goes_along_with_a_scheduler() -> None:
    """One that reads its own numbers out of every group, such as the rate that it starts from."""
    model = zoo.create(SPEC)
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = OneCycleLR(optimizer, max_lr=0.1, total_steps=10)
    zoo.modify(model, "append(tail=Linear(10, 2))", optimizer=optimizer, group={"lr": 0.5})
    assert optimizer.param_groups[1]["initial_lr"] == 0.5
    optimizer.step()
    scheduler.step()


# --- refused, and then nothing has happened ----------------------------------------------------------------------

_FLAT = "LBFGS keeps one flat state for all its parameters and can't follow; make a new one"
_NONE = "this SGD holds no parameter of the model; give the one that trains it"
_COPY = "copy=True leaves the original and its optimizer alone; make an optimizer for the copy"
Made = Callable[[nn.Module], list[Optimizer]]


def two(model: nn.Module) -> list[Optimizer]:
    return [SGD(trunk_and_head(model)[:1], lr=0.1, momentum=0.9), AdamW(model.head.parameters())]


def groups(model: nn.Module) -> list[Optimizer]:
    return [SGD(trunk_and_head(model), lr=0.1, momentum=0.9)]


REFUSED: dict[str, tuple[Made, str, dict[str, Any], type[Exception], str]] = {
    "fails half-way": (
        two,
        "append(blocks.0, BatchNorm2d(8))+breaks_off",
        {},
        zoo.PluginError,
        "modifier 'breaks_off' of zoo raised RuntimeError: broken",
    ),
    "fails at the second part": (
        groups,
        "replace(head, Linear(16, 3))+replace(blocks.0.act, Linear(2, 2), keep_weights=True)",
        {},
        zoo.ShapeError,
        "keep_weights: nothing of 'blocks.0.act' (ReLU) fits into Linear",
    ),
    "nothing to set": (
        groups,
        "replace(head, Linear(16, 3))+set(head, eps=0.1)",
        {},
        zoo.NotApplicableError,
        "'head' (Linear) has no 'eps' to set",
    ),
    "LBFGS": (lambda m: [torch.optim.LBFGS(m.parameters())], EDIT, {}, zoo.OptionError, _FLAT),
    "LBFGS beside another": (
        lambda m: [*groups(m), torch.optim.LBFGS(m.parameters())],
        EDIT,
        {},
        zoo.OptionError,
        _FLAT,
    ),
    "another model's": (lambda m: [SGD(zoo.create(SPEC).parameters(), 0.1)], EDIT, {}, zoo.OptionError, _NONE),
    "another model's beside its own": (
        lambda m: [*two(m), SGD(zoo.create(SPEC).parameters(), 0.1)],
        EDIT,
        {},
        zoo.OptionError,
        _NONE,
    ),
    "copy": (groups, EDIT, {"copy": True}, zoo.OptionError, _COPY),
    "no such group": (
        groups,
        EDIT,
        {"group": 2},
        zoo.OptionError,
        "group=2, but the optimizer has 2 parameter groups",
    ),
    "no such group from the end": (
        groups,
        EDIT,
        {"group": -3},
        zoo.OptionError,
        "group=-3, but the optimizer has 2 parameter groups",
    ),
    "no such option of a group": (
        groups,
        EDIT,
        {"group": {"lr": 0.1, "speed": 1}},
        zoo.OptionError,
        "group: SGD has no option 'speed'",
    ),
}


@pytest.mark.parametrize(("made", "mods", "options", "error", "text"), REFUSED.values(), ids=REFUSED.keys())
def test_refused_and_all_is_as_it_was(
    made: Made, mods: str, options: dict[str, Any], error: type[Exception], text: str, digits: tuple[Tensor, Tensor]
) -> None:
    model = zoo.create(SPEC)
    optimizers = made(model)
    trainers = [o for o in optimizers if not isinstance(o, torch.optim.LBFGS)]
    steps(model, trainers, digits)  # so that there is state to lose
    before = Picture(model, *optimizers)
    spec = zoo.spec_of(model)
    with pytest.raises(error) as caught:
        zoo.modify(model, mods, optimizer=optimizers, registry=own(), **options)
    assert str(caught.value).split("\n")[0] == text
    before.assert_same(Picture(model, *optimizers))
    assert zoo.spec_of(model) == spec
    assert not zoo.changes(model)


def test_after_a_refusal_training_goes_on_as_if_nothing_had_been(digits: tuple[Tensor, Tensor]) -> None:
    runs = []
    for failing in (False, True):
        torch.manual_seed(0)
        model = zoo.create(SPEC)
        optimizers = two(model)
        losses = steps(model, optimizers, digits)
        if failing:
            with pytest.raises(zoo.PluginError):
                zoo.modify(model, "act(silu)+breaks_off", optimizer=optimizers, registry=own())
        runs.append(losses + steps(model, optimizers, digits))
    assert runs[0] == runs[1]


def test_the_picture_sees() -> None:
    """The comparison above can fail."""
    model = zoo.create(SPEC)
    optimizer = groups(model)[0]
    for change in (
        lambda: optimizer.param_groups[0].update(lr=3),
        lambda: optimizer.param_groups.reverse(),
        lambda: optimizer.param_groups[0].update(params=list(optimizer.param_groups[0]["params"])),
        lambda: optimizer.state.update({model.head.weight: {"momentum_buffer": torch.ones(1)}}),
        lambda: model.head.bias.data.add_(1),
    ):
        before = Picture(model, optimizer)
        change()
        with pytest.raises(AssertionError):
            before.assert_same(Picture(model, optimizer))
