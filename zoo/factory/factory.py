"""`zoo.create` and `zoo.modify`: from a spec to a model.

Everything is resolved and checked before the first layer is built: names against the registry, options against
signatures, and the whole chain of modifiers on the arch's blueprint on the meta device, where it costs little.
"""

from __future__ import annotations

import copy as copying
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from ..files.weights import Weights, carry
from ..messages.errors import OptionError, ZooError
from ..plan.resolve import Plan, plan_of, sources_of, steps_of
from ..registry.declarations import RESERVED_OPTIONS
from ..registry.registry import Registry, default_registry
from ..spec.parser import read_mods
from ..spec.spec import Spec, parse
from ..spec.values import Call
from ..surgery.mixins import parts_of
from ..surgery.provenance import Info, changes_of, info_of, seal
from ..surgery.wrappers import Outer, refuse_scripted, refuse_sharded, unwrap
from ..trace.meta import try_on_meta
from ..transaction.apply import apply_steps
from ..transaction.optimizers import as_list
from ..transaction.snapshot import Snapshot
from ..transaction.transaction import Transaction
from .builder import build, plan_again, tell
from .rehearsal import check_sizes, find_blueprint, rehearse
from .workshop import Workshop

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


def create(
    spec: str | Spec,
    pretrained: bool = False,
    *,
    weights: Weights | None = None,
    strict: bool = True,
    map: Mapping[str, str] | None = None,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    registry: Registry | None = None,
    **arch_options: Any,
) -> nn.Module:
    """The model that a spec names: its arch, then its modifiers from left to right.

    Args:
        spec: text or a parsed spec, such as `"resnet18+act(silu)+dropout(0.2)"`.
        pretrained: load the arch's published weights before the modifiers are applied.
        weights: another model, a state dict or the path of a safetensors file, whose weights the finished variant gets,
            by name.
        strict: with weights, raise unless every one finds its place. Otherwise what fits is taken, the rest is
            initialised, and a warning says which is which.
        map: parts that are called otherwise in the weights, as `{its name: the model's name}`.
        device: where the model ends up; `"meta"` builds it without memory. With a device given, weights are drawn on
            the CPU, so that a seed gives the same ones everywhere.
        dtype: in what its floating-point numbers end up; by default as the arch makes them.
        registry: where names are looked up; by default what is installed.
        arch_options: go to the arch, as in `timm.create_model`. Those that a spec can hold become part of the model's
            spec.

    Returns:
        The model, in train mode as its arch gives it.

    Raises:
        SpecError: the text is no spec; as all that follow, before anything is built.
        UnknownNameError: there is no such arch or modifier.
        OptionError: an option isn't there or can't have this value.
        NotApplicableError: a modifier can't work on this model.
        NoEffectError: a modifier found nothing to change.
        ShapeError: the parts don't fit together.
        PluginError: a modifier broke a promise, or failed.
        CheckpointError: with `strict`, weights that don't fit.

    Example:
        >>> model = zoo.create("mlp(hidden=[8])+act(silu)", dtype=torch.bfloat16)
        >>> str(zoo.spec_of(model)), model.layers[0].weight.dtype
        ('mlp(hidden=(8,))+act(name=silu)', torch.bfloat16)
    """
    registry = registry or default_registry()
    device = _check_device(device, dtype)
    if weights is None and map is not None:
        raise OptionError("map= says what parts are called in the source of the weights; give weights= too")
    reserved = {k: arch_options.pop(k) for k in RESERVED_OPTIONS if k in arch_options} | {"pretrained": pretrained}
    plan = plan_of(parse(spec), registry, arch_options)
    sources = sources_of(plan.arch, reserved)
    meta = device is not None and device.type == "meta"
    model = _make(plan, registry, "meta" if meta else None if device is None else "cpu", sources)
    if weights is not None:
        report = carry(model, weights, strict=strict, map=map)
        if not report.exact:
            warnings.warn(f"weights for '{plan.spec}': {report}", stacklevel=2)
    if not meta or dtype is not None:
        model = model.to(device=device, dtype=dtype)
    tell(registry, model, plan.spec)
    return model


def twin_of(info: Info, registry: Registry) -> nn.Module:
    """The variant that a live model's spec names, on meta, or in memory where it can't be built there."""
    plan = plan_again(info, registry)
    return try_on_meta(lambda device: _make(plan, registry, device, {}))


def _make(plan: Plan, registry: Registry, device: str | None, sources: Mapping[str, Any]) -> nn.Module:
    with registry.keep(Workshop).lock:
        trace = rehearse(plan, registry) if plan.steps else None
        return seal(build(plan, device, sources, trace))


def _check_device(device: Any, dtype: Any) -> torch.device | None:
    """The device, checked as far as can be said before anything is built, and the dtype with it."""
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise OptionError(f"dtype={dtype!r}; expected a floating one of torch's, such as torch.bfloat16")
    try:
        return None if device is None else torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise OptionError(f"device={device!r}; expected one of torch's, such as 'cuda' or 'cpu'") from error


