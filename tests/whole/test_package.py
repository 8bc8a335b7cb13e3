"""The shape of the package: who imports whom, what `import zoo` costs, what a wheel holds."""

from __future__ import annotations

import ast
import configparser
import json
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import zoo

ROOT = Path(__file__).parents[2]
ENGINE = ROOT / "zoo"

# The rooms of the engine, storey by storey: what is in a room imports from its own and from lower storeys, also inside
# its functions, and never from a room beside it.
STOREYS = [
    ("messages",),
    ("spec",),
    ("registry", "surgery"),
    ("files", "plan"),
    ("trace",),
    ("primitives", "transaction"),
    ("factory",),
    ("checkpoint",),
    ("report",),
    ("testing", "cli"),
]
FORBIDDEN = {"plugins", "timm", "torchvision", "zoo_archs", "zoo_modifiers"}
PACKAGES = {"zoo", "zoo_archs", "zoo_modifiers"}
FILES = sorted(path for path in ENGINE.rglob("*.py") if path != ENGINE / "__init__.py")
ROOMS = sorted({path.relative_to(ENGINE).parts[0].removesuffix(".py") for path in FILES})
NAMES = [path.relative_to(ENGINE).as_posix() for path in FILES]


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(level, dotted name) of every import statement in a file, those inside functions and `if`s too.

    `import_module("x")` and its like count when the name is written out.
    """
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.level, node.module
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.level, alias.name) for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__", "find_spec"):
                yield 0, str(node.args[0].value)


# -- what it stands on ------------------------------------------------------------------------------------------------

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# The one is a part of pydantic, which asks for it to the digit; the others are for whoever has them.
NOT_DEMANDED = {"pydantic-core", "torchvision", "pytest"}


def test_what_is_imported_is_demanded_and_nothing_else() -> None:
    folders = [ENGINE, *(ROOT / "plugins" / name for name in PACKAGES - {"zoo"})]
    found = [name for folder in folders for file in folder.rglob("*.py") for level, name in imports(file) if not level]
    tops = {name.partition(".")[0] for name in found} - PACKAGES - set(sys.stdlib_module_names)
    demanded = {canonicalize_name(Requirement(text).name) for text in PROJECT["dependencies"]}
    assert {canonicalize_name(top) for top in tops} - NOT_DEMANDED == demanded


def test_the_oldest_that_are_admitted_are_those_that_ci_tries() -> None:
    lines = (ROOT / "tests" / "oldest.txt").read_text().split("\n")
    tried = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    extras = [text for texts in PROJECT["optional-dependencies"].values() for text in texts]
    for need in map(Requirement, [*PROJECT["dependencies"], *extras]):
        (bound,) = need.specifier
        assert (bound.operator, Version(bound.version)) == (">=", Version(tried[need.name])), need


# -- who imports whom -------------------------------------------------------------------------------------------------


def test_the_scan_sees_every_way_of_importing(tmp_path: Path) -> None:
    file = tmp_path / "bad.py"
    file.write_text("def f():\n import timm.models as t\n from torchvision import models\n import_module('plugins')\n")
    assert sorted(imports(file)) == [(0, "plugins"), (0, "timm.models"), (0, "torchvision")]


@pytest.mark.parametrize("file", ["__init__.py", *NAMES])
def test_the_engine_imports_no_plugin_and_no_library_of_models(file: str) -> None:
    tops = {name.partition(".")[0] for level, name in imports(ENGINE / file) if level == 0}
    assert not tops & FORBIDDEN


def test_every_room_of_the_engine_has_a_storey() -> None:
    assert sorted(room for storey in STOREYS for room in storey) == ROOMS


def imported_files(path: Path, root: Path, tops: set[str]) -> Iterator[Path]:
    """The files below `root` that a file imports from, by a relative import or under one of the names `tops`."""
    package = path.relative_to(root).parts[:-1]
    for level, name in imports(path):
        if level:
            parts = [*package[: len(package) - level + 1], *name.split(".")]
        elif name.partition(".")[0] in tops:
            parts = name.split(".")
        else:
            continue
        place = root.joinpath(*parts)
        yield from (p for p in (place.with_suffix(".py"), place / "__init__.py") if p.is_file())


@pytest.mark.parametrize("file", NAMES)
def test_rooms_import_only_from_lower_storeys(file: str) -> None:
    room = Path(file).parts[0].removesuffix(".py")
    floor = next(n for n, storey in enumerate(STOREYS) if room in storey)
    below = {room}.union(*STOREYS[:floor])
    found = {p.relative_to(ENGINE).parts[0].removesuffix(".py") for p in imported_files(ENGINE / file, ROOT, {"zoo"})}
    assert found - {"__init__"} <= below
    whole = {name for level, name in imports(ENGINE / file) if level == 0 and name.partition(".")[0] == "zoo"}
    assert "_earlier" in Path(file).parts or whole <= ({"zoo"} if room == "cli" else set()), (
        "inside the engine, imports are relative"
    )


@pytest.mark.parametrize("package", ["zoo", *sorted(PACKAGES - {"zoo"})])
def test_no_files_import_each_other_in_a_circle(package: str) -> None:
    root = ROOT if package == "zoo" else ROOT / "plugins"
    files = [f for f in (root / package).rglob("*.py") if f.name != "__init__.py"]
    graph = {f: {g for g in imported_files(f, root, {package}) if g.name != "__init__.py"} for f in files}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" → ".join(path.relative_to(root).as_posix() for path in error.args[1]))


PRIVATE = {"_modules", "_parameters", "_buffers", "_non_persistent_buffers_set"}


def test_one_file_touches_the_dicts_in_which_torch_keeps_a_module() -> None:
    """Named as an attribute, or in a text as in `vars(module)["_modules"]`."""
    touching = set()
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            found = getattr(node, "attr", None) or getattr(node, "value", None)
            if isinstance(found, str) and found in PRIVATE:
                touching.add(file.relative_to(ENGINE).as_posix())
    assert touching == {"surgery/walk.py"}


def test_no_room_bears_a_public_name() -> None:
    """Importing `zoo.replace` would put the module in the place of the function."""
    assert set(ROOMS) & set(zoo.__all__) == zoo._MODULES == {"testing"}  # which is meant


def test_type_checkers_see_what_the_table_of_homes_says() -> None:
    tree = ast.parse((ENGINE / "__init__.py").read_text(encoding="utf-8"))
    guards = [n for n in tree.body if isinstance(n, ast.If) and getattr(n.test, "id", "") == "TYPE_CHECKING"]
    seen = {}
    for node in (node for guard in guards for node in guard.body):
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            assert alias.asname == alias.name, f"`{alias.name} as {alias.name}` makes it public"
            seen[alias.name] = node.module
    assert seen == zoo._HOME | dict.fromkeys(zoo._MODULES)
    assert sorted(seen) == zoo.__all__


@pytest.mark.parametrize("name", zoo.__all__)
def test_public_names_are_there_and_documented(name: str) -> None:
    value = getattr(zoo, name)
    assert name in dir(zoo)
    if name != "Where":  # a type alias
        assert (value.__doc__ or "").strip() or isinstance(value, type(zoo.hookimpl))


def test_an_unknown_attribute_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'zoo' has no attribute 'creat'"):
        zoo.creat  # noqa: B018


# -- what is imported when --------------------------------------------------------------------------------------------

RUN = """
import json, sys
def main(*args):
    from zoo.cli.main import main
    main(args, standalone_mode=False)
{code}
heavy = ("torch", "timm", "torchvision", "zoo_archs", "lark", "pydantic", "click")
json.dump([m for m in heavy if m in sys.modules], sys.stderr)
"""


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        ("import zoo", {"torch", "timm", "zoo_archs", "lark", "pydantic", "click"}),
        ("import zoo.testing; zoo.testing.cases('plugzoo')", {"timm", "torchvision"}),
        ("main('--help')", {"torch", "timm"}),
        ("main('--version')", {"torch", "timm", "zoo_archs"}),
        ("main('list')", {"torch", "timm"}),
        ("main('list', 'archs', '*resnet*')", {"torch", "timm"}),
        ("main('list', 'modifiers', '--json')", {"torch", "timm"}),
        ("main('plugins')", {"torch", "timm"}),
        ("import zoo; zoo.parse('resnet18+dropout(0.2)'); zoo.expand('resnet{18,34}')", {"torch", "timm"}),
        ("import zoo; zoo.describe('dropout'); zoo.describe('resnet18')", {"torch", "timm", "click"}),
        ("import zoo; zoo.list_plugins()", {"torch", "timm", "click"}),
        ("import zoo; zoo.create('simple+dropout')", {"timm", "torchvision", "click"}),
    ],
)
def test_light_things_stay_light(code: str, unwanted: set[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN.format(code=code)], capture_output=True, text=True, timeout=120, cwd=ROOT / "tests"
    )
    assert done.returncode == 0, done.stderr
    assert not unwanted & set(json.loads(done.stderr))


# -- the wheel and the editable install -------------------------------------------------------------------------------


def built(tmp: Path, kind: str) -> zipfile.ZipFile:
    """The project's wheel, built from a copy, since setuptools leaves files beside what it builds."""
    source, out = tmp / "source", tmp / kind
    litter = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", "dist", ".*")
    shutil.copytree(ROOT, source, ignore=litter)
    out.mkdir()
    code = f"from setuptools import build_meta; build_meta.build_{kind}({str(out)!r})"
    done = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(next(out.glob("*.whl")))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    with built(tmp_path_factory.mktemp("wheel"), "wheel") as file:
        yield file


