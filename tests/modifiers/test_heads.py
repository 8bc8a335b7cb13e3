"""`heads` and `drop_heads`, against several outputs written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zoo
from tests.modifiers.refusals import NOTHING, NOWHERE, OPTION, assert_refused
from tests.nets import gradients, images, run, same


class MultiTask(nn.Module):
    """Classification and regression on one trunk, by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Linear(100, 50)
        self.cls = nn.Linear(50, 10)
        self.reg = nn.Sequential(nn.Linear(50, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 1))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = torch.relu(self.trunk(x))
        return {"cls": self.cls(x), "reg": self.reg(x)}


def multi_task(mods: str = "heads(cls=10, reg=Head(1, hidden=16, dropout=0.3))") -> nn.Module:
    return zoo.modify(zoo.create("mlp(100, [50], 3)"), mods)


def test_heads_are_the_network_written_by_hand() -> None:
    model, plain = multi_task(), MultiTask()
    assert [tuple(t.shape) for t in model.state_dict().values()] == [
        tuple(t.shape) for t in plain.state_dict().values()
    ]
    model.load_state_dict(dict(zip(model.state_dict(), plain.state_dict().values(), strict=True)))
    x, labels, values = torch.randn(8, 100), torch.randint(10, (8,)), torch.randn(8, 1)
    results = []
    for net in (model, plain):
        torch.manual_seed(3)
        out = net(x)
        loss = nn.functional.cross_entropy(out["cls"], labels) + nn.functional.mse_loss(out["reg"], values)
        results.append(([out["cls"], out["reg"]], gradients(net, loss)))
    assert same(results[0][0], results[1][0])
    torch.testing.assert_close(results[0][1], results[1][1])
    model.eval()
    assert torch.equal(model(x, task="reg"), plain.eval()(x)["reg"])


def test_hidden_and_dropout_hold_for_every_head_that_says_nothing_else() -> None:
    model = multi_task("heads(a=2, b=Head(3), hidden=8, dropout=0.1)")
    kinds = {name: [type(m).__name__ for m in head.modules()] for name, head in model.layers[2].items()}
    assert kinds == {"a": ["Sequential", "Linear", "ReLU", "Dropout", "Linear"], "b": ["Linear"]}
    only = multi_task("heads(a=2, dropout=0.1)").layers[2].a
    assert [type(m).__name__ for m in only] == ["Dropout", "Linear"]


def test_a_default_head_is_the_one_that_is_computed() -> None:
    model, x = multi_task("heads(cls=10, reg=1, default=cls)").eval(), torch.randn(4, 100)
    calls: list[str] = []
    for name, head in model.layers[2].items():
        head.register_forward_hook(lambda *_, name=name: calls.append(name))
    assert model(x).shape == (4, 10)
    assert calls == ["cls"]
    every = model(x, task="*")
    assert list(every) == ["cls", "reg"]
    assert torch.equal(model(x), every["cls"])
    assert torch.equal(model(x, task="reg"), every["reg"])
    zoo.modify(model, "heads(default=reg)")
    assert torch.equal(model(x), every["reg"])
    assert [str(part) for part in zoo.spec_of(model).parts][-1] == "heads(default=reg)"


def test_heads_come_and_go_on_a_live_model() -> None:
    model, x = multi_task().eval(), torch.randn(4, 100)
    optimizer = torch.optim.AdamW(model.parameters())
    before = model(x)
    zoo.modify(model, "heads(new=Head(5, hidden=4))+drop_heads(reg)", optimizer=optimizer)
    after = model(x)
    assert list(after) == ["cls", "new"]
    assert torch.equal(after["cls"], before["cls"])
    assert after["new"].shape == (4, 5)
    assert {id(p) for p in model.parameters()} == {id(p) for p in optimizer.param_groups[0]["params"]}
    again = zoo.create(str(zoo.spec_of(model))).eval()
    again.load_state_dict(model.state_dict())
    assert same(run(again, x, training=True), run(model, x, training=True))


