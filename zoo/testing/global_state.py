"""Global state that no modifier may touch: looked at, compared, put back."""

from __future__ import annotations

import os
import random
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

_hooks = nn.modules.module
_HOOKS = [name for name in vars(_hooks) if name.startswith("_global_") and isinstance(vars(_hooks)[name], dict)]


def _numpy_random() -> Any:
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    name, keys, *rest = numpy.random.get_state()
    return (name, keys.tobytes(), *rest)


def _set_numpy_random(state: Any) -> None:
    numpy = sys.modules.get("numpy")
    if numpy is not None and state is not None:
        numpy.random.set_state((state[0], numpy.frombuffer(state[1], dtype="uint32"), *state[2:]))


def _deterministic() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def _set_deterministic(value: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(value[0], warn_only=value[1])


def _matmul_precision() -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch 2.9 calls its own function old
        return torch.get_float32_matmul_precision()


def _set_matmul_precision(value: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.set_float32_matmul_precision(value)


def _attribute(owner: Any, name: str) -> tuple[Callable[[], Any], Callable[[Any], None]]:
    return lambda: getattr(owner, name), lambda value: setattr(owner, name, value)


def _set_hooks(name: str) -> tuple[Callable[[], Any], Callable[[Any], None]]:
    def put(hooks: dict[Any, Any]) -> None:
        vars(_hooks)[name].clear()
        vars(_hooks)[name].update(hooks)

    return lambda: dict(vars(_hooks)[name]), put


# What it is called, how it is read, and how it is put back.
SETTINGS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "torch's default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "torch's grad mode": (torch.is_grad_enabled, torch.set_grad_enabled),
    "torch's number of threads": (torch.get_num_threads, torch.set_num_threads),
    "torch's deterministic algorithms": (_deterministic, _set_deterministic),
    "torch's matmul precision": (_matmul_precision, _set_matmul_precision),
    "torch's anomaly mode": (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    "cudnn.benchmark": _attribute(torch.backends.cudnn, "benchmark"),
    "cudnn.deterministic": _attribute(torch.backends.cudnn, "deterministic"),
    **{f"torch's hooks on every module ({name})": _set_hooks(name) for name in _HOOKS},
    "Python's random state": (random.getstate, random.setstate),
    "NumPy's random state": (_numpy_random, _set_numpy_random),
    "the recursion limit": (sys.getrecursionlimit, sys.setrecursionlimit),
}

# What the first import of a library may rightly change, so that it isn't put back.
_OF_THE_PROCESS: dict[str, Callable[[], Any]] = {
    "os.environ": lambda: dict(os.environ),
    "the working directory": os.getcwd,
    "sys.path": lambda: list(sys.path),
    "the warnings filters": lambda: list(warnings.filters),
}

_MODULES = (torch, nn, nn.functional, nn.init)


class Global:
    """The global state at one moment."""

    def __init__(self) -> None:
        self.settings = {name: read() for name, (read, _) in SETTINGS.items()}
        self.process = {name: read() for name, read in _OF_THE_PROCESS.items()}
        self.functions = {module: _functions(vars(module)) for module in _MODULES}
        self.classes = Classes([nn.Module, torch.Tensor])

    def list_changed(self) -> list[str]:
        """What is no longer as it was."""
        found = [name for name, (read, _) in SETTINGS.items() if read() != self.settings[name]]
        found += [name for name, read in _OF_THE_PROCESS.items() if read() != self.process[name]]
        for module, functions in self.functions.items():
            found += [f"{module.__name__}.{name}" for name in _list_replaced(functions, vars(module))]
        return found + self.classes.list_changed()

    def put_back(self) -> None:
        """Undo what can soundly be undone."""
        for name, (read, write) in SETTINGS.items():
            if read() != self.settings[name]:
                write(self.settings[name])
        for module, functions in self.functions.items():
            for name in _list_replaced(functions, vars(module)):
                setattr(module, name, functions[name])
        self.classes.put_back()


class Classes:
    """The methods of classes at one moment."""

    def __init__(self, classes: Iterable[type]) -> None:
        self.methods = {cls: _functions(vars(cls)) for cls in classes}

    def list_changed(self) -> list[str]:
        return [f"{cls.__name__}.{name}" for cls, name in self._compare()]

    def put_back(self) -> None:
        for cls, name in self._compare():
            old = self.methods[cls].get(name)
            if old is None:
                delattr(cls, name)
            else:
                setattr(cls, name, old)

    def _compare(self) -> list[tuple[Any, str]]:
        return [
            (cls, name)
            for cls, methods in self.methods.items()
            for now in [_functions(vars(cls))]
            for name in dict.fromkeys([*methods, *now])
            if methods.get(name) is not now.get(name)
        ]


def classes_of(model: nn.Module) -> list[type]:
    """Every class of a module in the model, those that it inherits from too, up to nn.Module."""
    found = dict.fromkeys(cls for module in model.modules() for cls in type(module).__mro__)
    return [cls for cls in found if issubclass(cls, nn.Module) and cls is not nn.Module]


def _functions(namespace: Mapping[str, Any]) -> dict[str, Any]:
    kinds = (property, staticmethod, classmethod)
    return {name: value for name, value in namespace.items() if callable(value) or isinstance(value, kinds)}


def _list_replaced(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Names that stand for something else; new ones are what a lazy import brings."""
    return [name for name, value in before.items() if now.get(name) is not value]


@contextmanager
def preserve(classes: Iterable[type] = ()) -> Iterator[None]:
    """What is done inside leaves neither global state nor these classes changed, nor torch's random state."""
    before, own = Global(), Classes(classes)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        own.put_back()
        before.put_back()
