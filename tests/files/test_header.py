"""The header of a file, where the file changes while it is read."""

from __future__ import annotations

from io import FileIO
from pathlib import Path

import pytest

import zoo
from zoo.files.header import read_header


class CutOff(FileIO):
    """A file that another program makes shorter behind the back of whoever reads it."""

    def read(self, size: int | None = -1) -> bytes:
        found = super().read(size)
        return found if size == 16 else found[:20]


def test_a_header_that_is_cut_off_while_it_is_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    zoo.save(zoo.create("simple"), path)
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
    with (
        CutOff(path) as file,
        pytest.raises(
            zoo.CheckpointError, match=rf"^'model': {length:,} bytes of header are announced, and 20 follow$"
        ),
    ):
        read_header(file, "model")  # type: ignore[arg-type]
