"""`zoo.load` and `zoo.read_manifest`: one file is the model."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from ..factory.builder import tell
from ..files.manifest import Manifest, list_other_versions, parse_manifest, read
from ..files.match import Mismatch, mismatches
from ..files.tensors import TensorFile, open_tensors
from ..files.weights import carry_from, list_contents, names_in
from ..messages.errors import CheckpointError, OptionError, ZooError
from ..messages.text import printable, quote
from ..registry.registry import Registry, default_registry
from ..surgery.provenance import attach, info_of, seal
from ..surgery.wrappers import unwrap
from .capture import saved_tensors
from .checks import check_fits, check_manifest
from .rebuild import plan_for, rebuild, rebuild_as_saved
from .restore import fill, restore_modes
from .training import Resumption

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

Path = str | os.PathLike[str]


def read_manifest(path: Path) -> Manifest:
    """What a file says about its model, without reading a tensor: spec, owners, versions, changes, step.

    Args:
        path: A file of `zoo.save`, or a folder with one.

    Returns:
        The manifest; printed, a few lines for people.

    Raises:
        CheckpointError: The file can't be read, isn't one of the zoo's, or says nonsense.
    """
    return read(path)[0]


def load(
    path: Path,
    into: nn.Module | None = None,
    optimizer: Optimizer | Sequence[Optimizer] | None = None,
    scheduler: Any = None,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    mmap: bool = True,
    *,
    map: Mapping[str, str] | None = None,
    strict: bool = True,
    registry: Registry | None = None,
    **overrides: Any,
) -> nn.Module:
    """The model that a file of `zoo.save` holds, built again and filled; or the weights of a file, into a live model.

    The file makes the zoo import, open, fetch and evaluate nothing: it needs what it needs installed. A model is given
    back only when every weight has found its place; a live one is untouched when anything raises.

    Args:
        path: A file, or a folder with `model.safetensors` in it.
        into: A live model that gets the weights, by name, and comes back. The file need not have a manifest then.
        optimizer: One or several of `into`, whose saved state is put back, as are torch's random numbers.
        scheduler: One or several of `torch.optim.lr_scheduler`, likewise.
        device: Where the model goes; by default where torch builds now. `"meta"` reads no weights.
        dtype: What its floating weights are in; by default what they were saved in.
        mmap: Map the file, which takes no memory and next to no time; the file may be replaced, but must not be written
            to or cut off by others while the model is used. False reads it into memory of the model's own. Both compute
            the same, bit for bit: what lies in the file as torch wouldn't have it in memory is read either way.
        map: With `into`, names that differ, `{the file's: the model's}`, as in `zoo.carry`.
        strict: With `into`, whether every weight must find its place, as in `zoo.carry`.
        registry: What is installed; by default everything that was found.
        **overrides: Other options: `num_classes=10` of the arch, `**{"dropout.p": 0.3}` of a modifier,
            `**{"2.p": 0.3}` of the second.

    Returns:
        The model, in the modes and with the gradients that it was saved with; or `into`.

    Raises:
        CheckpointError: Before a tensor is touched, for a file that can't be read, names what isn't installed, or whose
            weights aren't the variant's.
        OptionError: An argument that doesn't go with the others, or an override that no part takes.
    """
    if into is not None:
        if overrides or device is not None or dtype is not None:
            odd = next(iter(overrides), "device" if device is not None else "dtype")
            raise OptionError(f"into= takes the weights alone; {odd}= would change the model: change it before")
        return _load_into(into, path, optimizer, scheduler, mmap, map, strict)
    if optimizer is not None or scheduler is not None:
        raise OptionError(
            "an optimizer holds the parameters of a model that is there: model = zoo.load(path), make the optimizer, "
            "then zoo.load(path, into=model, optimizer=optimizer)"
        )
    if map is not None or not strict:
        raise OptionError("map= and strict= say how weights get into another model: zoo.load(path, into=model, ...)")
    if empty := [key for key in overrides if not key.rpartition(".")[2]]:
        raise OptionError(
            f"{empty[0]!r} names no option; write num_classes=10, or **{{'dropout.p': 0.3}} of a modifier"
        )
    with open_tensors(path, mmap) as file:
        return _load_model(file, registry or default_registry(), device, dtype, overrides)


def _load_model(
    file: TensorFile,
    registry: Registry,
    device: str | torch.device | None,
    dtype: torch.dtype | None,
    overrides: Mapping[str, Any],
) -> nn.Module:
    target = torch.get_default_device() if device is None else torch.device(device)
    manifest, names = parse_manifest(file.header, file.name), names_in(file)
    with _blame_file(file.name, manifest, bool(overrides)):
        plan = plan_for(manifest, registry, overrides)
        place = "meta" if target.type == "meta" else "cpu"
        model = rebuild(plan, registry, place, None if overrides else manifest.changes)
        check_fits(model, list_contents(file)[0], str(plan.spec))
    with _blame_file(file.name, manifest, False):
        spelt = rebuild_as_saved(manifest, registry) if overrides else None
        check_manifest(manifest, spelt or model, file.stored())
    if target.type != "meta":
        fill(model, file, names, manifest, target, dtype)
    restore_modes(model, manifest, spelt)
    info = info_of(model)
    if info is not None and not overrides:
        attach(model, replace(info, changes=manifest.changes))
    tell(registry, model, plan.spec)
    return seal(model)


def _load_into(
    model: nn.Module,
    path: Path,
    optimizer: Any,
    scheduler: Any,
    mmap: bool,
    map: Mapping[str, str] | None,
    strict: bool,
) -> nn.Module:
    inner = unwrap(model)
    if not isinstance(inner, torch.nn.Module):
        raise OptionError(f"into= takes a live model, not {model!r} ({type(model).__name__})")
    with open_tensors(path, mmap) as file:
        found, value = list_contents(file)
        if optimizer is None and scheduler is None:
            report = carry_from(inner, found, value, strict, map)
        else:
            state = parse_manifest(file.header, file.name).state
            resumption = Resumption(state, partial(file.tensor, kept=False), inner, optimizer, scheduler)
            with resumption.apply():
                report = carry_from(inner, found, value, strict, map)
    if not report.exact:
        warnings.warn(f"weights of {quote(os.fspath(path))}: {report}", stacklevel=3)
    return model


def verify_file(path: Path, registry: Registry | None = None) -> tuple[Manifest, list[Mismatch]]:
    """A file's manifest, and where its weights aren't those of its own spec. Reads no tensor."""
    registry = registry or default_registry()
    with open_tensors(path) as file:
        manifest = parse_manifest(file.header, file.name)
        with _blame_file(file.name, manifest, False):
            wanted = saved_tensors(rebuild_as_saved(manifest, registry))
            return manifest, mismatches(wanted, list_contents(file)[0], exact=True)


@contextmanager
def _blame_file(name: str, manifest: Manifest, overridden: bool) -> Iterator[None]:
    """Whatever keeps a variant from being built becomes a CheckpointError with the file and what it was saved with."""
    try:
        yield
    except CheckpointError as error:
        hint = "" if "pip install" in str(error) else list_other_versions(manifest)
        raise CheckpointError(f"{quote(name)}: {error}{hint}") from error
    except ZooError as error:
        if overridden:
            raise  # the caller's own options
        raise CheckpointError(f"{quote(name)}: {printable(str(error))}{list_other_versions(manifest)}") from error
    except (Exception, SystemExit) as error:
        what = f"can't be built here: {type(error).__name__}: {printable(str(error))}"
        raise CheckpointError(f"{quote(name)}: {what}{list_other_versions(manifest)}") from error
