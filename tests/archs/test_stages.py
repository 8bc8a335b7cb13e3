"""`stages` as sites: which modules each is, and what `at=stages.2` says where there is none."""

from __future__ import annotations

import types

import pytest
import torch
from torch import nn

import zoo
from tests.nets import without_memory

STAGES = {
    "resnet18": ["layer1", "layer2", "layer3", "layer4"],
    "resnet10t": ["layer1", "layer2", "layer3", "layer4"],  # its stem is three convolutions
    "convnext_atto": ["stages.0", "stages.1", "stages.2", "stages.3"],
    "vit_tiny_patch16_224": [f"blocks.{n}" for n in range(12)],
    "qwen3_vit_88m": [f"encoder.blocks.{n}" for n in range(12)],
    "efficientnet_b0": ["blocks.0", "blocks.1", "blocks.2", "blocks.3 blocks.4", "blocks.5 blocks.6"],
    "mobilenetv3_small_100": ["blocks.0", "blocks.1", "blocks.2 blocks.3", "blocks.4 blocks.5"],
    "swin_tiny_patch4_window7_224": ["layers.0", "layers.1", "layers.2", "layers.3"],
    "regnety_002": ["s1", "s2", "s3", "s4"],
    "inception_v3": [
        "Mixed_5b Mixed_5c Mixed_5d",
        "Mixed_6a Mixed_6b Mixed_6c Mixed_6d Mixed_6e",
        "Mixed_7a Mixed_7b Mixed_7c",
    ],
    "vgg11": [
        "features.0",
        "features.3",
        "features.6 features.8",
        "features.11 features.13",
        "features.16 features.18",
    ],
    "torchvision/resnet18": ["layer1", "layer2", "layer3", "layer4"],
    "torchvision/convnext_tiny": [
        "features.1",
        "features.2 features.3",
        "features.4 features.5",
        "features.6 features.7",
    ],
    "torchvision/swin_t": ["features.1", "features.2 features.3", "features.4 features.5", "features.6 features.7"],
    "torchvision/efficientnet_v2_s": [f"features.{n}" for n in range(1, 7)],
    "torchvision/maxvit_t": [f"blocks.{n}" for n in range(4)],
    "torchvision/vit_b_16": [f"encoder.layers.encoder_layer_{n}" for n in range(12)],
    "torchvision/mobilenet_v3_small": [
        "features.1",
        "features.2 features.3",
        "features.4 features.5 features.6 features.7 features.8",
        "features.9 features.10 features.11",
    ],
    "convnet": ["blocks.0", "blocks.1", "blocks.2"],
}


KNOWN = set(zoo.list_archs())  # an older timm has fewer


@pytest.mark.parametrize("spec", [spec for spec in STAGES if spec.partition("(")[0] in KNOWN])
def test_the_stages_of_an_arch(spec: str) -> None:
    model = zoo.create(spec, device=without_memory(spec))
    for number, paths in enumerate(STAGES[spec]):
        assert list(zoo.select(model, f"stages.{number}")) == paths.split()
    assert list(zoo.select(model, "stages")) == [path for paths in STAGES[spec] for path in paths.split()]
    last = len(STAGES[spec]) - 1
    with pytest.raises(zoo.NoEffectError) as met:
        zoo.select(model, f"stages.{last + 1}")
    assert str(met.value) == f"at=stages.{last + 1}: this {type(model).__name__} has stages.0 to stages.{last}"


@pytest.mark.parametrize("spec", ["simple", "mlp", "coat_tiny", "torchvision/googlenet", "torchvision/fcn_resnet50"])
@pytest.mark.parametrize("at", ["stages", "stages.0"])
def test_an_arch_without_stages_says_so(spec: str, at: str) -> None:
    model = zoo.create(spec, device="meta")
    with pytest.raises(zoo.NoEffectError, match=rf"at={at} matches nothing in this {type(model).__name__}; sites: "):
        zoo.select(model, at)


@pytest.mark.parametrize("spec", ["resnet18", "convnext_atto", "test_efficientnet", "torchvision/swin_t", "convnet"])
def test_an_image_gets_smaller_from_stage_to_stage(spec: str) -> None:
    model = zoo.create(spec, device="meta")
    found: dict[str, torch.Size] = {}
    numbers = sorted(int(name.partition(".")[2]) for name in zoo.sites_of(model) if name.startswith("stages."))
    for number in numbers:
        path = zoo.sites_of(model)[f"stages.{number}"][-1]
        module = model.get_submodule(path)
        module.register_forward_hook(lambda m, i, output, path=path: found.update({path: output.shape}))
    model(torch.zeros(1, 3, 16 if spec == "convnet" else 224, 16 if spec == "convnet" else 224, device="meta"))
    sizes = [shape.numel() / max(shape[1], shape[-1]) for shape in found.values()]
    assert len(sizes) == len(numbers)
    assert sizes == sorted(sizes, reverse=True)


def test_a_modifier_works_on_one_stage() -> None:
    model = zoo.create("resnet18+freeze(at=stages.1)", device="meta")
    frozen = {name.partition(".")[0] for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {"layer2"}
    model = zoo.create("resnet18+act(silu, at=[stages, !stages.3])", device="meta")
    assert {path.partition(".")[0] for path, m in model.named_modules() if isinstance(m, nn.SiLU)} == {
        "layer1",
        "layer2",
        "layer3",
    }


def test_a_site_in_parts_is_numbered() -> None:
    @zoo.arch(sites={"stages": [["0"], ("1", "2")], "head": ["2"]}, sample=(3,))
    def tiny() -> nn.Module:
        """Three layers."""
        return nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3))

    plugin = types.ModuleType("plugin")
    plugin.zoo_archs = zoo.hookimpl(specname="zoo_archs")(lambda: [tiny])  # type: ignore[attr-defined]
    model = zoo.create("tiny", registry=zoo.Registry.of(plugin))
    assert zoo.sites_of(model) == {
        "stages": ("0", "1", "2"),
        "stages.0": ("0",),
        "stages.1": ("1", "2"),
        "head": ("2",),
    }
    with pytest.raises(zoo.NoEffectError, match="sites: stages, head; paths"):
        zoo.select(model, "nowhere")
