"""`zoo new-plugin`, and what a stranger does with it: in an environment of its own, with pip."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

import zoo
from tests.conftest import Ran, zoo_command
from zoo.cli.scaffold import TEMPLATES, new_plugin

ROOT = Path(__file__).parents[2]
FILES = [
    ".github/workflows/test.yml",
    ".gitignore",
    "README.md",
    "pyproject.toml",
    "tests/test_mymod.py",
    "zoo_mymod.py",
]


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def ran(*args: str) -> Ran:
    return zoo_command("new-plugin", *args)


# -- what is written --------------------------------------------------------------------------------------------------


def test_the_command_writes_a_package_and_says_what_is_next(tmp_path: Path) -> None:
    result = ran("zoo-mymod", "--into", str(tmp_path))
    made = tmp_path / "zoo-mymod"
    assert result.exit_code == 0
    assert result.stdout.split("\n") == [
        str(made),
        *(f"  {file}" for file in FILES),
        "",
        f'next: cd {made} && pip install -e ".[test]" && pytest',
        "",
    ]
    assert files(made) == FILES
    assert os.listdir(tmp_path) == ["zoo-mymod"], "nothing half-written is left"
    assert stat.S_IMODE(made.stat().st_mode) == 0o755


def test_it_comes_into_the_folder_where_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert ran("Zoo_MyMod").exit_code == 0
    assert files(tmp_path / "zoo-mymod") == FILES


def test_every_template_is_used_and_nothing_is_left_to_fill_in(tmp_path: Path) -> None:
    made = new_plugin("zoo-mymod", tmp_path, arch=True, modifier=True)
    for file in FILES:
        text = (made / file).read_text()
        assert "$" not in text.replace("${{ matrix.python-version }}", ""), file
        assert text.endswith("\n")
    whole = "".join((made / file).read_text() for file in FILES)
    for template in TEMPLATES.iterdir():
        longest = max(template.read_text().split("\n"), key=lambda line: len(line) * ("$" not in line))
        assert longest in whole, template.name


def test_the_packaging_has_the_entry_point_and_what_it_needs(tmp_path: Path) -> None:
    project = tomllib.loads((new_plugin("zoo-my-mod", tmp_path) / "pyproject.toml").read_text())
    assert project["project"]["name"] == "zoo-my-mod"
    assert project["project"]["entry-points"] == {"zoo": {"my_mod": "zoo_my_mod"}}
    assert project["project"]["dependencies"] == ["plugzoo>=0.1.0"]
    assert project["tool"]["setuptools"]["py-modules"] == ["zoo_my_mod"]


@pytest.mark.parametrize(
    ("options", "hooks"),
    [
        ((), ["zoo_modifiers"]),
        (("--modifier",), ["zoo_modifiers"]),
        (("--arch",), ["zoo_archs"]),
        (("--arch", "--modifier"), ["zoo_archs", "zoo_modifiers"]),
    ],
)
def test_what_is_asked_for_is_in_it_and_the_style_is_the_houses(
    tmp_path: Path, options: tuple[str, ...], hooks: list[str]
) -> None:
    assert ran("zoo-mymod", "--into", str(tmp_path), *options).exit_code == 0
    text = (tmp_path / "zoo-mymod" / "zoo_mymod.py").read_text()
    assert [line[4:-3] for line in text.split("\n") if line.startswith("def zoo_")] == hooks
    ruff = [sys.executable, "-m", "ruff"]
    style = ["--isolated", "--no-cache", "--line-length", "120", "."]
    for check in (["check", "--select", "E,F,W,I,B,UP,SIM"], ["format", "--check"]):
        done = subprocess.run([*ruff, *check, *style], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("two words", (), "'two words' can't name a plugin: it takes ASCII letters and digits, with single hyphens"),
        ("../up", (), "'../up' can't name a plugin: "),
        ("3d", (), "'3d' can't name a plugin: "),
        ("zoo-äcme", (), "'zoo-äcme' can't name a plugin: "),
        ("zoo-", (), "'zoo-' can't name a plugin: "),
        ("zoo-3d", (), "'zoo-3d' would hold something called '3d', which can't be a name in Python"),
        ("zoo-class", (), "'zoo-class' would hold something called 'class', which can't be a name in Python"),
        ("zoo-zoo", (), "'zoo-zoo' would hold something called 'zoo', which can't be a name in Python"),
        ("zoo", (), "'zoo' is a name of the zoo's own; take another, such as 'zoo-acme'"),
        ("Timm", (), "'timm' is a name of the zoo's own; take another, such as 'zoo-acme'"),
        ("torchvision", (), "'torchvision' is a name of the zoo's own; take another, such as 'zoo-acme'"),
        ("plugzoo", (), "'plugzoo' is a name of the zoo's own; take another, such as 'zoo-acme'"),
        ("zoo-dropout", (), "there is 'dropout' already, from zoo; take another name for a new modifier"),
        ("zoo-resnet18", ("--arch",), "there is 'resnet18' already, from zoo; take another name for a new arch"),
        ("zoo-archs", (), "there is a module 'zoo_archs' already; take another name"),
        ("json", (), "there is a module 'json' already; take another name"),
        ("pytest", (), "'pytest' is installed already; take another name, or uninstall it"),
    ],
)
def test_a_name_that_cannot_be_used(tmp_path: Path, name: str, options: tuple[str, ...], message: str) -> None:
    result = ran(name, "--into", str(tmp_path), *options)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"zoo: {message}")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "zoo-mymod").mkdir()
    (tmp_path / "zoo-mymod" / "mine").touch()
    with pytest.raises(zoo.OptionError, match=r"zoo-mymod' is there already; remove it, or take another name$"):
        new_plugin("zoo-mymod", tmp_path)
    assert files(tmp_path) == ["zoo-mymod/mine"]
    (tmp_path / "zoo-link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(zoo.OptionError, match="is there already"):
        new_plugin("zoo-link", tmp_path)
    with pytest.raises(
        zoo.OptionError, match=r"nowhere' is no folder; make it first, or name another one with --into$"
    ):
        new_plugin("zoo-mymod", tmp_path / "nowhere")


def test_nothing_is_left_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, target: Path) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(OSError, match="no space left"):
        new_plugin("zoo-mymod", tmp_path)
    assert list(tmp_path.iterdir()) == []


# -- a stranger's environment -----------------------------------------------------------------------------------------

# What is a package of its own in this repository is installed and tested in the same way.
SHIPPED = sorted(path.parent.name for path in ROOT.glob("plugins/zoo-*/pyproject.toml"))


class Environment:
    """A fresh virtual environment that sees torch and its like where they are: they take 5 GB."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=120)
        self.bin = folder / ("Scripts" if os.name == "nt" else "bin")
        (site,) = folder.rglob("site-packages")
        (site / "libraries.pth").write_text(f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n")

    def run(self, *command: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "ZOO_", "PYTEST_"))}
        return subprocess.run(
            list(map(str, command)), cwd=cwd or self.folder, env=env, capture_output=True, text=True, timeout=600
        )

    def pip(self, *args: str | Path) -> None:
        python = self.bin / "python"
        done = self.run(sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", *args)
        assert done.returncode == 0, done.stderr

    def install(self, source: Path) -> None:
        self.pip("install", "--no-index", "--no-deps", "--no-build-isolation", source)

    def zoo(self, *args: str) -> subprocess.CompletedProcess[str]:
        return self.run(self.bin / "zoo", *args)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """With the zoo in it, built from a copy, since setuptools leaves files beside what it builds."""
    folder = tmp_path_factory.mktemp("stranger")
    shutil.copytree(
        ROOT, folder / "tree", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "build", "dist", ".*")
    )
    made = Environment(folder / "environment")
    made.install(folder / "tree")
    return made


