"""Texts of plugins that several files of tests install, and how they look at what became of them."""

from __future__ import annotations

from torch import nn

import zoo
from zoo.registry.plugins import Plugin
from zoo.registry.registry import Registry

# The smallest plugin, as an author would write it; the body is what the docs leave to him.
LEAKY = """
import zoo

@zoo.modifier(examples=["leaky", "leaky(0.2)"])
def leaky(model, /, slope: float = 0.01, at: zoo.Where = "*"):
    '''Swap every ReLU for a LeakyReLU of this slope.'''
    from torch import nn
    for path in zoo.select(model, at, kind=nn.ReLU):
        model = zoo.replace(model, path, nn.LeakyReLU(slope))
    return model

@zoo.hookimpl
def zoo_modifiers():
    return [leaky]
"""

GOOD = """
import zoo

@zoo.modifier
def shout(model, /, times: int = 1):
    '''Does next to nothing.'''
    model.shouted = times
    return model

@zoo.hookimpl
def zoo_modifiers():
    return [shout]
"""


def plugin(registry: Registry, distribution: str) -> Plugin:
    (found,) = [p for p in zoo.list_plugins(registry=registry) if p.distribution == distribution]
    return found


def kinds(model: nn.Module) -> set[str]:
    return {type(module).__name__ for module in model.modules()}


def own(registry: Registry) -> list[tuple[str, str]]:
    return [(p.name, p.status) for p in registry.plugins if p.distribution == "plugzoo"]


MINE = """
import zoo

@zoo.modifier
def {name}(model, /):
    '''Leaves a mark that a forward goes through.'''
    from torch import nn
    return zoo.insert_before(model, "layers1.0", nn.{mark}())

@zoo.arch(sample=(100,))
def resnet18():
    '''Not a ResNet.'''
    from torch import nn
    return nn.Linear(100, 2)

@zoo.hookimpl
def zoo_modifiers():
    return [{name}]

@zoo.hookimpl
def zoo_archs():
    return [resnet18]

@zoo.hookimpl
def zoo_variants():
    return {{"simple": "mlp"}}
"""
