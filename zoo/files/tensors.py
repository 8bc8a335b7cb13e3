"""Tensors out of a safetensors file and into one: mapped, or read into memory of their own.

A mapping is private: what is written to such a tensor stays with its process, and the file can be replaced meanwhile.

Libraries of kernels (oneDNN, MKL) choose by address: what lies off a multiple of 64 bytes, as nothing in torch's own
memory does, gets another kernel, which adds in another order, and the last bits differ. The format allows no gap
between tensors, so `writer` puts them in an order that leaves few off, and `TensorFile.tensor` maps none of those, of
whichever file. Where a mapping begins needs no care: pages are multiples of 64.
"""

from __future__ import annotations

import ctypes
import json
import math
import mmap
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import torch
from torch import Tensor

from ..messages.errors import CheckpointError
from ..messages.text import quote
from .header import METADATA, MOST, SIZES, Entry, Header, file_of, make_read_error, read_header

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "C64": torch.complex64,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
ALIGNED = 64  # where tensors lie: at its multiples, as in torch's own memory


@dataclass(frozen=True)
class Stored:
    """A tensor that lies in a file: what it is, without its values."""

    shape: tuple[int, ...]
    dtype: torch.dtype


class TensorFile:
    """An open file: its header, and its tensors on demand. What it gave stays valid after it is closed."""

    def __init__(self, file: BinaryIO, name: str, mapped: bool) -> None:
        self.name = name
        self.header: Header = read_header(file, name)
        self._file = file
        self._map = _map_file(file, self.header.size) if mapped else None

    def stored(self) -> dict[str, Stored]:
        """Every tensor by name, undescribed by values."""
        return {name: Stored(e.shape, DTYPES[e.dtype]) for name, e in self.header.entries.items()}

    def tensor(self, name: str, *, kept: bool = True) -> Tensor:
        """One tensor, mapped where it lies as torch's own memory does, else read into that.

        kept: False for one whose values are only copied from, which no kernel meets. It is mapped wherever its numbers
            lie at multiples of their size, so that a file of others isn't in memory twice.
        """
        entry = self.header.entries[name]
        if entry.start == entry.end:
            return torch.empty(entry.shape, dtype=DTYPES[entry.dtype], device="cpu")
        place = self.header.begin + entry.start
        if self._map is not None and place % (ALIGNED if kept else SIZES[entry.dtype]) == 0:
            count = (entry.end - entry.start) // SIZES[entry.dtype]
            flat = torch.frombuffer(self._map, dtype=DTYPES[entry.dtype], count=count, offset=place)
            return flat.view(entry.shape)
        return self._read(entry, place)

    def _read(self, entry: Entry, place: int) -> Tensor:
        made = torch.empty(entry.shape, dtype=DTYPES[entry.dtype], device="cpu")
        self._file.seek(place)
        view, done = memory(made), 0
        while done < len(view):
            if not (count := self._file.readinto(view[done:])):  # type: ignore[attr-defined]
                raise CheckpointError(f"{quote(self.name)} became shorter while it was read")
            done += count
        return made


def _map_file(file: BinaryIO, size: int) -> mmap.mmap:
    """A private mapping of a whole file; where Python can, without keeping the file open."""
    if sys.version_info >= (3, 13):
        return mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY, trackfd=False)
    return mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY)


def memory(tensor: Tensor) -> memoryview:
    """The bytes of a contiguous tensor on the CPU, without a copy."""
    size = tensor.numel() * tensor.element_size()
    return memoryview((ctypes.c_char * size).from_address(tensor.data_ptr())).cast("B")


@contextmanager
def open_tensors(path: str | os.PathLike[str], mapped: bool = True) -> Iterator[TensorFile]:
    """A file of tensors, or the one in a folder of Hugging Face's layout; CheckpointError if it can't be read."""
    name = file_of(path)
    try:
        with open(name, "rb", buffering=0) as file:
            yield TensorFile(file, name, mapped)
    except OSError as error:
        raise make_read_error(name, error) from error


def order_names(sizes: Mapping[str, int]) -> list[str]:
    """The names of tensors of these sizes in bytes, as they are to lie one behind the other from a multiple of 64 on.

    By the greatest power of two, up to 64, that divides the size: then each lies at a multiple of its own, and so of
    the size of its numbers, which other readers count on. Those whose sizes are multiples of 64 all lie right; so does
    the largest of the rest. Of 165 of timm's archs, at most 2 % of the bytes lie off, in the median 0.0004 %.
    """
    return sorted(sizes, key=lambda name: (-math.gcd(sizes[name], ALIGNED), -sizes[name], name))


def writer(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Callable[[BinaryIO], None]:
    """What writes these tensors into a file, as `zoo.files.atomic.store` wants it: the same bytes for the same tensors.

    The library's own `save_file` orders more than one metadata key as it comes, and neither syncs nor keeps a symlink.
    """
    order = order_names({name: tensor.numel() * tensor.element_size() for name, tensor in tensors.items()})
    offsets, end = {}, 0
    for name in order:
        start, end = end, end + tensors[name].numel() * tensors[name].element_size()
        offsets[name] = [start, end]
    described: dict[str, object] = {METADATA: dict(sorted(metadata.items()))}
    for name, tensor in sorted(tensors.items()):  # whatever lists names shows them like this, not as they lie
        described[name] = {"dtype": NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": offsets[name]}
    header = json.dumps(described, separators=(",", ":")).encode()
    header += b" " * (-(8 + len(header)) % ALIGNED)
    if len(header) > MOST:
        raise CheckpointError(f"the header would take {len(header):,} bytes; at most {MOST:,} are read again")

    def write(file: BinaryIO) -> None:
        file.write(len(header).to_bytes(8, "little") + header)
        for name in order:
            tensor = tensors[name].detach().cpu().contiguous().resolve_conj().resolve_neg()
            if tensor.numel():
                file.write(memory(tensor))

    return write
