"""`num_classes`, against what timm and torchvision build."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

import zoo
from tests.modifiers.refusals import NOTHING, OPTION, assert_refused


@pytest.mark.parametrize("n", [0, 7])
@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224", "convnext_atto", "mobilenetv3_small_050"])
def test_num_classes_is_what_timm_builds(name: str, n: int) -> None:
    import timm

    base = zoo.create(name)
    model, theirs = zoo.modify(base, f"num_classes({n})", copy=True), timm.create_model(name, num_classes=n)
    assert not zoo.diff(theirs, model)
    assert {k: v.shape for k, v in model.state_dict().items()} == {k: v.shape for k, v in theirs.state_dict().items()}
    old = base.state_dict()
    assert all(torch.equal(v, old[k]) for k, v in model.state_dict().items() if k in old and v.shape == old[k].shape)
    assert model.num_classes == n


@pytest.mark.parametrize("name", ["mlp", "convnet", "torchvision/googlenet", "torchvision/squeezenet1_1"])
def test_num_classes_is_what_the_option_of_the_arch_builds(name: str) -> None:
    model, theirs = (zoo.create(spec, device="meta") for spec in (f"{name}+num_classes(7)", f"{name}(num_classes=7)"))
    assert not zoo.diff(theirs, model)
    assert list(model.state_dict()) == list(theirs.state_dict())


def test_a_classifier_keeps_what_was_put_around_it() -> None:
    model = zoo.create("vit_tiny_patch16_224(depth=1)").bfloat16()
    zoo.insert_before(model, "head", nn.Dropout(0.3))
    calls: list[int] = []
    model.head.register_forward_hook(lambda *_: calls.append(1))
    zoo.modify(model, "num_classes(5)")
    assert model.head.weight.dtype == torch.bfloat16
    assert model(torch.randn(1, 3, 224, 224).bfloat16()).shape == (1, 5)
    assert calls == [1]
    assert [type(m) for m in model.head.zoo_before] == [nn.Dropout]
    assert {change.what for change in zoo.changes(zoo.create("mlp+num_classes(10)"))} == {"already"}


CUT = ["mlp", "simple", "convnet", "torchvision/squeezenet1_1", "test_resnet", "levit_128s"]


@pytest.mark.parametrize("name", CUT)
def test_a_classifier_that_was_cut_off_can_come_back(name: str) -> None:
    model = zoo.create(f"{name}+num_classes(0)+num_classes(0)", device="meta")
    assert {change.what for change in zoo.changes(model) if change.part == "num_classes(n=0)"} > {"already"}
    old = zoo.create(name, device="meta")
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        ours, theirs = zoo.modify(other, "heads(a=3)", copy=True), zoo.modify(old, "heads(a=3)", copy=True)
        shapes = [{k: v.shape for k, v in net.state_dict().items() if ".a." in k} for net in (ours, theirs)]
        assert list(shapes[0].values()) == list(shapes[1].values())
        assert not zoo.diff(zoo.modify(other, "num_classes(3)"), zoo.modify(old, "num_classes(3)", copy=True))
    assert not zoo.verify(model)


def test_heads_on_a_saved_model_without_a_classifier(tmp_path: Path) -> None:
    zoo.save(zoo.create("convnet(4, 2)+num_classes(0)"), tmp_path / "m.safetensors")
    model = zoo.modify(zoo.load(tmp_path / "m.safetensors"), "heads(a=3)")
    assert model(torch.randn(2, 3, 8, 8))["a"].shape == (2, 3)
    assert not zoo.verify(model)


NUM_CLASSES_REFUSALS = [
    ("simple+heads(a=1)+num_classes(3, at=layers1)", NOTHING, "this model has its heads at layers3.1; "),
    ("chain(3, 4)+num_classes(3)", NOTHING, "this Chain names no classifier; say where, as in "),
    ("simple+num_classes(3, at=layers1.1)", NOTHING, "num_classes needs a linear layer or a "),
    ("simple+num_classes(-1)", OPTION, "num_classes: n is -1 (int); expected greater than or equal to 0; "),
]


@pytest.mark.parametrize(
    ("spec", "kind", "text"), NUM_CLASSES_REFUSALS, ids=[spec for spec, _, _ in NUM_CLASSES_REFUSALS]
)
def test_refusals(spec: str, kind: type[zoo.ZooError], text: str) -> None:
    assert_refused(spec, kind, text)
