"""What a forward costs: against torch's own counter on the real model, and against counts by hand."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.flop_counter import FlopCounterMode

import zoo
from zoo.trace.flops import flops_by_path, measure_costs


def counted(model: nn.Module, *arguments: Any) -> int:
    """torch's own count on the real thing, with attention as matrix products: it doesn't know the CPU's own kernel."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(*arguments)
    return counter.get_total_flops()


SMALL = [
    ("simple+dropout(0.2)", (100,)),
    ("convnet(channels=8)+heads(a=3, b=1)", (3, 16, 16)),
    ("resnet18+act(silu)+append(layer2, Conv2d(128, 128, 1))", (3, 64, 64)),
    ("vit_tiny_patch16_224(img_size=32, depth=2)+dropout(0.1)", (3, 32, 32)),
    ("swin_tiny_patch4_window7_224(img_size=56, depths=[2, 1], embed_dim=24, num_heads=[1, 2])", (3, 56, 56)),
    ("test_efficientnet+heads(a=3)", (3, 64, 64)),
]


@pytest.mark.parametrize(("spec", "size"), SMALL, ids=[spec.split("(")[0] for spec, _ in SMALL])
def test_as_many_as_torch_counts_with_real_numbers(spec: str, size: tuple[int, ...]) -> None:
    model, x = zoo.create(spec), torch.randn(1, *size)
    assert flops_by_path(model, (x,))[""] == counted(model, x) > 0
    on_meta = zoo.create(spec, device="meta")
    assert flops_by_path(on_meta, (x,)) == flops_by_path(model, (x,))


def test_by_hand() -> None:
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(inplace=True), nn.Sequential(nn.Linear(8, 2), nn.Flatten()))
    found = measure_costs(net, (torch.zeros(3, 4),))
    one, two = 2 * 3 * 4 * 8, 2 * 3 * 8 * 2
    assert {p: c.flops for p, c in found.items()} == {"": one + two, "0": one, "1": 0, "2": two, "2.0": two, "2.1": 0}
    # ReLU writes into what the first layer gave, and Flatten hands on what it got.
    assert {p: c.memory for p, c in found.items()} == {"": 120, "0": 96, "1": 0, "2": 24, "2.0": 24, "2.1": 0}
    assert found["2.0"].outputs == ((3, 2),)


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(4, 4)
        self.other = self.one
        self.unused = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"y": self.other(self.one(x))}


def test_a_shared_module_counts_both_calls_under_each_of_its_names() -> None:
    found = measure_costs(Twice(), (torch.zeros(1, 4),))
    assert [found[p].flops for p in ("", "one", "other", "unused")] == [64, 64, 64, 0]
    assert (found["one"].calls, found["unused"].calls) == (2, 0)


class Token(nn.Module):
    """Hands a view of a parameter to a module, as CaiT and PiT do with their class tokens."""

    def __init__(self, computes: bool) -> None:
        super().__init__()
        self.token, self.mix = nn.Parameter(torch.randn(1, 4)), nn.Linear(4, 4)
        self.mix.bias.requires_grad_(False)
        self.computes = computes

    def forward(self, x: Tensor) -> Tensor:
        if self.computes and float(x.sum()) > 1:  # so that it can't run on meta
            return x
        return x + self.mix(self.token.expand(len(x), -1))  # type: ignore[no-any-return]


@pytest.mark.parametrize("computes", [False, True])
def test_a_view_of_a_parameter_is_no_stumbling_block(computes: bool) -> None:
    model = Token(computes)
    assert flops_by_path(model, (torch.zeros(3, 4),))[""] == 2 * 3 * 4 * 4
    assert [name for name, p in model.named_parameters() if not p.requires_grad] == ["mix.bias"]


class Attention(nn.Module):
    """Three heads of four numbers, in torch's own function, for which each device has kernels of its own."""

    def __init__(self, computes: bool) -> None:
        super().__init__()
        self.qkv = nn.Linear(8, 36)
        self.computes = computes

    def forward(self, x: Tensor) -> Tensor:
        if self.computes and float(x.sum()) > 1:  # so that it can't run on meta
            return x
        q, k, v = self.qkv(x).view(*x.shape[:2], 3, 3, 4).permute(2, 0, 3, 1, 4)
        return scaled_dot_product_attention(q, k, v)


