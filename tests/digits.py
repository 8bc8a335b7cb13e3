"""Real images to train on: the digits of scikit-learn, which come with it."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import Tensor


def digits(count: int | None = None) -> tuple[Tensor, Tensor]:
    """Images (N, 1, 8, 8) from 0 to 1, and the digit (N,) on each."""
    images, labels = load_digits(return_X_y=True)
    return torch.tensor(images[:count], dtype=torch.float32).view(-1, 1, 8, 8) / 16, torch.tensor(labels[:count])
