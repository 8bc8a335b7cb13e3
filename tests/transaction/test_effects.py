"""What a modifier declares that it does to keys, held against what it did; and that what ships declares the truth."""

from __future__ import annotations

import types
from collections.abc import Callable

import pytest
import torch
from torch import nn

import zoo


def bring(model: nn.Module) -> nn.Module:
    return zoo.insert_after(model, "layers1.0", nn.BatchNorm1d(100))


def take(model: nn.Module) -> nn.Module:
    return zoo.replace(model, "layers1.0", nn.Linear(100, 100, bias=False))


def both(model: nn.Module) -> nn.Module:
    return take(bring(model))


def neither(model: nn.Module) -> nn.Module:
    return zoo.replace(model, "layers1.0", nn.Linear(100, 100))


def hide(model: nn.Module) -> nn.Module:
    """A buffer that no state dict has."""
    model.register_buffer("extra", torch.zeros(1), persistent=False)
    return zoo.insert_after(model, "layers1.0", nn.Identity())


NEW = "layers1.0.zoo_after.0.weight"
OLD = "layers1.0.bias"
ROWS: list[tuple[Callable[[nn.Module], nn.Module], str, str]] = [
    (bring, "keep", f"declares keys='keep', and added '{NEW}'"),
    (bring, "remove", f"declares keys='remove', and added '{NEW}'"),
    (bring, "add", ""),
    (bring, "change", ""),
    (take, "keep", f"declares keys='keep', and took '{OLD}' away"),
    (take, "add", f"declares keys='add', and took '{OLD}' away"),
    (take, "remove", ""),
    (take, "change", ""),
    (both, "keep", f"declares keys='keep', and added '{NEW}'"),
    (both, "add", f"declares keys='add', and took '{OLD}' away"),
    (both, "remove", f"declares keys='remove', and added '{NEW}'"),
    (both, "change", ""),
    (neither, "keep", ""),
    (hide, "keep", ""),
]


@pytest.mark.parametrize(("edit", "keys", "problem"), ROWS)
def test_what_a_modifier_does_to_keys_is_held_against_what_it_declares(
    edit: Callable[[nn.Module], nn.Module], keys: str, problem: str
) -> None:
    def apply(model: nn.Module, /) -> nn.Module:
        """An edit."""
        return edit(model)

    made = zoo.modifier(name="made", effects=zoo.Effects(keys=keys))(apply)  # type: ignore[arg-type]
    plugin = types.ModuleType("plugin")
    plugin.zoo_modifiers = zoo.hookimpl(specname="zoo_modifiers")(lambda: [made])  # type: ignore[attr-defined]
    model, registry = zoo.create("simple"), zoo.Registry.of(plugin)
    before = list(model.state_dict())
    if problem:
        with pytest.raises(zoo.PluginError) as met:
            zoo.modify(model, "made", registry=registry)
        assert str(met.value).startswith(f"modifier 'made' {problem}")
        assert list(model.state_dict()) == before
    else:
        zoo.modify(model, "made", registry=registry)


def test_a_layer_that_is_shared_may_be_in_any_of_its_places() -> None:
    """Its keys are the same ones under each of its names."""

    @zoo.modifier(effects=zoo.Effects(keys="add"))
    def norm(model: nn.Module, /) -> nn.Module:
        """A norm."""
        return zoo.insert_after(model, "1", nn.LayerNorm(3))

    plugin = types.ModuleType("plugin")
    plugin.zoo_modifiers = zoo.hookimpl(specname="zoo_modifiers")(lambda: [norm])  # type: ignore[attr-defined]
    layer = nn.Linear(3, 3)
    model = zoo.modify(nn.Sequential(layer, layer), "norm", registry=zoo.Registry.of(plugin))
    assert {"0.zoo_after.0.weight", "1.zoo_after.0.weight"} < set(model.state_dict())


DECLARED = {
    "append": ("add", False),
    "bn": ("keep", False),
    "drop_heads": ("remove", False),
    "dropout": ("keep", True),
    "freeze": ("keep", True),
    "grow": ("add", False),
    "in_chans": ("keep", False),
    "prepend": ("add", False),
    "reinit": ("keep", False),
    "remove": ("remove", False),
    "set": ("keep", False),
    "shrink": ("remove", False),
    "unfreeze": ("keep", True),
    "act": ("change", False),
    "heads": ("change", False),
    "num_classes": ("change", False),
    "replace": ("change", False),
    "switch": ("change", False),
    "switch_act": ("change", False),
}


def test_what_ships_declares() -> None:
    """The kit tries each of them on every net that it has, and this is what it finds declared."""
    import zoo_archs
    import zoo_modifiers

    made = [*zoo_modifiers.zoo_modifiers(), *zoo_archs.zoo_modifiers()]
    assert {one.name: (one.effects.keys, one.effects.preserves) for one in made} == DECLARED
    assert all(one.effects.repeats for one in made)
