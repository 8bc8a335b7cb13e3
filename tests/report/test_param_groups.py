"""zoo.param_groups: against groups written by hand, and timm's own by depth."""

from __future__ import annotations

import copy
import types
from typing import Any

import pytest
import timm.optim
import torch
from torch import Tensor, nn

import zoo


class Net(nn.Module):
    """A class as anyone writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(8, 6)
        self.norm = nn.LayerNorm(6)
        self.fc2 = nn.Linear(6, 6)
        self.fc3 = nn.Linear(6, 2)
        self.scale = nn.Parameter(torch.ones(1, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc3(self.fc2(self.norm(self.fc1(x))).relu()) * self.scale


def plain(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Groups without the tensors."""
    return [{k: v for k, v in group.items() if k != "params"} for group in groups]


def test_the_groups_that_one_writes_by_hand() -> None:
    net = Net()
    found = zoo.param_groups(
        net,
        {"fc1": {"lr": 0.01, "momentum": 0.99}, ":norm": {"weight_decay": 0.0}, ":bias": {"weight_decay": 0.1}},
        lr=0.001,
    )
    assert plain(found) == [
        {"lr": 0.01, "momentum": 0.99, "param_names": ["fc1.weight", "fc1.bias"]},
        {"lr": 0.001, "weight_decay": 0.0, "param_names": ["norm.weight", "norm.bias"]},
        {"lr": 0.001, "weight_decay": 0.1, "param_names": ["fc2.bias", "fc3.bias"]},
        {"lr": 0.001, "param_names": ["scale", "fc2.weight", "fc3.weight"]},
    ]
    names = dict(net.named_parameters())
    assert all(p is names[n] for g in found for p, n in zip(g["params"], g["param_names"], strict=True))
    assert len(names) == sum(len(group["params"]) for group in found)


