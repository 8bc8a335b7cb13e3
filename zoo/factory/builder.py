"""A model from a plan: the bare arch, what the zoo knows of it, then its modifiers: for create and load."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import torch

from ..messages.errors import PluginWarning, ZooError
from ..plan.families import rebuild_arch
from ..plan.options import call_bound
from ..plan.resolve import Plan, plan_of
from ..registry.declarations import Arch
from ..registry.plugins import reason_of
from ..registry.registry import Registry, default_registry
from ..spec.spec import Spec
from ..surgery.provenance import Info, info_of
from ..trace.blueprint import device_of, explain_arch_errors, introduce
from ..trace.trace import Trace
from ..transaction.apply import apply_steps
from ..transaction.snapshot import Snapshot
from ..transaction.transaction import Transaction
from .skip_init import SkipInit

if TYPE_CHECKING:
    from torch import nn


def build(plan: Plan, device: str | None, sources: Mapping[str, Any], trace: Trace | None) -> nn.Module:
    """The variant that a plan describes; without a device, wherever torch builds now (`with torch.device("meta"):`)."""
    with torch.device(device) if device else nullcontext():
        return _apply(plan, _build_arch(plan, sources), trace)


def build_unfilled(plan: Plan, device: str) -> nn.Module | None:
    """The same without drawing the arch's weights, and without a trace.

    None where that shows: where something else than the model holds a parameter, which then nobody would fill.
    """
    mode = SkipInit()
    with torch.device(device):
        model = _build_arch(plan, {}, mode)
        return None if mode.strays(model) else _apply(plan, model, None)


def _build_arch(plan: Plan, sources: Mapping[str, Any], mode: AbstractContextManager[Any] | None = None) -> nn.Module:
    """The bare arch, and what the zoo knows of it. mode: something to enter while the arch's own code runs."""
    with explain_arch_errors(plan, any(sources.values())), mode or nullcontext():
        model = call_bound(plan.arch.build, {**plan.options, **sources})
    return introduce(plan.arch, model, plan.spec.base, plan.obstacle)


def _apply(plan: Plan, model: nn.Module, trace: Trace | None) -> nn.Module:
    """The plan's modifiers, applied to its bare arch."""
    if not plan.steps:
        return model
    with Transaction(Snapshot(model)) as transaction:
        return apply_steps(transaction, plan.steps, plan.spec, trace)


def plan_again(info: Info, registry: Registry, spec: Spec | None = None) -> Plan:
    """The plan of a live model's own spec, or of another one of its arch. Follows no prefix where there is a recipe."""
    call = info.spec.arch
    arch = None if info.recipe is None else rebuild_arch(call.name, info.recipe, registry)
    return plan_of(spec or info.spec, registry, arch=arch)


def arch_of(model: nn.Module, registry: Registry | None = None) -> Arch | None:
    """The arch that a model was made of; None for a model of the user's own, and where the arch's plugin is gone."""
    info = info_of(model)
    if info is None or info.spec.arch.is_unknown:
        return None
    try:
        return plan_again(info, registry or default_registry(), info.spec.base).arch
    except ZooError:
        return None


_telling: ContextVar[bool] = ContextVar("zoo_telling", default=False)


def tell(registry: Registry, model: nn.Module, spec: Spec) -> None:
    """Call each plugin's `zoo_built` with a finished model and its canonical spec. What they return is nothing.

    Not for a model on meta: the zoo builds those for a look of its own. Not for one that is built by a plugin that is
    being told. A plugin that raises is a PluginWarning and takes no build down.
    """
    if _telling.get() or (next(model.parameters(), None) is not None and device_of(model).type == "meta"):
        return
    token = _telling.set(True)
    try:
        for plugin, hook in registry.implementations("zoo_built"):
            given = {"model": model, "spec": spec}
            try:
                hook.function(*(given[name] for name in hook.argnames))
            except (Exception, SystemExit) as error:
                what = f"plugin '{plugin.name}' of {plugin.distribution}: zoo_built raised {reason_of(error)}"
                warnings.warn(what, PluginWarning, stacklevel=3)
    finally:
        _telling.reset(token)
