"""The modules of a Darknet network: torch's own where they do the same, small ones where Darknet differs."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .parts import Layer, Shape

# Redmon's Darknet keeps 0.99 of its running statistics at each step. Its CUDA code, as its forks on every device, adds
# 1e-5 to the variance.
_NORM: dict[str, Any] = {"eps": 1e-5, "momentum": 0.01}

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "linear": nn.Identity,
    "leaky": partial(nn.LeakyReLU, 0.1),
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "relie": partial(nn.LeakyReLU, 0.01),
    "logistic": nn.Sigmoid,
    "swish": nn.SiLU,
    "mish": nn.Mish,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": partial(nn.GELU, approximate="tanh"),
    "tanh": nn.Tanh,
    "hardtan": nn.Hardtanh,
}


def build_layer(layer: Layer) -> nn.Module:
    """The module of one layer."""
    return _BUILDERS[layer.kind](**layer.options)


def _convolutional(
    channels: int,
    filters: int,
    size: int,
    stride: tuple[int, int],
    padding: int,
    dilation: int,
    groups: int,
    norm: bool,
    activation: str,
) -> nn.Module:
    conv = nn.Conv2d(channels, filters, size, stride, padding, dilation, groups, bias=not norm)
    return _block({"conv": conv}, nn.BatchNorm2d(filters, **_NORM) if norm else None, activation)


def _connected(inputs: int, output: int, norm: bool, activation: str) -> nn.Module:
    layers = {"flatten": nn.Flatten(), "linear": nn.Linear(inputs, output, bias=not norm)}
    return _block(layers, nn.BatchNorm1d(output, **_NORM) if norm else None, activation)


def _block(layers: Mapping[str, nn.Module], norm: nn.Module | None, activation: str) -> nn.Module:
    block = OrderedDict(layers)
    if norm is not None:
        block["bn"] = norm
    if activation != "linear":
        block["act"] = _ACTIVATIONS[activation]()
    return nn.Sequential(block)


def _maxpool(size: int, stride: tuple[int, int], padding: int) -> nn.Module:
    """Darknet pads by `padding` in all, the smaller half in front, so that `size - 1` keeps a map's size at stride 1.

    An even padding is what torch does itself, and so is an odd one at stride 2, with `ceil_mode`.
    """
    front = padding // 2
    if padding % 2 == 0:
        return nn.MaxPool2d(size, stride, front)
    if stride == (2, 2):
        return nn.MaxPool2d(size, stride, front, ceil_mode=True)
    behind = padding - front
    pad = nn.ConstantPad2d((front, behind, front, behind), float("-inf"))
    return nn.Sequential(OrderedDict(pad=pad, pool=nn.MaxPool2d(size, stride)))


class Shortcut(nn.Module):
    """Adds other layers' maps to the last one's, as Darknet does (resnet18.cfg).

    Of a larger map every so many-th pixel counts, of more or fewer channels those that both have.

    others: the other layers' numbers. steps: of each of their maps, every so many-th pixel counts.
    """

    def __init__(self, others: tuple[int, ...], channels: int, steps: tuple[int, ...], activation: str) -> None:
        super().__init__()
        self.others = others
        self.channels = channels
        self.steps = steps
        self.act = _ACTIVATIONS[activation]()

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        for other, step in zip(others, self.steps, strict=True):
            if step > 1:
                other = other[:, :, ::step, ::step]
            if other.shape != x.shape:
                other = other[:, : self.channels, : x.shape[2], : x.shape[3]]
                other = F.pad(other, (0, 0, 0, 0, 0, self.channels - other.shape[1]))
            x = x + other
        return self.act(x)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return f"{self.others}, channels={self.channels}, steps={self.steps}"


class Route(nn.Module):
    """Several layers' maps side by side, of each only one group of channels where there are groups."""

    def __init__(self, layers: tuple[int, ...], groups: int, group: int) -> None:
        super().__init__()
        self.layers = layers
        self.groups = groups
        self.group = group

    def forward(self, *maps: Tensor) -> Tensor:
        if self.groups > 1:
            maps = tuple(x.chunk(self.groups, 1)[self.group] for x in maps)
        return torch.cat(maps, 1) if len(maps) > 1 else maps[0]

    def extra_repr(self) -> str:
        return f"{self.layers}, groups={self.groups}, group={self.group}"


