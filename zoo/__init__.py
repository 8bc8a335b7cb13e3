"""The zoo: one line of text is a model.

>>> model = zoo.create("resnet18+act(silu)+dropout(0.2)+heads(species=200, age=1)")

Importing it imports neither torch nor timm: each public name is fetched from its module on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import testing as testing
    from .checkpoint.load import load as load
    from .checkpoint.load import read_manifest as read_manifest
    from .checkpoint.save import save as save
    from .factory.factory import create as create
    from .factory.factory import modify as modify
    from .factory.factory import spec_of as spec_of
    from .files.manifest import Manifest as Manifest
    from .files.match import Report as Report
    from .files.weights import carry as carry
    from .messages.errors import CheckpointError as CheckpointError
    from .messages.errors import FetchError as FetchError
    from .messages.errors import NoEffectError as NoEffectError
    from .messages.errors import NotApplicableError as NotApplicableError
    from .messages.errors import OptionError as OptionError
    from .messages.errors import PluginError as PluginError
    from .messages.errors import PluginWarning as PluginWarning
    from .messages.errors import ShapeError as ShapeError
    from .messages.errors import SpecError as SpecError
    from .messages.errors import UnknownNameError as UnknownNameError
    from .messages.errors import ZooError as ZooError
    from .messages.text import format_place as format_place
    from .messages.text import suggest as suggest
    from .plan.kinds import Kind as Kind
    from .plan.kinds import activations as activations
    from .plan.kinds import norms as norms
    from .plan.layers import Layer as Layer
    from .plan.layers import Template as Template
    from .primitives.activations import activation_maker as activation_maker
    from .primitives.activations import find_activations as find_activations
    from .primitives.adapt import adapt_inputs as adapt_inputs
    from .primitives.adapt import restate as restate
    from .primitives.adopt import adopt as adopt
    from .primitives.blocks import blocks_of as blocks_of
    from .primitives.channels import Channels as Channels
    from .primitives.channels import channels_at as channels_at
    from .primitives.channels import is_called as is_called
    from .primitives.choice import Choice as Choice
    from .primitives.choice import Switch as Switch
    from .primitives.choice import call_with as call_with
    from .primitives.choice import choose as choose
    from .primitives.classifier import classifiers_of as classifiers_of
    from .primitives.classifier import make_classifier as make_classifier
    from .primitives.heads import Head as Head
    from .primitives.heads import Heads as Heads
    from .primitives.heads import call_heads as call_heads
    from .primitives.heads import heads_of as heads_of
    from .primitives.heads import place_heads as place_heads
    from .primitives.initialise import bind_scheme as bind_scheme
    from .primitives.initialise import initialise as initialise
    from .primitives.resize import features_of as features_of
    from .primitives.resize import make_like as make_like
    from .primitives.resize import tie_again as tie_again
    from .registry.declarations import Arch as Arch
    from .registry.declarations import Effects as Effects
    from .registry.declarations import Family as Family
    from .registry.declarations import Modifier as Modifier
    from .registry.declarations import Where as Where
    from .registry.declare import arch as arch
    from .registry.declare import family as family
    from .registry.declare import modifier as modifier
    from .registry.hookspecs import hookimpl as hookimpl
    from .registry.registry import Registry as Registry
    from .report.catalog import describe as describe
    from .report.catalog import list_archs as list_archs
    from .report.catalog import list_modifiers as list_modifiers
    from .report.catalog import list_plugins as list_plugins
    from .report.catalog import list_variants as list_variants
    from .report.changes import changes as changes
    from .report.diff import diff as diff
    from .report.diff import verify as verify
    from .report.param_groups import param_groups as param_groups
    from .report.summary import summary as summary
    from .report.table import Summary as Summary
    from .spec.braces import expand as expand
    from .spec.spec import Spec as Spec
    from .spec.spec import parse as parse
    from .surgery.become import become as become
    from .surgery.become import unbecome as unbecome
    from .surgery.changes import Change as Change
    from .surgery.changes import Changes as Changes
    from .surgery.edits import add as add
    from .surgery.edits import fill as fill
    from .surgery.edits import remove as remove
    from .surgery.edits import replace as replace
    from .surgery.edits import replace_each as replace_each
    from .surgery.guards import check_names as check_names
    from .surgery.insert import insert_after as insert_after
    from .surgery.insert import insert_before as insert_before
    from .surgery.mixins import Mixin as Mixin
    from .surgery.placement import copy_weights as copy_weights
    from .surgery.placement import walks as walks
    from .surgery.provenance import sites_of as sites_of
    from .surgery.provenance import width_of as width_of
    from .surgery.select import select as select
    from .surgery.slots import Slot as Slot
    from .surgery.slots import slots_at as slots_at
    from .trace.trace import functions_of as functions_of

# Pickles of earlier versions name modules by where they stood then, such as `zoo.info`.
__path__ += [f"{path}/checkpoint/_earlier" for path in __path__]

_HOMES = {
    "report.changes": "changes",
    "files.manifest": "Manifest",
    "surgery.mixins": "Mixin",
    "registry.declarations": "Arch Effects Family Modifier Where",
    "registry.declare": "arch family modifier",
    "files.match": "Report",
    "files.weights": "carry",
    "checkpoint.load": "load read_manifest",
    "checkpoint.save": "save",
    "report.diff": "diff verify",
    "primitives.adapt": "adapt_inputs restate",
    "primitives.adopt": "adopt",
    "primitives.classifier": "classifiers_of make_classifier",
    "primitives.activations": "activation_maker find_activations",
    "primitives.choice": "Choice Switch call_with choose",
    "primitives.heads": "Head Heads call_heads heads_of place_heads",
    "surgery.guards": "check_names",
    "surgery.become": "become unbecome",
    "surgery.edits": "add fill remove replace replace_each",
    "surgery.insert": "insert_after insert_before",
    "messages.errors": "CheckpointError FetchError NoEffectError NotApplicableError OptionError PluginError "
    "PluginWarning ShapeError SpecError UnknownNameError ZooError",
    "messages.text": "format_place suggest",
    "primitives.blocks": "blocks_of",
    "primitives.channels": "Channels channels_at is_called",
    "surgery.slots": "Slot slots_at",
    "trace.trace": "functions_of",
    "spec.braces": "expand",
    "factory.factory": "create modify spec_of",
    "surgery.placement": "copy_weights walks",
    "report.param_groups": "param_groups",
    "registry.hookspecs": "hookimpl",
    "surgery.changes": "Change Changes",
    "surgery.provenance": "sites_of width_of",
    "plan.layers": "Layer Template",
    "report.catalog": "describe list_archs list_modifiers list_plugins list_variants",
    "plan.kinds": "Kind activations norms",
    "registry.registry": "Registry",
    "spec.spec": "Spec parse",
    "report.summary": "summary",
    "report.table": "Summary",
    "primitives.initialise": "bind_scheme initialise",
    "primitives.resize": "features_of make_like tie_again",
    "surgery.select": "select",
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
