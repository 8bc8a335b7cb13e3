"""Wrappers around a model: what is inside them, and which of them hold on to its parameters."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ..messages.errors import NotApplicableError
from ..messages.text import list_names

if TYPE_CHECKING:
    from torch import nn


def unwrap(model: Any) -> Any:
    """What is inside torch.compile's wrapper, DistributedDataParallel and DataParallel, however they are nested."""
    while name := inner_name(model):
        model = getattr(model, name)
    return model


def _around(model: Any) -> Iterator[type]:
    """The classes of such wrappers, outermost first."""
    while name := inner_name(model):
        yield type(model)
        model = getattr(model, name)


def inner_name(model: Any) -> str:
    """The attribute under which such a wrapper holds its model; empty for what is none."""
    from torch.nn.parallel import DataParallel, DistributedDataParallel

    if getattr(model, "_orig_mod", None) is not None:
        return "_orig_mod"
    return "module" if isinstance(model, (DataParallel, DistributedDataParallel)) else ""


def refuse_scripted(model: nn.Module) -> None:
    """Raise NotApplicableError for a model that TorchScript compiled: its layers are code by now."""
    from torch.jit import ScriptModule

    if isinstance(model, ScriptModule):
        raise NotApplicableError(
            f"this {type(model).__name__} was scripted or traced, and its layers can't be changed any more; modify the "
            "bare model, then script it: torch.jit.script(zoo.modify(model, ...))"
        )


def refuse_sharded(model: nn.Module, kinds: Iterable[type]) -> None:
    """Raise NotApplicableError for a model whose parameters are spread over processes.

    kinds: the classes of its modules and tensors.
    """
    # What is sharded was made by these, so where nobody has imported them (0.7 s) nothing is.
    fsdp, tensor = (sys.modules.get(f"torch.distributed.{name}") for name in ("fsdp", "tensor"))
    if fsdp and any(issubclass(kind, fsdp.FullyShardedDataParallel) for kind in kinds):
        raise NotApplicableError(
            "FullyShardedDataParallel made flat pieces of this model's parameters; modify the bare model, then wrap "
            "it: FullyShardedDataParallel(zoo.modify(model, ...))"
        )
    if tensor and any(issubclass(kind, tensor.DTensor) for kind in kinds):
        for name, parameter in model.named_parameters():
            if isinstance(parameter, tensor.DTensor):
                raise NotApplicableError(
                    f"'{name}' is a DTensor, spread over processes; modify the bare model, then shard it: "
                    "fully_shard(zoo.modify(model, ...))"
                )


class Outer:
    """A live model with its wrappers, before an edit: what they hold on to.

    DistributedDataParallel notes at its construction which parameters it gathers gradients of and which buffers it
    sends round. Others would go their own way on each process, in silence, and it would wait for those that are gone.
    """

    def __init__(self, given: nn.Module, model: nn.Module, kinds: Iterable[type]) -> None:
        """kinds: the classes of all modules of the model."""
        from torch.nn.parallel import DataParallel, DistributedDataParallel

        found = [kind for kind in (*_around(given), *kinds) if issubclass(kind, DistributedDataParallel)]
        self.notes = found[0].__name__ if found else ""
        self.around = type(given).__name__ if isinstance(given, (DataParallel, DistributedDataParallel)) else ""
        self.model = model
        self.held = _tensors_in_step(model) if self.notes else set()

    def check(self, result: nn.Module) -> None:
        """Raise NotApplicableError where the edit left a wrapper with what was."""
        again = "modify the module inside, then wrap it again: {0}(zoo.modify(model.module, ...))"
        if changed := sorted({name for name, *_ in self.held ^ _tensors_in_step(result)}) if self.notes else []:
            raise NotApplicableError(
                f"{list_names(changed, 1)} would come, go, freeze, thaw or get other values behind the back of "
                f"{self.notes}, which has noted what it keeps in step; {again.format(self.notes)}"
            )
        if self.around and result is not self.model:
            raise NotApplicableError(f"this replaces the root that {self.around} holds; {again.format(self.around)}")


def _tensors_in_step(model: nn.Module) -> set[tuple[str, int, bool, int | None]]:
    """What is noted, and how often each was written to: new numbers would be other ones on each process."""
    from torch.nn.parameter import is_lazy

    tensors = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    written = ((t, None if is_lazy(t) or t.is_inference() else t._version) for _, t in tensors)
    return {(name, id(t), t.requires_grad, version) for (name, _), (t, version) in zip(tensors, written, strict=True)}
