"""A training that is resumed from a file goes on bit for bit like one that never stopped."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adafactor, Adagrad, Adam, AdamW, RMSprop
from torch.optim import lr_scheduler as schedules

import zoo
from tests.digits import digits
from zoo.checkpoint.packing import pack, unpack

SPEC = "mlp(in_features=64, hidden=[16], num_classes=10)+dropout(0.2)"
FIRST, LATER = 7, 6


@pytest.fixture(scope="module", name="digits")
def flat_digits() -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = digits(320)
    return images.flatten(1), labels


def train(model: nn.Module, optimizer: Any, scheduler: Any, digits: Any, steps: range) -> None:
    """Some steps with dropout, whose random numbers count too. The data come by number."""
    images, labels = digits
    for step in steps:
        rows = slice(32 * (step % 10), 32 * (step % 10) + 32)
        loss = nn.functional.cross_entropy(model(images[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if isinstance(scheduler, schedules.ReduceLROnPlateau):
            scheduler.step(float(loss.detach()))
        elif scheduler is not None:
            scheduler.step()


Make = Callable[[Any], Any]
OPTIMIZERS: dict[str, Make] = {
    "SGD": lambda p: SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "plain SGD": lambda p: SGD(p, lr=0.1),
    "AdamW": lambda p: AdamW(p, lr=1e-2),
    "amsgrad": lambda p: Adam(p, lr=1e-2, amsgrad=True),
    "RMSprop": lambda p: RMSprop(p, lr=1e-3, centered=True),
    "Adagrad": lambda p: Adagrad(p, lr=1e-2),
    "Adafactor": lambda p: Adafactor(p, lr=1e-2),
}
SCHEDULES: dict[str, Make] = {
    "none": lambda o: None,
    "StepLR": lambda o: schedules.StepLR(o, 3),
    "MultiStepLR": lambda o: schedules.MultiStepLR(o, [2, 5, 9]),
    "Cosine": lambda o: schedules.CosineAnnealingLR(o, FIRST + LATER),
    "OneCycle": lambda o: schedules.OneCycleLR(o, 0.1, total_steps=FIRST + LATER + 1, cycle_momentum=False),
    "Plateau": lambda o: schedules.ReduceLROnPlateau(o, patience=1),
    "Sequential": lambda o: schedules.SequentialLR(
        o, [schedules.LinearLR(o, total_iters=4), schedules.ExponentialLR(o, 0.9)], milestones=[5]
    ),
}
RUNS = [(o, "Cosine") for o in OPTIMIZERS] + [("SGD", s) for s in SCHEDULES]


@pytest.mark.filterwarnings("ignore:The epoch parameter")  # some SequentialLR do what they warn of
@pytest.mark.parametrize(("optimizer", "schedule"), RUNS)
def test_resumed_is_like_never_stopped(optimizer: str, schedule: str, digits: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model = zoo.create(SPEC)
    optim = OPTIMIZERS[optimizer](model.parameters())
    scheduler = SCHEDULES[schedule](optim)
    train(model, optim, scheduler, digits, range(FIRST))
    zoo.save(model, path, optimizer=optim, scheduler=scheduler, step=FIRST)
    train(model, optim, scheduler, digits, range(FIRST, FIRST + LATER))

    torch.manual_seed(99)
    again = zoo.load(path)
    other = OPTIMIZERS[optimizer](again.parameters())
    schedule_again = SCHEDULES[schedule](other)
    zoo.load(path, into=again, optimizer=other, scheduler=schedule_again)
    step = zoo.read_manifest(path).step
    assert step == FIRST
    train(again, other, schedule_again, digits, range(step, FIRST + LATER))

    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    assert str(optim.state_dict()) == str(other.state_dict()), "types too"
    if scheduler is not None:
        assert str(scheduler.state_dict()) == str(schedule_again.state_dict())


def trained(digits: Any, spec: str = SPEC) -> tuple[nn.Module, Any]:
    model = zoo.create(spec)
    optimizer = AdamW(model.parameters(), lr=1e-2)
    train(model, optimizer, None, digits, range(3))
    return model, optimizer


def moments(model: nn.Module, optimizer: Any) -> dict[str, torch.Tensor]:
    return {n: optimizer.state[p]["exp_avg"] for n, p in model.named_parameters() if p in optimizer.state}


def test_state_goes_by_name_whatever_the_groups(digits: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model, optimizer = trained(digits)
    zoo.save(model, path, optimizer=optimizer)
    other = zoo.load(path)
    backwards = list(other.parameters())[::-1]
    groups = AdamW([{"params": backwards[:2]}, {"params": backwards[2:]}], lr=0.5)
    zoo.load(path, into=other, optimizer=groups)
    wanted, found = moments(model, optimizer), moments(other, groups)
    assert wanted.keys() == found.keys()
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)
    assert [group["lr"] for group in groups.param_groups] == [1e-2, 1e-2]


def test_state_survives_a_modify(digits: Any, tmp_path: Path) -> None:
    """Saved before or after: what stayed keeps its state, what came new has none."""
    path = tmp_path / "model.safetensors"
    model, optimizer = trained(digits)
    wanted = {name: value.clone() for name, value in moments(model, optimizer).items()}
    zoo.save(model, path, optimizer=optimizer)
    later = zoo.modify(zoo.load(path), "prepend(layers.2, Linear(16, 16))")
    fresh = AdamW(later.parameters(), lr=0.1)
    with pytest.warns(UserWarning, match="2 missing from the source"):
        zoo.load(path, into=later, optimizer=fresh, strict=False)
    found = moments(later, fresh)
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)

    model = zoo.modify(model, "prepend(layers.2, Linear(16, 16))", optimizer=optimizer)
    zoo.save(model, path, optimizer=optimizer)
    again = zoo.load(path)
    resumed = AdamW(again.parameters())
    zoo.load(path, into=again, optimizer=resumed)
    assert moments(again, resumed).keys() == wanted.keys()
    train(again, resumed, None, digits, range(2))
    assert len(moments(again, resumed)) == len(wanted) + 2


def test_several_optimizers(digits: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model = zoo.create(SPEC)
    first, *rest = model.parameters()
    both = [SGD([first], lr=0.1, momentum=0.9), AdamW(rest, lr=1e-2)]
    for optimizer in both:
        train(model, optimizer, None, digits, range(2))
    zoo.save(model, path, optimizer=both)
    again = zoo.load(path)
    first, *rest = again.parameters()
    others = [SGD([first], lr=0.5), AdamW(rest)]
    zoo.load(path, into=again, optimizer=others)
    assert [str(o.state_dict()) for o in others] == [str(o.state_dict()) for o in both]


def test_weights_alone_out_of_a_file_with_training_state(digits: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model, optimizer = trained(digits)
    zoo.save(model, path, optimizer=optimizer)
    assert zoo.load(path).state_dict().keys() == model.state_dict().keys()
    made = zoo.create(SPEC, weights=path)
    assert torch.equal(made.layers[0].weight, model.layers[0].weight)
    assert not zoo.verify(path)


def other_groups(model: nn.Module) -> Any:
    return AdamW([{"params": [p]} for p in model.parameters()], lr=0.1)


@pytest.mark.parametrize(
    ("save", "load", "error", "text"),
    [
        ({}, {"optimizer": AdamW}, zoo.CheckpointError, "the file holds no training state; save(..., optimizer=, "),
        ({"optimizer": AdamW}, {"optimizer": SGD}, zoo.CheckpointError, "optimizer=SGD, and the file holds AdamW"),
        (
            {"optimizer": AdamW},
            {"scheduler": lambda p: schedules.StepLR(SGD(p), 3)},
            zoo.CheckpointError,
            "scheduler=StepLR, and the file holds no scheduler",
        ),
        (
            {"optimizer": AdamW},
            {"scheduler": lambda p: 3},
            zoo.OptionError,
            "scheduler=3; expected one of torch.optim.",
        ),
        (
            {"optimizer": AdamW},
            {"optimizer": lambda p: AdamW(nn.Linear(2, 2).parameters())},
            zoo.OptionError,
            "this AdamW holds a parameter of shape [2, 2] that isn't the model's; give the optimizer that trains it",
        ),
        (
            {"optimizer": lambda p: AdamW([{"params": [x], "lr": 0.1 * (i + 1)} for i, x in enumerate(p)])},
            {"optimizer": AdamW},
            zoo.CheckpointError,
            "parameters of one group were in groups of different lr when they were saved; make the optimizer with the",
        ),
    ],
)
def test_what_does_not_go_together(
    save: dict[str, Make], load: dict[str, Make], error: type, text: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.safetensors"
    model = zoo.create(SPEC)
    zoo.save(model, path, **{key: make(model.parameters()) for key, make in save.items()})
    before = [p.clone() for p in model.parameters()]
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1)
    options = {key: make(model.parameters()) for key, make in load.items()}
    state = torch.get_rng_state()
    with pytest.raises(error) as raised:
        zoo.load(path, into=model, **options)
    assert str(raised.value).startswith(text)
    assert all(torch.equal(p, old + 1) for p, old in zip(model.parameters(), before, strict=True))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_failed_load_leaves_optimizer_and_schedule_alone(digits: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model, optimizer = trained(digits)
    zoo.save(model, path, optimizer=optimizer)
    other = zoo.modify(zoo.load(path), "prepend(layers.2, Linear(16, 16))")
    fresh = AdamW(other.parameters(), lr=0.1)
    shown = str(fresh.state_dict())
    with pytest.raises(zoo.CheckpointError, match="2 missing from the source"):
        zoo.load(path, into=other, optimizer=fresh)
    assert str(fresh.state_dict()) == shown


def test_what_only_a_pickle_could_hold_is_refused(tmp_path: Path) -> None:
    model = zoo.create("simple")
    optimizer = SGD(model.parameters(), lr=0.1)
    optimizer.param_groups[0]["tag"] = object
    with pytest.raises(zoo.CheckpointError) as raised:
        zoo.save(model, tmp_path / "a.safetensors", optimizer=optimizer)
    assert str(raised.value) == (
        "the state of SGD holds <class 'object'> (type), which no file can say without a pickle; a file holds numbers, "
        "texts, tensors, lists, tuples and dicts"
    )


def test_an_optimizer_that_keeps_a_dtype(tmp_path: Path, digits: Any) -> None:
    from timm.optim import create_optimizer_v2

    model = zoo.create("mlp(64, hidden=[8])")
    optimizer = create_optimizer_v2(model, "adafactorbv", lr=1e-2)
    train(model, optimizer, None, digits, range(2))
    zoo.save(model, tmp_path / "m.safetensors", optimizer=optimizer)
    other = zoo.create("mlp(64, hidden=[8])")
    second = create_optimizer_v2(other, "adafactorbv", lr=1e-2)
    zoo.load(tmp_path / "m.safetensors", into=other, optimizer=second)
    assert str(second.state_dict()) == str(optimizer.state_dict())


def test_every_value_comes_back_as_what_it_was() -> None:
    kept: dict[str, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> str:
        kept[f"t{len(kept)}"] = tensor
        return f"t{len(kept) - 1}"

    value = {
        "a": (1, 2.5, True, None, "x", torch.bfloat16),
        3: [float("inf"), -0.0, {"tuple": ["no tuple"]}],
        "t": torch.ones(2),
    }
    packed = json.loads(json.dumps(pack(value, keep, ""), allow_nan=False))
    assert repr(unpack(packed, kept.__getitem__)) == repr(value)
    assert unpack(pack(float("nan"), keep, ""), kept.__getitem__) != 0


@pytest.mark.parametrize(
    "hostile",
    [
        {"eval": "1"},
        {"tuple": 3},
        {"dict": [1]},
        {"dict": [[[1], 2]]},
        {"float": "1e3"},
        {"dtype": "torch.nn"},
        {"dtype": ["a"]},
        {},
        {"tensor": 1, "x": 2},
    ],
)
def test_packed_values_that_mean_nothing(hostile: Any) -> None:
    with pytest.raises(zoo.CheckpointError) as raised:
        unpack(hostile, {}.__getitem__)
    assert str(raised.value) == f"the training state holds {str(hostile)!r}, which means nothing here"


def test_packed_values_that_are_nested_too_deeply() -> None:
    deep: Any = 1
    for _ in range(100):
        deep = [deep]
    with pytest.raises(zoo.CheckpointError) as raised:
        unpack(deep, {}.__getitem__)
    assert str(raised.value) == "the training state is nested too deeply"


@pytest.mark.parametrize(
    "state", [{}, {"optimizers": 3, "schedulers": []}, {"optimizers": [{"class": "AdamW"}], "schedulers": []}]
)
def test_a_training_state_that_is_none(state: dict[str, Any], tmp_path: Path, digits: Any) -> None:
    from dataclasses import replace

    from safetensors.torch import load_file, save_file

    path = tmp_path / "model.safetensors"
    model, optimizer = trained(digits)
    zoo.save(model, path, optimizer=optimizer)
    manifest = replace(zoo.read_manifest(path), state=state)
    save_file(load_file(path), path, {"zoo": manifest.dump()})
    with pytest.raises(zoo.CheckpointError, match="the training state isn't one that the zoo wrote"):
        zoo.load(path, into=model, optimizer=optimizer)


def test_an_average_of_another_shape_than_its_parameter_is_told(tmp_path: Path) -> None:
    model = zoo.create("simple")
    optimizer = AdamW(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.state[model.layers1[0].weight]["exp_avg"] = torch.zeros(7)
    zoo.save(model, tmp_path / "a.safetensors", optimizer=optimizer)
    again = zoo.create("simple")
    with pytest.raises(
        zoo.CheckpointError, match=r"'layers1\.0\.weight' has the shape \[100, 100\], and its exp_avg in the file \[7\]"
    ):
        zoo.load(tmp_path / "a.safetensors", into=again, optimizer=AdamW(again.parameters()))
