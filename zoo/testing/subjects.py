"""What the checks look at: a bare arch, and a modifier on it. Each model is built once and copied by who changes it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import nn

from ..factory.factory import create, modify
from ..messages.errors import NoEffectError, NotApplicableError, PluginError, ShapeError, ZooError
from ..plan.resolve import Plan, plan_of
from ..registry.declarations import Sample
from ..registry.registry import Registry
from ..spec.spec import parse
from ..surgery.changes import What
from ..surgery.provenance import changes_of
from .global_state import classes_of, preserve
from .results import Skip
from .tools import arguments_of, brief, run, where_base_does

# A modifier's word that it can't work on a model.
DECLINES = (NotApplicableError, NoEffectError, ShapeError)


class Ground:
    """A bare arch that modifiers are tried on."""

    def __init__(self, arch: str, registry: Registry, sample: Sample | None = None) -> None:
        self.arch, self.registry, self.sample = arch, registry, sample
        self.memo: dict[str, Any] = {}  # what a check found out about the bare arch and the next one needs again

    @cached_property
    def plan(self) -> Plan:
        return plan_of(parse(self.arch), self.registry)

    @cached_property
    def model(self) -> nn.Module:
        """In eval mode; for looking at."""
        torch.manual_seed(0)
        return create(self.arch, registry=self.registry).eval()

    @cached_property
    def arguments(self) -> tuple[Any, ...]:
        return arguments_of(self.model, self.sample or self.plan.arch.sample)

    @cached_property
    def classes(self) -> list[type]:
        return classes_of(self.model)

    def fresh(self) -> nn.Module:
        """A copy to change."""
        return copy.deepcopy(self.model)

    def runs(self, training: bool = False) -> list[torch.Tensor]:
        """What a forward of the bare arch gives; Skip where it can't."""
        words = "run in train mode" if training else "run"
        return self.once(words, lambda: run(self.model, self.arguments, training))  # type: ignore[no-any-return]

    def once(self, what: str, attempt: Callable[[], Any]) -> Any:
        """What the bare arch does, found out once; Skip where it can't."""
        if what not in self.memo:
            try:
                self.memo[what] = where_base_does(what, attempt)
            except Skip as skip:
                self.memo[what] = skip
        if isinstance(self.memo[what], Skip):
            raise self.memo[what]
        return self.memo[what]


@dataclass(frozen=True)
class Trial:
    """One modifier with its options on one arch. `mod` is text, such as `leaky(0.2)`."""

    mod: str
    ground: Ground

    @property
    def spec(self) -> str:
        return f"{self.ground.arch}+{self.mod}"

    @property
    def registry(self) -> Registry:
        return self.ground.registry

    @property
    def classes(self) -> list[type]:
        return self.ground.classes

    @cached_property
    def outcome(self) -> nn.Module | ZooError:
        """The variant in eval mode, or why there is none."""
        torch.manual_seed(0)
        try:
            return create(self.spec, registry=self.registry).eval()
        except ZooError as error:
            return error

    @property
    def declined(self) -> str:
        """Why the modifier doesn't work on this arch, in its own words."""
        return brief(self.outcome) if isinstance(self.outcome, DECLINES) else ""

    @property
    def refused(self) -> str:
        """The check to which the error belongs that the modifier causes here; empty where it causes none."""
        if not isinstance(self.outcome, ZooError) or self.declined:
            return ""
        return (self.outcome.promise if isinstance(self.outcome, PluginError) else "") or "applies"

    @property
    def variant(self) -> nn.Module:
        """For looking at. Skip where there is none."""
        if isinstance(self.outcome, nn.Module):
            return self.outcome
        if self.declined:
            raise Skip(f"not applicable: {self.declined}")
        raise Skip(f"see '{self.refused}'")

    @cached_property
    def arguments(self) -> tuple[Any, ...]:
        """What a forward of the variant takes: what the bare arch's does, but for channels that the record tells of."""
        if not any(change.resizes_input for change in changes_of(self.variant)):
            return self.ground.arguments
        return arguments_of(self.variant, self.ground.sample or self.ground.plan.arch.sample)

    def fresh(self) -> nn.Module:
        """A copy to change."""
        return copy.deepcopy(self.variant)

    def runs(self, training: bool = False) -> list[torch.Tensor]:
        """What a forward of the variant gives, which several checks look at; Skip where the base's fails."""
        self.ground.runs(training)
        memo = self.memo
        if training not in memo:
            memo[training] = run(self.variant, self.arguments, training)
        return memo[training]

    @cached_property
    def memo(self) -> dict[bool, list[torch.Tensor]]:
        return {}

    def apply(self, model: nn.Module) -> nn.Module:
        """The modifier on a live model."""
        self.variant  # noqa: B018
        return modify(model, self.mod, registry=self.registry)

    def is_recorded(self, name: str, model: nn.Module | None = None) -> bool:
        """Whether the record tells of a parameter, a buffer or a module at or above it."""
        told = [change for change in changes_of(model or self.variant) if change.kind is not What.ALREADY]
        paths = {path for change in told for path in (change.path, *change.aliases)}
        return any(name == path or name.startswith(f"{path}.") for path in paths if path)

    @property
    def same_names(self) -> bool:
        """Whether the modifier neither added nor removed a parameter or buffer."""
        return set(names_of(self.variant)) == set(names_of(self.ground.model))


def names_of(model: nn.Module) -> list[str]:
    """The names of parameters, then of buffers, in order."""
    return [name for pairs in (model.named_parameters(), model.named_buffers()) for name, _ in pairs]


class Subject(Protocol):
    """What checks are made of. `classes` are those that no check may leave changed."""

    @property
    def classes(self) -> list[type]: ...


def guard(subject: Subject, name: str, check: Callable[[Any], str | None]) -> Callable[[], str | None]:
    """One check as a Case runs it: nothing that it does leaks, and what the engine refused is told once."""

    def attempt() -> str | None:
        with preserve():
            classes = subject.classes  # builds the bare arch, if nothing has yet
        with preserve(classes):
            if isinstance(subject, Trial) and subject.refused == name:
                raise AssertionError(brief(subject.outcome))  # type: ignore[arg-type]
            return check(subject)

    return attempt


Checks = Mapping[str, Callable[[Any], str | None]]


def checks_of(*functions: Callable[[Any], str | None]) -> Checks:
    """Checks by name."""
    return {function.__name__: function for function in functions}
