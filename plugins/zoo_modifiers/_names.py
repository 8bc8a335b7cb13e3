"""Names: of places, and of what has several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Canonical:
    """In an option's type: what gives the one name for a thing of several, so that equal variants have equal specs."""

    name: Callable[[str], str]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema  # at the first check, so that listing stays quick

        return core_schema.no_info_after_validator_function(self.name, handler(source))


# timm's other names of activations.
ALIASES = {"swish": "silu", "hardsigmoid": "hard_sigmoid", "hardswish": "hard_swish"}

Activation = Annotated[str, Canonical(lambda name: ALIASES.get(name, name))]
