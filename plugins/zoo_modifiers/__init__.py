"""The modifiers that come with the zoo. Each is a file of its own and uses what `import zoo` gives anyone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import zoo

from . import _timm
from .act import act
from .bn import bn
from .dropout import dropout
from .ends import in_chans, num_classes
from .freeze import freeze, unfreeze
from .heads import drop_heads, heads
from .reinit import reinit
from .structure import append, prepend, remove, replace, set_
from .switch import switch, switch_act

# Pickles of earlier versions name modules by where they stood then, such as `zoo_modifiers._heads`.
__path__ += [f"{path}/_earlier" for path in __path__]


@zoo.hookimpl
def zoo_modifiers() -> list[zoo.Modifier]:
    ends = [heads, drop_heads, num_classes, in_chans]
    layers = [append, prepend, remove, replace, set_, switch]
    return [act, bn, dropout, *ends, freeze, reinit, *layers, switch_act, unfreeze]


@zoo.hookimpl
def zoo_layers() -> Mapping[str, Callable[..., Any] | str]:
    return {"Head": "zoo:Head"}


@zoo.hookimpl
def zoo_activations() -> Mapping[str, Callable[..., Any] | str]:
    return _timm.activations()


@zoo.hookimpl
def zoo_norms() -> Mapping[str, Callable[..., Any] | str]:
    return _timm.norms()


@zoo.hookimpl
def zoo_classes() -> Mapping[str, str]:
    return _timm.CLASSES
