"""zoo.summary: against torch's own counts, its counter of FLOPs, and shapes that hooks see."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import zoo
from tests.conftest import zoo_command

VARIANTS = [
    ("mlp+dropout(0.2)", (1, 28, 28)),
    ("convnet(channels=8)+heads(a=3, b=1)+act(prelu)", (3, 16, 16)),
    ("resnet18+append(layer2, Conv2d(128, 128, 1))+dropout(0.2)", (3, 64, 64)),
    ("vit_tiny_patch16_224(img_size=32, depth=2)+heads(a=3)", (3, 32, 32)),
    ("torchvision/regnet_y_400mf", (3, 64, 64)),  # which can't be built on meta
]
whole = pytest.mark.parametrize(("spec", "size"), VARIANTS, ids=[spec.split("(")[0] for spec, _ in VARIANTS])


@whole
def test_counts_are_torchs_own(spec: str, size: tuple[int, ...]) -> None:
    found, model = zoo.summary(spec, size), zoo.create(spec)
    assert list(found.modules) == [path for path, _ in model.named_modules(remove_duplicate=False)]
    for path, row in found.modules.items():
        module = model.get_submodule(path)
        assert row.parameters == sum(p.numel() for p in module.parameters())
        assert (row.trainable, row.frozen) == (row.parameters, 0)
        assert row.buffers == sum(b.numel() for b in module.buffers())
        assert row.cls == type(module).__name__
    assert {n: w.shape for n, w in found.named_parameters.items()} == {n: p.shape for n, p in model.named_parameters()}
    assert {n: w.dtype for n, w in found.named_buffers.items()} == {
        n: str(b.dtype)[6:] for n, b in model.named_buffers()
    }


@whole
def test_shapes_and_flops_are_those_of_a_real_forward(spec: str, size: tuple[int, ...]) -> None:
    model = zoo.create(spec).eval()
    seen: dict[str, tuple[int, ...]] = {}

    def watch(path: str) -> Any:
        return lambda _module, _args, out: seen.update({path: tuple(out.shape)} if isinstance(out, Tensor) else {})

    handles = [module.register_forward_hook(watch(path)) for path, module in model.named_modules()]
    # torch doesn't count the CPU's own kernel of attention
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.randn(3, *size))
    for handle in handles:
        handle.remove()
    found = zoo.summary(spec, size, batch_size=3)
    assert found.flops == counter.get_total_flops() > 0
    assert found.inputs == ((3, *size),)
    assert len(seen) > 3
    assert {path: found.modules[path].outputs for path in seen} == {path: (shape,) for path, shape in seen.items()}
    assert zoo.summary(model, size, batch_size=3).to_dict() == found.to_dict(), "a live model as its spec"


def test_published_numbers() -> None:
    found = zoo.summary("resnet50", depth=0)
    assert found.parameters == 25_557_032
    assert round(found.flops / 2e9, 1) == 4.1  # He et al. 2016: 4.1 billion multiply-adds
    assert "resnet50" in str(found)
    assert "25,557,032" in str(found)


class Net(nn.Module):
    """Some of all: a shared layer, a tied weight, a frozen one, one that isn't called."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(4, 4)
        self.again = self.one
        self.tied = nn.Linear(4, 4, bias=False)
        self.tied.weight = self.one.weight
        self.norm = nn.BatchNorm1d(4).requires_grad_(False)
        self.spare = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.tied(self.norm(self.again(self.one(x))))


def test_shared_frozen_and_uncalled() -> None:
    found = zoo.summary(Net(), 4)
    assert (found.parameters, found.trainable, found.frozen, found.buffers) == (20 + 8 + 10, 30, 8, 9)
    assert (found.modules["again"].shared_with, found.modules["one"].shared_with) == ("one", "")
    assert (found.modules["norm"].frozen, found.modules["norm"].trainable) == (8, 0)
    assert [found.modules[p].calls for p in ("one", "again", "spare")] == [2, 2, 0]
    assert "tied.weight" not in found.named_parameters, "once, under its first name, as torch has it"
    assert not found.named_parameters["norm.weight"].trainable
    assert [row.path for row in found.children] == ["one", "again", "tied", "norm", "spare"]
    lines = str(found).split("\n")
    assert any("frozen" in line for line in lines[:3])
    assert next(line for line in lines if "spare" in line).split()[:4] == ["spare", "Linear", "not", "called"]
    assert next(line for line in lines if "again" in line).split()[:4] == ["again", "Linear", "=", "one"]
    assert lines[-1] == "38 parameters, 8 of them frozen; for (1, 4): 96 FLOPs, 64 B of activations"


def test_nested_and_flat_hold_the_same_rows() -> None:
    found = zoo.summary("resnet18", (3, 32, 32))
    block = next(row for row in found.children if row.path == "layer1").children[0]
    assert block is found.modules["layer1.0"]
    assert [row.path for row in block.children if row.cls == "Conv2d"] == ["layer1.0.conv1", "layer1.0.conv2"]


def test_as_data() -> None:
    found = zoo.summary("simple+heads(a=3)")
    data = json.loads(json.dumps(found.to_dict()))
    assert (data["name"], data["inputs"], data["parameters"]) == ("simple+heads(a=3)", [[1, 100]], 17_523)
    assert [row["name"] for row in data["modules"]] == list(found.modules)
    assert data["modules"][0]["children"] == ["layers1", "layers2", "layers3"]
    assert data["named_parameters"]["layers3.1.a.weight"] == {"shape": [3, 70], "dtype": "float32", "trainable": True}
    ran = zoo_command("show", "simple+heads(a=3)", "--summary", "--json")
    assert json.loads(ran.output) == data


