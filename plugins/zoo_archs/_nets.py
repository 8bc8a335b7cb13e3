"""The modules of the zoo's own archs: plain PyTorch, imported only when one is built."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn


class Simple(nn.Module):
    """100 → 100 → 70 → 2."""

    def __init__(self) -> None:
        super().__init__()
        self.layers1 = nn.Sequential(nn.Linear(100, 100), nn.ReLU())
        self.layers2 = nn.Sequential(nn.Linear(100, 70), nn.ReLU())
        self.layers3 = nn.Sequential(nn.BatchNorm1d(70), nn.Linear(70, 2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers1(x)
        x = self.layers2(x)
        return self.layers3(x)  # type: ignore[no-any-return]


class MLP(nn.Module):
    """Flatten, then Linear and ReLU in turn."""

    def __init__(self, in_features: int, hidden: Sequence[int], num_classes: int) -> None:
        super().__init__()
        sizes = [in_features, *hidden]
        layers: list[nn.Module] = []
        for size, following in zip(sizes, hidden, strict=False):
            layers += [nn.Linear(size, following), nn.ReLU()]
        self.flatten = nn.Flatten()
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], num_classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(self.flatten(x))  # type: ignore[no-any-return]


class Block(nn.Module):
    """Convolution, norm, activation."""

    def __init__(self, in_chans: int, out_chans: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_chans, out_chans, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(out_chans)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(x)))  # type: ignore[no-any-return]


class ConvNet(nn.Module):
    """Blocks with max pooling between them, then the mean over the image and a linear head."""

    def __init__(self, channels: int, depth: int, num_classes: int, in_chans: int) -> None:
        super().__init__()
        widths = [in_chans, *(channels * 2**i for i in range(depth))]
        self.blocks = nn.ModuleList(Block(a, b) for a, b in pairwise(widths))
        self.down = nn.MaxPool2d(2)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(widths[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        for i, block in enumerate(self.blocks):
            x = block(x if i == 0 else self.down(x))
        return self.head(self.pool(x).flatten(1))  # type: ignore[no-any-return]
