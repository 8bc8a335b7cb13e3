"""Options from signatures: what a spec gives is bound to a function's parameters and checked by pydantic, strictly.

Strict means that True is no number, "0.2" no float and NaN nothing at all. What comes out is a `Bound`: the values to
call the function with, and the canonical form to print.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import zip_longest
from types import SimpleNamespace, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from ..messages.errors import OptionError, PluginError, SpecError, ZooError
from ..messages.text import count, suggest
from ..spec.values import INT_LIMIT, Call, List, Value, format_value, from_python, is_name, layer_calls, sequences_as
from .declare import RESERVED, Where
from .layers import Layer, Template
from .owners import Offers

EMPTY = inspect.Parameter.empty


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
        return _shown(self.annotation)

    def __str__(self) -> str:
        if self.variadic or self.many:
            return f"{'*' if self.many else '**'}{self.name}: {self.type}"
        return f"{self.name}: {self.type}" + ("" if self.default is EMPTY else f" = {self.default!r}")


@dataclass(frozen=True)
class Bound:
    """Options bound and checked. `written` are the names that the user wrote, defaults left out.

    What `*channels` takes stands in `values` as a tuple under that name; `called` puts it back into its place.
    """

    values: Mapping[str, Any]
    written: frozenset[str]
    call: Call


@cache
def options_of(function: Callable[..., Any], skip: int = 0) -> tuple[Option, ...]:
    """The options in a function's signature, less the first `skip` and those that only `create` may set."""
    parameters = [p for p in list(inspect.signature(function).parameters.values())[skip:] if p.name not in RESERVED]
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


def called(function: Callable[..., Any], values: Mapping[str, Any], *first: Any) -> Any:
    """Call a function with what was bound to it, behind what comes first: a modifier's model."""
    named, in_a_row = dict(values), ()
    for option in options_of(function, len(first)):
        if option.many:
            in_a_row = named.pop(option.name, ())
    return function(*first, *in_a_row, **named)


def signature(name: str, function: Callable[..., Any], skip: int = 0) -> str:
    """`dropout(p: float = 0.5, at: Where = 'head')`."""
    return f"{name}({', '.join(map(str, options_of(function, skip)))})"


def bind(call: Call, function: Callable[..., Any], skip: int, layers: Callable[[], Offers]) -> Bound:
    """Match the arguments of a call to a function's options, check each value, and find the canonical form.

    layers: gives the table of layers that a value may name. Raises OptionError with the signature.
    """
    options = options_of(function, skip)
    named = {o.name: o for o in options if not o.variadic and not o.many}
    variadic = next((o for o in options if o.variadic), None)
    many = next((o for o in options if o.many), None)
    shown = signature(call.name, function, skip)
    row = [value for key, value in call.args if key is None] if many else []
    given = _match(call, named, variadic, many, shown)
    values: dict[str, Any] = {}
    if many and row:
        values[many.name] = tuple(check(call.name, many.name, value, many, layers, shown) for value in row)
    for name, value in given.items():
        option = named.get(name) or variadic
        assert option is not None
        values[name] = check(call.name, name, value, option, layers, shown)
    for name, option in named.items():
        if option.default is EMPTY and name not in values:
            raise OptionError(f"{call.name} needs '{name}'; its options: {shown}")
    order = [*(n for n in named if n in values), *sorted(n for n in given if n not in named)]
    kept = [n for n in order if n not in named or not _is_default(values[n], named[n])]
    in_a_row = [many.name] if many and row else []
    args: list[tuple[str | None, Value]] = [(None, from_python(v)) for name in in_a_row for v in values[name]]
    args += [(n, from_python(values[n])) for n in kept]
    bound = {n: values[n] for n in in_a_row + order}
    return Bound(bound, frozenset(in_a_row + kept), Call(call.name, tuple(args), call.source))


def _match(
    call: Call, named: Mapping[str, Option], variadic: Option | None, many: Option | None, shown: str
) -> dict[str, Value]:
    """Keyword arguments by name, and positional ones, unless one option takes them all."""
    names = [o.name for o in named.values() if o.positional]
    positional = [value for key, value in call.args if key is None and not many]
    if len(positional) > len(names):
        most = f"at most {count(len(names), 'positional value')}" if names else "no positional values"
        raise OptionError(f"{call.name} takes {most}, not {len(positional)}; its options: {shown}")
    given = dict(zip(names, positional, strict=False))
    for key, value in call.args:
        if key is None:
            continue
        if key in given:
            raise OptionError(f"{call.name}: '{key}' is given by position and by name; its options: {shown}")
        if key in RESERVED:
            raise OptionError(f"{call.name}: '{key}' can't stand in a spec; write zoo.create(spec, {key}=...)")
        if many and key == many.name:
            raise OptionError(f"{call.name}: '{key}' are given by position, without a name; its options: {shown}")
        if key not in named and variadic is None:
            raise no_option(call.name, key, named, shown)
        given[key] = value
    return given


def no_option(name: str, key: str, known: Iterable[str], shown: str) -> OptionError:
    """The error for an option that a function hasn't."""
    clauses = [f"{name} has no option '{key}'", suggest(key, known), f"its options: {shown}"]
    return OptionError("; ".join(filter(None, clauses)))


