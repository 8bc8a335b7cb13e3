"""The commands that take files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import zoo
from tests.conftest import zoo_command


def command(*args: Any) -> tuple[int, str]:
    result = zoo_command(*args, columns=100)
    return result.exit_code, result.output


def test_verify_and_diff_take_files(path: Path) -> None:
    model = zoo.create("simple+act(silu)")
    zoo.save(model, path)
    assert command("verify", path) == (0, f"simple+act(name=silu) and {path}: no difference\n")
    assert not zoo.verify(path)
    assert not zoo.diff(path, model)
    assert command("diff", path, "simple") == (
        0,
        f"{path} → simple: 2 differences, 17,452 parameters, 34,280 FLOPs\n"
        "└── layers1.1 … layers2.1: 2 × SiLU() → ReLU()\n",
    )
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    save_file(load_file(path) | {"layers1.0.bias": torch.zeros(3)}, path, metadata)
    code, output = command("verify", path)
    assert code == 1
    assert output.endswith("\n  layers1.0.bias: weight float32[100] → float32[3]\n")
    assert json.loads(command("verify", path, "--json")[1])[0]["name"] == "layers1.0.bias"


def test_show_sums_up_a_file(path: Path) -> None:
    zoo.save(zoo.create("simple+dropout(0.2)"), path)
    assert command("show", path, "--summary", "--depth", "1") == command(
        "show", "simple+dropout(0.2)", "--summary", "--depth", "1"
    )
    summed = json.loads(json.dumps(zoo.summary(zoo.load(path)).to_dict()))
    assert json.loads(command("show", path, "--summary", "--json")[1]) == summed
    code, output = command("show", path, "--depth", "2")
    assert code == 2
    assert "--depth goes with --summary" in output
    save_file({"a": torch.zeros(1)}, path)
    assert "has no manifest" in command("show", path, "--summary")[1]


def test_show_says_what_a_file_holds_even_without_its_plugins(path: Path) -> None:
    zoo.save(zoo.create("simple+dropout(0.2)"), path, step=3)
    code, output = command("show", path)
    assert code == 0
    assert "spec        simple+dropout(p=0.2)\n" in output
    assert (
        "tensors     11, 17,593 numbers, F32, I64\nchanges\n  dropout(p=0.2)\n    layers3.0: inserted before" in output
    )
    data = json.loads(command("show", path, "--json")[1])
    assert (data["spec"], data["step"], data["numbers"]) == ("simple+dropout(p=0.2)", 3, 17593)