def test_convolutional_heads_may_have_a_hidden_layer() -> None:
    model = zoo.create("torchvision/squeezenet1_1+heads(a=3, b=Head(2, hidden=8))")
    assert {k: tuple(v.shape) for k, v in model(torch.randn(1, 3, 64, 64)).items()} == {"a": (1, 3), "b": (1, 2)}


def test_a_head_that_was_put_in_by_hand_is_no_silent_mistake() -> None:
    model = multi_task("heads(a=2, b=1)")
    zoo.replace(model, "layers.2.b", nn.Linear(50, 4))
    with pytest.raises(zoo.ShapeError, match="the head 'b' gives 4 outputs, not 1; drop_heads takes one away"):
        model(torch.randn(2, 100))


def put_by_hand(model: nn.Module) -> nn.Module:
    model.fc = nn.Linear(512, 3)
    return model


def reset_by_hand(model: Any) -> nn.Module:
    model.reset_classifier(3)
    return model  # type: ignore[no-any-return]


BY_HAND = {
    "assigned": put_by_hand,
    "timm's own": reset_by_hand,
    "zoo.replace": lambda m: zoo.replace(m, "fc", nn.Linear(512, 3)),
    "replace": lambda m: zoo.modify(m, "replace(fc, Linear(512, 3))"),
}


@pytest.mark.parametrize("way", BY_HAND)
def test_heads_that_were_replaced_are_gone(way: str) -> None:
    model: Any = BY_HAND[way](zoo.create("resnet18+heads(a=2, b=1, default=b)")).eval()
    x = torch.randn(1, 3, 32, 32)
    assert torch.equal(model(x), model.fc(model.forward_head(model.forward_features(x), pre_logits=True)))
    with pytest.raises(zoo.NotApplicableError, match="task='a': there are no heads at fc any more; leave task= out"):
        model(x, task="a")
    with pytest.raises(zoo.NotApplicableError, match=r"this ResNet has no heads; heads\(cls=10, reg=1\) makes them"):
        zoo.modify(model, "drop_heads(a)")
    assert zoo.modify(model, "num_classes(7)", copy=True)(x).shape == (1, 7)
    again = zoo.modify(model, "heads(c=4)")
    assert {name: tuple(out.shape) for name, out in again(x).items()} == {"c": (1, 4)}


def test_heads_of_a_users_model_that_were_replaced_are_gone() -> None:
    net = zoo.modify(nn.Sequential(nn.ReLU(), nn.Linear(5, 2)), 'heads(a=2, b=1, at="1")')
    zoo.modify(net, 'replace("1", Linear(5, 3))')
    assert net(torch.randn(2, 5)).shape == (2, 3)
    zoo.modify(net, 'heads(a=2, at="1")')
    assert zoo.modify(net, "num_classes(4)")(torch.randn(2, 5)).shape == (2, 4)
    assert type(net) is nn.Sequential


BACK = {
    "mlp+heads(a=3, b=Head(2, hidden=4))": "mlp",
    "convnet+heads(a=3, default=a)": "convnet",
    "torchvision/squeezenet1_1+heads(a=2)": "torchvision/squeezenet1_1",
    "test_resnet+heads(a=2)": "test_resnet",
    "deit_tiny_distilled_patch16_224(depth=1)+heads(a=2)": "deit_tiny_distilled_patch16_224(depth=1)",
}


@pytest.mark.parametrize("n", [5, 0, 1000])
@pytest.mark.parametrize("spec", BACK)
def test_num_classes_leads_back_from_heads(spec: str, n: int, tmp_path: Path) -> None:
    model = zoo.modify(zoo.create(spec), f"num_classes({n})")
    plain = zoo.create(f"{BACK[spec]}+num_classes({n})")
    assert type(model) is type(plain)
    assert not zoo.diff(plain, model)
    assert not zoo.verify(model)
    zoo.save(model, tmp_path / "m.safetensors")
    assert not zoo.verify(zoo.load(tmp_path / "m.safetensors"))


def test_a_default_head_can_be_undone() -> None:
    model, x = multi_task("heads(cls=10, reg=1, default=cls)+heads(default='*')").eval(), torch.randn(4, 100)
    assert list(model(x)) == ["cls", "reg"]
    assert list(zoo.create(zoo.spec_of(zoo.modify(model, "drop_heads(cls)")))(x)) == ["reg"]