def check(name: str, key: str, value: Value, option: Option, layers: Callable[[], Offers], shown: str) -> Any:
    """One value, checked against its option's type; a list or a tuple becomes what the type asks for."""
    wanted = next((kind for kind in (Template, Layer) if _mentions(option.annotation, kind)), None)
    if wanted and isinstance(value, str) and value in layers():
        raise OptionError(f"{name}: {key}={value} is a word, not a layer; write {value}()")
    if next(layer_calls(value), None) is not None:
        if not wanted and option.annotation is not Any:
            raise OptionError(
                f"{name}: {key} takes {option.type}, not the layer {format_value(value)}; its options: {shown}"
            )
        value = (wanted or Layer).bind(value, layers())
    if option.annotation is Any:
        return sequences_as(tuple, value)
    try:
        checked = _validator(option.annotation)(_fitted(option.annotation, value))
    except ValueError as problem:  # pydantic's ValidationError
        text = repr(value) if isinstance(value, str) else str(value)
        met = "list" if isinstance(value, List) else type(value).__name__
        raise OptionError(f"{name}: {key} is {text} ({met}); {_reason(problem)}; its options: {shown}") from None
    # One term or a list of one: the same selector, so the same canonical form.
    alone = option.annotation == Where and isinstance(checked, list) and len(checked) == 1
    return checked[0] if alone else checked


def _fitted(annotation: Any, value: Any) -> Any:
    """The value with each list or tuple in it as the annotation has it, since a spec may write either."""
    if not isinstance(value, (list, tuple)):
        return value
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _fitted(args[0], value)
    if origin in (Union, UnionType):
        return next((fit for arg in args if _passes(arg, fit := _fitted(arg, value))), list(value))
    if (origin or annotation) is tuple and args[-1:] != (...,):
        return tuple(_fitted(inner, item) for inner, item in zip_longest(args[: len(value)], value, fillvalue=Any))
    kind = tuple if (origin or annotation) is tuple else list
    return kind(_fitted(args[0] if args else Any, item) for item in value)


def _passes(annotation: Any, value: Any) -> bool:
    try:
        _validator(annotation)(value)
    except ValueError:
        return False
    return True


@cache
def _validator(annotation: Any) -> Callable[[Any], Any]:
    from pydantic import ConfigDict, TypeAdapter

    config = ConfigDict(strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)
    return TypeAdapter(annotation, config=config).validate_python


def _reason(problem: ValueError) -> str:
    """What pydantic expected, in a clause."""
    errors = problem.errors() if hasattr(problem, "errors") else []
    reasons = dict.fromkeys(e["msg"].removeprefix("Input should be ").removeprefix("Value error, ") for e in errors)
    words = [reason for reason in reasons if not reason.endswith(" of Layer")]  # the signature says that as well
    return "expected " + (" or ".join(words) or "a layer")


def _is_default(value: Any, option: Option) -> bool:
    """Whether a value is the default, as a spec would write it: 0 for a float is 0.0, a list for a tuple a tuple."""
    if value is option.default:
        return True
    default = _fitted(option.annotation, option.default)
    try:
        default = default if option.annotation is Any else _validator(option.annotation)(default)
        return format_value(from_python(value)) == format_value(from_python(default))
    except ValueError:  # a default that its own type refuses, or that no spec can hold
        return False


def takes_where(option: Option) -> bool:
    """Whether an option is a selector."""
    return option.annotation == Where or Where in get_args(option.annotation)


def _mentions(annotation: Any, kind: type) -> bool:
    return annotation is kind or any(_mentions(arg, kind) for arg in get_args(annotation))


def _shown(annotation: Any) -> str:
    if annotation == Where:
        return "Where"
    if get_origin(annotation) is Annotated:
        base, *extras = get_args(annotation)
        bounds = [f"{sign} {getattr(extra, key)}" for extra in extras for key, sign in _SIGNS if hasattr(extra, key)]
        return " ".join([_shown(base), *bounds])
    if get_origin(annotation) in (Union, UnionType):
        return " | ".join(map(_shown, get_args(annotation)))
    if get_origin(annotation) is Literal:
        return " | ".join(map(repr, get_args(annotation)))
    if isinstance(annotation, type) and not get_args(annotation):
        return "None" if annotation is type(None) else annotation.__name__
    if isinstance(get_origin(annotation), type):
        inside = ", ".join("..." if arg is ... else _shown(arg) for arg in get_args(annotation))
        return f"{get_origin(annotation).__name__}[{inside}]"
    return str(annotation).replace("typing.", "")


_SIGNS = (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤"))


def from_keywords(call: Call, options: Mapping[str, Any]) -> tuple[Call, dict[str, Any]]:
    """A call with Python keyword options added, and those that no spec can hold."""
    args, rest = {k: (k, v) for k, v in call.args if k is not None}, {}
    for key, value in options.items():
        if isinstance(value, int) and not -INT_LIMIT <= value < INT_LIMIT:
            raise OptionError(f"{call.name}: {key} is an integer that doesn't fit in 64 bits")
        if not is_name(key):
            rest[key] = value
            continue
        try:
            args[key] = (key, from_python(value))
        except SpecError:
            args.pop(key, None)
            rest[key] = value
    positional = tuple((k, v) for k, v in call.args if k is None)
    return Call(call.name, positional + tuple(args.values()), call.source), rest


def whole(call: Call, function: Callable[..., Any], values: Mapping[str, Any], skip: int) -> Call:
    """A call with every option in it, those at their default too, as far as a spec can hold them."""
    row: list[tuple[str | None, Value]] = []
    named, args = dict(values), []
    for option in options_of(function, skip):
        if option.many:
            row = [(None, from_python(value)) for value in named.pop(option.name, ())]
        elif not option.variadic and option.name not in values:
            try:
                args.append((option.name, from_python(option.default)))
            except ZooError:
                continue
    kept = {key: value for key, value in call.args if key is not None} | dict(args)
    kept |= {name: from_python(value) for name, value in named.items()}
    return replace(call, args=(*row, *kept.items()))
