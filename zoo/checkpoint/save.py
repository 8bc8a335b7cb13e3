"""`zoo.save`: a model into one file, which is safetensors: any reader of that format finds the weights in it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..files.atomic import store
from ..files.header import FILE, path_of
from ..files.manifest import KEY, Manifest
from ..files.tensors import writer
from ..messages.errors import CheckpointError, OptionError
from ..messages.text import quote
from ..registry.registry import Registry, default_registry
from ..surgery.provenance import info_of, outline_of
from ..surgery.wrappers import unwrap
from .capture import capture, saved_tensors
from .checks import check_classes, check_fits
from .rebuild import rebuild_as_saved
from .training import training_state

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


def save(
    model: nn.Module,
    path: str | os.PathLike[str],
    optimizer: Optimizer | Sequence[Optimizer] | None = None,
    scheduler: Any = None,
    step: int | None = None,
    *,
    registry: Registry | None = None,
) -> None:
    """Write a model into one file: its weights, and all that is needed to build it again.

    The same model gives the same bytes. The file is there whole or not at all, whatever happens meanwhile.

    Args:
        model: One that `zoo.create` made, modified since or not; in wrappers too.
        path: A file, by custom `*.safetensors`; or a folder, existing or with a slash at its end, which gets
            `config.json` and `model.safetensors` as on the Hugging Face Hub.
        optimizer: One or several, whose state goes along, by parameter name; then so does that of torch's random
            numbers.
        scheduler: One or several of `torch.optim.lr_scheduler`, likewise.
        step: Any number, which `zoo.read_manifest(path).step` gives back.
        registry: What is installed; by default everything that was found.

    Raises:
        CheckpointError: The model can't be built again from its spec, isn't what its spec says any more, or has tensors
            that the format can't hold; or the file can't be written.
        OptionError: `step` is no int, or the optimizer isn't the model's.

    Example:
        >>> import os, tempfile, zoo
        >>> path = os.path.join(tempfile.mkdtemp(), "mlp.safetensors")
        >>> zoo.save(zoo.create("simple+dropout(0.2)"), path)
        >>> str(zoo.spec_of(zoo.load(path)))
        'simple+dropout(p=0.2)'
    """
    if step is not None and type(step) is not int:
        raise OptionError(f"step={step!r} ({type(step).__name__}); expected an int")
    inner, name = unwrap(model), path_of(path)
    registry = registry or default_registry()
    manifest, tensors = capture(inner, registry)
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
    config = json.dumps(_config_of(inner, manifest), indent=2, sort_keys=True, default=str).encode() + b"\n"
    store(os.path.join(name, "config.json"), lambda file: file.write(config))


def _check_spec(model: nn.Module, manifest: Manifest, registry: Registry) -> None:
    """Raise CheckpointError for a model that isn't what its spec says any more: another one would be loaded.

    Looked at closely only where modules and shapes aren't what they were when the zoo last had the model in hand.
    """
    info = info_of(model)
    if info is None or info.outline == outline_of(model):
        return
    wanted = rebuild_as_saved(manifest, registry)
    try:
        check_fits(wanted, saved_tensors(model), str(manifest.spec), "model")
        check_classes(model, wanted, str(manifest.spec))
    except CheckpointError as error:
        raise CheckpointError(
            f"can't save: {error}\nsay the edit in the spec, as zoo.modify(model, 'replace(...)') does, or keep the "
            "weights alone: safetensors.torch.save_model(model, path)"
        ) from None


def _config_of(model: nn.Module, manifest: Manifest) -> dict[str, Any]:
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
