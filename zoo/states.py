"""One module at one moment: its class, its attributes, its tensors; what is compared of them, and the way back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from .fitting import HOOK_DICTS, slow_path
from .info import KEY
from .writes import address

TORCHS_OWN = frozenset(vars(nn.Module())) | {KEY}
PLAIN = (int, float, str, bool, type(None), bytes, complex)


@dataclass(frozen=True, eq=False)
class TensorState:
    """What is compared of a parameter or buffer. A `version` counts writes; inference tensors have none."""

    tensor: Tensor
    shape: tuple[int, ...]
    dtype: Any
    device: Any
    requires_grad: bool
    version: int | None
    data: Tensor
    grad: Tensor | None

    @classmethod
    def of(cls, t: Tensor) -> TensorState:
        version = None if is_lazy(t) or t.is_inference() else t._version
        grad = t.grad if t.is_leaf else None
        return cls(t, tuple(t.shape) if sized(t) else (), t.dtype, t.device, t.requires_grad, version, t.data, grad)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TensorState):
            return NotImplemented
        return self.tensor is other.tensor and self._facts() == other._facts()

    def restore(self) -> None:
        moved = (self.tensor.dtype, self.tensor.device) != (self.dtype, self.device)
        if moved or address(self.tensor) != address(self.data):
            self.tensor.data = self.data  # `.half()` and its like change what a parameter holds
        if self.tensor.requires_grad != self.requires_grad:
            self.tensor.requires_grad_(self.requires_grad)
        if self.tensor.is_leaf and self.tensor.grad is not self.grad:
            self.tensor.grad = self.grad

    def _facts(self) -> tuple[Any, ...]:
        return self.shape, self.dtype, self.device, self.requires_grad, self.version


def sized(tensor: Tensor) -> bool:
    return not is_lazy(tensor)


@dataclass(frozen=True)
class ModuleState:
    """One module: its class, a copy of its `__dict__`, of the containers in it, and of its tensors."""

    module: nn.Module
    cls: type
    attributes: dict[str, Any]
    containers: dict[str, Any]
    tensors: dict[str, TensorState]

    @classmethod
    def of(cls, module: nn.Module) -> ModuleState:
        attributes = dict(vars(module))
        containers = {k: _copy(v) for k, v in attributes.items() if isinstance(v, (dict, list, set))}
        tensors = {
            name: TensorState.of(t)
            for name, t in [*module._parameters.items(), *module._buffers.items()]
            if t is not None
        }
        return cls(module, type(module), attributes, containers, tensors)

    def config(self) -> dict[str, Any]:
        """The public attributes that aren't torch's own."""
        return {
            k: self.containers.get(k, v)
            for k, v in self.attributes.items()
            if not k.startswith("_") and k not in TORCHS_OWN and not isinstance(v, nn.Module)
        }

    def hooks(self) -> dict[int, Any]:
        return {
            key: hook
            for name in HOOK_DICTS
            for key, hook in self.containers.get(name, {}).items()
            if hook is not slow_path
        }

    def restore(self) -> None:
        """Put the module back: the same dicts with the old content, since others hold references to them."""
        self.module.__class__ = self.cls
        own = vars(self.module)
        own.clear()
        own.update(self.attributes)
        for name, content in self.containers.items():
            if not same(own[name], content):
                _refill(own[name], content)
        for state in self.tensors.values():
            state.restore()


def _copy(value: Any, above: tuple[int, ...] = ()) -> Any:
    """A copy of plain containers, all the way down; anything else itself, and a container that holds itself there."""
    if id(value) in above:
        return value
    if type(value) is list:
        return [_copy(v, (*above, id(value))) if isinstance(v, (dict, list, set)) else v for v in value]
    if isinstance(value, dict):
        return {k: _copy(v, (*above, id(value))) if type(v) in (dict, list) else v for k, v in value.items()}
    return set(value) if isinstance(value, set) else value


def _refill(container: Any, content: Any) -> None:
    container.clear()
    if isinstance(container, list):
        container.extend(content)
    else:
        container.update(content)


def untouched(old: ModuleState, new: ModuleState) -> bool:
    """A quick look, since most modules are: the same objects everywhere, and no tensor written to."""
    return (
        old.cls is new.cls
        and old.attributes.keys() == new.attributes.keys()
        and all(new.attributes[k] is v for k, v in old.attributes.items())
        and all(same(new.containers[k], v) for k, v in old.containers.items())
        and all(new.tensors[k] == v for k, v in old.tensors.items())
    )


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
