"""The archs: parameter counts, equality with nets written out by hand, and timm's own models under timm's names."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

import zoo

TINY = "vit_tiny_patch16_224"


def count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def copy_weights(source: nn.Module, target: nn.Module) -> None:
    """By order, for nets that give their layers other names."""
    target.load_state_dict(dict(zip(target.state_dict(), source.state_dict().values(), strict=True)))


@torch.no_grad()
def assert_same_outputs(a: nn.Module, b: nn.Module, x: Tensor) -> None:
    for training in (True, False):
        assert torch.equal(a.train(training)(x), b.train(training)(x))


# Published sizes; those of timm are from its own results tables, in millions.
@pytest.mark.parametrize(
    ("spec", "parameters"),
    [
        ("simple", 17_452),
        ("mlp", 669_706),
        ("mlp(in_features=4, hidden=[3], num_classes=2)", 4 * 3 + 3 + 3 * 2 + 2),
        ("convnet(channels=2, depth=1, num_classes=1, in_chans=1)", 2 * 9 + 2 * 2 + 2 + 1),
        ("resnet18", 11_689_512),
        (TINY, 5_717_416),
        ("efficientnet_b0", 5_288_548),
    ],
)
def test_parameter_counts(spec: str, parameters: int) -> None:
    assert count(zoo.create(spec, device="meta")) == parameters


class Simple(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(100, 100), nn.Linear(100, 70)
        self.norm, self.three = nn.BatchNorm1d(70), nn.Linear(70, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.three(self.norm(self.two(self.one(x).relu()).relu()))


def test_simple_is_the_net_written_out() -> None:
    model, hand = zoo.create("simple"), Simple()
    copy_weights(model, hand)
    assert_same_outputs(model, hand, torch.randn(16, 100))
    layers = [(name, [type(layer) for layer in child]) for name, child in model.named_children()]
    assert layers == [
        ("layers1", [nn.Linear, nn.ReLU]),
        ("layers2", [nn.Linear, nn.ReLU]),
        ("layers3", [nn.BatchNorm1d, nn.Linear]),
    ]
    assert all(type(child) is nn.Sequential for child in model.children())


def test_mlp_is_the_net_written_out() -> None:
    model = zoo.create("mlp")
    hand = nn.Sequential(
        nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
    )
    copy_weights(model, hand)
    assert_same_outputs(model, hand, torch.randn(8, 1, 28, 28))
    assert_same_outputs(model, hand, torch.randn(8, 784))


class ConvNet(nn.Module):
    """`convnet(depth=2, channels=4, num_classes=5, in_chans=1)`."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.conv2, self.norm2 = nn.Conv2d(4, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm1(self.conv1(x)).relu()
        x = self.norm2(self.conv2(nn.functional.max_pool2d(x, 2))).relu()
        return self.head(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))


def test_convnet_is_the_net_written_out() -> None:
    model, hand = zoo.create("convnet(depth=2, channels=4, num_classes=5, in_chans=1)"), ConvNet()
    copy_weights(model, hand)
    assert_same_outputs(model, hand, torch.randn(4, 1, 16, 16))


