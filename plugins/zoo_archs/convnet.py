"""A small convolutional classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Le

import zoo

from ._order import by_block

if TYPE_CHECKING:
    from torch import nn

Size = Annotated[int, Ge(1)]


def _sites(model: nn.Module) -> dict[str, str | list[list[str]]]:
    stages = [[f"blocks.{name}"] for name, _ in model.blocks.named_children()]  # type: ignore[union-attr]
    return {"stem": "blocks.0.conv", "head": "head", "stages": stages}


def _sample(model: nn.Module) -> tuple[int, ...]:
    return (model.blocks[0].conv.in_channels, 16, 16)  # type: ignore[index, union-attr]


@zoo.arch(
    sites=_sites, sample=_sample, examples=["convnet", "convnet(channels=16, depth=2, in_chans=1)"], order=by_block
)
def convnet(
    channels: Size = 32, depth: Annotated[int, Ge(1), Le(4)] = 3, num_classes: Size = 10, in_chans: Size = 3
) -> nn.Module:
    """Blocks of Conv3×3, BatchNorm and ReLU, max pooling between them, mean pooling and a linear head.

    For images (N, in_chans, H, W) of 8 × 8 to 32 × 32, gives (N, num_classes). The channels double from block to
    block: 32, 64, 128 at a depth of 3.
    """
    from ._nets import ConvNet

    return ConvNet(channels, depth, num_classes, in_chans)
