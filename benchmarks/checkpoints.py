"""From a file to a ready model, and from a model to a file: the zoo against timm, as ratios in one run, hot cache.

python benchmarks/checkpoints.py [ARCH ...]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import timm
import torch
from bench import race, seconds, table
from safetensors.torch import save_file
from torch import nn

import zoo

ARCHS = [
    "resnet50",
    "vit_base_patch16_224",
    "swin_base_patch4_window7_224",
    "vit_large_patch16_224",
    "convnext_base",
]
ROUNDS = 5

# What one process needs at most above what it needed before, in bytes.
PEAK = """
import re, sys, torch, timm, zoo
zoo.load(sys.argv[2]); timm.create_model("test_resnet")
def high():
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
open("/proc/self/clear_refs", "w").write("5")
before = high()
name, path = sys.argv[3:5]
if sys.argv[1] == "zoo":
    model = zoo.load(path)
elif sys.argv[1] == "private":
    model = zoo.load(path, mmap=False)
else:
    model = timm.create_model(name)
    model.load_state_dict(torch.load(path, weights_only=True))
print(high() - before)
"""


def by_load_state_dict(name: str, path: Path) -> nn.Module:
    model: nn.Module = timm.create_model(name)
    model.load_state_dict(torch.load(path, weights_only=True))
    return model


def forward(model: nn.Module, x: torch.Tensor) -> Any:
    with torch.inference_mode():
        return model.eval()(x)


def peak(kind: str, name: str, path: Path, small: Path) -> float:
    command = [sys.executable, "-c", PEAK, kind, small, name, path]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def loading(name: str, folder: Path) -> tuple[list[str], list[str]]:
    """Two rows: times of the peers and the zoo's ratios; peaks of memory."""
    model = zoo.create(name)
    ours, theirs, small = folder / f"{name}.safetensors", folder / f"{name}.pt", folder / "small.safetensors"
    zoo.save(model, ours)
    zoo.save(zoo.create("test_resnet"), small)
    torch.save(model.state_dict(), theirs)
    x = torch.randn(1, 3, 224, 224)
    assert torch.equal(forward(zoo.load(ours), x), forward(by_load_state_dict(name, theirs), x))

    def peer() -> nn.Module:
        return by_load_state_dict(name, theirs)

    ready = race(
        peer,
        lambda: timm.create_model(name, checkpoint_path=str(theirs)),
        lambda: zoo.load(ours),
        lambda: zoo.load(ours, mmap=False),
        rounds=ROUNDS,
    )
    first = race(lambda: forward(peer(), x), lambda: forward(zoo.load(ours), x), rounds=ROUNDS)
    mapped, private = zoo.load(ours), zoo.load(ours, mmap=False)
    later = race(lambda: forward(private, x), lambda: forward(mapped, x), rounds=3 * ROUNDS)
    size = ours.stat().st_size
    peaks = {kind: peak(kind, name, path, small) for kind, path in (("zoo", ours), ("private", ours), ("timm", theirs))}
    times = [name, f"{1e3 * ready[0]:.0f} ms", f"{ready[1] / ready[0]:.2f}", f"{ready[2] / ready[0]:.3f}"]
    times += [f"{first[1] / first[0]:.2f}", f"{later[1] / later[0]:.2f}", f"{ready[3] / ready[0]:.2f}"]
    memory = [name, f"{size / 2**20:.0f} MiB", *(f"{p / 2**20:.0f} MiB = {p / size:.2f}" for p in peaks.values())]
    return times, memory


def saving(name: str, folder: Path) -> list[str]:
    """`zoo.save` against the bare library; what making sure that it is on the disk takes is said apart."""
    model = zoo.create(name)
    ours, theirs = folder / "a.safetensors", folder / "b.safetensors"
    synced: list[float] = []
    plain = os.fsync

    def noted(number: int) -> None:
        synced.append(seconds(lambda: plain(number)))

    def unsynced(call: Callable[[], Any]) -> None:
        with mock.patch.object(os, "fsync", return_value=None):
            call()

    bare, zoos = race(
        lambda: save_file(model.state_dict(), theirs),
        lambda: unsynced(lambda: zoo.save(model, ours)),
        rounds=2 * ROUNDS,
    )
    with mock.patch.object(os, "fsync", noted):
        zoo.save(model, ours)
    return [name, f"{1e3 * bare:.0f} ms", f"{zoos / bare:.2f}", f"{1e3 * sum(synced):.0f} ms"]


def main(archs: list[str]) -> None:
    print(f"torch {torch.__version__}, timm {timm.__version__}, {torch.get_num_threads()} threads; medians of {ROUNDS}")
    rows, peaks, saves = [], [], []
    for name in archs:
        with tempfile.TemporaryDirectory() as folder:
            times, memory = loading(name, Path(folder))
            rows.append(times)
            peaks.append(memory)
            saves.append(saving(name, Path(folder)))
    head = ["arch", "timm", "checkpoint_path=", "zoo.load", "first forward", "later forward", "mmap=False"]
    table("a file to a ready model: timm's create + load_state_dict(torch.load), and ratios to it", head, rows)
    table(
        "peak memory of loading, and as a part of the file", ["arch", "file", "zoo.load", "mmap=False", "timm"], peaks
    )
    table("a model to a file: safetensors' save_file, and the ratio", ["arch", "save_file", "zoo.save", "fsync"], saves)


if __name__ == "__main__":
    main(sys.argv[1:] or ARCHS)
