"""Layers in a spec: `PReLU(64)` as a value that makes a fresh module each time it's asked.

Names are looked up in a closed table, the classes of torch.nn and what plugins declare; nothing is evaluated.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..messages.errors import OptionError, PluginError, ZooError
from ..registry.owners import NONE, Maker, Offers
from ..registry.registry import Registry
from ..spec.values import Call, Value, format_value

if TYPE_CHECKING:
    from torch import nn


class Layer:
    """A layer of a spec, checked; the type that a modifier's option has when it takes one.

    A fresh module comes out each time, so that one of them can go to many places. Equal ones print equal.

    Attributes:
        call: the layer as a spec has it; `str` of it is its text.

    Example:
        >>> @zoo.modifier(examples=["crown(Tanh())"])
        ... def crown(model, /, layer: zoo.Layer):
        ...     '''Put a layer behind the head.'''
        ...     return zoo.insert_after(model, "head", layer.build())
    """

    __slots__ = ("call", "make")

    def __init__(self, call: Call, make: Callable[[], Any]) -> None:
        self.call = call
        self.make = make

    @classmethod
    def bind(cls, value: Value, table: Offers) -> Any:
        """The value with every call in it turned into a Layer.

        Args:
            value: of a spec: a call, or whatever holds calls.
            table: the layers that it may name.

        Raises:
            UnknownNameError: it names none of them.
            OptionError: a layer refuses its options.
        """
        if isinstance(value, tuple):
            return type(value)(cls.bind(item, table) for item in value)
        return cls._bind_call(value, table) if isinstance(value, Call) else value

    @classmethod
    def _bind_call(cls, call: Call, table: Offers) -> Layer:
        made = table[call.name]
        bound = [(k, cls.bind(v, table)) for k, v in call.args]
        args = [v for k, v in bound if k is None]
        options = {k: v for k, v in bound if k is not None}

        def make() -> Any:
            return made(*map(_build, args), **{k: _build(v) for k, v in options.items()})

        layer = cls(Call(table.canonical(call.name), tuple((k, _spell(v)) for k, v in bound)), make)
        layer._try_out(made)
        return layer

    # What a layer refuses, torch says when it's built, deep in a modifier's work. So each is built once when the spec
    # is read: on meta, with the generator put back, so that neither time nor a random number is spent. How it can fail:
    # a plugin's layer that computes while it's built can't on meta, and is built in memory then.
    def _try_out(self, made: Callable[..., Any]) -> None:
        """Build it once on the meta device, where it costs nothing: what torch refuses is found out now."""
        import torch

        try:
            with torch.random.fork_rng(devices=[]):
                try:
                    with torch.device("meta"):
                        module = self.make()
                except (NotImplementedError, RuntimeError):  # a plugin's layer may compute while it's built
                    with torch.device("cpu"):
                        module = self.make()
        except ZooError:
            raise
        except SystemExit as error:
            raise PluginError(f"{self.call} raised SystemExit: {error}") from error
        except Exception as error:
            raise OptionError(f"{self.call}: {error}; {format_signature(self.call.name, made)}") from None
        if not isinstance(module, torch.nn.Module):
            raise PluginError(f"{self.call} gives a {type(module).__name__}; a layer is an nn.Module")

    def build(self) -> nn.Module:
        """A fresh module, in train mode, on torch's default device."""
        return self.make()  # type: ignore[no-any-return]

    def __str__(self) -> str:
        return format_value(self.call)

    def __eq__(self, other: object) -> bool:
        return str(self) == str(other) if isinstance(other, Layer) else NotImplemented

    def __hash__(self) -> int:
        return hash(str(self))


@dataclass(frozen=True)
class Template:
    """A layer of a spec in which words stand for numbers that come later: `Sequential(Conv2d(in, out, 3), ReLU())`.

    The type that an option has when it takes one.

    Attributes:
        call: the layer as a spec has it, words and all; `str` of it is its text.
        makers: what makes the layers that it names.
    """

    call: Call
    makers: Mapping[str, Maker]

    @classmethod
    def bind(cls, value: Value, table: Offers) -> Any:
        """The template that a value of a spec is. Numbers are checked when it's built.

        Raises:
            UnknownNameError: it names a layer that isn't in the table.
        """
        if not isinstance(value, Call):
            return value
        makers: dict[str, Maker] = {}
        return cls(_canonicalise(value, table, makers), makers)

    def build(self, **numbers: Any) -> nn.Module:
        """A fresh module with these numbers for the words of their names: `template.build(out=64)`.

        Raises:
            OptionError: a layer refuses its numbers.
        """
        layer: Layer = Layer.bind(_fill(self.call, numbers), Offers("layer", NONE, self.makers))
        return layer.build()

    def __str__(self) -> str:
        return str(self.call)


def _canonicalise(value: Value, table: Offers, makers: dict[str, Maker]) -> Value:
    """A value with every layer in it under the name that reaches it, and what makes each."""
    if isinstance(value, Call):
        name = table.canonical(value.name)
        makers[name] = table[value.name]
        return Call(name, tuple((key, _canonicalise(item, table, makers)) for key, item in value.args))
    return type(value)(_canonicalise(item, table, makers) for item in value) if isinstance(value, tuple) else value


def _fill(value: Value, numbers: Mapping[str, Any]) -> Value:
    """A value with every word that is a name of a number replaced by it."""
    if isinstance(value, Call):
        return Call(value.name, tuple((key, _fill(item, numbers)) for key, item in value.args))
    if isinstance(value, tuple):
        return type(value)(_fill(item, numbers) for item in value)
    return numbers.get(value, value) if isinstance(value, str) else value


def format_signature(name: str, made: Callable[..., Any]) -> str:
    """`GeM(p: float = 3.0)`; brackets with dots for what has no signature."""
    try:
        return f"{name}{inspect.signature(made)}"
    except (TypeError, ValueError):
        return f"{name}(...)"


def _spell(value: Any) -> Value:
    """A bound value as the spec has it, every layer under the name that reaches it."""
    if isinstance(value, Layer):
        return value.call
    return type(value)(map(_spell, value)) if isinstance(value, tuple) else value


def _build(value: Any) -> Any:
    if isinstance(value, Layer):
        return value.make()
    return tuple(map(_build, value)) if isinstance(value, tuple) else value


def list_torch_layers() -> dict[str, Callable[..., Any]]:
    """Every public module class of torch.nn, by name."""
    from torch import nn

    found = {n: c for n, c in vars(nn).items() if isinstance(c, type) and issubclass(c, nn.Module)}
    return {name: found[name] for name in sorted(found) if name != "Module" and not name.startswith("_")}


def layers_of(registry: Registry) -> Offers:
    """The layers that a spec may name: torch.nn's, which no plugin can take over, and those of plugins. Imports torch.

    Listed once for a registry.
    """
    return registry.keep(_list_layers)


def _list_layers(registry: Registry) -> Offers:
    others = "the layers are torch.nn's and those of plugins"
    return Offers("layer", registry.tables["layer"], list_torch_layers(), others, registry.list_absent)
