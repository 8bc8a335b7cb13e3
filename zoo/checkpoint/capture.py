"""A model as a file will hold it: its tensors, each once, and a manifest of all else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ..files.header import METADATA
from ..files.manifest import RESERVED, Manifest, Owner, version_of
from ..files.tensors import NAMES
from ..messages.errors import CheckpointError
from ..messages.text import quote
from ..plan.bind import spell_out
from ..plan.lookup import find_base, find_modifier
from ..plan.resolve import Plan, plan_of
from ..registry.declarations import Arch
from ..registry.owners import Owned
from ..registry.plugins import OWN, Plugin, normalise
from ..registry.registry import Registry
from ..surgery.config import dtype_name
from ..surgery.mixins import parts_of
from ..surgery.provenance import Info, info_of
from ..surgery.walk import join, persistent, places, tensors_of

CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}  # by the number of dimensions


def saved_places(model: nn.Module) -> Iterator[tuple[str, nn.Module, Tensor]]:
    """Every parameter and persistent buffer by every name, with the module that holds it."""
    for path, module in places(model):
        for name, tensor in tensors_of(module).items():
            if persistent(module, name):
                yield join(path, name), module, tensor


def saved_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Every parameter and persistent buffer by every name."""
    return {name: tensor for name, _, tensor in saved_places(model)}


def capture(model: nn.Module, registry: Registry) -> tuple[Manifest, dict[str, Tensor]]:
    """The manifest of a model and its tensors by name; CheckpointError for what can't be built or read again."""
    info = _require_spec(model)
    found = find_base(info.spec.arch, registry)
    plan = plan_of(info.spec, registry)
    tensors, tied, shared = _capture_tensors(model)
    # Those outside the state dict too: they have a dtype to come back to.
    everything = [*model.named_parameters(), *model.named_buffers()]
    floating = {name: dtype_name(t.dtype) for name, t in everything if t.is_floating_point() or t.is_complex()}
    dtype = next((name for name, _ in Counter(floating.values()).most_common(1)), None)
    manifest = Manifest(
        spec=info.spec,
        parts=_spell_parts(plan),
        owners=_list_owners(found, plan, registry),
        recipe=_take_recipe(found, info, model),
        versions=_list_versions(model, found.plugin),
        changes=info.changes,
        training=model.training,
        modes={path: m.training for path, m in model.named_modules() if m.training is not model.training},
        frozen=tuple(name for name, p in model.named_parameters() if not p.requires_grad),
        dtype=dtype,
        dtypes={name: d for name, d in floating.items() if d != dtype},
        channels_last=tuple(name for name, t in tensors.items() if _is_channels_last(t)),
        tied=tied,
        shared=shared,
    )
    return manifest, tensors


def _require_spec(model: nn.Module) -> Info:
    """What the zoo knows of the model; CheckpointError where that isn't enough to build it again."""
    info = info_of(model)
    kind = parts_of(type(model))[0].__name__
    if info is None or info.spec.arch.is_unknown:
        raise CheckpointError(
            f"this {kind} wasn't made by zoo.create, so no file can say how it's built again; make its class an arch "
            "(@zoo.arch()), or keep the weights alone: safetensors.torch.save_model(model, path)"
        )
    if info.obstacle:
        raise CheckpointError(
            f"this {kind} can't be built again from its spec, '{info.spec}': {info.obstacle}; give the option in a "
            "form that a spec can hold, or keep the weights alone: safetensors.torch.save_model(model, path)"
        )
    for path, module in model.named_modules():
        if type(module).get_extra_state is not nn.Module.get_extra_state:
            raise CheckpointError(
                f"'{path}' ({type(module).__name__}) has state that isn't tensors, which no file holds"
            )
    return info


