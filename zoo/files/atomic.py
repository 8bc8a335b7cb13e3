"""Writing a file so that at any instant either the old one or the new one is there, whole.

It is written beside its place, synced, and renamed over it. A lock on the unfinished file says that its writer lives;
one without is what a killed writer left, and is swept.
"""

from __future__ import annotations

import glob
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from ..messages.errors import CheckpointError
from ..messages.text import quote

try:
    import fcntl
except ImportError:  # Windows: nothing is swept there
    fcntl = None  # type: ignore[assignment]

ENDING = ".zoo-unfinished"


def store(path: str | os.PathLike[str], write: Callable[[BinaryIO], object]) -> None:
    """Call `write` with a file that then takes the place of `path`, with the mode that the umask gives.

    A symlink stays one: what it points to is replaced. CheckpointError when the file can't be written; what stood
    there before stays.
    """
    place = Path(os.path.realpath(path))
    try:
        _sweep(place)
        unfinished, file = _open(place)
        try:
            with file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
                os.replace(unfinished, place)  # while it is still locked
        except BaseException:
            with suppress(OSError):
                os.unlink(unfinished)
            raise
        _sync_folder(place.parent)
    except OSError as error:
        there = "; what was there is as it was" if os.path.exists(place) else ""
        raise CheckpointError(f"can't write {quote(str(path))}: {error.strerror or error}{there}") from error


def _open(place: Path) -> tuple[Path, BinaryIO]:
    """A new file beside the place, locked."""
    while True:
        unfinished = place.with_name(f".{place.name[:200]}.{secrets.token_hex(8)}{ENDING}")
        number = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        file = os.fdopen(number, "w+b", buffering=2**20)
        if fcntl is None:
            return unfinished, file
        with suppress(OSError):  # a file system without locks: then others' sweeps find none either
            fcntl.flock(number, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):  # swept in the moment before it was locked
            if os.path.samestat(os.stat(unfinished), os.fstat(number)):
                return unfinished, file
        file.close()


def _sweep(place: Path) -> None:
    """Remove what killed writers of this file left."""
    if fcntl is None:
        return
    for left in glob.glob(f"{glob.escape(str(place.parent))}/.{glob.escape(place.name[:200])}.*{ENDING}"):
        with suppress(OSError):  # another one swept it, or its writer lives
            number = os.open(left, os.O_RDWR)
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(left)
            finally:
                os.close(number)


def _sync_folder(folder: Path) -> None:
    """So that the rename too outlives a power cut; some file systems can't."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
