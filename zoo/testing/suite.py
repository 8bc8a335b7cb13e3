"""Which checks there are, and the cases that they make: each check on each arch, modifier or distribution."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..messages.errors import OptionError, ZooError
from ..plan.lookup import find_base, find_modifier, list_declared
from ..plan.resolve import plan_of
from ..registry.declarations import Arch, Modifier, Sample
from ..registry.plugins import normalise
from ..registry.registry import Registry, default_registry
from ..spec.parser import read_mods
from ..spec.spec import parse
from .checks import application, archs, declaration, execution, invariants, plugins
from .checks.declaration import Declared, fault
from .checks.plugins import Installed
from .nets import NETS
from .results import Case, expect
from .subjects import Checks, Ground, Trial, checks_of, guard

Archs = Sequence[str | Arch] | Mapping[str, Sample]

OWNER = "zoo-testing"

DECLARATIONS = checks_of(declaration.declaration, declaration.options)
TRIALS = checks_of(
    application.applies,
    application.round_trip,
    application.again,
    application.effects,
    application.isolation,
    application.global_state,
    invariants.weights,
    invariants.names,
    invariants.sharing,
    invariants.strict_load,
    invariants.state,
    invariants.copies,
    execution.device,
    execution.no_nan,
    execution.deterministic,
    execution.seed,
    execution.gradient,
    execution.compiles,
    execution.exports,
)
ARCHS = checks_of(
    archs.builds,
    archs.sample,
    archs.sites,
    archs.meta,
    archs.bfloat16,
    archs.deterministic,
    archs.seed,
    archs.copies,
    archs.gradient,
    archs.compiles,
    archs.exports,
    archs.global_state,
)
PLUGINS = checks_of(
    plugins.loads,
    plugins.contributes,
    plugins.imports_light,
    plugins.imports_quick,
    plugins.own_names,
    plugins.families,
    plugins.variants,
)

SMALL = ("simple", "mlp(16, hidden=[12])", "convnet(channels=4, depth=2)")


def cases(
    distribution: str | None = None,
    *,
    modifiers: Iterable[str | Modifier] = (),
    archs: Archs | None = None,
    registry: Registry | None = None,
    expected_failures: Mapping[str, str] | None = None,
) -> list[Case]:
    """The checks that `parametrize` would run, as values: `case()` raises, `case.result()` tells.

    Args:
        distribution: as for `parametrize`.
        modifiers: as for `parametrize`.
        archs: as for `parametrize`.
        registry: as for `parametrize`.
        expected_failures: as for `parametrize`.

    Returns:
        One case for each check of each thing, none of which has run.

    Raises:
        UnknownNameError: there is no such modifier or arch.
        OptionError: this is no modifier, or no arch, or several.
        ZooError: assertions are switched off.

    Example:
        >>> [case.check for case in zoo.testing.cases(modifiers=["bn"], archs="simple")][:3]
        ['declaration', 'options', 'applies']
    """
    if not __debug__:
        raise ZooError("the checks are assertions, which python -O switches off")
    modifiers = list(modifiers)
    archs = [archs] if isinstance(archs, (str, Arch)) else archs
    _check_things("modifier", str | Modifier, modifiers)
    _check_things("arch", str | Arch, archs or ())
    registry = _extend(registry or default_registry(), [*modifiers, *(archs or ())])
    wanted = [_name(modifier, registry) for modifier in modifiers]
    on = None if archs is None else [_name(arch, registry) for arch in archs]
    own: list[str] = []
    found: list[Case] = []
    if distribution is not None:
        installed = Installed(normalise(distribution), registry)
        found += _cases(PLUGINS, installed, installed.distribution)
        if installed.ok:
            wanted += [name for name, _ in installed.declarations_of(Modifier)]
            own += _archs_of(installed, on or ())
    elif not wanted:
        own += on or ()
    samples = archs if isinstance(archs, Mapping) else {}
    for arch in own:
        found += _arch_cases(arch, _ground(arch, registry, samples))
    if wanted:
        on = _default_archs(registry, own) if on is None else on
        grounds = [_ground(arch, registry, samples) for arch in on]
        for text in wanted:
            found += _modifier_cases(text, grounds)
    return expect(found, expected_failures)


def _check_things(word: str, kind: Any, things: Iterable[Any]) -> None:
    for thing in things:
        if not isinstance(thing, kind):
            raise OptionError(f"the checks take the name of {_A[word]}, or what @zoo.{word} makes, not {thing!r}")


_A = {"modifier": "a modifier", "arch": "an arch"}


def _ground(arch: str, registry: Registry, samples: Mapping[str, Any]) -> Ground:
    """A name or an option that isn't there is told before anything runs."""
    plan_of(parse(arch), registry)
    return Ground(arch, registry, samples.get(arch))


