"""A model at one moment: what is held of it to see what changed since, and to go back.

The problem: a modifier may change anything by hand, and most change little, so that looking closely at everything
twice costs a hundred times what the edit does. The trick: a snapshot holds shallow copies, of the `__dict__` of each
module and of each container in it, and of each tensor the few facts that a write changes. Whether a module is still
what it was is then a comparison of identities, which C does for whole dicts at a time; and a module that is keeps its
`ModuleState` in the next snapshot, so that whatever compares two snapshots looks only at states that are two.

How it can fail: what changes inside an object that is no dict, list or set stays unseen, and so does what is written
into a tensor past torch's version counter, as through `.data`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter, is_, itemgetter
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ..surgery.config import PLAIN, TORCHS_OWN, config_of
from ..surgery.placement import HOOK_DICTS, slow_path
from ..surgery.walk import NON_PERSISTENT, join, places, tensors_of
from .write_log import address

# What torch puts into each module's `__dict__`, in this order; the containers among it are empty in most modules.
_STANDARD = list(vars(nn.Module()))
_CONTAINERS = tuple(key for key, value in vars(nn.Module()).items() if isinstance(value, (dict, list, set)))
_containers_of = itemgetter(*_CONTAINERS)
_PLAIN = frozenset(PLAIN)
_TENSOR_HOOKS = ("_backward_hooks", "_post_accumulate_grad_hooks")
# What is compared of a tensor, in one call.
_FACTS = ("_version", "requires_grad", "dtype", "shape", "device", *_TENSOR_HOOKS)
_facts_of = attrgetter(*_FACTS)
_data_of = attrgetter("data")


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
        for name in _TENSOR_HOOKS:
            hooks, _ = self.kept.get(name, (None, None))
            if getattr(self.tensor, name) is not hooks:
                setattr(self.tensor, name, hooks)


def _gradient_of(tensor: Tensor) -> tuple[Tensor, Tensor] | None:
    grad = tensor.grad if not tensor.requires_grad or tensor.is_leaf else None
    return None if grad is None else (grad, grad.data)


def _shape_of(tensor: Tensor) -> tuple[int, ...]:
    return () if is_lazy(tensor) else tensor.shape


def _facts_with_care(tensor: Tensor) -> tuple[Any, ...]:
    """The same of a tensor that doesn't have them all."""
    version = None if is_lazy(tensor) or tensor.is_inference() else tensor._version
    hooks = (getattr(tensor, name) for name in _TENSOR_HOOKS)
    return version, tensor.requires_grad, tensor.dtype, _shape_of(tensor), tensor.device, *hooks


def _facts(tensors: list[Tensor]) -> list[tuple[Any, ...]]:
    try:
        return [*map(_facts_of, tensors)]
    except (RuntimeError, ValueError):  # of inference, or lazy
        return [*map(_facts_with_care, tensors)]


