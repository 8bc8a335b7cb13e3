"""The activations of a model: where they are, and another one in the place of each."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import nn
from torch.jit import ScriptModule

from ..messages.errors import NotApplicableError, OptionError, PluginError
from ..messages.text import format_place
from ..plan.kinds import Kind, activations
from ..surgery.placement import HOOK_DICTS
from ..surgery.select import select
from ..surgery.walk import below, places
from ..trace.trace import functions_of
from .choice import Switch

# Those of torch that are activations; what else a forward may call by these names would be one too.
_FUNCTIONS = {"relu", "relu_", "relu6", "silu", "gelu", "mish", "elu", "leaky_relu", "hardswish", "selu", "celu"}


def find_activations(
    model: nn.Module, at: str | Sequence[str], modifier: str, option: str = ""
) -> dict[str, nn.Module]:
    """The activations that a selector names, for a modifier that swaps them all or none.

    Gates are left out, unless `at` names their class.

    Args:
        model: The model that the modifier got.
        at: The selector.
        modifier: Who asks, for the messages.
        option: A `Switch` of this option counts as one, whatever is in it.

    Returns:
        Path to module.

    Raises:
        NotApplicableError: For a place whose activation is no module, and for a model that has none.
        NoEffectError: For a selector that names nothing.
    """
    terms = {at} if isinstance(at, str) else set(at)
    role_of = _ask_once(activations())

    def wanted(module: Any) -> bool:
        role = role_of(module)
        named = role == "gate" and any(cls.__name__ in terms for cls in type(module).__mro__)
        return named or role == "activation" or (isinstance(module, Switch) and module.option == option)

    found = select(model, at, kind=wanted, outermost=True)
    for path, why in _out_of_reach(model, role_of):
        if at == "*" or any(below(path, top) for top in select(model, at)):
            place = format_place(path, root="the root")
            raise NotApplicableError(f"{modifier} can't swap {why} at {place}, and swaps no model by half")
    if not found:
        raise NotApplicableError(f"this {type(model).__name__} has no activation that is a module")
    return found


def _ask_once(kind: Kind) -> Callable[[nn.Module], str]:
    """What the classes of modules are, each asked for once: a model has hundreds of modules of a dozen classes."""
    found: dict[type, str] = {}

    def role_of(module: nn.Module) -> str:
        cls = type(module)
        if cls not in found:
            found[cls] = next((role for role in ("activation", "gate", "fused") if kind.holds(module, role)), "")
        return found[cls]

    return role_of


def _out_of_reach(model: nn.Module, role_of: Callable[[nn.Module], str]) -> Iterator[tuple[str, str]]:
    """Activations that aren't modules, by the path of the module whose code they are in."""
    functions = functions_of(model)
    for path, module in places(model):
        role = role_of(module)
        if role in ("activation", "gate"):
            continue
        name = type(module).__name__
        if isinstance(module, ScriptModule):
            yield path, f"what this {name}, which was scripted, holds"
        elif role == "fused" and getattr(module, "apply_act", True):
            yield path, f"the activation inside the formula of {name}"
        elif called := _FUNCTIONS & functions.get(path, frozenset()):
            yield path, f"{min(called)}, which {name} calls as a function"


def activation_maker(name: str, modifier: str) -> Callable[..., nn.Module]:
    """What makes the activation of this name for the place of an old one.

    Args:
        name: As `zoo.activations()` has it.
        modifier: Who asks, for the messages.

    Returns:
        A function of the old activation, whose `inplace` the new one takes over. One with weights that is of this class
        already comes back itself; with `copied=True` a copy of it, also for a class below it, without the hooks, which
        whatever comes into its place takes over.

    Raises:
        OptionError: For a name that nobody has.
        UnknownNameError: For one that two plugins have.
        PluginError: For what can't be loaded, or makes no module.
    """
    kind = activations()
    if name not in kind:
        unknown = kind.unknown(name)
        raise OptionError(f"{modifier}: {unknown}", suggestions=unknown.suggestions)
    layer: Any = kind[name]

    def make(old: nn.Module, copied: bool = False) -> nn.Module:
        if copied and isinstance(old, Switch):
            old = old[old.default]
        if next(old.parameters(), None) is not None:
            if copied and isinstance(layer, type) and issubclass(layer, type(old)):
                return _copy(old)
            if type(old) is layer and not copied:
                return old
        return _like(old, layer, modifier)

    return make


def _copy(old: nn.Module) -> nn.Module:
    new = copy.deepcopy(old)
    for name in HOOK_DICTS:
        vars(new)[name].clear()
    return new


def _like(old: nn.Module, layer: Any, modifier: str) -> nn.Module:
    """A fresh one with the old one's `inplace`."""
    inplace = getattr(old, "inplace", None)
    try:
        made = layer() if inplace is None else layer(inplace=inplace)
    except TypeError:
        if inplace is None:
            raise
        made = layer()  # this one knows no inplace
    if not isinstance(made, nn.Module):
        name = layer.__name__
        raise PluginError(f"{modifier}: {name}() gives a {type(made).__name__}; an activation is an nn.Module")
    return made
