"""`act`, against timm's own option for the same thing."""

from __future__ import annotations

import pytest
import timm
import torch
from timm.models.nfnet import GammaAct
from torch import nn

import zoo
from tests.modifiers.refusals import NOWHERE, OPTION, assert_refused
from tests.nets import changed, images, same_outputs

# -- act --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arch", "size"),
    [
        ("resnet18", 48),
        ("vit_tiny_patch16_224(img_size=32, depth=2)", 32),
        ("convnext_atto", 48),
        ("efficientnet_b0", 48),
        ("test_resnet", 48),
    ],
)
@pytest.mark.parametrize("name", ["silu", "gelu"])
def test_act_is_timms_act_layer(arch: str, size: int, name: str) -> None:
    model, theirs = zoo.create(f"{arch}+act({name})"), zoo.create(arch, act_layer=name)
    theirs.load_state_dict(model.state_dict())
    assert same_outputs(model, theirs, images(4, size), (False,))
    assert [type(m) for m in model.modules()] == [type(m) for m in theirs.modules()]


def test_resnet18_with_silu_is_timms_own() -> None:
    model, theirs = zoo.create("resnet18+act(silu)"), timm.create_model("resnet18", act_layer="silu")
    theirs.load_state_dict(model.state_dict())
    assert same_outputs(model, theirs, images(4, 48))
    assert str(model) == str(theirs)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("convnet+act(silu)", nn.SiLU(inplace=True)),  # its ReLUs are inplace
        ("mlp+act(silu)", nn.SiLU(inplace=False)),  # these aren't
        ("simple+act(relu6)", nn.ReLU6(inplace=False)),
        ("convnet+act(leaky_relu)", nn.LeakyReLU(inplace=True)),
        ("convnet+act(elu)", nn.ELU(inplace=True)),
        ("convnet+act(tanh)", nn.Tanh()),
        ("convnet+act(relu)", nn.ReLU(inplace=True)),
    ],
)
def test_act_by_name_keeps_inplace(spec: str, expected: nn.Module) -> None:
    model = zoo.create(spec)
    new = [model.get_submodule(change.path) for change in zoo.changes(model)]
    x = torch.linspace(-8, 8, 33)
    assert len(new) >= 2
    for module in new:
        assert torch.equal(module(x.clone()), expected(x.clone()))
        if hasattr(expected, "inplace"):
            assert module.inplace == expected.inplace


def test_act_with_weights() -> None:
    """PReLUs come with weights of their own, one for each place, and go again."""
    model = zoo.create("convnet+act(prelu)")
    new = [change.path for change in zoo.changes(model)]
    assert new == ["blocks.0.act", "blocks.1.act", "blocks.2.act"]
    assert len({id(model.get_submodule(path).weight) for path in new}) == 3
    assert [change.added for change in zoo.changes(model)] == [1, 1, 1]
    kept = [model.get_submodule(path) for path in new]
    zoo.modify(model, "act(prelu)")  # what is one already keeps its weights
    assert [model.get_submodule(path) for path in new] == kept
    zoo.modify(model, "act(relu)")
    assert list(model.state_dict()) == list(zoo.create("convnet").state_dict())


@pytest.mark.parametrize(
    ("spec", "kind"),
    [("efficientnet_b0", nn.Sigmoid), ("mobilenetv3_small_050", nn.Hardsigmoid)],
)
def test_gates_are_left_alone_unless_named(spec: str, kind: type[nn.Module]) -> None:
    gates = [path for path, m in zoo.create(spec).named_modules() if isinstance(m, kind)]
    assert len(gates) > 5
    swapped = changed(f"{spec}+act(mish)")
    assert not set(gates) & set(swapped)
    assert set(changed(f"{spec}+act(mish, at={kind.__name__})")) == set(gates)
    both = changed(f'{spec}+act(mish, at=["*", {kind.__name__}])')
    assert set(both) == set(gates) | set(swapped)


