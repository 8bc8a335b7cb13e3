"""What timm calls activations and norms, and what its classes and those of others are.

Nothing is imported before a name is asked for: `_timm:silu` is found by `__getattr__`, since what a name stands for is
timm's to say, by its settings of that moment (other classes where a model is to be exported).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def _names(file: str, tables: str) -> Iterator[str]:
    """The keys of dicts in a file of timm's layers, read from its text: each release knows other names.

    Of a release that keeps them elsewhere nothing is found, and the tests say so.
    """
    spec = find_spec("timm")
    if spec is None or spec.origin is None:
        return
    text = (Path(spec.origin).parent / "layers" / file).read_text(encoding="utf-8")
    for table in re.findall(rf"^(?:{tables}) = dict\(\n(.*?)^\)", text, re.MULTILINE | re.DOTALL):
        yield from re.findall(r"^    (\w+)=", table, re.MULTILINE)
    yield from re.findall(r"\.setdefault\('(\w+)'", text)  # timm's second names


@cache
def activations() -> dict[str, str]:
    """timm's names of activations, each with where what it stands for is found."""
    return {name: f"{__name__}:{name}" for name in _names("create_act.py", "_ACT_LAYER_DEFAULT|_ACT_LAYER_ME")}


@cache
def norms() -> dict[str, str]:
    """timm's names of norms, likewise."""
    return {name: f"{__name__}:{name}" for name in _names("create_norm.py", "_NORM_MAP")}


def __getattr__(name: str) -> Any:
    if name in activations():
        from timm.layers import get_act_layer

        return get_act_layer(name)
    if name in norms():
        from timm.layers import get_norm_layer

        return get_norm_layer(name)
    raise AttributeError(f"timm has no activation and no norm '{name}'")


_EVO = "timm.layers.evo_norm"
CLASSES = {
    "timm.layers.activations:*": "activation",
    "timm.layers.activations_me:*": "activation",
    "timm.layers.activations:Sigmoid": "gate",
    "timm.layers.activations:HardSigmoid": "gate",
    "timm.layers.activations_me:HardSigmoidMe": "gate",
    "timm.*:GammaAct": "activation",
    "transformers.activations:*": "activation",
    "transformers.activations:LinearActivation": "",
    "transformers.activations:SqrtSoftplusActivation": "",  # scores of experts
    "timm.layers.norm:*": "norm",
    "timm.layers.norm_act:*": "norm",
    "timm.layers.filter_response_norm:*": "norm",
    "timm.layers.filter_response_norm:FilterResponseNormTlu2d": "norm fused",
    "timm.layers.inplace_abn:*": "norm",
    f"{_EVO}:*": "norm",
    **{f"{_EVO}:EvoNorm2d{kind}": "norm fused" for kind in ("B0", "B1", "B2", "S0")},
    "torchvision.ops.misc:FrozenBatchNorm2d": "norm",
    "transformers.*:*FrozenBatchNorm2d": "norm",
    "transformers.*:*RMSNorm": "norm",
    "transformers.*:*LayerNorm": "norm",
}
