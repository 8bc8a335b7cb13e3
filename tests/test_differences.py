"""`zoo.diff` and `zoo.verify`: what they find, against edits that are known, and how it prints."""

from __future__ import annotations

import copy
import time

import pytest
import torch
from torch import nn

import zoo
from zoo.differences import Difference


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
    assert found.parameters == (11_689_512, 21_797_672)


def test_what_repeats_is_folded() -> None:
    text = str(zoo.diff("resnet50", "resnet50+act(silu)"))
    assert text == (
        "resnet50 → resnet50+act(silu): 49 differences, 25,557,032 → 25,557,032 parameters\n"
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
    (lambda m: setattr(m.layers3[1], "bias", None), [("layers3.1", "bias", "[2]", "none")]),
]


@pytest.mark.parametrize(("edit", "expected"), HAND_EDITS)
def test_a_hand_made_edit_is_found(edit: object, expected: list[tuple[str, str, str, str]]) -> None:
    model = zoo.create("simple+act(silu)")
    edit(model)  # type: ignore[operator]
    assert rows(zoo.verify(model)) == expected


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (lambda: nn.ReLU(), "the zoo neither made nor modified this ReLU, so it has no spec"),
        (
            lambda: zoo.modify(nn.Sequential(nn.ReLU()), "act(silu)"),
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
    found = zoo.diff("simple", "simple")
    many = type(found).of([Difference(f"p{'x' * i}", "<script>", "<b>", "&") for i in range(300)], ("<a>", "b"), (1, 2))
    text = many._repr_html_()
    assert "<script>" not in text
    assert "<b>" not in text
    assert "&lt;script&gt; &lt;b&gt; → &amp;" in text
    assert text.startswith("<details open><summary>&lt;a&gt; → b: 300 differences")
    assert text.count("<li>") == 1, "equal differences are one row"
    lone = type(found).of([Difference(f"p{'x' * i}", "o", str(i), "") for i in range(300)], ("a", "b"), (1, 2))
    assert lone._repr_html_().count("<li>") == 201
    assert "… and 100 more" in lone._repr_html_()


def test_two_models_of_two_thousand_modules_quickly() -> None:
    def tower() -> nn.Module:
        return nn.Sequential(*(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.BatchNorm1d(2)) for _ in range(500)))

    with torch.device("meta"):
        a, b = tower(), tower()
    b[250][2].eps = 0.5
    start = time.perf_counter()
    found = zoo.diff(a, b)
    took = time.perf_counter() - start
    assert rows(found) == [("250.2", "eps", "1e-05", "0.5")]
    assert took < 20, "2 s is promised, on a quiet machine"
