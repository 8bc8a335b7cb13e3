"""`switch` and `switch_act`: layers that a call chooses, against a forward written by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import zoo
from tests.modifiers.refusals import NOWHERE, OPTION, assert_refused
from tests.nets import gradients, same


class Switched(nn.Module):
    """An activation chosen by name, by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.out = nn.Linear(100, 50), nn.Linear(50, 50), nn.Linear(50, 3)
        self.acts = nn.ModuleDict({"relu": nn.ReLU(), "leaky_relu": nn.LeakyReLU(), "sigmoid": nn.Sigmoid()})

    def forward(self, x: Tensor, act_type: str = "relu") -> Tensor:
        act = self.acts[act_type]
        return self.out(act(self.two(act(self.one(x)))))  # type: ignore[no-any-return]


SWITCHED = "mlp(100, [50, 50], 3)+switch_act(relu, leaky_relu, sigmoid)"


@pytest.mark.parametrize("choice", [None, "relu", "leaky_relu", "sigmoid"])
def test_a_switched_network_is_the_one_written_by_hand(choice: str | None) -> None:
    model, plain = zoo.create(SWITCHED), Switched()
    assert list(model.state_dict()) == list(zoo.create("mlp(100, [50, 50], 3)").state_dict())
    model.load_state_dict(dict(zip(model.state_dict(), plain.state_dict().values(), strict=True)))
    x = torch.randn(8, 100)
    out, expected = model(x, act_type=choice), plain(x, **({"act_type": choice} if choice else {}))
    assert torch.equal(out, expected)
    assert same(gradients(model, out.square().mean()), gradients(plain, expected.square().mean()))
    assert isinstance(model.layers[1], nn.ModuleDict)


def test_a_choice_is_for_one_call() -> None:
    model, x = zoo.create(SWITCHED), torch.randn(2, 100)
    plain = model(x)
    with pytest.raises(zoo.OptionError, match=r"there is no act_type='silu'; the choices: relu, leaky_relu, sigmoid"):
        model(x, act_type="silu")
    assert torch.equal(model(x), plain)
    with pytest.raises(RuntimeError):
        model(torch.randn(2, 3), act_type="sigmoid")
    assert torch.equal(model(x), plain)
    assert not torch.equal(model(x, act_type="sigmoid"), plain)
    assert torch.equal(model(x), plain)


def test_any_layer_can_be_switched_and_several_at_once() -> None:
    mods = "switch(layers.1, a=ReLU(), b=Sequential(Linear(50, 50), Tanh()))+switch(layers.3, c=ReLU(), d=Sigmoid())"
    model, x = zoo.create(f"mlp(100, [50, 50], 3)+{mods}"), torch.randn(2, 100)
    first, b, second, _, last = model.layers[0], model.layers[1].b, model.layers[2], 0, model.layers[4]
    hidden = first(x)
    assert torch.equal(model(x), last(torch.relu(second(torch.relu(hidden)))))
    assert torch.equal(model(x, choice="b"), last(torch.relu(second(b(hidden)))))
    assert torch.equal(model(x, choice=["b", "d"]), last(torch.sigmoid(second(b(hidden)))))
    with pytest.raises(zoo.OptionError, match=r"there is no choice='e'; the choices: a, b, c, d"):
        model(x, choice=["b", "e"])
    assert torch.equal(model(x), last(torch.relu(second(torch.relu(hidden)))))


def test_the_default_is_the_layer_that_is_named_else_the_first_by_name() -> None:
    x = torch.randn(2, 100)
    for mods, default, spelt in [
        ("relu=ReLU(), gelu=GELU()", nn.functional.gelu, "gelu=GELU(), relu=ReLU()"),
        ("relu=ReLU(), gelu=GELU(), default=relu", torch.relu, "default=relu, gelu=GELU(), relu=ReLU()"),
    ]:
        model = zoo.create(f"simple+switch(layers1.1, {mods})")
        assert torch.equal(model.layers1(x), default(model.layers1[0](x)))
        assert str(zoo.spec_of(model)) == f"simple+switch(site=layers1.1, {spelt})"
        again = zoo.create(zoo.spec_of(model), weights=model).eval()
        assert torch.equal(again(x), model.eval()(x))
    model = zoo.create("simple+switch_act(sigmoid, relu)")  # as they are written
    assert torch.equal(model.layers1(x), torch.sigmoid(model.layers1[0](x)))


