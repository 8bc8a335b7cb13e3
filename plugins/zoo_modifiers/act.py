"""Another activation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import zoo

from ._names import Canonical, canonical

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

# A class is an activation if it, or a class it inherits from, stands in one of these modules and isn't one of these.
_MODULES = (
    "torch.nn.modules.activation",
    "timm.layers.activations",
    "timm.layers.activations_me",
    "transformers.activations",
)
_NO_ACTIVATIONS = {"MultiheadAttention", "Softmax", "Softmax2d", "LogSoftmax", "Softmin", "GLU", "Threshold"}
_NO_ACTIVATIONS |= {"LinearActivation", "SqrtSoftplusActivation"}  # transformers' identity, and its scores of experts
_GATES = {"Sigmoid", "Hardsigmoid", "HardSigmoid", "HardSigmoidMe", "LogSigmoid"}
_FUNCTIONS = {"relu", "relu_", "relu6", "silu", "gelu", "mish", "elu", "leaky_relu", "hardswish", "selu", "celu"}
# Norms whose formula holds the activation.
_WITHIN_NORM = ("EvoNorm2dB0", "EvoNorm2dB1", "EvoNorm2dB2", "EvoNorm2dS0", "FilterResponseNormTlu2d")

Name = Annotated[str, Canonical(canonical)]


@zoo.modifier(examples=["act(silu)", "act(mish)"])
def act(model: nn.Module, /, name: Name, at: zoo.Where = "*") -> nn.Module:
    """Swap every activation for another, by timm's names (`relu`, `silu`, `gelu`, `mish`, `hard_swish`, `prelu`, ...).

    Plugins may add more. `inplace` stays as it was. Gates (sigmoid, hard sigmoid), as in squeeze-and-excitation, are
    left alone, unless `at` names their class. A model that also calls an activation as a function, or has one inside a
    norm's formula, is refused, since it would be swapped by half.
    """
    layer = layer_of(name)
    for path, old in activations(model, at).items():
        if hasattr(old, "act_fn"):  # timm's GammaAct, which scales what a function returns
            old.act_fn = _function(name)
        else:
            model = zoo.replace(model, path, like(old, layer))
    return model


def activations(model: nn.Module, at: zoo.Where) -> dict[str, nn.Module]:
    """The activations that a selector names, or the switch in which several stand; raises where that isn't all."""
    terms = [at] if isinstance(at, str) else list(at)
    gates_too = bool(_GATES.intersection(terms))

    def wanted(module: Any) -> bool:
        switched = isinstance(module, zoo.Switch) and module.option == "act_type"
        return switched or is_activation(module) or (gates_too and is_activation(module, _GATES))

    found = zoo.select(model, at, kind=wanted)
    for path, why in _out_of_reach(model):
        if at == "*" or any(path == top or path.startswith(f"{top}.") for top in zoo.select(model, at)):
            place = zoo.format_place(path, root="the root")
            raise zoo.NotApplicableError(f"act can't swap {why} at {place}, and swaps no model by half")
    if not found:
        raise zoo.NotApplicableError(f"this {type(model).__name__} has no activation that is a module")
    whole = {path for path, module in found.items() if isinstance(module, zoo.Switch)}
    return {path: module for path, module in found.items() if path.rpartition(".")[0] not in whole}


def is_activation(module: Any, only: set[str] | None = None) -> bool:
    """Whether a module is an activation and no gate; with `only`, whether it is of one of these classes."""
    mro = type(module).__mro__
    names = [cls.__name__ for cls in mro if cls.__module__ in _MODULES or cls.__name__ == "GammaAct"]
    if only is not None:
        return not only.isdisjoint(names)
    if not names:
        return zoo.activations().makes(module)
    return _NO_ACTIVATIONS.isdisjoint(names) and _GATES.isdisjoint(names)


def layer_of(name: str) -> Any:
    """timm's activation of this name, which no plugin can take over, or a plugin's."""
    from timm.layers import create_act

    known = {**create_act._ACT_LAYER_DEFAULT, **create_act._ACT_LAYER_ME}
    if name in known:
        return create_act.get_act_layer(name)
    added = zoo.activations()
    if name in added:
        return added[name]
    names = sorted({*known, *added})
    hint = zoo.suggest(name, names, f"the names: {', '.join(names)}")
    raise zoo.OptionError(f"act: no activation '{name}'; {hint}{added.list_absent(name)}")


def _function(name: str) -> Any:
    from timm.layers import create_act

    if name not in create_act._ACT_FN_DEFAULT:
        raise zoo.NotApplicableError(f"this model scales an activation function, and '{name}' isn't one in timm")
    return create_act.get_act_fn(name)


def like(old: nn.Module, layer: Any) -> nn.Module:
    """The new activation with the old one's `inplace`. One with weights that is of this class already stays."""
    if type(old) is layer and next(old.parameters(), None) is not None:
        return old
    inplace = getattr(old, "inplace", None)
    if inplace is not None:
        try:
            return _made(layer, inplace=inplace)
        except TypeError:
            pass  # this one knows no inplace
    return _made(layer)


def _made(layer: Any, **options: Any) -> nn.Module:
    from torch import nn

    made = layer(**options)
    if not isinstance(made, nn.Module):
        raise zoo.PluginError(f"act: {layer.__name__}() gives a {type(made).__name__}; an activation is an nn.Module")
    return made


def _out_of_reach(model: nn.Module) -> Iterator[tuple[str, str]]:
    """Activations that aren't modules, by the path of the module whose code they are in."""
    from torch.jit import ScriptModule

    functions = zoo.functions_of(model)
    for path, module in model.named_modules():
        if is_activation(module) or is_activation(module, _GATES) or isinstance(module, zoo.Switch):
            continue
        kind = type(module).__name__
        if isinstance(module, ScriptModule):
            yield path, f"what this {kind}, which was scripted, holds"
            continue
        within = [cls.__name__ for cls in type(module).__mro__ if cls.__name__ in _WITHIN_NORM]
        if within and getattr(module, "apply_act", True):
            yield path, f"the activation inside the formula of {kind}"
        called = _FUNCTIONS & (functions[path] if path in functions else _in_code(module) if not functions else set())
        if called:
            yield path, f"{min(called)}, which {kind} calls as a function"


def _in_code(module: nn.Module) -> set[str]:
    """For a model that couldn't be traced: the names that the forward's own code uses and the module doesn't have, and
    those of functions that the module holds, as `nn.TransformerEncoderLayer` does.
    """
    held = {getattr(value, "__name__", "") for value in vars(module).values()}
    code = getattr(type(module).forward, "__code__", None)
    own = type(module).__module__.startswith("torch.nn.")
    return held if code is None or own else held | {name for name in code.co_names if not hasattr(module, name)}
