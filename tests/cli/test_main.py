"""The command: what it prints, as text and as JSON, and its exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import zoo
from tests.conftest import zoo_command
from zoo.cli.listings import KINDS
from zoo.messages.text import printable

# What a hostile or clumsy plugin may say: a terminal escape, bell, carriage return, bidirectional override, markup.
NASTY = "\x1b[31mred\x07\r [bold]cls[/bold] \u202ehello"
PLUGIN = f"raise RuntimeError({NASTY!r})"


def good(*args: str) -> str:
    result = zoo_command(*args)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return result.stdout


def data(*args: str) -> Any:
    return json.loads(good(*args, "--json"))


def shell(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """The command as it is installed, in a process of its own."""
    command = [sys.executable, "-c", "from zoo.cli.main import main; main()", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ | env)


@pytest.fixture
def nasty(tmp_path: Path) -> dict[str, str]:
    """The environment in which a plugin fails with control characters and markup in its reason."""
    info = tmp_path / "nasty-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: nasty\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[zoo]\nnasty = nasty_module\n")
    (tmp_path / "nasty_module.py").write_text(PLUGIN)
    return {"PYTHONPATH": str(tmp_path), "COLUMNS": "200"}


# -- zoo list ---------------------------------------------------------------------------------------------------------


def test_list_archs_is_one_name_a_line() -> None:
    assert good("list", "archs").split() == zoo.list_archs()


@pytest.mark.parametrize(
    ("glob", "wanted"),
    [
        ("resnet18*", ["resnet18", "resnet18d"]),
        ("simple", ["simple"]),
        ("RESNET18", []),
        ("[sm]?mple", ["simple"]),
        ("no such*", []),
    ],
)
def test_a_glob_narrows_a_list(glob: str, wanted: list[str]) -> None:
    assert good("list", "archs", glob).split() == wanted
    assert [row["name"] for row in data("list", "archs", glob)] == wanted


@pytest.mark.parametrize("kind", KINDS)
def test_a_list_as_json_is_one_array_of_objects_with_names(kind: str) -> None:
    rows = data("list", kind)
    assert isinstance(rows, list)
    assert all(isinstance(row, dict) and isinstance(row["name"], str) for row in rows)


def test_all_kinds_at_once_are_one_array_too() -> None:
    rows = data("list")
    assert {row["kind"] for row in rows} == {"archs", "modifiers", "plugins"}
    assert [row["name"] for row in rows if row["kind"] == "modifiers"] == zoo.list_modifiers()
    assert len(rows) == sum(len(data("list", kind)) for kind in KINDS)


def test_list_modifiers_shows_names_options_and_what_they_do() -> None:
    result = zoo_command("list", "modifiers", columns=400)
    for name in zoo.list_modifiers():
        described = zoo.describe(name)
        assert f"{name} " in result.stdout
        assert described.signature in result.stdout
        assert described.doc.split("\n")[0] in result.stdout


def test_list_alone_is_an_overview() -> None:
    shown = good("list")
    assert shown.startswith(f"{len(zoo.list_archs())} archs, such as ")
    assert "dropout" in shown
    assert "plugzoo" in shown


def test_an_empty_list_says_so() -> None:
    assert good("list", "variants", "no-such-variant") == "none\n"
    assert data("list", "variants", "no-such-variant") == []
    assert good("list", "archs", "no-such-arch*") == ""


def test_a_narrow_terminal_loses_nothing() -> None:
    result = zoo_command("list", "modifiers", columns=40)
    squeezed = "".join(result.stdout.split())
    assert result.exit_code == 0
    for name in zoo.list_modifiers():
        assert name in squeezed


def test_in_a_pipe_a_row_is_a_line() -> None:
    env = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    for args in (["plugins"], ["list", "modifiers"], ["list"]):
        shown = subprocess.run(
            [sys.executable, "-c", "from zoo.cli.main import main; main()", *args],
            capture_output=True, text=True, timeout=120, env=env,
        ).stdout.split("\n")  # fmt: skip
        wanted = "zoo_archs.torchvision_models" if args == ["plugins"] else zoo.describe("dropout").doc.split("\n")[0]
        assert [line for line in shown if wanted in line], args


# -- zoo show ---------------------------------------------------------------------------------------------------------


def test_show_prints_model_spec_parameters_sites_and_changes() -> None:
    shown = good("show", "simple+dropout(0.2)")
    assert shown.startswith("Simple(\n  (layers1): Sequential(")
    assert shown.split("\n\n")[-1] == (
        "spec        simple+dropout(p=0.2)\n"
        "parameters  17,452\n"
        "sites       stem: layers1.0, head: layers3\n"
        "changes\n"
        "└── dropout(p=0.2)\n"
        "    └── layers3.0: inserted before Dropout(p=0.2, inplace=False)\n"
    )


def test_show_as_json() -> None:
    shown = data("show", "mlp(64, hidden=[32])+act(silu)")
    assert shown["name"] == "mlp(in_features=64, hidden=(32,))+act(name=silu)"
    assert shown["parameters"] == 64 * 32 + 32 + 32 * 10 + 10
    assert shown["class"] == "MLP"
    assert shown["sites"] == {"stem": ["layers.0"], "head": ["layers.2"]}
    (change,) = shown["changes"]
    assert (change["path"], change["what"], change["before"]) == ("layers.1", "replaced", "ReLU()")
    assert "SiLU" in shown["model"]


def test_show_of_a_bare_arch_says_that_nothing_changed() -> None:
    assert good("show", "simple").rstrip().endswith("changes\n└── none")


# -- zoo plugins ------------------------------------------------------------------------------------------------------


def test_plugins_are_listed() -> None:
    rows = data("plugins")
    own = [row for row in rows if row["owner"] == "zoo"]
    assert {"archs", "modifiers", "timm"} <= {row["name"] for row in own}
    assert {(row["distribution"], row["status"], row["reason"]) for row in own} == {("plugzoo", "ok", "")}
    shown = good("plugins")
    for row in rows:
        assert row["name"] in shown
        assert row["module"] in shown


def test_what_steers_a_terminal_is_shown_and_not_sent(nasty: dict[str, str]) -> None:
    done = shell("plugins", **nasty)
    assert done.returncode == 0
    assert "\\x1b[31mred\\x07\\x0d [bold]cls[/bold] \\x202ehello" in done.stdout
    for char in "\x1b\x07\r\u202e":
        assert char not in done.stdout


def test_the_same_in_an_error_message(nasty: dict[str, str]) -> None:
    done = shell("show", "no-such-arch", **nasty)
    assert done.returncode == 1
    assert "plugin 'nasty' of nasty failed: RuntimeError: \\x1b[31mred" in done.stderr
    assert "\x1b" not in done.stderr


def test_verbose_adds_the_traceback(nasty: dict[str, str]) -> None:
    assert "Traceback" not in shell("plugins", **nasty).stdout
    shown = shell("plugins", "-v", **nasty).stdout
    assert "Traceback (most recent call last)" in shown
    assert "nasty_module.py" in shown
    assert "\x1b" not in shown


def test_json_carries_the_reason_as_it_is(nasty: dict[str, str]) -> None:
    done = shell("plugins", "--json", **nasty)
    row = next(row for row in json.loads(done.stdout) if row["name"] == "nasty")
    assert (row["status"], row["reason"]) == ("failed", f"RuntimeError: {NASTY}")


def test_a_disabled_plugin_is_shown_as_such(nasty: dict[str, str]) -> None:
    done = shell("plugins", "--json", ZOO_DISABLE_PLUGINS="*", **nasty)
    row = next(row for row in json.loads(done.stdout) if row["name"] == "nasty")
    assert (row["status"], row["reason"]) == ("disabled", "by ZOO_DISABLE_PLUGINS")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ä 模型 [cls]", "plain ä 模型 [cls]"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("\u2066\x7f\x00", "\\x2066\\x7f\\x00"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


# -- exit status ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("simple++dropout", "zoo: column 8: unexpected '+'; expected a name\n  simple++dropout\n         ^\n"),
        (
            "simple+dropot",
            "zoo: no modifier 'dropot'; did you mean 'dropout'?\n  in part 1, 'dropot', of 'simple+dropot'\n",
        ),
        ("", "zoo: the spec is empty; expected the name of an arch, such as 'resnet18'\n"),
        ("?Net", "zoo: '?Net' stands for a model that the zoo didn't make, so it can't be built\n"),
        ("no[such]arch", "zoo: column 3: unexpected '['; expected "),
    ],
)
def test_an_error_of_the_zoo_is_status_1_and_a_few_lines(spec: str, message: str) -> None:
    result = zoo_command("show", spec)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith(message)
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "args", [("frob",), ("list", "frobs"), ("show",), ("list", "archs", "a", "b"), ("list", "--yaml")]
)
def test_wrong_usage_is_status_2(args: tuple[str, ...]) -> None:
    result = zoo_command(*args)
    assert result.exit_code == 2
    assert "Usage: " in result.stderr


@pytest.mark.parametrize("args", [("--help",), ("-h",), ("--version",), ("list", "--help"), ("show", "-h")])
def test_help_is_status_0(args: tuple[str, ...]) -> None:
    assert good(*args)


def test_in_a_process_of_its_own() -> None:
    assert shell("list").returncode == 0
    failed = shell("show", "simple+dropot")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "Traceback" not in failed.stderr
    assert shell("frob").returncode == 2


def test_the_version_is_the_packages() -> None:
    from importlib.metadata import version

    assert good("--version") == f"zoo, version {version('plugzoo')}\n"
