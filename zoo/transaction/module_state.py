"""One module at one moment: its class, its attributes, what the containers among them hold, and the way back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from operator import is_, itemgetter
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ..surgery.config import PLAIN, TORCHS_OWN, config_of
from ..surgery.placement import HOOK_DICTS, slow_path
from ..surgery.provenance import Shapes
from ..surgery.walk import BUFFERS, NON_PERSISTENT, PARAMETERS, tensors_of
from .tensor_state import FACTS, TENSOR_HOOKS, Memory, TensorState, hooks_in

# The containers that torch puts into each module's `__dict__`, empty in most modules.
_CONTAINERS = frozenset(key for key, value in vars(nn.Module()).items() if isinstance(value, (dict, list, set)))
_PLAIN = frozenset(PLAIN)
_COPIED = frozenset((dict, list, set))


class Layout:
    """The keys of a module's `__dict__`, which most modules of a class share; what is of which sort, by position."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        self.keys = keys
        self.known = _pick(at for at, key in enumerate(keys) if key in _CONTAINERS)
        self.others = _pick(at for at, key in enumerate(keys) if key not in TORCHS_OWN)


def _pick(positions: Iterable[int]) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """What gives the values at some positions of a tuple, as a tuple."""
    at = list(positions)
    return itemgetter(*at) if len(at) > 1 else lambda values: tuple(values[one] for one in at)


