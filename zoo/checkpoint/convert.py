"""Weights from elsewhere made into a file of the zoo: the one place that reads what torch.save wrote."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..factory.factory import create, spec_of
from ..files.header import make_read_error, path_of
from ..messages.errors import CheckpointError
from ..messages.text import quote
from ..registry.registry import Registry
from .save import save

# Under which keys training scripts put a state dict, averaged weights first as timm has it, and what wrappers put in
# front of every name in one.
_INSIDE = ("state_dict_ema", "model_ema", "state_dict", "model_state_dict", "model")
_WRAPPERS = ("module.", "_orig_mod.")


def convert(
    source: str | os.PathLike[str],
    path: str | os.PathLike[str],
    spec: str,
    *,
    map: Mapping[str, str] | None = None,
    registry: Registry | None = None,
) -> str:
    """Read weights, put them into a variant, every one, and save that.

    source: a safetensors file, or one of torch.save, of which only tensors are read (torch's `weights_only`). Averaged
        weights go before others in it, as in timm.

    Gives the canonical spec, and behind it which weights were taken where there were several.
    """
    name, taken = path_of(source), ""
    weights: Any = name
    if not _is_safetensors(name):
        weights, taken = find_state_dict(name)
    try:
        model = create(spec, weights=weights, map=map, registry=registry)
    except CheckpointError as error:
        if map or not isinstance(weights, Mapping) or not all(key.startswith("model.") for key in weights):
            raise
        raise CheckpointError(f"{error}\nevery name starts with 'model.', as in Lightning's: --map model=") from None
    save(model, path, registry=registry)
    return f"{spec_of(model)}{f', of {quote(taken)}' if taken else ''}"


def _is_safetensors(name: str) -> bool:
    """By content: the ninth byte opens the header."""
    if os.path.isdir(name):
        return True
    try:
        with open(name, "rb") as file:
            return file.read(9)[8:] == b"{"
    except OSError as error:
        raise make_read_error(name, error) from error


def find_state_dict(name: str) -> tuple[dict[str, Tensor], str]:
    """The state dict in a file of torch.save, without what wrappers put in front of its names.

    And which one it is, where there are several.
    """
    content, taken = _read(name), ""
    while isinstance(content, Mapping) and (inside := [k for k in _INSIDE if isinstance(content.get(k), Mapping)]):
        content, taken = content[inside[0]], inside[0] if len(inside) > 1 else taken
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(f"{quote(name)} holds a {type(content).__name__}; expected a state dict")
    if odd := [key for key, value in content.items() if not isinstance(value, Tensor)]:
        raise CheckpointError(f"{quote(name)}: {quote(str(odd[0]))} is no tensor; expected a state dict")
    for wrapper in _WRAPPERS:
        if all(key.startswith(wrapper) for key in content):
            content = {key[len(wrapper) :]: value for key, value in content.items()}
    return dict(content), taken


def _read(name: str) -> Any:
    """What torch.save wrote, as far as that is tensors and plain values; timm's checkpoints hold a Namespace too."""
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(name, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever is in the file
        met = re.search(r"GLOBAL ([\w.]+)", str(error))
        if met:
            raise CheckpointError(
                f"{quote(name)} can't be read without running what's in it: it holds {quote(met[1])}; where it was "
                "made, torch.save(model.state_dict(), path) writes one that can"
            ) from None
        raise CheckpointError(f"{quote(name)} isn't a file of torch.save with weights alone, or is damaged") from None
