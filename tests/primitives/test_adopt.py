"""An edit of someone else's, which keeps what it knows nothing of."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import zoo


class Net(nn.Module):
    """Changes its own layers by hand, as timm's and transformers' models do."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(4, 8), nn.ReLU())
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.trunk(x))

    def reset(self, n: int) -> None:
        self.head = nn.Linear(8, n)
        self.trunk[1] = nn.ReLU()
        self.classes = n


def test_what_it_puts_comes_as_replace_puts_it() -> None:
    net = Net().half().eval()
    calls: list[str] = []
    net.head.register_forward_hook(lambda *_: calls.append("head"))
    zoo.insert_before(net, "head", nn.LayerNorm(8))
    relu, norm = net.trunk[1], net.head.zoo_before[0]
    assert zoo.adopt(net, lambda: net.reset(5)) is net
    assert (net.classes, net.head.out_features, net.head.weight.dtype) == (5, 5, torch.float16)
    assert not any(module.training for module in net.modules())
    assert net.trunk[1] is relu  # it was put anew as it was
    assert net.head.zoo_before[0] is norm
    assert net(torch.randn(2, 4).half()).shape == (2, 5)
    assert calls == ["head"]


def test_an_edit_that_changes_no_module_leaves_all_as_it_was() -> None:
    net = Net()
    before = list(net.modules())
    zoo.adopt(net, lambda: setattr(net, "classes", 3))
    assert list(map(id, net.modules())) == list(map(id, before))
    assert net.classes == 3