class ModuleState:
    """One module: its class, a copy of its `__dict__`, of the containers in it, and what its tensors are.

    empty: the containers that held nothing. filled: the others, however deep, each with a shallow copy.
    odd: the attributes that are neither torch's own nor plain values. held: the tensors.
    """

    def __init__(self, module: nn.Module) -> None:
        own = vars(module)
        self.module = module
        self.cls = type(module)
        self.attributes = own.copy()
        self.keys = keys = [*own]
        values = [*own.values()]
        if keys[: len(_STANDARD)] == _STANDARD:
            known, others = _containers_of(own), values[len(_STANDARD) :]
        else:
            known = tuple(own[key] for key in _CONTAINERS if key in own)
            others = [value for key, value in own.items() if key not in TORCHS_OWN]
        self.empty: Sequence[Any] = known
        self.filled: list[tuple[Any, Any]] = []
        if any(known):
            self.empty = [one for one in known if not one]
            # A scripted module's are no dicts, and can't be changed.
            self.filled = [(one, one.copy()) for one in known if one and isinstance(one, (dict, set))]
        self.odd = [value for value in others if type(value) not in _PLAIN]
        containers = [value for value in self.odd if isinstance(value, (dict, list, set))]
        if containers:
            self.filled += _copies_of(containers)
        self.named = tensors_of(module)
        self.held = held = [*self.named.values()]
        if held:
            self._facts = _facts(held)
            self._data = [*map(_data_of, held)]
            self._grads = [_gradient_of(t) for t in held]
            for facts in self._facts:
                for hooks in facts[-2:]:
                    if hooks is not None:
                        self.filled.append((hooks, hooks.copy()))

    def is_intact(self) -> bool:
        """Whether the module is what it was: the same objects everywhere, and no tensor written to."""
        module, attributes = self.module, self.attributes
        own = vars(module)
        return (
            type(module) is self.cls
            and len(own) == len(attributes)
            and all(map(is_, own.values(), attributes.values()))
            and [*own] == self.keys
            and not any(self.empty)
            and all(_alike(container, copy) for container, copy in self.filled)
            and (not self.held or _facts(self.held) == self._facts)
        )

    @cached_property
    def tensors(self) -> dict[str, TensorState]:
        """The state of each parameter and buffer, by its name in the module."""
        if not self.held:
            return {}
        found: dict[str, TensorState] = {}
        columns = (self.named.items(), self._facts, self._data, self._grads)
        for (name, tensor), facts, data, grad in zip(*columns, strict=True):
            pairs = zip(_TENSOR_HOOKS, facts[-2:], strict=True)
            kept = {key: (hooks, self._copies[id(hooks)]) for key, hooks in pairs if hooks is not None}
            version, requires_grad, dtype, shape, device, *_ = facts
            found[name] = TensorState(tensor, version, requires_grad, dtype, shape, device, data, grad, kept)
        return found

    def slots(self, key: str) -> Any:
        """What one of torch's own containers held."""
        return self.content(key) if key in self.attributes else getattr(self.module, key)

    def content(self, key: str) -> Any:
        """What a container among the attributes held, all the way down; any other attribute itself."""
        return _content(self.attributes[key], self._copies)

    @cached_property
    def _copies(self) -> dict[int, Any]:
        empty: dict[int, Any] = {id(one): set() if isinstance(one, set) else {} for one in self.empty}
        return empty | {id(container): copy for container, copy in self.filled}

    def config(self) -> dict[str, Any]:
        """The public attributes that aren't torch's own, as they were."""
        return {key: self.content(key) for key in config_of(self.attributes)}

    @property
    def training(self) -> bool:
        mode: bool = self.attributes.get("training", self.module.training)  # a scripted module keeps it elsewhere
        return mode

    def hooks(self) -> dict[int, Any]:
        return {
            key: hook
            for name in HOOK_DICTS
            if self.attributes.get(name) is not None
            for key, hook in self.content(name).items()
            if hook is not slow_path
        }

    @cached_property
    def outline(self) -> tuple[type, tuple[tuple[str, tuple[int, ...]], ...]]:
        """The class, with the names and shapes of the weights that a state dict holds and that have a shape by now."""
        if not self.held:
            return self.cls, ()
        hidden = self.slots(NON_PERSISTENT)
        shapes = ((name, state.shape) for name, state in self.tensors.items() if not is_lazy(state.tensor))
        return self.cls, tuple((name, shape) for name, shape in shapes if name not in hidden)

    def restore(self) -> None:
        """Put the module back: the same dicts with the old content, since others hold references to them."""
        if type(self.module) is not self.cls:
            object.__setattr__(self.module, "__class__", self.cls)  # a traced module would hand it on to another
        own = vars(self.module)
        own.clear()
        own.update(self.attributes)
        for container in self.empty:
            if container:
                container.clear()
        for container, copy in self.filled:
            if not _alike(container, copy):
                _refill(container, copy)
        for state in self.tensors.values():
            state.restore()


