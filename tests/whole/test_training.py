"""A variant trains: a convnet with two heads on scikit-learn's handwritten digits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import zoo
from tests.digits import digits

SPEC = "convnet(channels=16, depth=3, in_chans=1)+heads(digit=10, ink=1)"


def digits_and_ink() -> tuple[Tensor, Tensor, Tensor]:
    """Images, the digit, and the share of dark pixels, scaled to mean 0 and deviation 1."""
    x, labels = digits()
    dark = (x > 0.5).flatten(1).sum(1, keepdim=True).float()
    return x, labels, (dark - dark.mean()) / dark.std()


def losses(out: dict[str, Tensor], digit: Tensor, ink: Tensor) -> dict[str, Tensor]:
    return {
        "digit": nn.functional.cross_entropy(out["digit"], digit),
        "ink": nn.functional.mse_loss(out["ink"], ink),
    }


@torch.no_grad()
def evaluate(model: nn.Module, x: Tensor, digit: Tensor, ink: Tensor) -> tuple[dict[str, float], float]:
    out = model.eval()(x)
    accuracy = (out["digit"].argmax(1) == digit).float().mean().item()
    return {name: loss.item() for name, loss in losses(out, digit, ink).items()}, accuracy


def test_two_heads_train_on_digits() -> None:
    x, digit, ink = digits_and_ink()
    order = torch.randperm(len(x))
    train, test = order[:1400], order[1400:]
    model = zoo.create(SPEC)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    before, _ = evaluate(model, x[test], digit[test], ink[test])
    for _ in range(6):
        model.train()
        for batch in train[torch.randperm(len(train))].split(64):
            loss = sum(losses(model(x[batch]), digit[batch], ink[batch]).values())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    after, accuracy = evaluate(model, x[test], digit[test], ink[test])
    assert before["digit"] > 2  # no better than guessing one of ten: log 10 = 2.3
    assert before["ink"] > 0.8  # no better than the mean: 1
    assert after["digit"] < 0.1 * before["digit"]
    assert after["ink"] < 0.4 * before["ink"]
    assert accuracy > 0.95
    with torch.no_grad():
        assert torch.equal(model(x[:5], task="ink"), model(x[:5])["ink"])
