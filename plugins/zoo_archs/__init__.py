"""The zoo's own archs: small nets. The families of timm and torchvision beside it are plugins of their own."""

from __future__ import annotations

import zoo

from .chain import chain, grow, shrink
from .convnet import convnet
from .mlp import mlp
from .simple import simple


@zoo.hookimpl
def zoo_archs() -> list[zoo.Arch]:
    return [simple, mlp, convnet, chain]


@zoo.hookimpl
def zoo_modifiers() -> list[zoo.Modifier]:
    return [grow, shrink]
