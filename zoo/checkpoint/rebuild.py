"""A variant out of what a file says about it: planned, its options overridden, and built without drawing weights."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

import torch

from ..factory.builder import build, build_unfilled
from ..factory.rehearsal import blueprint_of
from ..factory.workshop import Workshop
from ..files.manifest import Manifest, Owner, check_parts, installable, spec_of_parts, version_of
from ..messages.errors import CheckpointError, OptionError, Place, UnknownNameError, ZooError
from ..messages.text import printable, quote
from ..plan.bind import add_keywords
from ..plan.families import rebuild_arch
from ..plan.lookup import find_base, find_modifier
from ..plan.resolve import Plan, plan_of
from ..registry.declarations import Arch
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
        built_of = spec_of_parts(manifest.parts)
    except ZooError as error:
        raise CheckpointError(f"a part of the spec can't be read: {printable(str(error))}") from None
    arch, parts = _override(manifest.spec, built_of.arch, [*built_of.parts], overrides)
    found = _find_arch(arch, manifest, registry)
    parts = [_name_in_full(call, owner, registry) for call, owner in zip(parts, manifest.owners[1:], strict=True)]
    try:
        plan = plan_of(Spec(arch, tuple(parts)), registry, arch=found)
    except ZooError as error:
        if overrides:
            raise
        raise CheckpointError(printable(str(error))) from error
    check_parts(manifest, built_of)
    # What a modifier refuses later is told in the words of a spec, and not of the file, which has all defaults in it.
    steps = (
        replace(step, place=Place(str(plan.spec), str(step.bound.call), number))
        for number, step in enumerate(plan.steps, 1)
    )
    return replace(plan, steps=tuple(steps))


def _find_arch(call: Call, manifest: Manifest, registry: Registry) -> Owned[Arch] | None:
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
            raise CheckpointError(
                f"no family that is installed rebuilds {quote(call.name + ':')}{_how_to_install(owner)}"
            )
        return found
    try:
        base = find_base(call, registry)
    except UnknownNameError as error:
        _refuse("arch", call, owner, error)
    if not isinstance(base.value, Arch) or base.owner != owner.owner:
        _refuse("arch", call, owner, None)
    return Owned(base.plugin, base.value, base.name)


def _name_in_full(call: Call, owner: Owner, registry: Registry) -> Call:
    """A modifier's call by a name that means its owner's, whoever else claims the name here."""
    name = call.name if "/" in call.name else f"{owner.owner}/{call.name}"
    try:
        find_modifier(name, registry)
    except UnknownNameError as error:
        _refuse("modifier", call, owner, error)
    return replace(call, name=name)


def _refuse(kind: str, call: Call, owner: Owner, error: ZooError | None) -> NoReturn:
    """Say what a file needs that isn't here, and how to get it."""
    said = printable(str(error)).partition("\n")
    failed = "".join(f"\n{line}" for line in said[2].split("\n") if line) if error else ""
    raise CheckpointError(
        f"the file needs the {kind} {quote(call.name)} of {installable(owner.owner)}, which isn't installed"
        f"{_how_to_install(owner)}{failed}"
    ) from error


def _how_to_install(owner: Owner) -> str:
    has = version_of(owner.distribution)
    here = f", and {has} is installed" if has and has != owner.version else ""
    how = f"pip install {installable(owner.distribution)}=={installable(owner.version)}"
    return f"; it was saved with {installable(owner.distribution)} {installable(owner.version)}{here}: {how}"


def _override(spec: Spec, arch: Call, parts: list[Call], overrides: Mapping[str, Any]) -> tuple[Call, list[Call]]:
    """The calls with other options: `p=` of the arch, `dropout.p` of a modifier, `2.p` of the second modifier."""
    for key, value in overrides.items():
        part, dot, option = key.rpartition(".")
        if not dot or part == arch.name:
            arch = _set_option(arch, option, value, key)
            continue
        at = [i for i, call in enumerate(parts) if part in (call.name, call.name.rpartition("/")[2], str(i + 1))]
        if not at:
            names = ", ".join(dict.fromkeys(call.name for call in parts)) or "none"
            raise OptionError(f"{key}={value!r}: '{spec}' has no part '{part}'; its parts: {names}")
        if len(at) > 1:
            ways = " or ".join(f"'{i + 1}.{option}'" for i in at)
            raise OptionError(f"{key}={value!r}: '{part}' stands {len(at)} times in '{spec}'; say which, as {ways}")
        parts[at[0]] = _set_option(parts[at[0]], option, value, key)
    return arch, parts


def _set_option(call: Call, option: str, value: Any, key: str) -> Call:
    made, rest = add_keywords(call, {option: value})
    if rest:
        raise OptionError(f"{key}={value!r} can't be written in a spec, so no file can be built with it")
    return made


# The problem: drawing weights is most of what building costs, and tracing the arch most of the rest; a file has the
# weights, so that neither is needed, unless a modifier asked for it: one that looks at a weight, or edits what a
# forward calls by function. The trick: build without both, and hold what the modifiers did against what the file says
# that they did. Only where that differs, or something raises, or a parameter was left to somebody who isn't the model,
# build once more as `create` does. How it can fail: a modifier that makes another layer of weights that weren't drawn,
# and says so in no change. What it makes must still fit the file by name, shape and dtype, which is checked next.
def rebuild(plan: Plan, registry: Registry, device: str, log: Iterable[Change] | None = None) -> nn.Module:
    """The variant on a device, its parameters not filled. Draws no random number that the caller would miss.

    log: what the modifiers did when the model was saved; without one, anything that can be built is taken.
    """
    wanted = None if log is None else _key(log)
    with registry.keep(Workshop).lock, torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they came when the model was made
        with suppress(Exception):  # it comes again, if it wasn't for the weights or the trace
            model = build_unfilled(plan, device)
            if model is not None and (wanted is None or _key(changes_of(model)) == wanted):
                return model
        return build(plan, device, {}, blueprint_of(plan, registry).trace if plan.steps else None)


def _key(log: Iterable[Change]) -> list[tuple[str, str, str]]:
    """What was done and where; how it was before may have been someone's hand."""
    return [(change.path, change.what, change.after) for change in log]


def rebuild_as_saved(manifest: Manifest, registry: Registry) -> nn.Module:
    """The variant that a manifest describes, its parameters not filled."""
    return rebuild(plan_for(manifest, registry, {}), registry, "cpu", manifest.changes)
