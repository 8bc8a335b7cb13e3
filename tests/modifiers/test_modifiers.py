"""Each modifier against a class written out by hand, or against timm's own option for the same thing."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

import zoo


def image(size: int, channels: int = 3) -> Tensor:
    return torch.randn(4, channels, size, size, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def run(model: nn.Module, x: Tensor, training: bool, **kwargs: Any) -> Any:
    """One forward under one seed."""
    model.train(training)
    torch.manual_seed(3)
    return model(x, **kwargs)


def same_outputs(a: nn.Module, b: nn.Module, x: Tensor, modes: tuple[bool, ...] = (False, True)) -> bool:
    return all(torch.equal(run(a, x, mode), run(b, x, mode)) for mode in modes)


def changed(spec: str) -> dict[str, str]:
    """What a spec's modifiers did: path to what."""
    return {change.path: change.what for change in zoo.changes(zoo.create(spec))}


def settings(module: nn.Module) -> dict[str, Any]:
    """The configuration of one module without its children, weights and hooks."""
    plain = (int, float, str, bool, type(None), tuple)
    return {k: v for k, v in vars(module).items() if isinstance(v, plain)}


# dropout


class SimpleWithDropout(nn.Module):
    """`simple` with Dropout(0.5) in front of the BatchNorm, written out."""

    def __init__(self) -> None:
        super().__init__()
        self.linear1 = nn.Linear(100, 100)
        self.linear2 = nn.Linear(100, 70)
        self.dropout = nn.Dropout(p=0.5)
        self.norm = nn.BatchNorm1d(70)
        self.linear3 = nn.Linear(70, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.linear1(x))
        x = torch.relu(self.linear2(x))
        x = self.dropout(x)
        x = self.norm(x)
        return self.linear3(x)


@pytest.mark.parametrize("training", [False, True])
def test_simple_with_dropout_is_the_class_written_out(training: bool) -> None:
    model, hand = zoo.create("simple+dropout"), SimpleWithDropout()
    hand.load_state_dict(dict(zip(hand.state_dict(), model.state_dict().values(), strict=True)))
    x = torch.randn(32, 100)
    out = run(model, x, training)
    assert torch.equal(out, run(hand, x, training))
    if training:  # the dropout is really there
        assert not torch.equal(out, run(zoo.modify(model, "dropout(0.0)"), x, True))


@pytest.mark.parametrize(
    ("arch", "size"),
    [
        ("resnet18", 48),
        ("vit_tiny_patch16_224(img_size=32, depth=2)", 32),
        ("convnext_atto", 48),
        ("efficientnet_b0", 48),
        ("mobilenetv3_small_050", 48),
        ("swin_tiny_patch4_window7_224(img_size=56, depths=[2, 1], embed_dim=24, num_heads=[1, 2])", 56),
    ],
)
def test_dropout_is_timms_drop_rate(arch: str, size: int) -> None:
    model = zoo.create(f"{arch}+dropout(0.3)")
    theirs = zoo.create(arch, drop_rate=0.3)
    theirs.load_state_dict(model.state_dict())
    x = image(size)
    assert same_outputs(model, theirs, x)
    bare = zoo.create(arch)
    bare.load_state_dict(model.state_dict())
    assert not torch.equal(run(model, x, True), run(bare, x, True))


