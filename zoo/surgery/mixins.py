"""`become`: give one module a new class, made of small mixins over its own class, and nothing else about it changes.

The module stays the same object under the same names with the same parameters, hooks and mode, so keys, ties and
references survive; that is why it carries most edits. The new class is flat, (base, mixins), never stacked: a stack of
anonymous classes can't be pickled, a flat pair is rebuilt from its two halves. Each class gets its own `forward` with
the base's signature, since torch.export and trainers inspect it.

How it can fail: torch.jit.script refuses such a class; `convert_sync_batchnorm` makes a new module and so loses it;
a base that pickles itself in its own way is refused here.
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
def _combined(base: type, mixins: tuple[type, ...]) -> type:
    body: dict[str, Any] = {"_zoo_parts": (base, mixins), "__reduce_ex__": _reduce_ex, "__module__": base.__module__}
    if outer := next((m for m in mixins if "forward" in vars(m)), None):
        body["forward"] = _with_signature(vars(outer)["forward"], base, mixins)
        names = list(inspect.signature(base.forward).parameters)  # type: ignore[attr-defined]
        body["zoo_input"] = names[1] if len(names) > 1 else ""
    made = type(base)(base.__name__, (*mixins, base), body)
    made.__qualname__ = base.__qualname__
    return made


def _with_signature(forward: FunctionType, base: Any, mixins: tuple[type, ...]) -> FunctionType:
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
    cls: Any = _combined(base, mixins)
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
    module.__class__ = _combined(base, (mixin, *mixins))


def drop_mixin(module: Any, mixin: type) -> None:
    """Take one mixin off a module's class; the others stay, and the last one leaves the base itself."""
    base, mixins = parts_of(type(module))
    left = tuple(one for one in mixins if one is not mixin)
    module.__class__ = _combined(base, left) if left else base
