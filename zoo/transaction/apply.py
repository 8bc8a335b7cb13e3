"""Applying one modifier, under guard: what it did is recorded, what it promised is checked, what failed is undone."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import nn

from ..messages.errors import NoEffectError, NotApplicableError, PluginError, ZooError, locate
from ..messages.text import and_more, format_place
from ..plan.options import Option, call_bound, options_of, takes_where
from ..plan.resolve import Step
from ..registry.registry import use_registry
from ..surgery.changes import Change, What
from ..surgery.provenance import Info, attach, info_of
from ..trace.trace import Trace, call_with_trace, is_live
from .already import find_already
from .detect import Delta, compare
from .promises import find_broken_effect, find_broken_promise
from .snapshot import snapshot_after
from .transaction import Transaction
from .write_log import Writes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..spec.spec import Spec


def apply_steps(transaction: Transaction, steps: Sequence[Step], spec: Spec, trace: Trace | None) -> nn.Module:
    """Apply modifiers left to right to the model of a transaction, and write down on it what they did.

    spec: what the model's spec is then. trace: what a forward of its arch touches, if that is known.
    """
    info = info_of(transaction.now.root) or Info(spec)
    for step in steps:
        try:
            with _blame(step):
                made = _apply(transaction, step, trace, {c.path for c in info.changes if c.kind is What.REPLACED})
        except ZooError as error:
            raise locate(error, step.place) from error.__cause__
        info = replace(info, changes=info.changes + tuple(made))
    model = transaction.now.root
    attach(model, replace(info, spec=spec))
    return model


@contextmanager
def _blame(step: Step) -> Iterator[None]:
    """Any other exception becomes a PluginError that says whose modifier raised it."""
    try:
        yield
    except ZooError as error:
        error.name = error.name or step.modifier.name
        raise
    except (Exception, SystemExit) as error:
        what = f"modifier '{step.modifier.name}' of {step.owner} raised {type(error).__name__}: {error}"
        raise PluginError(what, name=step.modifier.name) from error


def _apply(transaction: Transaction, step: Step, trace: Trace | None, brought: set[str]) -> list[Change]:
    """One modifier: what it did, if it kept the promises of all modifiers, and a forward reaches some of it.

    brought: where modifiers before it put something else.
    """
    name, before = step.modifier.name, transaction.now
    model = before.root
    part = str(step.bound.call)

    def run() -> Any:
        return call_with_trace(trace, lambda: _call(step, model, transaction.writes))

    result = run()
    if not isinstance(result, nn.Module):
        raise PluginError(f"modifier '{name}' returned {type(result).__name__}; it must return the model")
    if result is not model and (info := info_of(model)) and info_of(result) is None:
        attach(result, info)
    after = snapshot_after(before, result)
    delta = Delta(before, after)
    if problem := find_broken_promise(delta, name) or find_broken_effect(delta, step.modifier):
        raise problem
    found = compare(delta, part) or find_already(before, run, part)
    if not found:
        kind = NoEffectError if _has_selector(step) else NotApplicableError
        raise kind(f"{name} changed nothing: it found nothing to work on in this {type(model).__name__}")
    if trace:
        brought = brought | (before.paths.keys() - trace.notes.reads.keys())
        found = [replace(change, live=is_live(change, trace, brought)) for change in found]
    if all(change.live is False for change in found):
        sites = ", ".join(format_place(change.path) for change in found[:3])
        more = and_more(len(found), 3)
        raise NotApplicableError(f"{name} would change {sites}{more}, which no forward of the model reaches")
    transaction.now = after
    return found


def _call(step: Step, model: nn.Module, writes: Writes) -> Any:
    try:
        # Around the modifier alone, since while they are noted each view of a tensor takes a hundred microseconds.
        with use_registry(step.registry), writes:
            return call_bound(step.modifier.apply, step.bound.values, model)
    except NoEffectError as error:
        if _has_selector(step):
            raise
        # The user wrote no selector, so the model is to blame and not his words.
        lone = next((o.default for o in _selectors(step) if isinstance(o.default, str)), "")
        named = f"this {type(model).__name__} names no '{lone}'" if lone.isidentifier() else str(error)
        raise NotApplicableError(f"{named}; say where, as in {step.modifier.name}(..., at=...)") from None


def _selectors(step: Step) -> list[Option]:
    return [option for option in options_of(step.modifier.apply, 1) if takes_where(option)]


def _has_selector(step: Step) -> bool:
    return any(option.name in step.bound.written for option in _selectors(step))
