"""Names: of places, and of what has several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any

import zoo

if TYPE_CHECKING:
    from torch import nn


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


def holders(model: nn.Module, at: zoo.Where, kind: Callable[[Any], bool]) -> dict[str, nn.Module]:
    """The modules that a selector names; NoEffectError says so, where it's parameters that bear the name."""
    try:
        return dict(zoo.select(model, at, kind=kind))
    except zoo.NoEffectError as error:
        terms = [term for term in ([at] if isinstance(at, str) else at) if not term.startswith("!")]
        for name, _ in model.named_parameters():
            if any(fnmatchcase(name, term) for term in terms):
                holder = name.rpartition(".")[0]
                say = f", such as '{holder}', which holds it" if holder else ""
                raise zoo.NoEffectError(f"{error}; '{name}' is a parameter, and at= takes modules{say}") from None
        raise
