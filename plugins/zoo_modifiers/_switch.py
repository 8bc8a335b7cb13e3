"""The modules behind `switch` and `switch_act`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

import zoo

from ._names import canonical
from ._recall import Chooses, calling, nobody_chose


class Switch(Chooses):
    """Several layers in one place, of which a call runs one: the default, unless `choice` says another.

    option: the keyword of the model's forward that chooses. default: the first, where none is named.
    """

    def __init__(self, layers: Mapping[str, nn.Module], option: str, default: str | None = None) -> None:
        super().__init__(layers)
        self.option = option
        self.default = default or next(iter(layers))

    @property
    def names(self) -> list[str]:
        """What can be chosen; what is inserted at the place isn't."""
        return [name for name in self if not name.startswith("zoo_")]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self[self.chosen() or self.default](*args, **kwargs)


class ActChoice(zoo.Mixin):
    """On the root: `act_type=` chooses the activation for one call."""

    options = ("act_type",)

    def forward(self, *args: Any, act_type: str | Sequence[str] | None = None, **kwargs: Any) -> Any:
        return _choosing(self, "act_type", act_type, lambda: super(ActChoice, self).forward(*args, **kwargs))  # type: ignore[misc]


class LayerChoice(zoo.Mixin):
    """On the root: `choice=` chooses the layer for one call, by a name or, for several switches, a list of them."""

    options = ("choice",)

    def forward(self, *args: Any, choice: str | Sequence[str] | None = None, **kwargs: Any) -> Any:
        return _choosing(self, "choice", choice, lambda: super(LayerChoice, self).forward(*args, **kwargs))  # type: ignore[misc]


def _choosing(model: Any, option: str, choice: str | Sequence[str] | None, call: Callable[[], Any]) -> Any:
    """Make a call in which every switch that has the name runs that layer."""
    if choice is None and nobody_chose(model):
        return call()
    switches = [module for module in model.modules() if isinstance(module, Switch) and module.option == option]
    names = _names(option, choice, switches)
    return calling(model, [(s, next((n for n in names if n in s.names), s.default)) for s in switches], call)


def _names(option: str, choice: str | Sequence[str] | None, switches: Sequence[Switch]) -> Sequence[str]:
    """The names that a call chooses; OptionError for anything that isn't one, or two for the same switch."""
    names: Sequence[Any] = [] if choice is None else choice if isinstance(choice, (list, tuple)) else [choice]
    known = ", ".join(dict.fromkeys(name for switch in switches for name in switch.names)) or "none any more"
    if choice is not None and not names:
        raise zoo.OptionError(f"{option}={choice!r} chooses nothing; the choices: {known}")
    for name in names:
        if not isinstance(name, str) or not any(_called(option, name) in switch.names for switch in switches):
            raise zoo.OptionError(f"there is no {option}={name!r}; the choices: {known}")
    names = [_called(option, name) for name in names]
    for switch in switches:
        if len(both := [name for name in switch.names if name in names]) > 1:
            several = " and ".join(both)
            raise zoo.OptionError(f"{option}={choice!r}: {several} are choices of one place; name one of them")
    return names


def _called(option: str, name: str) -> str:
    return canonical(name) if option == "act_type" else name
