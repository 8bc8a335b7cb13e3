"""Networks that change while they live, against classes written by hand: chains, heads, switches, freezing."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zoo
from zoo.spec.values import Call


def run(model: Any, x: Tensor, **kwargs: Any) -> list[Tensor]:
    torch.manual_seed(2)  # what dropout draws
    out = model(x, **kwargs)
    return list(out.values()) if isinstance(out, dict) else [out]


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def gradients(model: nn.Module, loss: Tensor) -> list[Tensor]:
    loss.backward()
    return [p.grad for p in model.parameters() if p.grad is not None]


# -- chains -----------------------------------------------------------------------------------------------------------


class Row(nn.Module):
    """What a chain computes, in plain PyTorch."""

    def __init__(self, *channels: int) -> None:
        super().__init__()
        pairs = pairwise(channels)
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True))
                for a, b in pairs
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(x)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("channels", "parameters"), [((32,), 928), ((32, 64), 19_488), ((32, 64, 128), 93_472)], ids=str
)
def test_a_chain_is_the_network_written_by_hand(channels: tuple[int, ...], parameters: int) -> None:
    model, plain = zoo.create(f"chain(3, {', '.join(map(str, channels))})"), Row(3, *channels)
    grown = zoo.create(f"chain(3, 32){''.join(f'+grow({c})' for c in channels[1:])}")
    assert {sum(p.numel() for p in net.parameters()) for net in (model, grown, plain)} == {parameters}
    assert list(grown.state_dict()) == list(model.state_dict())
    for net in (model, grown):
        net.load_state_dict(dict(zip(net.state_dict(), plain.state_dict().values(), strict=True)))
    x = torch.randn(16, 3, 32, 32)
    outputs = [net(x) for net in (model, grown, plain)]
    assert {tuple(out.shape) for out in outputs} == {(16, channels[-1], 32, 32)}
    found = [gradients(net, out.square().mean()) for net, out in zip((model, grown, plain), outputs, strict=True)]
    assert torch.equal(outputs[0], outputs[2])
    assert same(found[0], found[2])
    assert torch.equal(outputs[1], outputs[2])
    assert same(found[1], found[2])


def test_blocks_know_their_neighbours() -> None:
    model = zoo.create("chain(3, 4, 5, 6)")
    blocks = list(model)
    assert len(model) == len(blocks) == 3
    assert list(reversed(model)) == blocks[::-1]
    assert (model.first, model.last) == (blocks[0], blocks[2])
    assert [block.prev for block in blocks] == [None, *blocks[:2]]
    assert [block.next for block in blocks] == [*blocks[1:], None]
    assert [next(iter(block.state_dict())) for block in blocks] == ["conv.weight"] * 3
    assert next(iter(model.state_dict())) == "0.conv.weight"


def test_blocks_come_and_go_in_the_middle_and_keep_their_names() -> None:
    model = zoo.create("chain(3, 4, 4, 4)")
    first, second, third = model
    values = {name: value.clone() for name, value in model.state_dict().items()}
    zoo.modify(model, "grow(4, after=0)")
    new = first.next
    assert list(model) == [first, new, second, third]
    assert [model.key(block) for block in model] == ["0", "3", "1", "2"]
    assert (new.prev, second.prev) == (first, new)
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(model.eval()(x), third(second(new(first(x)))))
    zoo.modify(model, "shrink(1)")
    assert list(model) == [first, new, third]
    assert (new.next, third.prev, second.prev, second.next) == (third, new, None, None)
    assert all(torch.equal(values[name], value) for name, value in model.state_dict().items() if name in values)
    assert model.remove(new) is new
    assert model.insert_before(third, new) is new
    assert model.insert_after(new, nn.Conv2d(4, 4, 1)).prev is new
    assert [model.key(block) for block in model] == ["0", "3", "4", "2"]
    assert len(run(model, x)) == 1


def test_an_older_checkpoint_is_the_beginning_of_a_grown_chain() -> None:
    old, new = zoo.create("chain(3, 4, 5)"), zoo.create("chain(3, 4, 5)+grow(6)")
    result = new.load_state_dict(old.state_dict(), strict=False)
    assert not result.unexpected_keys
    assert {name.partition(".")[0] for name in result.missing_keys} == {"2"}
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(new.eval().last.prev(new.first(x)), old.eval()(x))


def test_growth_in_the_middle_of_training_leaves_the_optimizers_state() -> None:
    model = zoo.create("chain(3, 4, 5)")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)

    def step() -> None:
        optimizer.zero_grad()
        model(torch.randn(4, 3, 8, 8)).square().mean().backward()
        optimizer.step()

    step()
    state = {p: {k: v.clone() for k, v in s.items()} for p, s in optimizer.state.items()}
    weights = {p: p.detach().clone() for p in model.parameters()}
    assert zoo.modify(model, "grow(6)", optimizer=optimizer) is model
    assert optimizer.state.keys() == state.keys()
    for p, kept in state.items():
        assert all(torch.equal(optimizer.state[p][k], v) for k, v in kept.items())
        assert torch.equal(p, weights[p])
    assert {id(p) for p in model.parameters()} == {id(p) for p in optimizer.param_groups[0]["params"]}
    before = model.last.conv.weight.detach().clone()
    step()
    assert not torch.equal(model.last.conv.weight, before)


def test_a_block_fades_in() -> None:
    model = zoo.create("chain(3, 4, 6)+grow(6, fade=True)+grow(8, fade=True)").eval()
    old, same_width, wider = list(model)[1], list(model)[2], model.last
    x = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        before = old(model.first(x))
        assert torch.equal(model(x)[:, :6], before), "at 0 it's the old network"
        assert not model(x)[:, 6:].any()
        new = same_width.act(same_width.norm(same_width.conv(before)))
        same_width.alpha = 0.25
        torch.testing.assert_close(model(x)[:, :6], 0.25 * new + 0.75 * before)
        same_width.alpha = wider.alpha = 1
        torch.testing.assert_close(model(x), wider.act(wider.norm(wider.conv(new))))
    wider.alpha = 0.5
    again = zoo.create(zoo.spec_of(model)).eval()
    again.load_state_dict(model.state_dict())
    assert float(again.last.alpha) == 0.5
    assert torch.equal(again(x), model(x))
    for wrong in (1.5, -0.1, "x", None, torch.tensor(7.0), [0.5], float("nan")):
        with pytest.raises(zoo.OptionError, match="expected a number from 0, the old network, to 1"):
            wider.alpha = wrong
    with pytest.raises(zoo.OptionError, match=r"grow\(\.\.\., fade=True\) makes one that is"):
        model.first.alpha = 0.5


def test_the_block_is_a_template() -> None:
    block = "Sequential(Conv2d(in, out, 1), GroupNorm(2, out), SiLU())"
    model = zoo.create(f"chain(3, 4, 6, block={block})+grow(8)+grow(2, block=Conv2d(in, out, 3, stride=2))")
    assert str(zoo.spec_of(model)) == (
        f"chain(3, 4, 6, block={block})+grow(channels=8)+grow(channels=2, block=Conv2d(in, out, 3, stride=2))"
    )
    assert zoo.parse(str(zoo.spec_of(model))) == zoo.spec_of(model)
    kinds = [[type(layer).__name__ for layer in block.children()] for block in model]
    assert kinds == [["Conv2d", "GroupNorm", "SiLU"]] * 3 + [["Conv2d"]]
    assert [layer.out_channels for layer in model.modules() if isinstance(layer, nn.Conv2d)] == [4, 6, 8, 2]
    assert model(torch.randn(2, 3, 9, 9)).shape == (2, 2, 4, 4)
    linear = zoo.create("chain(12, 8, 4, block=Sequential(Linear(in, out), ReLU()))+grow(4, fade=True)")
    assert linear(torch.randn(2, 12)).shape == (2, 4)


def test_a_block_without_channels_of_its_own_keeps_them() -> None:
    model = zoo.create("chain(3, 8)+grow(8, block=MaxPool2d(2))+grow(8, block=Sequential(BatchNorm2d(out), ReLU()))")
    assert model(torch.randn(2, 3, 8, 8)).shape == (2, 8, 4, 4)


def test_two_thousand_blocks() -> None:
    model = zoo.create(zoo.Spec(Call("chain", tuple((None, 2) for _ in range(2001)))))
    assert len(model) == 2000
    assert model(torch.zeros(1, 2, 2, 2)).shape == (1, 2, 2, 2)
    assert len(list(model.parameters())) == len(list(model.named_parameters(remove_duplicate=False)))
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        count, block = 0, other.first
        while block is not None:
            count, block = count + 1, block.next
        assert count == 2000
        assert not {id(m) for m in other} & {id(m) for m in model}


def test_a_chain_may_grow_longer_than_a_text() -> None:
    model = zoo.create("chain(3, 4)")
    for _ in range(40):
        zoo.modify(model, "grow(4)")
    assert len(zoo.spec_of(model).parts) == 40
    assert list(zoo.create(zoo.spec_of(model)).state_dict()) == list(model.state_dict())


def test_a_copied_or_pickled_block_leaves_its_chain_behind() -> None:
    model = zoo.create("chain(3, 4, 5)")
    assert len(pickle.dumps(model.last)) < len(pickle.dumps(model)) / 1.5
    assert copy.deepcopy(model.last).prev is None


def test_a_chain_inside_a_model_grows() -> None:
    net = nn.Sequential(zoo.create("chain(3, 4)"), nn.AdaptiveAvgPool2d(1))
    zoo.modify(net, "grow(5)")
    assert net(torch.randn(2, 3, 8, 8)).shape == (2, 5, 1, 1)


CHAIN_REFUSALS = [
    ("chain(3)", zoo.OptionError, "chain needs the channels of the input and of each block, as in chain(3, 32, 64)"),
    ("chain(3, 0)", zoo.OptionError, "chain: channels is 0 (int); expected greater than or equal to 1; its options: "),
    (
        "chain(3, 8)+grow(16, block=ReLU())",
        zoo.ShapeError,
        "the block ReLU has no channels of its own and so gives 8, ",
    ),
    (
        "chain(3, 8, block=BatchNorm2d(8))",
        zoo.ShapeError,
        "the block BatchNorm2d(8) has no channels of its own and so ",
    ),
    (
        "chain(3, 8, block=Sequential(Conv2d(a, b, 3), ReLU()))",
        zoo.OptionError,
        "the block Sequential(Conv2d(a, b, 3), ReLU()) can't be made with 'a' and 'b'; the words that stand for "
        "numbers are `in` and `out`",
    ),
    (
        "chain(3, 8, block=BatchNorm2d(o))",
        zoo.OptionError,
        "the block BatchNorm2d(o) can't be made with 'o'; the words ",
    ),
    ("chain(3, 4, block=Conv2d(in))", zoo.OptionError, "Conv2d(3): Conv2d.__init__() missing 2 required positional "),
    ("chain(3, 4, block=Covn2d(in, out))", zoo.UnknownNameError, "no layer 'Covn2d'; did you mean 'Conv2d'?"),
    ("chain(3, 4)+grow(3, fade=True)", zoo.ShapeError, "a block from 4 to 3 channels can't fade in: the old ones "),
    ("chain(3, 4)+grow(5, block=Conv2d(4, 6, 1))", zoo.ShapeError, "the block Conv2d(4, 6, 1) is one for (4, 6) "),
    ("chain(3, 4, 5)+grow(6, after=0)", zoo.ShapeError, "the block in front gives 6 channels, and the one behind "),
    ("chain(3, 4, 5, 6)+shrink(1)", zoo.ShapeError, "the block in front gives 4 channels, and the one behind takes 5"),
    ("chain(3, 4)+grow(5, after=7)", zoo.OptionError, "the chain has no block 7; its blocks: 0"),
    ("chain(3, 4)+shrink", zoo.NotApplicableError, "this is the chain's only block"),
    ("simple+grow(5)", zoo.NotApplicableError, "this Simple is no chain; zoo.create('chain(3, 32)') makes one"),
    ("simple+shrink", zoo.NotApplicableError, "this Simple is no chain; zoo.create('chain(3, 32)') makes one"),
]


# -- heads ------------------------------------------------------------------------------------------------------------


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
    assert same(run(again, x), run(model, x))


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
    ("simple+heads(a=2, default=b)", zoo.OptionError, "heads: there is no head 'b' to be the default; the heads: a"),
    ("simple+heads(default=b)", zoo.OptionError, "heads needs at least one name=size, as in heads(cls=10, reg=1)"),
    ("simple+heads(a=Linear(4, 2))", zoo.OptionError, "heads: a is Linear(4, 2); expected a number of outputs, or a "),
    ("simple+heads(a=Head(0))", zoo.OptionError, "Head: size is 0; expected an integer of at least 1"),
    ("simple+heads(a=Head(1, hidden=0))", zoo.OptionError, "Head: hidden is 0; expected an integer of at least 1"),
    ("simple+heads(a=Head(1, dropout=2))", zoo.OptionError, "Head: dropout is 2; expected a number from 0 to 1"),
    ("simple+heads(a=1, hidden=0)", zoo.OptionError, "heads: hidden is 0 (int); expected greater than or equal to 1"),
    ("simple+drop_heads(a)", zoo.NotApplicableError, "this Simple has no heads; heads(cls=10, reg=1) makes them"),
    ("simple+heads(a=1)+drop_heads", zoo.OptionError, "drop_heads needs the names of heads; there are a"),
    ("simple+heads(a=1)+drop_heads(b)", zoo.OptionError, "there is no head 'b'; the heads: a"),
    ("simple+heads(a=1, b=2)+drop_heads(a, b)", zoo.OptionError, "drop_heads leaves a model one head at least; "),
    ("simple+heads(a=1, b=2, default=a)+drop_heads(a)", zoo.OptionError, "'a' is what model(x) gives; name another "),
    ("simple+replace(layers3, Head(3))", zoo.ShapeError, "simple+replace(site=layers3, layer=Head(3)): a forward "),
]


# -- choice at run time -----------------------------------------------------------------------------------------------


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
    ("simple+switch_act(relu)", zoo.OptionError, "switch_act needs two or more different activations, as in "),
    ("simple+switch_act(relu, relu)", zoo.OptionError, "switch_act needs two or more different activations, as in "),
    ("simple+switch_act(relu, slu)", zoo.OptionError, "act: no activation 'slu'; did you mean 'silu'?"),
    ("simple+switch(layers1.1, a=ReLU())", zoo.OptionError, "switch needs two or more name=layer, as in switch(act1, "),
    (
        "simple+switch(layers1.1, a=ReLU(), b=GELU(), default=c)",
        zoo.OptionError,
        "switch: there is no layer 'c' to be ",
    ),
    (
        "simple+switch(layers1.1, a=ReLU(), chosen=ReLU())",
        zoo.OptionError,
        "switch: a layer can't be called 'chosen': ",
    ),
    ("simple+switch(layers1.1, a=ReLU(), keys=ReLU())", zoo.OptionError, "switch: a layer can't be called 'keys': "),
    ("simple+switch(nowhere, a=ReLU(), b=GELU())", zoo.NoEffectError, "at=nowhere matches nothing in this Simple; "),
]


# -- freezing ---------------------------------------------------------------------------------------------------------


def frozen(model: nn.Module) -> set[str]:
    return {name for name, p in model.named_parameters() if not p.requires_grad}


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

SCHEMES = [
    ("normal, mean=1, std=2", lambda w: nn.init.normal_(w, mean=1, std=2)),
    ("uniform, a=-1, b=2", lambda w: nn.init.uniform_(w, -1, 2)),
    ("trunc_normal, std=0.02", lambda w: nn.init.trunc_normal_(w, std=0.02)),
    ("constant, val=3", lambda w: nn.init.constant_(w, 3)),
    ("ones", nn.init.ones_),
    ("zeros", nn.init.zeros_),
    ("dirac, groups=2", lambda w: nn.init.dirac_(w, 2)),
    ("xavier_uniform, gain=2", lambda w: nn.init.xavier_uniform_(w, 2)),
    ("xavier_normal", nn.init.xavier_normal_),
    ("kaiming_uniform, a=1", lambda w: nn.init.kaiming_uniform_(w, 1)),
    ("kaiming_normal, mode=fan_out, nonlinearity=relu", lambda w: nn.init.kaiming_normal_(w, 0, "fan_out", "relu")),
    ("orthogonal", nn.init.orthogonal_),
]


@pytest.mark.parametrize(("scheme", "draw"), SCHEMES, ids=[scheme for scheme, _ in SCHEMES])
def test_reinit_is_what_torch_draws(scheme: str, draw: Any) -> None:
    base = zoo.create("convnet(4, 2)")
    torch.manual_seed(4)
    model = zoo.modify(base, f"reinit(Conv2d, {scheme})", copy=True)
    torch.manual_seed(4)
    expected = [draw(block.conv.weight.detach().clone()) for block in base.blocks]
    for block, weight in zip(model.blocks, expected, strict=True):
        assert torch.equal(block.conv.weight, weight)
    for name, value in model.state_dict().items():
        assert "conv" in name or torch.equal(value, base.state_dict()[name]), name
    assert zoo.spec_of(zoo.create(str(zoo.spec_of(model)), device="meta")) == zoo.spec_of(model)


SAME = [
    ("reinit(Linear, normal, std=1)", "reinit(Linear, normal_, std=1.0)", "reinit(at=Linear, scheme=normal, std=1.0)"),
    ("reinit(Linear, constant, val=3)", "reinit(Linear, constant_, val=3.0)", None),
    ("act(swish)", "act(silu)", "act(name=silu)"),
    ("switch_act(relu, swish)", "switch_act(relu, silu)", "switch_act(relu, silu)"),
]


@pytest.mark.parametrize(("one", "other", "text"), SAME, ids=[one for one, *_ in SAME])
def test_what_means_the_same_prints_the_same(one: str, other: str, text: str | None) -> None:
    specs = [zoo.spec_of(zoo.create(f"simple+{mods}", device="meta")) for mods in (one, other)]
    assert specs[0] == specs[1]
    assert text is None or str(specs[0]) == f"simple+{text}"


def test_every_other_name_of_timms_is_known() -> None:
    from timm.layers import create_act

    by_layer: dict[Any, list[str]] = {}
    for name, layer in {**create_act._ACT_LAYER_DEFAULT, **create_act._ACT_LAYER_ME}.items():
        by_layer.setdefault(layer, []).append(name)
    for names in by_layer.values():
        assert {str(zoo.spec_of(zoo.create(f"simple+act({name})"))) for name in names} == {
            f"simple+act(name={names[0]})"
        }
    assert "name: str, at" in zoo.describe("act").signature


def test_a_choice_goes_by_its_other_name_too() -> None:
    model, x = zoo.create("simple+switch_act(relu, swish)").eval(), torch.randn(2, 100)
    assert torch.equal(model(x, act_type="swish"), model(x, act_type="silu"))
    assert not torch.equal(model(x, act_type="swish"), model(x))


def test_reinit_on_matrices() -> None:
    assert torch.equal(zoo.create("simple+reinit(layers1.0, eye)").layers1[0].weight, torch.eye(100))
    weight = zoo.create("simple+reinit(layers1.0, sparse, sparsity=0.5)").layers1[0].weight
    assert (weight == 0).sum(0).tolist() == [50] * 100


def test_biases_stay_unless_they_are_named() -> None:
    base = zoo.create("simple")
    stay = zoo.modify(base, "reinit(Linear, normal, mean=1, std=1)", copy=True)
    assert 0.9 < stay.layers1[0].weight.mean() < 1.1
    assert torch.equal(stay.layers1[0].bias, base.layers1[0].bias)
    filled = zoo.modify(base, "reinit(Linear, ones, bias=0.5)", copy=True)
    assert set(filled.layers2[0].bias.tolist()) == {0.5}
    assert torch.equal(filled.layers3[0].bias, base.layers3[0].bias)


@pytest.mark.parametrize("mods", ["freeze({0})", "unfreeze({0})", "reinit({0}, zeros)"])
@pytest.mark.parametrize("term", ["layers1.0.weight", "*s1.0.weight"])
def test_a_parameter_is_no_place(mods: str, term: str) -> None:
    words = (
        r"matches nothing.*; 'layers1\.0\.weight' is a parameter, and at= takes modules, such as 'layers1\.0', which"
    )
    with pytest.raises(zoo.NoEffectError, match=words):
        zoo.create(f"simple+{mods.format(term)}")


def test_without_a_scheme_each_layer_does_as_when_it_was_made() -> None:
    torch.manual_seed(6)
    made = nn.Linear(100, 100)
    torch.manual_seed(6)
    model = zoo.modify(zoo.create("simple"), "reinit(head)", copy=True)
    torch.manual_seed(6)
    model = zoo.modify(model, "reinit(layers1)")
    assert torch.equal(model.layers1[0].weight, made.weight)
    assert torch.equal(model.layers1[0].bias, made.bias)
    assert {change.what for change in zoo.changes(model)} == {"values"}


def test_weights_that_were_written_come_back_when_a_later_part_fails() -> None:
    model = zoo.create("simple")
    model.layers1[0].weight.grad = torch.ones(100, 100)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(zoo.OptionError):
        zoo.modify(model, "reinit(Linear, zeros)+reinit(BatchNorm1d, ones)+freeze+reinit(BatchNorm1d, orthogonal)")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.layers1[0].weight.grad is not None
    assert not frozen(model)


def write_anyhow(model: nn.Module) -> None:
    """Through `.data`, a view, a buffer, and an out= argument."""
    linear, norm = model.layers1[0], model.layers3[0]
    linear.weight.data.zero_()
    with torch.no_grad():
        linear.bias[:3].fill_(7)
        norm.running_mean += 1
        torch.neg(model.layers2[0].weight, out=model.layers2[0].weight)
        torch._foreach_mul_([norm.weight, norm.bias], 2.0)
    model.layers2[0].bias.data = torch.zeros(70)


def test_any_write_of_anyones_comes_back() -> None:
    @zoo.modifier
    def spoil(model: nn.Module, /) -> nn.Module:
        """Write, then fail."""
        write_anyhow(model)
        raise zoo.NotApplicableError("no")

    plugin = type(zoo)("plugin")
    plugin.zoo_modifiers = zoo.hookimpl(specname="zoo_modifiers")(lambda: [spoil])
    model = zoo.create("simple")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(zoo.NotApplicableError):
        zoo.modify(model, "spoil", registry=zoo.Registry.of(plugin))
    assert [name for name, value in model.state_dict().items() if not torch.equal(value, before[name])] == []


LEARNING_REFUSALS = [
    ("simple+reinit(Linear, nrmal)", zoo.OptionError, "reinit: no scheme 'nrmal'; did you mean 'normal'?"),
    ("simple+reinit(Linear, calculate_gain)", zoo.OptionError, "reinit: no scheme 'calculate_gain'; the schemes: "),
    ("simple+reinit(Linear, normal, sd=1)", zoo.OptionError, "reinit: normal has no option 'sd'; its options: mean"),
    ("simple+reinit(Linear, normal, std=big)", zoo.OptionError, "reinit: normal can't take std='big'; its options: "),
    ("simple+reinit(Linear, constant)", zoo.OptionError, "reinit: constant needs 'val'; its options: val"),
    ("simple+reinit(Linear, std=1)", zoo.OptionError, "reinit: options belong to a scheme, as in reinit(Linear, "),
    ("simple+reinit(Linear, normal, generator=1)", zoo.OptionError, "reinit: normal has no option 'generator'; its "),
    ("simple+reinit('*', orthogonal)", zoo.OptionError, "reinit: orthogonal can't fill 'layers3.0.weight' [70]: "),
    ("vit_tiny_patch16_224(depth=1)+reinit('*')", zoo.NotApplicableError, "the model itself (VisionTransformer) "),
    ("simple+freeze(ReLU)", zoo.NoEffectError, "at=ReLU matches 'layers1.1' (ReLU), which holds nothing to change"),
    ("simple+unfreeze(nowhere)", zoo.NoEffectError, "at=nowhere matches nothing in this Simple; sites: stem, head; "),
]

# -- both ends --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 7])
@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224", "convnext_atto", "mobilenetv3_small_050"])
def test_num_classes_is_what_timm_builds(name: str, n: int) -> None:
    import timm

    base = zoo.create(name)
    model, theirs = zoo.modify(base, f"num_classes({n})", copy=True), timm.create_model(name, num_classes=n)
    assert not zoo.diff(theirs, model)
    assert {k: v.shape for k, v in model.state_dict().items()} == {k: v.shape for k, v in theirs.state_dict().items()}
    old = base.state_dict()
    assert all(torch.equal(v, old[k]) for k, v in model.state_dict().items() if k in old and v.shape == old[k].shape)
    assert model.num_classes == n


@pytest.mark.parametrize("name", ["mlp", "convnet", "torchvision/googlenet", "torchvision/squeezenet1_1"])
def test_num_classes_is_what_the_option_of_the_arch_builds(name: str) -> None:
    model, theirs = (zoo.create(spec, device="meta") for spec in (f"{name}+num_classes(7)", f"{name}(num_classes=7)"))
    assert not zoo.diff(theirs, model)
    assert list(model.state_dict()) == list(theirs.state_dict())


def test_a_classifier_keeps_what_was_put_around_it() -> None:
    model = zoo.create("vit_tiny_patch16_224(depth=1)").bfloat16()
    zoo.insert_before(model, "head", nn.Dropout(0.3))
    calls: list[int] = []
    model.head.register_forward_hook(lambda *_: calls.append(1))
    zoo.modify(model, "num_classes(5)")
    assert model.head.weight.dtype == torch.bfloat16
    assert model(torch.randn(1, 3, 224, 224).bfloat16()).shape == (1, 5)
    assert calls == [1]
    assert [type(m) for m in model.head.zoo_before] == [nn.Dropout]
    assert {change.what for change in zoo.changes(zoo.create("mlp+num_classes(10)"))} == {"already"}


CUT = ["mlp", "simple", "convnet", "torchvision/squeezenet1_1", "test_resnet", "levit_128s"]


@pytest.mark.parametrize("name", CUT)
def test_a_classifier_that_was_cut_off_can_come_back(name: str) -> None:
    model = zoo.create(f"{name}+num_classes(0)+num_classes(0)", device="meta")
    assert {change.what for change in zoo.changes(model) if change.part == "num_classes(n=0)"} > {"already"}
    old = zoo.create(name, device="meta")
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        ours, theirs = zoo.modify(other, "heads(a=3)", copy=True), zoo.modify(old, "heads(a=3)", copy=True)
        shapes = [{k: v.shape for k, v in net.state_dict().items() if ".a." in k} for net in (ours, theirs)]
        assert list(shapes[0].values()) == list(shapes[1].values())
        assert not zoo.diff(zoo.modify(other, "num_classes(3)"), zoo.modify(old, "num_classes(3)", copy=True))
    assert not zoo.verify(model)


def test_heads_on_a_saved_model_without_a_classifier(tmp_path: Path) -> None:
    zoo.save(zoo.create("convnet(4, 2)+num_classes(0)"), tmp_path / "m.safetensors")
    model = zoo.modify(zoo.load(tmp_path / "m.safetensors"), "heads(a=3)")
    assert model(torch.randn(2, 3, 8, 8))["a"].shape == (2, 3)
    assert not zoo.verify(model)


IN_CHANS = ["test_resnet", "test_vit", "test_convnext", "test_nfnet", pytest.param("tresnet_m", marks=pytest.mark.slow)]


@pytest.mark.parametrize("n", [1, 2, 4, 7])
@pytest.mark.parametrize("name", IN_CHANS)
def test_in_chans_is_what_timm_makes_of_pretrained_weights(name: str, n: int) -> None:
    import timm

    if name == "tresnet_m" and n > 1:
        name = "test_efficientnet"  # where pixels are folded in, timm itself adapts to one channel alone
    base = timm.create_model(name)
    overlay = {"state_dict": base.state_dict()}
    theirs = timm.create_model(name, pretrained=True, in_chans=n, pretrained_cfg_overlay=overlay)
    model = zoo.modify(base, f"in_chans({n}, at={base.pretrained_cfg['first_conv']})")
    assert not zoo.diff(theirs, model)
    assert [k for k, v in theirs.state_dict().items() if not torch.equal(v, model.state_dict()[k])] == []


def test_in_chans_of_what_is_no_model_of_timms() -> None:
    base = zoo.create("convnet(4, 2)")
    model = zoo.modify(base, "in_chans(1)", copy=True)
    weight = base.blocks[0].conv.weight
    assert torch.equal(model.blocks[0].conv.weight, weight.sum(1, keepdim=True))
    gray = torch.randn(2, 1, 8, 8)
    torch.testing.assert_close(model.eval()(gray), base.eval()(gray.expand(-1, 3, -1, -1)))
    random = zoo.modify(base, "in_chans(6, init=random)", copy=True)
    assert random.blocks[0].conv.weight.shape == (4, 6, 3, 3)
    assert not torch.equal(random.blocks[0].conv.weight[:, :3], weight / 2)
    video = nn.Sequential(nn.Conv3d(3, 2, 2))
    zoo.modify(video, 'in_chans(2, at="0")')
    assert video(torch.randn(1, 2, 3, 3, 3)).shape == (1, 2, 2, 2, 2)


def test_in_chans_reaches_every_layer_that_takes_the_image() -> None:
    raft = zoo.create("torchvision/raft_small+in_chans(1)", device="meta")
    changed = {c.path for c in zoo.changes(raft) if c.what == "in_channels"}
    assert changed == {"feature_encoder.convnormrelu.0", "context_encoder.convnormrelu.0"}


END_REFUSALS = [
    (
        "torchvision/fcos_resnet50_fpn+in_chans(1)",
        zoo.NotApplicableError,
        "this FCOS normalises images of 3 channels itself, so in_chans can't make it take 1",
    ),
    ("simple+heads(a=1)+num_classes(3, at=layers1)", zoo.NotApplicableError, "this model has its heads at layers3.1; "),
    ("chain(3, 4)+num_classes(3)", zoo.NotApplicableError, "this Chain names no classifier; say where, as in "),
    ("simple+num_classes(3, at=layers1.1)", zoo.NotApplicableError, "num_classes needs a linear layer or a "),
    ("simple+num_classes(-1)", zoo.OptionError, "num_classes: n is -1 (int); expected greater than or equal to 0; "),
    ("simple+in_chans(3)", zoo.NotApplicableError, "in_chans needs a convolution at 'layers1.0', where a Linear "),
    ("convnet+in_chans(0)", zoo.OptionError, "in_chans: n is 0 (int); expected greater than or equal to 1; its "),
    ("convnet+in_chans(1, init=mean)", zoo.OptionError, "in_chans: init is 'mean' (str); expected 'timm' or 'random'"),
]
REFUSALS = CHAIN_REFUSALS + HEAD_REFUSALS + SWITCH_REFUSALS + LEARNING_REFUSALS + END_REFUSALS


@pytest.mark.parametrize(("spec", "kind", "text"), REFUSALS, ids=[spec for spec, _, _ in REFUSALS])
def test_refusals(spec: str, kind: type[zoo.ZooError], text: str) -> None:
    with pytest.raises(kind) as caught:
        zoo.create(spec)
    assert str(caught.value).startswith(text)


# -- the promises of each, and all of them together -------------------------------------------------------------------

PROMISES = {
    "chain(3, 4, 4)+grow(4)": {},
    "chain(3, 4)+grow(6, fade=True)": {},
    "chain(3, 4, 4)+shrink(1)": {},
    "convnet(4, 2)+heads(a=3, b=Head(2, hidden=4), default=b)": {"task": "a"},
    "convnet(4, 2)+heads(a=3, b=2, c=1)+drop_heads(a)": {"task": "c"},
    "convnet(4, 2)+switch_act(relu, prelu, sigmoid)": {"act_type": "prelu"},
    "convnet(4, 2)+switch(down, a=MaxPool2d(2), b=AvgPool2d(2))": {"choice": "b"},
    "convnet(4, 2)+freeze(stem)+freeze(blocks.1)": {},
    "convnet(4, 2)+freeze+unfreeze(blocks.1)": {},
    "convnet(4, 2)+reinit(Conv2d, kaiming_normal)": {},
    "convnet(4, 2)+num_classes(4)": {},
    "convnet(4, 2)+in_chans(1)": {},
}
X = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def _fresh_dynamo() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize("spec", PROMISES)
@pytest.mark.usefixtures("_fresh_dynamo")
def test_promises(spec: str) -> None:
    model = zoo.create(spec)
    x, options = X[:, : 1 if "in_chans" in spec else 3], PROMISES[spec]
    assert zoo.parse(str(zoo.spec_of(model))) == zoo.spec_of(model)
    assert all(change.live is not False for change in zoo.changes(model))
    assert not zoo.verify(model)
    torch.save(model, whole := io.BytesIO())
    copies = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    copies.append(torch.load(io.BytesIO(whole.getvalue()), weights_only=False))
    meta = zoo.create(spec, device="meta")
    assert all(t.is_meta for t in meta.state_dict().values())
    assert zoo.changes(meta) == zoo.changes(model)
    copies.append(meta.to_empty(device="cpu"))
    copies[-1].load_state_dict(model.state_dict(), strict=True)
    for buffer in ("num_batches_tracked",):
        assert all(buffer not in name or not t.any() for name, t in model.state_dict().items())
    for kwargs in ({}, options):
        for other in copies:
            assert type(other) is type(model)
            assert same(run(other.eval(), x, **kwargs), run(model.eval(), x, **kwargs))
            expected = run(copy.deepcopy(model).train(), x, **kwargs)
            assert same(run(copy.deepcopy(other).train(), x, **kwargs), expected)
    compiled = torch.compile(model.eval(), fullgraph=True, backend="eager")
    exported = torch.export.export(model, (x,), options, strict=False).module()
    for kwargs in ({}, options):
        for a, b in zip(run(compiled, x, **kwargs), run(model, x, **kwargs), strict=True):
            torch.testing.assert_close(a, b)
    for a, b in zip(run(exported, x, **options), run(model, x, **options), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("spec", PROMISES)
def test_same_seed_same_weights(spec: str) -> None:
    torch.manual_seed(7)
    plain = zoo.create(str(zoo.parse(spec).base)).state_dict()
    torch.manual_seed(7)
    varied = zoo.create(spec).state_dict()
    for name in plain.keys() & varied.keys():
        written = "reinit" in spec and "conv" in name
        assert written or plain[name].shape != varied[name].shape or torch.equal(plain[name], varied[name]), name


def test_a_grown_switched_frozen_network_with_heads_is_saved_loaded_and_trained_on() -> None:
    top = "append(top=Sequential(AdaptiveAvgPool2d(1), Flatten(), Linear(16, 2)))"
    model = zoo.create(f"chain(3, 4, 8)+grow(16, fade=True)+{top}+heads(cls=5, reg=1, at=top)")
    zoo.modify(model, "switch_act(relu, prelu)+freeze(stem)+freeze('0.norm')")

    def train(net: nn.Module, optimizer: torch.optim.Optimizer) -> float:
        torch.manual_seed(8)
        net.train()
        net.last.alpha = 0.5
        out = net(X, act_type="prelu")
        loss = out["cls"].square().mean() + out["reg"].square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    train(model, optimizer)
    again = zoo.create(str(zoo.spec_of(model)), weights=model.state_dict())
    assert frozen(again) == frozen(model) == {"0.conv.weight", "0.norm.weight", "0.norm.bias"}
    other = torch.optim.AdamW(again.parameters(), lr=0.01)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert [train(model, optimizer) for _ in range(3)] == [train(again, other) for _ in range(3)]
    assert same(list(model.state_dict().values()), list(again.state_dict().values()))


KIT = {
    "grow(16)": "chain(3, 8)",
    "grow(16, fade=True)": "chain(3, 8)",
    "shrink": "chain(3, 8, 8)",
    "drop_heads(reg)": "convnet(4, 2)+heads(cls=3, reg=1)",
    "num_classes(3)": "convnet(4, 2)",
    "freeze": "convnet(4, 2)",
    "unfreeze": "convnet(4, 2)",
    "reinit(head)": "convnet(4, 2)",
    "switch_act(relu, silu)": "convnet(4, 2)",
    "switch(down, a=MaxPool2d(2), b=AvgPool2d(2))": "convnet(4, 2)",
}


@pytest.mark.slow
@pytest.mark.parametrize("mod", KIT)
def test_the_kit_passes_each(mod: str) -> None:
    from zoo.testing import check_modifier

    assert check_modifier(mod, archs=[KIT[mod]])
