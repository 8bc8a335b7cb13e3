"""The modules behind `switch` and `switch_act`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

import zoo


class Switch(nn.ModuleDict):
    """Several layers in one place, of which a call runs one: the first, unless `choice` says another.

    option: the keyword of the model's forward that chooses.
    """

    zoo_walks = False  # the forward runs one of the names, so that more may be registered beside them

    def __init__(self, layers: Mapping[str, nn.Module], option: str) -> None:
        super().__init__(layers)
        self.option = option
        self.default = next(iter(layers))
        self.choice: str | None = None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self[self.choice or self.default](*args, **kwargs)


class ActChoice(zoo.Mixin):
    """On the root: `act_type=` chooses the activation for one call."""

    options = ("act_type",)

    def forward(self, *args: Any, act_type: str | None = None, **kwargs: Any) -> Any:
        if act_type is None:
            return super().forward(*args, **kwargs)  # type: ignore[misc]
        return _choosing(self, "act_type", act_type, lambda: super(ActChoice, self).forward(*args, **kwargs))  # type: ignore[misc]


class LayerChoice(zoo.Mixin):
    """On the root: `choice=` chooses the layer for one call, by a name or, for several switches, a list of them."""

    options = ("choice",)

    def forward(self, *args: Any, choice: str | Sequence[str] | None = None, **kwargs: Any) -> Any:
        if choice is None:
            return super().forward(*args, **kwargs)  # type: ignore[misc]
        return _choosing(self, "choice", choice, lambda: super(LayerChoice, self).forward(*args, **kwargs))  # type: ignore[misc]


def _choosing(model: Any, option: str, choice: str | Sequence[str], call: Callable[[], Any]) -> Any:
    """Make a call in which every switch that has the name runs that layer."""
    switches = [module for module in model.modules() if isinstance(module, Switch) and module.option == option]
    names = [choice] if isinstance(choice, str) else choice
    for name in names:
        if not any(name in switch for switch in switches):
            known = ", ".join(dict.fromkeys(key for switch in switches for key in switch))
            raise zoo.OptionError(f"there is no {option}='{name}'; the choices: {known or 'none any more'}")
    try:
        for switch in switches:
            for name in names:
                if name in switch:
                    switch.choice = name
        return call()
    finally:
        for switch in switches:
            switch.choice = None  # or one failing call would choose for the next
