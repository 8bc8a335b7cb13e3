"""Another activation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import zoo

from ._names import Activation

if TYPE_CHECKING:
    from torch import nn


@zoo.modifier(examples=["act(silu)", "act(mish)"])
def act(model: nn.Module, /, name: Activation, at: zoo.Where = "*") -> nn.Module:
    """Swap every activation for another, by timm's names (`relu`, `silu`, `gelu`, `mish`, `hard_swish`, `prelu`, ...).

    Plugins may add more. `inplace` stays as it was. Gates (sigmoid, hard sigmoid), as in squeeze-and-excitation, are
    left alone, unless `at` names their class. A model that also calls an activation as a function, or has one inside a
    norm's formula, is refused, since it would be swapped by half.
    """
    make = zoo.activation_maker(name, "act")
    layers: dict[str, nn.Module] = {}
    for path, old in zoo.find_activations(model, at, "act", "act_type").items():
        if hasattr(old, "act_fn"):  # timm's GammaAct, which scales what a function returns
            old.act_fn = _function(name)
        else:
            layers[path] = make(old)
    return zoo.replace_each(model, layers)


def _function(name: str) -> Any:
    from timm.layers import create_act

    if name not in create_act._ACT_FN_DEFAULT:
        raise zoo.NotApplicableError(f"this model scales an activation function, and '{name}' isn't one in timm")
    return create_act.get_act_fn(name)
