"""Binding: what a spec gives is matched to a function's options, checked, and put into the canonical form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..messages.errors import OptionError, SpecError, ZooError, fill_fields
from ..messages.text import ask_for, count, find_near
from ..registry.declarations import RESERVED_OPTIONS
from ..registry.registry import Registry
from ..spec.values import INT_LIMIT, Call, Value, from_python, is_name
from .check import check, is_default
from .options import EMPTY, Option, options_of, signature


@dataclass(frozen=True)
class Bound:
    """Options bound and checked. `written` are the names that the user wrote, defaults left out.

    What `*channels` takes stands in `values` as a tuple under that name; `call_bound` puts it back into its place.
    """

    values: Mapping[str, Any]
    written: frozenset[str]
    call: Call


def bind(call: Call, function: Callable[..., Any], skip: int, registry: Registry) -> Bound:
    """Match the arguments of a call to a function's options, check each value, and find the canonical form.

    registry: whose layers a value may name. Raises OptionError with the signature.
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
        values[many.name] = tuple(check(call.name, many.name, value, many, registry, shown) for value in row)
    for name, value in given.items():
        option = named.get(name) or variadic
        assert option is not None
        values[name] = check(call.name, name, value, option, registry, shown)
    for name, option in named.items():
        if option.default is EMPTY and name not in values:
            raise OptionError(f"{call.name} needs '{name}'; its options: {shown}", name=call.name, option=name)
    order = [*(n for n in named if n in values), *sorted(n for n in given if n not in named)]
    kept = [n for n in order if n not in named or not is_default(values[n], named[n])]
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
        message = f"{call.name} takes {most}, not {len(positional)}; its options: {shown}"
        raise OptionError(message, name=call.name)
    given = dict(zip(names, positional, strict=False))
    for key, value in call.args:
        if key is not None:
            with fill_fields(name=call.name, option=key):
                if key in given:
                    raise OptionError(f"{call.name}: '{key}' is given by position and by name; its options: {shown}")
                if key in RESERVED_OPTIONS:
                    raise OptionError(f"{call.name}: '{key}' can't stand in a spec; write zoo.create(spec, {key}=...)")
                if many and key == many.name:
                    raise OptionError(
                        f"{call.name}: '{key}' are given by position, without a name; its options: {shown}"
                    )
                if key not in named and variadic is None:
                    raise unknown_option(call.name, key, named, shown)
            given[key] = value
    return given


def unknown_option(name: str, key: str, known: Iterable[str], shown: str) -> OptionError:
    """The error for an option that a function hasn't."""
    near = find_near(key, known)
    clauses = [f"{name} has no option '{key}'", ask_for(near), f"its options: {shown}"]
    return OptionError("; ".join(filter(None, clauses)), name=name, option=key, suggestions=near)


def add_keywords(call: Call, options: Mapping[str, Any]) -> tuple[Call, dict[str, Any]]:
    """A call with Python keyword options added, and those that no spec can hold."""
    args, rest = {k: (k, v) for k, v in call.args if k is not None}, {}
    for key, value in options.items():
        if isinstance(value, int) and not -INT_LIMIT <= value < INT_LIMIT:
            message = f"{call.name}: {key} is an integer that doesn't fit in 64 bits"
            raise OptionError(message, name=call.name, option=key)
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


def spell_out(call: Call, function: Callable[..., Any], values: Mapping[str, Any], skip: int) -> Call:
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
