"""Another activation."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import zoo

if TYPE_CHECKING:
    from torch import nn

# A class is an activation if it, or a class it inherits from, stands in one of these modules and isn't one of these.
_MODULES = ("torch.nn.modules.activation", "timm.layers.activations", "timm.layers.activations_me")
_NO_ACTIVATIONS = {"MultiheadAttention", "Softmax", "Softmax2d", "LogSoftmax", "Softmin", "GLU", "Threshold"}
_GATES = {"Sigmoid", "Hardsigmoid", "HardSigmoid", "HardSigmoidMe", "LogSigmoid"}


@zoo.modifier(examples=["act(silu)", "act(mish)", "act(relu, at=head)"])
def act(model: nn.Module, /, name: str, at: zoo.Where = "*") -> nn.Module:
    """Swap every activation for another, by timm's names (`relu`, `silu`, `gelu`, `mish`, `hard_swish`, `prelu`, ...).

    `inplace` stays as it was. Gates (sigmoid, hard sigmoid), as in squeeze-and-excitation, are left alone, unless `at`
    names their class.
    """
    terms = [at] if isinstance(at, str) else list(at)
    gates_too = bool(_GATES.intersection(terms))
    layer = _layer(name)

    def wanted(module: Any) -> bool:
        return _is_activation(module) or (gates_too and _is_activation(module, _GATES))

    found = zoo.select(model, at, kind=wanted)
    for path, old in found.items():
        model = zoo.replace(model, path, _like(old, layer))
    if not found:
        raise zoo.NotApplicableError(f"this {type(model).__name__} has no activation that is a module")
    return model


def _layer(name: str) -> Any:
    """timm's activation of this name."""
    from timm.layers import create_act

    known = {**create_act._ACT_LAYER_DEFAULT, **create_act._ACT_LAYER_ME}
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else f"; the names: {', '.join(sorted(known))}"
        raise zoo.OptionError(f"act: no activation '{name}'{hint}")
    return create_act.get_act_layer(name)


def _is_activation(module: Any, only: set[str] | None = None) -> bool:
    names = [cls.__name__ for cls in type(module).__mro__ if cls.__module__ in _MODULES]
    if only is not None:
        return not only.isdisjoint(names)
    return bool(names) and _NO_ACTIVATIONS.isdisjoint(names) and _GATES.isdisjoint(names)


def _like(old: nn.Module, layer: Any) -> nn.Module:
    """The new activation with the old one's `inplace`. One with weights that is of this class already stays."""
    if type(old) is layer and next(old.parameters(), None) is not None:
        return old
    inplace = getattr(old, "inplace", None)
    if inplace is not None:
        try:
            return layer(inplace=inplace)  # type: ignore[no-any-return]
        except TypeError:
            pass  # this one knows no inplace
    return layer()  # type: ignore[no-any-return]
