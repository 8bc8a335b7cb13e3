"""An arch built once on the meta device, and what a forward of it touches: for checks before anything real is built.

A place is live when a forward calls the module there or reads the attribute in question. To see both, the trace gives
every module of the blueprint, which nobody else holds, a class that notes each attribute that is read; a call shows
as a read of `forward`. What no module stands for, such as `F.relu(x)`, shows as a torch function that a module's own
code calls.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Container, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ..messages.errors import PluginError
from ..registry.options import called
from ..surgery.provenance import Change, Info, attach, changes_of
from ..surgery.select import places

if TYPE_CHECKING:
    from ..registry.declare import Arch
    from ..spec.spec import Spec

MOST_KEPT = 16


@dataclass(frozen=True)
class Notes:
    """What a forward does at each path.

    reads: the attributes that are read there. functions: the torch functions that the code there calls by itself.
    classes: what stands there.
    """

    reads: Mapping[str, frozenset[str]]
    functions: Mapping[str, frozenset[str]]
    classes: Mapping[str, type]


class Trace:
    """What forwards of a bare arch touch: in eval mode, and in train mode if something asks that eval can't answer.

    `fresh` builds the arch again, since by then the first one may be in the middle of an edit.
    """

    def __init__(self, notes: Notes, fresh: Callable[[], tuple[nn.Module, tuple[Any, ...]]]) -> None:
        self.notes = notes
        self._fresh = fresh

    @cached_property
    def in_training(self) -> Notes | None:
        return note(*self._fresh(), training=True)


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
        rechanneled = any(change.what in ("in_channels", "in_features") for change in changes)
        return (sample_input(model, self.sample) if rechanneled else self.arguments) or ()


def introduce(arch: Arch, model: nn.Module, spec: Spec, obstacle: str = "") -> nn.Module:
    """A freshly built arch with what the zoo knows of it attached; PluginError for what isn't a module."""
    if not isinstance(model, nn.Module):
        raise PluginError(f"arch '{spec.arch.name}' returned {type(model).__name__}; it must return an nn.Module")
    sites = arch.sites(model) if callable(arch.sites) else arch.sites
    normal = {name: (paths,) if isinstance(paths, str) else tuple(paths) for name, paths in sites.items()}
    width = arch.width(model) if arch.width else None
    recipe = arch.recipe(model) if arch.recipe and spec.arch.source is not None else None
    attach(model, Info(spec, normal, width, obstacle=obstacle, recipe=recipe))
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
            model = introduce(arch, called(arch.build, options), spec)
            return model, sample_input(model, arch.sample)

    for device in ("meta", "cpu"):
        try:
            model, arguments = build(device)
        except (NotImplementedError, RuntimeError):
            if device == "cpu":
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
        given = sample(model) if callable(sample) else _rechanneled(model, sample)
        if given is None:
            return None
        if all(isinstance(size, int) for size in given):
            return (torch.zeros(batch, *given),)
        return tuple(given)


def _rechanneled(model: nn.Module, sample: Any) -> Any:
    took = [int(change.after) for change in changes_of(model) if change.what == "in_channels"]
    return (took[-1], *sample[1:]) if took and sample is not None else sample


def note(model: nn.Module, arguments: tuple[Any, ...], training: bool) -> Notes | None:
    """Run one forward and note what it touches; None if it can't be run."""
    reads: dict[int, set[str]] = {id(module): set() for module in model.modules()}
    functions: dict[int, set[str]] = {key: set() for key in reads}
    classes = {module: type(module) for module in model.modules()}
    modes = {module: module.training for module in model.modules()}
    nn.Module.train(model, training)
    try:
        for module, cls in classes.items():
            module.__class__ = _noting(cls, reads)
        with _Functions(functions), torch.no_grad():
            model(*arguments)
    except Exception:  # whatever an arch raises here only means that nothing is known about what is live
        return None
    finally:
        for module, cls in classes.items():
            module.__class__ = cls
        for module, mode in modes.items():
            module.training = mode
    noted = [{path: frozenset(notes[id(m)]) for path, m in places(model)} for notes in (reads, functions)]
    return Notes(noted[0], noted[1], {path: type(module) for path, module in places(model)})