def test_the_wheel_holds_exactly_three_packages(wheel: zipfile.ZipFile) -> None:
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == PACKAGES
    assert len(tops) == len(PACKAGES) + 1


def test_the_wheel_holds_every_source_file(wheel: zipfile.ZipFile) -> None:
    here = {
        p.relative_to(ROOT).as_posix() for p in ENGINE.rglob("*") if p.suffix in (".py", ".lark", ".typed", ".tmpl")
    }
    own = [p for package in PACKAGES for p in (ROOT / "plugins" / package).rglob("*.py")]
    here |= {p.relative_to(ROOT / "plugins").as_posix() for p in own}
    assert {
        "zoo/py.typed",
        "zoo/spec/grammar.lark",
        "zoo/cli/templates/pyproject.toml.tmpl",
        "zoo_modifiers/act.py",
    } <= here
    assert {name for name in wheel.namelist() if ".dist-info/" not in name} >= here


def test_the_wheel_registers_the_command_and_the_plugins(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    points = configparser.ConfigParser(delimiters=("=",))
    points.read_string(wheel.read(next(n for n in names if n.endswith("entry_points.txt"))).decode())
    assert dict(points["console_scripts"]) == {"zoo": "zoo.cli.main:main"}
    wanted = {"archs": "zoo_archs", "modifiers": "zoo_modifiers", "timm": "zoo_archs.timm_models"}
    assert dict(points["zoo"]).items() >= wanted.items()
    for module in points["zoo"].values():
        path = module.replace(".", "/")
        assert {f"{path}.py", f"{path}/__init__.py"} & set(names), f"{module} isn't in the wheel"


def test_the_wheel_states_its_licence_and_its_needs(wheel: zipfile.ZipFile) -> None:
    metadata = wheel.read(next(n for n in wheel.namelist() if n.endswith("METADATA"))).decode()
    head = metadata.partition("\n\n")[0].split("\n")
    needs = [line.split(": ")[1] for line in head if line[:14] == "Requires-Dist:" and "extra" not in line]
    assert set(map(Requirement, needs)) == set(map(Requirement, PROJECT["dependencies"]))
    assert "License-Expression: Apache-2.0" in head
    assert "Requires-Python: >=3.11" in head
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())


def test_an_editable_install_exposes_the_same_packages(tmp_path: Path) -> None:
    site = tmp_path / "site"
    with built(tmp_path, "editable") as file:
        file.extractall(site)
    names = [*sorted(PACKAGES), "plugins", "tests", "benchmarks", "conftest"]
    code = f"""
import importlib.util, site
site.addsitedir({str(site)!r})
print([name for name in {names!r} if importlib.util.find_spec(name)])
"""
    # -I and -S: nothing but the standard library and what was just installed.
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert ast.literal_eval(done.stdout) == sorted(PACKAGES)
