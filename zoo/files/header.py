"""The header of a safetensors file, read and checked before anything else is: nothing in it is believed.

The format: 8 bytes that give the length of the header, the header as JSON, then the tensors without a gap.
https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from ..messages.errors import CheckpointError, FetchError, OptionError, ZooError
from ..messages.text import printable, quote
from ..spec.values import find_fault

MOST = 8 * 2**20  # bytes of a header; a model with 5,000 weights and its optimizer needs 2 MB
FILE = "model.safetensors"  # what the weights in a folder are called
METADATA = "__metadata__"
# Bytes of one number, by the format's names.
SIZES = {
    **dict.fromkeys(["BOOL", "U8", "I8", "F8_E4M3", "F8_E4M3FNUZ", "F8_E5M2", "F8_E5M2FNUZ"], 1),
    **dict.fromkeys(["U16", "I16", "F16", "BF16"], 2),
    **dict.fromkeys(["U32", "I32", "F32"], 4),
    **dict.fromkeys(["U64", "I64", "F64", "C64"], 8),
}


@dataclass(frozen=True)
class Entry:
    """One tensor of a file: dtype by the format's name, shape, first and last byte behind the header."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class Header:
    """What a file says it holds. `begin`: where the tensors start; `size`: bytes of the whole file."""

    entries: Mapping[str, Entry]
    metadata: Mapping[str, str]
    begin: int
    size: int


def is_file(thing: Any) -> bool:
    """Whether this names a file and not a spec: a path object, or a text that ends as files of weights do."""
    if isinstance(thing, str):
        return thing.endswith((".safetensors", ".pt", ".pth", ".ckpt", "/", os.sep))
    return isinstance(thing, os.PathLike)


def path_of(path: Any) -> str:
    """A path as a text; OptionError, or CheckpointError, for what can't be one."""
    name = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(name, str):
        raise OptionError(f"a path is a text or a pathlib.Path, not {path!r} ({type(path).__name__})")
    if "\0" in name:
        raise CheckpointError(f"{quote(name)} holds a null character, which no path can")
    return name


def make_read_error(name: str, error: OSError) -> ZooError:
    """The error for a file that can't be read; one that isn't there is a matter of its own."""
    kind = FetchError if isinstance(error, FileNotFoundError) else CheckpointError
    return kind(f"can't read {quote(name)}: {error.strerror or error}")


def file_of(path: str | os.PathLike[str]) -> str:
    """The file itself, where a folder of Hugging Face's layout is named."""
    name = path_of(path)
    return os.path.join(name, FILE) if os.path.isdir(name) else name


def read_header(file: BinaryIO, name: str) -> Header:
    """The header of an open file, checked; CheckpointError, with the file's name, for whatever is wrong with it."""
    size = os.fstat(file.fileno()).st_size
    try:
        length = _read_length(file, size, name)
        text = file.read(length)
        if len(text) < length:
            raise CheckpointError(f"{length:,} bytes of header are announced, and {len(text):,} follow")
        metadata, entries = _parse(text)
        _check_layout(entries, size - 8 - length)
    except CheckpointError as error:
        raise CheckpointError(f"{quote(name)}: {error}") from None
    return Header(entries, metadata, 8 + length, size)


def _read_length(file: BinaryIO, size: int, name: str) -> int:
    start = file.read(16)
    file.seek(8)
    if size == 0:
        raise CheckpointError("the file is empty; expected safetensors")
    length = int.from_bytes(start[:8], "little")
    if kind := _guess_kind(start, length):
        out = os.path.splitext(name)[0] + ".safetensors"
        raise CheckpointError(
            f"{kind}, which can run code when it's read, so the zoo doesn't; "
            f"convert it once: zoo convert {name} {out} SPEC"
        )
    if len(start) < 8:
        raise CheckpointError(f"the file ends after {len(start)} bytes; expected safetensors, which starts with 8")
    if length > MOST:
        raise CheckpointError(
            f"a header of {length:,} bytes is announced; at most {MOST:,} are read. Is it a safetensors file?"
        )
    if length > size - 8:
        raise CheckpointError(
            f"a header of {length:,} bytes is announced, and {size - 8:,} follow; the file is cut off"
        )
    return length


