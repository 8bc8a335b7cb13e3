"""`zoo.param_groups`: an optimizer's groups by selector, by kind of parameter, and by depth."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from ..factory.builder import arch_of
from ..messages.errors import NoEffectError, NotApplicableError, OptionError
from ..registry.registry import Registry
from ..surgery.select import select
from ..surgery.walk import join, parameters_of, places
from ..surgery.wrappers import unwrap

Rules = Mapping[Any, Mapping[str, Any]]  # keys: a selector, or a tuple of them
Kind = Callable[[str, nn.Parameter, type], bool]

_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
_LIKE_A_NORM = re.compile(r"Norm(Act|Tlu|Exp|Fp32)?(\dd)?([A-Z]\d[a-z]?)?$")  # RmsNormAct2d, EvoNorm2dS0, LlamaRMSNorm


def _is_bias(name: str, parameter: nn.Parameter, holder: type) -> bool:
    return parameter.ndim <= 1 and re.search(r"(^|_)bias(_|$)", name.rpartition(".")[2]) is not None


def _is_norm(name: str, parameter: nn.Parameter, holder: type) -> bool:
    return issubclass(holder, _NORMS) or any(_LIKE_A_NORM.search(cls.__name__) for cls in holder.__mro__)


def _is_1d(name: str, parameter: nn.Parameter, holder: type) -> bool:
    return parameter.ndim <= 1


KINDS: Mapping[str, Kind] = {"bias": _is_bias, "norm": _is_norm, "1d": _is_1d}


def param_groups(
    model: nn.Module,
    rules: Rules | None = None,
    layer_decay: float | None = None,
    *,
    registry: Registry | None = None,
    **defaults: Any,
) -> list[dict[str, Any]]:
    """Groups of a model's parameters for any torch optimizer: each that trains is in exactly one.

    Args:
        model: a live model; one inside a wrapper such as DistributedDataParallel is found there.
        rules: selector to options, as in `{"head": dict(lr=0.01), ":bias": dict(weight_decay=0)}`. The first that
            matches a parameter wins. A selector is what `at=` takes (a site, a glob over paths, a class) and means all
            parameters in there; or a glob over the names of parameters (`pos_embed`); or a kind: `:bias`; `:norm`, what
            norm layers hold; `:1d`, all of at most one dimension, which timm keeps free of weight decay. Both together
            work too (`layer4:bias`), and a tuple of several, where `!` in front excludes.
        layer_decay: multiplies the learning rate once for each layer between a parameter's and the last, in the order
            that the model's arch declares (Bao et al. 2021; timm's `param_groups_layer_decay`). It goes into the
            group's `lr`, and into no `lr_scale`, so that every scheduler keeps it.
        registry: where the model's arch is looked up; by default all that is installed.
        defaults: options of every group whose rule says nothing else, such as `lr=0.001`.

    Returns:
        Groups in the order of the rules, then what no rule matches; within each by layer. Empty ones are left out.
        Frozen parameters are in none; a tied one counts under all its names. Each group has `param_names` beside
        `params`, as torch's optimizers keep them.

    Raises:
        NoEffectError: a selector matches no parameter at all.
        NotApplicableError: layer_decay, and the arch declares no order.
        OptionError: this is no rule, or no number.

    Example:
        >>> model = zoo.create("simple")
        >>> groups = zoo.param_groups(model, {"head": dict(lr=0.01), ":bias": dict(weight_decay=0)}, lr=0.001)
        >>> [(group["lr"], len(group["params"])) for group in groups]
        [(0.01, 4), (0.001, 2), (0.001, 2)]
    """
    model = unwrap(model)
    if not isinstance(model, nn.Module):
        raise OptionError(f"param_groups takes a live model, not {type(model).__name__}; zoo.create makes one")
    named = list(_list_parameters(model))
    meant = [({**defaults, **options}, ids) for options, ids in _resolve_rules(model, rules or {}, named)]
    every = [options for options, _ in meant]
    layers = {} if layer_decay is None else _number_layers(model, layer_decay, every, registry)
    last = max(layers.values(), default=0)
    groups: dict[tuple[int, int], dict[str, Any]] = {}
    done: set[int] = set()
    for number, (options, ids) in enumerate(meant):
        for name, parameter, _ in named:
            if id(parameter) not in ids or id(parameter) in done or not parameter.requires_grad:
                continue
            done.add(id(parameter))
            layer = layers.get(name, last)  # what the arch doesn't know came with a modifier, and is new
            if (number, layer) not in groups:
                scaled = {"lr": options["lr"] * layer_decay ** (last - layer)} if layer_decay is not None else {}
                groups[number, layer] = {"params": [], "param_names": [], **options, **scaled}
            groups[number, layer]["params"].append(parameter)
            groups[number, layer]["param_names"].append(name)
    return [groups[key] for key in sorted(groups)]


def _number_layers(
    model: nn.Module, layer_decay: float, options: Sequence[Mapping[str, Any]], registry: Registry | None
) -> dict[str, int]:
    if isinstance(layer_decay, bool) or not isinstance(layer_decay, (int, float)) or not 0 < layer_decay <= 1:
        raise OptionError(f"layer_decay={layer_decay!r}; expected a number above 0 and up to 1, such as 0.75")
    if any("lr" not in one for one in options):
        raise OptionError("layer_decay scales a learning rate; give the one of the last layer, as in lr=0.001")
    return layer_order(model, registry=registry)


def layer_order(model: nn.Module, *, registry: Registry | None = None) -> dict[str, int]:
    """Each parameter's layer, counted from the input, as the model's arch has it.

    Raises NotApplicableError where it says nothing.
    """
    arch = arch_of(model, registry)
    found = dict(arch.order(model)) if arch and arch.order else {}
    if not found:
        whose = f"'{arch.name}'" if arch else f"this {type(model).__name__}, which isn't of an arch of the zoo,"
        raise NotApplicableError(f"{whose} says nothing about the order of its layers")
    return found


Named = Sequence[tuple[str, nn.Parameter, type]]


def _list_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter, type]]:
    """Every name of every parameter, with the class of the module that holds it."""
    for path, module in places(model):
        for name, parameter in parameters_of(module).items():
            yield join(path, name), parameter, type(module)


def _resolve_rules(model: nn.Module, rules: Rules, named: Named) -> Iterator[tuple[Mapping[str, Any], set[int]]]:
    """For each rule its options and the parameters that it means, by id; at the end no options, for all of them."""
    if not isinstance(rules, Mapping):
        raise OptionError(f"rules={rules!r}; expected a dict of selector to options, as in {{'head': dict(lr=0.01)}}")
    for where, options in rules.items():
        if not isinstance(options, Mapping) or {"params", "param_names"} & options.keys():
            raise OptionError(f"rule {where!r}: {options!r}; expected options of an optimizer, as in dict(lr=0.01)")
        terms = [where] if isinstance(where, str) else list(where) if isinstance(where, tuple) else []
        if not terms or not all(isinstance(term, str) for term in terms):
            raise OptionError(f"rule {where!r}: expected a selector, such as 'head' or ':bias', or a tuple of several")
        meant: set[int] = set()
        for term in terms if not all(term.startswith("!") for term in terms) else ["*"]:
            if not term.startswith("!"):
                meant |= _match(model, term, named, where)
        for term in terms:
            if term.startswith("!"):
                meant -= _match(model, term[1:], named, where)
        yield options, meant
    yield {}, {id(parameter) for _, parameter, _ in named}


def _match(model: nn.Module, term: str, named: Named, where: str | tuple[str, ...]) -> set[int]:
    """The parameters of one term of a rule's selector, by id."""
    path, _, kind = term.partition(":")
    if kind and kind not in KINDS:
        raise OptionError(f"rule {where!r}: there is no kind ':{kind}'; the kinds: {_KNOWN}")
    inside = set(_names_inside(model, path or "*", named, where))
    found = {id(p) for name, p, holder in named if name in inside and (not kind or KINDS[kind](name, p, holder))}
    if not found:
        raise NoEffectError(f"rule {where!r}: '{term}' has no parameters in this {type(model).__name__}")
    return found


_KNOWN = ", ".join(f":{name}" for name in KINDS)


def _names_inside(model: nn.Module, path: str, named: Named, where: str | tuple[str, ...]) -> list[str]:
    """The names of the parameters in the modules that a selector names; else those that it matches itself."""
    try:
        tops = list(select(model, path))
    except NoEffectError as error:
        if found := [name for name, _, _ in named if fnmatchcase(name, path)]:
            return found
        reason = str(error).removeprefix("at=")
        raise NoEffectError(f"rule {where!r}: {reason}; kinds: {_KNOWN}") from None
    starts = tuple(f"{top}." if top else "" for top in tops)
    return [name for name, _, _ in named if name.startswith(starts)]