@pytest.mark.parametrize("size", [8, 11, 16, 28, 32])
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_convnet_takes_images_of_8_to_32(size: int, depth: int) -> None:
    model = zoo.create(f"convnet(channels=4, depth={depth}, num_classes=7, in_chans=2)")
    out = model(torch.randn(3, 2, size, size))
    assert out.shape == (3, 7)
    out.sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert len([m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]) == depth
    widths = [m.out_channels for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert widths == [4 * 2**i for i in range(depth)]


@pytest.mark.parametrize(
    ("spec", "options", "canonical"),
    [
        ("mlp(784, [512, 512], 10)", {}, "mlp"),  # as it is by default
        ("mlp(num_classes=4)", {"in_features": 5}, "mlp(in_features=5, num_classes=4)"),
        ("mlp(num_classes=4)", {"num_classes": 3}, "mlp(num_classes=3)"),  # what is nearer wins
        ("convnet( in_chans = 1 )", {"num_classes": 10}, "convnet(in_chans=1)"),
        ("timm/resnet18(num_classes=7)", {"drop_rate": 0.25}, "resnet18(num_classes=7, drop_rate=0.25)"),
        ("test_vit", {"img_size": 32, "drop_path_rate": 0.1}, "test_vit(drop_path_rate=0.1, img_size=32)"),
    ],
)
def test_options_in_the_spec_and_as_keywords_are_the_same(spec: str, options: dict[str, Any], canonical: str) -> None:
    model = zoo.create(spec, **options)
    assert str(zoo.spec_of(model)) == canonical
    assert zoo.spec_of(zoo.create(canonical)) == zoo.spec_of(model)


@pytest.mark.parametrize("given", ["mlp(10, [6, 4], 3)", "mlp(10, (6, 4), 3)", "mlp(hidden=[6, 4])"])
def test_mlp_sizes(given: str) -> None:
    model = zoo.create(given, in_features=10, num_classes=3) if "hidden" in given else zoo.create(given)
    linears = [(m.in_features, m.out_features) for m in model.modules() if isinstance(m, nn.Linear)]
    assert linears == [(10, 6), (6, 4), (4, 3)]


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("simple(3)", "simple takes no positional values, not 1; its options: simple()"),
        ("mlp(0)", "mlp: in_features is 0 (int); expected greater than or equal to 1; its options: mlp("),
        ("mlp(hidden=3)", "mlp: hidden is 3 (int); expected a valid tuple; its options: mlp("),
        ("mlp(hidden=[3, 0])", "mlp: hidden is [3, 0] (list); expected greater than or equal to 1; its options: mlp("),
        ("mlp(width=3)", "mlp has no option 'width'; its options: mlp("),
        ("convnet(depth=5)", "convnet: depth is 5 (int); expected less than or equal to 4; its options: convnet("),
        ("convnet(channels=2.0)", "convnet: channels is 2.0 (float); expected a valid integer; its options: convnet("),
        ("resnet18(num_classes=-1)", "resnet18: num_classes is -1 (int); expected greater than or equal to 0; its "),
        ("resnet18(num_classes=True)", "resnet18: num_classes is True (bool); expected a valid integer; its options: "),
        ("resnet18(drop_rate=1.5)", "resnet18: drop_rate is 1.5 (float); expected less than or equal to 1; its "),
        ("resnet18(pretrained=True)", "resnet18: 'pretrained' can't stand in a spec; write zoo.create(spec, pretr"),
        ('resnet18(checkpoint_path="x")', "resnet18: 'checkpoint_path' can't stand in a spec; write zoo.create(spec, "),
    ],
)
def test_wrong_options(spec: str, text: str) -> None:
    with pytest.raises(zoo.OptionError) as caught:
        zoo.create(spec)
    assert str(caught.value).startswith(text)
    assert str(caught.value).endswith(f"\n  in the arch of '{zoo.parse(spec)}'")


def test_an_option_that_only_the_arch_itself_can_refuse() -> None:
    with pytest.raises(zoo.OptionError, match="unexpected keyword argument 'bogus'"):
        zoo.create("resnet18(bogus=3)")
    with pytest.raises(zoo.OptionError, match="unexpected keyword argument 'bogus'"):
        zoo.create("resnet18", bogus=3)
    with pytest.raises(zoo.OptionError, match="simple takes no pretrained: it has no published weights"):
        zoo.create("simple", pretrained=True)


@pytest.mark.parametrize(
    ("spec", "head", "stem"),
    [
        ("simple", ["layers3"], ["layers1.0"]),
        ("mlp", ["layers.4"], ["layers.0"]),
        ("mlp(hidden=[8])", ["layers.2"], ["layers.0"]),
        ("convnet", ["head"], ["blocks.0.conv"]),
        ("resnet18", ["fc"], ["conv1"]),
        (TINY, ["head"], ["patch_embed.proj"]),
        ("convnext_atto", ["head.fc"], ["stem.0"]),
        ("efficientnet_b0", ["classifier"], ["conv_stem"]),
        ("swin_tiny_patch4_window7_224", ["head.fc"], ["patch_embed.proj"]),
        ("mobilenetv3_small_050", ["classifier"], ["conv_stem"]),
        ("deit_tiny_distilled_patch16_224", ["head", "head_dist"], ["patch_embed.proj"]),
    ],
)
def test_sites(spec: str, head: list[str], stem: list[str]) -> None:
    model = zoo.create(spec, device="meta")
    assert list(zoo.select(model, "head")) == head
    assert list(zoo.select(model, "stem")) == stem
    first = next(m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d))
    assert zoo.select(model, "stem")[stem[0]] is first


