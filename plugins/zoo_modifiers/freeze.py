"""Layers that training leaves as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import zoo

if TYPE_CHECKING:
    from torch import nn

# On a module, and copied and pickled with it: the parameters that were frozen when `freeze` came, and stay so.
_FIXED = "_zoo_fixed"
_SAME = zoo.Effects(keys="keep", preserves=True)


class Held(zoo.Mixin):
    """Stays in eval mode, so that its running statistics are used and never moved, whatever the model is put in."""

    def train(self, mode: bool = True) -> Any:
        super().train(mode)  # type: ignore[misc]
        self.training = False
        return self


@zoo.modifier(examples=["freeze", "freeze(stem)"], effects=_SAME)
def freeze(model: nn.Module, /, at: zoo.Where = "*", bn_stats: bool = True) -> nn.Module:
    """Take parameters out of training: they need no gradient, and lose the one that they have.

    An optimizer may go on holding them, since it passes over what has no gradient; their state waits there.

    bn_stats: BatchNorm and its like use their running statistics and leave them as they are, also after `.train()`.
    """
    for path, module in _holders_in(model, at, "freeze").items():
        own = dict(module.named_parameters(recurse=False))
        vars(module).setdefault(_FIXED, tuple(name for name, p in own.items() if not p.requires_grad))
        for parameter in own.values():
            parameter.requires_grad = False  # so that one without a shape yet is frozen too
            parameter.grad = None
        if bn_stats and _has_statistics(module):
            zoo.become(model, path, Held)
            module.training = False
    return model


@zoo.modifier(examples=["unfreeze", "unfreeze(stem)"], effects=_SAME)
def unfreeze(model: nn.Module, /, at: zoo.Where = "*") -> nn.Module:
    """Put parameters, and the running statistics that `freeze` holds, back into training.

    What wasn't trained before `freeze` came, such as a fixed position embedding, goes back to that.
    """
    for path, module in _holders_in(model, at, "unfreeze").items():
        fixed = vars(module).pop(_FIXED, ())
        for name, parameter in module.named_parameters(recurse=False):
            if name not in fixed and (parameter.is_floating_point() or parameter.is_complex()):
                parameter.requires_grad = True
        if isinstance(module, Held):
            zoo.unbecome(model, path, Held)
            module.training = model.get_submodule(path.rpartition(".")[0]).training if path else True
    return model


def _holders_in(model: nn.Module, at: zoo.Where, what: str) -> dict[str, nn.Module]:
    """What holds parameters or statistics itself; NotApplicableError where nothing does."""

    def holds(module: Any) -> bool:
        return next(module.parameters(recurse=False), None) is not None or _has_statistics(module)

    if found := zoo.select(model, at, kind=holds):
        return found
    raise zoo.NotApplicableError(f"this {type(model).__name__} has no parameter to {what}")


def _has_statistics(module: nn.Module) -> bool:
    return any(getattr(module, name, None) is not None for name in ("running_mean", "running_var"))
