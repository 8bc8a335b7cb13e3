"""What is held against each other before a model is saved, and before one that was built is filled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from ..files.manifest import Manifest
from ..files.match import SHOWN, mismatches
from ..files.tensors import Stored
from ..messages.errors import CheckpointError
from ..messages.text import count, escape, list_lines, quote
from ..surgery.config import tell_apart, tensor_text
from ..surgery.mixins import class_name, parts_of
from ..surgery.walk import places
from .capture import CHANNELS_LAST, saved_tensors
from .restore import FLOATS


def check_fits(model: nn.Module, found: Mapping[str, Any], spec: str, where: str = "file") -> None:
    """Raise CheckpointError, with the first differences, unless what was found is exactly what the model needs."""
    wanted = saved_tensors(model)
    _refuse(
        f"the weights aren't those of '{spec}'",
        [
            f"{escape(name)}: {wants or 'nothing'} by the spec, {has or 'nothing'} in the {where}"
            for name, wants, has in mismatches(wanted, found, exact=True)
        ],
    )


def check_classes(model: nn.Module, wanted: nn.Module, spec: str) -> None:
    """Raise CheckpointError, with the first differences, unless a live model's modules are of the variant's classes."""
    has, wants = dict(places(model)), dict(places(wanted))
    odd = [path for path in dict.fromkeys([*wants, *has]) if not _same_class(wants.get(path), has.get(path))]
    pairs = [
        (path or "the root", *tell_apart(wants.get(path), has.get(path), [_short_name, _long_name])) for path in odd
    ]
    _refuse(
        f"the modules aren't those of '{spec}'",
        [f"{path}: {old} by the spec, {new} in the model" for path, old, new in pairs],
    )


def _refuse(what: str, differences: Sequence[str]) -> None:
    if differences:
        raise CheckpointError(f"{what}, {count(len(differences), 'difference')}:{list_lines(differences, SHOWN)}")


def _same_class(wanted: nn.Module | None, has: nn.Module | None) -> bool:
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


def _long_name(module: nn.Module | None) -> str:
    return "nothing" if module is None else class_name(type(module))


def _short_name(module: nn.Module | None) -> str:
    return " under ".join(part.rpartition(".")[2] for part in _long_name(module).split(" under "))


def check_manifest(manifest: Manifest, spelt: nn.Module, stored: Mapping[str, Stored]) -> None:
    """Raise CheckpointError for what a manifest says of a variant and can't mean: names and dtypes that there aren't.

    spelt: the variant of the manifest's own spec; stored: the tensors of the file.
    """
    parameters = {name for name, _ in spelt.named_parameters(remove_duplicate=False)}
    known = {"modes": {path for path, _ in places(spelt)}, "frozen": parameters, "channels_last": stored.keys()}
    for what, names in known.items():
        if odd := [name for name in getattr(manifest, what) if name not in names]:
            raise CheckpointError(f"the manifest's {what}: the model has no {quote(odd[0])}")
    if odd := [name for name in manifest.channels_last if len(stored[name].shape) not in CHANNELS_LAST]:
        dims = len(stored[odd[0]].shape)
        raise CheckpointError(f"the manifest's channels_last: {quote(odd[0])} has {dims} dimensions; expected 4 or 5")
    for dtype in filter(None, (manifest.dtype, *manifest.dtypes.values())):
        if dtype not in FLOATS:
            raise CheckpointError(f"the manifest's dtype: {quote(dtype)}; expected one of {', '.join(FLOATS)}")
    for name, tensor in [*spelt.named_parameters(), *spelt.named_buffers()]:
        dtype = manifest.dtypes.get(name, manifest.dtype or "")
        numbers = tensor.is_floating_point() or tensor.is_complex()
        if numbers and dtype and FLOATS[dtype].is_complex != tensor.is_complex():
            raise CheckpointError(f"the manifest's dtype: {dtype} for {quote(name)}, which is {tensor_text(tensor)}")
