"""Saves that are killed, run out of space or get in each other's way: the old file or the new, never half of one."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import zoo
from zoo.files.atomic import ENDING

ROOT = Path(__file__).parents[2]
SPEC = "mlp(in_features=256, hidden=[512], num_classes=10)"

# Each test's code runs in children of one process that has torch loaded, since loading it takes seconds.
SERVER = f"""
import json, os, sys, time, traceback, torch, zoo, zoo.checkpoint.save
torch.set_num_threads(1)
model = zoo.create({SPEC!r})
zoo.spec_of(model)
def fill(number):
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(number)
def number_in(path, mmap=True):
    found = zoo.load(path, mmap=mmap)
    (number,) = {{float(x) for p in found.parameters() for x in (p.detach().min(), p.detach().max())}}
    return number
fill(0)
print("ready", flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    if "wait" in asked:
        print(os.waitstatus_to_exitcode(os.waitpid(asked["wait"], 0)[1]), flush=True)
    elif pid := os.fork():
        print(pid, flush=True)
    else:
        out = open(asked["out"], "w")
        try:
            exec(asked["code"], globals() | asked["names"] | {{"out": out}})
        except BaseException:
            traceback.print_exc(file=out)
            out.flush()
            os._exit(1)
        out.flush()
        os._exit(0)
"""


class Forks:
    """Starts code in processes, and waits for them."""

    def __init__(self, folder: Path) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        command = [sys.executable, "-W", "ignore", "-c", SERVER]
        self.server = subprocess.Popen(command, text=True, cwd=ROOT / "tests", **pipes)  # type: ignore[call-overload]
        self.folder = folder
        self.outs: dict[int, Path] = {}
        assert self._line() == "ready"

    def start(self, code: str, **names: object) -> int:
        out = self.folder / f"out-{len(self.outs)}"
        out.write_text("")
        out.chmod(0o666)
        pid = int(self._ask(code=code, names=names, out=str(out)))
        self.outs[pid] = out
        return pid

    def wait(self, pid: int) -> int:
        return int(self._ask(wait=pid))

    def run(self, code: str, **names: object) -> str:
        """What the code wrote to `out`; it must end well."""
        return self.finish(self.start(code, **names))

    def finish(self, pid: int) -> str:
        status = self.wait(pid)
        text = self.outs[pid].read_text()
        assert status == 0, text
        return text

    def _ask(self, **asked: object) -> str:
        self.server.stdin.write(json.dumps(asked) + "\n")
        self.server.stdin.flush()
        return self._line()

    def _line(self) -> str:
        return str(self.server.stdout.readline()).strip()


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    made = Forks(tmp_path_factory.mktemp("forks"))
    with made.server:  # which closes its pipes, and waits
        yield made
        made.server.stdin.close()


def number_in(path: Path) -> float:
    """The one number of which all weights in a file are."""
    model = zoo.load(path)
    (number,) = {float(x) for p in model.parameters() for x in (p.detach().min(), p.detach().max())}
    return number


def saved(path: Path) -> Path:
    model = zoo.create(SPEC)
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(0)
    zoo.save(model, path)
    return path


@pytest.mark.parametrize("kills", [10, pytest.param(200, marks=pytest.mark.slow)])
def test_a_killed_save_leaves_a_whole_file(kills: int, forks: Forks, tmp_path: Path) -> None:
    start = time.monotonic()
    path = saved(tmp_path / "model.safetensors")
    most = max(0.2, 4 * (time.monotonic() - start))  # until the kill: a slow machine gets to write too
    chance = random.Random(0)
    met = set()
    for number in range(1, kills + 1):
        pid = forks.start("fill(number)\nwhile True: zoo.save(model, path)", number=number, path=str(path))
        time.sleep(chance.uniform(0.0, most))
        os.kill(pid, signal.SIGKILL)
        assert forks.wait(pid) == -signal.SIGKILL
        met.add(number_in(path))
    assert met - {0.0}, "some came to write"
    saved(path)
    assert os.listdir(tmp_path) == [path.name], "what killed writers left is swept"


WRITE = """
end = time.monotonic() + seconds
while time.monotonic() < end:
    fill(number)
    zoo.save(model, path)
    number += 10
"""
READ = """
end, reads = time.monotonic() + seconds, 0
while time.monotonic() < end or not reads:
    number_in(path, mmap=bool(reads % 2))
    reads += 1
out.write(str(reads))
"""


@pytest.mark.parametrize(("crowd", "seconds"), [(2, 1), pytest.param(4, 20, marks=pytest.mark.slow)])
def test_writers_and_readers_at_once(crowd: int, seconds: int, forks: Forks, tmp_path: Path) -> None:
    path = saved(tmp_path / "model.safetensors")
    writers = [forks.start(WRITE, path=str(path), number=i, seconds=seconds) for i in range(crowd)]
    readers = [forks.start(READ, path=str(path), seconds=seconds) for _ in range(crowd)]
    reads = [int(forks.finish(pid)) for pid in readers]
    for pid in writers:
        forks.finish(pid)
    assert min(reads) > 0
    assert number_in(path) >= 0
    assert os.listdir(tmp_path) == [path.name]


TRY = """
try:
    zoo.save(model, path)
except zoo.CheckpointError as error:
    out.write(str(error))
"""


def test_a_full_disk_leaves_the_old_file(forks: Forks, tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: the write fails in the middle in the same way."""
    path = saved(tmp_path / "model.safetensors")
    before = path.read_bytes()
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"
    text = forks.run(limit + TRY, path=str(path))
    assert text == f"can't write '{path}': File too large; what was there is as it was"
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


def test_a_read_only_folder(forks: Forks, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    path = saved(folder / "model.safetensors")
    before = path.read_bytes()
    for place in [place for place in tmp_path.parents if place.stat().st_mode & 0o055 != 0o055]:
        place.chmod(place.stat().st_mode | 0o055)
    tmp_path.chmod(0o755)
    folder.chmod(0o555)
    become_nobody = "if os.getuid() == 0: os.setuid(65534)  # root may write anywhere"
    try:
        text = forks.run(become_nobody + TRY, path=str(path))
        assert text == f"can't write '{path}': Permission denied; what was there is as it was"
    finally:
        folder.chmod(0o755)
    assert path.read_bytes() == before
    assert os.listdir(folder) == [path.name]


def test_only_what_dead_writers_left_is_swept(tmp_path: Path) -> None:
    import fcntl

    path = tmp_path / "model.safetensors"
    dead, alive, other = (
        tmp_path / f".{name}{ENDING}" for name in ("model.safetensors.1", "model.safetensors.2", "b.1")
    )
    for file in (dead, alive, other):
        file.write_bytes(b"half")
    with alive.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        zoo.save(zoo.create("simple"), path)
    assert sorted(os.listdir(tmp_path)) == sorted(file.name for file in (path, alive, other))


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.safetensors"

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(zoo.CheckpointError) as raised:
        zoo.save(zoo.create("simple"), path)
    assert str(raised.value) == f"can't write '{path}': No space left on device"
    assert os.listdir(tmp_path) == []
