"""What timm calls activations and norms, and what its classes and those of others are.

Nothing is imported before a name is asked for: `_timm:silu` is found by `__getattr__`, since what a name stands for is
timm's to say, by its settings of that moment (other classes where a model is to be exported).
"""

from __future__ import annotations

from typing import Any

_ACTIVATIONS = """
silu swish mish relu relu6 leaky_relu elu prelu celu selu gelu gelu_tanh quick_gelu sigmoid tanh hard_sigmoid
hardsigmoid hard_swish hardswish hard_mish identity
""".split()
_NORMS = """
batchnorm batchnorm1d batchnorm2d groupnorm groupnorm1 layernorm layernorm2d layernorm2dfp32 layernormfp32 rmsnorm
rmsnorm2d rmsnorm2dfp32 rmsnormfp32 simplenorm simplenorm2d simplenorm2dfp32 simplenormfp32 frozenbatchnorm2d
""".split()

ACTIVATIONS = {name: f"{__name__}:{name}" for name in _ACTIVATIONS}
NORMS = {name: f"{__name__}:{name}" for name in _NORMS}


def __getattr__(name: str) -> Any:
    if name in ACTIVATIONS:
        from timm.layers import get_act_layer

        return get_act_layer(name)
    if name in NORMS:
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