class MLPWithDropouts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linears = nn.ModuleList([nn.Linear(20, 16), nn.Linear(16, 8), nn.Linear(8, 3)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.linears[0](nn.functional.dropout(x, 0.4, self.training)).relu()
        x = self.linears[1](nn.functional.dropout(x, 0.4, self.training)).relu()
        return self.linears[2](nn.functional.dropout(x, 0.1, self.training))


def test_dropout_in_several_places() -> None:
    model = zoo.create("mlp(20, [16, 8], 3)+dropout(0.4, at=Linear)+dropout(0.1)")
    hand = MLPWithDropouts()
    hand.load_state_dict(dict(zip(hand.state_dict(), model.state_dict().values(), strict=True)))
    assert same_outputs(model, hand, torch.randn(64, 20))


@pytest.mark.parametrize(
    ("spec", "dropouts"),
    [
        ("simple+dropout+dropout(0.25)", [0.25]),
        ("mlp+dropout(0.2)+dropout(0.3)", [0.3]),
        ("convnet+dropout(0.2)+dropout(0.2)", [0.2]),
        ("vit_tiny_patch16_224(depth=1)+dropout(0.2)+dropout(0.4)", [0.4]),
        ("simple+dropout(0.2)+dropout(0.4, at=layers2)", [0.2, 0.4]),
        ("simple+dropout(0.2)+dropout(0.4, at=layers3.1)", [0.2, 0.4]),
        ("simple+dropout(0.2, at=[layers1, head])", [0.2, 0.2]),
        ("simple+dropout(0.2, at=[layers1, head])+dropout(0.1, at=stem)", [0.1, 0.2]),
        ("mlp+dropout(0.2, at=[Linear, !head])", [0.2, 0.2]),
    ],
)
def test_dropout_again_sets_p(spec: str, dropouts: list[float]) -> None:
    model = zoo.create(spec)
    assert sorted(m.p for m in model.modules() if isinstance(m, nn.Dropout) and m.p) == sorted(dropouts)


def test_dropout_again_sets_drop_rate() -> None:
    model = zoo.create("resnet18+dropout(0.2)+dropout(0.4)")
    assert model.drop_rate == 0.4
    assert not [m for m in model.modules() if isinstance(m, nn.Dropout)]


@pytest.mark.parametrize(
    ("at", "paths"),
    [
        ("layer1", {"layer1.0"}),  # in front of a Sequential is in front of its first element
        ("stem", {"conv1"}),
        ('"layer*.1.conv2"', {f"layer{i}.1.conv2" for i in (1, 2, 3, 4)}),
        ("MaxPool2d", {"maxpool"}),
        ('["layer?", !layer2, !layer4]', {"layer1.0", "layer3.0"}),
        ("[head, layer2]", {"", "layer2.0"}),
    ],
)
def test_where_dropout_goes(at: str, paths: set[str]) -> None:
    assert set(changed(f"resnet18+dropout(0.1, at={at})")) == paths


@pytest.mark.parametrize("arch", ["simple", "mlp", "convnet", "resnet18", "vit_tiny_patch16_224(img_size=32, depth=1)"])
def test_dropout_and_heads_in_either_order(arch: str) -> None:
    """The dropout stands in front of the heads, whichever came first."""
    one = zoo.create(f"{arch}+dropout(0.4)+heads(a=3, b=1)")
    other = zoo.create(f"{arch}+heads(a=3, b=1)+dropout(0.4)")
    # The key of a dropout holds no weights, so the two have the same ones.
    other.load_state_dict(one.state_dict())
    shape = {"simple": (100,), "mlp": (784,)}.get(arch, (3, 32, 32))
    x = torch.randn(4, *shape)
    for training in (False, True):
        a, b = run(one, x, training), run(other, x, training)
        assert list(a) == list(b) == ["a", "b"]
        assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(run(other, x, True)["a"], run(other, x, False)["a"])


# bn


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
        assert torch.equal(run(model, x, True), run(hand, x, True))
    assert all(torch.equal(t, hand.state_dict()[name]) for name, t in model.state_dict().items())
    assert torch.equal(run(model, x, False), run(hand, x, False))


def test_bn_is_timms_bn_eps_and_bn_momentum() -> None:
    """Norms that hold an activation too keep it."""
    model = zoo.create("efficientnet_b0+bn(eps=0.01, momentum=0.3)")
    theirs = timm.create_model("efficientnet_b0", bn_eps=0.01, bn_momentum=0.3)
    theirs.load_state_dict(model.state_dict())
    assert same_outputs(model, theirs, image(48), (True, False))
    assert str(model) == str(theirs)


@pytest.mark.parametrize(
    ("at", "count"), [("layer1", 4), ("BatchNorm2d", 20), ('"*.bn1"', 8), ("[layer1, layer2, !layer2.0]", 6)]
)
def test_where_bn_works(at: str, count: int) -> None:
    assert list(changed(f"resnet18+bn(eps=1e-4, at={at})").values()) == ["eps"] * count


# act


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
    assert same_outputs(model, theirs, image(size), (False,))
    assert [type(m) for m in model.modules()] == [type(m) for m in theirs.modules()]


def test_resnet18_with_silu_is_timms_own() -> None:
    model, theirs = zoo.create("resnet18+act(silu)"), timm.create_model("resnet18", act_layer="silu")
    theirs.load_state_dict(model.state_dict())
    assert same_outputs(model, theirs, image(48))
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


# heads


class Multihead(nn.Module):
    """`convnet(channels=4, depth=2)` with two heads, written out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.conv2, self.norm2 = nn.Conv2d(4, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.cls, self.reg = nn.Linear(8, 5), nn.Linear(8, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.norm1(self.conv1(x)).relu()
        x = self.norm2(self.conv2(nn.functional.max_pool2d(x, 2))).relu()
        x = x.mean((2, 3))
        return {"cls": self.cls(x), "reg": self.reg(x)}


def test_heads_are_the_class_written_out() -> None:
    model, hand = zoo.create("convnet(channels=4, depth=2)+heads(cls=5, reg=1)"), Multihead()
    hand.load_state_dict(dict(zip(hand.state_dict(), model.state_dict().values(), strict=True)))
    x = image(16)
    for training in (False, True):
        got, expected = run(model, x, training), run(hand, x, training)
        assert isinstance(got, dict)
        assert list(got) == list(expected)
        for name, out in expected.items():
            torch.testing.assert_close(got[name], out)
            torch.testing.assert_close(run(model, x, training, task=name), out)


def test_heads_take_part_in_training() -> None:
    """Each head gets the gradient of its own loss alone, the trunk that of both."""
    model = zoo.create("simple+heads(a=3, b=1)")
    out = model(torch.randn(8, 100))
    out["a"].sum().backward()
    grads = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    heads = model.layers3[1]
    assert isinstance(heads, nn.ModuleDict)
    assert list(heads) == ["a", "b"]
    assert {"layers1.0.weight", "layers3.1.a.weight", "layers3.1.a.bias"} <= grads
    assert not {name for name in grads if name.startswith("layers3.1.b")}


HEADED = [
    ("simple", (100,)),
    ("mlp", (784,)),
    ("convnet", (3, 8, 8)),
    ("resnet18", (3, 48, 48)),
    ("vit_tiny_patch16_224(img_size=32, depth=1)", (3, 32, 32)),
    ("convnext_atto", (3, 48, 48)),
    ("mobilenetv3_small_050", (3, 48, 48)),
]


@pytest.mark.parametrize(("arch", "shape"), HEADED)
def test_a_head_with_the_classifiers_weights_is_the_classifier(arch: str, shape: tuple[int, ...]) -> None:
    plain = zoo.create(arch)
    classifier = {"simple": "layers3.1", "mlp": "layers.4"}.get(arch) or zoo.sites_of(plain)["head"][0]
    old = plain.get_submodule(classifier)
    model = zoo.create(f"{arch}+heads(same={old.out_features}, other=2)")
    names = {name.replace(f"{classifier}.", f"{classifier}.same."): t for name, t in plain.state_dict().items()}
    result = model.load_state_dict(names, strict=False)
    assert result.missing_keys == [f"{classifier}.other.weight", f"{classifier}.other.bias"]
    x = torch.randn(2, *shape)
    out = run(model, x, False)
    torch.testing.assert_close(out["same"], run(plain, x, False))
    assert out["other"].shape == (2, 2)


@pytest.mark.parametrize(("arch", "shape"), HEADED)
def test_a_task_gives_one_tensor_for_one_call(arch: str, shape: tuple[int, ...]) -> None:
    model, x = zoo.create(f"{arch}+heads(a=3, b=1)"), torch.randn(2, *shape)
    every = run(model, x, False)
    assert {name: tuple(out.shape) for name, out in every.items()} == {"a": (2, 3), "b": (2, 1)}
    for name in ("b", "a"):
        torch.testing.assert_close(run(model, x, False, task=name), every[name])
    with pytest.raises(zoo.OptionError, match=r"there is no head 'c'; the heads: a, b"):
        run(model, x, False, task="c")
    with pytest.raises((RuntimeError, ValueError)):  # fails inside, after the choice was made
        run(model, torch.randn(2, 3), False, task="a")
    after = run(model, x, False)
    assert all(torch.equal(after[name], every[name]) for name in every)


def test_only_the_head_of_the_task_is_computed() -> None:
    model = zoo.create("simple+heads(a=3, b=1)")
    calls: list[str] = []
    for name, head in model.layers3[1].items():
        head.register_forward_hook(lambda *_, name=name: calls.append(name))
    model(torch.randn(2, 100), task="b")
    assert calls == ["b"]
    model(torch.randn(2, 100))
    assert calls == ["b", "a", "b"]


def test_heads_of_heads_join_them() -> None:
    torch.manual_seed(0)
    model = zoo.create("convnet+heads(a=3)")
    trained = model.head.a.weight.detach().clone()
    zoo.modify(model, "heads(b=2, c=1)")
    assert list(model.head) == ["a", "b", "c"]
    assert torch.equal(model.head.a.weight, trained)
    x = image(16)
    out = run(model, x, False)
    assert [(name, t.shape[1]) for name, t in out.items()] == [("a", 3), ("b", 2), ("c", 1)]
    torch.testing.assert_close(run(model, x, False, task="c"), out["c"])
    assert [str(part) for part in zoo.spec_of(model).parts] == ["heads(a=3)", "heads(b=2, c=1)"]


def test_heads_keep_whether_there_is_a_bias() -> None:
    model = zoo.create("simple")
    model.layers3[1] = nn.Linear(70, 2, bias=False)
    assert zoo.modify(model, "heads(a=3)").layers3[1].a.bias is None


@pytest.mark.parametrize(
    "name", ["bias", "in_features", "add", "dim", "sizes", "task", "tasks", "layers", "heads", "_x"]
)
def test_a_heads_name_is_taken_or_refused_with_the_reason(name: str) -> None:
    spec = f"simple+heads({name}=2, other=1)"
    if (reason := refusal(spec)) is not None:
        assert reason.startswith(f"heads: a head can't be called '{name}': ")
        return
    model, x = zoo.create(spec), torch.randn(3, 100)
    assert set(run(model, x, False)) == {name, "other"}
    assert run(model, x, False, task=name).shape == (3, 2)


def refusal(spec: str) -> str | None:
    try:
        zoo.create(spec)
    except zoo.OptionError as error:
        return str(error)
    return None


def test_all_modifiers_together() -> None:
    spec = "resnet18+act(silu)+bn(eps=1e-4)+dropout(0.2)+heads(cls=10, reg=1)"
    torch.manual_seed(0)
    model = zoo.create(spec)
    theirs = timm.create_model("resnet18", act_layer="silu", drop_rate=0.2, num_classes=11)
    state = {name: t for name, t in model.state_dict().items() if not name.startswith("fc.")}
    for key in ("weight", "bias"):
        state[f"fc.{key}"] = torch.cat([getattr(model.fc.cls, key), getattr(model.fc.reg, key)])
    theirs.load_state_dict(state)
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-4
    x = image(48)
    for training in (False, True):
        got, expected = run(model, x, training), run(theirs, x, training)
        torch.testing.assert_close(got["cls"], expected[:, :10])
        torch.testing.assert_close(got["reg"], expected[:, 10:])


# refusals

OPTION, NOWHERE, NOTHING = zoo.OptionError, zoo.NoEffectError, zoo.NotApplicableError


@pytest.mark.parametrize(
    ("spec", "kind", "text"),
    [
        ("simple+dropout(1.1)", OPTION, "dropout: p is 1.1 (float); expected less than or equal to 1; its options: "),
        ("simple+dropout(-0.1)", OPTION, "dropout: p is -0.1 (float); expected greater than or equal to 0; its "),
        ("simple+dropout(True)", OPTION, "dropout: p is True (bool); expected a valid number; its options: "),
        ("simple+dropout(much)", OPTION, "dropout: p is 'much' (str); expected a valid number; its options: "),
        ("simple+dropout(q=0.1)", OPTION, "dropout has no option 'q'; its options: dropout(p: float ≥ 0 ≤ 1 = 0.5, "),
        ("simple+dropout(at=nowhere)", NOWHERE, "at=nowhere matches nothing in this Simple; sites: stem, head; "),
        ("simple+dropout(at=[head, nowhere])", NOWHERE, "at=nowhere matches nothing in this Simple; sites: stem, "),
        ("simple+dropout(at=[head, !nowhere])", NOWHERE, "at=nowhere matches nothing in this Simple; sites: stem, "),
        ("resnet18+dropout(at=[head, !nowhere])", NOWHERE, "at=nowhere matches nothing in this ResNet; sites: "),
        ("simple+act", OPTION, "act needs 'name'; its options: act(name: str, at: Where = '*')"),
        ("simple+act(slu)", OPTION, "act: no activation 'slu'; did you mean 'silu'?"),
        ("simple+act(3)", OPTION, "act: name is 3 (int); expected a valid string; its options: act(name: str, "),
        ("simple+act(load_state_dict_from_url)", OPTION, "act: no activation 'load_state_dict_from_url'; the names: "),
        ("simple+act(silu, at=nowhere)", NOWHERE, "at=nowhere matches nothing in this Simple; sites: stem, head; "),
        ("simple+act(silu, at=head)", NOWHERE, "at=head matches 'layers3' (Sequential), which holds nothing to "),
        ("mlp+act(silu, at=[!ReLU])", zoo.NoEffectError, "the exclusions leave nothing of at=!ReLU; exclude less"),
        ("simple+bn", OPTION, "bn needs eps or momentum, as in bn(eps=1e-4)"),
        ("simple+bn(eps=-1e-3)", OPTION, "bn: eps is -0.001 (float); expected greater than or equal to 0; its "),
        ("simple+bn(eps=small)", OPTION, "bn: eps is 'small' (str); expected a valid number; its options: "),
        ("simple+bn(momentum=1.1)", OPTION, "bn: momentum is 1.1 (float); expected less than or equal to 1 or "),
        ("simple+bn(momentum=fast)", OPTION, "bn: momentum is 'fast' (str); expected a valid number or 'cumulative'; "),
        ("simple+bn(eps=1e-4, at=stem)", NOWHERE, "at=stem matches 'layers1.0' (Linear), which holds nothing to "),
        ("mlp+bn(eps=1e-4)", NOTHING, "this MLP has no BatchNorm"),
        ("simple+heads", OPTION, "heads needs at least one name=size, as in heads(cls=10, reg=1)"),
        ("simple+heads()", OPTION, "heads needs at least one name=size, as in heads(cls=10, reg=1)"),
        ("simple+heads(a=0)", OPTION, "heads: a is 0 (int); expected greater than or equal to 1; its options: "),
        ("simple+heads(a=1.5)", OPTION, "heads: a is 1.5 (float); expected a valid integer; its options: "),
        ("simple+heads(a=True)", OPTION, "heads: a is True (bool); expected a valid integer; its options: "),
        ("simple+heads(a=[1])", OPTION, "heads: a is [1] (list); expected a valid integer; its options: "),
        ("simple+heads(forward=1)", OPTION, "heads: a head can't be called 'forward': nn.ModuleDict has an attribute"),
        ("simple+heads(keys=1)", OPTION, "heads: a head can't be called 'keys': nn.ModuleDict has an attribute of "),
        ("simple+heads(training=1)", OPTION, "heads: a head can't be called 'training': nn.ModuleDict has an "),
        ("simple+heads(lambda=1)", OPTION, "heads: a head can't be called 'lambda': Python can't take it for a name"),
        ("simple+heads(a.b=1)", OPTION, "heads: a head can't be called 'a.b': Python can't take it for a name; "),
        ("simple+heads(a=1)+heads(a=2)", OPTION, "heads: there is a head 'a' already"),
        ("simple+heads(a=1, at=nowhere)", NOWHERE, "at=nowhere matches nothing in this Simple; sites: stem, head; "),
        ("simple+heads(a=1, at=layers1.1)", NOTHING, "heads needs a linear layer or a convolution at 'layers1.1', "),
    ],
)
def test_refusals(spec: str, kind: type[zoo.ZooError], text: str) -> None:
    with pytest.raises(kind) as caught:
        zoo.create(spec)
    assert type(caught.value) is kind
    assert str(caught.value).startswith(text)
    number = spec.count("+")
    assert f"\n  in part {number}, '" in str(caught.value)
    model = zoo.create(spec.split("+")[0])
    before = [(path, type(m)) for path, m in model.named_modules()]
    with pytest.raises(kind):
        zoo.modify(model, spec.partition("+")[2])
    assert [(path, type(m)) for path, m in model.named_modules()] == before
    assert not zoo.changes(model)


def test_dropout_in_front_of_an_embedding_is_refused() -> None:
    """It would fail at the first step of training: nobody drops a part of whole numbers."""
    net = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 2))
    with pytest.raises(zoo.NotApplicableError, match=r"^'0' takes whole numbers, of which dropout can't drop a part"):
        zoo.modify(net, 'dropout(0.1, at="0")')
