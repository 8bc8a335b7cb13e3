"""The state of a training, in a file and out of it: optimizers by parameter name, schedulers, random numbers.

By name, so that it still fits a model that was modified since, and an optimizer whose groups are in another order.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..files.manifest import RESERVED
from ..messages.errors import CheckpointError, OptionError, ZooError
from ..messages.text import escape
from ..transaction.optimizers import OptimizerSnapshot, as_list
from .packing import pack, unpack

CPU_RNG = f"{RESERVED}rng:cpu"


def list_schedulers(scheduler: Any) -> list[Any]:
    """None, one or several, as a list."""
    several = [] if scheduler is None else list(scheduler) if isinstance(scheduler, (list, tuple)) else [scheduler]
    for one in several:
        if not callable(getattr(one, "state_dict", None)) or not callable(getattr(one, "load_state_dict", None)):
            raise OptionError(f"scheduler={one!r}; expected one of torch.optim.lr_scheduler, or a list of them")
    return several


Keep = Callable[[Tensor], str]


def training_state(
    model: nn.Module, optimizer: Optimizer | Sequence[Optimizer] | None, scheduler: Any
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a manifest says of a training, and the tensors that go with it."""
    tensors: dict[str, Tensor] = {}
    names = _names(model)

    def keeper(prefix: str) -> Keep:
        def keep(tensor: Tensor) -> str:
            name = f"{RESERVED}{prefix}"
            while name in tensors:
                name += "'"
            tensors[name] = tensor
            return name

        return keep

    state: dict[str, Any] = {"optimizers": [], "schedulers": []}
    for number, one in enumerate(as_list(optimizer)):
        _check_parameters(one, names)
        state["optimizers"].append(_pack_optimizer(one, names, f"optimizer.{number}", keeper))
    for number, one in enumerate(list_schedulers(scheduler)):
        packed = pack(one.state_dict(), keeper(f"scheduler.{number}"), f"the state of {type(one).__name__}")
        state["schedulers"].append({"class": type(one).__name__, "state": packed})
    tensors[CPU_RNG] = torch.get_rng_state()
    if _uses_cuda():
        tensors |= {f"{RESERVED}rng:cuda:{i}": t for i, t in enumerate(torch.cuda.get_rng_state_all())}
    return state, tensors


def _pack_optimizer(
    optimizer: Optimizer, names: Mapping[int, str], prefix: str, keeper: Callable[[str], Keep]
) -> dict[str, Any]:
    """The state of one optimizer by parameter name, as JSON.

    Out of what the optimizer itself gives out, since some put more into it than torch's base does. In lists of pairs,
    since the manifest's JSON is sorted, and what is resumed is to be equal down to the order.
    """
    what, given = f"the state of {type(optimizer).__name__}", optimizer.state_dict()
    order = [names[id(p)] for group in optimizer.param_groups for p in group["params"]]
    indices = [i for group in given["param_groups"] for i in group["params"]]
    name_of = dict(zip(indices, order, strict=True))
    held = {
        name_of[i]: [
            [key, pack(value, keeper(f"{prefix}:{key}:{name_of[i]}"), f"{what} for '{name_of[i]}'")]
            for key, value in values.items()
        ]
        for i, values in given["state"].items()
    }
    groups = [
        {
            "names": [name_of[i] for i in group["params"]],
            "options": [
                [key, pack(value, keeper(f"{prefix}.group.{at}:{key}"), what)]
                for key, value in group.items()
                if key not in ("params", "param_names")
            ],
        }
        for at, group in enumerate(given["param_groups"])
    ]
    return {"class": type(optimizer).__name__, "state": held, "groups": groups}


def _names(model: nn.Module) -> dict[int, str]:
    """The first name of each parameter, by its identity."""
    return {id(p): name for name, p in model.named_parameters()}


def _check_parameters(optimizer: Optimizer, names: Mapping[int, str]) -> None:
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if id(parameter) not in names:
                raise OptionError(
                    f"this {type(optimizer).__name__} holds a parameter of shape {list(parameter.shape)} that isn't "
                    "the model's; give the optimizer that trains it"
                )


