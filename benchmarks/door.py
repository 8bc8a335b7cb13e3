"""What a hundred installed plugins cost `zoo list`, ten of them broken; and the loader's part of it.

python benchmarks/door.py [COUNT]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 5
MODULE = """
import zoo

@zoo.modifier
def good{n}(model, /, p: float = 0.5):
    '''A dropout.'''
    from torch import nn
    return zoo.insert_before(model, "head", nn.Dropout(p))

@zoo.hookimpl
def zoo_modifiers():
    return [good{n}]
"""
# In a process of its own: the time of imports, and of all else that loading and collecting take.
LOADER = """
import time
import zoo.registry.entry_points, zoo.registry.registry
zoo.hookimpl, zoo.modifier
start = time.perf_counter()
registry = zoo.registry.registry.default_registry()
took = time.perf_counter() - start
imports = sum(plugin.seconds for plugin in registry.plugins)
print(took, imports, sum(plugin.status == "failed" for plugin in registry.plugins))
"""


def populate(site: Path, count: int) -> None:
    """Distributions, each with a module; every tenth fails on import."""
    for n in range(count):
        info = site / f"fake_{n}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: fake-{n}\nVersion: 1.0\nRequires-Dist: plugzoo>=0.1\n"
        )
        (info / "entry_points.txt").write_text(f"[zoo]\nfake{n} = fake_{n}\n")
        (site / f"fake_{n}.py").write_text(MODULE.format(n=n) if n % 10 else "raise RuntimeError")


def run(code: str, site: Path) -> tuple[float, str]:
    """Seconds of a whole process, and what it prints."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(site), *sys.path])}
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True)
    return time.perf_counter() - start, done.stdout


def main(count: int) -> None:
    command = "from zoo.cli.main import main; main(['list'])"
    with tempfile.TemporaryDirectory() as none, tempfile.TemporaryDirectory() as many:
        populate(Path(many), count)
        rows = []
        for _ in range(ROUNDS + 1):
            took, imports, failed = map(float, run(LOADER, Path(many))[1].split())
            rows.append((run(command, Path(none))[0], run(command, Path(many))[0], took - imports, imports))
    bare, full, own, imports = (statistics.median(column) for column in zip(*rows[1:], strict=True))
    print(f"{count} plugins, {failed:.0f} of them broken; medians of {ROUNDS}")
    print(f"zoo list without them     {bare:.2f} s")
    print(f"zoo list with them        {full:.2f} s")
    print(f"  their own imports       {imports:.2f} s")
    print(f"  the loader's own work   {own:.2f} s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
