"""What several test files share."""

from __future__ import annotations

import inspect
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest
import torch
from click.testing import CliRunner

from zoo.cli.main import main
from zoo.registry.loader import load_plugins
from zoo.registry.registry import Registry, default_registry

torch.set_num_threads(1)  # more of them only spin where several test runs share the cores
for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
    os.environ.pop(name, None)  # what a test prints is the same in every terminal


STARTED = time.monotonic()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--minutes", type=float, help="skip the tests that haven't begun after so many minutes")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    most = item.config.getoption("--minutes")
    if most is not None and time.monotonic() - STARTED > most * 60:
        pytest.skip(f"{most:g} minutes are over")


@pytest.fixture(autouse=True, scope="session")
def _installed() -> None:
    """What is installed is found out before any test puts made-up distributions on the path."""
    default_registry()


@pytest.fixture(autouse=True)
def _same_seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def _fresh_dynamo() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


@pytest.fixture(scope="session")
def look() -> float:
    """Seconds that this machine takes for a look at one character: the measure of what is refused unread."""

    def looks(text: str) -> float:
        start = time.process_time()
        for _ in text:
            pass
        return time.process_time() - start

    return min(looks("a" * 10**6) for _ in range(3)) / 10**6


@dataclass(frozen=True)
class Ran:
    """What came of a command; `output` is both streams, the errors behind the rest."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr


def zoo_command(*args: object, columns: int = 200) -> Ran:
    """The command in this process. Releases of click before 8.2 keep the streams apart only when they're asked to."""
    apart: dict[str, bool] = {"mix_stderr": False} if "mix_stderr" in inspect.signature(CliRunner).parameters else {}
    ran = CliRunner(**apart).invoke(main, [str(arg) for arg in args], env={"COLUMNS": str(columns)})  # type: ignore[arg-type]
    return Ran(ran.exit_code, ran.stdout, ran.stderr)


class World:
    """Distributions made up in a directory that stands on `sys.path`."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tmp_path, self.monkeypatch = tmp_path, monkeypatch

    def add(
        self,
        dist: str,
        code: str | None,
        *,
        module: str = "",
        value: str = "",
        name: str = "",
        site: str = "site",
        version: str = "1.0",
        metadata: str = "",
    ) -> str:
        """Install a distribution with one module and one entry point. Returns the module's name."""
        place = self.tmp_path / site
        module = module or f"mod_{dist}".replace("-", "_").lower()
        info = place / f"{dist.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: {version}\n{metadata}")
        (info / "entry_points.txt").write_text(f"[zoo]\n{name or 'main'} = {value or module}\n")
        if code is not None:
            (place / f"{module}.py").write_text(dedent(code))
        if str(place) not in sys.path:
            self.monkeypatch.syspath_prepend(str(place))
        return module

    def registry(self, disabled: str = "") -> Registry:
        return Registry(load_plugins(disabled))

    def forget(self) -> None:
        """Take what was imported from here out of `sys.modules`."""
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None) or "").startswith(str(self.tmp_path)):
                del sys.modules[name]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.delenv("ZOO_DISABLE_PLUGINS", raising=False)
    made = World(tmp_path, monkeypatch)
    yield made
    made.forget()
