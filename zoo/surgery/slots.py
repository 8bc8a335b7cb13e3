"""Slots: the knobs that an arch has built in, such as its own dropout in front of the head, found for a site."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .provenance import sites_of

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Slot:
    """A value that a module's forward reads: `attribute` of the module at `path`, the root's being `""`."""

    path: str
    attribute: str

    @classmethod
    def parse(cls, text: str, attribute: str = "") -> Slot:
        """A slot as archs declare it, `path` or `path:attribute`.

        Args:
            text: what the arch says.
            attribute: the one that is meant where a path stands alone.

        Example:
            >>> Slot.parse("head.drop", "p"), Slot.parse(":drop_rate")
            (Slot(path='head.drop', attribute='p'), Slot(path='', attribute='drop_rate'))
        """
        path, _, own = text.partition(":")
        return cls(path, own or attribute)

    def is_in(self, model: nn.Module) -> bool:
        """Whether the model has this slot: someone may have put another module in the place of the one that did."""
        try:
            return hasattr(model.get_submodule(self.path), self.attribute)
        except AttributeError:
            return False

    def read(self, model: nn.Module) -> Any:
        """The value in this model."""
        return getattr(model.get_submodule(self.path), self.attribute)

    def set(self, model: nn.Module, value: Any) -> None:
        """Give the model another value."""
        setattr(model.get_submodule(self.path), self.attribute, value)


def slots_at(model: nn.Module, path: str, knob: str, attribute: str) -> tuple[Slot, ...]:
    """The slots of one knob at the site that a path is: those that the arch declares as `SITE_KNOB`.

    Args:
        model: a live model.
        path: a place, such as that of the head; one that isn't a site has no slots.
        knob: what is wanted there, such as `drop`, for the slots that the arch calls `head_drop`.
        attribute: where the value stands in a module that the arch names as a whole: `p` in a Dropout.

    Returns:
        What is there in the model as it is now; nothing where the arch has no such knob.

    Example:
        >>> import zoo
        >>> model = zoo.create("resnet18", drop_rate=0.1)
        >>> [(slot, slot.read(model)) for slot in zoo.slots_at(model, "fc", "drop", "p")]
        [(Slot(path='', attribute='drop_rate'), 0.1)]
    """
    sites = sites_of(model)
    named = [f"{name}_{knob}" for name, paths in sites.items() if path in paths]
    found = next((sites[name] for name in named if name in sites), ())
    return tuple(slot for slot in (Slot.parse(text, attribute) for text in found) if slot.is_in(model))
