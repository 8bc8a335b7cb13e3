"""Optimizers that follow an edit: removed parameters leave, new ones join their neighbours' group, the rest stays."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import compress
from typing import Any

from torch import nn
from torch.optim import Optimizer

from ..messages.errors import OptionError

Group = dict[str, Any]
Names = Mapping[str, nn.Parameter]


def as_list(optimizer: Optimizer | Sequence[Optimizer] | None) -> list[Optimizer]:
    """None, one or several, as a list."""
    several = [] if optimizer is None else [optimizer] if isinstance(optimizer, Optimizer) else optimizer
    if not isinstance(several, (list, tuple)) or not all(isinstance(one, Optimizer) for one in several):
        raise OptionError(f"optimizer={optimizer!r}; expected a torch.optim.Optimizer, or a list of them")
    return list(several)


class OptimizerSnapshot:
    """An optimizer at one moment, to go back to."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.groups = [
            (group, dict(group), {key: list(v) for key, v in group.items() if isinstance(v, list)})
            for group in optimizer.param_groups
        ]
        self.state = [(p, s, dict(s) if isinstance(s, dict) else None) for p, s in optimizer.state.items()]

    def restore(self) -> None:
        self.optimizer.param_groups[:] = [group for group, _, _ in self.groups]
        for group, content, lists in self.groups:
            group.clear()
            group.update(content)
            for key, content_of in lists.items():
                group[key][:] = content_of
        self.optimizer.state.clear()
        for parameter, state, content_of_it in self.state:
            self.optimizer.state[parameter] = state  # the same dict, since others may hold it
            if content_of_it is not None:
                state.clear()
                state.update(content_of_it)


def follow(
    optimizers: list[Optimizer],
    old: Names,
    new: Names,
    group: int | Mapping[str, Any] | None = None,
    thawing: Collection[int] = (),
) -> None:
    """Make optimizers of a model's parameters `old` those of the parameters `new`.

    A new parameter joins the group of the one whose place it took, else of the nearest by name; or the group that the
    caller names: its index in the first optimizer, or the options of a new group. Frozen ones stay out; one of
    `thawing`, which were frozen, joins when it isn't any more. One that is frozen now stays with its state, since an
    optimizer passes over what has no gradient. The state of all others is untouched. Raises OptionError for an
    optimizer that holds nothing of the model.
    """
    homes = {id(p): group for o in optimizers for group in o.param_groups for p in group["params"]}
    _check(optimizers, old)
    staying = {id(p) for p in new.values()}
    gone = {id(p) for p in old.values()} - staying
    held = {id(p) for p in old.values()} - (set(thawing) - homes.keys())
    fresh = {id(p): (name, p) for name, p in reversed(list(new.items())) if id(p) not in held and p.requires_grad}
    chosen = _chosen(optimizers[0], group) if fresh and group is not None else None
    for name, parameter in reversed(list(fresh.values())):
        home = chosen or _nearest(name, old, homes)
        home["params"].append(parameter)
        if "param_names" in home:
            home["param_names"].append(name)
    for optimizer in optimizers:
        for one in optimizer.param_groups:
            kept = [id(p) not in gone for p in one["params"]]
            for key in ("params", "param_names"):
                if key in one:
                    one[key][:] = compress(one[key], kept)
        for stale in [p for p in optimizer.state if id(p) in gone]:
            del optimizer.state[stale]


def _check(optimizers: list[Optimizer], old: Names) -> None:
    held = {id(p) for p in old.values()}
    for optimizer in optimizers:
        kind = type(optimizer).__name__
        if hasattr(optimizer, "_params"):
            raise OptionError(f"{kind} keeps one flat state for all its parameters and can't follow; make a new one")
        if not any(id(p) in held for group in optimizer.param_groups for p in group["params"]):
            raise OptionError(f"this {kind} holds no parameter of the model; give the one that trains it")


def _chosen(optimizer: Optimizer, group: int | Mapping[str, Any]) -> Group:
    """The group that the caller named, or a new one with these options."""
    if isinstance(group, bool) or not isinstance(group, (int, Mapping)):
        raise OptionError(f"group={group!r}; expected the index of a group, or the options of a new one as a dict")
    if isinstance(group, int):
        if not -len(optimizer.param_groups) <= group < len(optimizer.param_groups):
            raise OptionError(f"group={group}, but the optimizer has {len(optimizer.param_groups)} parameter groups")
        return optimizer.param_groups[group]
    unknown = [key for key in group if key not in optimizer.defaults]
    if unknown:
        raise OptionError(f"group: {type(optimizer).__name__} has no option '{unknown[0]}'")
    first = optimizer.param_groups[0]
    # What is no option of the optimizer's is what schedulers keep in each group, and miss in one without.
    kept = {key: value for key, value in first.items() if key not in ("params", "param_names")}
    made = {**kept, **optimizer.defaults, **group, "params": []}
    if "initial_lr" in first:
        made["initial_lr"] = made["lr"]
    if "param_names" in first:
        made["param_names"] = []
    optimizer.param_groups.append(made)
    return made


def _nearest(name: str, old: Names, homes: Mapping[int, Group]) -> Group:
    """The group of the parameter of this name, else of the one whose path agrees longest from the front."""
    parts = name.split(".")
    best, most = next(iter(homes.values())), -1
    for other, parameter in old.items():
        if id(parameter) not in homes:
            continue
        agreeing = 0
        for a, b in zip(parts, other.split("."), strict=False):
            if a != b:
                break
            agreeing += 1
        kind = parts[-1] == other.split(".")[-1]  # a bias goes with a bias where both are near
        score = 2 * agreeing + kind if other != name else 10_000
        if score >= most:
            best, most = homes[id(parameter)], score
    return best
