"""What is installed, as values: archs, modifiers, variants, plugins, and the description of each."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from ..messages.errors import OptionError, UnknownNameError, ZooError
from ..plan.layers import format_signature
from ..plan.lookup import find_archs, find_base, find_modifier, list_declared
from ..plan.options import EMPTY, options_of, signature
from ..registry.declarations import Arch, Modifier
from ..registry.owners import Offers, Owned, unknown_name
from ..registry.plugins import Plugin
from ..registry.registry import Registry, default_registry
from ..spec.spec import Spec, parse
from ..spec.values import Call


@dataclass(frozen=True)
class Description:
    """An arch or a modifier: options with types and defaults, documentation, examples, owner and version.

    owner: what may stand in front of the name. version: of the distribution; for an arch of the families `timm` and
    `torchvision`, which are the zoo's own, that of the library.
    """

    name: str
    kind: str
    owner: str
    version: str
    options: tuple[dict[str, Any], ...]
    signature: str
    doc: str
    examples: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{self.kind} {self.signature}", f"from {self.owner} {self.version}", "", self.doc]
        if self.examples:
            lines += ["", *(f"  {example}" for example in self.examples)]
        return "\n".join(lines)


@dataclass(frozen=True)
class Variant:
    """One modifier as it would work on an arch. `what` is what it would change, or the reason why it doesn't apply."""

    name: str
    modifier: str
    spec: str
    applies: bool
    what: str


def list_archs(filter: str = "", *, registry: Registry | None = None) -> list[str]:
    """The names of all archs, sorted.

    Args:
        filter: A glob, such as `*resnet*`; empty for all.
        registry: What is installed; by default everything that was found.

    Returns:
        Names that `zoo.create` knows.

    Raises:
        OptionError: What is no text.

    Example:
        >>> zoo.list_archs("simple*")
        ['simple']
    """
    if not isinstance(filter, str):
        raise OptionError(f"list_archs takes a glob, such as '*resnet*', not {filter!r}")
    names = find_archs(registry or default_registry())
    return [name for name in names if not filter or fnmatchcase(name, filter)]


def list_modifiers(*, registry: Registry | None = None) -> list[str]:
    """The names of all modifiers, sorted.

    Args:
        registry: What is installed; by default everything that was found.

    Returns:
        Names that may stand behind a + in a spec.

    Example:
        >>> zoo.list_modifiers()[:3]
        ['act', 'append', 'bn']
    """
    return [name for name, _ in list_declared(Modifier, registry or default_registry())]


def list_plugins(*, registry: Registry | None = None) -> list[Plugin]:
    """The plugins that were found, those that failed too.

    Args:
        registry: What is installed; by default everything that was found.

    Returns:
        Each with its status (`ok`, `failed`, `disabled`), the reason, and what it contributes.
    """
    from ..registry.commands import list_commands

    registry = registry or default_registry()
    list_commands(registry)
    return list(registry.plugins)


def list_variants(arch: str | None = None, *, registry: Registry | None = None) -> list[Variant]:
    """The named variants of plugins; or, with an arch, what each modifier would do to it.

    Args:
        arch: The spec of an arch, such as `"resnet18"`.
        registry: What is installed; by default everything that was found.

    Returns:
        With an arch one entry for each example of each modifier, tried on the arch's blueprint.

    Raises:
        OptionError: What is no text.
        ZooError: What is wrong with the arch itself.

    Example:
        >>> [variant.what for variant in zoo.list_variants("simple") if variant.name == "dropout(0.2)"]
        ['1 × inserted before']
    """
    registry = registry or default_registry()
    if arch is not None and not isinstance(arch, str):
        raise OptionError(f"list_variants takes an arch, such as 'resnet18', not {arch!r}")
    if arch is None:
        return [Variant(name, "", str(v.value), True, "") for name, v in list_declared(Spec, registry)]
    from ..plan.resolve import plan_of

    plan_of(parse(arch), registry)  # what is wrong with the arch itself is an error, and no reason of a modifier's
    return [
        _try_out(arch, n, example, registry)
        for n, m in list_declared(Modifier, registry)
        for example in _examples(n, m.value)
    ]


