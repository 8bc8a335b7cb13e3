"""What a modifier sets to what it was: seen by running it once more, on the model that it left as it was.

The problem: `module.eps = 1e-5` leaves no trace where eps is 1e-5, and yet a modifier that sets it is another one than
one that found nothing to work on. The trick: before `nn.Module.__setattr__` sets anything, it asks the module's own
parameters whether that is the name of one of them, and what it registers it puts into the module's own dicts. So for
the second run each module has dicts that tell of it. They stand in the instance: no class is touched, `type(module)` is
what it was, and no other thread or model sees anything of it. What the second run does is taken back, whatever it is.

How it can fail: a class whose `__setattr__` passes by torch's, and what is written into `vars(module)`, leave no trace
in the second run either, and count as nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ..surgery.changes import Change, What
from ..surgery.config import brief, tensor_text
from ..surgery.walk import BUFFERS, CHILDREN, PARAMETERS, join
from .snapshot import Snapshot

# Who set what: the path of a module and the name of an attribute, with the value.
Notes = dict[tuple[str, str], Any]


def find_already(before: Snapshot, run: Callable[[], Any], part: str) -> list[Change]:
    """What a modifier that changed nothing sets, found by its second `run`; nothing where it found nothing to do."""
    notes: Notes = {}
    end = Snapshot(before.root)
    try:
        for path, module in before.paths.items():
            if before.first[id(module)] == path:
                _watch(module, path, notes)
        with _NotingGrad(before, notes):
            run()
    finally:
        end.restore()
    return [_unchanged(part, path, name, value) for (path, name), value in notes.items()]


def _watch(module: nn.Module, path: str, notes: Notes) -> None:
    own = vars(module)
    asked: list[str] = []
    for key in (PARAMETERS, BUFFERS, CHILDREN):
        if type(own.get(key)) in (dict, OrderedDict):  # a scripted module has others
            own[key] = _Telling(own, own[key], path, notes, asked)


class _Telling(dict[str, Any]):
    """A module's dict of parameters, buffers or children, which tells what attributes of the module are set.

    own: the module's `__dict__`. asked: the name that was asked for last, by torch before it registers something.
    """

    def __init__(self, own: dict[str, Any], content: dict[str, Any], path: str, notes: Notes, asked: list[str]) -> None:
        super().__init__(content)
        self._own, self._path, self._notes, self._asked = own, path, notes, asked

    def __contains__(self, name: object) -> bool:
        if isinstance(name, str):
            self._asked[:] = [name]
            if name in self._own:  # one that is read is found there, and not asked for here
                self._note(name, self._own[name])
        return super().__contains__(name)

    def __setitem__(self, name: str, value: Any) -> None:
        # `model.float()` puts in every buffer without asking: that is no attribute that someone set.
        if name in self._asked and super().__contains__(name):
            self._note(name, value)
        self._asked.clear()
        super().__setitem__(name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)  # a copy of the module is nobody's concern

    def _note(self, name: str, value: Any) -> None:
        if name != "training" and not name.startswith("_"):
            self._notes[self._path, name] = value


class _NotingGrad(TorchFunctionMode):
    """Notes `parameter.requires_grad = True` and `requires_grad_()`, which pass by the modules."""

    def __init__(self, before: Snapshot, notes: Notes) -> None:
        super().__init__()
        self.names = {id(state.tensor): name for name, state in before.tensors.items()}
        self.notes = notes

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        sets = func in (torch.Tensor.requires_grad_, torch.Tensor.requires_grad.__set__)  # type: ignore[attr-defined]
        if sets and id(args[0]) in self.names:
            self.notes[self.names[id(args[0])], "requires_grad"] = args[0].requires_grad
        return func(*args, **(kwargs or {}))


def _unchanged(part: str, path: str, name: str, value: Any) -> Change:
    if isinstance(value, (nn.Module, torch.Tensor)):
        text = brief(value) if isinstance(value, nn.Module) else tensor_text(value)
        return Change(part, join(path, name), What.ALREADY, text, text)
    return Change(part, path, What.ALREADY, f"{name}={value!r}", f"{name}={value!r}")