HEAD_REFUSALS = [
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
    ("simple+heads(a=2, default=b)", OPTION, "heads: there is no head 'b' to be the default; the heads: a"),
    ("simple+heads(default=b)", OPTION, "heads needs at least one name=size, as in heads(cls=10, reg=1)"),
    ("simple+heads(a=Linear(4, 2))", OPTION, "heads: a is Linear(4, 2); expected a number of outputs, or a "),
    ("simple+heads(a=Head(0))", OPTION, "Head: size is 0; expected an integer of at least 1"),
    ("simple+heads(a=Head(1, hidden=0))", OPTION, "Head: hidden is 0; expected an integer of at least 1"),
    ("simple+heads(a=Head(1, dropout=2))", OPTION, "Head: dropout is 2; expected a number from 0 to 1"),
    ("simple+heads(a=1, hidden=0)", OPTION, "heads: hidden is 0 (int); expected greater than or equal to 1"),
    ("simple+drop_heads(a)", NOTHING, "this Simple has no heads; heads(cls=10, reg=1) makes them"),
    ("simple+heads(a=1)+drop_heads", OPTION, "drop_heads needs the names of heads; there are a"),
    ("simple+heads(a=1)+drop_heads(b)", OPTION, "there is no head 'b'; the heads: a"),
    ("simple+heads(a=1, b=2)+drop_heads(a, b)", OPTION, "drop_heads leaves a model one head at least; "),
    ("simple+heads(a=1, b=2, default=a)+drop_heads(a)", OPTION, "'a' is what model(x) gives; name another "),
]


def test_a_head_goes_where_a_layer_of_its_size_was() -> None:
    with pytest.raises(zoo.ShapeError) as caught:
        zoo.create("simple+replace(layers3, Head(3))")
    assert str(caught.value).startswith("simple+replace(site=layers3, layer=Head(3)): a forward ")


@pytest.mark.parametrize(("spec", "kind", "text"), HEAD_REFUSALS, ids=[spec for spec, _, _ in HEAD_REFUSALS])
def test_refusals(spec: str, kind: type[zoo.ZooError], text: str) -> None:
    assert_refused(spec, kind, text)


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
    x = images(4, 16)
    for training in (False, True):
        got, expected = run(model, x, training=training), run(hand, x, training=training)
        assert isinstance(got, dict)
        assert list(got) == list(expected)
        for name, out in expected.items():
            torch.testing.assert_close(got[name], out)
            torch.testing.assert_close(run(model, x, training=training, task=name), out)


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
    out = run(model, x)
    torch.testing.assert_close(out["same"], run(plain, x))
    assert out["other"].shape == (2, 2)


@pytest.mark.parametrize(("arch", "shape"), HEADED)
def test_a_task_gives_one_tensor_for_one_call(arch: str, shape: tuple[int, ...]) -> None:
    model, x = zoo.create(f"{arch}+heads(a=3, b=1)"), torch.randn(2, *shape)
    every = run(model, x)
    assert {name: tuple(out.shape) for name, out in every.items()} == {"a": (2, 3), "b": (2, 1)}
    for name in ("b", "a"):
        torch.testing.assert_close(run(model, x, task=name), every[name])
    with pytest.raises(zoo.OptionError, match=r"there is no head 'c'; the heads: a, b"):
        run(model, x, task="c")
    with pytest.raises((RuntimeError, ValueError)):  # fails inside, after the choice was made
        run(model, torch.randn(2, 3), task="a")
    after = run(model, x)
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
    x = images(4, 16)
    out = run(model, x)
    assert [(name, t.shape[1]) for name, t in out.items()] == [("a", 3), ("b", 2), ("c", 1)]
    torch.testing.assert_close(run(model, x, task="c"), out["c"])
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
    assert set(run(model, x)) == {name, "other"}
    assert run(model, x, task=name).shape == (3, 2)


def refusal(spec: str) -> str | None:
    try:
        zoo.create(spec)
    except zoo.OptionError as error:
        return str(error)
    return None
