"""A parameter or buffer at one moment, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import Any

from torch import Tensor
from torch.nn.parameter import is_lazy

from .write_log import address

TENSOR_HOOKS = ("_backward_hooks", "_post_accumulate_grad_hooks")
# What is compared of a tensor, in one call.
FACTS = ("_version", "requires_grad", "dtype", "shape", "device", *TENSOR_HOOKS)
_get_facts = attrgetter(*FACTS)


@dataclass(frozen=True, eq=False)
class TensorState:
    """A parameter or buffer.

    version: counts writes; inference tensors have none. grad: the gradient with what it held, which `.half()` swaps as
    it swaps the parameter's. kept: the dicts of its hooks by name, each with a copy.
    """

    tensor: Tensor
    version: int | None
    requires_grad: bool
    dtype: Any
    shape: tuple[int, ...]
    device: Any
    data: Tensor
    grad: tuple[Tensor, Tensor] | None
    kept: dict[str, tuple[Any, Any]]

    def hooks(self) -> dict[int, Any]:
        return {key: hook for _, copy in self.kept.values() for key, hook in copy.items()}

    def restore(self) -> None:
        moved = (self.tensor.dtype, self.tensor.device) != (self.dtype, self.device)
        if moved or address(self.tensor) != address(self.data) or _shape_of(self.tensor) != self.shape:
            self.tensor.data = self.data  # `.half()` and its like change what a parameter holds
        if self.tensor.requires_grad != self.requires_grad:
            self.tensor.requires_grad = self.requires_grad  # which a lazy one knows, unlike the method
        grad, held = self.grad or (None, None)
        if grad is not None and held is not None and (grad.dtype, address(grad)) != (held.dtype, address(held)):
            grad.data = held
        if self.tensor.is_leaf and self.tensor.grad is not grad:
            self.tensor.grad = grad
        for name in TENSOR_HOOKS:
            hooks, _ = self.kept.get(name, (None, None))
            if getattr(self.tensor, name) is not hooks:
                setattr(self.tensor, name, hooks)


# What a tensor holds, and its gradient with what that holds.
Memory = tuple[Tensor, tuple[Tensor, Tensor] | None]


def memory_of(tensors: Sequence[Tensor]) -> list[Memory]:
    """What each holds, and its gradient with what that holds; None where there is none."""
    grads = [t.grad if not t.requires_grad or t.is_leaf else None for t in tensors]
    return [(t.data, grad if grad is None else (grad, grad.data)) for t, grad in zip(tensors, grads, strict=True)]


def hooks_in(facts: Sequence[Any]) -> list[Any]:
    """The dicts of hooks among the facts of some tensors, and None for each of which there is none."""
    return [one for name in TENSOR_HOOKS for one in facts[FACTS.index(name) :: len(FACTS)]]


def _shape_of(tensor: Tensor) -> tuple[int, ...]:
    return () if is_lazy(tensor) else tensor.shape


def _facts_with_care(tensor: Tensor) -> tuple[Any, ...]:
    """The same of a tensor that doesn't have them all."""
    version = None if is_lazy(tensor) or tensor.is_inference() else tensor._version
    hooks = (getattr(tensor, name) for name in TENSOR_HOOKS)
    return version, tensor.requires_grad, tensor.dtype, _shape_of(tensor), tensor.device, *hooks


def facts_of(tensors: Sequence[Tensor]) -> list[Any]:
    """The facts of all of them, one after the other in one list."""
    try:
        return [*chain.from_iterable(map(_get_facts, tensors))]
    except (RuntimeError, ValueError):  # of inference, or lazy
        return [*chain.from_iterable(map(_facts_with_care, tensors))]
