"""Building a model without drawing its weights, for when they come out of a file: most of what building costs.

A mode of this thread alone lets everything run but the calls that fill a Parameter in place. Buffers are computed as
always, so that those outside the state dict are right. What a Parameter then holds is whatever lay in memory; whoever
uses this must fill every one of them.
"""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

# Sampling, and what initialisers do to the sample afterwards.
_FILLS = frozenset(
    getattr(Tensor, name)
    for name in "bernoulli_ cauchy_ exponential_ geometric_ log_normal_ normal_ random_ uniform_ "
    "add_ clamp_ copy_ div_ erfinv_ fill_ mul_ sub_ zero_".split()
)
# `torch.nn.init.trunc_normal_` asks whether a sample lies outside its bounds, and draws again where it does.
_COMPARISONS = frozenset(getattr(Tensor, name) for name in "lt gt le ge __lt__ __gt__ __le__ __ge__".split())


class SkipInit(TorchFunctionMode):
    """While it is active, no Parameter is filled."""

    def __init__(self) -> None:
        super().__init__()
        self._left: dict[int, weakref.ref[nn.Parameter]] = {}

    def strays(self, model: nn.Module) -> bool:
        """Whether something holds a parameter that was left unfilled and that the model doesn't list as its own."""
        own = {id(parameter) for parameter in model.parameters()}
        return any(parameter() is not None and key not in own for key, parameter in self._left.items())

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _FILLS or getattr(func, "__module__", None) == "torch.nn.init":
            filled = args[0] if args else kwargs.get("tensor")
            if isinstance(filled, nn.Parameter):
                self._left[id(filled)] = weakref.ref(filled)
                return filled
        elif func in _COMPARISONS and isinstance(args[0], nn.Parameter):
            return torch.tensor(False)
        return func(*args, **kwargs)
