"""timm and torchvision through the zoo: every name, the same models, the same words to change them."""

from __future__ import annotations

import inspect
import json
import math
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

import zoo
from tests.nets import without_memory
from zoo.report.param_groups import layer_order

# Millions of parameters, as timm's results tables have them.
PUBLISHED = {
    "resnet18": 11.69,
    "resnet34": 21.80,
    "resnet50": 25.56,
    "resnet101": 44.55,
    "resnet152": 60.19,
    "wide_resnet50_2": 68.88,
    "resnext50_32x4d": 25.03,
    "regnety_016": 11.20,
    "densenet121": 7.98,
    "dpn68": 12.61,
    "vgg16": 138.36,
    "inception_v3": 23.83,
    "xception41": 26.97,
    "nasnetalarge": 88.75,
    "ghostnet_100": 5.18,
    "mixnet_s": 4.13,
    "mobilenetv2_100": 3.50,
    "mobilenetv3_small_100": 2.54,
    "mobilenetv3_large_100": 5.48,
    "efficientnet_b0": 5.29,
    "efficientnet_b1": 7.79,
    "efficientnet_b3": 12.23,
    "tf_efficientnetv2_s": 21.46,
    "vit_tiny_patch16_224": 5.72,
    "vit_small_patch16_224": 22.05,
    "vit_base_patch16_224": 86.57,
    "vit_large_patch16_224": 304.33,
    "deit_base_patch16_224": 86.57,
    "beit_base_patch16_224": 86.53,
    "swin_tiny_patch4_window7_224": 28.29,
    "swin_base_patch4_window7_224": 87.77,
    "convnext_tiny": 28.59,
    "convnext_base": 88.59,
    "coatnet_0_rw_224": 27.44,
    "maxvit_tiny_tf_224": 30.92,
    "mixer_b16_224": 59.88,
    "levit_128s": 7.78,
}


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def test_the_first_model_of_a_process_may_be_on_meta() -> None:
    """Then timm is imported while everything that is made lands on meta, which torch before 2.9 can't."""
    code = "import zoo; print(zoo.create('resnet18+act(silu)', device='meta').fc.weight.device)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "meta\n", done.stderr


def test_every_name_of_timm_and_torchvision_is_listed() -> None:
    names = set(zoo.list_archs())
    assert set(timm.list_models()) <= names
    assert {f"torchvision/{name}" for name in torchvision.models.list_models()} <= names
    assert len(names) == len(timm.list_models()) + len(torchvision.models.list_models()) + 4


def test_names_are_kept_between_runs_and_a_broken_list_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zoo_archs import timm_models

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = timm_models.names.__wrapped__()
    (kept,) = tmp_path.rglob("timm-*.json")
    kept.write_text(json.dumps(["only_this"]))
    assert timm_models.names.__wrapped__() == ("only_this",), "the kept list is what is read"
    kept.write_text("[1, 2")
    assert timm_models.names.__wrapped__() == first


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_parameter_counts(name: str) -> None:
    model = zoo.create(name, device=without_memory(name))
    assert round(parameters(model) / 1e6, 2) == PUBLISHED[name]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # a few of timm's builders warn, of themselves; this is about counts
@pytest.mark.parametrize("share", range(16))  # so that several workers have something to do until the end
def test_every_timm_model_has_timms_parameter_count(share: int) -> None:
    for name in timm.list_models()[share::16]:
        with torch.device("meta"):
            theirs = timm.create_model(name)
        ours = zoo.create(name, device="meta")
        assert (type(ours), parameters(ours)) == (type(theirs), parameters(theirs)), name


@pytest.mark.slow
def test_every_torchvision_model_has_torchvisions_parameter_count() -> None:
    for name in torchvision.models.list_models():
        builder = torchvision.models.get_model_builder(name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            named = inspect.signature(builder).parameters
            extra = {"weights_backbone": None} if "weights_backbone" in named else {}
            try:
                with torch.device("meta"):
                    theirs = builder(**extra)
                device = "meta"
            except NotImplementedError:  # RegNets compute with their weights while they are built
                theirs, device = builder(**extra), "cpu"
        ours = zoo.create(f"torchvision/{name}", device=device)
        assert (type(ours), parameters(ours)) == (type(theirs), parameters(theirs)), name


DROP_IN = [
    ("resnet18", {}),
    ("resnet18", {"num_classes": 7, "in_chans": 1}),
    ("resnet18", {"num_classes": 0, "global_pool": ""}),
    ("resnet26d", {"drop_rate": 0.2, "drop_path_rate": 0.1}),
    ("resnet18", {"features_only": True, "out_indices": (1, 3)}),
    ("vit_tiny_patch16_224", {"img_size": 64, "num_classes": 3}),
    ("mobilenetv3_small_050", {"act_layer": "gelu"}),
    ("resnet18", {"norm_layer": nn.InstanceNorm2d}),
]


@pytest.mark.parametrize(("name", "options"), DROP_IN)
def test_create_does_what_timm_does(name: str, options: dict[str, object]) -> None:
    torch.manual_seed(3)
    theirs = timm.create_model(name, **options)
    torch.manual_seed(3)
    ours = zoo.create(name, **options)
    assert type(ours) is type(theirs)
    assert repr(ours) == repr(theirs)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    assert all(torch.equal(a, b) for a, b in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True))
    assert torch.get_rng_state().sum() == _state_after(name, options), "as many random numbers are drawn"