def _guess_kind(start: bytes, length: int) -> str | None:
    """What a file is whose first bytes are those of a pickle or a zip; a short header may start the same way."""
    if start[8:9] == b"{" and length <= MOST:
        return None
    if start[:4] == b"PK\x03\x04":
        return "this is a zip archive, as torch.save writes them, with a pickle inside"
    return "this is a pickle" if start[:1] == b"\x80" and start[1:2] in (b"\2", b"\3", b"\4", b"\5") else None


def strict_json(text: str | bytes, what: str) -> Any:
    """JSON without what its readers disagree about: no name twice, no NaN, no number out of range."""
    try:
        return json.loads(text, object_pairs_hook=_refuse_repeats, parse_constant=_refuse_constant)
    except CheckpointError as error:
        raise CheckpointError(f"{what} {error}") from None
    except RecursionError:
        raise CheckpointError(f"{what} is nested too deeply") from None
    except ValueError as error:  # UnicodeDecodeError and integers of 5,000 digits too
        reason = str(error).split("\n")[0][:120]
        raise CheckpointError(f"{what} isn't JSON: {printable(reason)}") from None


def _refuse_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise CheckpointError(f"has the name {quote(twice)} twice")
    return made


def _refuse_constant(name: str) -> Any:
    raise CheckpointError(f"holds {name}, which is no JSON")


def _parse(text: bytes) -> tuple[dict[str, str], dict[str, Entry]]:
    content = strict_json(text, "the header")
    if not isinstance(content, dict):
        raise CheckpointError(f"the header is a {type(content).__name__}; expected an object")
    metadata = content.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise CheckpointError(f"{METADATA} isn't an object of texts; a tensor can't be called that")
    return metadata, {name: _make_entry(name, value) for name, value in content.items()}


def _make_entry(name: str, value: Any) -> Entry:
    if not name:
        raise CheckpointError("a tensor has no name")
    if not name.isprintable() and (reason := next(filter(None, map(find_fault, name)), None)):
        raise CheckpointError(f"the name {quote(name)} holds {reason}")
    if problem := _find_problem(value):
        raise CheckpointError(f"the tensor {quote(name)} {problem}")
    return Entry(value["dtype"], tuple(value["shape"]), *value["data_offsets"])


def _find_problem(value: Any) -> str | None:
    """What is wrong with the description of one tensor."""
    if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data_offsets"}:
        return "isn't described by dtype, shape and data_offsets"
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in SIZES:
        return f"is of the dtype {quote(str(dtype))}; expected one of {', '.join(SIZES)}"
    if not _are_sizes(shape):
        return f"has the shape {quote(str(shape))}; expected a list of sizes"
    if not _are_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        return f"has the data_offsets {quote(str(offsets))}; expected where it starts and ends"
    wanted, has = math.prod(shape) * SIZES[dtype], offsets[1] - offsets[0]
    return None if wanted == has else f"is {dtype}{shape}, {wanted:,} bytes, and has {has:,}"


def _are_sizes(value: Any) -> bool:
    """Whether this is a list of a few whole numbers, none negative; True is no number."""
    return isinstance(value, list) and len(value) <= 64 and all(type(n) is int and 0 <= n < 2**63 for n in value)


def _check_layout(entries: Mapping[str, Entry], size: int) -> None:
    """The tensors must lie one behind the other, without overlap or hole, to the end of the file."""
    end, before = 0, ""
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].end)):
        if entry.start < end:
            raise CheckpointError(f"the tensors {quote(before)} and {quote(name)} overlap")
        if entry.start > end:
            raise CheckpointError(f"there is a hole of {entry.start - end:,} bytes in front of {quote(name)}")
        end, before = entry.end, name
    if end > size:
        raise CheckpointError(f"{end - size:,} bytes are missing at the end; the file is cut off")
    if end < size:
        raise CheckpointError(f"{size - end:,} bytes too many at the end")
