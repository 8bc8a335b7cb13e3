"""Weights drawn anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import zoo

from ._names import Canonical

if TYPE_CHECKING:
    from torch import nn


def _without_underscore(name: str) -> str:
    return name.removesuffix("_")


@zoo.modifier(examples=["reinit(head)", "reinit(Linear, normal, std=0.02)"], effects=zoo.Effects(keys="keep"))
def reinit(
    model: nn.Module,
    /,
    at: zoo.Where,
    scheme: Annotated[str, Canonical(_without_underscore)] | None = None,
    bias: float | None = None,
    **options: float | str,
) -> nn.Module:
    """Initialise layers anew: `reinit(Linear, normal, mean=1, std=1)`, by torch.nn.init's names.

    Without a scheme, each layer does what it does when it is made. With one, the weights get it, with its options, and
    the biases stay, unless `bias` gives the number that fills them. Running statistics stay as well.
    """
    if scheme is None and (options or bias is not None):
        raise zoo.OptionError("reinit: options belong to a scheme, as in reinit(Linear, normal, std=0.02)")
    draw = None if scheme is None else zoo.bind_scheme(scheme, options, "reinit")
    found = zoo.select(model, at, kind=_has_parameters)
    if not found:
        raise zoo.NotApplicableError(f"this {type(model).__name__} has no parameter to initialise")
    for path in found:
        zoo.initialise(model, path, draw, bias, "reinit")
    return model


def _has_parameters(module: nn.Module) -> bool:
    return next(module.parameters(recurse=False), None) is not None
