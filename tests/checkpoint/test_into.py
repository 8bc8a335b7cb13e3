"""Weights out of a file into another model, by `zoo.load(into=)`, `weights=` and `zoo.carry`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

import zoo
from tests.nets import run


def test_weights_go_into_a_live_model(path: Path) -> None:
    base = zoo.create("simple")
    zoo.save(base, path)
    variant = zoo.create("simple+act(silu)+dropout(0.1)")
    weight = variant.layers1[0].weight
    assert zoo.load(path, into=variant) is variant
    assert variant.layers1[0].weight is weight
    assert torch.equal(weight, base.layers1[0].weight)
    assert str(zoo.spec_of(variant)) == "simple+act(name=silu)+dropout(p=0.1)"
    half = zoo.create("simple", dtype=torch.bfloat16)
    zoo.load(path, into=half, mmap=False)
    assert torch.equal(half.layers1[0].weight, base.layers1[0].weight.bfloat16())


def test_into_leaves_the_model_untouched_on_any_error(path: Path) -> None:
    model = zoo.create("simple")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    zoo.save(zoo.create("simple+heads(a=3)"), path)
    text = r"9 weights matched\n  2 missing from the source: layers3.1.weight, layers3.1.bias\n  2 unexpected"
    with pytest.raises(zoo.CheckpointError, match=text):
        zoo.load(path, into=model)
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    with pytest.raises(zoo.CheckpointError, match="100 bytes are missing at the end"):
        zoo.load(path, into=model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="9 weights matched"):
        zoo.load(path, into=model, strict=False)
    assert not torch.equal(model.layers1[0].weight, before["layers1.0.weight"])
    with torch.inference_mode():
        stiff = zoo.create("simple+heads(a=3)")
    with pytest.raises(zoo.CheckpointError, match="was made in inference mode"):
        zoo.load(path, into=stiff)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"into": "model", "dtype": torch.half}, "into= takes the weights alone; dtype= would change the model"),
        ({"into": "model", "dropout.p": 0.1}, "into= takes the weights alone; dropout.p= would change the model"),
        ({"strict": False}, "map= and strict= say how weights get into another model"),
        ({"optimizer": "x"}, "an optimizer holds the parameters of a model that is there"),
    ],
)
def test_options_that_do_not_go_together(options: dict[str, Any], text: str, path: Path) -> None:
    model = zoo.create("simple")
    zoo.save(model, path)
    if "into" in options:
        options = {**options, "into": model}
    with pytest.raises(zoo.OptionError) as raised:
        zoo.load(path, **options)
    assert str(raised.value).startswith(text)


def test_renamed_parts_find_their_place(path: Path) -> None:
    backbone = timm.create_model("test_resnet")
    wrapped = {f"module.backbone.{name}": value for name, value in backbone.state_dict().items()}
    wrapped["module.classifier.weight"] = wrapped.pop("module.backbone.fc.weight")
    wrapped["module.classifier.bias"] = wrapped.pop("module.backbone.fc.bias")
    save_file(wrapped, path)
    names = {"module.backbone": "", "module.classifier": "fc"}
    x = torch.randn(1, 3, 64, 64)
    made = zoo.create("test_resnet+dropout(0.1)", weights=path, map=names)
    assert torch.equal(run(made, x), run(backbone, x))
    into = zoo.load(path, into=zoo.create("test_resnet"), map=names)
    assert torch.equal(run(into, x), run(backbone, x))
    report = zoo.carry(zoo.create("test_resnet"), wrapped, map=names)
    assert report.exact


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ({"fc": "head"}, "map: the source has nothing called 'fc'"),
        ({"layers1": "layers2"}, "map: both 'layers1.0.weight' and 'layers2.0.weight' would become 'layers2.0.weight'"),
    ],
)
def test_a_map_that_makes_no_sense(names: dict[str, str], text: str) -> None:
    model = zoo.create("simple")
    with pytest.raises(zoo.OptionError) as raised:
        zoo.carry(model, model.state_dict(), map=names)
    assert str(raised.value) == text
