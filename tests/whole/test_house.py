"""The figures of the house, on a small house whose figures are known."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOUSE = {
    "zoo/__init__.py": """
        from .upper.door import create
    """,
    "zoo/py.typed": "",
    "zoo/_private.py": "",
    "zoo/upper/__init__.py": "",
    "zoo/upper/door.py": """
        from ..lower import walls

        def create(spec):
            for _ in range(5):
                walls.build()  # a comment that has company
            walls.named()
    """,
    "zoo/lower/__init__.py": "",
    "zoo/lower/walls.py": """
        # A comment.
        def build():
            return {}.get("_modules")

        def named():
            '''A participle.'''
    """,
    "zoo/testing/__init__.py": "x = 1\n" * 251,
    "plugins/zoo_modifiers/__init__.py": "",
    "plugins/zoo_modifiers/_shared.py": """
        WIDTH = 3

        def helper():
            return WIDTH

        def stranger():
            return 0
    """,
    "plugins/zoo_modifiers/one.py": """
        import zoo
        from . import _shared

        @zoo.modifier
        def one(model):
            return _shared.helper()
    """,
    "plugins/zoo_modifiers/two.py": """
        import zoo

        @zoo.modifier(examples=["two"])
        def two(model):
            from ._shared import helper as known

            return known(), known()
    """,
    "plugins/zoo_archs/long.py": "def long():\n" + "    x = 1\n" * 41,
}
FIGURES = {
    "rooms": "4",  # with _private
    "storeys": "2",
    "arrows between rooms": "1",
    "entries in zoo/": "3",
    "lines of the engine, without testing/": "13",
    "lines of code in it, without blanks, comments, docstrings": "9",
    "lines of the plugins": "62",
    "files over 250 lines": "1: testing/__init__.py 251",
    "functions": "8, mean 7.4 lines",
    "functions over 40 lines of code": "1: plugins/zoo_archs/long.py:long 42",
    "functions named by a participle": "1: named",
    "files of the engine that touch torch's private dicts": "1: lower/walls.py",
    "mean lines of a modifier with all it reaches": "7",
    "lines of each": "two 8, one 6",
    "lines that are comments": "7.7 %",
    "rooms that a warm create('resnet18+dropout(0.2)') enters": "2: lower, upper",
    "changes between rooms on its way, a loop once": "2",
}


def test_the_figures_of_a_small_house(tmp_path: Path) -> None:
    for name, text in HOUSE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        lines = [line.removeprefix("        ") for line in text.removeprefix("\n").rstrip(" ").split("\n")]
        (tmp_path / name).write_text("\n".join(lines))
    command = [sys.executable, "-m", "benchmarks.house", "--root", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = dict(line.split(":", 1) for line in done.stdout.splitlines())
    assert {what: value.strip() for what, value in found.items()} == FIGURES
