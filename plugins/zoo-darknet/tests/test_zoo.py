"""The networks as the zoo's: names, sites, modifiers, and what works wherever PyTorch does."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from conftest import CLASSIFIER, SMALL
from torch import nn

import zoo
import zoo_darknet


def test_it_is_listed_under_the_name_of_its_distribution() -> None:
    (plugin,) = [p for p in zoo.list_plugins() if p.distribution == "zoo-darknet"]
    assert (plugin.owner, plugin.status) == ("zoo-darknet", "ok")
    assert zoo.list_archs("zoo-darknet/*") == [f"zoo-darknet/{name}" for name in zoo_darknet.names()]
    assert zoo.describe("zoo-darknet/yolov3").owner == "zoo-darknet"


def test_names_are_found_without_torch_and_without_opening_the_file() -> None:
    code = (
        "import json, sys, zoo, zoo_darknet\n"
        "arch = zoo_darknet.darknet.resolve('darknet', '/nowhere/net.cfg')\n"
        "zoo.list_archs(); zoo.describe('zoo-darknet/yolov3')\n"
        "print(json.dumps([arch.name, 'torch' in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["darknet", False]


def test_the_spec_says_the_file(make: Callable[..., Any]) -> None:
    model = make(SMALL, "+act(silu)")
    spec = str(zoo.spec_of(model))
    assert spec.startswith("darknet:")
    assert spec.endswith("/net.cfg+act(name=silu)")
    assert zoo.create(spec).state_dict().keys() == model.state_dict().keys()
    assert str(zoo.spec_of(zoo.create("zoo-darknet/yolov4-tiny", device="meta"))) == "zoo-darknet/yolov4-tiny"


def test_a_file_has_all_the_options(make: Callable[..., Any]) -> None:
    with pytest.raises(zoo.OptionError, match="darknet has no option 'num_classes'"):
        make(SMALL, "(num_classes=3)")
    with pytest.raises(zoo.OptionError, match="darknet takes no pretrained"):
        make(SMALL, pretrained=True)


def test_a_recipe_builds_the_same_without_the_file(make: Callable[..., Any], tmp_path: Any) -> None:
    model = make(SMALL, "+act(silu)").eval()
    (tmp_path / "net.cfg").unlink()
    family = zoo_darknet.darknet
    arch = family.resolve("darknet", "anything")
    assert arch is not None
    assert arch.recipe is not None
    assert family.rebuild is not None
    again = family.rebuild("darknet", arch.recipe(model))()
    again.load_state_dict(model.state_dict())
    assert not zoo.diff(zoo.modify(again, "act(silu)"), model)
    x = torch.randn(1, 3, 16, 16)
    assert all(map(torch.equal, again.eval()(x), model(x)))
    with pytest.raises(zoo_darknet.CfgError, match="the saved cfg, line 1: met 'no cfg'"):
        family.rebuild("darknet", "no cfg")()


def test_two_networks_that_differ_in_a_route_differ(make: Callable[..., Any]) -> None:
    one, two = make(SMALL), make(SMALL.replace("layers=-1, 2", "layers=-1, 0"))
    assert [str(d) for d in zoo.diff(one, two)] == ["layers.7: layers (6, 2) → (6, 0)"]


# -- sites ------------------------------------------------------------------------------------------------------------

SITES = [
    (SMALL, {"stem": ["layers.0.conv"]}),
    (CLASSIFIER, {"stem": ["layers.0.conv"], "head": ["layers.4.linear"], "softmax": ["layers.5"]}),
    ('darknet:"darknet53.cfg"', {"stem": ["layers.0.conv"], "head": ["layers.76.conv"], "softmax": ["layers.77"]}),
    ('darknet:"darknet19.cfg"', {"stem": ["layers.0.conv"], "head": ["layers.23.conv"], "softmax": ["layers.25"]}),
]


@pytest.mark.parametrize(("cfg", "sites"), SITES)
def test_sites(make: Callable[..., Any], cfg: str, sites: dict[str, list[str]]) -> None:
    model = zoo.create(cfg, device="meta") if cfg.startswith("darknet:") else make(cfg, device="meta")
    found = {name: list(paths) for name, paths in zoo.sites_of(model).items() if name != "head_drop"}
    assert found == sites
    assert {name: list(zoo.select(model, name)) for name in sites} == sites


def test_the_files_own_dropout_is_used(make: Callable[..., Any]) -> None:
    model = make(CLASSIFIER, "+dropout(0.1)")
    assert [m.p for m in model.modules() if isinstance(m, nn.Dropout)] == [0.1]
    assert str(zoo.changes(model)[0]) == "layers.3: p 0.3 → 0.1"


# -- modifiers --------------------------------------------------------------------------------------------------------

MODS = [
    "act(silu)",
    "bn(eps=1e-4)",
    "dropout(0.2, at=stem)",
    "dropout(0.2, at=layers.5)",
    "append(stem, Dropout(0.1))",
    "prepend(layers.8, Dropout(0.1))",
    "replace(layers.8.conv, Conv2d(12, 14, 3, padding=1))",
    "remove(layers.5.act)",
    "set(LeakyReLU, negative_slope=0.2)",
    "act(mish)+bn(momentum=0.1)+dropout(0.1, at=layers.12)",
]


@pytest.mark.parametrize("mods", MODS)
def test_modifiers_apply_and_all_the_rest_goes_on_working(make: Callable[..., Any], mods: str) -> None:
    torch.manual_seed(1)
    base = make(SMALL)
    torch.manual_seed(1)
    model = make(SMALL, f"+{mods}")
    assert isinstance(model, type(base))
    assert zoo.changes(model)
    assert not any(change.live is False for change in zoo.changes(model))
    assert not zoo.verify(model)
    assert zoo.diff(base, model)
    if "replace" not in mods:
        model.load_state_dict(base.state_dict())
        assert torch.equal(model.layers[0].conv.weight, base.layers[0].conv.weight)
    x = torch.randn(2, 3, 16, 16)
    out = model.eval()(x)
    assert [tuple(y.shape) for y in out] == [(2, 14, 8, 8), (2, 21, 4, 4)]
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert all(map(torch.equal, twin(x), out))
        assert zoo.spec_of(twin) == zoo.spec_of(model)
    model.train()
    sum(y.square().mean() for y in model(x)).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    on_meta = make(SMALL, f"+{mods}", device="meta")
    assert not zoo.diff(on_meta, model)


def test_act_swaps_every_activation(make: Callable[..., Any]) -> None:
    model = make(SMALL, "+act(silu)")
    assert [str(change) for change in zoo.changes(model)] == [
        "layers.0.act: replaced LeakyReLU(negative_slope=0.1) → SiLU()",
        "layers.2.act: replaced ReLU() → SiLU()",
        "layers.5.act: replaced Mish() → SiLU()",
    ]


def test_heads_stand_in_front_of_the_softmax(make: Callable[..., Any]) -> None:
    """One softmax would mix the heads, so they give logits; a single classifier keeps it."""
    model = make(CLASSIFIER, "+heads(kind=3, age=1)").eval()
    x = torch.randn(4, 3, 8, 8)
    out = model(x)
    assert {name: tuple(y.shape) for name, y in out.items()} == {"kind": (4, 3), "age": (4, 1)}
    features = make(CLASSIFIER, "+replace(head, Identity())+remove(softmax)")
    features.load_state_dict({k: v for k, v in model.state_dict().items() if k in features.state_dict()})
    head = model.layers[4].linear.age
    torch.testing.assert_close(out["age"], head(features.eval()(x)))
    torch.testing.assert_close(model(x, task="age"), out["age"])
    torch.testing.assert_close(make(CLASSIFIER, "+replace(head, Linear(5, 7))").eval()(x).sum(1), torch.ones(4))


def test_logits_without_the_softmax(make: Callable[..., Any]) -> None:
    model, logits = make(CLASSIFIER).eval(), make(CLASSIFIER, "+remove(softmax)").eval()
    logits.load_state_dict(model.state_dict())
    x = torch.randn(4, 3, 8, 8)
    torch.testing.assert_close(logits(x).softmax(1), model(x))


REFUSED = [
    ("+heads(a=3)", zoo.NotApplicableError, "this Darknet names no classifier; say where, as in heads(..., at=fc)"),
    ("+dropout(0.1)", zoo.NotApplicableError, "this Darknet names no 'head'; say where, as in dropout(..., at=...)"),
    (
        "+replace(layers.8.conv, Conv2d(13, 14, 1))",
        zoo.ShapeError,
        "'layers.8.conv' (Conv2d) wants in_channels=13, but 12",
    ),
]


@pytest.mark.parametrize(("mods", "error", "message"), REFUSED)
def test_what_a_detector_refuses(make: Callable[..., Any], mods: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        make(SMALL, mods)
    assert message in str(caught.value)


# -- PyTorch ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "mods", "size"),
    [(SMALL, "", 16), (SMALL, "+act(silu)+dropout(0.1, at=stem)", 16), (CLASSIFIER, "+heads(a=2, b=1)", 8)],
)
def test_compile_and_export(make: Callable[..., Any], text: str, mods: str, size: int) -> None:
    model = make(text, mods).eval()
    x = torch.randn(2, 3, size, size)
    wanted = model(x)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), wanted)
    exported = torch.export.export(model, (x,))
    torch.testing.assert_close(exported.module()(x), wanted)


def test_a_batch_of_any_size_is_exported(make: Callable[..., Any]) -> None:
    model = make(SMALL).eval()
    batch = torch.export.Dim("batch", max=64)
    exported = torch.export.export(model, (torch.randn(2, 3, 16, 16),), dynamic_shapes=({0: batch},))
    x = torch.randn(5, 3, 16, 16)
    torch.testing.assert_close(exported.module()(x), model(x))


@pytest.mark.parametrize("name", ["yolov3-tiny", "yolov4-tiny", "resnet18"])
def test_shipped_networks_compute(name: str) -> None:
    model = zoo.create(f"zoo-darknet/{name}+act(silu)").eval()
    with torch.no_grad():
        out = model(torch.randn(1, 3, 64, 64))
    for y in out if isinstance(out, tuple) else (out,):
        assert y.isfinite().all()


def test_layers_are_counted_from_the_input() -> None:
    found = zoo_darknet.darknet.resolve("yolov3", None)
    assert found is not None
    assert found.order is not None
    order = found.order(zoo.create("zoo-darknet/yolov3", device="meta"))
    assert order["layers.0.conv.weight"] == 0
    assert order["layers.105.conv.bias"] == 105
