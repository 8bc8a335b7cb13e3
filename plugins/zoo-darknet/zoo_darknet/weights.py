"""Darknet's weights files: a header, then every float of the network, layer by layer."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import zoo

from .parts import Layer, Shape
from .reading import read_network

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn


@dataclass(frozen=True)
class Header:
    """What stands in front of the weights: the format's version, and how many images the network had seen.

    From version 0.2 on `seen` takes 8 bytes, before that 4.
    """

    major: int = 0
    minor: int = 2
    revision: int = 0
    seen: int = 0

    @property
    def size(self) -> int:
        """The header's own bytes."""
        return 20 if self._wide else 16

    @property
    def transposed(self) -> bool:
        """Whether connected layers are stored input by input, as in files older than the version's meaning."""
        return self.major > 1000 or self.minor > 1000

    @property
    def _wide(self) -> bool:
        return self.major * 10 + self.minor >= 2 and self.major < 1000 and self.minor < 1000

    def pack(self) -> bytes:
        """The header as bytes; zoo.OptionError for numbers that it can't hold."""
        try:
            return struct.pack("<iiiQ" if self._wide else "<iiiI", self.major, self.minor, self.revision, self.seen)
        except struct.error as error:
            raise zoo.OptionError(f"{self} doesn't fit into {self.size} bytes: {error}") from None


def load_weights(model: nn.Module, path: str | Path, *, layers: int | None = None) -> Header:
    """Fill a Darknet network, modified or not, from a weights file; everything is checked before the first is copied.

    layers: the file holds only the first so many layers, as `darknet53.conv.74` does; by default all.

    Returns the file's header. Raises zoo.CheckpointError, and leaves the model as it was, where the file is shorter or
    longer than the network, or the network isn't what its cfg says.
    """
    import torch

    places = _places(model, layers)
    wanted = sum(prod(shape) for _, shape, _ in places)
    header, data = _read(path, wanted)
    at = 0
    with torch.no_grad():
        for tensor, shape, connected in places:
            values = data[at : at + prod(shape)]
            at += prod(shape)
            flipped = connected and header.transposed
            tensor.copy_(values.reshape(shape[::-1]).T if flipped else values.reshape(shape))
    return header


def save_weights(
    model: nn.Module, path: str | Path, *, header: Header | None = None, layers: int | None = None
) -> None:
    """Write the weights of a Darknet network, in float32, as Darknet reads them.

    header: version and images seen, by default 0.2.0 and none. layers: only the first so many.

    The file is written beside and renamed, so that nobody ever reads half of one.
    """
    import torch

    header = header or Header()
    places = _places(model, layers)
    path = os.path.abspath(path)
    beside = f"{path}.{os.getpid()}.part"
    try:
        with open(beside, "wb") as file:
            file.write(header.pack())
            for tensor, _, connected in places:
                values = tensor.detach().to("cpu", torch.float32)
                values = values.T if connected and header.transposed else values
                file.write(values.contiguous().numpy().astype("<f4", copy=False).tobytes())
        os.replace(beside, path)
    finally:
        if os.path.exists(beside):
            os.unlink(beside)


def _read(path: str | Path, wanted: int) -> tuple[Header, Tensor]:
    """Header and floats of a file that has as many as wanted."""
    import torch

    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = file.read(12)
            header = Header(*struct.unpack("<iii", start)) if len(start) == 12 else Header()
            if size < header.size:
                raise zoo.CheckpointError(f"{path} has {size} bytes; expected a header of {header.size} first")
            if size != header.size + 4 * wanted:
                raise _wrong_size(path, size, header, wanted)
            start = file.read(header.size - 12)
            seen = int.from_bytes(start, "little")
            data = bytearray(file.read(4 * wanted))
    except OSError as error:
        raise zoo.CheckpointError(f"{path} can't be read: {error.strerror}") from None
    if len(data) != 4 * wanted:
        raise zoo.CheckpointError(f"{path} was cut off while it was read")
    floats = torch.frombuffer(data, dtype=torch.float32) if data else torch.empty(0)
    return Header(header.major, header.minor, header.revision, seen), floats


def _wrong_size(path: str | Path, size: int, header: Header, wanted: int) -> zoo.CheckpointError:
    floats, rest = divmod(size - header.size, 4)
    odd = f" and {rest} bytes" if rest else ""
    more = "more" if floats >= wanted else "fewer"
    return zoo.CheckpointError(
        f"{path} has {floats:,} floats{odd} behind a header of {header.size} bytes (version {header.major}."
        f"{header.minor}.{header.revision}); this network takes {wanted:,}, {abs(floats - wanted):,} {more} than "
        f"expected"
    )


def _places(model: nn.Module, layers: int | None) -> list[tuple[Tensor, Shape, bool]]:
    """The model's tensors in the order of a file.

    Each comes with the shape that it has there, and whether it is a matrix of a connected layer.
    """
    inner = getattr(model, "_orig_mod", model)  # inside torch.compile's wrapper
    cfg = getattr(inner, "_cfg", None)
    if not isinstance(cfg, str):
        raise zoo.CheckpointError(f"this {type(inner).__name__} isn't a Darknet network, which a weights file is for")
    network = read_network(cfg, "the model's cfg")
    count = len(network.layers) if layers is None else layers
    if not 0 < count <= len(network.layers):
        raise zoo.OptionError(f"layers is {layers}; expected 1 to {len(network.layers)}")
    there = inner.state_dict(keep_vars=True)
    found = []
    for index, layer in enumerate(network.layers[:count]):
        for name, shape in layer.tensors:
            tensor = there.get(f"layers.{index}.{name}")
            found.append((_checked(tensor, index, name, shape), shape, _is_matrix(layer, name)))
    return found


def _is_matrix(layer: Layer, name: str) -> bool:
    return layer.kind == "connected" and name == "linear.weight"


def _checked(tensor: Tensor | None, index: int, name: str, shape: Shape) -> Tensor:
    """A tensor that can be filled; the error says what a modifier has put in its place."""
    if tensor is None or tuple(tensor.shape) != shape:
        met = "isn't there" if tensor is None else f"is {list(tensor.shape)}"
        raise zoo.CheckpointError(
            f"'layers.{index}.{name}' {met}, but {list(shape)} by the model's cfg: something else stands there now; "
            f"use the weights file before modifying, or with layers={index} for what is in front"
        )
    if tensor.is_meta:
        raise zoo.CheckpointError(
            "the model is on the meta device and holds no weights; create it without device='meta'"
        )
    return tensor