PLAIN = ["resnet18", TINY, "convnext_atto", "efficientnet_b0", "mobilenetv3_small_050", "test_vit", "resnet10t"]


@pytest.mark.parametrize("name", [*PLAIN, "mobilenetv3_small_050.lamb_in1k", "timm/test_resnet"])
def test_timm_names_are_timms_models(name: str) -> None:
    """Bit by bit under the same seed, and the generator stands where timm leaves it."""
    torch.manual_seed(3)
    model, after = zoo.create(name), torch.rand(3)
    torch.manual_seed(3)
    theirs, after_theirs = timm.create_model(name.removeprefix("timm/")), torch.rand(3)
    assert_identical(model, theirs)
    assert torch.equal(after, after_theirs)


def assert_identical(model: nn.Module, theirs: nn.Module) -> None:
    assert type(model) is type(theirs)
    assert str(model) == str(theirs)
    ours, expected = model.state_dict(), theirs.state_dict()
    assert list(ours) == list(expected)
    assert all(torch.equal(ours[name], expected[name]) for name in ours)
    assert model.pretrained_cfg == theirs.pretrained_cfg
    assert [m.training for m in model.modules()] == [m.training for m in theirs.modules()]


@pytest.mark.parametrize(
    "options",
    [
        {"num_classes": 7},
        {"num_classes": 0},
        {"in_chans": 1, "num_classes": 3},
        {"drop_rate": 0.25, "drop_path_rate": 0.1},
        {"global_pool": "max"},
        {"act_layer": "gelu"},
        {"norm_layer": nn.BatchNorm2d},
        {"layers": [1, 1, 1, 1]},
    ],
)
def test_drop_in_for_create_model(options: dict[str, Any]) -> None:
    torch.manual_seed(3)
    model = zoo.create("resnet18", **options)
    torch.manual_seed(3)
    theirs = timm.create_model("resnet18", **options)
    assert_identical(model, theirs)
    assert model.drop_rate == theirs.drop_rate
    x = torch.randn(2, options.get("in_chans", 3), 48, 48)
    torch.manual_seed(4)
    out = model(x)
    torch.manual_seed(4)
    assert torch.equal(out, theirs(x))


def test_a_tag_says_how_the_weights_were_trained() -> None:
    """Without weights the tag changes what the model says of itself, its pretrained_cfg, and no weight."""
    torch.manual_seed(3)
    model = zoo.create("resnet18.a2_in1k")
    assert model.pretrained_cfg["tag"] == "a2_in1k"
    torch.manual_seed(3)
    assert torch.equal(model.conv1.weight, zoo.create("resnet18").conv1.weight)
    assert str(zoo.spec_of(model)) == "resnet18.a2_in1k"


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("resnet18.a9_in1k", "timm's resnet18 has no pretrained tag 'a9_in1k'; did you mean 'resnet18.a"),
        (
            "resnet18.a9_in1k+dropout",
            "timm's resnet18 has no pretrained tag 'a9_in1k'; did you mean 'resnet18.a",
        ),
        ("resnet81", "no arch 'resnet81'; did you mean "),
        ("timm/resnet81", "no arch 'timm/resnet81'"),
        ("simpel", "no arch 'simpel'; did you mean 'simple'"),
        ("Simple", "no arch 'Simple'; did you mean 'simple'"),
    ],
)
def test_unknown_names(spec: str, text: str) -> None:
    with pytest.raises(zoo.UnknownNameError) as caught:
        zoo.create(spec)
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize("spec", ["simple", "mlp", "convnet", "test_vit", "simple+dropout+heads(a=1)"])
def test_seeds(spec: str) -> None:
    def weights(seed: int, **options: Any) -> Tensor:
        torch.manual_seed(seed)
        return torch.cat([p.detach().float().flatten() for p in zoo.create(spec, **options).parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))
    assert torch.equal(weights(1, dtype=torch.float64), weights(1))


@pytest.mark.parametrize("spec", ["simple", "convnet+dropout", "test_vit+act(relu)"])
def test_device_and_dtype(spec: str) -> None:
    model = zoo.create(spec, device="meta", dtype=torch.float16)
    assert {(p.device.type, p.dtype) for p in model.parameters()} == {("meta", torch.float16)}
    assert {p.device.type for p in zoo.create(spec, device="cpu").parameters()} == {"cpu"}
    assert all(m.training for m in zoo.create(spec).modules())
