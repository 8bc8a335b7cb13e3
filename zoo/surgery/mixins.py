"""`become`: give one module a new class, made of small mixins over its own class, and nothing else about it changes.

The problem: what a module computes is to change, and nothing else: a wrapper around it would rename every key below
and lose ties, hooks, and references that others hold; a method set on the instance isn't copied, pickled or exported
rightly. The trick: the object stays, and its class becomes a new one, made once of (base, mixins), in which each
mixin's `forward` calls the next through `super()`. That class is flat, never a stack: a pickle names the base and the
mixins, which can be imported, and the class is made of them again; to take one mixin off is to make the class without
it, whatever was put over it since. Each gets a `forward` of its own with the base's signature and the mixins' options,
since torch.export, trainers and users inspect it.

How it can fail: torch.jit.script refuses such a class; `convert_sync_batchnorm` makes a new module and so loses it;
a base that pickles itself in its own way is refused here; and two mixins whose methods have one name have to call
`super()`, or the inner one never runs.
"""

from __future__ import annotations

import inspect
from functools import cache
from types import FunctionType
from typing import Any

from ..messages.errors import NotApplicableError


class Mixin:
    """Base of what a module can become.

    A mixin overrides `forward(self, *args, **kwargs)`, calls `super().forward`, and keeps its state in attributes of
    the module whose names start with `zoo_`. `options` are keyword-only parameters that its forward adds.
    """

    options: tuple[str, ...] = ()


def parts_of(cls: type) -> tuple[type, tuple[type, ...]]:
    """A class as its base and the mixins over it, outermost first; any other class is its own base."""
    # Its own, not an inherited one: torch's parametrize makes a subclass of what a module became.
    found: tuple[type, tuple[type, ...]] = vars(cls).get("_zoo_parts", (cls, ()))
    return found


def class_name(cls: type) -> str:
    """A class in words that hold from one process to the next: where it's from, and the mixins over it."""
    base, mixins = parts_of(cls)
    return " under ".join(f"{one.__module__}.{one.__qualname__}" for one in (base, *reversed(mixins)))


@cache
def _combine(base: type, mixins: tuple[type, ...]) -> type:
    body: dict[str, Any] = {"_zoo_parts": (base, mixins), "__reduce_ex__": _reduce_ex, "__module__": base.__module__}
    if outer := next((m for m in mixins if "forward" in vars(m)), None):
        body["forward"] = _copy_with_signature(vars(outer)["forward"], base, mixins)
        names = list(inspect.signature(base.forward).parameters)  # type: ignore[attr-defined]
        body["zoo_input"] = names[1] if len(names) > 1 else ""
    made = type(base)(base.__name__, (*mixins, base), body)
    made.__qualname__ = base.__qualname__
    return made


def _copy_with_signature(forward: FunctionType, base: Any, mixins: tuple[type, ...]) -> FunctionType:
    """A copy of a mixin's forward that says it takes what the base's forward takes, and the mixins' own options."""
    own = FunctionType(forward.__code__, forward.__globals__, forward.__name__, None, forward.__closure__)
    own.__kwdefaults__ = forward.__kwdefaults__
    plain = inspect.signature(base.forward)
    parameters = list(plain.parameters.values())
    tail = [parameters.pop()] if parameters and parameters[-1].kind is inspect.Parameter.VAR_KEYWORD else []
    names = dict.fromkeys(name for mixin in mixins for name in getattr(mixin, "options", ()))
    extra = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in names]
    own.__signature__ = plain.replace(parameters=[*parameters, *extra, *tail])  # type: ignore[attr-defined]
    return own


def _reduce_ex(self: Any, protocol: Any) -> tuple[Any, ...]:
    base, mixins = parts_of(type(self))
    return _rebuild, (base, mixins), self.__getstate__()


def _rebuild(base: type, mixins: tuple[type, ...]) -> Any:
    cls: Any = _combine(base, mixins)
    return cls.__new__(cls)


def add_mixin(module: Any, mixin: type) -> None:
    """Put one mixin over a module's class, outermost. Raises NotApplicableError for a class that can't take it."""
    base, mixins = parts_of(type(module))
    if mixin in mixins:
        return
    taken = set(mixin.options) & set(inspect.signature(module.forward).parameters) if issubclass(mixin, Mixin) else ()
    if taken:
        raise NotApplicableError(f"the forward of {base.__name__} has a '{min(taken)}' of its own")
    own = {name for cls in base.__mro__[:-1] for name in vars(cls)}
    if own & {"__reduce_ex__", "__reduce__"}:
        raise NotApplicableError(f"{base.__name__} pickles itself in its own way, so it can't become anything else")
    module.__class__ = _combine(base, (mixin, *mixins))


def drop_mixin(module: Any, mixin: type) -> None:
    """Take one mixin off a module's class; the others stay, and the last one leaves the base itself."""
    base, mixins = parts_of(type(module))
    left = tuple(one for one in mixins if one is not mixin)
    module.__class__ = _combine(base, left) if left else base
