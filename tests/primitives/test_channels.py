"""The channels at a place, held against real forwards; and whether a layer is called."""

from __future__ import annotations

import types
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zoo


class Net(nn.Module):
    """Images, then tokens; an auxiliary head that runs in training alone; a layer that never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.act = nn.ReLU()
        self.blocks = nn.Sequential(nn.Sequential(nn.Conv2d(8, 16, 1), nn.ReLU()), nn.Sequential(nn.BatchNorm2d(16)))
        self.proj = nn.Linear(16, 20)
        self.gelu = nn.GELU()
        self.attn = nn.MultiheadAttention(20, 2, batch_first=True)
        self.norm = nn.LayerNorm(20)
        self.head = nn.Linear(20, 5)
        self.aux = nn.Linear(20, 5)
        self.spare = nn.Linear(7, 9)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.act(self.stem(x))).flatten(2).transpose(1, 2)
        x = self.gelu(self.proj(x))
        x = self.norm(self.attn(x, x, x)[0]).mean(1)
        return self.head(x) + self.aux(x) if self.training else self.head(x)


@zoo.arch(sample=(3, 6, 5))
def net() -> nn.Module:
    """A net."""
    return Net()


def asked(spec: str, question: Any) -> dict[str, Any]:
    """What a modifier at work is answered, at each path."""
    answers: dict[str, Any] = {}

    @zoo.modifier
    def widen(model: nn.Module, /) -> nn.Module:
        """Another number of outputs for the first block."""
        zoo.replace(model, "blocks.0.1", nn.Sequential(nn.Conv2d(16, 16, 1)))
        return model

    @zoo.modifier
    def ask(model: nn.Module, /) -> nn.Module:
        """Ask."""
        answers.update({path: question(model, path) for path, _ in model.named_modules()})
        return zoo.insert_before(model, "head", nn.Identity())

    plugin = types.ModuleType("plugin")
    plugin.zoo_archs = zoo.hookimpl(specname="zoo_archs")(lambda: [net])  # type: ignore[attr-defined]
    plugin.zoo_modifiers = zoo.hookimpl(specname="zoo_modifiers")(lambda: [ask, widen])  # type: ignore[attr-defined]
    zoo.create(spec, registry=zoo.Registry.of(plugin))
    return answers


def test_a_modifier_at_work_learns_the_channels_at_every_place() -> None:
    found = asked("net+ask", zoo.channels_at)
    channels = {path: (c.arrive, c.leave) for path, c in found.items()}
    model, shapes = Net().eval(), {}
    for path, module in model.named_modules():
        module.register_forward_hook(lambda m, args, output, path=path: shapes.update({path: (args[0], output)}))
    model(torch.zeros(2, 3, 6, 5))
    images = {"stem", "act", "blocks", "blocks.0", "blocks.0.0", "blocks.0.1", "blocks.1", "blocks.1.0"}
    for path, (took, gave) in shapes.items():
        if path in images:
            assert channels[path] == (took.shape[1], gave.shape[1]), path
            assert found[path].dim == 1, path
        elif path:
            assert channels[path] == (took.shape[-1], (gave[0] if path == "attn" else gave).shape[-1]), path
            assert found[path].dim == -1, path
    assert channels["spare"] == (7, 9)


def test_without_a_trace_a_layer_says_it_itself() -> None:
    model = Net()
    expected = {"stem": (3, 8, 1), "proj": (16, 20, -1), "norm": (20, 20, -1), "attn": (20, 20, -1)}
    expected |= {"blocks.1.0": (16, 16, 1), "act": (None, None, None), "blocks": (None, None, None)}
    for path, numbers in expected.items():
        found = zoo.channels_at(model, path)
        assert (found.arrive, found.leave, found.dim) == numbers, path


def test_what_came_into_a_place_is_asked_itself() -> None:
    found = asked("net+widen+ask", zoo.channels_at)
    assert (found["blocks.0.1"].arrive, found["blocks.0.1.0"].arrive) == (None, 16)


def test_whether_a_layer_is_called() -> None:
    found = asked("net+ask", zoo.is_called)
    assert {path: found[path] for path in ("", "stem", "blocks.0.0", "head", "aux", "spare")} == {
        "": True,
        "stem": True,
        "blocks.0.0": True,
        "head": True,
        "aux": True,
        "spare": False,
    }
    assert found["attn.out_proj"] is False  # whose weight the attention reads
    assert asked("net+widen+ask", zoo.is_called)["blocks.0.1"] is None
    assert zoo.is_called(Net(), "stem") is None


@pytest.mark.parametrize("question", [zoo.channels_at, zoo.is_called])
def test_a_place_that_is_not_there(question: Any) -> None:
    with pytest.raises(zoo.NoEffectError, match="there is no module at 'stern'"):
        question(Net(), "stern")
