"""A built variant filled out of a file: compared by name, shape and dtype, and only then touched.

Parameters stay the objects that they are, so that whatever refers to them still does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ..files.manifest import Manifest
from ..files.tensors import DTYPES, Stored, TensorFile
from ..files.weights import SHOWN, described
from ..messages.errors import CheckpointError
from ..messages.text import count, escape, list_lines, quote
from ..surgery.mixins import class_name, parts_of
from ..surgery.walk import buffers_of, join, persistent, places, set_tensor
from .capture import Slot, slots

_FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}
# What weights may be of; complex128 for buffers outside the state dict, which no file holds.
_BY_NAME = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (*DTYPES.values(), torch.complex128)
    if dtype.is_floating_point or dtype.is_complex
}


def misfits(model: nn.Module, stored: Mapping[str, Stored], names: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Where a file's weights aren't the model's, as (name, of the model, in the file), in the model's order."""
    wanted = {name: tensor for name, _, tensor in slots(model)}
    found = []
    for name in dict.fromkeys([*wanted, *names]):
        if name not in wanted:
            found.append((name, "", described(stored[names[name]])))
        elif name not in names:
            found.append((name, described(wanted[name]), ""))
        elif not _fits(wanted[name], stored[names[name]]):
            found.append((name, described(wanted[name]), described(stored[names[name]])))
    return found


def _fits(wanted: Tensor, stored: Stored) -> bool:
    """Same shape; floats of any precision, since a model is saved in the one that it has, all else exactly."""
    if not is_lazy(wanted) and tuple(wanted.shape) != stored.shape:
        return False
    return wanted.dtype == stored.dtype or (wanted.dtype.is_floating_point and stored.dtype.is_floating_point)


def check_fits(
    model: nn.Module, stored: Mapping[str, Stored], names: Mapping[str, str], spec: str, where: str = "file"
) -> None:
    """Raise CheckpointError, with the first differences, unless the file has exactly what the model needs."""
    if found := misfits(model, stored, names):
        lines = [
            f"{escape(name)}: {wants or 'nothing'} by the spec, {has or 'nothing'} in the {where}"
            for name, wants, has in found
        ]
        raise _differs("weights", spec, lines)


def check_manifest(manifest: Manifest, spelt: nn.Module, stored: Mapping[str, Stored]) -> None:
    """Raise CheckpointError for what a manifest says of a variant and can't mean: names and dtypes that there aren't.

    spelt: the variant of the manifest's own spec; stored: the tensors of the file.
    """
    parameters = {name for name, _ in spelt.named_parameters(remove_duplicate=False)}
    known = {"modes": {path for path, _ in places(spelt)}, "frozen": parameters, "channels_last": stored.keys()}
    for what, names in known.items():
        if odd := [name for name in getattr(manifest, what) if name not in names]:
            raise CheckpointError(f"the manifest's {what}: the model has no {quote(odd[0])}")
    if odd := [name for name in manifest.channels_last if len(stored[name].shape) not in _FORMATS]:
        dims = len(stored[odd[0]].shape)
        raise CheckpointError(f"the manifest's channels_last: {quote(odd[0])} has {dims} dimensions; expected 4 or 5")
    for dtype in filter(None, (manifest.dtype, *manifest.dtypes.values())):
        if dtype not in _BY_NAME:
            raise CheckpointError(f"the manifest's dtype: {quote(dtype)}; expected one of {', '.join(_BY_NAME)}")
    for name, tensor in [*spelt.named_parameters(), *spelt.named_buffers()]:
        dtype = manifest.dtypes.get(name, manifest.dtype or "")
        numbers = tensor.is_floating_point() or tensor.is_complex()
        if numbers and dtype and _BY_NAME[dtype].is_complex != tensor.is_complex():
            raise CheckpointError(f"the manifest's dtype: {dtype} for {quote(name)}, which is {described(tensor)}")


