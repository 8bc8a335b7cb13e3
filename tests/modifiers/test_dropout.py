"""`dropout`, against a class written by hand and timm's own rates."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import zoo
from tests.modifiers.refusals import NOWHERE, OPTION, assert_refused
from tests.nets import changed, images, run, same_outputs

# -- dropout ----------------------------------------------------------------------------------------------------------


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
    out = run(model, x, training=training)
    assert torch.equal(out, run(hand, x, training=training))
    if training:  # the dropout is really there
        assert not torch.equal(out, run(zoo.modify(model, "dropout(0.0)"), x, training=True))


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
    x = images(4, size)
    assert same_outputs(model, theirs, x)
    bare = zoo.create(arch)
    bare.load_state_dict(model.state_dict())
    assert not torch.equal(run(model, x, training=True), run(bare, x, training=True))


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
        a, b = run(one, x, training=training), run(other, x, training=training)
        assert list(a) == list(b) == ["a", "b"]
        assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(run(other, x, training=True)["a"], run(other, x)["a"])


# -- refusals ---------------------------------------------------------------------------------------------------------

DROPOUT_REFUSALS = [
    ("simple+dropout(1.1)", OPTION, "dropout: p is 1.1 (float); expected less than or equal to 1; its options: "),
    ("simple+dropout(-0.1)", OPTION, "dropout: p is -0.1 (float); expected greater than or equal to 0; its "),
    ("simple+dropout(True)", OPTION, "dropout: p is True (bool); expected a valid number; its options: "),
    ("simple+dropout(much)", OPTION, "dropout: p is 'much' (str); expected a valid number; its options: "),
    ("simple+dropout(q=0.1)", OPTION, "dropout has no option 'q'; its options: dropout(p: float ≥ 0 ≤ 1 = 0.5, "),
    ("simple+dropout(at=nowhere)", NOWHERE, "at=nowhere matches nothing in this Simple; sites: stem, head; "),
    ("simple+dropout(at=[head, nowhere])", NOWHERE, "at=nowhere matches nothing in this Simple; sites: stem, "),
    ("simple+dropout(at=[head, !nowhere])", NOWHERE, "at=nowhere matches nothing in this Simple; sites: stem, "),
    ("resnet18+dropout(at=[head, !nowhere])", NOWHERE, "at=nowhere matches nothing in this ResNet; sites: "),
]


@pytest.mark.parametrize(("spec", "kind", "text"), DROPOUT_REFUSALS, ids=[spec for spec, _, _ in DROPOUT_REFUSALS])
def test_refusals(spec: str, kind: type[zoo.ZooError], text: str) -> None:
    assert_refused(spec, kind, text)


def test_dropout_in_front_of_an_embedding_is_refused() -> None:
    """It would fail at the first step of training: nobody drops a part of whole numbers."""
    net = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 2))
    with pytest.raises(zoo.NotApplicableError, match=r"^'0' takes whole numbers, of which dropout can't drop a part"):
        zoo.modify(net, 'dropout(0.1, at="0")')
