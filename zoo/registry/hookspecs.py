"""The hooks that a plugin may implement, each with `@zoo.hookimpl`. This page is the whole contract.

Hooks return declarations (`zoo.arch`, `zoo.family`, `zoo.modifier`), and no hook imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import pluggy

from .declarations import Arch, Family, Modifier

if TYPE_CHECKING:
    import click
    from torch import nn

    from ..spec.spec import Spec

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


@hookspec
def zoo_layers() -> Mapping[str, Callable[..., nn.Module] | str]:  # type: ignore[empty-body]
    """Layers that a spec may call: `{"GeM": "acme_layers:GeM"}`, where a class or function is, or the thing itself."""


@hookspec
def zoo_activations() -> Mapping[str, Callable[..., nn.Module] | str]:  # type: ignore[empty-body]
    """Activations that `act` takes, said in the same way: `{"swoosh": "acme_layers:Swoosh"}`."""


@hookspec
def zoo_norms() -> Mapping[str, Callable[..., nn.Module] | str]:  # type: ignore[empty-body]
    """Norms, said in the same way and made with the number of features: `{"scalenorm": "acme_layers:ScaleNorm"}`."""


@hookspec
def zoo_classes() -> Mapping[str, str]:  # type: ignore[empty-body]
    """What a library's classes are, by where they stand: `{"acme_layers:Snake": "activation", "acme.*:*": "gate"}`."""


@hookspec
def zoo_commands() -> Iterable[click.Command]:  # type: ignore[empty-body]
    """Commands that come after `zoo` on the command line; asked only when one that isn't the zoo's own is wanted."""


@hookspec
def zoo_built(model: nn.Module, spec: Spec) -> None:
    """Called when `zoo.create` has finished a model that has weights (none on meta), which is to be left as it is."""
