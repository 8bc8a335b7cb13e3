"""Each check of plugins is tested by a plugin that is broken in just that."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import zoo
import zoo.testing
from tests.testing.common import GOOD, LEAKY, failed
from zoo.testing.suite import PLUGINS

FAMILY = """
@zoo.family(names=lambda: ["one"])
def things(name, source):
    '''Things.'''
    return zoo.Arch(name, lambda: None)

@zoo.hookimpl
def zoo_families():
    return [things]
"""
BROKEN_PLUGINS = [
    ("loads", LEAKY.replace("def zoo_modifiers", "def zoo_modifierz"), "unknown hook 'zoo_modifierz'"),
    ("loads", "raise RuntimeError('no licence')", "plugin 'main' failed: RuntimeError: no licence"),
    ("loads", LEAKY.replace("@zoo.hookimpl\n", ""), "write @zoo.hookimpl above zoo_modifiers()"),
    ("contributes", "import zoo\n", "it declares nothing"),
    ("imports_light", "import torch\n" + LEAKY, "imports 'torch'; do that inside the functions"),
    ("imports_quick", "print('welcome')\n" + LEAKY, "prints 'welcome'"),
    ("imports_quick", "import time; time.sleep(1.1)\n" + LEAKY, "importing zoo_broken takes "),
    ("own_names", GOOD.format(name="dropout"), "'zoo-broken/dropout': the bare name is someone else's"),
    ("families", LEAKY + FAMILY, "to a name that it can't know"),
    ("variants", LEAKY + "@zoo.hookimpl\ndef zoo_variants():\n    return {'mine': 'simple+nothing'}\n", "'nothing'"),
]


@pytest.mark.parametrize(("check", "code", "reason"), BROKEN_PLUGINS, ids=[f"{r[0]}-{r[2]}" for r in BROKEN_PLUGINS])
def test_a_broken_plugin_fails_in_that_check_alone(
    check: str, code: str, reason: str, install: Callable[[str, str], zoo.Registry]
) -> None:
    cases = zoo.testing.cases("Zoo_Broken", registry=install("zoo-broken", code))
    found = failed([case for case in cases if case.check in PLUGINS])
    assert set(found) == {check}
    assert reason in found[check]


def test_every_check_of_plugins_has_one_that_is_broken() -> None:
    assert {row[0] for row in BROKEN_PLUGINS} == set(PLUGINS)


def test_a_distribution_that_is_not_installed() -> None:
    with pytest.raises(AssertionError, match="no plugin of a distribution 'zoo-nobody' is installed; those: plugzoo"):
        zoo.testing.check_plugin("zoo-nobody")
