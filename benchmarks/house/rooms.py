"""Rooms and storeys, by who imports whom."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from .source import parse, python_files


def room_of(path: Path, engine: Path) -> str:
    return path.relative_to(engine).parts[0].removesuffix(".py")


def imported_rooms(path: Path, engine: Path, rooms: set[str]) -> Iterator[str]:
    """The rooms that a file imports from by relative imports, those inside its functions too."""
    package = path.relative_to(engine).parts[:-1]
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.ImportFrom) and node.level:
            above = package[: len(package) - node.level + 1]
            for name in [node.module] if node.module else [alias.name for alias in node.names]:
                if (room := [*above, *name.split(".")][0]) in rooms:
                    yield room


def storeys(engine: Path) -> tuple[int, int, int, str]:
    """How many rooms, storeys and arrows between rooms there are, and a circle among them if there is one."""
    files = [path for path in python_files(engine) if path != engine / "__init__.py"]
    rooms = {room_of(path, engine) for path in files}
    below: dict[str, set[str]] = {room: set() for room in rooms}
    for path in files:
        room = room_of(path, engine)
        below[room].update(set(imported_rooms(path, engine, rooms)) - {room})
    arrows = sum(map(len, below.values()))
    floors: dict[str, int] = {}
    try:
        for room in TopologicalSorter(below).static_order():
            floors[room] = 1 + max((floors[other] for other in below[room]), default=0)
    except CycleError as error:
        return len(rooms), 0, arrows, " → ".join(error.args[1])
    return len(rooms), max(floors.values(), default=0), arrows, ""
