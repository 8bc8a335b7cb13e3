"""`in_chans`, against what timm makes of pretrained weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import zoo
from tests.modifiers.refusals import NOTHING, OPTION, assert_refused

IN_CHANS = ["test_resnet", "test_vit", "test_convnext", "test_nfnet", pytest.param("tresnet_m", marks=pytest.mark.slow)]


@pytest.mark.parametrize("n", [1, 2, 4, 7])
@pytest.mark.parametrize("name", IN_CHANS)
def test_in_chans_is_what_timm_makes_of_pretrained_weights(name: str, n: int) -> None:
    import timm

    if name == "tresnet_m" and n > 1:
        name = "test_efficientnet"  # where pixels are folded in, timm itself adapts to one channel alone
    base = timm.create_model(name)
    overlay = {"state_dict": base.state_dict()}
    theirs = timm.create_model(name, pretrained=True, in_chans=n, pretrained_cfg_overlay=overlay)
    model = zoo.modify(base, f"in_chans({n}, at={base.pretrained_cfg['first_conv']})")
    assert not zoo.diff(theirs, model)
    assert [k for k, v in theirs.state_dict().items() if not torch.equal(v, model.state_dict()[k])] == []


def test_in_chans_of_what_is_no_model_of_timms() -> None:
    base = zoo.create("convnet(4, 2)")
    model = zoo.modify(base, "in_chans(1)", copy=True)
    weight = base.blocks[0].conv.weight
    assert torch.equal(model.blocks[0].conv.weight, weight.sum(1, keepdim=True))
    gray = torch.randn(2, 1, 8, 8)
    torch.testing.assert_close(model.eval()(gray), base.eval()(gray.expand(-1, 3, -1, -1)))
    random = zoo.modify(base, "in_chans(6, init=random)", copy=True)
    assert random.blocks[0].conv.weight.shape == (4, 6, 3, 3)
    assert not torch.equal(random.blocks[0].conv.weight[:, :3], weight / 2)
    video = nn.Sequential(nn.Conv3d(3, 2, 2))
    zoo.modify(video, 'in_chans(2, at="0")')
    assert video(torch.randn(1, 2, 3, 3, 3)).shape == (1, 2, 2, 2, 2)


def test_in_chans_reaches_every_layer_that_takes_the_image() -> None:
    raft = zoo.create("torchvision/raft_small+in_chans(1)", device="meta")
    changed = {c.path for c in zoo.changes(raft) if c.what == "in_channels"}
    assert changed == {"feature_encoder.convnormrelu.0", "context_encoder.convnormrelu.0"}


IN_CHANS_REFUSALS = [
    (
        "torchvision/fcos_resnet50_fpn+in_chans(1)",
        NOTHING,
        "this FCOS normalises images of 3 channels itself, so in_chans can't make it take 1",
    ),
    ("simple+in_chans(3)", NOTHING, "in_chans needs a convolution at 'layers1.0', where a Linear "),
    ("convnet+in_chans(0)", OPTION, "in_chans: n is 0 (int); expected greater than or equal to 1; its "),
    ("convnet+in_chans(1, init=mean)", OPTION, "in_chans: init is 'mean' (str); expected 'timm' or 'random'"),
]


@pytest.mark.parametrize(("spec", "kind", "text"), IN_CHANS_REFUSALS, ids=[spec for spec, _, _ in IN_CHANS_REFUSALS])
def test_refusals(spec: str, kind: type[zoo.ZooError], text: str) -> None:
    assert_refused(spec, kind, text)
