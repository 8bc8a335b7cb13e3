"""`zoo.save`, `zoo.load` and `zoo.read_manifest`: one file is the model.

The file is safetensors: any reader of that format finds the weights under the state dict's names.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

import torch

from ..factory.builder import tell
from ..files.atomic import store
from ..files.header import FILE, path_of
from ..files.manifest import KEY, Manifest, manifest_in, other_versions, read
from ..files.match import Mismatch, mismatches
from ..files.tensors import TensorFile, opened, writer
from ..files.weights import carry_from, contents_of, names_in
from ..messages.errors import CheckpointError, OptionError, ZooError
from ..messages.text import printable, quote
from ..registry.registry import Registry, default_registry
from ..surgery.provenance import attach, info_of, outline_of, sealed
from ..surgery.wrappers import unwrapped
from .capture import portrait, slots
from .checks import check_classes, check_fits, check_manifest
from .rebuild import plan_for, rebuild
from .restore import fill, put_back
from .training import Resumption, training_state

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

Path = str | os.PathLike[str]


def save(
    model: nn.Module,
    path: Path,
    optimizer: Optimizer | Sequence[Optimizer] | None = None,
    scheduler: Any = None,
    step: int | None = None,
    *,
    registry: Registry | None = None,
) -> None:
    """Write a model into one file: its weights, and all that is needed to build it again.

    path: a file, by custom `*.safetensors`; or a folder, existing or with a slash at its end, which gets
        `config.json` and `model.safetensors` as on the Hugging Face Hub.
    optimizer, scheduler: one or several of each, whose state goes along, by parameter name; then so does the state of
        torch's random numbers.
    step: any number, which `zoo.read_manifest(path).step` gives back.

    The same model gives the same bytes. The file is there whole or not at all, whatever happens meanwhile. Raises
    CheckpointError for a model that can't be built again from its spec, or tensors that the format can't hold.
    """
    if step is not None and type(step) is not int:
        raise OptionError(f"step={step!r} ({type(step).__name__}); expected an int")
    inner, name = unwrapped(model), path_of(path)
    registry = registry or default_registry()
    manifest, tensors = portrait(inner, registry)
    _check_spec(inner, manifest, registry)
    if optimizer is not None or scheduler is not None:
        state, more = training_state(inner, optimizer, scheduler)
        manifest, tensors = replace(manifest, state=state), {**tensors, **more}
    manifest = replace(manifest, step=step)
    write = writer(tensors, {"format": "pt", KEY: manifest.dump()})
    if not (os.path.isdir(name) or name.endswith(("/", os.sep))):
        store(name, write)
        return
    try:
        os.makedirs(name, exist_ok=True)
    except OSError as error:
        raise CheckpointError(f"can't make the folder {quote(name)}: {error.strerror}") from error
    store(os.path.join(name, FILE), write)
    config = json.dumps(_config(inner, manifest), indent=2, sort_keys=True, default=str).encode() + b"\n"
    store(os.path.join(name, "config.json"), partial(_write, config))


def _check_spec(model: nn.Module, manifest: Manifest, registry: Registry) -> None:
    """Raise CheckpointError for a model that isn't what its spec says any more: another one would be loaded.

    Looked at closely only where modules and shapes aren't what they were when the zoo last had the model in hand.
    """
    info = info_of(model)
    if info is None or info.outline == outline_of(model):
        return
    wanted = _as_saved(manifest, registry)
    try:
        check_fits(wanted, {name: tensor for name, _, tensor in slots(model)}, str(manifest.spec), "model")
        check_classes(model, wanted, str(manifest.spec))
    except CheckpointError as error:
        raise CheckpointError(
            f"can't save: {error}\nsay the edit in the spec, as zoo.modify(model, 'replace(...)') does, or keep the "
            "weights alone: safetensors.torch.save_model(model, path)"
        ) from None


def _as_saved(manifest: Manifest, registry: Registry) -> nn.Module:
    """The variant that a manifest describes, its parameters not filled."""
    return rebuild(plan_for(manifest, registry, {}), registry, "cpu", manifest.changes)


def _write(data: bytes, file: BinaryIO) -> None:
    file.write(data)


def _config(model: nn.Module, manifest: Manifest) -> dict[str, Any]:
    """What `config.json` says, for people and for libraries that know the arch by its name.

    A bare arch has that name, its options and its own configuration in it, as timm reads them. A variant hasn't: who
    knows nothing of its modifiers would build another model than this one.
    """
    said: dict[str, Any] = {"architectures": [type(model).__name__], "spec": str(manifest.spec)}
    if not manifest.spec.parts:
        said["architecture"] = manifest.spec.arch.name
        said["model_args"] = {key: value for key, value in manifest.spec.arch.args if key is not None}
        said |= {key: value for key in _KNOWN if isinstance(value := getattr(model, key, None), (int, dict))}
    return said


_KNOWN = ("num_classes", "num_features", "pretrained_cfg")


def read_manifest(path: Path) -> Manifest:
    """What a file says about its model, without reading a tensor: spec, owners, versions, changes, step.

    Raises CheckpointError for a file that isn't one of the zoo's, or says nonsense.
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

    into: a live model that gets the weights, by name, and comes back; it is untouched when anything raises. The file
        need not have a manifest then. `map`: names that differ, `{the file's: the model's}`. strict: as in `zoo.carry`.
    optimizer, scheduler: of `into`, whose saved state is put back, as are torch's random numbers.
    device, dtype: where the model goes, and in what its floating weights are; by default what they were saved in.
    mmap: map the file, which takes no memory and next to no time; the file may be replaced, but must not be written
        to or cut off by others while the model is used. False reads it into memory of the model's own. Both compute
        the same, bit for bit: what lies in the file as torch wouldn't have it in memory is read either way.
    overrides: other options: `num_classes=10` of the arch, `**{"dropout.p": 0.3}` of a modifier, `**{"2.p": 0.3}` of
        the second.

    The file makes the zoo import, open, fetch and evaluate nothing: it needs what it needs installed. Raises
    CheckpointError, before a tensor is touched, for a file that can't be read, names what isn't installed, or whose
    weights aren't the variant's.
    """
    if into is not None:
        if overrides or device is not None or dtype is not None:
            odd = next(iter(overrides), "device" if device is not None else "dtype")
            raise OptionError(f"into= takes the weights alone; {odd}= would change the model: change it before")
        return _into(into, path, optimizer, scheduler, mmap, map, strict)
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
    with opened(path, mmap) as file:
        return _loaded(file, registry or default_registry(), device, dtype, overrides)


def _loaded(
    file: TensorFile,
    registry: Registry,
    device: str | torch.device | None,
    dtype: torch.dtype | None,
    overrides: Mapping[str, Any],
) -> nn.Module:
    target = torch.get_default_device() if device is None else torch.device(device)
    manifest, names = manifest_in(file.header, file.name), names_in(file)
    with _told(file.name, manifest, bool(overrides)):
        plan = plan_for(manifest, registry, overrides)
        model = rebuild(
            plan, registry, "meta" if target.type == "meta" else "cpu", None if overrides else manifest.changes
        )
        check_fits(model, contents_of(file)[0], str(plan.spec))
    with _told(file.name, manifest, False):
        spelt = _as_saved(manifest, registry) if overrides else None
        check_manifest(manifest, spelt or model, file.stored())
    if target.type != "meta":
        fill(model, file, names, manifest, target, dtype)
    put_back(model, manifest, spelt)
    info = info_of(model)
    if info is not None and not overrides:
        attach(model, replace(info, changes=manifest.changes))
    tell(registry, model, plan.spec)
    return sealed(model)


@contextmanager
def _told(name: str, manifest: Manifest, overridden: bool) -> Iterator[None]:
    """Whatever keeps a variant from being built becomes a CheckpointError with the file and what it was saved with."""
    try:
        yield
    except CheckpointError as error:
        hint = "" if "pip install" in str(error) else other_versions(manifest)
        raise CheckpointError(f"{quote(name)}: {error}{hint}") from error
    except ZooError as error:
        if overridden:
            raise  # the caller's own options
        raise CheckpointError(f"{quote(name)}: {printable(str(error))}{other_versions(manifest)}") from error
    except (Exception, SystemExit) as error:
        what = f"can't be built here: {type(error).__name__}: {printable(str(error))}"
        raise CheckpointError(f"{quote(name)}: {what}{other_versions(manifest)}") from error


def verify_file(path: Path, registry: Registry | None = None) -> tuple[Manifest, list[Mismatch]]:
    """A file's manifest, and where its weights aren't those of its own spec. Reads no tensor."""
    registry = registry or default_registry()
    with opened(path) as file:
        manifest = manifest_in(file.header, file.name)
        with _told(file.name, manifest, False):
            wanted = {name: tensor for name, _, tensor in slots(_as_saved(manifest, registry))}
            return manifest, mismatches(wanted, contents_of(file)[0], exact=True)


def _into(
    model: nn.Module,
    path: Path,
    optimizer: Any,
    scheduler: Any,
    mmap: bool,
    map: Mapping[str, str] | None,
    strict: bool,
) -> nn.Module:
    inner = unwrapped(model)
    if not isinstance(inner, torch.nn.Module):
        raise OptionError(f"into= takes a live model, not {model!r} ({type(model).__name__})")
    with opened(path, mmap) as file:
        found, value = contents_of(file)
        if optimizer is None and scheduler is None:
            report = carry_from(inner, found, value, strict, map)
        else:
            state = manifest_in(file.header, file.name).state
            resumption = Resumption(state, partial(file.tensor, kept=False), inner, optimizer, scheduler)
            with resumption.applied():
                report = carry_from(inner, found, value, strict, map)
    if not report.exact:
        warnings.warn(f"weights of {quote(os.fspath(path))}: {report}", stacklevel=3)
    return model
