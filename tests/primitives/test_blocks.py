"""Rows of alike blocks, held against what the archs' own authors call blocks, and against little nets by hand."""

from __future__ import annotations

from itertools import pairwise

import pytest
from torch import nn

import zoo
from tests.nets import without_memory


def row(start: str, size: int) -> tuple[str, ...]:
    return tuple(f"{start}.{n}" for n in range(size))


def rows(pattern: str, *sizes: int, first: int = 0, step: int = 1) -> tuple[tuple[str, ...], ...]:
    return tuple(row(pattern.format(first + step * n), size) for n, size in enumerate(sizes))


ARCHS = {
    "resnet18": rows("layer{}", 2, 2, 2, 2, first=1),
    "resnet152": rows("layer{}", 3, 8, 36, 3, first=1),
    "resnet10t": rows("layer{}", 1, 1, 1, 1, first=1),
    "vit_tiny_patch16_224": (row("blocks", 12),),
    "mixer_s16_224": (row("blocks", 8),),
    "cait_xxs24_224": (row("blocks", 24), row("blocks_token_only", 2)),
    "convnext_atto": rows("stages.{}.blocks", 2, 2, 6, 2),
    "swin_tiny_patch4_window7_224": rows("layers.{}.blocks", 2, 2, 6, 2),
    "efficientnet_b0": rows("blocks.{}", 1, 2, 2, 3, 3, 4, 1),
    "hgnet_tiny": rows("stages.{}.blocks", 1, 1, 2, 1),
    "xception41": (row("blocks", 13),),
    "eca_nfnet_l0": rows("stages.{}", 1, 2, 6, 3),
    "regnety_002": tuple(tuple(f"s{s + 1}.b{n + 1}" for n in range(size)) for s, size in enumerate((1, 1, 4, 7))),
    "torchvision/resnet50": rows("layer{}", 3, 4, 6, 3, first=1),
    "torchvision/swin_t": rows("features.{}", 2, 2, 6, 2, first=1, step=2),
    "torchvision/mobilenet_v2": (tuple(f"features.{n}" for n in range(1, 18)),),
    "torchvision/shufflenet_v2_x0_5": rows("stage{}", 4, 8, 4, first=2),
    "torchvision/vit_b_16": (tuple(f"encoder.layers.encoder_layer_{n}" for n in range(12)),),
    "vgg11": (),
    "torchvision/googlenet": (),
    "simple": (),
    "mlp": (),
}


@pytest.mark.parametrize("spec", ARCHS)
def test_the_blocks_of_an_arch(spec: str) -> None:
    model = zoo.create(spec, device=without_memory(spec))
    found = zoo.blocks_of(model)
    assert found == ARCHS[spec]
    order = [path for path, _ in model.named_modules()]
    paths = [path for one in found for path in one]
    assert sorted(paths, key=order.index) == paths
    assert not any(later.startswith(f"{path}.") for path, later in pairwise(paths))


def layer(size: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Linear(size, size), nn.LayerNorm(size))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = layer(), layer()


class Other(Block):
    pass


LISTS: dict[str, tuple[nn.Module, tuple[tuple[str, ...], ...]]] = {
    "two of a class": (nn.Sequential(Block(), Block()), (("0", "1"),)),
    "two of two classes": (nn.Sequential(Block(), Other()), ()),
    "three, of which two are alike": (nn.ModuleList([Block(), Other(), Block()]), (("0", "1", "2"),)),
    "what is small between them": (nn.Sequential(Block(), nn.Linear(3, 3), layer(), Block()), (("0", "3"),)),
    "a dict": (nn.ModuleDict({"a": Block(), "b": Block()}), (("a", "b"),)),
    "lists of one each": (nn.Sequential(nn.Sequential(Block()), nn.Sequential(Block())), (("0.0",), ("1.0",))),
    "a list of one": (nn.Sequential(nn.Sequential(Block()), nn.Linear(3, 3)), ()),
    "a list of one beside one of two": (
        nn.ModuleList([nn.Sequential(Block()), nn.Sequential(Block(), Block())]),
        (("0.0",), ("1.0", "1.1")),
    ),
    "small ones": (nn.Sequential(layer(), layer()), ()),
    "nothing": (nn.ReLU(), ()),
}


@pytest.mark.parametrize("case", LISTS)
def test_the_blocks_of_lists(case: str) -> None:
    model, expected = LISTS[case]
    assert zoo.blocks_of(model) == expected


def test_what_was_inserted_belongs_to_its_block() -> None:
    model = nn.Sequential(Block(), Block())
    zoo.insert_before(model, "0.one.0", Block())
    zoo.insert_after(model, "1", nn.Sequential(Block(), Block()))
    assert zoo.blocks_of(model) == (("0", "1"),)
