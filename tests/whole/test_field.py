"""Modifiers on the smallest model of each of timm's files, for real: forward, backward, weights, copies."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import timm
import torch
from timm.layers.create_act import _ACT_LAYER_DEFAULT
from timm.models._registry import _module_to_models
from torch import nn

import zoo
from tests.nets import run, same, tensors

SMALLEST = """
beit_base_patch16_224 halonet_h1 test_byobnet cait_xxs24_224 coat_tiny convit_tiny convmixer_768_32
test_convnext cpubone_nano crossvit_tiny_240 csatv2 cs3darknet_focus_s cspnext_tiny davit_tiny deepseek_vit_412m
deit_tiny_patch16_224 densenet121 dla46x_c dpn48b edgenext_xx_small efficientformer_l1 efficientformerv2_s0
test_efficientnet efficientvim_m1 efficientvit_b0 efficientvit_m0 vit_tiny_patch16_dinov3_qkvb fasternet_t0
fastvit_t8 focalnet_tiny_srf gcvit_xxtiny gemma4_vit_167m ghostnet_050 hardcorenas_b hgnetv2_b0 hiera_tiny_224
sam2_hiera_tiny hrnet_w18_small iformer_t inception_next_atto inception_resnet_v2 inception_v3 inception_v4
lcnetv2_small levit_128s lowformer_b0 test_mambaout test_coatnet poolformerv2_s12 gmlp_ti16_224
mobilenetv3_small_050 mobilenetv5_base mobilevit_xxs mvitv2_tiny naflexvit_base_patch16_parfac_gap nasnetalarge
nest_tiny nextvit_small test_nfnet pit_ti_224 pnasnet5large pvt_v2_b0 qwen3_vit_88m rdnet_tiny regnetx_002
repghostnet_050 repvit_m1 res2next50 resnest14d test_resnet resnetv2_18 rexnet_100 selecsls42 legacy_seresnet18
sequencer2d_s shvit_s1 skresnet18 starnet_s050 swiftformer_xs swin_tiny_patch4_window7_224
swinv2_tiny_window16_256 swinv2_cr_tiny_224 tiny_vit_5m_224 tnt_s_legacy_patch16_224 tresnet_m twins_svt_small
vgg11 visformer_tiny test_vit vit_tiny_r_s16_p8_224 test_vit_relpos samvit_base_patch16_224 vitamin_small_224
volo_d1_224 ese_vovnet19b_slim_dw legacy_xception xception41p xcit_nano_12_p8_224
""".split()
SMALLEST = [name for name in SMALLEST if timm.is_model(name)]  # older releases lack a few
# Of every family, the ones that are quick go into the default run.
QUICK = ("test_resnet", "test_vit", "test_convnext", "test_efficientnet", "test_byobnet", "test_nfnet", "test_coatnet")
MODS = ("dropout(0.2)", "act(mish)", "bn(eps=1e-4)", "heads(a=3, b=1)")


def marked(names: list[str]) -> list[Any]:
    return [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.mark.slow
def test_the_list_has_a_model_of_every_file() -> None:
    files = {file for file, names in _module_to_models.items() if names & set(timm.list_models())}
    assert {file for file, names in _module_to_models.items() if names & set(SMALLEST)} == files
    assert len(files) == len(SMALLEST)


def image_size(name: str) -> tuple[int, ...]:
    """A small size that the model takes, found out on meta; its own where it insists on that."""
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        model = timm.create_model(name).eval()
        for side in (96, 112, 128, 160):
            try:
                model(torch.zeros(2, 3, side, side))
            except Exception:
                continue
            return (3, side, side)
    return tuple(model.pretrained_cfg["input_size"])


@pytest.mark.parametrize("name", marked(SMALLEST))
def test_the_four_modifiers(name: str) -> None:
    base = zoo.create(name)
    x = torch.randn(2, *image_size(name))
    plain = run(base, x[:1])
    applied = 0
    for mod in MODS:
        try:
            model = zoo.modify(base, mod, copy=True)
        except zoo.NotApplicableError:
            continue
        applied += 1
        assert isinstance(model, type(base))
        output = run(model, x[:1])
        if mod == "dropout(0.2)":
            assert same(output, plain), "dropout in eval mode is neutral"
        check_keys(base, model, mod)
        assert same(run(copy.deepcopy(model), x[:1]), output)
        assert same(run(pickle.loads(pickle.dumps(model)), x[:1]), output)
        check_backward(model, x)
    assert applied >= 2, "at least dropout and heads"
    check_neutral(base, x[:1], plain)


def check_keys(base: nn.Module, model: nn.Module, mod: str) -> None:
    old, new = base.state_dict(), model.state_dict()
    if not mod.startswith("heads"):
        assert list(new) == list(old)
        base.load_state_dict(new)
        model.load_state_dict(old)
        return
    heads = [path for path, _ in zoo.select(model, "Heads").items()]
    gone = [key for key in old if key not in new]
    assert all(
        key.startswith(tuple(f"{path}." for path in heads)) for key in [*gone, *(k for k in new if k not in old)]
    )
    assert all(new[key].shape == old[key].shape for key in new if key in old)


def check_backward(model: nn.Module, x: torch.Tensor) -> None:
    outputs = tensors(model.train()(x))
    assert all(torch.isfinite(output).all() for output in outputs)
    sum(output.float().mean() for output in outputs).backward()  # type: ignore[union-attr]
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    assert grads
    assert all(torch.isfinite(grad).all() for grad in grads)


def check_neutral(base: nn.Module, x: torch.Tensor, plain: Any) -> None:
    """The activation that the model has, put in its own place, changes no output."""
    try:
        swapped = zoo.changes(zoo.modify(base, "act(mish)", copy=True))
    except zoo.NotApplicableError:
        return
    layers = {type(base.get_submodule(change.path)) for change in swapped if change.what == "replaced"}
    known = [word for word, layer in _ACT_LAYER_DEFAULT.items() if layer in layers]
    if len(layers) == 1 and known:  # else several activations, or one that timm has no name for
        assert same(run(zoo.modify(base, f"act({known[0]})"), x), plain)


# A linear layer of patches: which of its numbers are of one channel can't be told, and timm draws them anew too.
LINEAR_STEMS = {
    "gemma4_vit_167m": "encoder.patch_embed.input_proj.weight",
    "naflexvit_base_patch16_parfac_gap": "embeds.proj.weight",
}


@pytest.mark.parametrize("name", marked([name for name in SMALLEST if name != "csatv2"]))
def test_other_channels_are_what_timm_makes_of_pretrained_weights(name: str) -> None:
    base = timm.create_model(name)
    overlay = {"state_dict": base.state_dict()}
    theirs = timm.create_model(name, pretrained=True, in_chans=1, pretrained_cfg_overlay=overlay)
    ours = zoo.modify(zoo.create(name, weights=base), "in_chans(1)")
    assert not zoo.diff(theirs, ours)
    found = ours.state_dict()
    fresh = [key for key, value in theirs.state_dict().items() if not torch.equal(value, found[key])]
    assert fresh == [LINEAR_STEMS[name]] if name in LINEAR_STEMS else not fresh


def test_a_model_that_names_no_stem_takes_no_other_channels() -> None:
    with pytest.raises(zoo.NotApplicableError, match=r"^this CSATv2 names no stem; say where, as in in_chans"):
        zoo.create("csatv2+in_chans(1)")