def _copies_of(containers: list[Any]) -> Iterator[tuple[Any, Any]]:
    """Each container with a shallow copy, and each that is in it; one that holds itself is gone through once."""
    seen: set[int] = set()
    for value in containers:
        if id(value) in seen:
            continue
        seen.add(id(value))
        kind = next(kind for kind in (dict, list, set) if isinstance(value, kind))
        yield value, kind(value)
        if kind is not set:
            items = value.values() if kind is dict else value
            containers += [item for item in items if isinstance(item, (dict, list, set))]


def _content(value: Any, copies: dict[int, Any], above: tuple[int, ...] = ()) -> Any:
    copy = copies.get(id(value))
    if copy is None or id(value) in above:
        return value
    inside = (*above, id(value))
    if isinstance(copy, dict):
        return {key: _content(item, copies, inside) for key, item in copy.items()}
    return [_content(item, copies, inside) for item in copy] if isinstance(copy, list) else copy


def _alike(container: Any, copy: Any) -> bool:
    """Whether a container holds the same objects as its copy in the same order; a set, equal ones."""
    if isinstance(container, set):
        return bool(container == copy)
    if len(container) != len(copy) or not all(map(is_, container, copy)):
        return False
    return not isinstance(container, dict) or all(map(is_, container.values(), copy.values()))


def _refill(container: Any, content: Any) -> None:
    container.clear()
    if isinstance(container, list):
        container.extend(content)
    else:
        container.update(content)


class Snapshot:
    """A model at one moment.

    places: each path with its module, parents first, the second paths of shared ones too. first: the first of each.
    """

    def __init__(
        self, model: nn.Module, earlier: Snapshot | None = None, walked: Iterable[tuple[str, nn.Module]] = ()
    ) -> None:
        """earlier: one of the same model, whose states go on being those of what stayed as it was."""
        self.root = model
        self.places = list(walked) or list(places(model))
        self.paths = dict(self.places)
        self.states: dict[int, ModuleState] = {}
        self.first: dict[int, str] = {}
        known = earlier.states if earlier else {}
        for path, module in self.places:
            key = id(module)
            if key not in self.states:
                self.first[key] = path
                state = known.get(key)
                self.states[key] = state if state is not None and state.is_intact() else ModuleState(module)

    def state(self, path: str) -> ModuleState:
        return self.states[id(self.paths[path])]

    @cached_property
    def aliases(self) -> dict[int, list[str]]:
        """The paths of each module that has several."""
        found: dict[int, list[str]] = {}
        if len(self.states) < len(self.places):
            for path, module in self.places:
                found.setdefault(id(module), []).append(path)
        return {key: paths for key, paths in found.items() if len(paths) > 1}

    @cached_property
    def tensors(self) -> dict[str, TensorState]:
        """Every name of every parameter and buffer, the second names of tied ones too."""
        states = ((path, self.states[id(module)]) for path, module in self.places)
        return {join(path, name): one for path, state in states for name, one in state.tensors.items()}

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """Parameters by name, the second names of tied ones too."""
        return {n: state.tensor for n, state in self.tensors.items() if isinstance(state.tensor, nn.Parameter)}

    def restore(self) -> nn.Module:
        """Put all modules back, but not what was written into tensors, and return the old root."""
        for state in self.states.values():
            state.restore()
        return self.root


def snapshot_after(before: Snapshot, model: nn.Module) -> Snapshot:
    """The model after an edit. What came new gets the mode of what it came to, whoever put it there."""
    walked = list(places(model))
    modules = dict(walked)
    fresh: set[int] = set()
    for path, module in walked:
        if id(module) in before.states or id(module) in fresh:
            continue
        fresh.add(id(module))
        like = before.state(path) if path in before.paths else modules[path.rpartition(".")[0]]
        if module.training != like.training:
            module.training = like.training
    return Snapshot(model, before, walked)
