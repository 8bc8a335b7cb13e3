"""The hooks that a plugin may implement, each with `@zoo.hookimpl`. This page is the whole contract.

Hooks return declarations (`zoo.arch`, `zoo.family`, `zoo.modifier`), and no hook imports torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pluggy

from .declare import Arch, Family, Modifier

hookspec = pluggy.HookspecMarker("zoo")
hookimpl = pluggy.HookimplMarker("zoo")


@hookspec
def zoo_archs() -> Iterable[Arch]:  # type: ignore[empty-body]
    """The base architectures that the plugin adds."""


@hookspec
def zoo_families() -> Iterable[Family]:  # type: ignore[empty-body]
    """The open-ended providers of archs that the plugin adds."""


@hookspec
def zoo_modifiers() -> Iterable[Modifier]:  # type: ignore[empty-body]
    """The modifiers that the plugin adds."""


@hookspec
def zoo_variants() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Named variants: `{"tiny-resnet": "resnet18(num_classes=10)+dropout(0.2)"}`."""
