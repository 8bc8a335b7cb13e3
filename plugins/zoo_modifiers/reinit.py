"""Weights drawn anew."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any

import zoo

from ._names import Canonical, holders

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

# torch.nn.init's functions, without the underscore. Every one writes into a tensor and takes numbers besides.
_SCHEMES = """
uniform normal trunc_normal constant ones zeros eye dirac xavier_uniform xavier_normal kaiming_uniform kaiming_normal
orthogonal sparse
""".split()


def _without_underscore(name: str) -> str:
    return name.removesuffix("_")


@zoo.modifier(examples=["reinit(head)", "reinit(Linear, normal, std=0.02)"])
def reinit(
    model: nn.Module,
    /,
    at: zoo.Where,
    scheme: Annotated[str, Canonical(_without_underscore)] | None = None,
    bias: float | None = None,
    **options: float | str,
) -> nn.Module:
    """Initialise layers anew: `reinit(Linear, normal, mean=1, std=1)`, by torch.nn.init's names.

    Without a scheme, each layer does what it does when it is made. With one, the weights get it, with its options, and
    the biases stay, unless `bias` gives the number that fills them. Running statistics stay as well.
    """
    import torch

    if scheme is None and (options or bias is not None):
        raise zoo.OptionError("reinit: options belong to a scheme, as in reinit(Linear, normal, std=0.02)")
    draw = None if scheme is None else _scheme(scheme, options)
    found = holders(model, at, _has_parameters)
    with torch.no_grad():
        for path, module in found.items():
            if draw is None:
                _reset(path, module)
                continue
            for name, parameter in module.named_parameters(recurse=False):
                if "bias" not in name:
                    _drawn(draw, parameter, f"{path}.{name}".lstrip("."), str(scheme))
                elif bias is not None:
                    parameter.fill_(bias)
    if not found:
        raise zoo.NotApplicableError(f"this {type(model).__name__} has no parameter to initialise")
    return model


def _has_parameters(module: Any) -> bool:
    return bool(module._parameters) and any(p is not None for p in module._parameters.values())


def _scheme(name: str, options: dict[str, Any]) -> Callable[[Tensor], Any]:
    """The function of torch.nn.init with its options, which are checked against its signature."""
    from torch.nn import init

    if name not in _SCHEMES:
        hint = zoo.suggest(name, _SCHEMES, f"the schemes: {', '.join(_SCHEMES)}")
        raise zoo.OptionError(f"reinit: no scheme '{name}'; {hint}")
    function = getattr(init, f"{name}_")
    parameters = list(inspect.signature(function).parameters.values())[1:]
    own = {p.name: p for p in parameters if p.name != "generator"}
    shown = ", ".join(str(p).partition(":")[0] + _default(p) for p in own.values()) or "none"
    for key, value in options.items():
        if key not in own:
            raise zoo.OptionError(f"reinit: {name} has no option '{key}'; its options: {shown}")
        if isinstance(value, str) != isinstance(own[key].default, str):
            raise zoo.OptionError(f"reinit: {name} can't take {key}={value!r}; its options: {shown}")
    for key, parameter in own.items():
        if parameter.default is parameter.empty and key not in options:
            raise zoo.OptionError(f"reinit: {name} needs '{key}'; its options: {shown}")
    whole = {key: int(value) for key, value in options.items() if type(own[key].default) is int and value % 1 == 0}
    return lambda tensor: function(tensor, **options | whole)


def _default(parameter: inspect.Parameter) -> str:
    return "" if parameter.default is parameter.empty else f"={parameter.default}"


def _drawn(draw: Callable[[Tensor], Any], parameter: Tensor, name: str, scheme: str) -> None:
    try:
        draw(parameter)
        if parameter.is_meta:
            parameter.fill_(0)  # some of torch's functions pass over meta, and the change is to show there too
    except (ValueError, TypeError, RuntimeError) as error:
        shape = list(parameter.shape)
        raise zoo.OptionError(
            f"reinit: {scheme} can't fill '{name}' {shape}: {error}; name the layers that it is for, as in Linear"
        ) from None


def _reset(path: str, module: nn.Module) -> None:
    reset = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
    if not callable(reset):
        raise zoo.NotApplicableError(
            f"{zoo.format_place(path, type(module).__name__)} doesn't say how it is initialised; "
            "give a scheme, as in normal"
        )
    reset()
