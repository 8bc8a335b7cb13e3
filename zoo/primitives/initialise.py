"""Drawing weights anew: as a layer does when it is made, or by one of torch.nn.init's functions."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn

from ..messages.errors import NotApplicableError, OptionError
from ..messages.text import ask_for, find_near, format_place
from ..surgery.walk import join, parameters_of

# torch.nn.init's functions, without the underscore. Every one writes into a tensor and takes numbers besides.
SCHEMES = """
uniform normal trunc_normal constant ones zeros eye dirac xavier_uniform xavier_normal kaiming_uniform kaiming_normal
orthogonal sparse
""".split()


def bind_scheme(name: str, options: Mapping[str, float | str], modifier: str = "initialise") -> partial[Tensor]:
    """One of torch.nn.init's functions with its options, checked against its signature.

    Args:
        name: The function's name without the underscore, such as `normal`.
        options: Its numbers and words by name, such as `{"std": 0.02}`.
        modifier: Who asks, for the messages.

    Returns:
        What fills a tensor, for `initialise`.

    Raises:
        OptionError: For a name or an option that isn't one, and where an option is missing.

    Example:
        >>> import torch, zoo
        >>> zoo.bind_scheme("constant", {"val": 3})(torch.empty(2))
        tensor([3., 3.])
    """
    if name not in SCHEMES:
        near = find_near(name, SCHEMES)
        hint = ask_for(near) or f"the schemes: {', '.join(SCHEMES)}"
        raise OptionError(f"{modifier}: no scheme '{name}'; {hint}", suggestions=near)
    function = getattr(nn.init, f"{name}_")
    parameters = list(inspect.signature(function).parameters.values())[1:]
    own = {p.name: p for p in parameters if p.name != "generator"}
    shown = ", ".join(str(p).partition(":")[0] + _show_default(p) for p in own.values()) or "none"
    for key, value in options.items():
        if key not in own:
            raise OptionError(f"{modifier}: {name} has no option '{key}'; its options: {shown}")
        if isinstance(value, str) != isinstance(own[key].default, str):
            raise OptionError(f"{modifier}: {name} can't take {key}={value!r}; its options: {shown}")
    for key, parameter in own.items():
        if parameter.default is parameter.empty and key not in options:
            raise OptionError(f"{modifier}: {name} needs '{key}'; its options: {shown}")
    given = options.items()
    whole = {k: int(v) for k, v in given if type(own[k].default) is int and not isinstance(v, str) and v % 1 == 0}
    return partial(function, **{**options, **whole})


def _show_default(parameter: inspect.Parameter) -> str:
    return "" if parameter.default is parameter.empty else f"={parameter.default}"


@torch.no_grad()
def initialise(
    model: nn.Module,
    path: str,
    scheme: partial[Tensor] | None = None,
    bias: float | None = None,
    modifier: str = "initialise",
) -> None:
    """Draw the parameters of the module at `path` anew, in place; not those of modules in it, and no statistics.

    Args:
        model: The model.
        path: Where.
        scheme: What `bind_scheme` gives, for all but the biases; where it is None, the module does what it does when
            it is made.
        bias: The number for the biases, where a scheme is given; they stay as they are, where it is None.
        modifier: Who asks, for the messages.

    Raises:
        NotApplicableError: Without a scheme, for a module that doesn't say how it is initialised.
        OptionError: For a parameter that the scheme can't fill, such as a vector that is to be orthogonal.

    Example:
        >>> import torch, zoo
        >>> model = torch.nn.Sequential(torch.nn.Linear(2, 2))
        >>> zoo.initialise(model, "0", zoo.bind_scheme("eye", {}), bias=0.5)
        >>> model(torch.zeros(2)).tolist()
        [0.5, 0.5]
    """
    module = model.get_submodule(path)
    if scheme is None:
        _reset(module, path)
        return
    for name, parameter in parameters_of(module).items():
        if "bias" not in name:
            _fill(scheme, parameter, join(path, name), modifier)
        elif bias is not None:
            parameter.fill_(bias)


def _reset(module: nn.Module, path: str) -> None:
    reset = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
    if not callable(reset):
        place = format_place(path, type(module).__name__)
        raise NotApplicableError(f"{place} doesn't say how it is initialised; give a scheme, as in normal")
    reset()


def _fill(scheme: partial[Tensor], parameter: Tensor, name: str, modifier: str) -> None:
    try:
        scheme(parameter)
        if parameter.is_meta:
            parameter.fill_(0)  # some of torch's functions pass over meta, and the change is to show there too
    except (ValueError, TypeError, RuntimeError) as error:
        what = f"{scheme.func.__name__.removesuffix('_')} can't fill '{name}' {list(parameter.shape)}"
        raise OptionError(f"{modifier}: {what}: {error}; name the layers that it is for, as in Linear") from None
