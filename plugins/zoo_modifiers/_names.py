"""Names: for the parts of an nn.ModuleDict, of places, and of what has several."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import zoo

if TYPE_CHECKING:
    from torch import nn


# timm's other names of activations.
_ALIASES = {"swish": "silu", "hardsigmoid": "hard_sigmoid", "hardswish": "hard_swish"}


def canonical(name: str) -> str:
    """The first of timm's names for an activation."""
    return _ALIASES.get(name, name)


def check_names(modifier: str, kind: str, names: Iterable[str], own: Iterable[str]) -> None:
    """Raise OptionError for what can't be a key; `own` are the dict's attributes that hold no layer."""
    from torch import nn

    for name in names:
        reason = ""
        if not name.isidentifier() or keyword.iskeyword(name):
            reason = "Python can't take it for a name"
        elif hasattr(nn.ModuleDict, name) or name == "training" or name in own:
            reason = "nn.ModuleDict has an attribute of that name"
        elif name.startswith("zoo_"):
            reason = "what is inserted at a place stands under such names"
        if reason:
            other = f"{name.removeprefix('zoo_')}_{kind}" if name.isidentifier() else re.sub(r"\W", "_", name)
            raise zoo.OptionError(f"{modifier}: a {kind} can't be called '{name}': {reason}; call it '{other}', say")


@dataclass(frozen=True)
class Canonical:
    """In an option's type: what gives the one name for a thing of several, so that equal variants have equal specs."""

    name: Callable[[str], str]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema  # at the first check, so that listing stays quick

        return core_schema.no_info_after_validator_function(self.name, handler(source))


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
