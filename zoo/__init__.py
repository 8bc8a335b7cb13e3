"""The zoo: one line of text is a model.

>>> model = zoo.create("resnet18+act(silu)+dropout(0.2)+heads(species=200, age=1)")

Importing it imports neither torch nor timm: each public name is fetched from its module on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import testing as testing
    from .accounts import changes as changes
    from .blueprint import functions_of as functions_of
    from .braces import expand as expand
    from .carrying import Report as Report
    from .carrying import carry as carry
    from .checkpoint import load as load
    from .checkpoint import read_manifest as read_manifest
    from .checkpoint import save as save
    from .declare import Arch as Arch
    from .declare import Family as Family
    from .declare import Modifier as Modifier
    from .declare import Where as Where
    from .declare import arch as arch
    from .declare import family as family
    from .declare import modifier as modifier
    from .differences import diff as diff
    from .differences import verify as verify
    from .edits import add as add
    from .edits import become as become
    from .edits import insert_after as insert_after
    from .edits import insert_before as insert_before
    from .edits import remove as remove
    from .edits import replace as replace
    from .edits import unbecome as unbecome
    from .errors import CheckpointError as CheckpointError
    from .errors import NoEffectError as NoEffectError
    from .errors import NotApplicableError as NotApplicableError
    from .errors import OptionError as OptionError
    from .errors import PluginError as PluginError
    from .errors import PluginWarning as PluginWarning
    from .errors import ShapeError as ShapeError
    from .errors import SpecError as SpecError
    from .errors import UnknownNameError as UnknownNameError
    from .errors import ZooError as ZooError
    from .factory import create as create
    from .factory import modify as modify
    from .factory import spec_of as spec_of
    from .fitting import walks as walks
    from .grouping import param_groups as param_groups
    from .hookspecs import hookimpl as hookimpl
    from .info import Change as Change
    from .info import Changes as Changes
    from .info import sites_of as sites_of
    from .info import width_of as width_of
    from .layers import Layer as Layer
    from .layers import Template as Template
    from .listing import describe as describe
    from .listing import list_archs as list_archs
    from .listing import list_modifiers as list_modifiers
    from .listing import list_plugins as list_plugins
    from .listing import list_variants as list_variants
    from .manifest import Manifest as Manifest
    from .mixins import Mixin as Mixin
    from .registry import Registry as Registry
    from .registry import activations as activations
    from .spec import Spec as Spec
    from .spec import parse as parse
    from .summaries import summary as summary
    from .tables import Summary as Summary
    from .walker import select as select

_HOMES = {
    "accounts": "changes",
    "manifest": "Manifest",
    "mixins": "Mixin",
    "declare": "Arch Family Modifier Where arch family modifier",
    "carrying": "Report carry",
    "checkpoint": "load read_manifest save",
    "differences": "diff verify",
    "edits": "add become insert_after insert_before remove replace unbecome",
    "errors": "CheckpointError NoEffectError NotApplicableError OptionError PluginError PluginWarning ShapeError "
    "SpecError UnknownNameError ZooError",
    "blueprint": "functions_of",
    "braces": "expand",
    "factory": "create modify spec_of",
    "fitting": "walks",
    "grouping": "param_groups",
    "hookspecs": "hookimpl",
    "info": "Change Changes sites_of width_of",
    "layers": "Layer Template",
    "listing": "describe list_archs list_modifiers list_plugins list_variants",
    "registry": "Registry activations",
    "spec": "Spec parse",
    "summaries": "summary",
    "tables": "Summary",
    "walker": "select",
}
_HOME = {name: module for module, names in _HOMES.items() for name in names.split()}
_MODULES = {"testing"}  # fetched on first use too

__all__ = sorted([*_HOME, *_MODULES])  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"zoo.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'zoo' has no attribute '{name}'")
    value = getattr(import_module(f"zoo.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
