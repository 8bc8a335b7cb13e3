"""Names out of a library's sources, without importing it, kept between runs under the library's version."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path


def scan(package: str, find: Callable[[str], Iterable[str]], what: str = "names") -> tuple[str, ...]:
    """What `find` finds in the texts of `package`/models, sorted; nothing if the package isn't installed.

    Reading the sources takes 50 ms, the kept list 1 ms. A list that can't be kept, or read back, is made anew.
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return ()
    sources = Path(spec.origin).parent / "models"
    kept = _kept(package, what, sources)
    try:
        names = json.loads(kept.read_text(encoding="utf-8"))
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            return tuple(names)
    except (OSError, ValueError):
        pass
    texts = (file.read_text(encoding="utf-8") for file in sorted(sources.rglob("*.py")))
    found = sorted({name for text in texts for name in find(text)})
    _keep(kept, found)
    return tuple(found)


def _kept(package: str, what: str, sources: Path) -> Path:
    """The file for this package at this version in this place."""
    try:
        release = version(package)
    except PackageNotFoundError:
        release = "unknown"
    changed = sources.stat().st_mtime_ns
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "plugzoo" / f"{package}-{release}-{changed:x}-{what}.json"


def _keep(file: Path, names: list[str]) -> None:
    """Written beside and renamed, so that another process never reads half of it."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False, encoding="utf-8") as new:
            json.dump(names, new)
        os.replace(new.name, file)
    except OSError:
        pass  # a read-only home: the names are scanned each time
