"""Every block of code in the documents is run, and what stands there as output is compared."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import zoo
from tests.conftest import zoo_command

ROOT = Path(__file__).parents[2]
DOCS = ["README.md", "CONTRIBUTING.md"]
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# ([\w/.-]+\.(?:py|toml))\n")


@dataclass(frozen=True)
class Block:
    """A fenced block. `file`: its first line says that it is a file, `# zoo_leaky.py`; `line`: where it starts."""

    language: str
    code: str
    line: int

    @property
    def file(self) -> str:
        found = _FILE.match(self.code)
        return found[1] if found else ""


def blocks(doc: str) -> list[Block]:
    text = (ROOT / doc).read_text(encoding="utf-8")
    return [Block(m[1], m[2], text.count("\n", 0, m.start()) + 1) for m in _FENCE.finditer(text)]


def expected(found: list[Block], at: int) -> str | None:
    """The output that is shown for a python block: the text block behind it."""
    following = found[at + 1 : at + 2]
    return following[0].code if following and following[0].language == "text" else None


def assert_printed(printed: str, wanted: str, where: str) -> None:
    """Letter by letter, but for what stands behind ≈: training is not the same on every machine to the last digit."""
    about = re.compile(r"≈ (\d+\.\d+)")
    assert about.sub("≈", printed) == about.sub("≈", wanted), where
    numbers = [[float(number) for number in about.findall(text)] for text in (printed, wanted)]
    assert numbers[0] == pytest.approx(numbers[1], abs=0.05), where


@pytest.mark.parametrize("doc", DOCS)
def test_python_blocks_run_and_print_what_is_shown(doc: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one namespace for each document, in order. Files are left to the test that installs them."""
    monkeypatch.chdir(tmp_path)  # plots are saved
    monkeypatch.setenv("MPLBACKEND", "Agg")
    found = blocks(doc)
    namespace: dict[str, Any] = {"__name__": doc}
    for at, block in enumerate(found):
        if block.language != "python" or block.file:
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            # Newlines in front, so that a traceback has the document's own line numbers.
            exec(compile("\n" * block.line + block.code, doc, "exec"), namespace)
        if (wanted := expected(found, at)) is not None:
            assert_printed(printed.getvalue(), wanted, f"{doc}, line {block.line}")
        else:
            assert printed.getvalue() == "", f"{doc}, line {block.line}: prints, and no output is shown"


def commands(doc: str) -> Iterator[tuple[str, str]]:
    """`$ zoo ...` lines of console blocks and the output shown for each."""
    for block in blocks(doc):
        if block.language == "console":
            for entry in re.split(r"^\$ ", block.code, flags=re.MULTILINE)[1:]:
                command, _, output = entry.partition("\n")
                yield command, output


ALL = [(doc, command, output) for doc in DOCS if (ROOT / doc).exists() for command, output in commands(doc)]


@pytest.mark.parametrize(("doc", "command", "output"), ALL, ids=[f"{doc}: {command}" for doc, command, _ in ALL])
def test_commands_print_what_is_shown(doc: str, command: str, output: str) -> None:
    name, *args = shlex.split(command)
    assert name == "zoo", "only the zoo's own command can be checked here"
    result = zoo_command(*args, columns=100)
    assert (result.exit_code == 0) == (not output.startswith("zoo: ")), result.output
    # A line of three dots stands for any lines.
    pattern = "(?:.*\n)*".join(re.escape(part) for part in re.split(r"^\.\.\.\n", output, flags=re.MULTILINE))
    assert re.fullmatch(pattern, result.output), result.output


def test_the_plugins_of_the_page_for_authors_print_what_is_shown(tmp_path: Path) -> None:
    """Each file of the page is a plugin of its own, installed beside the others."""
    found = blocks("plugins/README.md")
    for block in found:
        if block.file:
            (tmp_path / block.file).write_text(block.code)
        if block.file and "@zoo.hookimpl" in block.code:
            module = block.file.removesuffix(".py")
            info = tmp_path / f"{module}-0.1.0.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 0.1.0\n")
            (info / "entry_points.txt").write_text(f"[zoo]\nmain = {module}\n")
    shown = [
        (b.line, b.code, expected(found, at)) for at, b in enumerate(found) if b.language == "python" and not b.file
    ]
    code = f"""
import contextlib, io, json, zoo
namespace, printed = {{"__name__": "page", "zoo": zoo}}, []
for line, code, _ in {shown!r}:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile("\\n" * line + code, "plugins/README.md", "exec"), namespace)
    printed.append(out.getvalue())
print(json.dumps(printed))
"""
    env = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=300)
    assert done.returncode == 0, done.stderr
    for (line, _, wanted), printed in zip(shown, json.loads(done.stdout), strict=True):
        assert printed == (wanted or ""), f"plugins/README.md, line {line}"