def _extend(registry: Registry, things: Iterable[str | Arch | Modifier]) -> Registry:
    """A registry in which all of these have a name, and the kit's own nets too."""
    strange = [thing for thing in things if not isinstance(thing, str) and _name_of(thing, registry) is None]
    return registry.also(*NETS, *(thing for thing in strange if thing not in NETS), owner=OWNER)


def _name(thing: str | Arch | Modifier, registry: Registry) -> str:
    return thing if isinstance(thing, str) else _name_of(thing, registry) or thing.name


def _name_of(thing: Arch | Modifier, registry: Registry) -> str | None:
    return next((name for name, owned in list_declared(type(thing), registry) if owned.value is thing), None)


def _archs_of(installed: Installed, archs: Iterable[str]) -> list[str]:
    """A distribution's own archs with the options of their examples, and what of its families was named."""
    own: list[str] = []
    for name, owned in installed.declarations_of(Arch):
        own += owned.value.examples or (name,)
    owners = {
        arch: find_base(parse(arch).arch, installed.registry).plugin.distribution for arch in archs if arch not in own
    }
    return own + [arch for arch, owner in owners.items() if owner == installed.distribution]


def _default_archs(registry: Registry, own: Sequence[str]) -> list[str]:
    """Small nets: the zoo's, where they are installed, the kit's own, and these."""
    installed = {name for name, _ in list_declared(Arch, registry)}
    small = {parse(arch).arch.name: arch for arch in SMALL if parse(arch).arch.name in installed}
    nets = [name for net in NETS if (name := _name_of(net, registry))]
    return [*small.values(), *nets, *(arch for arch in own if parse(arch).arch.name not in small)]


def _arch_cases(arch: str, ground: Ground) -> list[Case]:
    found = find_base(parse(arch).arch, ground.registry)
    declared = Declared(found.name, ground.plan.arch, ground.registry)
    return [*_cases(DECLARATIONS, declared, arch), *_cases(ARCHS, ground, arch)]


def _modifier_cases(text: str, grounds: Sequence[Ground]) -> list[Case]:
    if not grounds:
        raise ValueError("a modifier is checked on an arch, and archs=[] names none")
    calls = read_mods(text)
    if len(calls) != 1:
        raise OptionError(f"the checks are of one modifier, and '{text}' has {len(calls)}")
    registry = grounds[0].registry
    found = find_modifier(calls[0].name, registry)
    owner, slash, _ = text.partition("/")
    prefix = f"{owner}/" if slash and not calls[0].args else ""
    own = Declared(found.name, found.value, registry)
    examples = tuple(prefix + example for example in found.value.examples if not fault(own, example))
    mods = (text,) if calls[0].args else examples
    trials = {mod: tuple(Trial(mod, ground) for ground in grounds) for mod in mods}
    declared = replace(own, trials=tuple(trial for each in trials.values() for trial in each))
    made = _cases(DECLARATIONS, declared, found.name)
    for each in trials.values():
        for trial in each:
            made += _cases(TRIALS, trial, trial.mod, trial.ground.arch)
    return made


def _cases(checks: Checks, subject: Any, name: str, arch: str = "") -> list[Case]:
    return [Case(check, name, arch, guard(subject, check, function)) for check, function in checks.items()]
