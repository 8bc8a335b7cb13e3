"""What an edit refuses: places that take nothing, and layers and names that can't come there; each with a way out."""

from __future__ import annotations

import inspect
import keyword
import re
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin

from ..messages.errors import NotApplicableError, OptionError
from ..messages.text import format_place, printable
from .placement import walks
from .walk import child_slots


def refuse_uncalled(model: nn.Module, module: nn.Module, path: str) -> None:
    """Raise NotApplicableError for a place whose own forward isn't what runs, or that would run what is put into it."""
    what = f"{format_place(path)} is a {type(module).__name__}, which"
    if type(module) in (nn.ModuleList, nn.ModuleDict):
        raise NotApplicableError(f"{what} is never called; name one of its elements")
    if walks(module):
        raise NotApplicableError(f"{what} would run what is put into it; name one of its elements")
    names = path.split(".")
    for end in range(len(names)):
        parent = model.get_submodule(".".join(names[:end]))
        if isinstance(parent, nn.MultiheadAttention):
            raise NotApplicableError(
                f"'{path}' is inside a MultiheadAttention, which reads its weights without calling it; "
                "insert before or after the attention itself"
            )


def refuse_mixin(module: nn.Module, path: str, mixin: type) -> None:
    """Raise NotApplicableError for a module whose class can't be changed, or whose class isn't what runs."""
    where = format_place(path, type(module).__name__)
    if isinstance(module, torch.jit.ScriptModule):
        raise NotApplicableError(f"{where} was scripted; modify the module that it was made of first")
    if isinstance(module, LazyModuleMixin):
        later: Any = module.cls_to_become  # torch sets this class itself, whatever the module has become by then
        if later is not None or module.has_uninitialized_params():
            into = f", which makes it a {later.__name__} and would lose this" if later else ""
            raise NotApplicableError(
                f"{where} gets its sizes in its first forward{into}; run a forward first, then zoo.modify"
            )
    if "forward" in vars(module) and hasattr(mixin, "forward"):
        raise NotApplicableError(
            f"{where} has a forward of its own, set on the instance, which goes past what is put there; "
            "modify the model before its forward is replaced (before accelerator.prepare, say), or name another place"
        )


def refuse_cycle(layer: nn.Module, holder: nn.Module, path: str) -> None:
    """Raise OptionError for a layer that holds what is to hold it."""
    if layer is holder or (child_slots(layer) and any(module is holder for module in layer.modules())):
        raise OptionError(
            f"this {type(layer).__name__} is or holds {format_place(path)}, and can't be put into itself; "
            "give a new layer, or a copy.deepcopy of this one"
        )


def refuse_name(name: Any) -> None:
    """Raise OptionError for what can't be the name of a new part."""
    if not isinstance(name, str) or not name:
        raise OptionError(f"a new part needs a name, such as 'extra', not {name!r}")
    if "." in name:
        reason = "a dot stands between a module and what is in it"
    elif name.startswith("zoo_"):
        reason = "what is inserted at a place stands under such names"
    else:
        return
    other = re.sub(r"\W", "_", re.sub(r"^zoo_", "", name)).strip("_") or "extra"
    raise OptionError(f"a new part can't be called '{printable(name)}': {reason}; call it '{other}', say")


def check_names(modifier: str, kind: str, names: Iterable[str], holder: type[nn.ModuleDict]) -> None:
    """Raise OptionError for what can't be the name of a layer in an nn.ModuleDict, with another name that can.

    Args:
        modifier: who asks, for the message, as in `heads`.
        kind: what it calls a layer, as in `head`.
        names: the names.
        holder: the class of the dict, whose attributes can't be names.

    Raises:
        OptionError: the first name that can't be one.
    """
    taken = set(dir(holder)).union(*map(inspect.get_annotations, holder.__mro__[:-1]))
    for name in names:
        reason = ""
        if not name.isidentifier() or keyword.iskeyword(name):
            reason = "Python can't take it for a name"
        elif name in taken:
            reason = "nn.ModuleDict has an attribute of that name"
        elif name.startswith("zoo_"):
            reason = "what is inserted at a place stands under such names"
        if reason:
            other = f"{name.removeprefix('zoo_')}_{kind}" if name.isidentifier() else re.sub(r"\W", "_", name)
            raise OptionError(f"{modifier}: a {kind} can't be called '{name}': {reason}; call it '{other}', say")
