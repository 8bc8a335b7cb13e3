"""`zoo.diff` and `zoo.verify`: what they find, against edits that are known, and how it prints."""

from __future__ import annotations

import copy
import time
import types

import pytest
import torch
import torchvision
from torch import nn

import zoo
from zoo.report.compare import Difference
from zoo.report.diff import Differences, Side


def rows(found: object) -> list[tuple[str, str, str, str]]:
    return [(d.path, d.what, d.before, d.after) for d in found]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "spec", ["simple", "mlp", "convnet", "resnet18+dropout(0.2)+act(silu)", "vit_tiny_patch16_224"]
)
def test_nothing_differs_from_itself(spec: str) -> None:
    found = zoo.diff(spec, zoo.create(spec, device="meta"))
    assert not found
    assert list(found) == []
    assert str(found).endswith(": no difference")


CASES = [
    ("simple+bn(eps=1e-3)", [("layers3.0", "eps", "1e-05", "0.001")]),
    (
        "simple+replace(layers1.1, Tanh())",
        [("layers1.1", "class", "ReLU()", "Tanh()")],
    ),
    (
        "simple+append(layers3, Dropout(0.5))",
        [("layers3.2", "only in b", "", "Dropout(p=0.5, inplace=False)")],
    ),
    (
        "simple+replace(layers3.1, Linear(70, 5))",
        [
            ("layers3.1", "out_features", "2", "5"),
            ("layers3.1", "weight", "[2, 70]", "[5, 70]"),
            ("layers3.1", "bias", "[2]", "[5]"),
        ],
    ),
]


@pytest.mark.parametrize(("spec", "expected"), CASES)
def test_what_differs(spec: str, expected: list[tuple[str, str, str, str]]) -> None:
    assert rows(zoo.diff("simple", spec)) == expected


def test_two_archs() -> None:
    found = zoo.diff("resnet18", "resnet34")
    assert {d.what for d in found} == {"only in b"}
    assert [d.path for d in found] == [
        f"layer{i}.{j}" for i, n in ((1, 3), (2, 4), (3, 6), (4, 3)) for j in range(2, n)
    ]
    assert (found.a.parameters, found.b.parameters) == (11_689_512, 21_797_672)
    assert sum(d.parameters for d in found) == 21_797_672 - 11_689_512
    assert sum(d.flops or 0 for d in found) == found.b.flops - found.a.flops  # type: ignore[operator]


@pytest.mark.parametrize("name", ["ResNet18", "ResNet50", "MobileNet_V2", "ViT_B_16"])
def test_flops_are_the_published_ones(name: str) -> None:
    # torchvision publishes multiply-adds, in billions; torch counts each as two.
    published = getattr(torchvision.models, f"{name}_Weights").DEFAULT.meta["_ops"]
    spec = f"torchvision/{name.lower()}"
    found = zoo.diff(spec, f"{spec}(num_classes=10)")
    assert found.a.flops / 2e9 == pytest.approx(published, rel=0.05 if "ViT" in name else 0.01)  # type: ignore[operator]
    head = [d for d in found if d.what == "weight"]
    inputs = 990 * zoo.create(spec, device="meta").get_submodule(head[0].path).in_features
    assert [(d.parameters, d.flops) for d in head] == [(-inputs, -2 * inputs)]


def test_what_a_place_counts_is_what_it_alone_brings() -> None:
    found = {d.path: d for d in zoo.diff("simple", "simple+heads(a=3, b=5)") if d.parameters}
    assert {path: (d.parameters, d.flops) for path, d in found.items()} == {
        "layers3.1": (-142, -280),
        "layers3.1.a": (213, 420),
        "layers3.1.b": (355, 700),
    }


def test_flops_of_a_model_that_the_zoo_does_not_know_are_unknown() -> None:
    found = zoo.diff(nn.Sequential(nn.Linear(2, 2)), nn.Sequential(nn.Linear(2, 3)))
    assert [d.flops for d in found] == [None, None, None]
    assert (found.a.flops, found.b.flops) == (None, None)
    assert "FLOPs" not in str(found)


def test_looking_at_a_live_model_runs_no_hook_and_leaves_no_trace() -> None:
    model = zoo.create("convnet+dropout(0.2)").train()
    ran: list[int] = []
    model.head.register_forward_hook(lambda *_: ran.append(1))  # type: ignore[union-attr]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert zoo.diff("convnet", model).b.flops
    assert not ran
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_what_repeats_is_folded() -> None:
    text = str(zoo.diff("resnet50", "resnet50+act(silu)"))
    assert text == (
        "resnet50 → resnet50+act(silu): 49 differences, 25,557,032 parameters, 8,178,368,512 FLOPs\n"
        "  act1 … layer4.2.act3: 49 × ReLU(inplace=True) → SiLU(inplace=True)"
    )


@pytest.mark.parametrize("spec", ["simple+dropout", "resnet18+act(silu)+heads(a=3)", "mlp+append(x=Linear(10, 2))"])
def test_a_model_is_what_its_spec_says(spec: str) -> None:
    model = zoo.create(spec)
    assert not zoo.verify(model)
    assert not zoo.verify(copy.deepcopy(model))


