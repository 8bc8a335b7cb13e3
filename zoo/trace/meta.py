"""The meta device, where tensors have shapes and no numbers: what is tried there first, and else in memory.

The problem: most archs build and run there for next to nothing; those that look at numbers (an `.item()`, a loop over
values, numpy) don't, and torch says so in some ten different ways. The trick: what torch raises is told by its class
or by a few words of its message, so that anything else is an error of the model and isn't tried again. How it can
fail: a message of a new torch without any of the words is taken for the model's own error; one of a stranger's that has
one of the words costs a second try, in memory, where it comes again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

T = TypeVar("T")
_WORDS = ("meta", "Tensor.item()", "data-dependent", "FakeTensor", "same device", "unallocated", "scalarType")


def needs_memory(error: BaseException) -> bool:
    """Whether a model or its forward failed for being on the meta device, and not for what would fail anywhere."""
    if not isinstance(error, Exception):
        return False
    return isinstance(error, NotImplementedError) or any(word in str(error) for word in _WORDS)


def try_on_meta(make: Callable[[str | None], T]) -> T:
    """What `make("meta")` gives; for what can't be had without numbers, what `make(None)` does.

    Draws no random number that the caller would miss.
    """
    with torch.random.fork_rng(devices=[]):
        try:
            return make("meta")
        except Exception as error:
            if not needs_memory(error):
                raise
        return make(None)