@pytest.mark.parametrize(
    ("at", "paths"),
    [
        ("layer1", {f"layer1.{i}.act{j}" for i in (0, 1) for j in (1, 2)}),  # a container means its contents
        ("act1", {"act1"}),
        ('"layer4*.act2"', {"layer4.0.act2", "layer4.1.act2"}),
        ("[act1, layer1, !layer1.1]", {"act1", "layer1.0.act1", "layer1.0.act2"}),
        ('["*.act1", !layer1, !layer2, !layer3]', {"layer4.0.act1", "layer4.1.act1"}),
    ],
)
def test_where_act_works(at: str, paths: set[str]) -> None:
    assert set(changed(f"resnet18+act(silu, at={at})")) == paths


# -- refusals ---------------------------------------------------------------------------------------------------------

ACT_REFUSALS = [
    ("simple+act", OPTION, "act needs 'name'; its options: act(name: str, at: Where = '*')"),
    ("simple+act(slu)", OPTION, "act: no activation 'slu'; did you mean 'silu'?"),
    ("simple+act(3)", OPTION, "act: name is 3 (int); expected a valid string; its options: act(name: str, "),
    ("simple+act(load_state_dict_from_url)", OPTION, "act: no activation 'load_state_dict_from_url'; the names: "),
    ("simple+act(silu, at=nowhere)", NOWHERE, "at=nowhere matches nothing in this Simple; sites: stem, head; "),
    ("simple+act(silu, at=head)", NOWHERE, "at=head matches 'layers3' (Sequential), which holds nothing to "),
    ("mlp+act(silu, at=[!ReLU])", NOWHERE, "the exclusions leave nothing of at=!ReLU; exclude less"),
]


@pytest.mark.parametrize(("spec", "kind", "text"), ACT_REFUSALS, ids=[spec for spec, _, _ in ACT_REFUSALS])
def test_refusals(spec: str, kind: type[zoo.ZooError], text: str) -> None:
    assert_refused(spec, kind, text)


class Calls(nn.Module):
    """One activation is a module, the other a function."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.act, self.fc = nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(torch.relu(self.first(self.act(x))))  # type: ignore[no-any-return]


@pytest.mark.parametrize("before", ["", "heads(a=2, at=fc)+", "switch(first, a=Linear(4, 4), b=Linear(4, 4))+"])
def test_a_function_is_seen_whatever_the_model_has_become(before: str) -> None:
    with pytest.raises(zoo.NotApplicableError, match="act can't swap relu, which Calls calls as a function at "):
        zoo.modify(Calls(), f"{before}act(silu)")


def test_a_gate_is_swapped_where_its_own_class_is_named() -> None:
    model = nn.Sequential(nn.ReLU(), nn.Sigmoid(), nn.Hardsigmoid())
    zoo.modify(model, 'act(silu, at=["*", Sigmoid])')
    assert [type(module) for module in model] == [nn.SiLU, nn.SiLU, nn.Hardsigmoid]


class Within(nn.ReLU):
    """An activation that holds another one."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.ReLU()


def test_an_activation_inside_another_goes_with_it() -> None:
    model = zoo.modify(nn.Sequential(Within(), nn.Linear(2, 2)), "act(silu)")
    assert [type(module) for module in model.modules()] == [nn.Sequential, nn.SiLU, nn.Linear]


@pytest.mark.parametrize(
    ("mods", "message"),
    [
        ("act(prelu)", "this model scales an activation function, and 'prelu' isn't one in timm"),
        ("switch_act(relu, silu)", r"'1' \(GammaAct\) scales a function, and can't hold several"),
    ],
)
def test_a_function_that_is_scaled_gives_way_to_functions_alone(mods: str, message: str) -> None:
    net = nn.Sequential(nn.Linear(2, 2), GammaAct("relu", 1.7))
    with pytest.raises(zoo.NotApplicableError, match=f"^{message}\n"):
        zoo.modify(net, mods)
    x = torch.linspace(-1, 1, 4).view(2, 2)
    torch.testing.assert_close(zoo.modify(net, "act(silu)")[1](x), nn.functional.silu(x) * 1.7)
