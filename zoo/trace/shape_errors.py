"""Sizes that don't fit, told in terms of the model: where, what arrived, what was wanted, what would fit."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from ..messages.errors import ShapeError
from ..messages.text import format_place
from ..surgery.mixins import parts_of
from .meta import needs_memory

# For the layers that fix a size: the attribute that holds it, and the dimension of the input that must match.
_FIXED: tuple[tuple[type, str, int], ...] = (
    (nn.Linear, "in_features", -1),
    (nn.Bilinear, "in1_features", -1),
    (nn.modules.conv._ConvNd, "in_channels", 1),
    (nn.modules.batchnorm._BatchNorm, "num_features", 1),
    (nn.GroupNorm, "num_channels", 1),
    (nn.RNNBase, "input_size", -1),
    (nn.MultiheadAttention, "embed_dim", -1),
    (nn.PReLU, "num_parameters", 1),
)


def run_through(model: nn.Module, arguments: tuple[Any, ...], what: str) -> None:
    """Run one forward in eval mode; ShapeError if it fails where the bare arch's didn't."""
    model.eval()
    try:
        with torch.no_grad():
            model(*arguments)
    except Exception as error:
        if needs_memory(error):
            return  # it computes with values, which says nothing of sizes
        raise explain(model, error, f"{what}: ") from error


# The problem: torch says "mat1 and mat2 shapes cannot be multiplied", and not which layer of the model that was, nor
# what would fit. The trick: the traceback still holds the frames of the forward that failed. The innermost one that is
# a `forward` of a module of this model is where it happened, and the tensors among its local variables are what arrived
# there. How it can fail: a forward that gives its argument a new value before it fails shows that one; one that isn't
# written in Python (a scripted model) has no frame, and the module that called it is told.
def explain(model: nn.Module, error: Exception, lead: str = "", causes: bool = False) -> ShapeError:
    """What a failed forward says about sizes: the innermost module that was running, what arrived and what it wants.

    causes: add what it usually is when a model meets an input, rather than an edit.
    """
    path, module, arrived = _find_failure(model, error)
    usual = _USUAL if causes else ""
    name = format_place(path, type(module).__name__)
    shapes = ", ".join(str(list(tensor.shape)) for tensor in arrived[:2])
    if isinstance(module, nn.modules.conv._ConvNd) and arrived and arrived[0].ndim != len(module.kernel_size) + 2:
        dims = len(module.kernel_size) + 2
        return ShapeError(f"{lead}{name} wants {dims} dimensions, the batch first, but {shapes} arrives{usual}")
    for attribute, wants, got in _sizes(module, arrived[0]) if arrived and arrived[0].ndim > 1 else ():
        if wants != got:
            fits = f"a {type(module).__name__} with {attribute}={got} would fit{usual}"
            cure = _find_cause(module, wants, arrived[0]) or (fits if got else "nothing fits a size of 0")
            return ShapeError(f"{lead}{name} wants {attribute}={wants}, but {got} arrive ({shapes}); {cure}")
    reason = str(error).split("\n")[0] or type(error).__name__
    came = f", where {shapes} arrived" if shapes else ""
    return ShapeError(f"{lead}a forward fails at {name}{came}: {reason}{usual}")


def _find_failure(model: nn.Module, error: Exception) -> tuple[str, nn.Module, list[Tensor]]:
    """The innermost module of the model whose forward was running, with its path, and the tensors that it held."""
    paths = {id(module): path for path, module in model.named_modules()}
    found: tuple[str, nn.Module, list[Tensor]] = ("", model, [])
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        values = trace.tb_frame.f_locals
        running, args = values.get("self"), values.get("args")
        if isinstance(running, nn.Module) and id(running) in paths and trace.tb_frame.f_code.co_name == "forward":
            held = [*values.values(), *(args if isinstance(args, tuple) else ())]
            found = (paths[id(running)], running, [value for value in held if isinstance(value, Tensor)])
        trace = trace.tb_next
    return found


_USUAL = "\n  usual causes: an input of another size or other channels than the model was built for, a missing Flatten"


def _find_cause(module: nn.Module, wants: int, arrived: Tensor) -> str:
    """The cause, where the sizes themselves give it away."""
    inner = arrived.shape[1:]
    if isinstance(module, nn.Linear) and len(inner) > 1 and inner.numel() == wants:
        return f"a Flatten in front is missing: {' × '.join(map(str, inner))} = {wants}"
    if isinstance(module, nn.modules.conv._ConvNd) and len(inner) > 1 and inner[-1] == wants:
        return f"the channels stand last in {list(arrived.shape)}; torch wants them behind the batch"
    return ""


def _sizes(module: nn.Module, arrived: Tensor) -> Iterator[tuple[str, Any, Any]]:
    """The sizes that a layer fixes: the attribute, what it wants, and what arrived."""
    if parts_of(type(module))[0] in (nn.LayerNorm, nn.RMSNorm):  # a subclass may norm over other dimensions
        wants = list(module.normalized_shape)  # type: ignore[arg-type]
        yield "normalized_shape", wants, list(arrived.shape[-len(wants) :])
    for kind, attribute, dim in _FIXED:
        if isinstance(module, kind):
            yield attribute, getattr(module, attribute), arrived.shape[dim]