# The problem: the format forbids two names for the same bytes, and a model has them: one tensor under several names
# (`tied`), and several tensors over one memory (`shared`), which are trained apart and must come back so. The trick:
# the first name in the model's order keeps the values, the others are said in the manifest. How it can fail: two
# tensors over parts of one memory can't be said at all, and would come back apart without a word: that is refused
# (`_check_overlap`). So are two that differ in shape or stride alone, such as a weight and its transposed view.
def _capture_tensors(model: nn.Module) -> tuple[dict[str, Tensor], dict[str, str], dict[str, str]]:
    """The tensors by their first name, and the second names of those that are one, and of those that share memory."""
    tensors: dict[str, Tensor] = {}
    tied: dict[str, str] = {}
    shared: dict[str, str] = {}
    first: dict[int, str] = {}
    at: dict[tuple[Any, ...], str] = {}
    for name, tensor in saved_tensors(model).items():
        if id(tensor) in first:
            tied[name] = first[id(tensor)]
            continue
        first[id(tensor)] = name
        _check_tensor(name, tensor)
        key = (tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        if tensor.numel() and key in at:
            shared[name] = at[key]
            continue
        at[key] = name
        tensors[name] = tensor.detach()
    _check_overlap(tensors)
    return tensors, tied, shared


def _check_tensor(name: str, tensor: Tensor) -> None:
    problem = ""
    if is_lazy(tensor):
        problem = "has no shape yet; run a forward first"
    elif tensor.is_meta:
        problem = "is on the meta device and has no values"
    elif tensor.layout is not torch.strided or type(tensor) not in (Tensor, nn.Parameter, nn.Buffer):
        problem = f"is a {type(tensor).__name__} of layout {tensor.layout}; a file holds plain dense tensors"
    elif tensor.dtype not in NAMES:
        problem = f"is of {tensor.dtype}, which safetensors doesn't have"
    elif name == METADATA or name.startswith(RESERVED):
        problem = "has a name that files keep for themselves"
    if problem:
        raise CheckpointError(f"can't save: {quote(name)} {problem}")


def _check_overlap(tensors: Mapping[str, Tensor]) -> None:
    """Two tensors over part of each other's memory would come back apart."""
    spans = sorted(
        (str(t.device), t.data_ptr(), t.data_ptr() + _extent(t), name) for name, t in tensors.items() if t.numel()
    )
    for (device, _, end, name), (other, start, _, following) in pairwise(spans):
        if device == other and start < end and _storage(tensors[name]) == _storage(tensors[following]):
            raise CheckpointError(
                f"can't save: {quote(name)} and {quote(following)} share a part of their memory; "
                "clone one of them, or make them the same tensor"
            )


def _extent(tensor: Tensor) -> int:
    """Bytes from a tensor's first number to its last."""
    steps = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return int(steps + 1) * tensor.element_size()


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _is_channels_last(tensor: Tensor) -> bool:
    if tensor.ndim not in CHANNELS_LAST or tensor.is_contiguous():
        return False
    return tensor.is_contiguous(memory_format=CHANNELS_LAST[tensor.ndim])


def _spell_parts(plan: Plan) -> tuple[str, ...]:
    """The arch and each modifier as a text with every option."""
    arch = spell_out(plan.spec.arch, plan.arch.build, plan.options, 0)
    steps = (spell_out(s.bound.call, s.modifier.apply, s.bound.values, 1) for s in plan.steps)
    return tuple(map(str, (arch, *steps)))


def _list_owners(found: Owned[Any], plan: Plan, registry: Registry) -> tuple[Owner, ...]:
    claims: list[Owned[Any]] = [found, *(find_modifier(call.name, registry) for call in plan.spec.parts)]
    return tuple(Owner(c.owner, c.plugin.distribution, c.plugin.version) for c in claims)


def _take_recipe(found: Owned[Any], info: Info, model: nn.Module) -> str | None:
    """How an arch is built whose name points outside of the file."""
    arch, call = found.value, info.spec.arch
    if call.source is None:
        return None
    if not isinstance(arch, Arch) or arch.recipe is None:
        raise CheckpointError(
            f"'{call}' points outside of the file, and {found.plugin.distribution} gives no recipe to build it without "
            "that; keep the weights alone: safetensors.torch.save_model(model, path)"
        )
    return arch.recipe(model) if info.recipe is None else info.recipe


def _list_versions(model: nn.Module, plugin: Plugin) -> dict[str, str]:
    """Of the zoo, of torch, and of the library that the model's class comes from: by distribution, as owners are."""
    top = parts_of(type(model))[0].__module__.partition(".")[0]
    top = plugin.distribution if top == plugin.module.partition(".")[0] else normalise(top)
    found = {name: version_of(name) for name in (OWN, "torch", top)}
    return {OWN: "?"} | {name: version for name, version in found.items() if version}
