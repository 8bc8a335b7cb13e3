"""Layers in a spec: `PReLU(64)` as a value that makes a fresh module each time it's asked.

Names are looked up in a closed table, the classes of torch.nn and what plugins declare; nothing is evaluated.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .errors import OptionError, UnknownNameError
from .values import Call, Value, layer_calls

if TYPE_CHECKING:
    from torch import nn

LayerTable = Mapping[str, Callable[..., Any]]


class Layer:
    """A layer of a spec, checked; the type that a modifier's option has when it takes one."""

    __slots__ = ("call", "make")

    def __init__(self, call: Call, make: Callable[[], Any]) -> None:
        self.call = call
        self.make = make

    @classmethod
    def bind(cls, value: Value, table: LayerTable) -> Any:
        """The value with every call in it turned into a Layer. Raises UnknownNameError or OptionError."""
        if isinstance(value, tuple):
            return type(value)(cls.bind(item, table) for item in value)
        return cls._of(value, table) if isinstance(value, Call) else value

    @classmethod
    def _of(cls, call: Call, table: LayerTable) -> Layer:
        made = _found(call, table)
        args = [cls.bind(v, table) for k, v in call.args if k is None]
        options = {k: cls.bind(v, table) for k, v in call.args if k is not None}

        def make() -> Any:
            return made(*map(_built, args), **{k: _built(v) for k, v in options.items()})

        layer = cls(call, make)
        layer._try_out(made)
        return layer

    def _try_out(self, made: Callable[..., Any]) -> None:
        """Build it once on the meta device, where it costs nothing: what torch refuses is found out now."""
        import torch

        try:
            with torch.device("meta"), torch.random.fork_rng(devices=[]):
                self.make()
        except (UnknownNameError, OptionError):
            raise
        except Exception as error:
            raise OptionError(f"{self.call}: {error}; {self.call.name}{inspect.signature(made)}") from None

    def build(self) -> nn.Module:
        """A fresh module."""
        return self.make()  # type: ignore[no-any-return]

    def __str__(self) -> str:
        return str(self.call)

    def __eq__(self, other: object) -> bool:
        return str(self) == str(other) if isinstance(other, Layer) else NotImplemented

    def __hash__(self) -> int:
        return hash(str(self))


@dataclass(frozen=True)
class Template:
    """A layer of a spec in which words stand for numbers that come later: `Sequential(Conv2d(in, out, 3), ReLU())`.

    The type of a modifier's option that takes one. `table` holds the layers that it names.
    """

    call: Call
    table: LayerTable

    @classmethod
    def bind(cls, value: Value, table: LayerTable) -> Any:
        """The template that a value is; UnknownNameError for a layer that isn't in the table."""
        if not isinstance(value, Call):
            return value
        return cls(value, {call.name: _found(call, table) for call in layer_calls(value)})

    def build(self, **numbers: Any) -> nn.Module:
        """A fresh module with these numbers for the words of their names; OptionError where torch refuses it."""
        layer: Layer = Layer.bind(_filled(self.call, numbers), self.table)
        return layer.build()

    def __str__(self) -> str:
        return str(self.call)


def _filled(value: Value, numbers: Mapping[str, Any]) -> Value:
    """A value with every word that is a name of a number replaced by it."""
    if isinstance(value, Call):
        return replace(value, args=tuple((key, _filled(item, numbers)) for key, item in value.args))
    if isinstance(value, tuple):
        return type(value)(_filled(item, numbers) for item in value)
    return numbers.get(value, value) if isinstance(value, str) else value


def _found(call: Call, table: LayerTable) -> Callable[..., Any]:
    if call.name not in table:
        near = difflib.get_close_matches(call.name, table, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else "; the layers are torch.nn's and those of plugins"
        raise UnknownNameError(f"no layer '{call.name}'{hint}")
    return table[call.name]


def _built(value: Any) -> Any:
    if isinstance(value, Layer):
        return value.make()
    return tuple(map(_built, value)) if isinstance(value, tuple) else value


def torch_layers() -> dict[str, Callable[..., Any]]:
    """Every public module class of torch.nn, by name."""
    from torch import nn

    found = {n: c for n, c in vars(nn).items() if isinstance(c, type) and issubclass(c, nn.Module)}
    return {name: found[name] for name in sorted(found) if name != "Module" and not name.startswith("_")}
