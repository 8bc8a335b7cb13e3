"""Names for the parts of an nn.ModuleDict, and of places."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable

import zoo


def place_of(path: str) -> str:
    """A place in words."""
    return f"'{path}'" if path else "the model itself"


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
