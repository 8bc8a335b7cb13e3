"""What the tests of the kit share: which checks of some cases failed, and the text of a sound plugin."""

from __future__ import annotations

import zoo
import zoo.testing

SLOW = {"compiles", "exports"}


def failed(cases: list[zoo.testing.Case]) -> dict[str, str]:
    """The checks that failed, with the first reason of each."""
    found: dict[str, str] = {}
    for case in cases:
        result = case.result()
        if result.status == "failed":
            found.setdefault(result.check, result.reason)
    return found


GOOD = """
import zoo

@zoo.modifier(examples=["{name}", "{name}(0.2)"])
def {name}(model, /, slope: float = 0.01, at: zoo.Where = "*"):
    '''Swap every ReLU for a LeakyReLU of this slope.'''
    from torch import nn
    for path in zoo.select(model, at, kind=nn.ReLU):
        model = zoo.replace(model, path, nn.LeakyReLU(slope))
    return model

@zoo.hookimpl
def zoo_modifiers():
    return [{name}]
"""
LEAKY = GOOD.format(name="leaky")