def test_in_a_terminal() -> None:
    ran = zoo_command("show", "simple", "--summary", "--depth", "1")
    assert (
        ran.output
        == """\
simple

 module      class        output     parameters    FLOPs   activations
 ─────────────────────────────────────────────────────────────────────
 (model)     Simple       (1, 2)         17,452   34.3 k       1.65 kB
   layers1   Sequential   (1, 100)       10,100     20 k         800 B
   layers2   Sequential   (1, 70)         7,070     14 k         560 B
   layers3   Sequential   (1, 2)            282      280         288 B

17,452 parameters; for (1, 100): 34.3 kFLOPs, 1.65 kB of activations
"""
    )
    assert zoo_command("show", "simple", "--depth", "1").exit_code == 2


def test_html_is_escaped_and_capped() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.add_module("<script>alert(1)</script>", nn.Linear(2, 2))
            self.rest = nn.Sequential(*(nn.Identity() for _ in range(600)))

        def forward(self, x: Tensor) -> Tensor:
            return self.rest(x)

    page = zoo.summary(Odd(), 2)._repr_html_()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert page.count("<tr>") == 501
    assert "and 103 more" in page


FLAT = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Linear(4 * 26 * 26, 10))
USUAL = "\n  usual causes: an input of another size or other channels than the model was built for, a missing Flatten"

MISFITS = [
    (
        "mlp",
        (28, 27),
        "'layers.0' (Linear) wants in_features=784, but 756 arrive ([1, 756]); "
        f"a Linear with in_features=756 would fit{USUAL}",
    ),
    (
        FLAT,
        (1, 28, 28),
        "'1' (Linear) wants in_features=2704, but 26 arrive ([1, 4, 26, 26]); "
        "a Flatten in front is missing: 4 × 26 × 26 = 2704",
    ),
    (
        FLAT,
        (28, 28, 1),
        "'0' (Conv2d) wants in_channels=1, but 28 arrive ([1, 28, 28, 1]); "
        "the channels stand last in [1, 28, 28, 1]; torch wants them behind the batch",
    ),
    (
        "resnet18",
        (1, 64, 64),
        "'conv1' (Conv2d) wants in_channels=3, but 1 arrive ([1, 1, 64, 64]); "
        f"a Conv2d with in_channels=1 would fit{USUAL}",
    ),
    (
        "resnet18",
        (0, 0, 0),
        "'conv1' (Conv2d) wants in_channels=3, but 0 arrive ([1, 0, 0, 0]); nothing fits a size of 0",
    ),
    (
        "resnet18",
        (8, 3, 64, 64),
        f"'conv1' (Conv2d) wants 4 dimensions, the batch first, but [1, 8, 3, 64, 64] arrives{USUAL}",
    ),
    (
        "vit_tiny_patch16_224",
        (3, 225, 224),
        "a forward fails at 'patch_embed' (PatchEmbed), where [1, 3, 225, 224] arrived: "
        f"Input height (225) doesn't match model (224).{USUAL}",
    ),
]


@pytest.mark.parametrize(("model", "size", "text"), MISFITS)
def test_a_size_that_cannot_fit(model: Any, size: tuple[int, ...], text: str) -> None:
    with pytest.raises(zoo.ShapeError) as caught:
        zoo.summary(model, size)
    assert str(caught.value) == text


WRONG = [
    (lambda: zoo.summary(nn.Linear(3, 4)), "nothing says what this Linear takes; give input_size=, the shape of one"),
    (lambda: zoo.summary(nn.Linear(3, 4), (3.5,)), "input_size=(3.5,); expected a shape without the batch dimension"),  # type: ignore[arg-type]
    (lambda: zoo.summary(3), "summary takes a spec or a model, not int"),  # type: ignore[arg-type]
    (lambda: zoo.summary("simple", batch_size=0), "batch_size=0; expected 1 or more"),
    (lambda: zoo.summary("simple", 100, arguments=(torch.zeros(1, 100),)), "input_size= and arguments= say the same"),
]


@pytest.mark.parametrize(("call", "text"), WRONG)
def test_wrong_calls(call: Any, text: str) -> None:
    with pytest.raises(zoo.OptionError) as caught:
        call()
    assert str(caught.value).startswith(text)


def test_other_inputs() -> None:
    two = zoo.summary(nn.Bilinear(3, 4, 5), [(3,), (4,)])
    assert (two.inputs, two.root.outputs) == (((1, 3), (1, 4)), ((1, 5),))
    words = zoo.summary(nn.Embedding(7, 4), arguments=(torch.zeros(2, 5, dtype=torch.long),))
    assert words.root.outputs == ((2, 5, 4),)
    assert zoo.summary(nn.Linear(3, 4).to(torch.bfloat16), 3).memory == 8
    assert zoo.summary("torchvision/fasterrcnn_mobilenet_v3_large_320_fpn").inputs == ((3, 64, 64),)


def test_a_live_model_stays_as_it_is() -> None:
    model = zoo.create("convnet+dropout")
    model.register_forward_hook(lambda *_: pytest.fail("a hook ran"))
    keys, state = torch.get_rng_state(), {n: t.clone() for n, t in model.state_dict().items()}
    zoo.summary(model, (3, 8, 8))
    assert torch.equal(torch.get_rng_state(), keys)
    assert model.training
    assert all(torch.equal(t, state[n]) for n, t in model.state_dict().items())