def conforms(environment: Environment, name: str, *options: str) -> None:
    """Install a plugin of this repository, or a new one, and run its tests."""
    if name in SHIPPED:
        source = Path(shutil.copytree(ROOT / "plugins" / name, environment.folder / name))
    else:
        done = environment.zoo("new-plugin", name, *options)
        assert done.returncode == 0, done.stderr
        source = environment.folder / name
    environment.install(source)
    done = environment.run(environment.bin / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=source)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["zoo-mymod", *SHIPPED])
def test_a_plugin_installs_and_passes_its_own_tests(environment: Environment, name: str) -> None:
    conforms(environment, name)


@pytest.mark.slow
def test_a_new_plugin_with_an_arch_passes_its_own_tests(environment: Environment) -> None:
    conforms(environment, "zoo-mynet", "--arch", "--modifier")
    assert environment.zoo("show", "mynet+mynet(0.1)").returncode == 0


def test_the_name_works_while_it_is_installed_and_is_told_when_it_is_gone(environment: Environment) -> None:
    where = environment.run(environment.bin / "python", "-c", "import zoo; print(zoo.__file__)").stdout
    assert where.startswith(str(environment.folder)), "the zoo is the one that was installed"
    if not (environment.folder / "zoo-mymod").exists():  # when this test runs alone
        environment.zoo("new-plugin", "zoo-mymod")
        environment.install(environment.folder / "zoo-mymod")
    shown = environment.zoo("show", "simple+mymod")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "layers1.1 … layers2.1: 2 × replaced ReLU() → LeakyReLU(negative_slope=0.01)" in shown.stdout

    environment.pip("uninstall", "--yes", "zoo-mymod")
    gone = environment.zoo("show", "simple+mymod")
    assert (gone.returncode, gone.stdout) == (1, "")
    assert gone.stderr.startswith("zoo: no modifier 'mymod'; ")
