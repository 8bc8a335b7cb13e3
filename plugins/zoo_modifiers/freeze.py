"""Layers that training leaves as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import zoo

from ._names import holders

if TYPE_CHECKING:
    from torch import nn

# On a module, and copied and pickled with it: the parameters that were frozen when `freeze` came, and stay so.
_FIXED = "_zoo_fixed"


@zoo.modifier(examples=["freeze", "freeze(stem)"], effects=zoo.Effects(keys="keep", preserves=True))
def freeze(model: nn.Module, /, at: zoo.Where = "*", bn_stats: bool = True) -> nn.Module:
    """Take parameters out of training: they need no gradient, and lose the one that they have.

    An optimizer may go on holding them, since it passes over what has no gradient; their state waits there.

    bn_stats: BatchNorm and its like use their running statistics and leave them as they are, also after `.train()`.
    """
    from ._freeze import Held

    found = holders(model, at, _has_something)
    if not found:
        raise zoo.NotApplicableError(f"this {type(model).__name__} has no parameter to freeze")
    for path, module in found.items():
        own = dict(module.named_parameters(recurse=False))
        if _FIXED not in vars(module):
            vars(module)[_FIXED] = tuple(name for name, p in own.items() if not p.requires_grad)
        for parameter in own.values():
            parameter.requires_grad = False  # so that one without a shape yet is frozen too
            parameter.grad = None
        if bn_stats and _has_statistics(module):
            zoo.become(model, path, Held)
            module.training = False
    return model


@zoo.modifier(examples=["unfreeze", "unfreeze(stem)"], effects=zoo.Effects(keys="keep", preserves=True))
def unfreeze(model: nn.Module, /, at: zoo.Where = "*") -> nn.Module:
    """Put parameters, and the running statistics that `freeze` holds, back into training.

    What wasn't trained before `freeze` came, such as a fixed position embedding, goes back to that.
    """
    from ._freeze import Held

    found = holders(model, at, _has_something)
    if not found:
        raise zoo.NotApplicableError(f"this {type(model).__name__} has no parameter to unfreeze")
    for path, module in found.items():
        fixed = vars(module).pop(_FIXED, ())
        for name, parameter in module.named_parameters(recurse=False):
            if name not in fixed and (parameter.is_floating_point() or parameter.is_complex()):
                parameter.requires_grad = True
        if isinstance(module, Held):
            zoo.unbecome(model, path, Held)
            module.training = model.get_submodule(path.rpartition(".")[0]).training if path else True
    return model


def _has_something(module: Any) -> bool:
    return bool(module._parameters) or _has_statistics(module)


def _has_statistics(module: Any) -> bool:
    return any(module._buffers.get(name) is not None for name in ("running_mean", "running_var"))
