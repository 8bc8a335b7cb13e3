"""`bn`, against norms that were built so."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import nn

import zoo
from tests.modifiers.refusals import NOTHING, NOWHERE, OPTION, assert_refused
from tests.nets import changed, images, run, same_outputs


def settings(module: nn.Module) -> dict[str, Any]:
    """The configuration of one module without its children, weights and hooks."""
    plain = (int, float, str, bool, type(None), tuple)
    return {k: v for k, v in vars(module).items() if isinstance(v, plain)}


# -- bn ---------------------------------------------------------------------------------------------------------------


def test_bn_at_one_place_is_that_one_number() -> None:
    torch.manual_seed(0)
    plain = zoo.create("resnet18")
    torch.manual_seed(0)
    model = zoo.create('resnet18+bn(eps=1e-4, at="bn1")')
    here, there = dict(plain.named_modules()), dict(model.named_modules())
    assert list(here) == list(there)
    differing = {
        (path, key, settings(old).get(key), settings(there[path]).get(key))
        for path, old in here.items()
        for key in settings(old).keys() | settings(there[path]).keys()
        if settings(old).get(key) != settings(there[path]).get(key)
    }
    assert differing == {("bn1", "eps", 1e-5, 1e-4)}
    assert all(type(old) is type(there[path]) for path, old in here.items())
    assert all(vars(old).keys() == vars(there[path]).keys() for path, old in here.items() if path)
    assert vars(model).keys() == vars(plain).keys()
    for (name, old), (name_there, new) in zip(plain.state_dict().items(), model.state_dict().items(), strict=True):
        assert name == name_there
        assert torch.equal(old, new)
    change = zoo.changes(model)
    assert [(c.path, c.what, c.before, c.after) for c in change] == [("bn1", "eps", "1e-05", "0.0001")]


@pytest.mark.parametrize(
    ("mod", "options"),
    [
        ("bn(eps=1e-3)", {"eps": 1e-3}),
        ("bn(momentum=0.01)", {"momentum": 0.01}),
        ("bn(1e-3, 0.2)", {"eps": 1e-3, "momentum": 0.2}),
        ("bn(momentum=cumulative)", {"momentum": None}),
    ],
)
@pytest.mark.parametrize(("arch", "shape"), [("simple", (100,)), ("convnet", (3, 8, 8))])
def test_bn_is_a_norm_built_so(arch: str, shape: tuple[int, ...], mod: str, options: dict[str, Any]) -> None:
    """Against norms that torch built with these options; two batches, so that the statistics move twice."""
    model, hand = zoo.create(f"{arch}+{mod}"), zoo.create(arch)
    for path, norm in list(hand.named_modules()):
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            hand.set_submodule(path, type(norm)(norm.num_features, **options))
    hand.load_state_dict(model.state_dict())
    for x in (torch.randn(8, *shape), 3 * torch.randn(8, *shape) + 1):
        assert torch.equal(run(model, x, training=True), run(hand, x, training=True))
    assert all(torch.equal(t, hand.state_dict()[name]) for name, t in model.state_dict().items())
    assert torch.equal(run(model, x), run(hand, x))


def test_bn_is_timms_bn_eps_and_bn_momentum() -> None:
    """Norms that hold an activation too keep it."""
    model = zoo.create("efficientnet_b0+bn(eps=0.01, momentum=0.3)")
    theirs = timm.create_model("efficientnet_b0", bn_eps=0.01, bn_momentum=0.3)
    theirs.load_state_dict(model.state_dict())
    assert same_outputs(model, theirs, images(4, 48), (True, False))
    assert str(model) == str(theirs)


@pytest.mark.parametrize(
    ("at", "count"), [("layer1", 4), ("BatchNorm2d", 20), ('"*.bn1"', 8), ("[layer1, layer2, !layer2.0]", 6)]
)
def test_where_bn_works(at: str, count: int) -> None:
    assert list(changed(f"resnet18+bn(eps=1e-4, at={at})").values()) == ["eps"] * count


# -- refusals ---------------------------------------------------------------------------------------------------------

BN_REFUSALS = [
    ("simple+bn", OPTION, "bn needs eps or momentum, as in bn(eps=1e-4)"),
    ("simple+bn(eps=-1e-3)", OPTION, "bn: eps is -0.001 (float); expected greater than or equal to 0; its "),
    ("simple+bn(eps=small)", OPTION, "bn: eps is 'small' (str); expected a valid number; its options: "),
    ("simple+bn(momentum=1.1)", OPTION, "bn: momentum is 1.1 (float); expected less than or equal to 1 or "),
    ("simple+bn(momentum=fast)", OPTION, "bn: momentum is 'fast' (str); expected a valid number or 'cumulative'; "),
    ("simple+bn(eps=1e-4, at=stem)", NOWHERE, "at=stem matches 'layers1.0' (Linear), which holds nothing to "),
    ("mlp+bn(eps=1e-4)", NOTHING, "this MLP has no BatchNorm"),
]


@pytest.mark.parametrize(("spec", "kind", "text"), BN_REFUSALS, ids=[spec for spec, _, _ in BN_REFUSALS])
def test_refusals(spec: str, kind: type[zoo.ZooError], text: str) -> None:
    assert_refused(spec, kind, text)
