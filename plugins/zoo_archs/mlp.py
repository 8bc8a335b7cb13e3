"""A multi-layer perceptron."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, MinLen

import zoo

from ._order import by_block

if TYPE_CHECKING:
    from torch import nn

Size = Annotated[int, Ge(1)]


def _sites(model: nn.Module) -> dict[str, str]:
    layers = list(model._modules["layers"]._modules)  # type: ignore[union-attr]
    return {"stem": f"layers.{layers[0]}", "head": f"layers.{layers[-1]}"}


def _sample(model: nn.Module) -> tuple[int, ...]:
    return (model.layers[0].in_features,)  # type: ignore[index, union-attr]


@zoo.arch(sites=_sites, sample=_sample, examples=["mlp", "mlp(64, hidden=[32], num_classes=10)"], order=by_block)
def mlp(
    in_features: Size = 784, hidden: Annotated[tuple[Size, ...], MinLen(1)] = (512, 512), num_classes: Size = 10
) -> nn.Module:
    """Flatten, then linear layers with ReLU between them: 784 → 512 → 512 → 10 by default, 669,706 parameters.

    Takes inputs of any shape (N, ...) with in_features numbers each, gives (N, num_classes).
    """
    from ._nets import MLP

    return MLP(in_features, hidden, num_classes)
