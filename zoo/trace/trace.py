"""What a forward of an arch touches: which places are live, and what is called by function.

A place is live when a forward calls the module there or reads the attribute in question. To see both, the trace gives
every module of the blueprint, which nobody else holds, a class that notes each attribute that is read; a call shows
as a read of `forward`. What no module stands for, such as `F.relu(x)`, shows as a torch function that a module's own
code calls.

How it can fail: what a forward reads on one branch alone is missed where the sample input takes another one, so that
eval and train are both tried before something counts as not live; a model whose modules refuse another class (scripted
ones) can't be traced, and then nothing is known of it, which is said as None and never as "not live".
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Container, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn
from torch.jit import ScriptModule
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from ..surgery.changes import Change, What
from ..surgery.config import PLAIN, TORCHS_OWN
from ..surgery.mixins import parts_of
from ..surgery.walk import CHILDREN, buffer_slots, child_slots, parameter_slots, places, split

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Notes:
    """What a forward does at each path.

    reads: the attributes that are read there. functions: the torch functions that the code there calls by itself.
    classes: what stands there. shapes: of the first call there, that of the first tensor that it took, and of the first
    that it gave; None for no tensor.
    """

    reads: Mapping[str, frozenset[str]]
    functions: Mapping[str, frozenset[str]]
    classes: Mapping[str, type]
    shapes: Mapping[str, tuple[Shape | None, Shape | None]]


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


def note(model: nn.Module, arguments: tuple[Any, ...], training: bool) -> Notes | None:
    """Run one forward and note what it touches; None if it can't be run."""
    reads: dict[int, set[str]] = {id(module): set() for module in model.modules()}
    functions: dict[int, set[str]] = {key: set() for key in reads}
    shapes: dict[int, tuple[Shape | None, Shape | None]] = {}
    classes = {module: type(module) for module in model.modules()}
    modes = {module: module.training for module in model.modules()}
    nn.Module.train(model, training)
    try:
        for module, cls in classes.items():
            module.__class__ = _make_noting(cls, reads, shapes)
        with _Functions(functions), torch.no_grad():
            model(*arguments)
    except Exception:  # whatever an arch raises here only means that nothing is known about what is live
        return None
    finally:
        for module, cls in classes.items():
            module.__class__ = cls
        for module, mode in modes.items():
            module.training = mode
    everything = list(places(model))
    noted = [{path: frozenset(notes[id(m)]) for path, m in everything} for notes in (reads, functions)]
    called = {path: shapes[id(m)] for path, m in everything if id(m) in shapes}
    return Notes(noted[0], noted[1], {path: type(module) for path, module in everything}, called)


def _make_noting(cls: type, reads: dict[int, set[str]], shapes: dict[int, tuple[Shape | None, Shape | None]]) -> type:
    def __getattribute__(self: Any, name: str) -> Any:
        if (noted := reads.get(id(self))) is not None:
            noted.add(name)
        return cls.__getattribute__(self, name)  # type: ignore[call-arg]

    def __call__(self: Any, *args: Any, **kwargs: Any) -> Any:
        took = _shape((args, kwargs))
        output = cls.__call__(self, *args, **kwargs)
        shapes.setdefault(id(self), (took, _shape(output)))
        return output

    body = {"__getattribute__": __getattribute__, "__call__": __call__, "__module__": cls.__module__}
    return type(cls)(cls.__name__, (cls,), body)


def _shape(values: Any) -> Shape | None:
    """The shape of the first tensor in there; asked for past the modes, since it's no function of the model's."""
    with torch._C.DisableTorchFunction():
        return next((tuple(v.shape) for v in pytree.tree_leaves(values) if isinstance(v, torch.Tensor)), None)


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


def call_with_trace(trace: Trace | None, call: Callable[[], Any]) -> Any:
    """Make a call in which `functions_of` answers from this trace."""
    token = _current.set(trace)
    try:
        return call()
    finally:
        _current.reset(token)


def current_trace() -> Trace | None:
    """The trace of the arch that a modifier is at work on, where there is one."""
    return _current.get()


