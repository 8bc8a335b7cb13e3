"""A built variant filled out of a file.

Parameters stay the objects that they are, so that whatever refers to them still does.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ..files.manifest import Manifest
from ..files.tensors import DTYPES, TensorFile
from ..surgery.config import dtype_name
from ..surgery.walk import buffers_of, join, persistent, set_tensor, split
from .capture import CHANNELS_LAST, saved_places

# What weights may be of; complex128 for buffers outside the state dict, which no file holds.
FLOATS = {
    dtype_name(dtype): dtype
    for dtype in (*DTYPES.values(), torch.complex128)
    if dtype.is_floating_point or dtype.is_complex
}


# The problem: names in a file, names in the model and tensors aren't one to one. A tensor may have many names (tied),
# several tensors may lie over one memory (shared), what the spec ties a file may hold apart, or the other way round;
# whatever refers to a parameter (an optimizer, a tie that an arch keeps in a list) must go on referring to it. The
# trick: go through the model's names in order, and give the tensor that is there the file's values as its `data`, so
# that the object stays. The first name that leads to one place in the file decides which tensor bears it (`placed`);
# the others become that tensor. A tensor that was filled under a name of another place in the file (`filled`) gets a
# sibling of its own. How it can fail: `data` asks nothing, so that a shape or dtype that wasn't found to fit before
# goes in; and an object that holds the old memory itself (a view made while the arch was built) sees nothing of this.
def fill(
    model: nn.Module,
    file: TensorFile,
    names: Mapping[str, str],
    manifest: Manifest,
    device: torch.device,
    dtype: torch.dtype | None,
) -> None:
    """Give every parameter and persistent buffer its values; the model must have been found to fit.

    names: for each name of the model's, the one under which it lies in the file.
    """
    placed: dict[str, Tensor] = {}
    filled: dict[int, str] = {}
    for name, module, tensor in list(saved_places(model)):
        first = names[name]
        if first in placed:
            _tie(module, name, tensor, placed[first], name in manifest.shared)
            continue
        if filled.get(id(tensor), first) != first:
            tensor = _untie(module, name, tensor)
        values = file.tensor(first)
        values = values.to(device, _choose_dtype(values, name, manifest, dtype))
        if first in manifest.channels_last:
            values = values.contiguous(memory_format=CHANNELS_LAST[values.ndim])
        if is_lazy(tensor):
            tensor.materialize(values.shape)
        tensor.data = values
        placed[first] = tensor
        filled[id(tensor)] = first
    for path, module in model.named_modules():
        for local, buffer in buffers_of(module).items():
            if not persistent(module, local):
                wanted = _choose_dtype(buffer, join(path, local), manifest, dtype)
                set_tensor(module, local, buffer.to(device, wanted))


def _tie(module: nn.Module, name: str, tensor: Tensor, first: Tensor, memory_alone: bool) -> None:
    """Make a second name what the first one is: the same tensor, or another one over the same memory."""
    if tensor is first:
        return
    if memory_alone:
        tensor.data = first.data
    else:
        set_tensor(module, split(name)[1], first)


def _untie(module: nn.Module, name: str, tensor: Tensor) -> Tensor:
    """A tensor of its own for a place that the spec ties to another and the file doesn't."""
    made = nn.Parameter(tensor.detach()) if isinstance(tensor, nn.Parameter) else tensor.detach()
    setattr(module, split(name)[1], made)
    return made


def restore_modes(model: nn.Module, manifest: Manifest, spelt: nn.Module | None = None) -> None:
    """Modes and gradients as they were when the model was saved.

    spelt: where options were overridden, the variant without that. What it has by itself the file says no more than its
    spec does, so there the model stays as its own spec has it; what someone did by hand comes back.
    """
    modes: dict[str, bool] = {}
    trained: dict[str, bool] = {}
    if spelt is not None:
        for one in (spelt, model):
            if one.training is not manifest.training:
                one.train(manifest.training)
        modes = {path: module.training for path, module in spelt.named_modules()}
        trained = {name: p.requires_grad for name, p in spelt.named_parameters(remove_duplicate=False)}
    for path, module in model.named_modules():
        mode = manifest.modes.get(path, manifest.training)
        if spelt is None or modes.get(path, mode) is not mode:
            module.training = mode
    frozen = set(manifest.frozen)
    for name, parameter in model.named_parameters():
        wanted = name not in frozen
        if not (parameter.is_floating_point() or parameter.is_complex()):
            continue
        if parameter.requires_grad is not wanted and (spelt is None or trained.get(name, wanted) is not wanted):
            parameter.requires_grad_(wanted)


def _choose_dtype(values: Tensor, name: str, manifest: Manifest, dtype: torch.dtype | None) -> torch.dtype:
    """The one that is asked for, else that which the model had when it was saved."""
    if not (values.is_floating_point() or values.is_complex()):
        return values.dtype
    if dtype is not None:
        return dtype
    return FLOATS.get(manifest.dtypes.get(name, manifest.dtype or ""), values.dtype)
