"""The numbers inside batch normalisation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Le

import zoo

if TYPE_CHECKING:
    from torch import nn


@zoo.modifier(examples=["bn(eps=1e-4)", "bn(momentum=0.01)"], effects=zoo.Effects(keys="keep"))
def bn(
    model: nn.Module,
    /,
    eps: Annotated[float, Ge(0)] | None = None,
    momentum: Annotated[float, Ge(0), Le(1)] | Literal["cumulative"] | None = None,
    at: zoo.Where = "*",
) -> nn.Module:
    """Set eps and momentum of every BatchNorm and subclass, in place (Ioffe and Szegedy 2015).

    What isn't given stays. `momentum=cumulative` keeps a plain average over all batches, torch's `momentum=None`.
    """
    from torch.nn.modules.batchnorm import _BatchNorm

    if eps is None and momentum is None:
        raise zoo.OptionError("bn needs eps or momentum, as in bn(eps=1e-4)")
    found = zoo.select(model, at, kind=_BatchNorm)
    for module in found.values():
        if eps is not None:
            module.eps = eps
        if momentum is not None:
            module.momentum = None if momentum == "cumulative" else momentum
    if not found:
        raise zoo.NotApplicableError(f"this {type(model).__name__} has no BatchNorm")
    return model