def functions_of(model: nn.Module) -> Mapping[str, frozenset[str]]:
    """For a modifier at work: the torch functions that the code of each module calls by itself, by path.

    Args:
        model: The model that the modifier got.

    Returns:
        Path to names, such as `{"layer1.0": {"relu", "add"}}`. What was put in the place of another module isn't in it.
        For a model that the zoo has no arch for, no forward was watched: then it is every name that the code of the
        forward uses and the module doesn't have, of which some may be no function, and those of functions that the
        module holds, as `nn.TransformerEncoderLayer` does.
    """
    trace = current_trace()
    found: dict[str, frozenset[str]] = {}
    if trace is not None:
        classes, functions = trace.notes.classes, trace.notes.functions
        standing = ((path, module) for path, module in places(model) if path in classes)
        found = {path: functions[path] for path, module in standing if isinstance(module, classes[path])}
    used: dict[type, frozenset[str]] = {}
    return found or {path: _names_in_code(module, used) for path, module in places(model)}


def _names_in_code(module: nn.Module, used: dict[type, frozenset[str]]) -> frozenset[str]:
    """used: of classes that were met before, the names that the code of their forward uses and the class hasn't."""
    cls: Any = parts_of(type(module))[0]  # the forward of what a module became says nothing of its own
    if cls not in used:
        plain = not issubclass(cls, ScriptModule) and not cls.__module__.startswith("torch.nn.")
        names = getattr(getattr(cls.forward, "__code__", None), "co_names", ()) if plain else ()
        used[cls] = frozenset(name for name in names if not hasattr(cls, name))
    attributes = vars(module)
    odd = (attributes[key] for key in attributes.keys() - TORCHS_OWN)
    held = [getattr(value, "__name__", "") for value in odd if type(value) not in PLAIN]
    left = used[cls]
    if left:
        left = left - attributes.keys() - child_slots(module).keys() - parameter_slots(module).keys()
        left -= buffer_slots(module).keys()
    return left.union(held) if held else left


def is_live(change: Change, trace: Trace | None, brought: Container[str] = ()) -> bool | None:
    """Whether a forward of the bare arch reaches what was changed; None if that isn't known.

    brought: paths where another module than the arch's own stands by now: what the forward reads there isn't known,
    only whether it comes there at all, and that only where the arch had one.
    """
    if trace is None:
        return None
    answer = _is_any_live(change, trace.notes, brought)
    if answer is False and trace.in_training is not None:
        answer = _is_any_live(change, trace.in_training, brought)
    return answer


def _is_any_live(change: Change, notes: Notes, brought: Container[str]) -> bool | None:
    paths = (change.path, *change.aliases)
    answers = [
        None
        if path in brought and path not in notes.reads
        else _is_path_live(path, What.REPLACED if path in brought else change.what, notes.reads)
        for path in paths
    ]
    return True if True in answers else None if None in answers else False


# Numbers that say what a module is, and that no forward needs to read: they are as live as it is.
_DESCRIPTIVE = ("in_channels", "out_channels", "in_features", "out_features", "in_chans", "num_classes")


def _is_path_live(path: str, what: str, reads: Mapping[str, frozenset[str]]) -> bool | None:
    holder, name = split(path)
    kind = What(what)
    if path not in reads:
        # A parameter or buffer of a module that was there.
        if holder not in reads or kind is What.ADDED:
            # A part that came: into a slot that the forward looks at, or for someone else to call.
            return True if name in reads.get(holder, ()) else None
        return name in reads[holder] if kind.is_of_tensors else None
    noted = reads[path]
    if kind is What.ORDER:
        return "forward" in noted or CHILDREN in noted  # a ModuleList is gone over, and never called
    if kind.is_of_calls or what in _DESCRIPTIVE:
        return "forward" in noted
    if kind in (What.REPLACED, What.REMOVED, What.ALREADY, What.NO_LONGER):
        return any(not name.startswith("_") and name != "training" for name in noted)
    return what in noted if kind is What.OPTION and not what.startswith("zoo_") else None
