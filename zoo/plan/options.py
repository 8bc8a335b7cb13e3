"""Options from signatures: what a function takes, with its type, its default, and the way to show it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from ..messages.errors import PluginError
from ..registry.declarations import RESERVED_OPTIONS, Where

EMPTY = inspect.Parameter.empty
_SIGNS = (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤"))


@dataclass(frozen=True)
class Option:
    """One option of an arch or a modifier. `default` is `inspect.Parameter.empty` where there is none.

    variadic: takes every other keyword, as `**options` does. many: takes every positional value, as `*channels` does.
    """

    name: str
    annotation: Any
    default: Any
    variadic: bool = False
    positional: bool = True
    many: bool = False

    @property
    def type(self) -> str:
        """The type as a signature shows it."""
        return format_type(self.annotation)

    def __str__(self) -> str:
        if self.variadic or self.many:
            return f"{'*' if self.many else '**'}{self.name}: {self.type}"
        return f"{self.name}: {self.type}" + ("" if self.default is EMPTY else f" = {self.default!r}")


@cache
def options_of(function: Callable[..., Any], skip: int = 0) -> tuple[Option, ...]:
    """The options in a function's signature, less the first `skip` and those that only `create` may set."""
    parameters = [
        p for p in list(inspect.signature(function).parameters.values())[skip:] if p.name not in RESERVED_OPTIONS
    ]
    # Of these alone: the model's and the return type may be names that exist for the type checker only.
    wanted = SimpleNamespace(__annotations__={p.name: p.annotation for p in parameters if p.annotation is not EMPTY})
    try:
        hints = get_type_hints(wanted, getattr(function, "__globals__", {}), {}, include_extras=True)
    except NameError as error:
        raise PluginError(f"{function.__name__}: the type of an option can't be found at run time: {error}") from None
    return tuple(
        Option(
            p.name,
            hints.get(p.name, Any),
            p.default,
            variadic=p.kind is p.VAR_KEYWORD,
            positional=p.kind is p.POSITIONAL_OR_KEYWORD,
            many=p.kind is p.VAR_POSITIONAL,
        )
        for p in parameters
    )


def call_bound(function: Callable[..., Any], values: Mapping[str, Any], *first: Any) -> Any:
    """Call a function with what was bound to it, behind what comes first: a modifier's model."""
    named, in_a_row = dict(values), ()
    for option in options_of(function, len(first)):
        if option.many:
            in_a_row = named.pop(option.name, ())
    return function(*first, *in_a_row, **named)


def signature(name: str, function: Callable[..., Any], skip: int = 0) -> str:
    """`dropout(p: float = 0.5, at: Where = 'head')`."""
    return f"{name}({', '.join(map(str, options_of(function, skip)))})"


def takes_where(option: Option) -> bool:
    """Whether an option is a selector."""
    return option.annotation == Where or Where in get_args(option.annotation)


def format_type(annotation: Any) -> str:
    """A type as a signature shows it: `int ≥ 1 | None`."""
    if annotation == Where:
        return "Where"
    if get_origin(annotation) is Annotated:
        base, *extras = get_args(annotation)
        bounds = [f"{sign} {getattr(extra, key)}" for extra in extras for key, sign in _SIGNS if hasattr(extra, key)]
        return " ".join([format_type(base), *bounds])
    if get_origin(annotation) in (Union, UnionType):
        return " | ".join(map(format_type, get_args(annotation)))
    if get_origin(annotation) is Literal:
        return " | ".join(map(repr, get_args(annotation)))
    if isinstance(annotation, type) and not get_args(annotation):
        return "None" if annotation is type(None) else annotation.__name__
    if isinstance(get_origin(annotation), type):
        inside = ", ".join("..." if arg is ... else format_type(arg) for arg in get_args(annotation))
        return f"{get_origin(annotation).__name__}[{inside}]"
    return str(annotation).replace("typing.", "")
