"""Another layer in a place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import zoo

if TYPE_CHECKING:
    from torch import nn


@zoo.modifier(examples=["replace(head, Identity())"])
def replace(model: nn.Module, /, site: zoo.Where, layer: zoo.Layer) -> nn.Module:
    """Put a layer in the place of every module that `site` names, a fresh one each: `replace(act1, PReLU(64))`."""
    for path in zoo.select(model, site):
        model = zoo.replace(model, path, layer.build())
    return model
