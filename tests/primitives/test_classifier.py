"""Which layer of a model is its classifier, and what makes another."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zoo


class Cosine(nn.Linear):
    """Computes in a way of its own, with torch's constructor."""

    def forward(self, input: Tensor) -> Tensor:
        return nn.functional.linear(nn.functional.normalize(input), nn.functional.normalize(self.weight))


class Scaled(Cosine):
    """Its constructor takes what nobody else knows."""

    def __init__(self, features: int, classes: int, by: float) -> None:
        super().__init__(features, classes, bias=False)
        self.by = by

    def forward(self, input: Tensor) -> Tensor:
        return self.by * super().forward(input)


def net(head: nn.Module) -> nn.Module:
    return nn.Sequential(OrderedDict(trunk=nn.Conv2d(3, 8, 1), head=head))


PLACES = [
    ("simple", ("layers3.1",)),
    ("mlp", ("layers.4",)),
    ("simple+heads(a=3, b=Head(2, hidden=4))", ("layers3.1",)),
    ("simple+num_classes(0)", ("layers3.1",)),
    ("deit_tiny_distilled_patch16_224(depth=1)", ("head", "head_dist")),
    ("test_resnet(num_classes=0)", ("fc",)),
    ("levit_128s+num_classes(0)", ("head", "head_dist")),
]


@pytest.mark.parametrize(("spec", "paths"), PLACES, ids=[spec for spec, _ in PLACES])
def test_where_the_classifier_is(spec: str, paths: tuple[str, ...]) -> None:
    assert zoo.classifiers_of(zoo.create(spec, device="meta")) == paths


def test_where_the_classifier_is_said_to_be() -> None:
    model = zoo.create("mlp(20, [16, 8], 3)")
    assert zoo.classifiers_of(model, ["layers.0", "layers.2", "head"]) == ("layers.0", "layers.2", "layers.4")
    assert zoo.classifiers_of(net(nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2)))) == ("head.2",)


def test_a_class_may_say_that_it_stands_for_the_classifier() -> None:
    several = nn.ModuleDict({"a": nn.Linear(8, 2), "b": nn.Linear(8, 3)})
    assert zoo.classifiers_of(net(several)) == ("head.b",)
    several.zoo_is_classifier = True
    model = net(several)
    assert zoo.classifiers_of(model) == ("head",)
    assert repr(zoo.make_classifier(model, "head", 5)) == repr(nn.Linear(8, 5))


NOWHERE = [
    (nn.Sequential(nn.Linear(3, 4)), "head", "this Sequential names no classifier; say where, as in widen(..., at=fc)"),
    (net(nn.ReLU()), "head", "widen needs a linear layer or a convolution at 'head', where a ReLU stands"),
    (net(nn.Identity()), "head", "widen needs a linear layer or a convolution at 'head', where a Identity stands"),
]


@pytest.mark.parametrize(("model", "at", "text"), NOWHERE)
def test_a_model_without_one(model: nn.Module, at: str, text: str) -> None:
    with pytest.raises(zoo.NotApplicableError) as caught:
        zoo.classifiers_of(model, at, "widen")
    assert str(caught.value) == text


# A layer, and what torch's constructor makes for 6 outputs with the same numbers besides.
GROUPS: dict[str, Any] = {"stride": 2, "padding": 1, "groups": 2, "bias": False}
KEPT = [
    (nn.Linear(8, 4, bias=False), nn.Linear(8, 6, bias=False)),
    (nn.ConvTranspose2d(8, 4, 3, output_padding=1, **GROUPS), nn.ConvTranspose2d(8, 6, 3, output_padding=1, **GROUPS)),
    (nn.Conv2d(8, 4, 3, padding_mode="circular", **GROUPS), nn.Conv2d(8, 6, 3, padding_mode="circular", **GROUPS)),
    (nn.Conv2d(8, 4, 3, padding="same", dilation=2), nn.Conv2d(8, 6, 3, padding="same", dilation=2)),
]


@pytest.mark.parametrize(("layer", "expected"), KEPT, ids=[type(layer).__name__ for layer, _ in KEPT])
@pytest.mark.parametrize("mods", ["num_classes(6)", "num_classes(0)+num_classes(6)", "heads(a=4, b=2)+num_classes(6)"])
def test_another_classifier_keeps_every_number(mods: str, layer: nn.Module, expected: nn.Module) -> None:
    """Also where it was cut off or became heads in between, and the model was pickled then."""
    model = net(layer)
    for mod in mods.split("+"):
        model = pickle.loads(pickle.dumps(zoo.modify(model, mod, copy=True)))
    made = model.head
    assert (type(made), repr(made)) == (type(expected), repr(expected))
    made.load_state_dict(expected.state_dict())
    x = torch.randn(2, 3, 8, 8)
    if not isinstance(layer, nn.Linear):
        assert torch.equal(model(x), expected(model.trunk(x)))


@pytest.mark.parametrize("mods", ["num_classes(6)", "num_classes(0)+num_classes(6)"])
def test_a_class_with_a_forward_of_its_own_stays(mods: str) -> None:
    model = zoo.modify(net(Cosine(8, 4)), mods)
    assert type(model.head) is Cosine
    assert model.head.out_features == 6


def test_heads_with_a_hidden_layer_on_a_class_of_ones_own() -> None:
    model = zoo.modify(net(Cosine(8, 4)), "heads(a=Head(3, hidden=5))")
    assert [type(layer) for layer in model.head["a"]] == [Cosine, nn.ReLU, nn.Linear]


def test_heads_are_torchs_where_the_classifier_is_timms_linear() -> None:
    """As the models have them that were pickled before such a class was kept."""
    model = zoo.create("mobilenetv3_small_050+heads(a=3, b=Head(2, hidden=4))", device="meta")
    assert type(zoo.create("mobilenetv3_small_050", device="meta").classifier) is not nn.Linear
    assert type(model.classifier["a"]) is type(model.classifier["b"].hidden) is nn.Linear


REFUSALS = [
    ("num_classes(6)", "a Scaled computes in a way of its own, and what its constructor takes isn't known, so none of"),
    (
        "heads(a=6)",
        "a Scaled computes in a way of its own, and what its constructor takes isn't known, so none of anot",
    ),
    ("num_classes(0)+num_classes(6)", "what stood at 'head' was of a class of which none of another size can be made;"),
]


@pytest.mark.parametrize(("mods", "text"), REFUSALS, ids=[mods for mods, _ in REFUSALS])
def test_a_class_with_a_constructor_of_its_own_is_not_made_anew(mods: str, text: str) -> None:
    """It can be cut off, since nothing has to be made for that."""
    model = net(Scaled(8, 4, 2.0))
    with pytest.raises(zoo.NotApplicableError) as caught:
        zoo.modify(model, mods)
    assert str(caught.value).startswith(text)
    assert "replace(site, layer)" in str(caught.value)
    assert type(zoo.modify(model, "num_classes(0)").head) is nn.Identity


def test_a_number_of_classes_that_the_groups_do_not_take() -> None:
    with pytest.raises(
        zoo.ShapeError, match=r"no Conv2d like this one can have out_channels=5: .*; write another with"
    ):
        zoo.modify(net(nn.Conv2d(8, 4, 1, groups=2)), "num_classes(5)")
