"""Checks of a variant at work: outputs, gradients, devices and dtypes, seeds, compile and export."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ...factory.factory import create
from ...messages.text import list_names
from ...surgery.walk import tensors_by_name
from ..results import Skip
from ..subjects import Trial
from ..tools import brief, digests, finite, gradients, move, run, same


def device(trial: Trial) -> str | None:
    """On meta and in bfloat16 all of a variant follows, what is new too, and it runs where the base does."""
    variant, ground = trial.variant, trial.ground
    half = trial.apply(ground.fresh().bfloat16())
    wrong = [n for n, t in tensors_by_name(half).items() if t.is_floating_point() and t.dtype != torch.bfloat16]
    known = {n for n, t in tensors_by_name(ground.fresh().bfloat16()).items() if t.dtype != torch.bfloat16}
    wrong = [name for name in wrong if name not in known]
    assert not wrong, f"in a model of bfloat16 {list_names(wrong)} is of another dtype"
    base, own = (move(arguments, dtype=torch.bfloat16) for arguments in (ground.arguments, trial.arguments))
    dtypes = ground.once("run in bfloat16", lambda: _dtypes(ground.fresh().bfloat16(), base))
    got = _dtypes(half, own)
    assert set(got) <= set(dtypes), f"in bfloat16 it gives {list_names(map(str, got))}"
    ground.once("be built on meta", lambda: create(ground.arch, device="meta", registry=trial.registry))
    for made in (
        create(trial.spec, device="meta", registry=trial.registry),
        trial.apply(create(ground.arch, device="meta", registry=trial.registry)),
    ):
        real = [name for name, tensor in tensors_by_name(made).items() if not tensor.is_meta]
        assert not real, f"on meta {list_names(real)} isn't"
        shapes = [{n: (t.shape, t.dtype) for n, t in tensors_by_name(m).items()} for m in (made, variant)]
        assert shapes[0] == shapes[1], "on meta it has other parameters and buffers than on the CPU"
    base, own = (move(arguments, "meta") for arguments in (ground.arguments, trial.arguments))
    ground.once("run on meta", lambda: run(create(ground.arch, device="meta", registry=trial.registry).eval(), base))
    outputs = [out.shape for out in run(made.eval(), own, seed=None)]
    assert outputs == [out.shape for out in trial.runs()], "on meta it gives other shapes"
    return None


def _dtypes(model: nn.Module, arguments: tuple[Any, ...]) -> list[torch.dtype]:
    return [out.dtype for out in run(model, arguments)]


def no_nan(trial: Trial) -> None:
    """Outputs are finite in eval and in train mode, where the base's are."""
    ground = trial.ground
    for training, mode in ((False, "eval"), (True, "train")):
        if not finite(ground.runs(training)):
            raise Skip(f"the bare arch's own output in {mode} mode isn't finite")
        assert finite(trial.runs(training)), f"in {mode} mode the output isn't finite"


def deterministic(trial: Trial) -> None:
    """In eval mode two forwards give the same, whatever the seed."""
    variant, ground = trial.variant, trial.ground
    if not same(ground.runs(), run(ground.model, ground.arguments, seed=3)):
        raise Skip("the bare arch's own output differs from call to call")
    first = trial.runs()
    assert same(first, run(variant, trial.arguments)), "two forwards in eval mode differ"
    assert same(first, run(variant, trial.arguments, seed=3)), "in eval mode it draws random numbers"


def seed(trial: Trial) -> None:
    """Under one seed two variants have the same weights, created or modified."""
    trial.variant  # noqa: B018
    makers: tuple[tuple[str, Callable[[], nn.Module]], ...] = (
        ("zoo.create", lambda: create(trial.spec, registry=trial.registry)),
        ("zoo.modify", lambda: trial.apply(trial.ground.fresh())),
    )
    for how, make in makers:
        made = []
        for _ in range(2):
            torch.manual_seed(5)
            made.append(digests(make()))
        changed = [name for name in made[0] if made[0][name] != made[1].get(name)]
        assert not changed, f"under one seed {how} gives other values to {list_names(changed)}"


def gradient(trial: Trial) -> None:
    """In train mode each trainable parameter gets a finite gradient, new ones too, where the base's does."""
    variant, ground = trial.variant, trial.ground
    base = ground.once("train", lambda: gradients(ground.model, ground.arguments))
    if not any(value is not None for value in base.values()):
        raise Skip("no parameter of the bare arch gets a gradient")
    found = gradients(variant, trial.arguments)
    unreached = {name for name, value in base.items() if value is None}
    missing = [name for name, value in found.items() if value is None and name not in unreached]
    assert not missing, f"{list_names(missing)} gets no gradient"
    odd = [n for n, g in found.items() if g is not None and not finite([g]) and _was_finite(base.get(n))]
    assert not odd, f"the gradient of {list_names(odd)} isn't finite"


def _was_finite(gradient: Tensor | None) -> bool:
    return gradient is None or finite([gradient])


def run_compiled(model: nn.Module, arguments: tuple[Any, ...]) -> list[Tensor]:
    """What a copy gives as one graph of torch.compile; the eager backend, since a cold inductor takes a minute."""
    torch._dynamo.reset()
    try:
        return run(torch.compile(copy.deepcopy(model), fullgraph=True, backend="eager"), arguments)
    finally:
        torch._dynamo.reset()


def compiles(trial: Trial) -> None:
    """torch.compile(fullgraph=True) makes one graph of it that gives the same, where the base does."""
    _as_eager(trial, "be compiled to one graph", run_compiled)


def run_exported(model: nn.Module, arguments: tuple[Any, ...]) -> list[Tensor]:
    """What a copy gives as a program of torch.export."""
    return run(torch.export.export(copy.deepcopy(model), arguments, strict=False).module(), arguments)


def exports(trial: Trial) -> None:
    """torch.export makes a program of it that gives the same, where the base does."""
    _as_eager(trial, "be exported", run_exported)


def _as_eager(trial: Trial, what: str, attempt: Callable[[nn.Module, tuple[Any, ...]], list[Tensor]]) -> None:
    variant, ground = trial.variant, trial.ground
    ground.once(what, lambda: attempt(ground.model, ground.arguments))
    expected = trial.runs()
    try:
        found = attempt(variant, trial.arguments)
    except Exception as error:
        raise AssertionError(f"the bare arch can {what}, this can't: {brief(error)}") from error
    assert same(found, expected, loosely=True), f"what it gives differs after it could {what}"
