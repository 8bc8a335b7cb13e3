"""Where a file goes: folders in Hugging Face's layout, symlinks, modes, names that point outside."""

from __future__ import annotations

import json
import os
import stat
import types
from pathlib import Path

import pytest
import timm
import torch

import zoo
from tests.nets import run

KEEP = "keep the weights alone: safetensors.torch.save_model(model, path)"


def test_a_folder_is_in_hugging_faces_layout_and_timm_reads_it(tmp_path: Path) -> None:
    model = zoo.create("test_resnet(num_classes=5, in_chans=1)").eval()
    zoo.save(model, f"{tmp_path}/new/folder/")
    folder = tmp_path / "new" / "folder"
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "model.safetensors"]
    x = torch.randn(1, 1, 64, 64)
    assert torch.equal(run(zoo.load(folder), x), run(model, x))
    assert torch.equal(run(timm.create_model(f"local-dir:{folder}", pretrained=True), x), run(model, x))
    zoo.save(zoo.create("simple+act(silu)"), folder)
    config = json.loads((folder / "config.json").read_text())
    assert config == {"architectures": ["Simple"], "spec": "simple+act(name=silu)"}


def test_the_umasks_mode_and_symlinks(tmp_path: Path) -> None:
    real, link = tmp_path / "real.safetensors", tmp_path / "link.safetensors"
    link.symlink_to(real)
    old = os.umask(0o027)
    try:
        zoo.save(zoo.create("simple"), link)
    finally:
        os.umask(old)
    assert link.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert sorted(os.listdir(tmp_path)) == ["link.safetensors", "real.safetensors"]


def test_a_place_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "no" / "model.safetensors"
    with pytest.raises(zoo.CheckpointError) as raised:
        zoo.save(zoo.create("simple"), path)
    assert str(raised.value) == f"can't write '{path}': No such file or directory"


def test_a_name_that_points_outside_is_not_needed_any_more(tmp_path: Path, path: Path) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    config = {
        "architecture": "test_resnet",
        "num_classes": 7,
        "model_args": {"in_chans": 1, "drop_rate": 0.1},
        "pretrained_cfg": {"input_size": [1, 64, 64], "first_conv": "conv1", "classifier": "fc"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    model = zoo.create(f'local-dir:"{folder}"+act(silu)').eval()
    zoo.save(model, path)
    (folder / "config.json").unlink()
    loaded = zoo.load(path)
    x = torch.randn(1, 1, 64, 64)
    assert torch.equal(run(loaded, x), run(model, x))
    assert zoo.spec_of(loaded) == zoo.spec_of(model)
    assert (loaded.num_classes, loaded.drop_rate) == (7, 0.1)
    assert zoo.load(path, drop_rate=0.3).drop_rate == 0.3
    for live in (model, loaded):
        assert not zoo.verify(live), "what the name points to isn't opened again"
        assert str(zoo.spec_of(zoo.modify(live, "dropout(0.2)"))).endswith("+act(name=silu)+dropout(p=0.2)")
        assert sum(change.flops for change in zoo.changes(zoo.modify(live, "append(tail=Linear(7, 2))"))) == 28
        assert zoo.summary(live).modules["fc"].parameters == 96 * 7 + 7


def test_a_prefix_without_a_recipe_can_not_be_saved(path: Path) -> None:
    from zoo_archs import simple

    @zoo.family("mine", names=lambda: [], prefixes=["mine"])
    def mine(name: str, source: str | None) -> zoo.Arch | None:
        """Whatever the source says."""
        return simple if source else None

    plugin = types.ModuleType("plugin")
    plugin.zoo_families = zoo.hookimpl(specname="zoo_families")(lambda: [mine])  # type: ignore[attr-defined]
    registry = zoo.Registry.of(plugin)
    with pytest.raises(zoo.CheckpointError) as raised:
        zoo.save(zoo.create("mine:this", registry=registry), path, registry=registry)
    assert str(raised.value) == (
        "'mine:this' points outside of the file, and plugzoo gives no recipe to build it without that; " + KEEP
    )


def test_a_folder_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(zoo.CheckpointError) as caught:
        zoo.save(zoo.create("simple"), f"{tmp_path}/file/folder/")
    assert str(caught.value) == f"can't make the folder '{tmp_path}/file/folder/': Not a directory"
