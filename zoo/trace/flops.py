"""What a forward costs, place by place: shapes, FLOPs and activation memory, found out on a stand-in of the model.

The stand-in has the model's modules but not its memory: parameters and buffers on the meta device, and no hooks of
users. So nothing is computed, no hook runs and the model itself isn't touched. Where an arch's forward can't run on
meta, the stand-in borrows the real parameters instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils.flop_counter import FlopCounterMode

from ..messages.errors import NotApplicableError
from ..surgery.walk import join, places
from .blueprint import sample_input
from .meta import needs_memory, try_on_meta
from .shape_errors import explain
from .skeleton import make_skeleton


@dataclass
class Cost:
    """What a module did in one forward of its model, all its calls together and what it calls counted in.

    One that isn't called itself has what its children did.

    outputs: the shapes of what its last call gave. flops: as torch.utils.flop_counter has them, two for a multiply and
    add. memory: bytes of what it and the modules in it gave, each tensor once, however many modules pass it on.
    """

    calls: int = 0
    outputs: tuple[tuple[int, ...], ...] = ()
    flops: int = 0
    memory: int = 0


@dataclass
class _Count:
    """The running totals while a forward goes through the modules."""

    counter: FlopCounterMode
    memory: int = 0
    seen: dict[int, Any] = field(default_factory=dict)

    def now(self) -> tuple[int, int]:
        return self.counter.get_total_flops(), self.memory

    def take(self, output: Any) -> tuple[tuple[int, ...], ...]:
        """Count what a module gave, and return the shapes. Storages are held, so that none comes again as another."""
        tensors = [leaf for leaf in pytree.tree_leaves(output) if isinstance(leaf, Tensor)]
        for tensor in tensors:
            storage = tensor.untyped_storage()
            if storage._cdata not in self.seen:
                self.seen[storage._cdata] = storage
                self.memory += tensor.numel() * tensor.element_size()
        return tuple(tuple(tensor.shape) for tensor in tensors)


def flops_by_path(model: nn.Module, arguments: tuple[Any, ...]) -> dict[str, int]:
    """The FLOPs of one forward in eval mode at each path, what is inside counted in; `""` is the whole model.

    arguments: what the forward takes; tensors may be on any device, and on meta. A shared module has its count under
    each of its names. The model isn't touched and its hooks don't run. Raises what `measure_costs` raises.
    """
    with _Passing():
        return {path: cost.flops for path, cost in measure_costs(model, arguments).items()}


def count_flops(model: nn.Module, sample: Any) -> Mapping[str, int]:
    """The same for one sample of the model's arch; empty where there is none, or the model can't be run on it.

    It may have been edited by hand, so that a forward fails in any way, and is still to be shown and compared.
    """
    try:
        arguments = sample_input(model, sample, batch=1)
        return flops_by_path(model, arguments) if arguments else {}
    except Exception:
        return {}


def own_flops(model: nn.Module, total: Mapping[str, int]) -> dict[str, int]:
    """What each module computes itself, less what its children do."""
    found = {}
    for path, module in places(model):
        inside = {id(child): join(path, name) for name, child in module.named_children()}
        found[path] = total.get(path, 0) - sum(total.get(child, 0) for child in inside.values())
    return found


class _Passing(TorchFunctionMode):
    """Lets norms and activations pass on what they get: torch counts nothing for them, and on meta they take most time.

    (A BatchNorm is decomposed there, at 3 ms each.)
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _OF_THE_SAME_SHAPE and args:
            return args[0]
        return func(*args, **(kwargs or {}))


_OF_THE_SAME_SHAPE = frozenset(
    (F.batch_norm, F.layer_norm, F.group_norm, F.instance_norm, F.relu, F.gelu, F.silu, F.hardswish, F.dropout)
)


def measure_costs(model: nn.Module, arguments: tuple[Any, ...]) -> dict[str, Cost]:
    """What each module of a model did in one forward in eval mode, by path.

    Raises NotApplicableError for a model that can't be copied, or whose modules take no hooks; ShapeError where the
    forward fails, with the module and the sizes; for a model on meta whose forward needs numbers, what torch raises:
    `needs_memory` tells.
    """
    on_meta = all(tensor.is_meta for tensor in [*model.parameters(), *model.buffers()])

    def run(device: str | None) -> dict[str, Cost]:
        return _run(make_skeleton(model, meta=device == "meta"), arguments, meta=device == "meta")

    return run("meta") if on_meta else try_on_meta(run)


def _run(model: nn.Module, arguments: tuple[Any, ...], meta: bool) -> dict[str, Cost]:
    if meta:
        arguments = pytree.tree_map_only(Tensor, lambda t: t.detach().to("meta"), arguments)
    found = {id(module): Cost() for module in model.modules()}
    seeds = torch.random.fork_rng(devices=[])
    with (
        FlopCounterMode(display=False) as counter,
        torch.no_grad(),
        _without_gradients(model),
        seeds,
        _without_fast_path(),
    ):
        count = _Count(counter)
        count.take((arguments, [*model.parameters(), *model.buffers()]))
        count.memory = 0
        for module in model.modules():
            _watch(module, found[id(module)], count)
        try:
            model(*arguments)
        except Exception as error:
            if meta and needs_memory(error):
                raise
            raise explain(model, error, causes=not isinstance(error, TypeError)) from error
    for _, module in reversed(list(places(model))):
        if not (cost := found[id(module)]).calls:  # a ModuleList, say: what its elements did
            inside = [found[key] for key in {id(child) for child in module.children()}]
            cost.flops, cost.memory = sum(one.flops for one in inside), sum(one.memory for one in inside)
    return {path: found[id(module)] for path, module in places(model)}


def _watch(module: nn.Module, cost: Cost, count: _Count) -> None:
    """Note the totals when the module is entered and left."""
    entered: list[tuple[int, int]] = []

    def enter(module: nn.Module, args: Any) -> None:
        entered.append(count.now())

    def leave(module: nn.Module, args: Any, output: Any) -> None:
        cost.calls += 1
        cost.outputs = count.take(output)
        flops, memory = entered.pop()
        if not entered:  # not inside another call of itself
            after = count.now()
            cost.flops += after[0] - flops
            cost.memory += after[1] - memory

    if isinstance(module, torch.jit.ScriptModule):
        raise NotApplicableError(f"a {type(module).__name__} takes no hooks, so nothing can be counted in it")
    module.register_forward_pre_hook(enter)
    module.register_forward_hook(leave)


@contextmanager
def _without_gradients(model: nn.Module) -> Iterator[None]:
    """With no parameter that trains: torch's counter stumbles over views of one, made where no gradient is wanted."""
    trained = [p for p in model.parameters() if p.requires_grad and p.is_leaf]
    try:
        for parameter in trained:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in trained:  # they may be the model's own
            parameter.requires_grad_(True)


@contextmanager
def _without_fast_path() -> Iterator[None]:
    """Attention as matrix products: torch's counter knows neither its fast path nor the CPU's fused kernels."""
    was = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was)
