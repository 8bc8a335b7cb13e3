"""A spec resolved before anything is built: every name found, every option checked."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..messages.errors import OptionError, Place, PluginError, UnknownNameError, ZooError, fill_fields, locate
from ..registry.declarations import Arch, Effects, Modifier
from ..registry.owners import Owned
from ..registry.registry import Registry
from ..spec.spec import Spec
from ..spec.values import Call
from .bind import Bound, add_keywords, bind, unknown_option
from .check import check
from .lookup import find_base, find_modifier
from .options import options_of, signature
from .order import check_order


@dataclass(frozen=True)
class Step:
    """One modifier of a spec with its options bound.

    place: which part of which spec it is; registry: where the modifier came from.
    """

    modifier: Modifier
    bound: Bound
    owner: str
    place: Place
    registry: Registry | None = None


@dataclass(frozen=True)
class Plan:
    """A spec resolved: every name found, every option checked. `spec` is canonical.

    options: what the arch is built with. obstacle: why the spec alone couldn't rebuild the model, if it couldn't.
    owner: whose the arch is.
    """

    spec: Spec
    arch: Arch
    options: Mapping[str, Any]
    steps: tuple[Step, ...]
    obstacle: str = ""
    owner: str = "zoo"


def plan_of(
    spec: Spec,
    registry: Registry,
    options: Mapping[str, Any] | None = None,
    seen: tuple[str, ...] = (),
    arch: Owned[Arch] | None = None,
) -> Plan:
    """Look up every name of a spec and check every option. Builds nothing. `arch`: what its first part stands for."""
    place = Place(str(spec), str(spec.arch))
    with fill_fields(spec=place.spec, part=place.part):  # in words it goes without saying
        found: Owned[Any] = arch or find_base(spec.arch, registry)
    if isinstance(found.value, Spec):
        return _variant_plan(spec, found, registry, options, seen)
    call, rest = add_keywords(spec.arch, options or {})
    try:
        bound = bind(replace(call, name=found.name), found.value.build, 0, registry)
        _check_rest(found.value, rest, registry)
    except ZooError as error:
        raise locate(error, place) from None
    steps = steps_of(spec.parts, registry, str(spec))
    canonical = Spec(bound.call, tuple(step.bound.call for step in steps))
    obstacle = ", ".join(f"{k}={v!r} can't be written in a spec" for k, v in rest.items())
    return Plan(canonical, found.value, {**bound.values, **rest}, steps, obstacle, found.owner)


def _variant_plan(
    spec: Spec, found: Owned[Spec], registry: Registry, options: Mapping[str, Any] | None, seen: tuple[str, ...]
) -> Plan:
    """The plan of a named variant, with more parts behind it."""
    name, variant = found.name, found.value
    if spec.arch.args:
        raise OptionError(f"'{name}' is a variant, '{variant}', and takes no options", name=name)
    if name in seen:
        raise PluginError(f"the variant '{name}' refers to itself: {' → '.join((*seen, name))}")
    try:
        return plan_of(variant + spec.parts, registry, options, (*seen, name))
    except ZooError as error:
        vars(error).pop("_located", None)
        raise locate(error, f"the variant '{name}' of {found.owner}, '{variant}'") from None


def _check_rest(arch: Arch, rest: Mapping[str, Any], registry: Registry) -> None:
    """Options that no spec can hold still have to be options of the arch."""
    options = {o.name: o for o in options_of(arch.build) if not o.many}
    variadic = any(o.variadic for o in options.values())
    shown = signature(arch.name, arch.build)
    for name, value in rest.items():
        if name in options:
            check(arch.name, name, value, options[name], registry, shown)
        elif not variadic:
            raise unknown_option(arch.name, name, options, shown)


def steps_of(calls: Sequence[Call], registry: Registry, whole: str, earlier: Sequence[Call] = ()) -> tuple[Step, ...]:
    """The modifiers of some parts, each with its options bound, in an order that they agree to.

    whole: what an error says that they are parts of. earlier: what was applied to the model before.
    """
    steps = []
    chain = [(call.name, _effects_of(call, registry)) for call in earlier]
    for number, call in enumerate(calls, 1):
        place = Place(whole, str(call), number)
        try:
            found = find_modifier(call.name, registry)
            bound = bind(replace(call, name=found.name), found.value.apply, 1, registry)
            check_order(chain, found.name, found.value.effects)
        except ZooError as error:
            raise locate(error, place) from None
        chain.append((found.name, found.value.effects))
        steps.append(Step(found.value, bound, found.plugin.owner, place, registry))
    return tuple(steps)


def _effects_of(call: Call, registry: Registry) -> Effects:
    """What a modifier that was applied before declares; of one that isn't installed any more nothing is known."""
    try:
        return find_modifier(call.name, registry).value.effects
    except UnknownNameError:
        return Effects()


def sources_of(arch: Arch, weights: Mapping[str, Any]) -> dict[str, Any]:
    """`pretrained` and its like, for archs that take them."""
    takes = inspect.signature(arch.build).parameters
    for name, value in weights.items():
        if name not in takes and value:
            raise OptionError(f"{arch.name} takes no {name}: it has no published weights")
    return {name: value for name, value in weights.items() if name in takes}
