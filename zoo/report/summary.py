"""`zoo.summary`: what a model is made of, place by place, and what a forward of it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ..factory.builder import arch_of
from ..factory.factory import create
from ..messages.errors import OptionError
from ..registry.registry import Registry
from ..spec.spec import Spec
from ..surgery.mixins import parts_of
from ..surgery.provenance import info_of
from ..surgery.walk import children_of, join
from ..surgery.wrappers import unwrap
from ..trace.flops import Cost, measure_costs
from ..trace.meta import try_on_meta
from .table import Row, Summary, Weight

Size = int | Sequence[int] | Sequence[Sequence[int]]


def summary(
    spec_or_model: str | Spec | nn.Module,
    input_size: Size | None = None,
    *,
    arguments: tuple[Any, ...] | None = None,
    batch_size: int = 1,
    depth: int | None = None,
    registry: Registry | None = None,
) -> Summary:
    """What a model is made of: each module with output shape, parameters, FLOPs and activation memory.

    The forward is one in eval mode, of zeros. FLOPs are torch.utils.flop_counter's: two for a multiply and add. The
    memory of activations is what the modules give, in bytes, each tensor once, whether it's kept for a backward or not.

    Args:
        spec_or_model: A spec, which is built on the meta device; or a live model, which stays as it is and whose hooks
            don't run.
        input_size: The shape of one input without the batch dimension, `(3, 224, 224)`, or a list of shapes where the
            forward takes several. By default the sample input of the model's arch.
        arguments: What the forward takes, in place of a size: for token numbers, dicts and the like.
        batch_size: How many go in at once; shapes, FLOPs and memory are those of the batch.
        depth: Print no deeper than this; the values hold every module.
        registry: What is installed; by default everything that was found.

    Returns:
        A tree of rows with the totals; printed, a table.

    Raises:
        ShapeError: The input can't go through: which module, what arrived, what it wants.
        OptionError: There is no size, and no arch names one; or what isn't a size.
        NotApplicableError: A model that can't be copied, or whose modules take no hooks.

    Example:
        >>> zoo.summary("simple", (100,)).flops
        34280
    """
    given = spec_or_model
    if not isinstance(given, (str, Spec, nn.Module)):
        raise OptionError(f"summary takes a spec or a model, not {type(given).__name__}")
    if batch_size < 1:
        raise OptionError(f"batch_size={batch_size}; expected 1 or more")

    def measure(device: str | None) -> tuple[nn.Module, tuple[Any, ...], Mapping[str, Cost]]:
        model = unwrap(given) if isinstance(given, nn.Module) else create(given, device=device, registry=registry)
        took = _make_arguments(model, input_size, arguments, batch_size, registry)
        return model, took, measure_costs(model, took)

    model, took, found = measure(None) if isinstance(given, nn.Module) else try_on_meta(measure)
    info = info_of(model)
    name = str(info.spec) if info else parts_of(type(model))[0].__name__
    inputs = tuple(tuple(leaf.shape) for leaf in pytree.tree_leaves(took) if isinstance(leaf, Tensor))
    weights = [{n: Weight.of(t) for n, t in named} for named in (model.named_parameters(), model.named_buffers())]
    return Summary(name, inputs, _make_row("", model, found, {}), weights[0], weights[1], depth)


def _make_arguments(
    model: nn.Module,
    size: Size | None,
    arguments: tuple[Any, ...] | None,
    batch_size: int,
    registry: Registry | None,
) -> tuple[Any, ...]:
    """What the forward gets: tensors of zeros in the model's own dtype, on meta where the model is."""
    if arguments is not None:
        if size is not None:
            raise OptionError("input_size= and arguments= say the same; give one of them")
        return arguments if isinstance(arguments, tuple) else (arguments,)
    sample: Any = (size,) if isinstance(size, int) else size
    if size is None:
        arch = arch_of(model, registry)
        sample = arch.sample if arch else None
        sample = sample(model) if callable(sample) else sample
        if sample is None:
            raise OptionError(
                f"nothing says what this {type(model).__name__} takes; give input_size=, the shape of one input "
                "without the batch dimension, as in input_size=(3, 224, 224)"
            )
    return _make_zeros(model, sample, batch_size)


def _make_zeros(model: nn.Module, sample: Any, batch_size: int) -> tuple[Any, ...]:
    tensors = [t for t in [*model.parameters(), *model.buffers()] if t.is_floating_point()]
    dtype, device = (tensors[0].dtype, tensors[0].device) if tensors else (torch.float32, torch.device("cpu"))
    shapes = [sample] if _is_shape(sample) else list(sample) if isinstance(sample, Sequence) else []
    if shapes and all(map(_is_shape, shapes)):
        return tuple(torch.zeros(batch_size, *shape, dtype=dtype, device=device) for shape in shapes)
    if isinstance(sample, tuple) and not any(isinstance(part, (int, float, str)) for part in sample):
        return sample  # an arch's own arguments: images of detection, a pair of frames
    raise OptionError(f"input_size={sample!r}; expected a shape without the batch dimension, as in (3, 224, 224)")


def _is_shape(value: Any) -> bool:
    whole = isinstance(value, Sequence) and not isinstance(value, str) and len(value) > 0
    return whole and all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in value)


def _make_row(path: str, module: nn.Module, found: Mapping[str, Cost], listed: dict[int, str]) -> Row:
    """A module's row, with those below it. listed: where each module was met first."""
    first = listed.setdefault(id(module), path)
    below = [(join(path, name), child) for name, child in children_of(module).items()]
    children = tuple(_make_row(at, child, found, listed) for at, child in below)
    own = list(module.parameters())
    total, trainable = sum(p.numel() for p in own), sum(p.numel() for p in own if p.requires_grad)
    buffers = sum(b.numel() for b in module.buffers())
    cost, cls = found.get(path, Cost()), parts_of(type(module))[0].__name__
    shared = first if first != path else ""
    sums = (total, trainable, total - trainable, buffers, cost.flops, cost.memory, cost.calls)
    return Row(path, cls, cost.outputs, *sums, shared, children)
