"""The kit's own archs: small nets, each with some of the traps that modifiers fall into."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..registry.declare import arch


class Tangled(nn.Module):
    """Sequentials in a Sequential, an activation and a block that stand in two places each, two tied weights."""

    def __init__(self) -> None:
        super().__init__()
        act = nn.ReLU()
        block = nn.Sequential(nn.Linear(12, 12), act)
        self.body = nn.Sequential(nn.Sequential(nn.Linear(12, 12), act), nn.Sequential(block, nn.BatchNorm1d(12)))
        self.block = block
        self.tied = nn.Linear(12, 12, bias=False)
        self.tied.weight = block[0].weight  # type: ignore[assignment]
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.tied(self.block(self.body(x))))  # type: ignore[no-any-return]


class NormAct(nn.BatchNorm2d):
    """A norm that holds its activation, so that another norm in its place would drop it without a word."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.drop = nn.Identity()
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.drop(super().forward(x)))  # type: ignore[no-any-return]


def users_hook(module: nn.Module, args: Any, output: Any) -> None:
    """A user's hook."""


class Fused(nn.Module):
    """Norms that hold activations, a frozen stem, a buffer that no state dict has, a user's hook, a layer unused."""

    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False).requires_grad_(False)
        self.bn1 = NormAct(8)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
        self.bn2 = NormAct(8)
        self.unused = nn.Conv2d(8, 8, 1)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(8, 4)
        self.register_buffer("scale", torch.linspace(0.5, 1.5, 8), persistent=False)
        self.bn2.register_forward_hook(users_hook)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.stem(x))
        x = x + self.bn2(self.conv2(x))
        return self.head(self.pool(x) * self.scale)  # type: ignore[no-any-return]


class Tokens(nn.Module):
    """A block of a transformer, with a layer whose weight is read and which is never called; gives a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        self.norm1 = nn.LayerNorm(8)
        self.qkv = nn.Linear(8, 24, bias=False)
        self.norm2 = nn.LayerNorm(8)
        self.mlp = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Dropout(0.1), nn.Linear(16, 8))
        self.head = nn.Linear(8, 5)

    def forward(self, tokens: Tensor) -> dict[str, Tensor]:
        x = self.embed(tokens)
        q, k, v = nn.functional.linear(self.norm1(x), self.qkv.weight).chunk(3, -1)
        x = x + (q @ k.transpose(-2, -1) / 8**0.5).softmax(-1) @ v
        x = x + self.mlp(self.norm2(x))
        return {"features": x, "logits": self.head(x.mean(1))}


def _tokens(model: nn.Module) -> tuple[Tensor]:
    return (torch.arange(12).view(2, 6) % 11,)


@arch("kit-tangled", sites={"stem": "body.0.0", "head": "head"}, sample=(12,))
def tangled() -> nn.Module:
    """Shared modules, tied weights and nested Sequentials."""
    return Tangled()


@arch("kit-fused", sites={"stem": "stem", "head": "head"}, sample=(3, 8, 8))
def fused() -> nn.Module:
    """Norms that hold activations, frozen weights, a buffer that isn't saved, a hook."""
    return Fused()


@arch("kit-tokens", sites={"stem": "embed", "head": "head"}, sample=_tokens)
def tokens() -> nn.Module:
    """A small transformer on whole numbers, which gives a dict."""
    return Tokens()


NETS = (tangled, fused, tokens)
