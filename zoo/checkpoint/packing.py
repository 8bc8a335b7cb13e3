"""The state of optimizers and schedulers as JSON and tensors, and back with every type as it was. No pickle.

What JSON has stays what it is. All else is an object with one key that says what it is: `{"tuple": [...]}`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ..messages.errors import CheckpointError

MOST_NESTED = 32
_DTYPES = {str(dtype): dtype for dtype in vars(torch).values() if isinstance(dtype, torch.dtype)}


def pack(value: Any, keep: Callable[[Tensor], str], what: str) -> Any:
    """A value as JSON. `keep` stores a tensor and gives the name under which it will be found.

    Raises CheckpointError, with `what`, for anything but numbers, texts, tensors and containers of these.
    """
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else {"float": repr(value)}
        case Tensor():
            return {"tensor": keep(value)}
        case torch.dtype():
            return {"dtype": str(value)}
        case list():
            return [pack(item, keep, what) for item in value]
        case tuple():
            return {"tuple": [pack(item, keep, what) for item in value]}
        case dict():
            kind = "counter" if type(value) is Counter else "dict"
            return {kind: [[pack(k, keep, what), pack(v, keep, what)] for k, v in value.items()]}
    raise CheckpointError(
        f"{what} holds {value!r} ({type(value).__name__}), which no file can say without a pickle; "
        "a file holds numbers, texts, tensors, lists, tuples and dicts"
    )


def unpack(value: Any, find: Callable[[str], Tensor], depth: int = 0) -> Any:
    """The value that `pack` made JSON of. `find` gives the tensor of a name. CheckpointError for anything else."""
    if depth > MOST_NESTED:
        raise CheckpointError("the training state is nested too deeply")
    if isinstance(value, list):
        return [unpack(item, find, depth + 1) for item in value]
    if not isinstance(value, Mapping):
        return value
    kind, inside = next(iter(value.items())) if len(value) == 1 else (None, None)
    if kind == "tensor" and isinstance(inside, str):
        return find(inside)
    if kind == "float" and inside in ("nan", "inf", "-inf"):
        return float(inside)
    if kind == "dtype" and isinstance(inside, str) and inside in _DTYPES:
        return _DTYPES[inside]
    if kind == "tuple" and isinstance(inside, list):
        return tuple(unpack(item, find, depth + 1) for item in inside)
    if kind in ("dict", "counter") and isinstance(inside, list) and all(map(_is_pair, inside)):
        found = {unpack(k, find, depth + 1): unpack(v, find, depth + 1) for k, v in inside}
        return Counter(found) if kind == "counter" else found
    raise CheckpointError(f"the training state holds {str(value)[:80]!r}, which means nothing here")


def _is_pair(value: Any) -> bool:
    """Whether this is a key that a dict can have, and a value."""
    return isinstance(value, list) and len(value) == 2 and not isinstance(value[0], (list, Mapping))