def modify(
    model: nn.Module,
    mods: str | Spec,
    *,
    optimizer: Optimizer | Sequence[Optimizer] | None = None,
    group: int | Mapping[str, Any] | None = None,
    copy: bool = False,
    registry: Registry | None = None,
) -> nn.Module:
    """Apply modifiers, such as `"dropout(0.2)+act(silu)"`, to a live module, made by the zoo or not.

    One inside torch.compile's wrapper, DataParallel or DistributedDataParallel is found there. When anything raises,
    Ctrl-C too, model and optimizers are as they were before the call.

    Args:
        model: a live module, in any mode, on any device.
        mods: modifiers, applied from left to right, as text or as parts of a spec of this model's arch.
        optimizer: one or several that train the model. New parameters join the group of their neighbours, or `group`;
            removed ones leave, and the state of all others stays.
        group: the index of a group of the first optimizer, or the options of a new one.
        copy: leave the original alone; what comes back is a copy of the bare model, without wrappers around it.
        registry: where names are looked up; what is installed, by default.

    Returns:
        The model; it is a new object only where the root itself was replaced.

    Raises:
        SpecError: the text can't be read.
        UnknownNameError: nobody has a modifier of this name.
        OptionError: an option is unknown, missing or out of range, or an optimizer can't follow.
        NotApplicableError: a modifier found nothing to work on, or would change only what no forward reaches; the model
            is scripted or sharded, or in a DistributedDataParallel that can't follow.
        NoEffectError: a selector that the text has matches nothing.
        ShapeError: what was put in doesn't fit, which is known for archs with a sample input.
        PluginError: the modifier raised, or broke a promise of all modifiers.

    Example:
        >>> import zoo
        >>> model = zoo.modify(zoo.create("simple"), "act(silu)+dropout(0.2)")
        >>> str(zoo.spec_of(model))
        'simple+act(name=silu)+dropout(p=0.2)'
    """
    registry = registry or default_registry()
    inner = _unwrap(model)
    info = info_of(inner) or Info(Spec(Call(f"?{_base_name(inner)}")))
    calls = _check_parts(mods, info.spec) if isinstance(mods, Spec) else read_mods(mods)
    steps = steps_of(calls, registry, "+".join(map(str, calls)), info.spec.parts)
    optimizers = _check_optimizers(optimizer, group, copy)
    with registry.keep(Workshop).lock:
        start = Snapshot(inner)
        refuse_sharded(inner, start.kinds)
        if copy:
            start = Snapshot(copying.deepcopy(inner))
        outer = Outer(start.root if copy else model, start.root, start.kinds)
        blueprint = find_blueprint(info, registry)
        with Transaction(start, optimizers) as transaction:
            spec = info.spec + [step.bound.call for step in steps]
            result = apply_steps(transaction, steps, spec, blueprint.trace if blueprint else None)
            outer.check(result)
            check_sizes(transaction, blueprint, changes_of(result)[len(info.changes) :])
            transaction.follow(group)
            if info.outline and info.outline == start.outline:
                seal(result, transaction.now.outline)  # else someone edited it by hand before, and more is unknown
    return model if result is inner else result


def _unwrap(model: Any) -> nn.Module:
    """What is inside the wrappers around a model, if modifiers can work on it."""
    inner = unwrap(model)
    if not isinstance(inner, torch.nn.Module):
        raise OptionError(f"modify takes a live model, not {type(inner).__name__}; zoo.create makes one from a spec")
    refuse_scripted(inner)
    return inner


def _check_optimizers(optimizer: Any, group: Any, copy: bool) -> list[Optimizer]:
    """The optimizers that are to follow, if that is what was asked for."""
    optimizers = as_list(optimizer)
    if copy and optimizers:
        raise OptionError("copy=True leaves the original and its optimizer alone; make an optimizer for the copy")
    if group is not None and not optimizers:
        raise OptionError("group= says where an optimizer's new parameters go; give the optimizer too")
    return optimizers


def _check_parts(mods: Spec, known: Spec) -> tuple[Call, ...]:
    """The modifiers of a parsed spec, which has an arch too: it must be the model's, and isn't passed over."""
    if not mods.parts or mods.base != known.base:
        raise OptionError(
            f"modify takes modifiers, such as 'dropout(0.2)+act(silu)'; '{mods}' is a whole spec, of the arch "
            f"'{mods.base}', and this model's is '{known.base}'"
        )
    return mods.parts


def spec_of(model: nn.Module) -> Spec:
    """The canonical spec of a model that the zoo made or modified.

    Args:
        model: the model.

    Returns:
        The spec, with every option by name; for a model of another's making, with `?` and its class for an arch.

    Raises:
        ZooError: the zoo neither made nor modified it.

    Example:
        >>> zoo.spec_of(zoo.create("simple+dropout"))
        Spec('simple+dropout')
    """
    info = info_of(model)
    if info is None:
        raise ZooError(f"the zoo neither made nor modified this {type(model).__name__}, so it has no spec")
    return info.spec


def _base_name(model: nn.Module) -> str:
    """The name of a model's class, as a spec may hold it."""
    return re.sub(r"[^A-Za-z0-9_]", "_", parts_of(type(model))[0].__name__)