def _examples(reached: str, declared: Any) -> tuple[str, ...]:
    """The examples of an arch or a modifier under the name that reaches it: a bare one may mean another's."""
    if reached == declared.name:
        return tuple(declared.examples)
    from ..spec.parser import read_mods  # here, since the parser takes 30 ms

    read: Callable[[str], tuple[Call, ...]] = (
        read_mods if isinstance(declared, Modifier) else lambda text: (parse(text).arch, *parse(text).parts)
    )
    return tuple(
        "+".join(str(replace(call, name=reached) if call.name == declared.name else call) for call in read(text))
        for text in declared.examples
    )


def _try_out(arch: str, name: str, example: str, registry: Registry) -> Variant:
    """What an example would do, found out on the arch's blueprint."""
    from ..factory.rehearsal import preview

    spec = f"{arch}+{example}"
    try:
        changes = preview(spec, registry=registry)
    except ZooError as error:
        return Variant(example, name, spec, False, str(error).split("\n")[0])
    return Variant(example, name, spec, True, count_kinds([str(c.what) for c in changes]))


def count_kinds(whats: Sequence[str]) -> str:
    """`17 × replaced, 1 × became`."""
    counts = {what: whats.count(what) for what in dict.fromkeys(whats)}
    return ", ".join(f"{n} × {what}" for what, n in counts.items())


def describe(name: str, *, registry: Registry | None = None) -> Description:
    """What is known of an arch, a modifier or a named variant; or of a plugin's layer, activation or norm.

    Args:
        name: As in a spec; with its owner in front where several have it.
        registry: What is installed; by default everything that was found.

    Returns:
        Options with types and defaults, documentation, examples, owner and version; printed, a page.

    Raises:
        UnknownNameError: Nobody has it; with the nearest names.
        OptionError: What is no text.

    Example:
        >>> zoo.describe("dropout").signature
        "dropout(p: float ≥ 0 ≤ 1 = 0.5, at: Where = 'head')"
    """
    registry = registry or default_registry()
    if not isinstance(name, str):
        raise OptionError(f"describe takes the name of an arch or a modifier, such as 'resnet18', not {name!r}")
    try:
        found: Owned[Any] = find_modifier(name, registry)
        return _describe("modifier", found, found.value.apply, 1)
    except UnknownNameError as unknown:
        if unknown.owners:
            raise
        for offers in map(registry.offers, ("layer", "activation", "norm")):
            if made := offers.find(name):
                return _describe_layer(offers, made)
        try:
            spec = parse(name)
            if spec.parts:
                raise unknown
            found = find_base(spec.arch, registry)
        except ZooError as error:
            if isinstance(error, UnknownNameError) and error.owners:
                raise
            known = [*find_archs(registry), *(n for n, _ in list_declared(Modifier, registry))]
            absent = registry.list_absent(name)
            raise unknown_name("arch or modifier", name, known, "see `zoo list archs`", absent) from unknown
    if not isinstance(found.value, Arch):
        doc = f"A named variant: {found.value}"
        return Description(found.name, "variant", found.owner, found.plugin.version, (), found.name, doc, ())
    return _describe("arch", found, found.value.build, 0)


def _describe(kind: str, found: Owned[Any], function: Callable[..., Any], skip: int) -> Description:
    options = tuple(
        {"name": o.name, "type": o.type} | ({} if o.default is EMPTY else {"default": o.default})
        for o in options_of(function, skip)
    )
    shown = signature(found.name, function, skip)
    owner, version = found.owner, found.plugin.version
    if owner == "zoo" and found.family:
        from ..files.manifest import version_of  # here, since listing names needs no pydantic, and manifests do

        owner, version = found.family, version_of(found.family) or version
    examples = _examples(found.name, found.value) if found.owner != "zoo" else found.value.examples
    return Description(found.name, kind, owner, version, options, shown, found.value.doc, examples)


def _describe_layer(offers: Offers, found: Owned[Any]) -> Description:
    """A layer or an activation of a plugin. Imports what makes it."""
    maker = offers[found.name]
    doc, version = inspect.getdoc(maker) or "", found.plugin.version
    return Description(found.name, offers.kind, found.owner, version, (), format_signature(found.name, maker), doc, ())
