"""What plugins return from their hooks: declarations of archs, families and modifiers, as values.

Declaring is cheap: no torch, no parser, no validation library is imported here.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, overload

from ..messages.errors import PluginError

if TYPE_CHECKING:
    from torch import nn

Where = Annotated[str | Sequence[str], "where"]
"""The type of a modifier's `at=`: a site, a path glob, a class name, or several of them; `!` in front excludes."""

Sites = Mapping[str, str | Sequence[str]]
Sample = Sequence[int] | Callable[[Any], tuple[Any, ...]]
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")

# Where weights come from is `create`'s business: a spec can't say it, since a spec reaches no file and no network.
RESERVED = ("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir")


@dataclass(frozen=True)
class Arch:
    """A base architecture.

    name: what a spec calls it.
    build: `(**options) -> nn.Module`; the options are the signature.
    sites: names for places of the built model, such as `{"head": "fc"}`; a function of the model where it depends.
        The site `NAME_drop` is the arch's own dropout in front of the site NAME: a Dropout's path, or `path:attribute`
        for a rate that the forward reads.
    sample: shape of one input without the batch dimension, or a function `model -> arguments` of a forward.
    width: a function of the model that gives the number of pooled features in front of the head.
    order: a function of the model that gives each parameter's layer, counted from the input, for learning rates that
        fall from layer to layer; nothing where it can't say.
    recipe: a function of the built model that gives a text, which the family's `rebuild` turns into the same arch
        without opening a file or the network. For archs whose name points outside: `hf-hub:…`, `darknet:"net.cfg"`.
    """

    name: str
    build: Callable[..., nn.Module]
    sites: Sites | Callable[[Any], Sites] = field(default_factory=dict)
    sample: Sample | Callable[[Any], Sample] | None = None
    examples: tuple[str, ...] = ()
    width: Callable[[Any], int | None] | None = None
    order: Callable[[Any], Mapping[str, int]] | None = None
    recipe: Callable[[Any], str] | None = None

    @property
    def doc(self) -> str:
        return inspect.getdoc(self.build) or ""

    def __call__(self, *args: Any, **options: Any) -> nn.Module:
        return self.build(*args, **options)


@dataclass(frozen=True)
class Family:
    """An open-ended provider of archs.

    name: its archs are `name/arch`; where `bare` is true, `arch` alone will do.
    names: lists what there is, without importing anything heavy.
    resolve: `(name, source) -> Arch`, or None for a name that it doesn't know; imports nothing heavy either.
        `source` is the text behind the colon for one of `prefixes` (`hf-hub:timm/resnet18`), and None otherwise.
    rebuild: `(prefix, recipe) -> Arch`, the inverse of `Arch.recipe`, for archs of a prefix that come out of a saved
        file. It opens nothing.
    """

    name: str
    resolve: Callable[[str, str | None], Arch | None]
    names: Callable[[], Iterable[str]]
    prefixes: tuple[str, ...] = ()
    bare: bool = False
    rebuild: Callable[[str, str], Arch] | None = None

    @property
    def doc(self) -> str:
        return inspect.getdoc(self.resolve) or ""


@dataclass(frozen=True)
class Modifier:
    """An edit of a built model: `apply(model, /, **options) -> model`. Options are the signature."""

    name: str
    apply: Callable[..., Any]
    examples: tuple[str, ...]

    @property
    def doc(self) -> str:
        return inspect.getdoc(self.apply) or ""

    def __call__(self, model: Any, /, *args: Any, **options: Any) -> Any:
        return self.apply(model, *args, **options)


def arch(
    name: str | None = None,
    *,
    sites: Sites | Callable[[Any], Sites] | None = None,
    sample: Sample | None = None,
    examples: Sequence[str] = (),
    order: Callable[[Any], Mapping[str, int]] | None = None,
) -> Callable[[Callable[..., Any]], Arch]:
    """Declare a function that builds a module as an arch.

    @zoo.arch(sites={"head": "fc"}, sample=(3, 32, 32))
    def tiny(num_classes: int = 10):
        '''One line that says what it is.'''
    """
    if callable(name):
        raise PluginError(f"write @zoo.arch(), with brackets, above {getattr(name, '__name__', name)!r}")

    def declare(build: Callable[..., Any]) -> Arch:
        called = name or build.__name__
        _check(called, "arch", build)
        _check_star(f"arch '{called}'", list(inspect.signature(build).parameters.values()))
        named = dict(sites or {}) if not callable(sites) else sites
        return Arch(called, build, named, sample, tuple(examples), order=order)

    return declare


def family(
    name: str | None = None,
    *,
    names: Callable[[], Iterable[str]],
    prefixes: Sequence[str] = (),
    bare: bool = False,
    rebuild: Callable[[str, str], Arch] | None = None,
) -> Callable[[Callable[[str, str | None], Arch | None]], Family]:
    """Declare a function `(name, source) -> Arch | None` as a family of archs."""

    def declare(resolve: Callable[[str, str | None], Arch | None]) -> Family:
        called = name or resolve.__name__
        _check(called, "family", resolve)
        return Family(called, resolve, names, tuple(prefixes), bare, rebuild)

    return declare


@overload
def modifier(apply: Callable[..., Any], /) -> Modifier: ...
@overload
def modifier(*, name: str | None = None, examples: Sequence[str] = ()) -> Callable[[Callable[..., Any]], Modifier]: ...
def modifier(
    apply: Callable[..., Any] | None = None, /, *, name: str | None = None, examples: Sequence[str] = ()
) -> Modifier | Callable[[Callable[..., Any]], Modifier]:
    """Declare a function `(model, /, **typed options) -> model` as a modifier.

    Options are its signature and need annotations, documentation is its docstring. `@zoo.modifier` alone will do where
    every option has a default; otherwise give `examples=["leaky(0.2)"]`, which the listings use.
    """

    def declare(apply: Callable[..., Any]) -> Modifier:
        called = name or apply.__name__
        _check(called, "modifier", apply)
        parameters = list(inspect.signature(apply).parameters.values())
        first, options = parameters[:1], parameters[1:]
        _check_star(f"modifier '{called}'", options)
        if not first or first[0].kind not in (
            inspect.Parameter.POSITIONAL_ONLY,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
        ):
            raise PluginError(f"modifier '{called}': the first parameter is the model, as in {called}(model, /, ...)")
        for option in options:
            if option.kind is option.POSITIONAL_ONLY:
                raise PluginError(f"modifier '{called}': '{option.name}' can't be positional only; put the / before it")
            if option.name in RESERVED:
                raise PluginError(f"modifier '{called}': '{option.name}' is an option of zoo.create; call it otherwise")
            if option.annotation is option.empty:
                raise PluginError(
                    f"modifier '{called}': option '{option.name}' needs a type, as in '{option.name}: int'"
                )
        needed = [o.name for o in options if o.default is o.empty]
        if needed and not examples:
            raise PluginError(
                f"modifier '{called}': '{needed[0]}' has no default, so give examples=[\"{called}(...)\"]"
            )
        return Modifier(called, apply, tuple(examples) or (called,))

    return declare if apply is None else declare(apply)


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
