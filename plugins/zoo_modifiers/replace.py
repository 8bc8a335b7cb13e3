"""Another layer in a place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import zoo

if TYPE_CHECKING:
    from torch import nn


@zoo.modifier(examples=["replace(head, Identity())"])
def replace(model: nn.Module, /, site: zoo.Where, layer: zoo.Layer) -> nn.Module:
    """Put a layer in the place of every module that `site` names, a fresh one each: `replace(act1, PReLU(64))`."""
    done: list[str] = []
    for path in zoo.select(model, site):
        if not path.startswith(tuple(done)):  # what stood in a replaced one is gone
            model = zoo.replace(model, path, layer.build())
            done.append(f"{path}." if path else "")
    return model
