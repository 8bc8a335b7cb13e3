"""A variant out of what a file says about it: planned, its options overridden, and built without drawing weights."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

import torch

from ..factory.builder import apply_plan, build_arch
from ..factory.rehearsal import trace_of
from ..factory.skip_init import SkipInit
from ..factory.workshop import Workshop
from ..files.manifest import Manifest, Owner, check_parts, installable, spec_of_parts, version_of
from ..messages.errors import CheckpointError, OptionError, UnknownNameError, ZooError
from ..messages.text import printable, quote
from ..plan.bind import add_keywords
from ..plan.resolve import Plan, plan_of
from ..registry.declare import Arch
from ..registry.families import rebuild_arch
from ..registry.lookup import find_base, find_modifier
from ..registry.owners import Owned
from ..registry.registry import Registry
from ..spec.spec import Spec
from ..spec.values import Call
from ..surgery.changes import Change
from ..surgery.provenance import changes_of

if TYPE_CHECKING:
    from torch import nn


def plan_for(manifest: Manifest, registry: Registry, overrides: Mapping[str, Any]) -> Plan:
    """The plan of the variant that a file describes. CheckpointError for what isn't installed, with what to install."""
    try:
        told = spec_of_parts(manifest.parts)
    except ZooError as error:
        raise CheckpointError(f"a part of the spec can't be read: {printable(str(error))}") from None
    arch, parts = _overridden(manifest.spec, told.arch, [*told.parts], overrides)
    found = _arch(arch, manifest, registry)
    parts = [_owned(call, owner, registry) for call, owner in zip(parts, manifest.owners[1:], strict=True)]
    try:
        plan = plan_of(Spec(arch, tuple(parts)), registry, arch=found)
    except ZooError as error:
        if overrides:
            raise
        raise CheckpointError(printable(str(error))) from error
    check_parts(manifest, told)
    # What a modifier refuses later is told in the words of a spec, and not of the file, which has all defaults in it.
    steps = (
        replace(step, place=f"part {number}, '{step.bound.call}', of '{plan.spec}'")
        for number, step in enumerate(plan.steps, 1)
    )
    return replace(plan, steps=tuple(steps))


def _arch(call: Call, manifest: Manifest, registry: Registry) -> Owned[Arch] | None:
    """The arch of a prefix, out of its recipe; nothing for one that the registry knows by name."""
    owner = manifest.owners[0]
    if call.source is not None:
        if manifest.recipe is None:
            raise CheckpointError(
                f"{quote(str(call))} points outside of the file, which no file is followed to, and the file has no "
                "recipe to build it from; zoo.create(SPEC, weights=FILE) opens it in the open"
            )
        found = rebuild_arch(call.name, manifest.recipe, registry)
        if found is None:
            raise CheckpointError(f"no family that is installed rebuilds {quote(call.name + ':')}{_needs(owner)}")
        return found
    try:
        base = find_base(call, registry)
    except UnknownNameError as error:
        _missing("arch", call, owner, error)
    if not isinstance(base.value, Arch) or base.owner != owner.owner:
        _missing("arch", call, owner, None)
    return Owned(base.plugin, base.value, base.name)


def _owned(call: Call, owner: Owner, registry: Registry) -> Call:
    """A modifier's call by a name that means its owner's, whoever else claims the name here."""
    name = call.name if "/" in call.name else f"{owner.owner}/{call.name}"
    try:
        find_modifier(name, registry)
    except UnknownNameError as error:
        _missing("modifier", call, owner, error)
    return replace(call, name=name)


def _missing(kind: str, call: Call, owner: Owner, error: ZooError | None) -> NoReturn:
    """Say what a file needs that isn't here, and how to get it."""
    said = printable(str(error)).partition("\n")
    failed = "".join(f"\n{line}" for line in said[2].split("\n") if line) if error else ""
    raise CheckpointError(
        f"the file needs the {kind} {quote(call.name)} of {installable(owner.owner)}, which isn't installed"
        f"{_needs(owner)}{failed}"
    ) from error


def _needs(owner: Owner) -> str:
    has = version_of(owner.distribution)
    here = f", and {has} is installed" if has and has != owner.version else ""
    how = f"pip install {installable(owner.distribution)}=={installable(owner.version)}"
    return f"; it was saved with {installable(owner.distribution)} {installable(owner.version)}{here}: {how}"


def _overridden(spec: Spec, arch: Call, parts: list[Call], overrides: Mapping[str, Any]) -> tuple[Call, list[Call]]:
    """The calls with other options: `p=` of the arch, `dropout.p` of a modifier, `2.p` of the second modifier."""
    for key, value in overrides.items():
        part, dot, option = key.rpartition(".")
        if not dot or part == arch.name:
            arch = _with(arch, option, value, key)
            continue
        at = [i for i, call in enumerate(parts) if part in (call.name, call.name.rpartition("/")[2], str(i + 1))]
        if not at:
            names = ", ".join(dict.fromkeys(call.name for call in parts)) or "none"
            raise OptionError(f"{key}={value!r}: '{spec}' has no part '{part}'; its parts: {names}")
        if len(at) > 1:
            ways = " or ".join(f"'{i + 1}.{option}'" for i in at)
            raise OptionError(f"{key}={value!r}: '{part}' stands {len(at)} times in '{spec}'; say which, as {ways}")
        parts[at[0]] = _with(parts[at[0]], option, value, key)
    return arch, parts


def _with(call: Call, option: str, value: Any, key: str) -> Call:
    made, rest = add_keywords(call, {option: value})
    if rest:
        raise OptionError(f"{key}={value!r} can't be written in a spec, so no file can be built with it")
    return made


def rebuild(plan: Plan, registry: Registry, device: str, log: Iterable[Change] | None = None) -> nn.Module:
    """The variant on a device, its parameters not filled. Draws no random number that the caller would miss.

    log: what the modifiers did when the model was saved. Where one does something else now, or refuses, the variant is
    built once more as `create` does it, with weights drawn and the arch traced: it may have asked for those.
    """
    wanted = None if log is None else _gist(log)
    with registry.keep(Workshop).lock, torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they came when the model was made
        try:
            model = _build(plan, device, None)
            if model is not None and (wanted is None or _gist(changes_of(model)) == wanted):
                return model
        except Exception:
            pass  # it comes again, if it wasn't for the weights or the trace
        made = _build(plan, device, registry)
        assert made is not None
        return made


def _build(plan: Plan, device: str, careful: Registry | None) -> nn.Module | None:
    """The variant; without a registry to trace with, its weights not drawn, or None where that shows in the model."""
    mode = SkipInit()
    with torch.device(device):
        model = build_arch(plan, {}, nullcontext() if careful else mode)
        if mode.strays(model):
            return None
        return apply_plan(model, plan, trace_of(plan, careful) if careful and plan.steps else None)


def _gist(log: Iterable[Change]) -> list[tuple[str, str, str]]:
    """What was done and where; how it was before may have been someone's hand."""
    return [(change.path, change.what, change.after) for change in log]
