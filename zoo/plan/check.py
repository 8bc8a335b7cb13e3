"""One value against the type of its option, strictly, by pydantic.

Strict means that True is no number, "0.2" no float and NaN nothing at all.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import zip_longest
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from ..messages.errors import OptionError, ZooError, fill_fields
from ..registry.declarations import Where
from ..registry.registry import Registry
from ..spec.values import List, Value, convert_sequences, format_value, from_python, iter_layers
from .layers import Layer, Template, layers_of
from .options import Option


def check(name: str, key: str, value: Value, option: Option, registry: Registry, shown: str) -> Any:
    """One value, checked against its option's type; a list or a tuple becomes what the type asks for."""
    with fill_fields(name=name, option=key):
        return _check(name, key, value, option, registry, shown)


def _check(name: str, key: str, value: Value, option: Option, registry: Registry, shown: str) -> Any:
    wanted = next((kind for kind in (Template, Layer) if _mentions(option.annotation, kind)), None)
    if wanted and isinstance(value, str) and value in layers_of(registry):
        raise OptionError(f"{name}: {key}={value} is a word, not a layer; write {value}()")
    if next(iter_layers(value), None) is not None:
        if not wanted and option.annotation is not Any:
            raise OptionError(
                f"{name}: {key} takes {option.type}, not the layer {format_value(value)}; its options: {shown}"
            )
        value = (wanted or Layer).bind(value, layers_of(registry))
    if option.annotation is Any:
        return convert_sequences(tuple, value)
    try:
        checked = _make_validator(option.annotation)(_fit(option.annotation, value))
    except ValueError as problem:  # pydantic's ValidationError
        if own := _find_own(problem):
            raise own from None
        text = repr(value) if isinstance(value, str) else str(value)
        met = "list" if isinstance(value, List) else type(value).__name__
        raise OptionError(f"{name}: {key} is {text} ({met}); {_explain(problem)}; its options: {shown}") from None
    # One term or a list of one: the same selector, so the same canonical form.
    alone = option.annotation == Where and isinstance(checked, list) and len(checked) == 1
    return checked[0] if alone else checked


# A spec may write (1, 2) where a function wants a list, and [1, 2] where it wants a tuple, but pydantic is to be
# strict, or True would be a number. So sequences are turned by hand into what the annotation says, from outside in, and
# pydantic judges the result. In a union the first branch wins that accepts the value as it would fit it, so that `int |
# list[int]` and `list[int] | tuple[str, str]` both work. How it can fail: a type that hides a sequence from `get_args`,
# such as a NewType, is given a list.
def _fit(annotation: Any, value: Any) -> Any:
    """The value with each list or tuple in it as the annotation has it, since a spec may write either."""
    if not isinstance(value, (list, tuple)):
        return value
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _fit(args[0], value)
    if origin in (Union, UnionType):
        return next((fit for arg in args if _accepts(arg, fit := _fit(arg, value))), list(value))
    if (origin or annotation) is tuple and args[-1:] != (...,):
        return tuple(_fit(inner, item) for inner, item in zip_longest(args[: len(value)], value, fillvalue=Any))
    kind = tuple if (origin or annotation) is tuple else list
    return kind(_fit(args[0] if args else Any, item) for item in value)


def _accepts(annotation: Any, value: Any) -> bool:
    try:
        _make_validator(annotation)(value)
    except ValueError:
        return False
    return True


@cache
def _make_validator(annotation: Any) -> Callable[[Any], Any]:
    from pydantic import ConfigDict, TypeAdapter

    config = ConfigDict(strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)
    return TypeAdapter(annotation, config=config).validate_python


def _find_own(problem: ValueError) -> ZooError | None:
    """The error with which a plugin's own validator refused the value: pydantic puts it inside its own."""
    inside = [error.get("ctx", {}).get("error") for error in problem.errors()] if hasattr(problem, "errors") else []
    return next((error for error in inside if isinstance(error, ZooError)), None)


def _explain(problem: ValueError) -> str:
    """What pydantic expected, in a clause."""
    errors = problem.errors() if hasattr(problem, "errors") else []
    reasons = dict.fromkeys(e["msg"].removeprefix("Input should be ").removeprefix("Value error, ") for e in errors)
    words = [reason for reason in reasons if not reason.endswith(" of Layer")]  # the signature says that as well
    return "expected " + (" or ".join(words) or "a layer")


def is_default(value: Any, option: Option) -> bool:
    """Whether a value is the default, as a spec would write it: 0 for a float is 0.0, a list for a tuple a tuple."""
    if value is option.default:
        return True
    default = _fit(option.annotation, option.default)
    try:
        default = default if option.annotation is Any else _make_validator(option.annotation)(default)
        return format_value(from_python(value)) == format_value(from_python(default))
    except ValueError:  # a default that its own type refuses, or that no spec can hold
        return False


def _mentions(annotation: Any, kind: type) -> bool:
    return annotation is kind or any(_mentions(arg, kind) for arg in get_args(annotation))
