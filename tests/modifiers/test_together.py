"""What each modifier that works on a live network keeps, and several of them at once."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import timm
import torch
from torch import nn

import zoo
from tests.nets import frozen, images, run, same, tensors

PROMISES = {
    "chain(3, 4, 4)+grow(4)": {},
    "chain(3, 4)+grow(6, fade=True)": {},
    "chain(3, 4, 4)+shrink(1)": {},
    "convnet(4, 2)+heads(a=3, b=Head(2, hidden=4), default=b)": {"task": "a"},
    "convnet(4, 2)+heads(a=3, b=2, c=1)+drop_heads(a)": {"task": "c"},
    "convnet(4, 2)+switch_act(relu, prelu, sigmoid)": {"act_type": "prelu"},
    "convnet(4, 2)+switch(down, a=MaxPool2d(2), b=AvgPool2d(2))": {"choice": "b"},
    "convnet(4, 2)+freeze(stem)+freeze(blocks.1)": {},
    "convnet(4, 2)+freeze+unfreeze(blocks.1)": {},
    "convnet(4, 2)+reinit(Conv2d, kaiming_normal)": {},
    "convnet(4, 2)+num_classes(4)": {},
    "convnet(4, 2)+in_chans(1)": {},
}
X = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("spec", PROMISES)
@pytest.mark.usefixtures("_fresh_dynamo")
def test_promises(spec: str) -> None:
    model = zoo.create(spec)
    x, options = X[:, : 1 if "in_chans" in spec else 3], PROMISES[spec]
    assert zoo.parse(str(zoo.spec_of(model))) == zoo.spec_of(model)
    assert all(change.live is not False for change in zoo.changes(model))
    assert not zoo.verify(model)
    torch.save(model, whole := io.BytesIO())
    copies = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    copies.append(torch.load(io.BytesIO(whole.getvalue()), weights_only=False))
    meta = zoo.create(spec, device="meta")
    assert all(t.is_meta for t in meta.state_dict().values())
    assert zoo.changes(meta) == zoo.changes(model)
    copies.append(meta.to_empty(device="cpu"))
    copies[-1].load_state_dict(model.state_dict(), strict=True)
    for buffer in ("num_batches_tracked",):
        assert all(buffer not in name or not t.any() for name, t in model.state_dict().items())
    for kwargs in ({}, options):
        for other in copies:
            assert type(other) is type(model)
            assert same(run(other, x, **kwargs), run(model, x, **kwargs))
            expected = run(copy.deepcopy(model), x, training=True, **kwargs)
            assert same(run(copy.deepcopy(other), x, training=True, **kwargs), expected)
    compiled = torch.compile(model.eval(), fullgraph=True, backend="eager")
    exported = torch.export.export(model, (x,), options, strict=False).module()
    for kwargs in ({}, options):
        for a, b in zip(tensors(run(compiled, x, **kwargs)), tensors(run(model, x, **kwargs)), strict=True):
            torch.testing.assert_close(a, b)
    for a, b in zip(
        tensors(run(exported, x, training=None, **options)), tensors(run(model, x, **options)), strict=True
    ):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("spec", PROMISES)
def test_same_seed_same_weights(spec: str) -> None:
    torch.manual_seed(7)
    plain = zoo.create(str(zoo.parse(spec).base)).state_dict()
    torch.manual_seed(7)
    varied = zoo.create(spec).state_dict()
    for name in plain.keys() & varied.keys():
        written = "reinit" in spec and "conv" in name
        assert written or plain[name].shape != varied[name].shape or torch.equal(plain[name], varied[name]), name


def test_a_grown_switched_frozen_network_with_heads_is_saved_loaded_and_trained_on() -> None:
    top = "append(top=Sequential(AdaptiveAvgPool2d(1), Flatten(), Linear(16, 2)))"
    model = zoo.create(f"chain(3, 4, 8)+grow(16, fade=True)+{top}+heads(cls=5, reg=1, at=top)")
    zoo.modify(model, "switch_act(relu, prelu)+freeze(stem)+freeze('0.norm')")

    def train(net: nn.Module, optimizer: torch.optim.Optimizer) -> float:
        torch.manual_seed(8)
        net.train()
        net.last.alpha = 0.5
        out = net(X, act_type="prelu")
        loss = out["cls"].square().mean() + out["reg"].square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    train(model, optimizer)
    again = zoo.create(str(zoo.spec_of(model)), weights=model.state_dict())
    assert frozen(again) == frozen(model) == {"0.conv.weight", "0.norm.weight", "0.norm.bias"}
    other = torch.optim.AdamW(again.parameters(), lr=0.01)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert [train(model, optimizer) for _ in range(3)] == [train(again, other) for _ in range(3)]
    assert same(list(model.state_dict().values()), list(again.state_dict().values()))


KIT = {
    "grow(16)": "chain(3, 8)",
    "grow(16, fade=True)": "chain(3, 8)",
    "shrink": "chain(3, 8, 8)",
    "drop_heads(reg)": "convnet(4, 2)+heads(cls=3, reg=1)",
    "num_classes(3)": "convnet(4, 2)",
    "freeze": "convnet(4, 2)",
    "unfreeze": "convnet(4, 2)",
    "reinit(head)": "convnet(4, 2)",
    "switch_act(relu, silu)": "convnet(4, 2)",
    "switch(down, a=MaxPool2d(2), b=AvgPool2d(2))": "convnet(4, 2)",
}


@pytest.mark.slow
@pytest.mark.parametrize("mod", KIT)
def test_the_kit_passes_each(mod: str) -> None:
    from zoo.testing import check_modifier

    assert check_modifier(mod, archs=[KIT[mod]])


def test_all_modifiers_together() -> None:
    spec = "resnet18+act(silu)+bn(eps=1e-4)+dropout(0.2)+heads(cls=10, reg=1)"
    torch.manual_seed(0)
    model = zoo.create(spec)
    theirs = timm.create_model("resnet18", act_layer="silu", drop_rate=0.2, num_classes=11)
    state = {name: t for name, t in model.state_dict().items() if not name.startswith("fc.")}
    for key in ("weight", "bias"):
        state[f"fc.{key}"] = torch.cat([getattr(model.fc.cls, key), getattr(model.fc.reg, key)])
    theirs.load_state_dict(state)
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-4
    x = images(4, 48)
    for training in (False, True):
        got, expected = run(model, x, training=training), run(theirs, x, training=training)
        torch.testing.assert_close(got["cls"], expected[:, :10])
        torch.testing.assert_close(got["reg"], expected[:, 10:])
