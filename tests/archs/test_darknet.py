"""plugins/zoo-darknet as a user meets it: installed by pip, beside the zoo, and gone again."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).parents[2] / "plugins" / "zoo-darknet"
CLI = "import sys; from zoo.cli.main import main; main(sys.argv[1:])"


def run(*command: str, cwd: Path, site: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Python with these arguments, with what stands in `site` installed."""
    paths = [str(site)] if site else []
    paths += [os.environ["PYTHONPATH"]] if os.environ.get("PYTHONPATH") else []
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.run([sys.executable, *command], cwd=cwd, env=env, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin's folder, away from the zoo's."""
    litter = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", "dist", ".*")
    return shutil.copytree(SOURCE, tmp_path_factory.mktemp("copy") / "zoo-darknet", ignore=litter)


@pytest.fixture(scope="module")
def site(copy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory into which pip has installed the plugin."""
    target = tmp_path_factory.mktemp("site")
    source = shutil.copytree(copy, tmp_path_factory.mktemp("build") / "zoo-darknet")  # pip leaves files where it builds
    options = ["--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--target", str(target)]
    done = run("-m", "pip", "install", *options, str(source), cwd=target)
    assert done.returncode == 0, done.stderr
    return target


def test_after_pip_install_a_cfg_is_a_model(site: Path, tmp_path: Path) -> None:
    code = """
import json, zoo
model = zoo.create('darknet:"yolov3.cfg"+act(mish)', device="meta")
print(json.dumps([len(model.layers), str(zoo.spec_of(model)), len(zoo.changes(model))]))
"""
    done = run("-c", code, cwd=tmp_path, site=site)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [107, "darknet:yolov3.cfg+act(name=mish)", 72]


def test_it_is_listed_with_its_owner(site: Path, tmp_path: Path) -> None:
    done = run("-c", CLI, "plugins", "--json", cwd=tmp_path, site=site)
    assert done.returncode == 0, done.stderr
    listed: list[dict[str, Any]] = json.loads(done.stdout)
    (plugin,) = [entry for entry in listed if entry["distribution"] == "zoo-darknet"]
    assert (plugin["owner"], plugin["status"], plugin["version"]) == ("zoo-darknet", "ok", "0.1.0")
    assert plugin["torch"] is False
    done = run("-c", CLI, "list", "archs", "zoo-darknet/*", "--json", cwd=tmp_path, site=site)
    assert "zoo-darknet/yolov3" in [entry["name"] for entry in json.loads(done.stdout)]


def test_a_bad_cfg_is_an_error_in_one_line(site: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.cfg").write_text("[net]\nheight=8\nwidth=8\nchannels=3\n[convolutionl]\n")
    done = run("-c", CLI, "show", 'darknet:"bad.cfg"', cwd=tmp_path, site=site)
    assert done.returncode == 1
    assert "bad.cfg, line 5: [convolutionl] (layer 0): no such section" in done.stderr
    assert "Traceback" not in done.stderr


def test_when_it_is_gone_the_error_says_so(site: Path, tmp_path: Path) -> None:
    there = shutil.copytree(site, tmp_path / "site")
    assert run("-c", "import zoo; zoo.describe('zoo-darknet/yolov3')", cwd=tmp_path, site=there).returncode == 0
    for path in there.iterdir():
        shutil.rmtree(path)
    code = """
import zoo
for spec in ('darknet:"yolov3.cfg"', "zoo-darknet/yolov3"):
    try:
        zoo.create(spec)
    except zoo.UnknownNameError as error:
        print(error)
"""
    done = run("-c", code, cwd=tmp_path, site=there)
    prefix, name = done.stdout.splitlines()
    assert prefix == "no prefix 'darknet'; the prefixes: hf-hub, local-dir", done.stderr
    assert name.startswith("no arch 'zoo-darknet/yolov3'")


@pytest.mark.parametrize("file", sorted(SOURCE.rglob("*.py")), ids=lambda path: path.name)
def test_it_is_built_on_what_anyone_can_import(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
        for name in names:
            assert name == "zoo" if name.split(".")[0] == "zoo" else not name.startswith(("zoo_archs", "zoo_modifiers"))
