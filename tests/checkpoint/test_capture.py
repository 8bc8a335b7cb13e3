"""What can't be saved, and how it's told that a model isn't what its spec says."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn

import zoo
from tests.nets import back


def edited(change: Any) -> nn.Module:
    model = zoo.create("simple")
    change(model)
    return model


class Stateful(nn.Identity):
    def get_extra_state(self) -> Any:
        return {"a": 1}

    def set_extra_state(self, state: Any) -> None:
        pass


def overlapping(model: Any) -> None:
    memory = torch.zeros(150)
    model.layers1[0].bias = nn.Parameter(memory[:100])
    model.layers2[0].bias = nn.Parameter(memory[80:])


KEEP = "keep the weights alone: safetensors.torch.save_model(model, path)"


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: zoo.create("test_resnet", norm_layer=partial(nn.BatchNorm2d, eps=0.1)),
            "this ResNet can't be built again from its spec, 'test_resnet': norm_layer=functools.partial",
        ),
        (
            lambda: nn.Linear(2, 2),
            "this Linear wasn't made by zoo.create, so no file can say how it's built again; make its class an arch "
            f"(@zoo.arch()), or {KEEP}",
        ),
        (
            lambda: zoo.modify(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), "act(silu)"),
            "this Sequential wasn't made by zoo.create, so no file can say how it's built again",
        ),
        (
            lambda: zoo.create("simple", device="meta"),
            "can't save: 'layers1.0.weight' is on the meta device and has no",
        ),
        (
            lambda: edited(lambda m: setattr(m.layers1[0], "weight", nn.Parameter(torch.eye(100).to_sparse()))),
            "can't save: 'layers1.0.weight' is a Parameter of layout torch.sparse_coo; a file holds plain dense",
        ),
        (
            lambda: edited(lambda m: m.register_buffer("c", torch.zeros(2, dtype=torch.complex128))),
            "can't save: 'c' is of torch.complex128, which safetensors doesn't have",
        ),
        (
            lambda: edited(lambda m: m.register_buffer("__metadata__", torch.zeros(2))),
            "can't save: '__metadata__' has a name that files keep for themselves",
        ),
        (
            lambda: edited(lambda m: setattr(m, "extra", Stateful())),
            "'extra' (Stateful) has state that isn't tensors, which no file holds",
        ),
        (
            lambda: edited(overlapping),
            "can't save: 'layers1.0.bias' and 'layers2.0.bias' share a part of their memory; clone one of them, or "
            "make them the same tensor",
        ),
    ],
)
def test_what_can_not_be_saved(make: Any, text: str, path: Path) -> None:
    with pytest.raises(zoo.CheckpointError) as raised:
        zoo.save(make(), path)
    assert str(raised.value).startswith(text)
    assert not path.exists()


def test_a_model_that_was_edited_by_hand_is_told_from_its_spec(path: Path) -> None:
    model = zoo.create("simple")
    model.layers3[1] = nn.Linear(70, 5)
    model.more = nn.Linear(5, 1)
    for edited in (model, zoo.modify(model, "act(silu)")):
        with pytest.raises(zoo.CheckpointError) as raised:
            zoo.save(edited, path)
        assert str(raised.value) == (
            f"can't save: the weights aren't those of '{zoo.spec_of(edited)}', 4 differences:\n"
            "  layers3.1.weight: float32[2, 70] by the spec, float32[5, 70] in the model\n"
            "  layers3.1.bias: float32[2] by the spec, float32[5] in the model\n"
            "  more.weight: nothing by the spec, float32[1, 5] in the model\n"
            "  more.bias: nothing by the spec, float32[1] in the model\n"
            "say the edit in the spec, as zoo.modify(model, 'replace(...)') does, or " + KEEP
        )
    del model.more
    model.layers3[1] = nn.Linear(70, 2)
    assert torch.equal(back(model, path).layers3[1].weight, model.layers3[1].weight)


def gelu(model: Any) -> None:
    model.act1 = nn.GELU()


class ReLU(nn.ReLU):
    """Another one of the name."""


@pytest.mark.parametrize(
    ("spec", "change", "text"),
    [
        ("resnet10t", gelu, "  act1: ReLU by the spec, GELU in the model\n"),
        ("convnet", lambda m: setattr(m, "pool", ReLU()), "  pool: AdaptiveAvgPool2d by the spec, ReLU in the model\n"),
        (
            "convnet",
            lambda m: setattr(m.blocks[0], "act", ReLU()),
            f"  blocks.0.act: torch.nn.modules.activation.ReLU by the spec, {__name__}.ReLU in the model\n",
        ),
        ("convnet", lambda m: setattr(m, "loss", nn.MSELoss()), "  loss: nothing by the spec, MSELoss in the model\n"),
        ("convnet", lambda m: delattr(m.blocks[1], "act"), "  blocks.1.act: ReLU by the spec, nothing in the model\n"),
        (
            "convnet",
            lambda m: zoo.insert_before(m, "blocks.0.conv", nn.Dropout(0.1)),
            "  blocks.0.conv: Conv2d by the spec, Conv2d under Before in the model\n",
        ),
        (
            "convnet+freeze(blocks.0.norm)",
            nn.SyncBatchNorm.convert_sync_batchnorm,
            "  blocks.0.norm: BatchNorm2d under Held by the spec, SyncBatchNorm in the model\n",
        ),
        (
            "mobilenetv3_small_050",
            lambda m: setattr(m, "bn1", nn.SyncBatchNorm.convert_sync_batchnorm(m.bn1)),
            "  bn1: BatchNormAct2d by the spec, SyncBatchNorm in the model\n",
        ),
    ],
)
def test_an_edit_by_hand_without_weights_is_told_too(spec: str, change: Any, text: str, path: Path) -> None:
    model = zoo.create(spec)
    change(model)
    with pytest.raises(zoo.CheckpointError) as raised:
        zoo.save(model, path)
    assert str(raised.value).startswith(f"can't save: the modules aren't those of '{zoo.spec_of(model)}', ")
    assert text in str(raised.value)
    assert str(raised.value).endswith("say the edit in the spec, as zoo.modify(model, 'replace(...)') does, or " + KEEP)
    assert not path.exists()


@pytest.mark.parametrize(
    ("spec", "change"),
    [
        ("convnet+dropout(0.1)", nn.SyncBatchNorm.convert_sync_batchnorm),
        ("mobilenetv3_small_050", timm.layers.convert_sync_batchnorm),
        ("convnet", lambda model: nn.DataParallel(model)),
        ("convnet", lambda model: torch.compile(model)),
        ("convnet", lambda model: model.blocks[0].compile() or model),
        ("convnet", lambda model: copy.deepcopy(model).to(torch.bfloat16).requires_grad_(False)),
    ],
)
def test_what_training_makes_of_a_model_is_no_edit(spec: str, change: Any, path: Path) -> None:
    model = zoo.create(spec).eval()
    wanted = {name: value.clone() for name, value in model.state_dict().items()}
    loaded = back(change(model), path)
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, wanted[name].to(value.dtype))
    assert {type(m) for m in loaded.modules()} == {type(m) for m in zoo.create(spec).modules()}


def test_only_a_model_that_someone_else_edited_is_built_again_to_be_saved(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = zoo.modify(zoo.create("convnet+act(silu)"), "dropout(0.2)+append(head, PReLU(10))")
    monkeypatch.setattr("zoo.checkpoint.load.rebuild", None)
    zoo.save(model, path)


def test_a_step_is_an_integer(path: Path) -> None:
    with pytest.raises(zoo.OptionError) as raised:
        zoo.save(zoo.create("simple"), path, step=True)
    assert str(raised.value) == "step=True (bool); expected an int"
