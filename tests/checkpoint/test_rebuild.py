"""`zoo.load` with options that override the file's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import nn

import zoo
from tests.conftest import World
from tests.nets import back


def test_options_can_be_overridden(path: Path) -> None:
    zoo.save(zoo.create("mlp(hidden=[8])+dropout(0.1)+act(silu)+dropout(0.2, at=stem)"), path)
    loaded = zoo.load(path, **{"1.p": 0.3, "act.name": "gelu"})
    assert str(zoo.spec_of(loaded)) == "mlp(hidden=(8,))+dropout(p=0.3)+act(name=gelu)+dropout(p=0.2, at=stem)"
    assert [m.p for m in loaded.modules() if isinstance(m, nn.Dropout)] == [0.2, 0.3]
    assert "gelu" in str(zoo.changes(loaded)).lower()
    model = zoo.create("test_resnet")
    assert back(model, path, drop_rate=0.25).drop_rate == 0.25


def stood(model: nn.Module) -> tuple[dict[str, bool], dict[str, bool]]:
    modes = {path: module.training for path, module in model.named_modules()}
    return modes, {name: p.requires_grad for name, p in model.named_parameters()}


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize(
    ("mods", "overrides", "wanted"),
    [
        ("freeze(blocks.0)", {"freeze.at": "blocks.1"}, "freeze(blocks.1)"),
        ("freeze(blocks.0, bn_stats=False)", {"freeze.bn_stats": True}, "freeze(blocks.0)"),
        ("freeze(blocks.0)", {"freeze.bn_stats": False}, "freeze(blocks.0, bn_stats=False)"),
        ("freeze+unfreeze(blocks.0)", {"unfreeze.at": "blocks.1"}, "freeze+unfreeze(blocks.1)"),
        ("freeze(blocks.0)+dropout(0.1)", {"dropout.p": 0.3}, "freeze(blocks.0)+dropout(0.3)"),
    ],
)
def test_an_override_of_what_is_frozen_counts(
    mods: str, overrides: dict[str, Any], wanted: str, train: bool, path: Path
) -> None:
    loaded = back(zoo.create(f"convnet+{mods}").train(train), path, **overrides)
    made = zoo.create(f"convnet+{wanted}").train(train)
    assert stood(loaded) == stood(made)
    assert stood(loaded.train()) == stood(made.train())
    assert not zoo.verify(loaded)


def test_what_was_frozen_by_hand_stays_so_beside_an_override(path: Path) -> None:
    model = zoo.create("convnet+freeze(blocks.0)")
    model.head.requires_grad_(False)
    model.blocks[0].conv.requires_grad_(True)
    model.blocks[1].eval()
    loaded = back(model, path, **{"freeze.at": "blocks.2"})
    made = zoo.create("convnet+freeze(blocks.2)")
    made.head.requires_grad_(False)
    made.blocks[1].eval()
    assert stood(loaded) == stood(made)


SHOWN = "dropout(p: float ≥ 0 ≤ 1 = 0.5, at: Where = 'head')"


@pytest.mark.parametrize(
    ("overrides", "error", "text"),
    [
        (
            {"dropout.p": 0.3},
            zoo.OptionError,
            "dropout.p=0.3: 'dropout' stands 2 times in 'simple+dropout(p=0.1)+dropout(p=0.2, at=stem)'; say which, as "
            "'1.p' or '2.p'",
        ),
        ({"bn.eps": 1.0}, zoo.OptionError, "has no part 'bn'; its parts: dropout"),
        ({"1.rate": 1.0}, zoo.OptionError, f"dropout has no option 'rate'; did you mean 'at'?; its options: {SHOWN}"),
        ({"1.p": 7}, zoo.OptionError, "dropout: p is 7 (int); expected less than or equal to 1"),
        ({"width": 3}, zoo.OptionError, "simple has no option 'width'; its options: simple()"),
        ({"1.p": nn.ReLU}, zoo.OptionError, "can't be written in a spec, so no file can be built with it"),
    ],
)
def test_overrides_that_can_not_be(overrides: dict[str, Any], error: type, text: str, path: Path) -> None:
    zoo.save(zoo.create("simple+dropout(0.1)+dropout(0.2, at=stem)"), path)
    with pytest.raises(error) as raised:
        zoo.load(path, **overrides)
    assert text in str(raised.value)


def test_an_override_that_nothing_matches_is_told_in_words_of_the_spec(path: Path) -> None:
    zoo.save(zoo.create("simple+dropout(0.1)+act(silu)"), path)
    with pytest.raises(zoo.NoEffectError) as raised:
        zoo.load(path, **{"act.at": "nope"})
    end = "in part 2, 'act(name=silu, at=nope)', of 'simple+dropout(p=0.1)+act(name=silu, at=nope)'"
    assert str(raised.value).endswith(f"\n  {end}")


OWN = """
import zoo
from torch import nn

class Net(nn.Linear):
    pass

@zoo.arch()
def own():
    '''A layer of a class that the plugin brings.'''
    return Net(2, 2)

@zoo.hookimpl
def zoo_archs():
    return [own]
"""


@pytest.mark.parametrize(("dist", "module"), [("zoo-sole", "zoo_sole"), ("zoo-dual", "other_name")])
def test_a_distribution_is_needed_once_whatever_its_module_is_called(
    world: World, dist: str, module: str, path: Path
) -> None:
    world.add(dist, OWN, module=module, version="2.0")
    registry = world.registry()
    zoo.save(zoo.create("own", registry=registry), path, registry=registry)
    manifest = zoo.read_manifest(path)
    assert manifest.versions.keys() == {"plugzoo", "torch", dist}
    assert f"needs       {dist} 2.0, torch {manifest.versions['torch']}\n" in str(manifest)


def test_an_override_that_changes_shapes_is_told_from_the_tensors(path: Path) -> None:
    zoo.save(zoo.create("mlp(hidden=[8])"), path)
    with pytest.raises(zoo.CheckpointError, match=r"layers.2.weight: float32\[3, 8\] by the spec, float32\[10, 8\]"):
        zoo.load(path, num_classes=3)


def test_an_option_that_only_timm_refuses(path: Path) -> None:
    zoo.save(zoo.create("test_resnet"), path)
    with pytest.raises(zoo.OptionError, match="unexpected keyword argument 'widht'"):
        zoo.load(path, widht=3)
