"""How `zoo.create` walks through the rooms."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SPEC = "resnet18+dropout(0.2)"
# In a process of its own: the rooms that a second create enters, in the order in which it comes to them.
WALK = """
import sys
from pathlib import Path
import zoo

engine = Path(zoo.__file__).parent
zoo.create({spec!r})
stack, path = [], []

def room(code):
    try:
        parts = Path(code.co_filename).relative_to(engine).parts
    except ValueError:
        return ""
    return parts[0].removesuffix(".py")

def note(frame, event, _):
    if event in ("call", "return"):
        name = room(frame.f_code)
        if name and name != "__init__":
            if event == "call":
                stack.append(name)
            elif stack:
                stack.pop()
            if stack and (not path or path[-1] != stack[-1]):
                path.append(stack[-1])

sys.setprofile(note)
zoo.create({spec!r})
sys.setprofile(None)
print(" ".join(path))
"""


def walk_of_create(root: Path) -> list[str]:
    """The rooms that a warm `zoo.create` comes to, one after the other."""
    env = os.environ | {"PYTHONPATH": f"{root}{os.pathsep}{root / 'plugins'}"}
    command = [sys.executable, "-c", WALK.format(spec=SPEC)]
    done = subprocess.run(command, env=env, cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.split()


def without_loops(path: list[str]) -> list[str]:
    """What comes several times in a row is there once: how often a loop runs depends on the model, not on the house."""
    kept: list[str] = []
    for room in path:
        kept.append(room)
        while length := next((n for n in range(1, 5) if len(kept) >= 2 * n and kept[-n:] == kept[-2 * n : -n]), 0):
            del kept[-length:]
    return kept