def _state_after(name: str, options: dict[str, object]) -> torch.Tensor:
    torch.manual_seed(3)
    timm.create_model(name, **options)
    return torch.get_rng_state().sum()


def test_options_become_part_of_the_spec_where_they_can() -> None:
    spec = zoo.spec_of(zoo.create("resnet18+act(silu)", num_classes=7, in_chans=1, device="meta"))
    assert str(spec) == "resnet18(num_classes=7, in_chans=1)+act(name=silu)"


def test_local_pretrained_weights(tmp_path: Path) -> None:
    trained = timm.create_model("resnet18", num_classes=7)
    save_file(trained.state_dict(), tmp_path / "w.safetensors")
    overlay = {"file": str(tmp_path / "w.safetensors"), "num_classes": 7}
    model = zoo.create("resnet18+dropout(0.2)", True, num_classes=7, pretrained_cfg_overlay=overlay)
    assert all(torch.equal(v, trained.state_dict()[k]) for k, v in model.state_dict().items())


def test_a_local_folder_is_an_arch(tmp_path: Path) -> None:
    trained = timm.create_model("resnet18", num_classes=7)
    save_file(trained.state_dict(), tmp_path / "model.safetensors")
    cfg = {"input_size": [3, 160, 160], "num_classes": 7, "first_conv": "conv1", "classifier": "fc"}
    config = {"architecture": "resnet18", "num_classes": 7, "pretrained_cfg": cfg}
    (tmp_path / "config.json").write_text(json.dumps(config))
    model = zoo.create(f'local-dir:"{tmp_path}"+heads(a=2)', pretrained=True)
    assert torch.equal(model.conv1.weight, trained.conv1.weight)
    assert model(torch.zeros(1, 3, 64, 64), task="a").shape == (1, 2)
    assert zoo.parse(str(zoo.spec_of(model))) == zoo.spec_of(model)


def test_a_deprecated_name_is_treated_as_timm_treats_it() -> None:
    with pytest.warns(UserWarning, match="Mapping deprecated model name convnext_tiny_in22ft1k"):
        model = zoo.create("convnext_tiny_in22ft1k", device="meta")
    assert parameters(model) == 28_589_128
    assert "convnext_tiny_in22ft1k" not in zoo.list_archs()


REFUSED = [
    ("resnet18.nonsense", zoo.UnknownNameError, "timm's resnet18 has no pretrained tag 'nonsense'; did you mean"),
    ("resnet18(num_classes=True)", zoo.OptionError, "resnet18: num_classes is True (bool); expected a valid integer"),
    ("resnet18(drop_rate=nan)", zoo.OptionError, "resnet18: drop_rate is 'nan' (str); expected a valid number"),
    ("resnet18(drop_rat=0.1)", zoo.OptionError, "unexpected keyword argument 'drop_rat'"),
    ("resnet18(block=x)", zoo.OptionError, "resnet18(block=x): AttributeError: 'str' object has no attribute"),
    ("resnet18(norm_layer=x)", zoo.OptionError, "resnet18(norm_layer=x): KeyError: 'x'; resnet18(num_classes:"),
    ("resnet18(norm_layer=BatchNorm2d(3))", zoo.OptionError, "resnet18(norm_layer=BatchNorm2d(3)): AssertionError"),
    (
        'local-dir:"/no/such/folder"',
        zoo.FetchError,
        "local-dir:/no/such/folder: FileNotFoundError: Config file not found: /no/such/folder/config.json",
    ),
    ("alexnet", zoo.UnknownNameError, "no arch 'alexnet'; did you mean 'torchvision/alexnet'"),
    ("torchvision/fcn_resnet50(foo=1)", zoo.OptionError, "fcn_resnet50 has no option 'foo'; its options: aux_loss"),
    (
        "torchvision/ssd300_vgg16(foo=1)",
        zoo.OptionError,
        "torchvision's ssd300_vgg16 has no option 'foo'; its options:",
    ),
    ("torchvision/fcos_resnet50_fpn(foo=1)", zoo.OptionError, "torchvision's fcos_resnet50_fpn has no option 'foo'"),
    ("torchvision/fasterrcnn_resnet50_fpn(foo=1)", zoo.OptionError, "fasterrcnn_resnet50_fpn has no option 'foo'"),
    ("torchvision/resnet18(foo=1)", zoo.OptionError, "unexpected keyword argument 'foo'"),
    (
        "torchvision/resnet18(weights=DEFAULT)",
        zoo.OptionError,
        "'weights' can't stand in a spec; write zoo.create(spec",
    ),
    (
        "torchvision/densenet121+act(silu)",
        zoo.NotApplicableError,
        "act can't swap relu, which DenseNet calls as a function at the root, and swaps no model by half",
    ),
    ("mobilevitv2_050+act(silu)", zoo.NotApplicableError, "act can't swap relu, which LinearSelfAttention calls"),
    ("resnetv2_50d_evos+act(silu)", zoo.NotApplicableError, "act can't swap the activation inside the formula of"),
    ("vit_tiny_patch16_224+bn(eps=1e-4)", zoo.NotApplicableError, "this VisionTransformer has no BatchNorm"),
]


