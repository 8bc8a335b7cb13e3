"""What several test files share. The plugin has to be installed: `pip install -e ".[test]"`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo

torch.set_num_threads(1)

# Every kind of section that joins or reshapes, small enough to compute by hand.
SMALL = """
[net]
height=16
width=16
channels=3

[convolutional]
batch_normalize=1
filters=8
size=3
stride=2
pad=1
activation=leaky

[convolutional]
filters=8
size=1
activation=linear

[shortcut]
from=-2
activation=relu

[route]
layers=-1
groups=2
group_id=1

[maxpool]
size=2
stride=2

[convolutional]
batch_normalize=1
filters=4
size=3
groups=2
pad=1
activation=mish

[upsample]
stride=2

[route]
layers=-1, 2

[convolutional]
filters=14
size=1
activation=linear

[yolo]
mask=0,1
anchors=1,2, 3,4, 5,6
num=3
classes=2

[route]
layers=2

[reorg]
stride=2

[convolutional]
filters=21
size=1
activation=linear

[region]
anchors=1,2, 3,4, 5,6
num=3
classes=2
coords=4
"""

CLASSIFIER = """
[net]
height=8
width=8
channels=3

[convolutional]
batch_normalize=1
filters=6
size=3
pad=1
activation=leaky

[avgpool]

[connected]
output=5
batch_normalize=1
activation=relu

[dropout]
probability=.3

[connected]
output=4
activation=linear

[softmax]
groups=1
"""


@pytest.fixture(autouse=True)
def _same_seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Any]:
    """A model of a cfg's text."""

    def made(text: str, mods: str = "", **options: Any) -> Any:
        file = tmp_path / "net.cfg"
        file.write_text(text, encoding="utf-8")
        return zoo.create(f'darknet:"{file}"{mods}', **options)

    return made
