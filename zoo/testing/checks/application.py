"""Checks of how a modifier is applied: that it does something, again and again, and leaves the world alone."""

from __future__ import annotations

from typing import Any

import torch

from ...factory.factory import create, spec_of
from ...messages.errors import PluginError, ZooError
from ...messages.text import list_names
from ...plan.lookup import find_modifier
from ...plan.resolve import plan_of
from ...report.diff import diff
from ...spec.parser import read_mods
from ...spec.spec import parse
from ...surgery.changes import What
from ...surgery.provenance import changes_of
from ...surgery.walk import tensors_by_name
from ..global_state import Classes, Global, classes_of
from ..results import Skip
from ..subjects import DECLINES, Trial
from ..tools import brief, digests, gradients, run, same


def round_trip(trial: Trial) -> None:
    """The spec's canonical form means the same; a variant that is created and a base that is modified are the same."""
    canonical = plan_of(parse(trial.spec), trial.registry).spec
    again = plan_of(parse(str(canonical)), trial.registry).spec
    assert canonical == again, f"'{canonical}' reads back as '{again}'"
    variant = trial.variant
    assert spec_of(variant) == canonical, f"the variant of '{canonical}' says that it is '{spec_of(variant)}'"
    for how, other in (
        ("created from its canonical spec", create(str(canonical), registry=trial.registry)),
        ("made by zoo.modify", trial.apply(trial.ground.fresh())),
    ):
        found = diff(variant, other, registry=trial.registry)
        assert not found, f"the variant and one {how} differ: {found[0]}"


def applies(trial: Trial) -> str | None:
    """The modifier changes what a forward reaches, and tells of it, or says why it can't."""
    if trial.declined:
        return f"not applicable: {trial.declined}"
    made = changes_of(trial.variant)
    assert made, "it shows in no change"
    if any(change.live or change.kind is What.ALREADY for change in made):
        return None
    assert _acts(trial), f"nothing that it changed shows in outputs or gradients: {made[0]}"
    return None


def _acts(trial: Trial) -> bool:
    """Whether outputs or gradients differ from the bare base's, for changes of which liveness isn't known."""
    ground = trial.ground
    for training in (False, True):
        if not same(trial.runs(training), ground.runs(training)):
            return True
    try:
        one, two = gradients(trial.variant, trial.arguments), gradients(ground.model, ground.arguments)
    except Exception:
        return False
    return one.keys() != two.keys() or any(not same(_list_present(one[name]), _list_present(two[name])) for name in one)


def _list_present(gradient: torch.Tensor | None) -> list[torch.Tensor]:
    return [] if gradient is None else [gradient]


def again(trial: Trial) -> str:
    """A second application never breaks the model, and a spec with the part twice means the same.

    It is `already` so and changes nothing, or changes the model once more and tells of it, or is declined and leaves
    the model alone.
    """
    model = trial.fresh()
    first, before, names = len(changes_of(model)), digests(model), list(tensors_by_name(model))
    try:
        model = trial.apply(model)
    except DECLINES as error:
        assert digests(model) == before, "it declined a second application, and changed the weights"
        return f"declined: {brief(error)}"
    except PluginError as error:
        raise AssertionError(f"a second application fails: {brief(error)}") from error
    except ZooError as error:
        return f"declined: {brief(error)}"
    more = changes_of(model)[first:]
    assert more, "a second application shows in no change"
    if all(change.kind is What.ALREADY for change in more):
        assert list(tensors_by_name(model)) == names, "a second application is 'already' so, and names differ"
    twice = create(f"{trial.spec}+{trial.mod}", registry=trial.registry)
    if found := diff(model.eval(), twice.eval(), registry=trial.registry):
        raise AssertionError(f"applied twice and created with the part twice, it differs: {found[0]}")
    trial.ground.runs()
    run(model, trial.arguments)
    return "already so" if all(change.kind is What.ALREADY for change in more) else "it stacks"


def effects(trial: Trial) -> str:
    """What the modifier declares of itself is so: of the names in the state dict, and of what the model computes."""
    declared = find_modifier(read_mods(trial.mod)[0].name, trial.registry).value.effects
    had, has = trial.ground.model.state_dict().keys(), trial.variant.state_dict().keys()
    came, went = [name for name in has if name not in had], [name for name in had if name not in has]
    assert not came or declared.keys in ("add", "change"), f"keys='{declared.keys}', and {list_names(came)} came"
    assert not went or declared.keys in ("remove", "change"), f"keys='{declared.keys}', and {list_names(went)} went"
    if declared.preserves:
        before, after = trial.ground.runs(), run(trial.apply(trial.ground.fresh()), trial.arguments)
        assert same(after, before, loosely=True), "preserves=True, and the model computes something else"
    return f"keys='{declared.keys}', preserves={declared.preserves}"


def isolation(trial: Trial) -> None:
    """Other models of the same arch, and the classes that all of them share, are as they were."""
    ground = trial.ground
    trial.variant  # noqa: B018
    other, target = ground.fresh(), ground.fresh()
    classes, before = Classes(classes_of(target)), digests(other)
    trial.apply(target)
    _output(target, trial.arguments)
    if changed := classes.list_changed():
        raise AssertionError(f"it changed {list_names(changed)} for every model")
    assert digests(other) == before, "weights of another model changed"
    assert not diff(ground.model, other), f"another model changed: {diff(ground.model, other)[0]}"
    if not same(_output(other, ground.arguments), ground.runs()):
        assert not same(_output(ground.model, ground.arguments), ground.runs()), "another model's output changed"


def _output(model: Any, arguments: tuple[Any, ...]) -> list[torch.Tensor]:
    try:
        return run(model, arguments)
    except Exception:
        return []  # whether it runs is for other checks


def global_state(trial: Trial) -> None:
    """Applying and running leave torch's and Python's settings, hooks, functions and random state alone.

    New layers may draw from torch's generator; nothing may seed it, or two seeds would give the same run.
    """
    trial.variant  # noqa: B018  # so that what is imported on first use is there
    target, other = trial.ground.fresh(), trial.ground.fresh()
    before = Global()
    states = []
    for seed, model in ((3, target), (4, other)):
        torch.manual_seed(seed)
        trial.apply(model)
        states.append(torch.get_rng_state())
    for training in (False, True):
        try:
            run(target, trial.arguments, training)
        except Skip:
            break
        except Exception:
            continue
    changed = before.list_changed()
    assert not changed, f"it changed {', '.join(changed)}"
    assert not torch.equal(*states), "it seeds torch's random generator, so that every run draws the same numbers"
