"""What the zoo costs, against timm and against edits made by hand, as ratios in one run.

python benchmarks/bench.py [ARCH ...]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import zip_longest
from typing import Any

import timm
import torch
from torch import nn

import zoo
from zoo.transaction.detect import Delta, compare
from zoo.transaction.promises import find_broken_promise
from zoo.transaction.snapshot import Snapshot

ARCHS = ["resnet18", "resnet50", "vit_base_patch16_224"]
MODS = "act(silu)+dropout(0.2)"
ROUNDS = 5


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def race(*works: Callable[[], Any], rounds: int = ROUNDS) -> list[float]:
    """The median time of each, taken in turns, so that a busy moment hits all alike. Once before, to warm up."""
    times: list[list[float]] = [[] for _ in works]
    for turn in range(rounds + 1):
        for taken, work in zip(times, works, strict=True):
            took = seconds(work)
            if turn:
                taken.append(took)
    return [statistics.median(taken) for taken in times]


def swap_by_hand(model: nn.Module) -> nn.Module:
    """All ReLUs and GELUs for SiLUs: what one writes without the zoo."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.ReLU | nn.GELU):
                setattr(parent, name, nn.SiLU(inplace=getattr(child, "inplace", False)))
    return model


def edited_by_hand(arch: str) -> nn.Module:
    return swap_by_hand(timm.create_model(arch, drop_rate=0.2))


def on_the_edge(model: nn.Module) -> Callable[[], Any]:
    """Swap the activations to and fro, so that each call has work to do."""
    names = ["silu", "mish"]

    def swap() -> None:
        names.reverse()
        zoo.modify(model, f"act({names[0]})")

    return swap


def edits(arch: str) -> tuple[float, float]:
    """Median seconds of one swap of all activations: `zoo.modify`, by hand."""
    model = zoo.create(arch)
    other = timm.create_model(arch)
    kinds = [nn.SiLU, nn.Mish]

    def by_hand() -> None:
        kinds.reverse()
        for parent in list(other.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, nn.ReLU | nn.GELU | nn.SiLU | nn.Mish):
                    setattr(parent, name, kinds[0]())

    ours, hand = race(on_the_edge(model), by_hand, rounds=4 * ROUNDS)
    return ours, hand


def record(arch: str) -> float:
    """Median seconds of what the engine adds to one modifier: a look at the model before and after, and the verdict."""
    model = zoo.create(arch)

    def compared() -> None:
        before = Snapshot(model)
        delta = Delta(before, Snapshot(model, before))
        compare(delta, "act")
        find_broken_promise(delta, "act")

    return race(compared)[0]


def listing() -> list[list[str]]:
    """Whole processes: all names of the zoo, against timm's list of its own."""
    ours = [sys.executable, "-c", "from zoo.cli.main import main; main(['list', 'archs'])"]
    timms = [sys.executable, "-c", "import timm; print(timm.list_models())"]
    taken = race(*(lambda c=command: subprocess.run(c, check=True, capture_output=True) for command in (ours, timms)))
    return [["zoo list archs", f"{taken[0]:.2f} s", f"{taken[0] / taken[1]:.3f}"], ["timm", f"{taken[1]:.2f} s", "1"]]


def table(title: str, head: list[str], rows: list[list[str]]) -> None:
    print(f"\n{title}")
    widths = [max(map(len, column)) for column in zip_longest(head, *rows, fillvalue="")]
    for row in [head, ["-" * width for width in widths], *rows]:
        print(
            "  ".join(
                cell.ljust(width) if i == 0 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
        )


def main(archs: list[str]) -> None:
    print(f"torch {torch.__version__}, timm {timm.__version__}, {torch.get_num_threads()} threads; medians of {ROUNDS}")
    created, edited, recorded = [], [], []
    for arch in archs:
        bare, plain, variant, hand = race(
            lambda arch=arch: zoo.create(arch),
            lambda arch=arch: timm.create_model(arch),
            lambda arch=arch: zoo.create(f"{arch}+{MODS}"),
            lambda arch=arch: edited_by_hand(arch),
        )
        created.append([arch, f"{1e3 * plain:.0f} ms", f"{bare / plain:.2f}", f"{variant / hand:.2f}"])
        ours, others = edits(arch)
        edited.append([arch, f"{1e3 * others:.2f} ms", f"{1e3 * ours:.2f} ms", f"{ours / others:.1f}"])
        cost = record(arch)
        recorded.append([arch, f"{1e3 * cost:.1f} ms", f"{100 * cost / plain:.1f} %"])
    table("listing every name, whole process", ["command", "time", "of timm's"], listing())
    table("create, against timm and against timm edited by hand", ["arch", "timm", "bare", "variant"], created)
    table("swapping all activations", ["arch", "by hand", "zoo.modify", "ratio"], edited)
    table("the record of one modifier", ["arch", "time", "of timm's create"], recorded)


if __name__ == "__main__":
    main(sys.argv[1:] or ARCHS)
