"""How the house is built, in numbers: rooms and storeys, sizes, names, what a modifier reaches, how `create` walks.

python -m benchmarks.house [--root DIR]

DIR is any tree of the project. In one where `zoo/` is flat, each file is a room. All but the last figure are read from
the source; that one is from running the tree, in a process of its own.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from statistics import mean

from .reach import Package
from .rooms import storeys
from .source import (
    bare_lines,
    code_lines,
    comment_lines,
    count_lines,
    functions,
    is_named_by_a_participle,
    python_files,
    touches_private_dicts,
)
from .walk import SPEC, walk_of_create, without_loops

HERE = Path(__file__).parents[2]


def name_all(names: list[str]) -> str:
    return f"{len(names)}" + (f": {', '.join(names)}" if names else "")


def measure(root: Path) -> list[tuple[str, str]]:
    engine = root / "zoo"
    own = [path for path in python_files(engine) if "testing" not in path.relative_to(engine).parts]
    plugins = [path for name in ("zoo_modifiers", "zoo_archs") for path in python_files(root / "plugins" / name)]
    every = python_files(engine) + plugins
    short = {path: path.relative_to(root).as_posix().removeprefix("zoo/") for path in every}
    rooms, floors, arrows, circle = storeys(engine)
    entries = [p.name for p in engine.iterdir() if not p.name.startswith("_") and p.name != "py.typed"]
    lines = {path: count_lines(path) for path in every}
    found = [(path, function) for path in every for function in functions(path)]
    sizes = Package(root / "plugins" / "zoo_modifiers").sizes()
    walk = walk_of_create(root)
    return [
        ("rooms", f"{rooms}"),
        ("storeys", f"{floors}" if floors else f"none, there is a circle: {circle}"),
        ("arrows between rooms", f"{arrows}"),
        ("entries in zoo/", f"{len(entries)}"),
        ("lines of the engine, without testing/", f"{sum(lines[path] for path in own)}"),
        ("lines of code in it, without blanks, comments, docstrings", f"{sum(map(bare_lines, own))}"),
        ("lines of the plugins", f"{sum(lines[path] for path in plugins)}"),
        ("files over 250 lines", name_all([f"{short[p]} {n}" for p, n in lines.items() if n > 250])),
        ("functions", f"{len(found)}, mean {mean(code_lines(f) for _, f in found):.1f} lines"),
        (
            "functions over 40 lines of code",
            name_all([f"{short[p]}:{f.name} {code_lines(f)}" for p, f in found if code_lines(f) > 40]),
        ),
        ("functions named by a participle", name_all([f.name for _, f in found if is_named_by_a_participle(f)])),
        (
            "files of the engine that touch torch's private dicts",
            name_all([short[path] for path in own if touches_private_dicts(path)]),
        ),
        ("mean lines of a modifier with all it reaches", f"{mean(sizes.values()):.0f}"),
        ("lines of each", ", ".join(f"{name} {size}" for name, size in sizes.items())),
        ("lines that are comments", f"{100 * sum(map(comment_lines, own)) / sum(lines[p] for p in own):.1f} %"),
        (f"rooms that a warm create({SPEC!r}) enters", name_all(sorted(set(walk)))),
        ("changes between rooms on its way, a loop once", f"{len(without_loops(walk)) - 1}"),
    ]


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.house", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--root", type=Path, default=HERE, help="a tree of the project; default: this one")
    for what, value in measure(parser.parse_args(arguments).root.resolve()):
        print(f"{what + ':':62}{value}")


if __name__ == "__main__":
    main(sys.argv[1:])