class Reorg(nn.Module):
    """Folds pixels into channels in Darknet's own order: as if what comes in were a larger map of fewer channels."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        n, channels, height, width = x.shape
        s = self.stride
        x = x.reshape(n, channels // s**2, height, s, width, s).permute(0, 3, 5, 1, 2, 4)
        return x.reshape(n, channels * s**2, height // s, width // s)

    def extra_repr(self) -> str:
        return f"stride={self.stride}"


class Local(nn.Module):
    """A convolution with weights of its own at every place: (places, filters, channels × size × size)."""

    def __init__(self, size: int, stride: int, padding: int, activation: str, shapes: Mapping[str, Shape]) -> None:
        super().__init__()
        self.size, self.stride, self.padding = size, stride, padding
        bound = shapes["weight"][2] ** -0.5
        self.bias = nn.Parameter(torch.zeros(shapes["bias"]))
        self.weight = nn.Parameter(torch.empty(shapes["weight"]).uniform_(-bound, bound))
        self.act = _ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        patches = F.unfold(x, self.size, padding=self.padding, stride=self.stride)
        y = torch.einsum("pfi,nip->nfp", self.weight, patches)
        return self.act(y.reshape(-1, *self.bias.shape) + self.bias)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, size={self.size}, stride={self.stride}, padding={self.padding}"


class Softmax(nn.Module):
    """Probabilities, over all numbers of one input or over each of so many groups of them."""

    def __init__(self, groups: int, temperature: float) -> None:
        super().__init__()
        self.groups = groups
        self.temperature = temperature

    def forward(self, x: Tensor) -> Tensor:
        grouped = x.reshape(x.shape[0], self.groups, -1) / self.temperature
        return grouped.softmax(-1).reshape(x.shape)

    def extra_repr(self) -> str:
        return f"groups={self.groups}, temperature={self.temperature:g}"


class Crop(nn.Module):
    """The middle of an image, stretched from 0…1 to -1…1 where `adjust` says so.

    In training Darknet crops and flips at random; that is left to the data.
    """

    def __init__(self, size: tuple[int, int], adjust: bool) -> None:
        super().__init__()
        self.size = size
        self.adjust = adjust

    def forward(self, x: Tensor) -> Tensor:
        height, width = self.size
        top, left = (x.shape[2] - height) // 2, (x.shape[3] - width) // 2
        x = x[:, :, top : top + height, left : left + width]
        return 2 * x - 1 if self.adjust else x

    def extra_repr(self) -> str:
        return f"{self.size}, adjust={self.adjust}"


class Detect(nn.Module):
    """Where a detection network gives a map as it is; what boxes are made of stands here as attributes.

    anchors: width and height of each of the map's anchors, in pixels of the input (`yolo`) or in cells (`region`).
    """

    def __init__(self, kind: str, anchors: Sequence[tuple[float, float]] = (), **options: Any) -> None:
        super().__init__()
        self.kind = kind
        self.anchors = tuple(anchors)
        for name, value in options.items():
            setattr(self, name, value)

    def forward(self, x: Tensor) -> Tensor:
        return x

    def extra_repr(self) -> str:
        return self.kind


_BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "activation": lambda activation: _ACTIVATIONS[activation](),
    "avgpool": partial(nn.AdaptiveAvgPool2d, 1),
    "batchnorm": lambda channels: nn.BatchNorm2d(channels, **_NORM),
    "connected": _connected,
    "convolutional": _convolutional,
    "cost": nn.Identity,
    "crop": Crop,
    "detection": partial(Detect, "detection"),
    "dropout": nn.Dropout,
    "local": Local,
    "maxpool": _maxpool,
    "region": partial(Detect, "region"),
    "reorg": Reorg,
    "route": Route,
    "shortcut": Shortcut,
    "softmax": Softmax,
    "upsample": lambda stride: nn.Upsample(scale_factor=stride, mode="nearest"),
    "yolo": partial(Detect, "yolo"),
}