class Resumption:
    """A training state out of a file, checked against optimizers and schedulers, to be put into them afterwards.

    Everything is read and compared when it's made.
    """

    def __init__(
        self,
        state: Mapping[str, Any] | None,
        value: Callable[[str], Tensor],
        model: nn.Module,
        optimizer: Optimizer | Sequence[Optimizer] | None,
        scheduler: Any,
    ) -> None:
        self.optimizers = as_list(optimizer)
        self.schedulers = list_schedulers(scheduler)
        if state is None:
            raise CheckpointError("the file holds no training state; save(..., optimizer=, scheduler=) puts it there")

        def find(name: str) -> Tensor:
            # A copy: what an optimizer writes into every step is better in memory of its own.
            return value(name).clone()

        try:
            saved = (state["optimizers"], state["schedulers"])
            _check_kinds("optimizer", self.optimizers, saved[0])
            _check_kinds("scheduler", self.schedulers, saved[1])
            self.states = [
                _unpack_optimizer(o, s, _names(model), find) for o, s in zip(self.optimizers, saved[0], strict=False)
            ]
            self.scheduler_states = [unpack(s["state"], find) for s in saved[1][: len(self.schedulers)]]
        except ZooError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"the training state isn't one that the zoo wrote: {error!r}") from None
        self.rng = find(CPU_RNG)
        self.cuda_rng: dict[int, Tensor] = {}
        for card in range(torch.cuda.device_count() if _uses_cuda() else 0):
            with suppress(KeyError):  # saved where there were fewer
                self.cuda_rng[card] = find(f"{RESERVED}rng:cuda:{card}")

    @contextmanager
    def apply(self) -> Iterator[None]:
        """Put it all where it belongs, and the random numbers where they were; take it back if the body raises."""
        before = [OptimizerSnapshot(one) for one in self.optimizers]
        schedules = [copy.deepcopy(one.state_dict()) for one in self.schedulers]
        try:
            for optimizer, state in zip(self.optimizers, self.states, strict=True):
                optimizer.load_state_dict(state)
            for scheduler, state in zip(self.schedulers, self.scheduler_states, strict=True):
                scheduler.load_state_dict(state)
            yield
        except BaseException:
            for saved in before:
                saved.restore()
            for scheduler, state in zip(self.schedulers, schedules, strict=True):
                scheduler.load_state_dict(state)
            raise
        torch.set_rng_state(self.rng)
        for card, numbers in self.cuda_rng.items():
            torch.cuda.set_rng_state(numbers, card)


def _uses_cuda() -> bool:
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]


def _check_kinds(what: str, given: list[Any], saved: list[Mapping[str, Any]]) -> None:
    wants, has = [type(one).__name__ for one in given], [str(one["class"]) for one in saved]
    if given and wants != has:
        holds = ", ".join(escape(name) for name in has) or f"no {what}"
        raise CheckpointError(f"{what}={', '.join(wants)}, and the file holds {holds}")


def _unpack_optimizer(
    optimizer: Optimizer, saved: Mapping[str, Any], names: Mapping[int, str], find: Callable[[str], Tensor]
) -> dict[str, Any]:
    """A state dict for this optimizer: what was saved, found by name. New parameters start without state."""
    _check_parameters(optimizer, names)
    made: dict[str, Any] = {"state": {}, "param_groups": []}
    home = {name: group["options"] for group in saved["groups"] for name in group["names"]}
    now = optimizer.state_dict()["param_groups"]
    for group, shown in zip(optimizer.param_groups, now, strict=True):
        own = [names[id(p)] for p in group["params"]]
        options: list[Any] = []
        for name in own:
            if name in home and home[name] not in options:
                options.append(home[name])
        if len(options) > 1:
            differ = next(key for key, value in options[0] if value != dict(options[1]).get(key))
            raise CheckpointError(
                f"parameters of one group were in groups of different {escape(differ)} when they were saved; "
                "make the optimizer with the same groups"
            )
        found = {key: unpack(value, find) for key, value in options[0]} if options else {}
        made["param_groups"].append({**shown, **found})
        for index, name, parameter in zip(shown["params"], own, group["params"], strict=True):
            if name in saved["state"]:
                values = {key: unpack(value, find) for key, value in saved["state"][name]}
                _check_shapes(name, parameter, values)
                made["state"][index] = values
    return made


def _check_shapes(name: str, parameter: Tensor, values: Mapping[str, Any]) -> None:
    """A running average of a gradient has its parameter's shape; Adafactor's have not, and scalars neither."""
    for key in ("exp_avg", "exp_avg_sq", "momentum_buffer", "square_avg", "sum", "acc_delta"):
        value = values.get(key)
        if isinstance(value, Tensor) and value.ndim and value.shape != parameter.shape:
            raise CheckpointError(
                f"'{name}' has the shape {list(parameter.shape)}, and its {key} in the file {list(value.shape)}"
            )
