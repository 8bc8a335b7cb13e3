"""One module at one moment: its class, its attributes, its tensors; what is compared of them, and the way back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ..surgery.config import config_of, same
from ..surgery.placement import HOOK_DICTS, slow_path
from ..surgery.walk import tensors_of
from .write_log import address

_TENSOR_HOOKS = ("_backward_hooks", "_post_accumulate_grad_hooks")


@dataclass(frozen=True, eq=False)
class TensorState:
    """What is compared of a parameter or buffer.

    version: counts writes; inference tensors have none. kept: the dicts of its hooks by name, each with a copy.
    """

    tensor: Tensor
    shape: tuple[int, ...]
    dtype: Any
    device: Any
    requires_grad: bool
    version: int | None
    data: Tensor
    grad: Tensor | None
    kept: dict[str, tuple[Any, Any]]

    @classmethod
    def of(cls, t: Tensor) -> TensorState:
        version = None if is_lazy(t) or t.is_inference() else t._version
        grad = t.grad if t.is_leaf else None
        shape = tuple(t.shape) if sized(t) else ()
        held = {name: getattr(t, name) for name in _TENSOR_HOOKS}
        kept = {name: (hooks, _copy(hooks)) for name, hooks in held.items() if hooks is not None}
        return cls(t, shape, t.dtype, t.device, t.requires_grad, version, t.data, grad, kept)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TensorState):
            return NotImplemented
        if self.tensor is not other.tensor or self._facts() != other._facts():
            return False
        return not (self.kept or other.kept) or same(self.hooks(), other.hooks())

    def hooks(self) -> dict[int, Any]:
        return {key: hook for _, copy in self.kept.values() for key, hook in copy.items()}

    def restore(self) -> None:
        moved = (self.tensor.dtype, self.tensor.device) != (self.dtype, self.device)
        if moved or address(self.tensor) != address(self.data):
            self.tensor.data = self.data  # `.half()` and its like change what a parameter holds
        if self.tensor.requires_grad != self.requires_grad:
            self.tensor.requires_grad = self.requires_grad  # which a lazy one knows, unlike the method
        if self.tensor.is_leaf and self.tensor.grad is not self.grad:
            self.tensor.grad = self.grad
        for name in _TENSOR_HOOKS:
            hooks, content = self.kept.get(name, (None, None))
            if getattr(self.tensor, name) is not hooks:
                setattr(self.tensor, name, hooks)
            if hooks is not None and not same(dict(hooks), content):
                _refill(hooks, content)  # the same dict, since the user's handles refer to it

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
        tensors = {name: TensorState.of(t) for name, t in tensors_of(module).items()}
        return cls(module, type(module), attributes, containers, tensors)

    def config(self) -> dict[str, Any]:
        """The public attributes that aren't torch's own."""
        return config_of({**self.attributes, **self.containers})

    @property
    def training(self) -> bool:
        mode: bool = self.attributes.get("training", self.module.training)  # a scripted module keeps it elsewhere
        return mode

    def hooks(self) -> dict[int, Any]:
        return {
            key: hook
            for name in HOOK_DICTS
            for key, hook in self.containers.get(name, {}).items()
            if hook is not slow_path
        }

    def restore(self) -> None:
        """Put the module back: the same dicts with the old content, since others hold references to them."""
        if type(self.module) is not self.cls:
            object.__setattr__(self.module, "__class__", self.cls)  # a traced module would hand it on to another
        own = vars(self.module)
        own.clear()
        own.update(self.attributes)
        for name, content in self.containers.items():
            if (own[name] or content) and not same(own[name], content):
                _refill(own[name], content)
        for state in self.tensors.values():
            state.restore()


def _copy(value: Any, above: tuple[int, ...] = ()) -> Any:
    """A copy of plain containers, all the way down; anything else itself, and a container that holds itself there."""
    if isinstance(value, dict) and not value:  # as most are: the hooks of a module that has none
        return {}
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
        and all(not (v or new.containers[k]) or same(new.containers[k], v) for k, v in old.containers.items())
        and all(new.tensors[k] == v for k, v in old.tensors.items())
    )
