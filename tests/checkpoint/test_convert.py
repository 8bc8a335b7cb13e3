"""`zoo convert`: what others saved becomes a file of the zoo, and none of it is run."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

import zoo
from tests.conftest import zoo_command
from tests.nets import run


def command(*args: Any) -> tuple[int, str]:
    result = zoo_command(*args, columns=100)
    return result.exit_code, result.output


def test_convert_makes_a_file_of_the_zoo(tmp_path: Path, path: Path) -> None:
    model = timm.create_model("test_resnet", num_classes=3).eval()
    old = tmp_path / "old.pt"
    torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in model.state_dict().items()}}, old)
    assert command("show", old) == (
        1,
        f"zoo: '{old}': this is a zip archive, as torch.save writes them, with a pickle inside, which can run code "
        f"when it's read, so the zoo doesn't; convert it once: zoo convert {old} {tmp_path}/old.safetensors SPEC\n",
    )
    spec = "test_resnet(num_classes=3)"
    assert command("convert", old, path, spec) == (0, f"{path}: {spec}\n")
    x = torch.randn(1, 3, 64, 64)
    assert torch.equal(run(zoo.load(path), x), run(model, x))
    save_file({k.replace("fc.", "top."): v for k, v in model.state_dict().items()}, tmp_path / "plain.safetensors")
    assert command("convert", tmp_path / "plain.safetensors", path, spec, "--map", "top=fc")[0] == 0
    assert torch.equal(run(zoo.load(path), x), run(model, x))
    code, output = command("convert", old, path, "test_resnet")
    assert code == 1
    assert "of another shape or kind: fc.weight (wants float32[1000, " in output


@pytest.mark.parametrize(
    ("keys", "taken"),
    [
        (["state_dict"], ""),
        (["state_dict", "state_dict_ema"], "state_dict_ema"),
        (["model", "model_ema"], "model_ema"),
        (["model_ema", "state_dict_ema"], "state_dict_ema"),
        (["model", "state_dict"], "state_dict"),
    ],
)
def test_convert_takes_the_weights_that_timm_takes(keys: list[str], taken: str, tmp_path: Path, path: Path) -> None:
    models = {key: timm.create_model("test_resnet", num_classes=3) for key in keys}
    old = tmp_path / "old.pt"
    held = {key: model.state_dict() for key, model in models.items()}
    torch.save({**held, "args": argparse.Namespace(lr=0.1, mean=(0.5,)), "epoch": 3}, old)
    spec = "test_resnet(num_classes=3)"
    behind = f", of '{taken}'" if taken else ""
    assert command("convert", old, path, spec) == (0, f"{path}: {spec}{behind}\n")
    timms = timm.models.load_state_dict(old, weights_only=False)
    assert all(torch.equal(value, timms[name]) for name, value in zoo.load(path).state_dict().items())


def test_convert_tells_how_to_read_lightnings_names(tmp_path: Path, path: Path) -> None:
    old = tmp_path / "old.ckpt"
    model = zoo.create("simple")
    torch.save({"state_dict": {f"model.{name}": value for name, value in model.state_dict().items()}}, old)
    code, output = command("convert", old, path, "simple")
    assert code == 1
    assert output.endswith("\nevery name starts with 'model.', as in Lightning's: --map model=\n")
    assert command("convert", old, path, "simple", "--map", "model=") == (0, f"{path}: simple\n")
    assert torch.equal(zoo.load(path).layers1[0].weight, model.layers1[0].weight)


def test_convert_runs_nothing(tmp_path: Path, path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "boom"),)

    torch.save({"state_dict": Bomb()}, tmp_path / "old.pt")
    code, output = command("convert", tmp_path / "old.pt", path, "simple")
    assert code == 1
    assert output.removeprefix(f"zoo: '{tmp_path}/old.pt'") == (
        " can't be read without running what's in it: it holds 'posix.mkdir'; where it was made, "
        "torch.save(model.state_dict(), path) writes one that can\n"
    )
    (tmp_path / "cut.pt").write_bytes((tmp_path / "old.pt").read_bytes()[:100])
    output = command("convert", tmp_path / "cut.pt", path, "simple")[1]
    assert output == f"zoo: '{tmp_path}/cut.pt' isn't a file of torch.save with weights alone, or is damaged\n"
    assert not (tmp_path / "boom").exists()
    torch.save([1], tmp_path / "list.pt")
    assert "holds a list; expected a state dict" in command("convert", tmp_path / "list.pt", path, "simple")[1]
    torch.save({"a": 1}, tmp_path / "int.pt")
    assert "'a' is no tensor; expected a state dict" in command("convert", tmp_path / "int.pt", path, "simple")[1]
    assert command("convert", "a", "b", "simple", "--map", "x")[0] == 2
