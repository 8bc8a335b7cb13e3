"""Weights from elsewhere made into a file of the zoo: the one place that reads what torch.save wrote."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .checkpoint import save
from .errors import CheckpointError, printable
from .factory import create, spec_of
from .headers import quoted
from .registry import Registry

# Under which keys training scripts put a state dict, and what wrappers put in front of every name in one.
_INSIDE = ("state_dict", "model_state_dict", "model")
_WRAPPERS = ("module.", "_orig_mod.")


def convert(
    source: str | os.PathLike[str],
    path: str | os.PathLike[str],
    spec: str,
    *,
    map: Mapping[str, str] | None = None,
    registry: Registry | None = None,
) -> str:
    """Read weights, put them into a variant, every one, and save that. Gives the canonical spec.

    source: a safetensors file, or one of torch.save, of which only tensors are read (torch's `weights_only`).
    """
    name = os.fspath(source)
    weights: Any = name if _is_safetensors(name) else state_dict_in(name)
    model = create(spec, weights=weights, map=map, registry=registry)
    save(model, path, registry=registry)
    return str(spec_of(model))


def _is_safetensors(name: str) -> bool:
    """By content: the ninth byte opens the header."""
    if os.path.isdir(name):
        return True
    try:
        with open(name, "rb") as file:
            return file.read(9)[8:] == b"{"
    except OSError as error:
        raise CheckpointError(f"can't read {quoted(name)}: {error.strerror or error}") from error


def state_dict_in(name: str) -> dict[str, Tensor]:
    """The state dict in a file of torch.save, without what wrappers put in front of its names."""
    try:
        content = torch.load(name, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = printable(str(error).strip().split("\n")[0])[:200]
        raise CheckpointError(
            f"{quoted(name)} can't be read without running what's in it: {reason}; where it was made, "
            "torch.save(model.state_dict(), path) writes one that can"
        ) from None
    for key in _INSIDE:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(f"{quoted(name)} holds a {type(content).__name__}; expected a state dict")
    if odd := [key for key, value in content.items() if not isinstance(value, Tensor)]:
        raise CheckpointError(f"{quoted(name)}: {quoted(str(odd[0]))} is no tensor; expected a state dict")
    for wrapper in _WRAPPERS:
        if all(key.startswith(wrapper) for key in content):
            content = {key[len(wrapper) :]: value for key, value in content.items()}
    return dict(content)
