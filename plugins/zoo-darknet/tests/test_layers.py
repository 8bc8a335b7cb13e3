"""What comes out, against Darknet's C code spelled out in plain Python, and against networks written by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from conftest import CLASSIFIER, SMALL
from torch import Tensor, nn
from torch.nn import functional as F


def net(channels: int, height: int, width: int, sections: str) -> str:
    return f"[net]\nchannels={channels}\nheight={height}\nwidth={width}\n{sections}"


# -- pooling, folding, adding: loops over indices ---------------------------------------------------------------------


def pooled(x: Tensor, size: int, stride: int, padding: int) -> Tensor:
    """Darknet's forward_maxpool_layer: the window starts padding/2 in front, and what is outside doesn't count."""
    n, channels, height, width = x.shape
    rows, columns = (height + padding - size) // stride + 1, (width + padding - size) // stride + 1
    out = torch.empty(n, channels, rows, columns)
    for b, k, i, j in product(range(n), range(channels), range(rows), range(columns)):
        best = -math.inf
        for m, o in product(range(size), range(size)):
            row, column = i * stride + m - padding // 2, j * stride + o - padding // 2
            if 0 <= row < height and 0 <= column < width:
                best = max(best, x[b, k, row, column].item())
        out[b, k, i, j] = best
    return out


POOLS = [
    (size, stride, padding, h, w)
    for size, stride, padding in [
        (2, 2, None),
        (2, 1, None),
        (3, 1, None),
        (3, 2, None),
        (3, 2, 0),
        (2, 2, 0),
        (5, 1, None),
    ]
    for h, w in [(6, 7), (5, 5)]
] + [(4, 3, None, 7, 8), (4, 2, 1, 7, 6), (13, 1, None, 5, 6), (2, 3, None, 7, 8), (1, 1, None, 3, 3)]


@pytest.mark.parametrize(("size", "stride", "padding", "h", "w"), POOLS)
def test_maxpool_has_darknets_arithmetic(
    make: Callable[..., Any], size: int, stride: int, padding: int | None, h: int, w: int
) -> None:
    written = "" if padding is None else f"padding={padding}\n"
    model = make(net(2, h, w, f"[maxpool]\nsize={size}\nstride={stride}\n{written}"))
    x = torch.randn(2, 2, h, w)
    assert torch.equal(model(x), pooled(x, size, stride, size - 1 if padding is None else padding))


def folded(x: Tensor, stride: int) -> Tensor:
    """Darknet's reorg_cpu over flat memory, as its forward layer calls it."""
    n, c, h, w = x.shape
    flat, out = x.reshape(-1), torch.empty(x.numel())
    out_c = c // stride**2
    for b, k, j, i in product(range(n), range(c), range(h), range(w)):
        in_index = i + w * (j + h * (k + c * b))
        c2, offset = k % out_c, k // out_c
        w2, h2 = i * stride + offset % stride, j * stride + offset // stride
        out[in_index] = flat[w2 + w * stride * (h2 + h * stride * (c2 + out_c * b))]
    return out.reshape(n, c * stride**2, h // stride, w // stride)


@pytest.mark.parametrize(("channels", "h", "w", "stride"), [(4, 4, 6, 2), (8, 2, 2, 2), (9, 3, 6, 3), (3, 4, 4, 1)])
def test_reorg_has_darknets_order(make: Callable[..., Any], channels: int, h: int, w: int, stride: int) -> None:
    x = torch.randn(2, channels, h, w)
    assert torch.equal(make(net(channels, h, w, f"[reorg]\nstride={stride}\n"))(x), folded(x, stride))


def test_reorg_is_not_pixel_unshuffle(make: Callable[..., Any]) -> None:
    """The trap that every port of YOLOv2 knows."""
    x = torch.randn(1, 4, 4, 4)
    assert not torch.equal(make(net(4, 4, 4, "[reorg]\nstride=2\n"))(x), F.pixel_unshuffle(x, 2))


def added(out: Tensor, add: Tensor) -> Tensor:
    """Darknet's shortcut_cpu."""
    out = out.clone()
    (n, c1, h1, w1), (_, c2, h2, w2) = add.shape, out.shape
    stride = max(w1 // w2, 1)
    for b, k, j, i in product(range(n), range(min(c1, c2)), range(min(h1, h2)), range(min(w1, w2))):
        out[b, k, j, i] += add[b, k, j * stride, i * stride]
    return out


@pytest.mark.parametrize("sizes", [(4, 4, 8, 1), (4, 6, 8, 1), (6, 4, 8, 1), (4, 8, 8, 2), (8, 4, 7, 2), (4, 4, 9, 2)])
def test_a_shortcut_adds_what_fits(make: Callable[..., Any], sizes: tuple[int, int, int, int]) -> None:
    first, second, side, stride = sizes
    text = net(
        3,
        side,
        side,
        f"[conv]\nfilters={first}\nactivation=linear\n[conv]\nfilters={second}\nsize=2\npadding={stride - 1}\n"
        f"stride={stride}\nactivation=linear\n[shortcut]\nfrom=-2\nactivation=leaky\n",
    )
    if stride == 1:
        text = text.replace("size=2\npadding=0", "size=1")
    model = make(text)
    x = torch.randn(2, 3, side, side)
    a = model.layers[0](x)
    b = model.layers[1](a)
    torch.testing.assert_close(model(x), F.leaky_relu(added(b, a), 0.1))


def test_a_local_layer_has_weights_of_its_own_everywhere(make: Callable[..., Any]) -> None:
    model = make(net(2, 4, 5, "[local]\nfilters=3\nsize=3\nstride=1\npad=1\nactivation=leaky\n"))
    layer = model.layers[0]
    nn.init.normal_(layer.bias)
    x = torch.randn(2, 2, 4, 5)
    padded = F.pad(x, (1, 1, 1, 1))
    wanted = torch.empty(2, 3, 4, 5)
    for b, f, i, j in product(range(2), range(3), range(4), range(5)):
        window = padded[b, :, i : i + 3, j : j + 3].reshape(-1)
        wanted[b, f, i, j] = window @ layer.weight[i * 5 + j, f] + layer.bias[f, i, j]
    torch.testing.assert_close(model(x), F.leaky_relu(wanted, 0.1))


def test_a_crop_takes_the_middle(make: Callable[..., Any]) -> None:
    x = torch.rand(1, 3, 8, 9)
    sections = "[crop]\ncrop_height=4\ncrop_width=4\nflip=1\n"
    assert torch.equal(make(net(3, 8, 9, sections))(x), 2 * x[:, :, 2:6, 2:6] - 1)
    assert torch.equal(make(net(3, 8, 9, sections + "noadjust=1\n"))(x), x[:, :, 2:6, 2:6])


def test_softmax_over_groups_with_a_temperature(make: Callable[..., Any]) -> None:
    x = torch.randn(2, 6, 1, 1)
    wanted = torch.stack([(x[:, at : at + 3].flatten(1) / 2).softmax(1) for at in (0, 3)], 1).flatten(1)
    out = make(net(6, 1, 1, "[avgpool]\n[softmax]\ngroups=2\ntemperature=2\n"))(x)
    torch.testing.assert_close(out, wanted)


# Darknet's formulas, activations.h.
FORMULAS: dict[str, Callable[[float], float]] = {
    "linear": lambda x: x,
    "leaky": lambda x: x if x > 0 else 0.1 * x,
    "relu": lambda x: x * (x > 0),
    "relu6": lambda x: min(max(x, 0), 6),
    "relie": lambda x: x if x > 0 else 0.01 * x,
    "logistic": lambda x: 1 / (1 + math.exp(-x)),
    "swish": lambda x: x / (1 + math.exp(-x)),
    "mish": lambda x: x * math.tanh(math.log(1 + math.exp(x))),
    "elu": lambda x: x if x >= 0 else math.exp(x) - 1,
    "selu": lambda x: 1.0507 * x if x >= 0 else 1.0507 * 1.6732 * (math.exp(x) - 1),
    "gelu": lambda x: 0.5 * x * (1 + math.tanh(0.797885 * x + 0.035677 * x**3)),
    "tanh": lambda x: (math.exp(2 * x) - 1) / (math.exp(2 * x) + 1),
    "hardtan": lambda x: min(max(x, -1), 1),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_activations_are_darknets(make: Callable[..., Any], name: str) -> None:
    values = [-7.5, -3.0, -1.0, -0.2, 0.0, 0.3, 1.0, 2.5, 6.5]
    model = make(net(1, 1, len(values), f"[activation]\nactivation={name}\n"))
    out = model(torch.tensor(values).reshape(1, 1, 1, -1)).flatten()
    torch.testing.assert_close(out, torch.tensor([FORMULAS[name](v) for v in values]), rtol=1e-4, atol=1e-4)


# -- whole networks ---------------------------------------------------------------------------------------------------


class Written(nn.Module):
    """SMALL, as one would write it in PyTorch."""

    def __init__(self) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(3, 8, 3, 2, 1, bias=False)
        self.bn0 = nn.BatchNorm2d(8)
        self.conv1 = nn.Conv2d(8, 8, 1)
        self.conv5 = nn.Conv2d(4, 4, 3, padding=1, groups=2, bias=False)
        self.bn5 = nn.BatchNorm2d(4)
        self.conv8 = nn.Conv2d(12, 14, 1)
        self.conv12 = nn.Conv2d(32, 21, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        a = F.leaky_relu(self.bn0(self.conv0(x)), 0.1)
        trunk = F.relu(self.conv1(a) + a)
        x = F.max_pool2d(trunk[:, 4:], 2)
        x = F.mish(self.bn5(self.conv5(x)))
        x = F.interpolate(x, scale_factor=2)
        return self.conv8(torch.cat([x, trunk], 1)), self.conv12(folded(trunk, 2))


def test_a_detector_gives_what_the_same_network_by_hand_gives(make: Callable[..., Any]) -> None:
    model, mine = make(SMALL), Written()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
    theirs = [value for name, value in model.state_dict().items()]
    mine.load_state_dict(dict(zip(mine.state_dict(), theirs, strict=True)))
    x = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(model.eval()(x), mine.eval()(x))


def test_a_classifier_gives_what_the_same_network_by_hand_gives(make: Callable[..., Any]) -> None:
    model = make(CLASSIFIER).eval()
    mine = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, bias=False),
        nn.BatchNorm2d(6),
        nn.LeakyReLU(0.1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 5, bias=False),
        nn.BatchNorm1d(5),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(5, 4),
        nn.Softmax(1),
    ).eval()
    mine.load_state_dict(dict(zip(mine.state_dict(), model.state_dict().values(), strict=True)))
    x = torch.randn(3, 3, 8, 8)
    torch.testing.assert_close(model(x), mine(x))
    torch.testing.assert_close(model(torch.randn(3, 3, 12, 10)).sum(1), torch.ones(3))


def test_a_network_of_vectors(make: Callable[..., Any]) -> None:
    text = "[net]\ninputs=5\n[connected]\noutput=3\nactivation=tanh\n[connected]\noutput=2\nactivation=linear\n[cost]\n"
    model = make(text, "+dropout(0.1)").eval()
    one, two = model.layers[0].linear, model.layers[1].linear
    x = torch.randn(4, 5)
    torch.testing.assert_close(model(x), two(torch.tanh(one(x))))


def test_normalisation_moves_as_in_darknet(make: Callable[..., Any]) -> None:
    model = make(net(2, 4, 4, "[batchnorm]\n")).train()
    x = torch.randn(8, 2, 4, 4) + 3
    model(x)
    torch.testing.assert_close(model.layers[0].running_mean, 0.01 * x.mean((0, 2, 3)))
    torch.testing.assert_close(model.layers[0].running_var, 0.99 + 0.01 * x.var((0, 2, 3)))
    assert model.layers[0].eps == 1e-5