@pytest.mark.parametrize("computes", [False, True])
def test_attention_counts_wherever_it_runs(computes: bool) -> None:
    projections, products = 2 * 2 * 5 * 8 * 36, 2 * (2 * 2 * 3 * 5 * 5 * 4)
    found = flops_by_path(Attention(computes), (torch.zeros(2, 5, 8),))
    assert found == {"": projections + products, "qkv": projections}


def test_cait_has_flops() -> None:
    found = zoo.summary("cait_xxs24_224(depth=2)")
    by_hand = sum(m.flops for p, m in found.modules.items() if p and "." not in p)
    assert found.flops == by_hand > 0
    assert (
        found.parameters
        == found.trainable
        == sum(p.numel() for p in zoo.create("cait_xxs24_224(depth=2)").parameters())
    )
    assert "FLOPs" in str(zoo.diff("cait_xxs24_224(depth=2)", "cait_xxs24_224(depth=2)+act(relu)"))


def test_the_model_is_not_touched() -> None:
    model = zoo.create("resnet18+dropout(0.2)")
    called: list[nn.Module] = []
    handle = model.layer1.register_forward_hook(lambda module, *_: called.append(module))
    model.bn1.register_buffer("count", torch.zeros(()))
    before, mode = copy.deepcopy(model.state_dict()), [m.training for m in model.modules()]
    flops_by_path(model, (torch.zeros(1, 3, 32, 32),))
    assert not called
    assert [m.training for m in model.modules()] == mode
    assert len(model.layer1._forward_hooks) == 1
    assert not model.conv1._forward_hooks
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    handle.remove()


def test_a_list_of_modules_has_what_its_elements_did() -> None:
    found = measure_costs(zoo.create("convnet(4, depth=2)"), (torch.zeros(1, 3, 8, 8),))
    blocks = [2 * 64 * 9 * 3 * 4, 2 * 16 * 9 * 4 * 8]
    assert [found[path].flops for path in ("blocks.0", "blocks.1", "blocks")] == [*blocks, sum(blocks)]
    assert (found["blocks"].calls, found["blocks"].memory) == (0, (4 * 64 + 4 * 64 + 8 * 16 + 8 * 16) * 4)


class NeedsNumbers(nn.Module):
    """A forward that asks for a value, which no tensor on meta has."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) if self.linear.weight.sum().item() < 1e9 else x


def test_what_cannot_run_on_meta_runs_with_the_real_weights() -> None:
    model = NeedsNumbers()
    assert flops_by_path(model, (torch.zeros(1, 4),)) == {"": 32, "linear": 32}


class Uncopyable(nn.Linear):
    def __init__(self) -> None:
        super().__init__(2, 2)
        self.source = (i for i in range(3))


REFUSED: list[tuple[Any, type[Exception], str]] = [
    (Uncopyable(), zoo.NotApplicableError, "this Uncopyable can't be copied, so nothing runs on it: cannot pickle"),
    (nn.Sequential(nn.LazyLinear(2)), zoo.NotApplicableError, "this Sequential gets its sizes at its first forward"),
    (nn.Bilinear(2, 2, 2), zoo.ShapeError, "a forward fails at the model itself (Bilinear)"),
]


@pytest.mark.parametrize(("model", "error", "text"), REFUSED)
def test_what_cannot_be_counted(model: nn.Module, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        measure_costs(model, (torch.zeros(1, 2),))
    assert str(caught.value).startswith(text)
    assert "usual causes" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning")
def test_a_scripted_model_takes_no_hooks() -> None:
    traced = torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2))
    with pytest.raises(
        zoo.NotApplicableError, match="a RecursiveScriptModule takes no hooks, so nothing can be counted"
    ):
        measure_costs(traced, (torch.zeros(1, 2),))


def test_attention_is_counted_where_torch_would_take_its_fast_path() -> None:
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    tokens = torch.zeros(1, 5, 16)
    found = flops_by_path(layer, (tokens,))
    products = 2 * 5 * 16 * 48 + 2 * 5 * 16 * 16 + 2 * (2 * 5 * 5 * 16)  # in, out, and scores and values of all heads
    assert found["self_attn"] == products
    assert found[""] == products + 2 * (2 * 5 * 16 * 32)
    assert torch.backends.mha.get_fastpath_enabled()
