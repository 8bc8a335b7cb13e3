"""What several test files share."""

from __future__ import annotations

import pytest
import torch

torch.set_num_threads(1)  # more of them only spin where several test runs share the cores


@pytest.fixture(autouse=True)
def _same_seed() -> None:
    torch.manual_seed(0)
