"""The order in which modifiers may stand, by what each declares of itself: `after`, `before`, `repeats`."""

from __future__ import annotations

from collections.abc import Sequence

from ..messages.errors import NotApplicableError
from ..registry.declarations import Effects


def check_order(earlier: Sequence[tuple[str, Effects]], name: str, effects: Effects) -> None:
    """Raise NotApplicableError for a modifier that may not stand where it does, with the reason and the way out.

    earlier: those in front of it, each by the name that it has in the spec, with what it declares.
    """
    for other, its in earlier:
        if other == name and not effects.repeats:
            raise NotApplicableError(f"{name} works once, and has been applied already; write it once")
        if _is_among(name, its.after):
            raise NotApplicableError(f"{other} has to come after {name}; write +{name}+{other}")
        if _is_among(other, effects.before):
            raise NotApplicableError(f"{name} has to come before {other}; write +{name}+{other}")


def _is_among(name: str, declared: Sequence[str]) -> bool:
    """Whether a modifier is one of those: by the name that it has in a spec, or by that without its owner."""
    return name in declared or name.rpartition("/")[2] in declared