RULES = [
    # (rule, the parameters that it means)
    ("Linear:bias", ["fc1.bias", "fc2.bias", "fc3.bias"]),
    ("fc*", ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias", "fc3.weight", "fc3.bias"]),
    (("fc*", "!fc2", "!:bias"), ["fc1.weight", "fc3.weight"]),
    ("!fc*", ["scale", "norm.weight", "norm.bias"]),
    ("scale", ["scale"]),
    ("*.weight", ["fc1.weight", "norm.weight", "fc2.weight", "fc3.weight"]),
    ((":norm", "fc1:bias"), ["fc1.bias", "norm.weight", "norm.bias"]),
    (":1d", ["fc1.bias", "norm.weight", "norm.bias", "fc2.bias", "fc3.bias"]),
]


@pytest.mark.parametrize(("rule", "names"), RULES)
def test_what_a_rule_means(rule: Any, names: list[str]) -> None:
    first, *_ = zoo.param_groups(Net(), {rule: {"lr": 1.0}})
    assert sorted(first["param_names"]) == sorted(names)
    assert first["lr"] == 1.0


WRONG = [
    (
        {"fc9": {"lr": 1}},
        zoo.NoEffectError,
        "rule 'fc9': fc9 matches nothing in this Net; sites: none; paths: 'fc1', 'norm', 'fc2', 'fc3' …; "
        "kinds: :bias, :norm, :1d",
    ),
    ({"fc1:norm": {"lr": 1}}, zoo.NoEffectError, "rule 'fc1:norm': 'fc1:norm' has no parameters in this Net"),
    ({":nrom": {"lr": 1}}, zoo.OptionError, "rule ':nrom': there is no kind ':nrom'; the kinds: :bias, :norm, :1d"),
    ({"fc1": 0.1}, zoo.OptionError, "rule 'fc1': 0.1; expected options of an optimizer, as in dict(lr=0.01)"),
    ({3: {}}, zoo.OptionError, "rule 3: expected a selector, such as 'head' or ':bias', or a tuple of several"),
    (
        {("fc1", 3): {}},
        zoo.OptionError,
        "rule ('fc1', 3): expected a selector, such as 'head' or ':bias', or a tuple of several",
    ),
    (["fc1"], zoo.OptionError, "rules=['fc1']; expected a dict of selector to options, as in {'head': dict(lr=0.01)}"),
]


@pytest.mark.parametrize(("rules", "error", "text"), WRONG)
def test_wrong_rules(rules: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        zoo.param_groups(Net(), rules, lr=0.1)
    assert str(caught.value) == text


DECAYS: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
    ("simple", {"lr": 1.0, "layer_decay": 2}, zoo.OptionError, "layer_decay=2; expected a number above 0 and up to 1"),
    ("simple", {"layer_decay": 0.5}, zoo.OptionError, "layer_decay scales a learning rate; give the one of the last"),
    (
        "resnet18(features_only=True)",
        {"lr": 1.0, "layer_decay": 0.5},
        zoo.NotApplicableError,
        "'resnet18' says nothing about the order of its layers",
    ),
    (Net, {"lr": 1.0, "layer_decay": 0.5}, zoo.NotApplicableError, "this Net, which isn't of an arch of the zoo, says"),
]


@pytest.mark.parametrize(("made", "options", "error", "text"), DECAYS)
def test_wrong_decays(made: Any, options: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        zoo.param_groups(zoo.create(made) if isinstance(made, str) else made(), **options)
    assert str(caught.value).startswith(text)


def test_a_spec_has_no_parameters_yet() -> None:
    with pytest.raises(zoo.OptionError) as caught:
        zoo.param_groups("resnet18")  # type: ignore[arg-type]
    assert str(caught.value) == "param_groups takes a live model, not str; zoo.create makes one"


def test_frozen_ones_are_left_out_and_tied_ones_stand_once() -> None:
    net = Net()
    net.fc3.requires_grad_(False)
    net.fc2.weight = nn.Parameter(torch.ones(6, 6))
    net.again = nn.Linear(6, 6, bias=False)
    net.again.weight = net.fc2.weight
    found = zoo.param_groups(net, {"again": {"lr": 1.0}, "fc3": {"lr": 2.0}}, lr=0.1)
    assert found[0]["param_names"] == ["fc2.weight"], "matched by its other name"
    ids = [id(p) for group in found for p in group["params"]]
    assert sorted(ids) == sorted(id(p) for p in net.parameters() if p.requires_grad)


# One of each family, cut down where it's deep.
DEPTHS = {
    "resnet18": "",
    "vit_tiny_patch16_224": "",
    "convnext_atto": "",
    "swin_tiny_patch4_window7_224": "(depths=[2, 1], embed_dim=24, num_heads=[1, 2])",
    "beit_base_patch16_224": "(depth=3)",
    "eva02_tiny_patch14_224": "",
    "efficientnet_b0": "",
    "mobilenetv3_small_050": "",
}


@pytest.mark.parametrize("tail", ["", "+heads(a=3, b=1)"])
@pytest.mark.parametrize("arch", DEPTHS)
def test_layer_decay_is_timms_own(arch: str, tail: str) -> None:
    model = zoo.create(arch + DEPTHS[arch] + tail, device="meta")
    theirs = timm.optim.param_groups_layer_decay(model, weight_decay=0.05, layer_decay=0.7)
    ours = zoo.param_groups(model, {":1d": {"weight_decay": 0.0}}, layer_decay=0.7, lr=0.2, weight_decay=0.05)
    assert len(ours) == len(theirs) > 3

    def facts(group: dict[str, Any], lr: float) -> Any:
        return frozenset(map(id, group["params"])), group["weight_decay"], pytest.approx(lr)

    wanted = {facts(g, 0)[0]: facts(g, 0.2 * g["lr_scale"])[1:] for g in theirs}
    assert {facts(g, 0)[0]: (g["weight_decay"], g["lr"]) for g in ours} == wanted


ORDERS = {
    "simple": {"layers1": 0.25, "layers2": 0.5, "layers3": 1.0},
    "mlp(8, hidden=[4, 4])": {"layers.0": 0.25, "layers.2": 0.5, "layers.4": 1.0},
    "convnet(4, depth=2)+heads(a=3)": {"blocks.0": 0.25, "blocks.1": 0.5, "head": 1.0},
    "torchvision/alexnet": {"features.0": 1 / 128, "classifier.4": 0.5, "classifier.6": 1.0},
    "torchvision/alexnet+dropout(0.1, at=classifier.4)+heads(a=2, b=3)": {"features.0": 1 / 128, "classifier.4": 0.5},
}


# torchvision's models and timm's of the same architecture.
TWINS = {
    "resnet18": "resnet18",
    "resnet50": "resnet50",
    "vit_b_32": "vit_base_patch32_224",
    "convnext_tiny": "convnext_tiny",
    "swin_t": "swin_tiny_patch4_window7_224",
    "densenet121": "densenet121",
    "efficientnet_b0": "efficientnet_b0",
    "mobilenet_v2": "mobilenetv2_100",
    "regnet_y_400mf": "regnety_004",
}


@pytest.mark.parametrize(("name", "tail"), [*((name, "") for name in TWINS), ("vit_b_32", "+heads(a=3, b=1, c=2)")])
def test_torchvisions_models_have_as_many_layers_as_timms(name: str, tail: str) -> None:
    device = None if name.startswith("regnet") else "meta"
    ours, theirs = (zoo.create(spec + tail, device=device) for spec in (f"torchvision/{name}", TWINS[name]))
    groups = [zoo.param_groups(model, layer_decay=0.75, lr=1.0) for model in (ours, theirs)]
    assert [group["lr"] for group in groups[0]] == [group["lr"] for group in groups[1]]
    # The same weights in the same layers, where the two put them in the same order.
    sizes = [[sum(p.numel() for p in group["params"]) for group in found] for found in groups]
    assert sum(sizes[0]) == sum(sizes[1])
    if name.startswith("resnet"):
        assert sizes[0] == sizes[1]


def test_the_order_of_a_chain_is_that_of_its_links() -> None:
    model = zoo.create("chain(3, 8, 8)+append(top=Conv2d(8, 2, 1))+grow(8, after=0)+grow(8)")
    model.insert_before(model.first.next, nn.Conv2d(8, 8, 1))
    rates = {
        name.partition(".")[0]: group["lr"]
        for group in zoo.param_groups(model, layer_decay=0.5, lr=1.0)
        for name in group["param_names"]
    }
    keys = [*map(model.key, model), "top"]
    assert keys == ["0", "4", "2", "1", "3", "top"]
    assert [rates[key] for key in keys] == [1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0]


@pytest.mark.parametrize("spec", ORDERS)
def test_layer_decay_of_other_archs(spec: str) -> None:
    groups = zoo.param_groups(zoo.create(spec, device="meta"), layer_decay=0.5, lr=1.0)
    rates = {name: group["lr"] for group in groups for name in group["param_names"]}
    for path, rate in ORDERS[spec].items():
        assert {rates[name] for name in rates if name.startswith(f"{path}.")} == {rate}


def test_an_arch_that_declares_no_order() -> None:
    @zoo.arch()
    def bare() -> nn.Module:
        """A linear layer."""
        return nn.Linear(2, 2)

    plugin = types.ModuleType("plugin")
    plugin.zoo_archs = zoo.hookimpl(specname="zoo_archs")(lambda: [bare])  # type: ignore[attr-defined]
    registry = zoo.Registry.of(plugin)
    model = zoo.create("bare", registry=registry)
    with pytest.raises(zoo.NotApplicableError) as caught:
        zoo.param_groups(model, layer_decay=0.5, lr=1.0, registry=registry)
    assert str(caught.value) == "'bare' says nothing about the order of its layers"


def test_a_scheduler_scales_every_group() -> None:
    net = zoo.create("resnet18(num_classes=4)+heads(a=2)")
    rules = {"head": {"lr": 0.01, "momentum": 0.99}, ":norm": {"weight_decay": 0.0}}
    groups = zoo.param_groups(net, rules, layer_decay=0.5, lr=0.001)
    start = [group["lr"] for group in groups]
    assert start[0] == 0.01
    assert len(set(start)) > 5
    optimizer = torch.optim.SGD(groups)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[10, 20], gamma=0.1)
    for _ in range(20):
        optimizer.step()
        scheduler.step()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.01 * lr for lr in start])


