"""An arch built once on the meta device, for checks before anything real is built."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..messages.errors import (
    FetchError,
    OptionError,
    Place,
    PluginError,
    UnknownNameError,
    ZooError,
    fill_fields,
    locate,
)
from ..messages.text import format_error, printable
from ..plan.options import call_bound, signature
from ..plan.resolve import Plan
from ..surgery.changes import Change
from ..surgery.provenance import Info, attach, changes_of, number_sites
from .meta import needs_memory
from .trace import Trace, note

if TYPE_CHECKING:
    from ..registry.declarations import Arch
    from ..spec.spec import Spec

MOST_KEPT = 16


@dataclass
class Blueprint:
    """A bare arch on meta (or on the CPU, where meta won't do). `trace` is None where no forward could be run.

    `checked` are the canonical variants that were tried on it; `counted` holds the changes, with FLOPs, of those that
    were asked for.
    """

    model: nn.Module
    arguments: tuple[Any, ...] | None
    trace: Trace | None
    sample: Any = None
    checked: set[str] = field(default_factory=set)
    counted: dict[str, tuple[Change, ...]] = field(default_factory=dict)

    def arguments_for(self, model: nn.Module, changes: Iterable[Change]) -> tuple[Any, ...]:
        """What a forward of an edited model takes: what the bare arch does.

        But a stem that took other channels and stayed is no misfit: then the model's own sample has them too.
        """
        rechanneled = any(change.resizes_input for change in changes)
        return (sample_input(model, self.sample) if rechanneled else self.arguments) or ()


def introduce(arch: Arch, model: nn.Module, spec: Spec, obstacle: str = "") -> nn.Module:
    """A freshly built arch with what the zoo knows of it attached; PluginError for what isn't a module."""
    if not isinstance(model, nn.Module):
        raise PluginError(f"arch '{spec.arch.name}' returned {type(model).__name__}; it must return an nn.Module")
    sites = arch.sites(model) if callable(arch.sites) else arch.sites
    width = arch.width(model) if arch.width else None
    recipe = arch.recipe(model) if arch.recipe and spec.arch.source is not None else None
    attach(model, Info(spec, number_sites(sites), width, obstacle=obstacle, recipe=recipe))
    return model


def draw(arch: Arch, spec: Spec, options: Mapping[str, Any], memo: dict[str, Any]) -> Blueprint:
    """The blueprint of an arch with its options, from the memo if it has been drawn before.

    Draws no random number that the caller would miss.
    """
    key = str(spec)
    if key not in memo:
        while len(memo) >= MOST_KEPT:
            memo.pop(next(iter(memo)))
        memo[key] = _draw(arch, spec, options)
    found: Blueprint = memo[key]
    return found


def _draw(arch: Arch, spec: Spec, options: Mapping[str, Any]) -> Blueprint:
    def build(device: str) -> tuple[nn.Module, tuple[Any, ...] | None]:
        with torch.random.fork_rng(devices=[]), torch.device(device), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they come again when the model itself is built
            model = introduce(arch, call_bound(arch.build, options), spec)
            return model, sample_input(model, arch.sample)

    for device in ("meta", "cpu"):
        try:
            model, arguments = build(device)
        except Exception as error:
            if device == "cpu" or not needs_memory(error):
                raise
            continue  # an arch that computes with its weights while it's built
        if arguments is None:
            return Blueprint(model, None, None)
        if notes := note(model, arguments, training=False):
            fresh = partial(build, device)
            return Blueprint(model, arguments, Trace(notes, fresh), arch.sample)  # type: ignore[arg-type]
    return Blueprint(model, None, None)


def device_of(model: nn.Module) -> torch.device:
    """Where the model's weights are; a model without any counts as one on meta."""
    return next((p.device for p in model.parameters()), torch.device("meta"))


def sample_input(model: nn.Module, sample: Any, batch: int = 2) -> tuple[Any, ...] | None:
    """The arguments of one forward, by default two samples in a batch, since BatchNorm refuses to train on one.

    A sample that is a function of the model says itself what it is; a shape is that of the bare arch, and follows where
    the model's stem took other channels since.
    """
    with device_of(model):
        given = sample(model) if callable(sample) else _follow_stem(model, sample)
        if given is None:
            return None
        if all(isinstance(size, int) for size in given):
            return (torch.zeros(batch, *given),)
        return tuple(given)


def _follow_stem(model: nn.Module, sample: Any) -> Any:
    took = [int(change.after) for change in changes_of(model) if change.what == "in_channels"]
    return (took[-1], *sample[1:]) if took and sample is not None else sample


@contextmanager
def explain_arch_errors(plan: Plan, fetched: bool = False) -> Iterator[None]:
    """The arch's own word on what the spec says of it: an option that its signature hides, a place that isn't there.

    fetched: weights are on the way too, and then anything but a wrong argument may be the fault of theirs.
    """
    with fill_fields(spec=str(plan.spec), part=str(plan.spec.arch), name=plan.arch.name):
        try:
            yield
        except OptionError as error:  # of a layer in it
            raise locate(error, Place(str(plan.spec), str(plan.spec.arch))) from error
        except ZooError:
            raise
        except (Exception, SystemExit) as error:
            argument = isinstance(error, TypeError) and "argument" in str(error)
            call, said = plan.spec.arch, printable(format_error(error))
            if isinstance(error, OSError) and fetched:
                instead = "leave pretrained= out, or give weights=FILE"
                raise FetchError(f"the weights of {call} can't be had: {said}; {instead}") from error
            if isinstance(error, OSError) and call.source is not None:
                raise FetchError(f"{call}: {said}") from error
            if needs_memory(error) or (fetched and not argument and isinstance(error, Exception)):
                raise
            if call.source is not None and not argument:
                raise UnknownNameError(f"{call}: {said}") from error
            if call.args or plan.obstacle:
                text = printable(str(error)) if argument else said
                raise OptionError(f"{call}: {text}; {signature(plan.arch.name, plan.arch.build)}") from error
            if plan.owner == "zoo":
                raise
            raise PluginError(f"arch '{plan.arch.name}' of {plan.owner} raised {said}") from error
