"""The rehearsal: everything that a chain of modifiers would meet, met on the arch's blueprint before it's built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ..messages.errors import PluginError, ShapeError, ZooError
from ..plan.resolve import Plan, plan_of
from ..registry.registry import Registry, default_registry
from ..spec.spec import Spec, parse
from ..surgery.changes import Change, Changes
from ..surgery.provenance import Info, changes_of
from ..trace.blueprint import Blueprint, device_of, draw, explain_arch_errors
from ..trace.shape_errors import run_through
from ..trace.skeleton import make_skeleton
from ..trace.trace import Trace
from ..transaction.apply import apply_steps
from ..transaction.snapshot import Snapshot
from ..transaction.transaction import Transaction, trial
from .builder import plan_again
from .workshop import Workshop


def preview(spec: str | Spec, *, registry: Registry | None = None) -> Changes:
    """What the modifiers of a spec would do, found out on the arch's blueprint; raises what `create` would raise."""
    registry = registry or default_registry()
    plan = plan_of(parse(spec), registry)
    with registry.keep(Workshop).lock:
        blueprint = blueprint_of(plan, registry)
        return _try_out(plan, blueprint)


def blueprint_of(plan: Plan, registry: Registry) -> Blueprint:
    """The bare arch on meta, with its trace; drawn once for each canonical spec of a registry."""
    # What a spec can't say, it can't be remembered by, and what a prefix points at may change.
    memo = {} if plan.obstacle or plan.spec.arch.source is not None else registry.keep(Workshop).blueprints
    with explain_arch_errors(plan):
        return draw(plan.arch, plan.spec.base, plan.options, memo)


def rehearse(plan: Plan, registry: Registry) -> Trace | None:
    """Try the chain out before anything is built, once for each canonical spec."""
    blueprint = blueprint_of(plan, registry)
    if str(plan.spec) not in blueprint.checked:
        try:
            _try_out(plan, blueprint)
        except PluginError as error:
            # A modifier that computes with weights can't on meta; whether it works shows on the real model.
            if error.__cause__ is None:
                raise
        blueprint.checked.add(str(plan.spec))
    return blueprint.trace


def _try_out(plan: Plan, blueprint: Blueprint) -> Changes:
    """Apply the chain to the blueprint and take it back."""
    with torch.random.fork_rng(devices=[]), device_of(blueprint.model), trial(blueprint.model) as transaction:
        model = apply_steps(transaction, plan.steps, plan.spec, blueprint.trace)
        done = changes_of(model)
        # Numbers and activations always fit; layers with weights may not.
        if blueprint.trace and any(change.added or change.removed for change in done):
            run_through(model, blueprint.arguments_for(model, done), str(plan.spec))
        return done


def find_blueprint(info: Info, registry: Registry) -> Blueprint | None:
    """The blueprint of a live model's arch, if it can be had."""
    if not info.is_buildable:
        return None
    try:
        return blueprint_of(plan_again(info, registry, info.spec.base), registry)
    except ZooError:  # its plugin is gone: the model still is a model
        return None


def check_sizes(transaction: Transaction, blueprint: Blueprint | None, done: Sequence[Change]) -> None:
    """Raise ShapeError if what was added doesn't fit, where the arch has a sample input to find that out.

    done: what the modifiers of the transaction did.
    """
    if blueprint and blueprint.trace and any(change.added or change.removed for change in done):
        parts = dict.fromkeys(change.part for change in done)
        arguments = blueprint.arguments_for(transaction.now.root, done)
        if error := misfit(transaction, arguments, "+".join(parts), len(parts) > 1):
            raise error


_TOGETHER = "; edits that only fit together go into one call, joined by '+'"


def misfit(transaction: Transaction, arguments: tuple[Any, ...], what: str, several: bool = False) -> ShapeError | None:
    """Why a forward of an edited live model fails, if one of the model before the edit doesn't.

    what: the edit, as text; several: whether it's more than one, joined by '+'.
    The model is as it is at the end. A copy without memory runs, so that neither buffers nor users' hooks notice.
    """
    try:
        run_through(_without_memory(transaction.now.root), arguments, what)
    except ShapeError as error:
        end = Snapshot(transaction.now.root)
        try:
            run_through(_without_memory(transaction.start.restore()), arguments, what)
        except Exception:
            return None  # nothing is known of a model that its arch's sample doesn't fit
        else:
            return ShapeError(f"{error}{'' if several else _TOGETHER}")
        finally:
            end.restore()
    except Exception:
        return None  # one that can't be copied
    return None


def _without_memory(model: nn.Module) -> nn.Module:
    """In float32, as the arch's sample is."""
    return make_skeleton(model, meta=True).float()
