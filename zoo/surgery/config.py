"""What a module is set to, and in what two differ: what every comparison of modules is made of.

A modifier's work is found by it (one module at two moments), `zoo.diff` and `zoo.verify` (two models), and the check
that `zoo.save` makes.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from torch import nn
from torch.nn.parameter import is_lazy

from ..messages.text import put_in_a_line
from .provenance import KEY
from .walk import child_slots, places

T = TypeVar("T")
TORCHS_OWN = frozenset(vars(nn.Module())) | {KEY}
PLAIN = (int, float, str, bool, type(None), bytes, complex)


def config_of(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The public attributes in a module's `__dict__` that aren't torch's own: its options, and what it keeps."""
    return {
        key: value
        for key, value in attributes.items()
        if not key.startswith("_") and key not in TORCHS_OWN and not isinstance(value, nn.Module)
    }


def same(a: Any, b: Any, above: tuple[tuple[int, int], ...] = ()) -> bool:
    """Whether two values of configuration are the same: by value for plain ones, by identity for all else.

    above: the containers that are being compared already, since one may hold itself.
    """
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, PLAIN):
        return bool(a == b) or (a != a and b != b)
    pair = (id(a), id(b))
    if pair in above:
        return True
    inside = (*above, pair)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y, inside) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k], inside) for k in a)  # order too: it's that of the keys
    return bool(a == b) if isinstance(a, (set, frozenset)) else False


def compare_options(
    was: Mapping[str, Any], now: Mapping[str, Any], same_class: bool, children: Container[str] = ()
) -> Iterator[tuple[str, str, str]]:
    """The options that differ, each with both values as text.

    What a mixin keeps (`zoo_…`) is left out where the classes differ: those say it already. So is the name of one of
    the children, since a slot that one side has filled shows as what came into it.
    """
    for key in dict.fromkeys([*was, *now]):
        if key in children or (key.startswith("zoo_") and not same_class):
            continue
        if key not in was or key not in now or not same(was[key], now[key]):
            before, after = (put_in_a_line(repr(side[key])) if key in side else "unset" for side in (was, now))
            yield key, before, after


def compare_order(was: Iterable[str], now: Iterable[str]) -> tuple[str, str] | None:
    """The children that a container has on both sides, in either order; None where that is the same."""
    one, two = list(was), list(now)
    orders = [name for name in one if name in two], [name for name in two if name in one]
    if orders[0] == orders[1]:
        return None
    return put_in_a_line(", ".join(orders[0])), put_in_a_line(", ".join(orders[1]))


def same_make(a: nn.Module, b: nn.Module) -> bool:
    """Whether two modules are of the same classes with the same options, all the way down."""
    ones, twos = dict(places(a)), dict(places(b))
    return ones.keys() == twos.keys() and all(
        type(one) is type(twos[path]) and same(config_of(vars(one)), config_of(vars(twos[path])))
        for path, one in ones.items()
    )


def tell_apart(a: T, b: T, ways: Sequence[Callable[[T], str]]) -> tuple[str, str]:
    """Both in words that differ: the first of these ways that makes them, else the last."""
    pairs = [(way(a), way(b)) for way in ways]
    return next((pair for pair in pairs if pair[0] != pair[1]), pairs[-1])


def tensor_text(tensor: Any) -> str:
    """`float32[2, 70]`, of a tensor or of one that lies in a file; `float32[?]` of one that waits for its shape."""
    return f"{dtype_name(tensor.dtype)}{shape_text(tensor)}"


def dtype_name(dtype: Any) -> str:
    """`float32` of `torch.float32`."""
    return str(dtype).removeprefix("torch.")


def shape_text(tensor: Any) -> str:
    """`[2, 70]`; `[?]` of a lazy one."""
    return "[?]" if is_lazy(tensor) else str(list(tensor.shape))


def brief(module: nn.Module) -> str:
    """A module in a line: `ReLU(inplace=True)`, `ModuleDict(cls: Linear, reg: Linear)`."""
    children = child_slots(module)
    if not children:
        return put_in_a_line(repr(module))
    inside = ", ".join(f"{name}: {type(child).__name__}" for name, child in children.items())
    return put_in_a_line(f"{type(module).__name__}({inside})")