class ModuleState:
    """One module: its class, what its `__dict__` and the containers in it hold, and what its tensors are.

    Written for speed, since there is one for each module: as few objects as can be, and no loop where C has one.

    containers: those that hold something, however deep, and the user's empty ones; copies: of each, shallow.
    others: the attributes that aren't torch's own. odd: of these, what is no plain value. held: the tensors.
    """

    containers: Sequence[Any] = ()
    copies: Sequence[Any] = ()
    odd: Sequence[Any] = ()
    held: Sequence[Tensor] = ()
    _kept: Sequence[Any] = ()  # the user's containers
    _filled = 0  # how many of torch's own hold something

    def __init__(self, module: nn.Module, layouts: dict[type, Layout]) -> None:
        own = vars(module)
        self.module = module
        self.cls = cls = type(module)
        self._values = values = tuple(own.values())
        keys, layout = tuple(own), layouts.get(cls)
        if layout is None or layout.keys != keys:
            layout = layouts[cls] = Layout(keys)
        self._layout = layout
        filled = [*filter(None, layout.known(values))]
        self.others = layout.others(values)
        odd = [value for value in self.others if type(value) not in _PLAIN]
        if not (filled or odd):
            return
        self._filled = len(filled)
        # A scripted module's are no dicts, and can't be changed.
        containers = [one for one in filled if isinstance(one, (dict, set))]
        if odd:
            self.odd = [value for value in odd if not _is_plain(value)]
            self._kept = _containers_in(odd)
            containers += self._kept
        self.held = [*tensors_of(module).values()]
        self.containers = containers
        self.copies = [one.copy() if type(one) in _COPIED else _copy(one) for one in containers]

    def hold(self, facts: list[Any], memory: Sequence[Memory]) -> None:
        """Note what the tensors are. memory: what each holds, and its gradient with what that holds."""
        self.facts, self._memory = facts, memory

    def hold_hooks(self) -> None:
        """Note the hooks of the tensors."""
        found = [hooks for hooks in hooks_in(self.facts) if hooks is not None]
        self.containers = [*self.containers, *found]
        self.copies = [*self.copies, *(hooks.copy() for hooks in found)]

    def is_intact(self) -> bool:
        """Whether the module is what it was: the same objects everywhere. Its tensors are another matter."""
        module, layout, values = self.module, self._layout, self._values
        own = vars(module)
        return (
            type(module) is self.cls
            and len(own) == len(values)
            and all(map(is_, own.values(), values))
            and tuple(own) == layout.keys
            and self._filled == len([*filter(None, layout.known(values))])
            and all(map(_alike, self.containers, self.copies))
        )

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """The `__dict__`, as it was."""
        return dict(zip(self._layout.keys, self._values, strict=True))

    @cached_property
    def tensors(self) -> dict[str, TensorState]:
        """The state of each parameter and buffer, by its name in the module."""
        if not self.held:
            return {}
        rows = [self.facts[at : at + len(FACTS)] for at in range(0, len(self.facts), len(FACTS))]
        found: dict[str, TensorState] = {}
        columns = (self._names, self.held, rows, self._memory)
        for name, tensor, facts, (data, grad) in zip(*columns, strict=True):
            version, requires_grad, dtype, shape, device, *hooks = facts
            pairs = zip(TENSOR_HOOKS, hooks, strict=True)
            kept = {key: (one, self._copies[id(one)]) for key, one in pairs if one is not None}
            found[name] = TensorState(tensor, version, requires_grad, dtype, shape, device, data, grad, kept)
        return found

    @property
    def _names(self) -> list[str]:
        return [name for key in (PARAMETERS, BUFFERS) for name, t in self.slots(key).items() if t is not None]

    def slots(self, key: str) -> Any:
        """What one of torch's own containers held."""
        return self.content(key) if key in self.attributes else getattr(self.module, key)

    def content(self, key: str) -> Any:
        """What a container among the attributes held, all the way down; any other attribute itself."""
        value = self.attributes[key]
        if key in _CONTAINERS and id(value) not in self._copies and isinstance(value, (dict, set)):
            return type(value)()
        return _content(value, self._copies)

    @cached_property
    def _copies(self) -> dict[int, Any]:
        return {id(one): copy for one, copy in zip(self.containers, self.copies, strict=True)}

    def config(self) -> dict[str, Any]:
        """The public attributes that aren't torch's own, as they were."""
        return {key: self.content(key) for key in config_of(self.attributes)}

    @property
    def training(self) -> bool:
        mode: bool = self.attributes.get("training", self.module.training)  # a scripted module keeps it elsewhere
        return mode

    def is_set_like(self, other: ModuleState) -> bool:
        """Whether it's sure at a glance that two states of a module have the same configuration."""
        same = self.cls is other.cls and self._layout.keys == other._layout.keys and not (self._kept or other._kept)
        return same and all(map(is_, self.others, other.others))

    def hooks(self) -> dict[int, Any]:
        return {
            key: hook
            for name in HOOK_DICTS
            if self.attributes.get(name) is not None
            for key, hook in self.content(name).items()
            if hook is not slow_path
        }

    @cached_property
    def outline(self) -> tuple[type, Shapes]:
        """The class, with the names and shapes of the weights that a state dict holds and that have a shape by now."""
        if not self.held:
            return self.cls, ()
        hidden = self.slots(NON_PERSISTENT)
        shapes = zip(self._names, self.held, self.facts[FACTS.index("shape") :: len(FACTS)], strict=True)
        return self.cls, tuple((name, shape) for name, t, shape in shapes if name not in hidden and not is_lazy(t))

    def restore(self) -> None:
        """Put the module back: the same dicts with the old content, since others hold references to them."""
        if type(self.module) is not self.cls:
            object.__setattr__(self.module, "__class__", self.cls)  # a traced module would hand it on to another
        own = vars(self.module)
        own.clear()
        own.update(self.attributes)
        for one in self._layout.known(self._values):
            if one and id(one) not in self._copies and isinstance(one, (dict, set)):
                one.clear()
        for one, copy in zip(self.containers, self.copies, strict=True):
            if not _alike(one, copy):
                _refill(one, copy)
        for state in self.tensors.values():
            state.restore()


def _is_plain(value: Any) -> bool:
    return type(value) in (tuple, list) and _PLAIN.issuperset(map(type, value))


def _containers_in(values: Iterable[Any]) -> list[Any]:
    """The containers among some values, and those that they hold; one that holds itself is gone through once."""
    found = [value for value in values if isinstance(value, (dict, list, set))]
    if not found:
        return found
    seen: set[int] = set()
    for value in found:  # which grows meanwhile
        if id(value) not in seen and not isinstance(value, set):
            seen.add(id(value))
            items = value.values() if isinstance(value, dict) else value
            found += [item for item in items if isinstance(item, (dict, list, set)) and id(item) not in seen]
    return list({id(value): value for value in found}.values())


def _copy(container: Any) -> Any:
    return next(kind(container) for kind in (dict, list, set) if isinstance(container, kind))


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
