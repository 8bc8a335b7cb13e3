"""A picture of a model and its optimizers that owes nothing to the engine: what a failure must leave as it was."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


class Picture:
    """Identity, order, classes, attributes, hooks, versions, and every bit of a model and its optimizers.

    bits: look at the bits too. Nobody takes back what was written into tensors, so that once at the end is enough.
    """

    def __init__(self, model: nn.Module, *optimizers: Optimizer, bits: bool = True) -> None:
        self.kept: list[Any] = []  # so that no id is given twice
        self.modules = [(path, self._module(m)) for path, m in model.named_modules(remove_duplicate=False)]
        self.keys = list(model.state_dict(keep_vars=True))
        self.signature = str(inspect.signature(model.forward))
        self.optimizers = [self._value(vars(o)) for o in optimizers]
        named = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
        held = [(str(i), p) for o in optimizers for i, p in enumerate(o.state)]
        states = [(str(k), v) for o in optimizers for s in o.state.values() for k, v in s.items()]
        found = [(n, t) for n, t in [*named, *held, *states] if isinstance(t, Tensor)]
        self.facts = [(n, id(t), t.requires_grad, t.dtype, t.device, t.shape, t._version, id(t.grad)) for n, t in found]
        grads = [p.grad for _, p in named if isinstance(p, nn.Parameter) and p.grad is not None]
        real = [t for t in [*(t for _, t in found), *grads] if t.device.type != "meta"]
        self.bits = [t.detach().clone() for t in real] if bits else []
        self.kept.append(found)

    def _module(self, module: nn.Module) -> Any:
        self.kept.append(module)
        return id(module), type(module), self._value(vars(module))

    def _value(self, value: Any) -> Any:
        self.kept.append(value)
        if isinstance(value, (dict, OrderedDict)):
            return type(value), id(value), [(self._value(k), self._value(v)) for k, v in value.items()]
        if isinstance(value, (list, set, tuple)):
            return id(value), [self._value(v) for v in value]
        return value if isinstance(value, (int, float, str, type(None))) else id(value)

    def assert_same(self, other: Picture) -> None:
        assert self.keys == other.keys
        assert self.modules == other.modules
        assert self.signature == other.signature
        assert self.optimizers == other.optimizers
        assert self.facts == other.facts
        if other.bits:
            assert all(torch.equal(a, b) for a, b in zip(self.bits, other.bits, strict=True))
