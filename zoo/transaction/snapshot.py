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

from collections.abc import Iterable
from functools import cached_property
from itertools import chain

import torch
from torch import nn

from ..surgery.provenance import Outline
from ..surgery.walk import join, places
from .module_state import Layout, ModuleState
from .tensor_state import FACTS, TensorState, facts_of, hooks_in, memory_of


def _hold(states: Iterable[ModuleState]) -> None:
    """Note what the tensors of some modules are, of all in one go."""
    tensors = [tensor for state in states for tensor in state.held]
    # Past modes such as `with torch.device("meta")`, in which each look at a tensor takes twenty times as long.
    with torch._C.DisableTorchFunction():
        facts, memory = facts_of(tensors), memory_of(tensors)
    at = 0
    for state in states:
        if end := len(state.held):
            end += at
            state.hold(facts[at * len(FACTS) : end * len(FACTS)], memory[at:end])
            at = end
    if any(hooks is not None for hooks in hooks_in(facts)):
        for state in states:
            if state.held:
                state.hold_hooks()


def _find_written(states: Iterable[ModuleState]) -> list[ModuleState]:
    """Those of which a tensor isn't what it was."""
    holding = [state for state in states if state.held]
    with torch._C.DisableTorchFunction():
        now = facts_of([tensor for state in holding for tensor in state.held])
    if now == [*chain.from_iterable(state.facts for state in holding)]:
        return []
    return [state for state in holding if facts_of(state.held) != state.facts]


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
        self.first: dict[int, str] = {}
        modules: list[nn.Module] = []
        for path, module in self.places:
            if id(module) not in self.first:
                self.first[id(module)] = path
                modules.append(module)
        known = earlier.states if earlier else {}
        intact = {key: state for key, state in known.items() if key in self.first and state.is_intact()}
        for state in _find_written(intact.values()):
            del intact[id(state.module)]
        layouts: dict[type, Layout] = {}
        fresh = {id(module): ModuleState(module, layouts) for module in modules if id(module) not in intact}
        _hold(fresh.values())
        found = intact | fresh
        self.states: dict[int, ModuleState] = {id(module): found[id(module)] for module in modules}

    def state(self, path: str) -> ModuleState:
        return self.states[id(self.paths[path])]

    @cached_property
    def outline(self) -> Outline:
        return Outline(tuple((path, self.states[id(module)].outline) for path, module in self.places))

    @cached_property
    def kinds(self) -> set[type]:
        """The classes of all modules and tensors."""
        states = self.states.values()
        return {state.cls for state in states} | {type(tensor) for state in states for tensor in state.held}

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
