"""Kinds of layers: names that make one, and which modules are one, told by where their classes stand."""

from __future__ import annotations

from typing import Any

import pytest
from timm.layers import create_act, create_norm
from torch import nn

import zoo
from tests.conftest import World

# What a class is, by hand: activation, gate, norm, fused.
CLASSES: list[tuple[Any, str]] = [
    (nn.ReLU(), "activation"),
    (nn.PReLU(), "activation"),
    (nn.Hardtanh(), "activation"),
    (nn.Sigmoid(), "gate"),
    (nn.Hardsigmoid(), "gate"),
    (nn.LogSigmoid(), "gate"),
    (nn.Softmax(1), ""),
    (nn.GLU(), ""),
    (nn.MultiheadAttention(2, 1), ""),
    (nn.Identity(), ""),
    (nn.Linear(1, 1), ""),
    (nn.BatchNorm2d(1), "norm"),
    (nn.LazyBatchNorm1d(), "norm"),
    (nn.InstanceNorm1d(1), "norm"),
    (nn.LayerNorm(1), "norm"),
    (nn.GroupNorm(1, 1), "norm"),
    (nn.LocalResponseNorm(1), ""),
]


def roles(module: nn.Module) -> str:
    activations, norms = zoo.activations(), zoo.norms()
    held = {"activation": activations.holds(module), "gate": activations.holds(module, "gate")}
    held |= {"norm": norms.holds(module), "fused": activations.holds(module, "fused")}
    return " ".join(name for name, is_one in held.items() if is_one)


@pytest.mark.parametrize(("module", "expected"), CLASSES, ids=[type(module).__name__ for module, _ in CLASSES])
def test_what_torchs_classes_are(module: nn.Module, expected: str) -> None:
    assert roles(module) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("timm.layers:GELU", "activation"),
        ("timm.layers:HardSigmoid", "gate"),
        ("timm.layers:Sigmoid", "gate"),
        ("timm.layers:LayerNorm2d", "norm"),
        ("timm.layers:BatchNormAct2d", "norm"),
        ("timm.layers:EvoNorm2dB0", "norm fused"),
        ("timm.layers:EvoNorm2dS0a", "norm fused"),
        ("timm.layers:EvoNorm2dS1", "norm"),
        ("timm.layers:FilterResponseNormTlu2d", "norm fused"),
        ("timm.models.nfnet:GammaAct", "activation"),
        ("timm.layers:DropPath", ""),
        ("torchvision.ops:FrozenBatchNorm2d", "norm"),
        ("transformers.activations:GELUActivation", "activation"),
        ("transformers.activations:LinearActivation", ""),
        ("transformers.models.llama.modeling_llama:LlamaRMSNorm", "norm"),
    ],
)
def test_what_the_classes_of_others_are(name: str, expected: str) -> None:
    place, _, attribute = name.partition(":")
    cls = getattr(pytest.importorskip(place), attribute)
    assert roles(cls.__new__(cls)) == expected


class Mine(nn.Sigmoid):
    """What inherits from a gate is one, wherever it stands."""


class Plain(nn.Module):
    pass


def test_a_class_is_what_it_inherits_from_or_nothing() -> None:
    assert roles(Mine()) == "gate"
    assert roles(Plain()) == ""
    assert (
        roles(zoo.modify(nn.Sequential(nn.ReLU()), 'append("0", Tanh())')[0]) == "activation"
    )  # of another class by now


def test_each_of_timms_names_makes_what_it_makes_in_timm() -> None:
    acts = {**create_act._ACT_LAYER_DEFAULT, **create_act._ACT_LAYER_ME}
    assert {name: zoo.activations()[name] for name in acts} == acts
    assert {name: zoo.norms()[name] for name in create_norm._NORM_MAP} == create_norm._NORM_MAP
    assert set(zoo.activations()) == set(acts)
    assert set(zoo.norms()) == set(create_norm._NORM_MAP)
    with pytest.raises(zoo.UnknownNameError, match=r"no norm 'batchnrm'; did you mean 'batchnorm'\?"):
        zoo.norms()["batchnrm"]


KINDS = """
import zoo
from torch import nn

class Own(nn.Module):
    pass

class Squash(nn.Module):
    pass

class Centred(nn.Module):
    def __init__(self, num_features):
        super().__init__()
        self.num_features = num_features

@zoo.hookimpl
def zoo_norms():
    return {"centred": Centred}

@zoo.hookimpl
def zoo_classes():
    return {"mod_%s:*": "activation", "mod_%s:Squash": "gate", "torch.nn.modules.linear:Linear": "norm",
            "torch.nn.modules.activation:ReLU": "", "timm.layers.activations:Sigmoid": "norm"}
"""


def test_a_plugin_says_what_classes_are_and_offers_norms(world: World) -> None:
    world.add("acme", KINDS.replace("%s", "acme"))
    registry = world.registry()
    acts, norms = zoo.activations(registry=registry), zoo.norms(registry=registry)
    centred = norms["acme/centred"](3)
    own, squash = (vars(__import__("mod_acme"))[name]() for name in ("Own", "Squash"))
    assert centred.num_features == 3
    assert (acts.holds(own), acts.holds(own, "gate")) == (True, False)
    assert (acts.holds(squash), acts.holds(squash, "gate")) == (False, True)
    assert norms.holds(nn.Linear(1, 1))
    assert acts.holds(nn.ReLU()), "what is torch's or the zoo's own, nobody says otherwise"
    assert not zoo.norms().holds(nn.Linear(1, 1)), "only in a registry that has the plugin"
    assert zoo.describe("centred", registry=registry).kind == "norm"


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        ("['a:B']", "zoo_classes() returned list; expected a dict of 'module:Class' and what it is"),
        ("{'Swoosh': 'gate'}", "zoo_classes() gives 'Swoosh'; expected where a class is, 'module:Class', with * for "),
        ("{3: 'gate'}", "zoo_classes() gives 3; expected where a class is, 'module:Class', with * for any part"),
        (
            "{'a:B': 'gates'}",
            "zoo_classes() says that 'a:B' is 'gates'; expected some of activation, gate, norm, fused, or ''",
        ),
        (
            "{'a:B': None}",
            "zoo_classes() says that 'a:B' is None; expected some of activation, gate, norm, fused, or ''",
        ),
    ],
)
def test_what_no_class_is_said_to_be(world: World, returned: str, reason: str) -> None:
    world.add("acme", f"import zoo\n@zoo.hookimpl\ndef zoo_classes(): return {returned}")
    failed = next(plugin for plugin in world.registry().plugins if plugin.distribution == "acme")
    assert (failed.status, failed.reason.startswith(reason)) == ("failed", True), failed.reason