@pytest.mark.parametrize("make", [torch.optim.SGD, torch.optim.AdamW, torch.optim.RMSprop])
def test_training_with_groups_is_training_with_those_of_ones_own(make: Any) -> None:
    ours, theirs = Net(), Net()
    theirs.load_state_dict(ours.state_dict())
    one = make(zoo.param_groups(ours, {"fc1": {"lr": 0.1}, ":bias": {"weight_decay": 0.5}}, lr=0.01))
    rest = [theirs.scale, theirs.norm.weight, theirs.fc2.weight, theirs.fc3.weight]
    other = make(
        [
            {"params": theirs.fc1.parameters(), "lr": 0.1},
            {"params": [theirs.norm.bias, theirs.fc2.bias, theirs.fc3.bias], "weight_decay": 0.5},
            {"params": rest},
        ],
        lr=0.01,
    )
    for _ in range(3):
        x = torch.randn(4, 8)
        for net, optimizer in ((ours, one), (theirs, other)):
            optimizer.zero_grad()
            net(x).square().sum().backward()
            optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_state_is_found_again_by_name() -> None:
    """Names are in the saved groups, so that state goes to groups of another order."""
    net, other = Net(), Net()
    optimizer = torch.optim.AdamW(zoo.param_groups(net, {"fc1": {"lr": 0.1}}, lr=0.01))
    net(torch.randn(4, 8)).sum().backward()
    optimizer.step()
    saved = copy.deepcopy(optimizer.state_dict())
    regrouped = torch.optim.AdamW(zoo.param_groups(other, {":bias": {"lr": 0.2}, "fc3": {"lr": 0.3}}, lr=0.01))

    def by_name(to: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
        at = {n: i for g in state["param_groups"] for n, i in zip(g["param_names"], g["params"], strict=True)}
        groups = to.state_dict()["param_groups"]
        there = [(n, i) for g in groups for n, i in zip(g["param_names"], g["params"], strict=True)]
        return {"state": {i: state["state"][at[n]] for n, i in there}, "param_groups": groups}

    regrouped.register_load_state_dict_pre_hook(by_name)
    regrouped.load_state_dict(saved)
    for name, parameter in other.named_parameters():
        kept = optimizer.state[dict(net.named_parameters())[name]]
        assert torch.equal(regrouped.state[parameter]["exp_avg"], kept["exp_avg"])
    assert [group["lr"] for group in regrouped.param_groups] == [0.2, 0.3, 0.01]


def test_an_edit_takes_the_groups_along() -> None:
    net = zoo.create("mlp(8, hidden=[6, 6], num_classes=2)")
    optimizer = torch.optim.AdamW(zoo.param_groups(net, {"head": {"lr": 0.1}, ":bias": {"lr": 0.2}}, lr=0.01))
    zoo.modify(net, "heads(a=3)", optimizer=optimizer)
    lrs = {n: g["lr"] for g in optimizer.param_groups for n in g["param_names"]}
    assert lrs == {
        "layers.0.weight": 0.01,
        "layers.0.bias": 0.2,
        "layers.2.weight": 0.01,
        "layers.2.bias": 0.2,
        "layers.4.a.weight": 0.1,
        "layers.4.a.bias": 0.1,
    }


def test_norms_of_libraries_are_norms() -> None:
    class RMSNormFp32(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(4))

    class NormFreeBlock(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.ones(()))
            self.norms = nn.ModuleList([RMSNormFp32(), nn.BatchNorm2d(4), nn.InstanceNorm1d(4, affine=True)])

    first, rest = zoo.param_groups(NormFreeBlock(), {":norm": {"lr": 1.0}})
    assert rest["param_names"] == ["gain"]
    assert len(first["params"]) == 5
    attention, *_ = zoo.param_groups(nn.MultiheadAttention(4, 2), {":bias": {"lr": 1.0}})
    assert attention["param_names"] == ["in_proj_bias", "out_proj.bias"]
