"""Try modifiers on every arch there is, on the meta device, and write the counts down.

    python benchmarks/coverage.py                 # all of timm and torchvision, about an hour on two cores
    python benchmarks/coverage.py 'resnet*'       # some of them
    python benchmarks/coverage.py --table         # only write the table into plugins/README.md

It can be stopped and started again: what was tried is in build/coverage.jsonl and isn't tried twice.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

MODS = (
    "dropout(0.2)",
    "act(mish)",
    "bn(eps=1e-4)",
    "heads(a=3, b=1)",
    "heads(a=3, b=Head(1, hidden=8), default=a)",
    "num_classes(7)",
    "in_chans(1)",
    "switch_act(relu, mish)",
    "freeze",
    "reinit('*', uniform)",
)
# For an arch that can't do without options.
SPECS = {"chain": "chain(3, 32)"}
ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "build" / "coverage.jsonl"
TABLE = ROOT / "plugins" / "README.md"
START, STOP = "<!-- coverage: start -->", "<!-- coverage: stop -->"


def try_arch(name: str) -> list[dict[str, Any]]:
    """Each modifier on one arch: applied (and live), refused (with the reason), or an error, which should not be."""
    import warnings

    import torch

    import zoo
    from zoo.factory.rehearsal import preview

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    rows = []
    for mod in MODS:
        row: dict[str, Any] = {"arch": name, "mod": mod}
        try:
            changes = preview(f"{SPECS.get(name, name)}+{mod}")
            live = any(change.live for change in changes)
            row |= {"result": "applied" if live else "not known to be live", "changes": len(changes)}
        except zoo.NotApplicableError as error:
            row |= {"result": "refused", "reason": str(error).split("\n")[0]}
        except Exception as error:
            row |= {"result": "error", "reason": f"{type(error).__name__}: {error}"}
        rows.append(row)
    return rows


def done() -> list[dict[str, Any]]:
    """What earlier runs found; a line that was cut off counts as not done."""
    rows = []
    for line in RESULTS.read_text().splitlines() if RESULTS.exists() else ():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def run(names: Iterable[str], jobs: int) -> None:
    from rich.progress import Progress

    tried = Counter(row["arch"] for row in done())
    left = [name for name in names if tried[name] < len(MODS)]
    RESULTS.parent.mkdir(exist_ok=True)
    spawn = multiprocessing.get_context("spawn")  # forking after torch has used its threads hangs
    with (
        Progress() as progress,
        RESULTS.open("a") as out,
        ProcessPoolExecutor(jobs, mp_context=spawn) as pool,
    ):
        task = progress.add_task("archs", total=len(left))
        for future in as_completed([pool.submit(try_arch, name) for name in left]):
            out.writelines(json.dumps(row) + "\n" for row in future.result())
            out.flush()
            progress.advance(task)


def table(rows: list[dict[str, Any]]) -> str:
    """Counts for each modifier and library."""
    counts = Counter((_library(row["arch"]), row["mod"], row["result"]) for row in rows)
    totals = {library: len({r["arch"] for r in rows if _library(r["arch"]) == library}) for library in _LIBRARIES}
    heads = [f"{library}, {total} archs" for library, total in totals.items()]
    lines = [f"| modifier | {' | '.join(heads)} |", "|---|" + "---|" * len(heads)]
    for mod in MODS:
        cells = []
        for library in totals:
            refused, wrong = counts[library, mod, "refused"], counts[library, mod, "error"]
            unknown = counts[library, mod, "not known to be live"]
            cell = f"{counts[library, mod, 'applied']} applied, {refused} refused"
            cells.append(cell + (f", {unknown} unknown" if unknown else "") + (f", {wrong} errors" if wrong else ""))
        lines.append(f"| `{mod}` | {' | '.join(cells)} |")
    return "\n".join(lines)


_LIBRARIES = ("timm", "torchvision", "zoo")


def _library(arch: str) -> str:
    own = ("simple", "mlp", "convnet", "chain")
    return "torchvision" if arch.startswith("torchvision/") else "zoo" if arch in own else "timm"


def write_table() -> None:
    text = TABLE.read_text()
    before, after = text.split(START)[0], text.split(STOP)[1]
    TABLE.write_text(f"{before}{START}\n{table(done())}\n{STOP}{after}")


def main() -> None:
    import zoo

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("glob", nargs="?", default="")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--table", action="store_true", help="only write the table")
    args = parser.parse_args()
    if not args.table:
        run(zoo.list_archs(args.glob), args.jobs)
    write_table()
    for row in done():
        if row["result"] in ("error", "not known to be live"):
            print(row["arch"], row["mod"], row["result"], row.get("reason", ""))


if __name__ == "__main__":
    main()