def check_classes(model: nn.Module, wanted: nn.Module, spec: str) -> None:
    """Raise CheckpointError, with the first differences, unless a live model's modules are of the variant's classes."""
    has, wants = dict(places(model)), dict(places(wanted))
    odd = [path for path in dict.fromkeys([*wants, *has]) if not _alike(wants.get(path), has.get(path))]
    if odd:
        lines = [
            f"{path or 'the root'}: {old} by the spec, {new} in the model"
            for path in odd
            for old, new in [_told_apart(wants.get(path), has.get(path))]
        ]
        raise _differs("modules", spec, lines)


def _differs(what: str, spec: str, lines: Sequence[str]) -> CheckpointError:
    differences = count(len(lines), "difference")
    return CheckpointError(f"the {what} aren't those of '{spec}', {differences}:{list_lines(lines, SHOWN)}")


def _alike(wanted: nn.Module | None, has: nn.Module | None) -> bool:
    """Same class and mixins; or what torch itself makes of that class in training.

    That is a lazy layer that has met its first input, and a BatchNorm that counts over several processes (timm's
    `BatchNormAct2d` is `SyncBatchNormAct` then).
    """
    if wanted is None or has is None:
        return wanted is has
    if class_name(type(wanted)) == class_name(type(has)):
        return True
    (old, above), (new, mixins) = parts_of(type(wanted)), parts_of(type(has))
    synced = issubclass(new, nn.SyncBatchNorm) and old.__name__[:-2] == new.__name__.removeprefix("Sync")
    return above == mixins and (synced or getattr(wanted, "cls_to_become", None) is new)


def _told_apart(*modules: nn.Module | None) -> list[str]:
    """The classes of modules in short, in full where that says the same."""
    long = ["nothing" if module is None else class_name(type(module)) for module in modules]
    short = [" under ".join(part.rpartition(".")[2] for part in name.split(" under ")) for name in long]
    return short if len({*short}) == len(short) else long


def fill(
    model: nn.Module,
    file: TensorFile,
    names: Mapping[str, str],
    manifest: Manifest,
    device: torch.device,
    dtype: torch.dtype | None,
) -> None:
    """Give every parameter and persistent buffer its values; the model must have been found to fit."""
    placed: dict[str, Tensor] = {}
    filled: dict[int, str] = {}
    for name, slot, tensor in list(slots(model)):
        first = names[name]
        if first in placed:
            _tie(slot, tensor, placed[first], name in manifest.shared)
            continue
        if filled.get(id(tensor), first) != first:
            tensor = _apart(slot, tensor, name)
        values = file.tensor(first)
        values = values.to(device, _dtype(values, name, manifest, dtype))
        if first in manifest.channels_last:
            values = values.contiguous(memory_format=_FORMATS[values.ndim])
        if is_lazy(tensor):
            tensor.materialize(values.shape)
        tensor.data = values
        placed[first] = tensor
        filled[id(tensor)] = first
    for path, module in model.named_modules():
        for local, buffer in buffers_of(module).items():
            if not persistent(module, local):
                set_tensor(module, local, buffer.to(device, _dtype(buffer, join(path, local), manifest, dtype)))


def _tie(slot: Slot, tensor: Tensor, first: Tensor, memory_alone: bool) -> None:
    """Make a second name what the first one is: the same tensor, or another one over the same memory."""
    if tensor is first:
        return
    if memory_alone:
        tensor.data = first.data
    else:
        set_tensor(*slot, first)


def _apart(slot: Slot, tensor: Tensor, name: str) -> Tensor:
    """A tensor of its own for a place that the spec ties to another and the file doesn't."""
    module, local = slot
    made = nn.Parameter(tensor.detach()) if isinstance(tensor, nn.Parameter) else tensor.detach()
    setattr(module, local, made)
    return made


def put_back(model: nn.Module, manifest: Manifest, spelt: nn.Module | None = None) -> None:
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


def _dtype(values: Tensor, name: str, manifest: Manifest, dtype: torch.dtype | None) -> torch.dtype:
    """The one that is asked for, else that which the model had when it was saved."""
    if not (values.is_floating_point() or values.is_complex()):
        return values.dtype
    if dtype is not None:
        return dtype
    return _BY_NAME.get(manifest.dtypes.get(name, manifest.dtype or ""), values.dtype)
