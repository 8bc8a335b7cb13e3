"""Several layers in one place, and the choice between them with each call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import zoo

from ._names import ALIASES, Activation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn


class ActChoice(zoo.Mixin):
    """On the root: `act_type=` chooses the activation for one call."""

    options = ("act_type",)

    def forward(self, *args: Any, act_type: str | Sequence[str] | None = None, **kwargs: Any) -> Any:
        run = super().forward  # type: ignore[misc]
        return zoo.choose(self, "act_type", act_type, lambda: run(*args, **kwargs), ALIASES)


class LayerChoice(zoo.Mixin):
    """On the root: `choice=` chooses the layer for one call, by a name or, for several switches, a list of them."""

    options = ("choice",)

    def forward(self, *args: Any, choice: str | Sequence[str] | None = None, **kwargs: Any) -> Any:
        run = super().forward  # type: ignore[misc]
        return zoo.choose(self, "choice", choice, lambda: run(*args, **kwargs))


@zoo.modifier(examples=["switch_act(relu, silu, sigmoid)"])
def switch_act(model: nn.Module, /, *names: Activation, at: zoo.Where = "*") -> nn.Module:
    """Several activations in the place of each, by the names that `act` takes; the first is the default.

    `model(x, act_type="sigmoid")` runs that one, for this call. They are an nn.ModuleDict, the weights of a PReLU that
    was there go on in the new one.
    """
    if len(names) < 2 or len(set(names)) < len(names):
        raise zoo.OptionError("switch_act needs two or more different activations, as in switch_act(relu, silu)")
    makers = {name: zoo.activation_maker(name, "act") for name in names}
    for path, old in zoo.find_activations(model, at, "act", "act_type").items():
        if hasattr(old, "act_fn"):
            raise zoo.NotApplicableError(f"'{path}' ({type(old).__name__}) scales a function, and can't hold several")
        layers = {name: make(old, copied=True) for name, make in makers.items()}
        model = zoo.replace(model, path, zoo.Switch(layers, "act_type"))
    return zoo.become(model, "", ActChoice)


@zoo.modifier(examples=["switch(head, plain=Identity(), scaled=Dropout(0.1))"])
def switch(
    model: nn.Module,
    /,
    site: zoo.Where,
    keep_weights: bool = False,
    default: str | None = None,
    **layers: zoo.Layer,
) -> nn.Module:
    """Several layers in each place that `site` names, of which a call runs one.

    `model(x, choice="b")` runs `b` in every switch that has one, for this call; a list chooses in several switches.

    default: the layer that a call without `choice` runs; the first by name, where none is given.
    keep_weights: copy into each choice every parameter and buffer of the old layer that has its name and shape there.
    """
    if len(layers) < 2:
        raise zoo.OptionError("switch needs two or more name=layer, as in switch(act1, a=ReLU(), b=PReLU(64))")
    zoo.check_names("switch", "layer", layers, zoo.Switch)
    if default is not None and default not in layers:
        known = ", ".join(layers)
        raise zoo.OptionError(f"switch: there is no layer '{default}' to be the default; the layers: {known}")
    for path, old in zoo.select(model, site, outermost=True).items():
        made = zoo.Switch({name: layer.build() for name, layer in layers.items()}, "choice", default)
        model = zoo.replace(model, path, made)
        if keep_weights:
            for new in made.values():
                zoo.copy_weights(old, new)
    return zoo.become(model, "", LayerChoice)
