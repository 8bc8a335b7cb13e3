"""`zoo.changes`: what was done to a model, and what that costs in a forward."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from ..factory.builder import plan_again
from ..factory.rehearsal import blueprint_of
from ..factory.workshop import Workshop
from ..messages.errors import OptionError, ZooError
from ..plan.resolve import Plan
from ..registry.registry import Registry, default_registry
from ..surgery.changes import Change, Changes
from ..surgery.provenance import Info, changes_of, info_of
from ..surgery.wrappers import unwrap
from ..trace.blueprint import Blueprint, device_of
from ..trace.flops import count_flops, own_flops
from ..transaction.apply import apply_steps
from ..transaction.transaction import trial

if TYPE_CHECKING:
    from torch import nn


def changes(model: nn.Module, *, registry: Registry | None = None) -> Changes:
    """What each modifier did to a model: path, what, before, after, parameters and FLOPs added, live or not.

    Args:
        model: A live model, in wrappers too.
        registry: What is installed; by default everything that was found.

    Returns:
        The changes in order; false when nothing was done; printed, a tree. FLOPs are those of one sample input of the
        arch, two for a multiply and add, found by applying the spec once more on the meta device, where layers with
        weights came or went. They are None for a model whose arch the zoo doesn't know or can't run.

    Raises:
        OptionError: What isn't a live model.

    Example:
        >>> print(zoo.changes(zoo.create("simple+dropout(0.2)")))
        dropout(p=0.2)
          layers3.0: inserted before Dropout(p=0.2, inplace=False)
    """
    if not isinstance(unwrap(model), torch.nn.Module):
        raise OptionError(f"changes takes a live model, not {model!r}; zoo.create makes one from a spec")
    found, info = changes_of(model), info_of(model)
    if info is None or not any(change.added or change.removed for change in found):
        return Changes(replace(change, flops=0) for change in found)
    if not info.is_buildable:
        return found
    try:
        counted = _count_changes(info, registry or default_registry())
    except ZooError:  # a plugin is gone, or does other things by now
        return found
    if [_key(change) for change in counted] != [_key(change) for change in found]:
        return found
    return Changes(replace(change, flops=twin.flops) for change, twin in zip(found, counted, strict=True))


def _key(change: Change) -> tuple[str, str, str]:
    return change.part, change.path, change.what


def _count_changes(info: Info, registry: Registry) -> tuple[Change, ...]:
    """The changes that a spec makes, each with its FLOPs: from the blueprint's memory if they were asked for before."""
    spec, plan = info.spec, plan_again(info, registry)
    with registry.keep(Workshop).lock:
        blueprint = blueprint_of(plan, registry)
        if str(spec) not in blueprint.counted:
            with torch.random.fork_rng(devices=[]), device_of(blueprint.model):
                blueprint.counted[str(spec)] = tuple(_replay(plan, blueprint))
        return blueprint.counted[str(spec)]


def _replay(plan: Plan, blueprint: Blueprint) -> list[Change]:
    """Apply the steps to the blueprint one by one, and count before and after each that brings or takes weights."""
    sample = plan.arch.sample if blueprint.trace else None
    before = _count(blueprint.model, sample)
    found: list[Change] = []
    waiting: list[Change] = []
    with trial(blueprint.model) as transaction:
        for step in plan.steps:
            model = apply_steps(transaction, [step], plan.spec, blueprint.trace)
            waiting += changes_of(model)[len(found) + len(waiting) :]
            weights = any(change.added or change.removed for change in waiting)
            after = _count(model, sample) if weights else before
            if before and after:  # else between two steps nothing fits, and both are counted together
                found += [replace(one, flops=_subtract(one, before, after)) for one in waiting]
                before, waiting = after, []
    return found + waiting


# The FLOPs at each path with what is inside, and what each module computes itself.
_Count = tuple[Mapping[str, int], Mapping[str, int]]


def _count(model: nn.Module, sample: Any) -> _Count | None:
    total = count_flops(model, sample)
    return (total, own_flops(model, total)) if total else None


def _subtract(change: Change, before: _Count, after: _Count) -> int:
    """A module that stayed answers for itself; what came, went or was inserted, for all that is in it."""
    own = not change.kind.is_structural
    return after[own].get(change.path, 0) - before[own].get(change.path, 0)