def test_choices_may_start_with_the_old_layers_weights() -> None:
    base = zoo.create("convnet(8, 2)")
    conv = "Conv2d(3, 8, 3, padding=1, bias=False)"
    mods = f"switch(blocks.0.conv, keep_weights=True, a={conv}, b=Sequential({conv}, Identity()))"
    model = zoo.modify(base, mods, copy=True)
    assert torch.equal(model.blocks[0].conv.a.weight, base.blocks[0].conv.weight)
    assert not torch.equal(model.blocks[0].conv.b[0].weight, base.blocks[0].conv.weight)
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(model.eval()(x), base.eval()(x))


def test_a_switch_takes_over_weights_and_hooks_of_an_activation() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.PReLU(4, init=0.7))
    calls: list[int] = []
    handle = net[1].register_forward_hook(lambda *_: calls.append(1))
    zoo.modify(net, "switch_act(prelu, relu)")
    assert net[1].prelu.weight.tolist() == pytest.approx([0.7] * 4)
    net(torch.randn(2, 4))
    assert calls == [1]
    handle.remove()
    net(torch.randn(2, 4), act_type="relu")
    assert calls == [1]


def test_activations_over_a_switch_replace_it_whole() -> None:
    model = zoo.create(SWITCHED)
    zoo.modify(model, "switch_act(silu, mish)")
    assert [list(m) for m in model.modules() if isinstance(m, nn.ModuleDict)] == [["silu", "mish"]] * 2
    zoo.modify(model, "act(tanh)")
    assert [type(m).__name__ for m in model.layers] == ["Linear", "Tanh", "Linear", "Tanh", "Linear"]
    with pytest.raises(zoo.OptionError, match="there is no act_type='silu'; the choices: none any more"):
        model(torch.randn(2, 100), act_type="silu")


def test_choices_go_with_tasks() -> None:
    model = zoo.create("convnet(8, 2)+switch_act(relu, silu)+heads(a=3, b=1)").eval()
    silu = zoo.create("convnet(8, 2)+act(silu)+heads(a=3, b=1)").eval()
    silu.load_state_dict(model.state_dict())
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(model(x, task="b", act_type="silu"), silu(x, task="b"))
    assert list(model(x, act_type="silu")) == ["a", "b"]


class Owner(nn.Module):
    """Has an `act_type` of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU()

    def forward(self, x: Tensor, act_type: int = 0) -> Tensor:
        return self.act(x) + act_type  # type: ignore[no-any-return]


def test_an_option_that_the_forward_has_already_is_not_taken() -> None:
    with pytest.raises(zoo.NotApplicableError, match="the forward of Owner has a 'act_type' of its own"):
        zoo.modify(Owner(), "switch_act(relu, silu)")


SWITCH_REFUSALS = [
    ("simple+switch_act(relu)", OPTION, "switch_act needs two or more different activations, as in "),
    ("simple+switch_act(relu, relu)", OPTION, "switch_act needs two or more different activations, as in "),
    ("simple+switch_act(relu, slu)", OPTION, "act: no activation 'slu'; did you mean 'silu'?"),
    ("simple+switch(layers1.1, a=ReLU())", OPTION, "switch needs two or more name=layer, as in switch(act1, "),
    (
        "simple+switch(layers1.1, a=ReLU(), b=GELU(), default=c)",
        OPTION,
        "switch: there is no layer 'c' to be ",
    ),
    (
        "simple+switch(layers1.1, a=ReLU(), chosen=ReLU())",
        OPTION,
        "switch: a layer can't be called 'chosen': ",
    ),
    ("simple+switch(layers1.1, a=ReLU(), keys=ReLU())", OPTION, "switch: a layer can't be called 'keys': "),
    ("simple+switch(nowhere, a=ReLU(), b=GELU())", NOWHERE, "at=nowhere matches nothing in this Simple; "),
]


@pytest.mark.parametrize(("spec", "kind", "text"), SWITCH_REFUSALS, ids=[spec for spec, _, _ in SWITCH_REFUSALS])
def test_refusals(spec: str, kind: type[zoo.ZooError], text: str) -> None:
    assert_refused(spec, kind, text)