HAND_EDITS = [
    (lambda m: setattr(m.layers3[0], "eps", 0.5), [("layers3.0", "eps", "1e-05", "0.5")]),
    (lambda m: m.layers1.add_module("1", nn.Tanh()), [("layers1.1", "class", "SiLU()", "Tanh()")]),
    (
        lambda m: m.add_module("extra", nn.Linear(2, 2)),
        [("extra", "only in b", "", "Linear(in_features=2, out_features=2, bias=True)")],
    ),
    (lambda m: m.layers2.__delitem__(1), [("layers2.1", "only in a", "SiLU()", "")]),
    (lambda m: m.layers3[1].bias.requires_grad_(False), [("layers3.1.bias", "requires_grad", "True", "False")]),
    (lambda m: setattr(m.layers3[1], "forward", lambda x: x), [("layers3.1", "forward", "its class's", "its own")]),
    (lambda m: setattr(m.layers3[1], "bias", None), [("layers3.1", "bias", "[2]", "none")]),
    (
        lambda m: m.layers3._modules.update({"0": m.layers3._modules.pop("0")}),
        [("layers3", "order", "0, 1", "1, 0")],
    ),
    (
        lambda m: setattr(m.layers3[1], "__class__", type("Linear", (nn.Linear,), {"__module__": "mine"})),
        [("layers3.1", "class", "torch.nn.modules.linear.Linear", "mine.Linear")],
    ),
    (
        lambda m: m.layers3[1].register_forward_hook(torch.nn.functional.relu),
        [("layers3.1", "forward hooks", "none", "relu")],
    ),
    (
        lambda m: m.layers3[1].register_forward_pre_hook(torch.nn.functional.relu),
        [("layers3.1", "forward hooks", "none", "relu")],
    ),
]


@pytest.mark.parametrize(("edit", "expected"), HAND_EDITS)
def test_a_hand_made_edit_is_found(edit: object, expected: list[tuple[str, str, str, str]]) -> None:
    model = zoo.create("simple+act(silu)")
    edit(model)  # type: ignore[operator]
    assert rows(zoo.verify(model)) == expected


def test_a_hook_on_the_backward_is_no_difference() -> None:
    model = zoo.create("simple")
    model.layers3.register_full_backward_hook(lambda *_: None)  # type: ignore[union-attr]
    assert not zoo.verify(model)


def test_what_a_module_became_is_said() -> None:
    found = zoo.diff("simple", "simple+freeze(layers3)")
    assert ("layers3.0", "class", "BatchNorm1d", "BatchNorm1d with Held") in rows(found)


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (lambda: nn.ReLU(), "the zoo neither made nor modified this ReLU, so it has no spec"),
        (
            lambda: zoo.modify(nn.Sequential(nn.ReLU()), "act(silu)"),
            "'?Sequential+act(name=silu)' can't be rebuilt, so there is nothing to hold the model against: "
            "'?Sequential' is an arch that the zoo doesn't know",
        ),
        (lambda: zoo.create("resnet18", norm_layer=nn.InstanceNorm2d, device="meta"), "can't be written in a spec"),
    ],
)
def test_what_can_not_be_verified(model: object, text: str) -> None:
    with pytest.raises(zoo.ZooError) as raised:
        zoo.verify(model())  # type: ignore[operator]
    assert text in str(raised.value)


def test_html_is_escaped_and_capped() -> None:
    one, two = Side("<a>", 1), Side("b", 2)
    many = Differences.of([Difference(f"p{'x' * i}", "<script>", "<b>", "&") for i in range(300)], one, two)
    text = many._repr_html_()
    assert "<script>" not in text
    assert "<b>" not in text
    assert "300 × &lt;script&gt; &lt;b&gt; → &amp;" in text, "equal differences are one row"
    assert "&lt;a&gt; → b: 300 differences" in text
    lone = Differences.of([Difference(f"p{'x' * i}", "o", str(i), "") for i in range(300)], one, two)
    assert lone._repr_html_().count("<div") == 201
    assert "… and 100 more" in lone._repr_html_()
    assert len(str(lone).split("\n")) == 202


def test_two_models_of_two_thousand_modules_quickly() -> None:
    def tower() -> nn.Module:
        return nn.Sequential(*(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.BatchNorm1d(2)) for _ in range(500)))

    with torch.device("meta"):
        a, b = tower(), tower()
    b[250][2].eps = 0.5
    start = time.process_time()
    found = zoo.diff(a, b)
    took = time.process_time() - start
    assert rows(found) == [("250.2", "eps", "1e-05", "0.5")]
    assert took < 20, "2 s is promised, on a quiet machine"


def test_a_tie_that_was_made_or_cut_by_hand_is_found() -> None:
    model = zoo.create("mlp(8, hidden=[8, 8])")
    model.layers[2].weight = model.layers[0].weight  # type: ignore[index, union-attr, assignment]
    assert [str(d) for d in zoo.verify(model)] == ["layers.2.weight: tied to nothing → layers.0.weight"]


def test_an_arch_that_looks_at_numbers_is_held_against_itself_too() -> None:
    """It can't be built on meta, and is built in memory."""

    def looking(width: int = 3) -> nn.Module:
        """Looks at a weight while it's built."""
        model = nn.Sequential(nn.Linear(4, width), nn.ReLU())
        model.register_buffer("first", torch.tensor(model[0].weight[0, 0].item()))
        return model

    plugin = types.ModuleType("plugin")
    plugin.zoo_archs = zoo.hookimpl(specname="zoo_archs")(lambda: [zoo.arch()(looking)])  # type: ignore[attr-defined]
    registry = zoo.Registry.of(plugin)
    model = zoo.create("looking", registry=registry)
    assert not zoo.verify(model, registry=registry)
    model.append(nn.Tanh())
    assert [one.what for one in zoo.verify(model, registry=registry)] == ["only in b"]
    assert not zoo.diff("looking", "looking(3)", registry=registry)
    assert [one.path for one in zoo.diff("looking", "looking(5)", registry=registry)][:1] == ["0"]
