"""What an arch raises while it's built, in the zoo's own words."""

from __future__ import annotations

from urllib.error import URLError

import pytest
from torch import nn

import zoo


def registry_of(error: Exception, *, family: bool = False) -> zoo.Registry:
    """An arch `net`, or a prefix `net:`, that raises when it's to have weights, or at all."""

    def build(pretrained: bool = False) -> nn.Module:
        """A net from elsewhere."""
        if pretrained or family:
            raise error
        return nn.Linear(2, 2)

    if not family:
        return zoo.Registry().also(zoo.arch(name="net")(build), owner="acme")
    from types import ModuleType

    plugin = ModuleType("plugin")
    opened = zoo.Family("far", lambda name, source: zoo.Arch(name, build), list, prefixes=("net",))
    plugin.zoo_families = zoo.hookimpl(specname="zoo_families")(lambda: [opened])  # type: ignore[attr-defined]
    return zoo.Registry.of(plugin, owner="acme")


NO_NETWORK = [URLError("no route"), ConnectionError("refused"), TimeoutError("slow"), FileNotFoundError(2, "no file")]


@pytest.mark.parametrize("error", NO_NETWORK, ids=lambda error: type(error).__name__)
def test_weights_that_cannot_be_had_are_a_fetch_error(error: OSError) -> None:
    registry = registry_of(error)
    assert zoo.create("net", registry=registry)
    with pytest.raises(zoo.FetchError) as caught:
        zoo.create("net", pretrained=True, registry=registry)
    assert str(caught.value) == (
        f"the weights of net can't be had: {type(error).__name__}: {error}; leave pretrained= out, or give weights=FILE"
    )
    assert (caught.value.name, caught.value.part, caught.value.spec) == ("net", "net", "net")
    assert caught.value.__cause__ is error


def test_another_fault_of_weights_is_the_librarys_own() -> None:
    with pytest.raises(RuntimeError, match="size mismatch"):
        zoo.create("net", pretrained=True, registry=registry_of(RuntimeError("size mismatch")))


@pytest.mark.parametrize("error", NO_NETWORK, ids=lambda error: type(error).__name__)
def test_a_prefix_that_points_to_nothing_is_a_fetch_error(error: OSError) -> None:
    with pytest.raises(zoo.FetchError) as caught:
        zoo.create("net:far/away", registry=registry_of(error, family=True))
    assert str(caught.value) == f"net:far/away: {type(error).__name__}: {error}"


def test_a_prefix_whose_target_cannot_be_read_is_an_unknown_name() -> None:
    with pytest.raises(zoo.UnknownNameError, match=r"^net:x: KeyError: 'architecture'$"):
        zoo.create("net:x", registry=registry_of(KeyError("architecture"), family=True))
