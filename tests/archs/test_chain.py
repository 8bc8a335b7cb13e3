"""A network that grows and shrinks while it is trained, against rows of blocks written by hand."""

from __future__ import annotations

import copy
import pickle
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

import zoo
from tests.modifiers.refusals import NOTHING, OPTION, assert_refused
from tests.nets import gradients, run, same, tensors
from zoo.spec.values import Call


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
    assert len(tensors(run(model, x))) == 1


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
    (
        "chain(3, 8)+grow(16, block=ReLU())",
        zoo.ShapeError,
        "the block ReLU has no channels of its own and so gives 8, ",
    ),
    ("chain(3, 4)+grow(3, fade=True)", zoo.ShapeError, "a block from 4 to 3 channels can't fade in: the old ones "),
    ("chain(3, 4)+grow(5, block=Conv2d(4, 6, 1))", zoo.ShapeError, "the block Conv2d(4, 6, 1) is one for (4, 6) "),
    ('chain(3, 4)+replace("0", Identity())+grow(5)', zoo.ShapeError, "what stands in front of the new block doesn't "),
    ("chain(3, 4, 5)+grow(6, after=0)", zoo.ShapeError, "the block in front gives 6 channels, and the one behind "),
    ("chain(3, 4, 5, 6)+shrink(1)", zoo.ShapeError, "the block in front gives 4 channels, and the one behind takes 5"),
    ("chain(3, 4)+grow(5, after=7)", OPTION, "the chain has no block 7; its blocks: 0"),
    ("chain(3, 4)+shrink", NOTHING, "this is the chain's only block"),
    ("simple+grow(5)", NOTHING, "this Simple is no chain; zoo.create('chain(3, 32)') makes one"),
    ("simple+shrink", NOTHING, "this Simple is no chain; zoo.create('chain(3, 32)') makes one"),
]
NO_CHAINS = [
    ("chain(3)", OPTION, "chain needs the channels of the input and of each block, as in chain(3, 32, 64)"),
    ("chain(3, 0)", OPTION, "chain: channels is 0 (int); expected greater than or equal to 1; its options: "),
    (
        "chain(3, 8, block=BatchNorm2d(8))",
        zoo.ShapeError,
        "the block BatchNorm2d(8) has no channels of its own and so ",
    ),
    (
        "chain(3, 8, block=Sequential(Conv2d(a, b, 3), ReLU()))",
        OPTION,
        "the block Sequential(Conv2d(a, b, 3), ReLU()) can't be made with 'a' and 'b'; the words that stand for "
        "numbers are `in` and `out`",
    ),
    (
        "chain(3, 8, block=BatchNorm2d(o))",
        OPTION,
        "the block BatchNorm2d(o) can't be made with 'o'; the words ",
    ),
    ("chain(3, 4, block=Conv2d(in))", OPTION, "Conv2d(3): Conv2d.__init__() missing 2 required positional "),
    ("chain(3, 4, block=Covn2d(in, out))", zoo.UnknownNameError, "no layer 'Covn2d'; did you mean 'Conv2d'?"),
]


@pytest.mark.parametrize(("spec", "kind", "text"), NO_CHAINS, ids=[spec for spec, _, _ in NO_CHAINS])
def test_a_chain_that_can_not_be(spec: str, kind: type[zoo.ZooError], text: str) -> None:
    with pytest.raises(kind) as caught:
        zoo.create(spec)
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize(("spec", "kind", "text"), CHAIN_REFUSALS, ids=[spec for spec, _, _ in CHAIN_REFUSALS])
def test_refusals(spec: str, kind: type[zoo.ZooError], text: str) -> None:
    assert_refused(spec, kind, text)