def _noting(cls: type, reads: dict[int, set[str]]) -> type:
    def __getattribute__(self: Any, name: str) -> Any:
        if (noted := reads.get(id(self))) is not None:
            noted.add(name)
        return cls.__getattribute__(self, name)  # type: ignore[call-arg]

    return type(cls)(cls.__name__, (cls,), {"__getattribute__": __getattribute__, "__module__": cls.__module__})


class _Functions(TorchFunctionMode):
    """Notes each torch function under the module whose code called it: the nearest frame whose `self` is one."""

    def __init__(self, notes: dict[int, set[str]]) -> None:
        super().__init__()
        self.notes = notes

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        frame = sys._getframe(1)
        while frame is not None:
            noted = self.notes.get(id(frame.f_locals.get("self")))
            if noted is not None:
                noted.add(getattr(func, "__name__", str(func)))
                break
            frame = frame.f_back  # type: ignore[assignment]
        return func(*args, **(kwargs or {}))


_current: ContextVar[Trace | None] = ContextVar("zoo_trace", default=None)


def with_trace(trace: Trace | None, call: Callable[[], Any]) -> Any:
    """Make a call in which `functions_of` answers from this trace."""
    token = _current.set(trace)
    try:
        return call()
    finally:
        _current.reset(token)


def functions_of(model: nn.Module) -> Mapping[str, frozenset[str]]:
    """For a modifier at work: the torch functions that the code of each module calls by itself, by path.

    Empty where that isn't known: for a model that the zoo has no arch for. What was put in the place of another module
    isn't in it.
    """
    trace = _current.get()
    if trace is None:
        return {}
    classes, functions = trace.notes.classes, trace.notes.functions
    return {
        path: functions[path] for path, module in places(model) if path in classes and isinstance(module, classes[path])
    }


def is_live(change: Change, trace: Trace | None, brought: Container[str] = ()) -> bool | None:
    """Whether a forward of the bare arch reaches what was changed; None if that isn't known.

    brought: paths where another module than the arch's own stands by now: what the forward reads there isn't known,
    only whether it comes there at all, and that only where the arch had one.
    """
    if trace is None:
        return None
    answer = _live(change, trace.notes, brought)
    if answer is False and trace.in_training is not None:
        answer = _live(change, trace.in_training, brought)
    return answer


def _live(change: Change, notes: Notes, brought: Container[str]) -> bool | None:
    paths = (change.path, *change.aliases)
    answers = [
        None
        if path in brought and path not in notes.reads
        else _path_live(path, "replaced" if path in brought else change.what, notes.reads)
        for path in paths
    ]
    return True if True in answers else None if None in answers else False


# Numbers that say what a module is, and that no forward needs to read: they are as live as it is.
_DESCRIPTIVE = ("in_channels", "out_channels", "in_features", "out_features", "in_chans", "num_classes")


def _path_live(path: str, what: str, reads: Mapping[str, frozenset[str]]) -> bool | None:
    holder, _, name = path.rpartition(".")
    if path not in reads:
        # A parameter or buffer of a module that was there.
        return name in reads[holder] if holder in reads and what in ("values", "requires_grad", "replaced") else None
    noted = reads[path]
    if what == "order":
        return "forward" in noted or "_modules" in noted  # a ModuleList is gone over, and never called
    if what in ("inserted before", "inserted after", "became", "class") or what in _DESCRIPTIVE:
        return "forward" in noted
    if what in ("replaced", "removed", "already", "no longer"):
        return any(not name.startswith("_") and name != "training" for name in noted)
    return None if what.startswith(("hook", "added", "zoo_")) else what in noted
