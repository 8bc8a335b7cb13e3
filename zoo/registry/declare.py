"""The decorators by which plugins declare, and what they refuse. As cheap as what they make: nothing is imported."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, overload

from ..messages.errors import PluginError
from ..messages.text import list_names
from .declarations import KEYS, RESERVED_OPTIONS, Arch, Effects, Family, Modifier, Sample, Sites

_NONE_SAID = Effects()
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


def arch(
    name: str | None = None,
    *,
    sites: Sites | Callable[[Any], Sites] | None = None,
    sample: Sample | None = None,
    examples: Sequence[str] = (),
    order: Callable[[Any], Mapping[str, int]] | None = None,
) -> Callable[[Callable[..., Any]], Arch]:
    """Declare a function that builds a module as an arch: its options are the signature, its docstring is shown.

    Args:
        name: what a spec calls it; by default the function's name.
        sites: names for places of the built model, such as `{"head": "fc", "stem": "conv1"}`; a function of the model
            where they depend on it. `Arch` has more.
        sample: the shape of one input without the batch dimension, or a function that makes a forward's arguments.
            With it, sizes that can't fit are found before anything is built.
        examples: specs that show its options; by default its name alone.
        order: a function of the model that gives each parameter's layer, for `layer_decay` of `zoo.param_groups`.

    Returns:
        What puts a `zoo.Arch` in the function's place. It can still be called.

    Raises:
        PluginError: there are no brackets, no docstring, or the name or the signature can't be one.

    Example:
        >>> @zoo.arch(sites={"head": "fc"}, sample=(3, 32, 32))
        ... def tiny(num_classes: int = 10):
        ...     '''One line that says what it is.'''
        ...     return TinyNet(num_classes)
        >>> tiny.name, tiny.sites
        ('tiny', {'head': 'fc'})
    """
    if callable(name):
        raise PluginError(f"write @zoo.arch(), with brackets, above {getattr(name, '__name__', name)!r}")

    def declare(build: Callable[..., Any]) -> Arch:
        own = name or build.__name__
        _check(own, "arch", build)
        _check_star(f"arch '{own}'", list(inspect.signature(build).parameters.values()))
        return Arch(own, build, sites if callable(sites) else dict(sites or {}), sample, tuple(examples), order=order)

    return declare


def family(
    name: str | None = None,
    *,
    names: Callable[[], Iterable[str]],
    prefixes: Sequence[str] = (),
    bare: bool = False,
    rebuild: Callable[[str, str], Arch] | None = None,
) -> Callable[[Callable[[str, str | None], Arch | None]], Family]:
    """Declare a function `(name, source) -> Arch | None` as a family of archs, such as all of a library's.

    It gets a name, and in `source` what stands behind the colon of one of its prefixes, else None. It imports nothing
    heavy: `build` of the arch that it gives does.

    Args:
        name: what stands in front of its archs (`acme/net`); by default the function's name.
        names: lists the archs that there are, without importing anything heavy.
        prefixes: words that may stand in front of a colon, such as `hf-hub`.
        bare: whether its archs are also reached without the name in front.
        rebuild: `(prefix, recipe) -> Arch`, for archs that come out of a saved file. It opens nothing.

    Returns:
        What puts a `zoo.Family` in the function's place.

    Raises:
        PluginError: there is no docstring, or the name can't be one.

    Example:
        >>> @zoo.family(names=lambda: ["small", "large"])
        ... def acme(name, source):
        ...     '''The nets of acme.'''
        ...     return zoo.Arch(name, lambda: load_net(name)) if name in ("small", "large") else None
        >>> acme.resolve("small", None).name
        'small'
    """

    def declare(resolve: Callable[[str, str | None], Arch | None]) -> Family:
        own = name or resolve.__name__
        _check(own, "family", resolve)
        return Family(own, resolve, names, tuple(prefixes), bare, rebuild)

    return declare


@overload
def modifier(apply: Callable[..., Any], /) -> Modifier: ...
@overload
def modifier(
    *, name: str | None = None, examples: Sequence[str] = (), effects: Effects = ...
) -> Callable[[Callable[..., Any]], Modifier]: ...
def modifier(
    apply: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    examples: Sequence[str] = (),
    effects: Effects = _NONE_SAID,
) -> Modifier | Callable[[Callable[..., Any]], Modifier]:
    """Declare a function `(model, /, **typed options) -> model` as a modifier.

    Its options are the signature, and each has a type; what is shown of it is its docstring. It edits the model in
    place where it can and returns it. `zoo.select`, `zoo.replace` and their like help; editing by hand is well too.

    Args:
        apply: the function, where `@zoo.modifier` stands alone: every option has a default then.
        name: what a spec calls it; by default the function's name.
        examples: parts of a spec that show it, such as `["leaky(0.2)"]`; the listings and the kit use them.
        effects: what it promises of itself: `zoo.Effects(keys="keep")` where no key comes or goes. It is held to that.

    Returns:
        A `zoo.Modifier` in the function's place, or what makes one. It can still be called.

    Raises:
        PluginError: there is no docstring, no model in front, an option without a type or with a name that `zoo.create`
            takes, no example where an option has no default, or effects that are none.

    Example:
        >>> @zoo.modifier(examples=["leaky(0.2)"])
        ... def leaky(model, /, slope: float, at: zoo.Where = "ReLU"):
        ...     '''Swap every ReLU for a LeakyReLU of this slope.'''
        ...     for path in zoo.select(model, at):
        ...         model = zoo.replace(model, path, nn.LeakyReLU(slope))
        ...     return model
        >>> leaky.name, leaky.examples
        ('leaky', ('leaky(0.2)',))
    """

    def declare(apply: Callable[..., Any]) -> Modifier:
        own = name or apply.__name__
        _check(own, "modifier", apply)
        parameters = list(inspect.signature(apply).parameters.values())
        _check_options(own, parameters, examples)
        _check_effects(own, effects)
        return Modifier(own, apply, tuple(examples) or (own,), effects)

    return declare if apply is None else declare(apply)


def _check_options(name: str, parameters: Sequence[inspect.Parameter], examples: Sequence[str]) -> None:
    """Raise PluginError for a signature that no modifier can have: of the model and its options."""
    what = f"modifier '{name}'"
    first, options = parameters[:1], parameters[1:]
    _check_star(what, options)
    if not first or first[0].kind not in (first[0].POSITIONAL_ONLY, first[0].POSITIONAL_OR_KEYWORD):
        raise PluginError(f"{what}: the first parameter is the model, as in {name}(model, /, ...)")
    for option in options:
        if option.kind is option.POSITIONAL_ONLY:
            raise PluginError(f"{what}: '{option.name}' can't be positional only; put the / before it")
        if option.name in RESERVED_OPTIONS:
            raise PluginError(f"{what}: '{option.name}' is an option of zoo.create; call it otherwise")
        if option.annotation is option.empty:
            raise PluginError(f"{what}: option '{option.name}' needs a type, as in '{option.name}: int'")
    needed = [option.name for option in options if option.default is option.empty]
    if needed and not examples:
        raise PluginError(f"{what}: '{needed[0]}' has no default, so give examples=[\"{name}(...)\"]")


def _check_effects(name: str, effects: Any) -> None:
    """Raise PluginError for what no modifier can promise."""
    what = f"modifier '{name}': effects"
    if not isinstance(effects, Effects):
        raise PluginError(f"{what} are what zoo.Effects makes, not {effects!r}")
    if effects.keys not in KEYS:
        raise PluginError(f"{what}: keys={effects.keys!r}; expected one of {list_names(KEYS)}")
    for word in ("preserves", "repeats"):
        if not isinstance(getattr(effects, word), bool):
            raise PluginError(f"{what}: {word}={getattr(effects, word)!r}; expected True or False")
    for word in ("after", "before"):
        names = getattr(effects, word)
        if not isinstance(names, tuple) or not all(isinstance(one, str) and one for one in names):
            raise PluginError(f"{what}: {word}={names!r}; expected a tuple of names, such as ('heads',)")


def check_name(kind: str, name: Any) -> None:
    """Raise PluginError for what can't be the name of an arch, a modifier or a variant."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise PluginError(f"{kind} {name!r}: a name is letters, digits and _ . -, not starting with a digit")


def _check(name: str, kind: str, function: Callable[..., Any]) -> None:
    check_name(kind, name)
    if not inspect.getdoc(function):
        raise PluginError(f"{kind} '{name}' needs a docstring: it is what `zoo.describe('{name}')` shows")


def _check_star(what: str, options: Sequence[inspect.Parameter]) -> None:
    """`*channels` takes every positional value, so nothing in front of it could be given by name."""
    star = [o.name for o in options if o.kind is o.VAR_POSITIONAL]
    if star and options[0].kind is not inspect.Parameter.VAR_POSITIONAL:
        raise PluginError(f"{what}: *{star[0]} takes every positional value; put '{options[0].name}' behind it")
