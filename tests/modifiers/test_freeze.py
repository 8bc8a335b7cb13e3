"""`freeze` and `unfreeze`, through training."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import zoo
from tests.modifiers.refusals import NOWHERE, assert_refused
from tests.nets import frozen

# -- freezing ---------------------------------------------------------------------------------------------------------


def test_frozen_layers_hold_through_training() -> None:
    model = zoo.create("convnet(4, 2)+freeze(blocks.0)").train()
    assert frozen(model) == {"blocks.0.conv.weight", "blocks.0.norm.weight", "blocks.0.norm.bias"}
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)
    for _ in range(2):
        model.train()(torch.randn(4, 3, 8, 8)).square().mean().backward()
        optimizer.step()
    after = model.state_dict()
    assert {name for name in before if torch.equal(before[name], after[name])} == {
        name for name in before if name.startswith("blocks.0.")
    }
    assert isinstance(model.blocks[0].norm, nn.BatchNorm2d)
    assert (model.training, model.blocks[0].norm.training, model.blocks[1].norm.training) == (True, False, True)


def test_statistics_may_go_on() -> None:
    model = zoo.create("convnet(4, 2)+freeze(blocks.0, bn_stats=False)").train()
    before = model.blocks[0].norm.running_mean.clone()
    model(torch.randn(4, 3, 8, 8))
    assert not torch.equal(model.blocks[0].norm.running_mean, before)


def test_freezing_in_the_middle_of_training_stops_at_once_and_goes_on_later() -> None:
    model = zoo.create("convnet(4, 2)")
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)

    def step() -> None:
        model.train()(torch.randn(4, 3, 8, 8)).square().mean().backward()
        optimizer.step()

    step()
    weight = model.blocks[0].conv.weight
    state = {key: value.clone() for key, value in optimizer.state[weight].items()}
    zoo.modify(model, "freeze(stem)", optimizer=optimizer)
    before = weight.detach().clone()
    step()
    assert torch.equal(weight, before), "not by the gradient that was there either"
    assert all(torch.equal(optimizer.state[weight][key], value) for key, value in state.items())
    zoo.modify(model, "unfreeze(stem)", optimizer=optimizer)
    step()
    assert not torch.equal(weight, before)


def test_what_thaws_joins_the_optimizer() -> None:
    model = zoo.create("convnet(4, 2)+freeze(blocks.0)")
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    zoo.modify(model, "unfreeze(blocks.0.conv)", optimizer=optimizer)
    held = {id(p) for p in optimizer.param_groups[0]["params"]}
    assert {name for name, p in model.named_parameters() if id(p) not in held} == {
        "blocks.0.norm.weight",
        "blocks.0.norm.bias",
    }


def test_unfreeze_undoes_freeze() -> None:
    model = zoo.create("convnet(4, 2)")
    model.blocks[0].norm.weight.requires_grad_(False)
    model.blocks[1].eval()
    fixed, modes = frozen(model), {path: m.training for path, m in model.named_modules()}
    classes = {path: type(m) for path, m in model.named_modules()}
    zoo.modify(model, "freeze+freeze")
    assert frozen(model) == {name for name, _ in model.named_parameters()}
    zoo.modify(model, "unfreeze")
    assert frozen(model) == fixed
    assert {path: m.training for path, m in model.named_modules()} == modes
    assert {path: type(m) for path, m in model.named_modules()} == classes
    zoo.modify(model, "unfreeze(blocks.0.norm)")
    assert not frozen(model), "what was frozen by hand thaws when nothing else is to be undone"


def test_a_frozen_model_thaws_in_part() -> None:
    model = zoo.create("resnet18+freeze([layer1, layer2, !layer2.1])+unfreeze(layer1.1)", device="meta")
    assert {name.rpartition(".")[0].rsplit(".", 1)[0] for name in frozen(model)} == {
        "layer1.0",
        "layer2.0",
        "layer2.0.downsample",
    }
    held = {path for path, m in model.train().named_modules() if not m.training}
    assert held == {"layer1.0.bn1", "layer1.0.bn2", "layer2.0.bn1", "layer2.0.bn2", "layer2.0.downsample.1"}


# -- initialisation ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mods", ["freeze({0})", "unfreeze({0})", "reinit({0}, zeros)"])
@pytest.mark.parametrize("term", ["layers1.0.weight", "*s1.0.weight"])
def test_a_parameter_is_no_place(mods: str, term: str) -> None:
    words = (
        r"matches nothing.*; 'layers1\.0\.weight' is a parameter, and at= takes modules, such as 'layers1\.0', which"
    )
    with pytest.raises(zoo.NoEffectError, match=words):
        zoo.create(f"simple+{mods.format(term)}")


FREEZE_REFUSALS = [
    ("simple+freeze(ReLU)", NOWHERE, "at=ReLU matches 'layers1.1' (ReLU), which holds nothing to change"),
    ("simple+unfreeze(nowhere)", NOWHERE, "at=nowhere matches nothing in this Simple; sites: stem, head; "),
]


@pytest.mark.parametrize(("spec", "kind", "text"), FREEZE_REFUSALS, ids=[spec for spec, _, _ in FREEZE_REFUSALS])
def test_refusals(spec: str, kind: type[zoo.ZooError], text: str) -> None:
    assert_refused(spec, kind, text)