def test_the_plugin_of_the_readme_installs_and_works(tmp_path: Path) -> None:
    source, out, site = tmp_path / "source", tmp_path / "wheel", tmp_path / "site"
    source.mkdir()
    files = [block for block in blocks("README.md") if block.file]
    for block in files:
        (source / block.file).write_text(block.code)
    assert {block.file for block in files} == {"zoo_leaky.py", "pyproject.toml"}
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(out)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True, timeout=120)
    zipfile.ZipFile(next(out.glob("*.whl"))).extractall(site)
    code = """
import zoo
model = zoo.create("simple+leaky(0.2)")
print(zoo.spec_of(model), [p.status for p in zoo.list_plugins() if p.owner == "zoo-leaky"])
print([str(m) for m in model.modules() if "ReLU" in type(m).__name__])
"""
    env = os.environ | {"PYTHONPATH": str(site)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=120)
    assert done.stdout == (
        "simple+leaky(slope=0.2) ['ok']\n['LeakyReLU(negative_slope=0.2)', 'LeakyReLU(negative_slope=0.2)']\n"
    ), done.stderr


def test_the_body_of_the_readmes_modifier_is_ten_lines() -> None:
    (code,) = [block.code for block in blocks("README.md") if block.file == "zoo_leaky.py"]
    lines = [line for line in code.split("\n") if line.strip() and not line.startswith("#")]
    assert len(lines) - len(["import zoo"]) <= 10


def test_ci_runs_the_two_commands_of_the_readme() -> None:
    setup, test = [block.code.strip() for block in blocks("README.md") if block.language == "bash"]
    assert "pip install -e ." in setup
    assert "zoo show" in setup
    assert 'pip install -e ".[test]"' in test
    assert "-m pytest" in test
    done = subprocess.run(["bash", ROOT / ".ci" / "run", "--commands"], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == [setup, test], done.stderr


def test_the_house_is_shown_whole() -> None:
    """CONTRIBUTING's map has each room, and no other, on its storey; and each file of a room in its row."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (?:\d+ )?\| `(\w+)(?:\.py|/)` \| (.*) \|$", text, re.MULTILINE))
    rooms = {path.relative_to(ROOT / "zoo").parts[0].removesuffix(".py") for path in (ROOT / "zoo").rglob("*.py")}
    assert rows.keys() == rooms - {"__init__"}
    for room, what in rows.items():
        files = {path.stem for path in (ROOT / "zoo" / room).glob("*.py")} - {"__init__"} if room[0] != "_" else set()
        assert files == set(re.findall(r"`(\w+)`", what)), room


def test_the_readme_names_every_modifier_with_its_options() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in zoo.list_modifiers():
        (row,) = re.findall(rf"^\| `{name}` \|.*$", text, re.MULTILINE)
        for option in zoo.describe(name).options:
            spelt = "=" in row if option["name"] in ("sizes", "parts", "options") else option["name"] in row
            assert spelt, f"{name}: {option['name']}"


def test_the_readme_names_every_error_and_hook() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    errors = {name for name in zoo.__all__ if name.endswith("Error")}
    page = (ROOT / "zoo" / "registry" / "hookspecs.py").read_text(encoding="utf-8")
    hooks = set(re.findall(r"^def (zoo_\w+)", page, re.MULTILINE))
    for name in errors | hooks:
        assert f"`{name}" in text or f"zoo.{name}`" in text, name


def test_links_lead_somewhere() -> None:
    for doc in [*DOCS, "CHANGELOG.md", "benchmarks/README.md"]:
        text = (ROOT / doc).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            assert "://" in target or ((ROOT / doc).parent / target).exists(), f"{doc}: {target}"


def test_the_changelog_knows_the_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
