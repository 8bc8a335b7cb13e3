"""A network before it is built: layers as values, with shapes and tensors. No torch, no memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from .cfg import Options

DETECTING = ("yolo", "region", "detection")

Shape = tuple[int, ...]  # (channels, height, width) of a map, (features,) of a vector


@dataclass(frozen=True)
class Layer:
    """One layer before it is built.

    kind: the section's name. options: what its module is made of. sources: the layers whose outputs it takes, -1 for
    the network's input. shape: what comes out for one input of the size that the file gives. tensors: its tensors by
    name within the layer, in the order of a weights file. pooled: what comes out has this shape whatever size comes in.
    """

    kind: str
    options: Mapping[str, Any]
    sources: tuple[int, ...]
    shape: Shape
    tensors: tuple[tuple[str, Shape], ...] = ()
    pooled: bool = False

    @property
    def floats(self) -> int:
        return sum(prod(shape) for _, shape in self.tensors)


@dataclass(frozen=True)
class Network:
    """A whole cfg, read and checked."""

    input: Shape
    layers: tuple[Layer, ...]

    @property
    def outputs(self) -> tuple[int, ...]:
        """The layers whose outputs a detection network gives; none in any other."""
        return tuple(i for i, layer in enumerate(self.layers) if layer.kind in DETECTING)

    @property
    def head(self) -> int | None:
        """The classifier: the last layer with weights of a network that gives one number a class, whatever comes in."""
        weighted = [i for i, layer in enumerate(self.layers) if layer.kind in ("convolutional", "connected")]
        return weighted[-1] if weighted and self.classifies else None

    @property
    def classifies(self) -> bool:
        """Whether what comes out is one number a class, whatever the size of what comes in."""
        last = self.layers[-1]
        return not self.outputs and last.pooled and prod(last.shape) == last.shape[0]

    @property
    def floats(self) -> int:
        return sum(layer.floats for layer in self.layers)


class Before:
    """What is in front of the section that is being read."""

    def __init__(self, input: Shape) -> None:
        self.input = input
        self.layers: list[Layer] = []

    @property
    def source(self) -> int:
        return len(self.layers) - 1

    @property
    def shape(self) -> Shape:
        return self.layers[-1].shape if self.layers else self.input

    @property
    def pooled(self) -> bool:
        return self.layers[-1].pooled if self.layers else len(self.input) == 1

    def map(self, options: Options) -> tuple[int, int, int]:
        """The map that comes in; an error where a vector does."""
        if len(self.shape) != 3:
            raise options.error(f"needs a map (channels, height, width), but {self.shape[0]} features arrive")
        channels, height, width = self.shape
        return channels, height, width

    def then(self, kind: str, shape: Shape, tensors: tuple[tuple[str, Shape], ...] = (), **options: Any) -> Layer:
        """A layer that takes the output of the last one."""
        return Layer(kind, options, (self.source,), shape, tensors, self.pooled)


def sized(shape: Shape) -> str:
    """A shape for a message: `255 × 13 × 13`."""
    return " × ".join(map(str, shape))
