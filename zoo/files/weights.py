"""Weights from one model into another, by name, with a report of what fitted and what didn't.

Everything is compared before a tensor is touched, and nothing is passed over in silence.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ..messages.errors import CheckpointError, OptionError
from ..messages.text import quote
from ..surgery.walk import below
from ..surgery.wrappers import unwrap
from .manifest import KEY, RESERVED, parse_manifest
from .match import Report, match_tensors
from .tensors import TensorFile, open_tensors

Contents = tuple[Mapping[str, Any], Callable[[str], Tensor]]
Weights = nn.Module | Mapping[str, Any] | str | os.PathLike[str]


def carry(
    model: nn.Module, source: Weights, *, strict: bool = True, map: Mapping[str, str] | None = None, mmap: bool = True
) -> Report:
    """Copy weights into a model from another model, a state dict or a safetensors file, by name.

    Everything is compared before a tensor is touched. A float may become another float, but no integer a float, nor a
    complex number a real one; a tensor with several names is filled under any of them.

    Args:
        model: The live model that gets them.
        source: Another model, a state dict, or the path of a safetensors file.
        strict: Raise, with the report, unless every weight finds its place; the model is untouched then. Otherwise what
            fits is copied, the rest of the model stays as it is, and the report says which is which.
        map: Parts that are called otherwise in the source, as `{its name: the model's name}`, of modules or weights:
            `{"backbone.fc": "head"}`; an empty name stands for the whole, `{"module": ""}`.
        mmap: Map a file rather than read it.

    Returns:
        Which weights matched, and which are missing, unexpected or of another shape; printed, a few lines.

    Raises:
        CheckpointError: With `strict`, where a weight finds no place; and for a file that can't be read.
        OptionError: What is no source of weights, a `map` that means nothing, a model on meta.

    Example:
        >>> variant = zoo.create("simple+dropout(0.2)")
        >>> print(zoo.carry(variant, zoo.create("simple")))
        11 weights matched
    """
    with open_contents(source, mmap) as (found, value):
        return carry_from(model, found, value, strict, map)


@contextmanager
def open_contents(source: Weights, mmap: bool = True) -> Iterator[Contents]:
    """What a source of weights holds: shapes and dtypes by name, and a function that gives the tensor of a name."""
    if isinstance(source, (str, os.PathLike)):
        with open_tensors(source, mmap) as file:
            yield list_contents(file)
        return
    found = unwrap(source).state_dict() if isinstance(source, nn.Module) else source
    if not isinstance(found, Mapping):
        met = type(source).__name__
        raise OptionError(f"weights are a model, a state dict of tensors or the path of a file, not {met}")
    if odd := [key for key, tensor in found.items() if not isinstance(tensor, Tensor)]:
        inside = f"; give what is inside, ...[{odd[0]!r}]" if isinstance(found[odd[0]], Mapping) else ""
        met = type(found[odd[0]]).__name__
        raise OptionError(f"weights: {quote(str(odd[0]))} is of type {met}; expected tensors{inside}")
    yield found, found.__getitem__


def list_contents(file: TensorFile) -> Contents:
    """What an open file holds, to be copied from."""
    names, stored = names_in(file), file.stored()
    return {name: stored[first] for name, first in names.items()}, lambda name: file.tensor(names[name], kept=False)


def names_in(file: TensorFile) -> dict[str, str]:
    """The weights in a file by every name, with the one under which each lies there; not what belongs to training."""
    names = {name: name for name in file.header.entries if not name.startswith(RESERVED)}
    if KEY in file.header.metadata:
        manifest = parse_manifest(file.header, file.name)
        for second, first in {**manifest.tied, **manifest.shared}.items():
            if second in names or first not in file.header.entries:
                raise CheckpointError(f"{quote(file.name)}: {quote(second)} can't be tied to {quote(first)}")
            names[second] = first
    return names


def carry_from(
    model: nn.Module,
    found: Mapping[str, Any],
    value: Callable[[str], Tensor],
    strict: bool,
    map: Mapping[str, str] | None = None,
) -> Report:
    """`carry` out of opened contents."""
    model = unwrap(model)
    if not isinstance(model, nn.Module):
        raise OptionError(f"weights go into a live model, not {model!r}; zoo.create makes one from a spec")
    old_names = rename(found, map or {})
    targets = model.state_dict(keep_vars=True)
    if any(tensor.is_meta for tensor in targets.values()):
        raise OptionError("a model on the meta device has no memory for weights; create it without device='meta'")
    report = match_tensors(targets, {new: found[old] for new, old in old_names.items()})
    if strict and not report.exact:
        raise CheckpointError(f"these weights aren't this model's: {report}")
    for name in report.matched:
        _check_writable(name, targets[name])
    values = {name: value(old_names[name]) for name in report.matched}  # read before the first is written
    if empty := [name for name, tensor in values.items() if tensor.is_meta]:
        raise OptionError(f"{quote(old_names[empty[0]])} in the source is on the meta device and has no values")
    with torch.no_grad():
        for name, tensor in values.items():
            if is_lazy(target := targets[name]):
                target.materialize(tensor.shape)
            target.copy_(tensor)
    return report


def _check_writable(name: str, target: Tensor) -> None:
    if is_lazy(target):
        return
    if target.is_inference() and not torch.is_inference_mode_enabled():
        raise CheckpointError(f"'{name}' was made in inference mode and takes no values outside of it")
    if any(stride == 0 and size > 1 for stride, size in zip(target.stride(), target.shape, strict=True)):
        raise CheckpointError(f"'{name}' is one number shown several times, which takes no values; make it contiguous")


def rename(names: Iterable[str], map: Mapping[str, str]) -> dict[str, str]:
    """The model's name for each of the source's names, as {model's: source's}; the longest entry of the map counts."""
    found: dict[str, str] = {}
    used = set()
    for name in names:
        fitting = [old for old in map if below(name, old)]
        new = name
        if fitting:
            old = max(fitting, key=len)
            used.add(old)
            rest = name[len(old) :].lstrip(".") if old else name
            new = ".".join(filter(None, (map[old], rest)))
        if new in found:
            raise OptionError(f"map: both {quote(found[new])} and {quote(name)} would become {quote(new)}")
        found[new] = name
    if unused := [old for old in map if old not in used]:
        raise OptionError(f"map: the source has nothing called {quote(unused[0])}")
    return found