@pytest.mark.parametrize(("spec", "error", "text"), REFUSED)
def test_refused_by_name(spec: str, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as raised:
        zoo.create(spec, device="meta")
    assert text in str(raised.value)


def test_detection_builds_without_reaching_for_weights() -> None:
    model = zoo.create("torchvision/retinanet_resnet50_fpn", num_classes=3)
    assert type(model) is torchvision.models.detection.RetinaNet


# One model for each way in which timm sets up its classifier: plain, in a head, convolutional, two, a list of them,
# none at all, normed, behind an MLP.
CLASSIFIERS = [
    "resnet18",
    "convnext_atto",
    "dpn68",
    "deit_tiny_distilled_patch16_224",
    "crossvit_9_240",
    "vit_small_patch14_dinov2",
    "levit_128s",
    "levit_conv_128s",
    "efficientvit_b0",
    "repvit_m0_9",
    "volo_d1_224",
    "vgg11",
    "caformer_s18",
    "nasnetalarge",
]


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_heads_on_every_kind_of_classifier(name: str) -> None:
    with torch.device("meta"):
        size = timm.create_model(name).pretrained_cfg["input_size"]
    device = without_memory(name)
    model = zoo.create(f"{name}+heads(a=3, b=1)", device=device).eval()
    x = torch.zeros(2, *size, device=device)
    assert {key: tuple(value.shape) for key, value in model(x).items()} == {"a": (2, 3), "b": (2, 1)}
    assert model(x, task="b").shape == (2, 1)


@pytest.mark.parametrize(
    "name", ["resnet18", "vit_tiny_patch16_224", "levit_128s", "vgg11", "efficientvit_b0", "crossvit_9_240"]
)
def test_head_dropout_is_timms_drop_rate(name: str) -> None:
    with torch.device("meta"):
        theirs = timm.create_model(name, drop_rate=0.3)
    for path, module in theirs.named_modules():
        if path == "head_dist.drop":
            module.p = 0.3  # LeViT's second head, which older releases of timm forget
    ours = zoo.create(f"{name}+dropout(0.3)", device="meta")
    assert repr(ours) == repr(theirs)
    # timm keeps the number on the root too; where the forward doesn't read it there, it changes nothing.
    ours_at, theirs_at = ({k for k, v in _numbers(model) if math.isclose(v, 0.3)} for model in (ours, theirs))
    assert ours_at
    assert theirs_at - ours_at <= {":drop_rate"}
    assert ours_at <= theirs_at


def _numbers(model: nn.Module) -> Iterator[tuple[str, float]]:
    for path, module in model.named_modules():
        yield from ((f"{path}:{k}", v) for k, v in vars(module).items() if isinstance(v, float))


def test_variants_of_an_arch_come_from_one_blueprint() -> None:
    variants = {v.name: v for v in zoo.list_variants("resnet50")}
    assert variants["act(silu)"].applies
    assert variants["act(silu)"].what == "49 × replaced"
    assert variants["bn(eps=1e-4)"].what == "53 × eps"
    refused = {v.name: v for v in zoo.list_variants("vit_tiny_patch16_224")}["bn(eps=1e-4)"]
    assert (refused.applies, refused.what) == (False, "this VisionTransformer has no BatchNorm")


def test_the_order_of_layers_is_timms_own() -> None:
    model = zoo.create("vit_tiny_patch16_224", device="meta")
    layers = layer_order(model)
    assert set(layers) == {name for name, _ in model.named_parameters()}
    by_layer: dict[int, set[str]] = {}
    for name, layer in layers.items():
        by_layer.setdefault(layer, set()).add(".".join(name.split(".")[:2]) if "blocks" in name else name.split(".")[0])
    assert by_layer[0] == {"cls_token", "pos_embed", "patch_embed"}
    assert [by_layer[i + 1] for i in range(11)] == [{f"blocks.{i}"} for i in range(11)]
    assert by_layer[12] == {"blocks.11", "norm"}, "the last norm goes with the last block"
    assert (max(by_layer), by_layer[13]) == (13, {"head"})
    with pytest.raises(zoo.NotApplicableError, match="this Linear, which isn't of an arch of the zoo, says nothing"):
        layer_order(torch.nn.Linear(1, 1))
