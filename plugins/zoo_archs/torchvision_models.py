"""The family of all 121 models of torchvision: `torchvision/resnet18`.

torchvision's builders fetch weights for backbones unless told not to, and those of detection and segmentation take
any keyword in silence; neither happens here.
"""

from __future__ import annotations

import inspect
import re
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge

import zoo

from ._names import scan
from ._order import by_rows
from ._stages import of_torchvision

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

_REGISTERED = re.compile(
    r'^@register_model\((?:name="(?P<name>\w+)")?\)\n(?:[^d\n][^\n]*\n)*?def (?P<function>\w+)\(', re.MULTILINE
)
# Where weights come from is said to `create`, and no spec reaches the network.
_WEIGHTS = {"weights", "weights_backbone", "pretrained_backbone"}
_NO_OPTIONS = {*_WEIGHTS, "progress", "kwargs", "self", "backbone"}


@cache
def names() -> tuple[str, ...]:
    """Every model of the torchvision that is installed, without importing it."""
    return scan("torchvision", lambda text: (m["name"] or m["function"] for m in _REGISTERED.finditer(text)))


@zoo.family("torchvision", names=names)
def torchvision_family(name: str, source: str | None) -> zoo.Arch | None:
    """Every model of torchvision: classification, segmentation, detection, video, optical flow, quantization."""
    if name not in names():
        return None

    def build(*, pretrained: bool = False, num_classes: Annotated[int, Ge(1)] | None = None, **options: Any) -> Any:
        """A model of torchvision. All options are torchvision's own; those not given are left to the architecture."""
        from torchvision.models import get_model_builder

        builder = get_model_builder(name)
        if num_classes is not None:
            options["num_classes"] = num_classes
        _check_options(name, builder, options)
        if "weights_backbone" in inspect.signature(builder).parameters:
            options["weights_backbone"] = None
        if name.endswith(("googlenet", "inception_v3")):
            options.setdefault("init_weights", True)  # what it does anyway, less the warning
        return builder(weights="DEFAULT" if pretrained else None, **options)

    return zoo.Arch(name, build, sites, sample, order=by_rows)


def _check_options(name: str, builder: Callable[..., Any], options: dict[str, Any]) -> None:
    """Refuse what the builder would swallow. Elsewhere the class itself refuses."""
    own = {p.name for p in inspect.signature(builder).parameters.values()}
    kind = builder.__module__.split(".")[2]
    if kind == "detection":
        made = inspect.signature(builder, eval_str=True).return_annotation
        own |= set(inspect.signature(made.__init__).parameters)
    elif kind == "segmentation":
        pass  # what the builder doesn't name goes nowhere
    else:
        own |= set(options) - {"weights_backbone", "pretrained_backbone"}
    for option in options:
        if option in _WEIGHTS:
            raise zoo.OptionError(f"'{option}' can't stand in a spec; write zoo.create(spec, pretrained=True)")
        if option not in own - _NO_OPTIONS:
            known = ", ".join(sorted(own - _NO_OPTIONS))
            raise zoo.OptionError(f"torchvision's {name} has no option '{option}'; its options: {known}")


def sites(model: nn.Module) -> dict[str, Any]:
    """`stem`: the first convolution. `head`: the last layer with weights of what torchvision calls so.

    Detectors have none: what their heads give goes on into boxes. LR-ASPP adds up two. `aux`: auxiliary classifiers.
    `stages` of classifiers, of images and of clips.
    """
    from torch import nn

    kinds = (nn.Linear, nn.modules.conv._ConvNd)
    layers = [path for path, module in model.named_modules() if isinstance(module, kinds)]
    detects = ".detection." in type(model).__module__
    head = [p for p in layers if re.match(r"(fc|classifier|heads?)(\.|$)", p) and not detects]
    stems = [path for path in layers if path.endswith("_encoder.convnormrelu.0")]  # RAFT's two, both on the image
    found: dict[str, Any] = {"stem": stems or layers[0]} if layers else {}
    if head:
        found["head"] = head[-2:] if type(model).__name__ == "LRASPP" else head[-1]
        if aux := [p for p in layers if re.fullmatch(r"aux\d\.fc2|AuxLogits\.fc|aux_classifier\.4", p)]:
            found["aux"] = aux
        if isinstance(getattr(model, "dropout", None), nn.Dropout):
            found["head_drop"] = "dropout"
    if parts := of_torchvision(model):
        found["stages"] = parts
    return found


def sample(model: nn.Module) -> tuple[Any, ...]:
    """What a forward of this kind of model takes: an image, a clip, two images for optical flow, a list of images."""
    import torch

    path = type(model).__module__.split(".")
    kind, module = path[2], path[-1]
    stem = next((m for m in model.modules() if hasattr(m, "in_channels")), None)
    chans: int = getattr(stem, "in_channels", 3)
    if kind == "detection":
        return ([torch.zeros(chans, 64, 64)],)
    if kind == "optical_flow":
        return torch.zeros(2, chans, 128, 128), torch.zeros(2, chans, 128, 128)
    if kind == "video":
        return (chans, 16, 112, 112) if module == "resnet" else (chans, 16, 224, 224)
    return (chans, 299, 299) if module == "inception" else (chans, 224, 224)


@zoo.hookimpl
def zoo_families() -> list[zoo.Family]:
    return [torchvision_family]
