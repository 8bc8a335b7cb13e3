"""The family of everything that timm has, under timm's own names.

Names come from timm's source files, so that listing them imports nothing; tags are checked when a model is built.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Le

import zoo

from ._names import scan
from ._stages import find_paths, of_timm

if TYPE_CHECKING:
    from torch import nn

Rate = Annotated[float, Ge(0), Le(1)]
Count = Annotated[int, Ge(1)]

_REGISTERED = re.compile(r"^@register_model\b[^\n]*\n(?:@[^\n]*\n)*def (\w+)\(", re.MULTILINE)
_DEPRECATED = re.compile(r"^register_model_deprecations\(__name__, \{(.*?)^\}\)", re.MULTILINE | re.DOTALL)


@cache
def names() -> tuple[str, ...]:
    """Every architecture of the timm that is installed, without importing it."""
    return scan("timm", _REGISTERED.findall)


@cache
def old_names() -> tuple[str, ...]:
    """The deprecated names, which timm still takes, with a warning, and doesn't list."""
    return scan("timm", _old, "old")


def _old(text: str) -> Iterator[str]:
    for block in _DEPRECATED.findall(text):
        yield from re.findall(r"^\s*[\"'](\w+)[\"']:", block, re.MULTILINE)


# What a pretrained configuration says about where weights are; a recipe has its weights beside it.
_ELSEWHERE = {"url", "file", "state_dict", "hf_hub_id", "hf_hub_filename", "source", "custom_load"}
# What a spec may not say, a recipe may not either.
_RESERVED = {"pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir"}


def recipe(model: nn.Module) -> str:
    """The architecture, the options and the configuration that a name such as `hf-hub:…` stood for, as JSON."""
    cfg = {k: v for k, v in model.pretrained_cfg.items() if k not in _ELSEWHERE}  # type: ignore[operator, union-attr]
    options = {k: v for k, v in getattr(model, "_model_args", {}).items() if k not in _RESERVED}
    return json.dumps({"architecture": cfg.get("architecture"), "options": options, "cfg": cfg}, sort_keys=True)


def rebuild(prefix: str, text: str) -> zoo.Arch:
    """The arch that a recipe describes, out of what timm has: nothing is opened, whatever the recipe says."""
    try:
        given = json.loads(text)
        name, options, cfg = given["architecture"], dict(given["options"]), dict(given["cfg"])
    except (ValueError, TypeError, KeyError):
        raise zoo.CheckpointError("the recipe isn't one of timm's") from None
    if name not in names() or _RESERVED & options.keys() or _ELSEWHERE & cfg.keys():
        raise zoo.CheckpointError("the recipe isn't one of timm's")
    return _arch(prefix, name, options, cfg)


@zoo.family("timm", names=names, prefixes=("hf-hub", "local-dir"), bare=True, rebuild=rebuild)
def timm_family(name: str, source: str | None) -> zoo.Arch | None:
    """Every model of timm: `resnet50`, `resnet50.a1_in1k`, `hf-hub:timm/resnet18.a1_in1k`, `local-dir:"/data/m"`."""
    if source is None and not _known(name):
        return None
    return _arch(name, name if source is None else f"{name}:{source}", {}, None)


def _arch(name: str, full: str, given: dict[str, Any], cfg: dict[str, Any] | None) -> zoo.Arch:
    """The arch that timm calls `full`, with options and a configuration that it comes with."""

    def build(
        *,
        pretrained: bool = False,
        pretrained_cfg: Any = None,
        pretrained_cfg_overlay: Any = None,
        checkpoint_path: Any = None,
        cache_dir: Any = None,
        num_classes: Annotated[int, Ge(0)] | None = None,
        in_chans: Count | None = None,
        drop_rate: Rate | None = None,
        drop_path_rate: Rate | None = None,
        global_pool: str | None = None,
        features_only: bool | None = None,
        **options: Any,
    ) -> nn.Module:
        """A model of timm. All options are timm's own; those not given are left to the architecture."""
        import timm

        if ":" not in full:
            _check_tag(full)
        own: dict[str, Any] = {"num_classes": num_classes, "in_chans": in_chans, "drop_rate": drop_rate}
        own |= {"drop_path_rate": drop_path_rate, "global_pool": global_pool, "features_only": features_only, **options}
        asked = given | {key: value for key, value in own.items() if value is not None}
        model: nn.Module = timm.create_model(
            full,
            pretrained=pretrained,
            pretrained_cfg=pretrained_cfg or cfg,
            pretrained_cfg_overlay=pretrained_cfg_overlay,
            checkpoint_path=checkpoint_path,
            cache_dir=cache_dir,
            **asked,
        )
        if cfg is not None or ":" in full:
            _remember(model, full, asked, cache_dir)
        return model

    return zoo.Arch(name, build, sites, sample, width=width, order=order, recipe=recipe)


def _remember(model: nn.Module, full: str, asked: dict[str, Any], cache_dir: Any) -> None:
    """Leave on a model what it was built with, as timm does from 1.0.31 on: its recipe is made of that."""
    if hasattr(model, "_model_args"):
        return
    from timm.models import _hub, load_model_config_from_hf

    prefix, colon, place = full.partition(":")
    said: dict[str, Any] = {}
    if colon:
        here = prefix == "local-dir"
        said = (_hub.load_model_config_from_path(place) if here else load_model_config_from_hf(place, cache_dir))[2]
    model._model_args = {**(said or {}), **asked}  # type: ignore[assignment]


@cache
def _known(name: str) -> bool:
    return name.partition(".")[0] in names() or name in old_names()


def _check_tag(name: str) -> None:
    import timm

    base, _, tag = name.partition(".")
    known = [full.partition(".")[2] for full in timm.models.get_arch_pretrained_cfgs(base)]
    if tag and tag not in known:
        near = difflib.get_close_matches(tag, known, n=3, cutoff=0.3) or known[:3]
        hint = f"; did you mean {' or '.join(repr(f'{base}.{t}') for t in near if t)}?" if any(near) else ""
        raise zoo.UnknownNameError(f"timm's {base} has no pretrained tag '{tag}'{hint}")


def sites(model: nn.Module) -> dict[str, Any]:
    """`stem` and `head` from timm's own description, `head_drop`, its dropout in front of the head, and `stages`."""
    cfg = getattr(model, "pretrained_cfg", None) or {}
    found = {"stem": find_paths(model, cfg.get("first_conv")), "head": find_paths(model, cfg.get("classifier"))}
    found["head"] += _forgotten(model, found["head"])
    if found["head"]:
        found["head_drop"] = list(_head_dropouts(model))
    return {name: paths for name, paths in {**found, "stages": of_timm(model)}.items() if paths}


def _forgotten(model: nn.Module, known: list[str]) -> list[str]:
    """Of a model with several classifiers, those that its description leaves out."""
    several = model.get_classifier() if hasattr(model, "get_classifier") else None  # type: ignore[operator]
    if not isinstance(several, tuple):
        return []
    paths = {id(module): path for path, module in model.named_modules()}
    found = [paths[id(module)] for module in several if id(module) in paths]
    return [path for path in found if not any(one == path or one.startswith(f"{path}.") for one in known)]


def width(model: nn.Module) -> int | None:
    """The pooled features in front of the classifier; `num_features` is another number in 119 models."""
    found = getattr(model, "head_hidden_size", None)
    return found if isinstance(found, int) else None


def order(model: nn.Module) -> dict[str, int]:
    """Each parameter's layer by timm's own group matcher, the finest that it has; empty where it has none."""
    from timm.models import group_parameters

    if not hasattr(model, "group_matcher"):
        return {}  # built with features_only
    groups = group_parameters(model, model.group_matcher(coarse=False))  # type: ignore[operator]
    return {name: layer for layer, names in enumerate(groups.values()) for name in names}


def _head_dropouts(model: nn.Module) -> Iterator[str]:
    """Where timm's `drop_rate` ends up: in a Dropout of the head, or in a number that `F.dropout` gets."""
    from torch import nn

    named = [p for p, m in model.named_modules() if isinstance(m, nn.Dropout) and _HEAD_DROP.fullmatch(p)]
    if named:
        yield from named
    elif isinstance(getattr(model, "drop_rate", None), float | int):
        yield ":drop_rate"


_HEAD_DROP = re.compile(r"head_drop|(head|head_dist|pre_logits)\.(drop|dropout|head_dropout)|head\.classifier\.dropout")


def sample(model: nn.Module) -> tuple[int, ...]:
    """One image as the model was trained on; other channels or sizes where it was built for others."""
    chans, *size = getattr(model, "pretrained_cfg", {}).get("input_size", (3, 224, 224))
    for path in find_paths(model, (getattr(model, "pretrained_cfg", None) or {}).get("first_conv"))[:1]:
        weight = getattr(model.get_submodule(path), "weight", None)
        chans = weight.shape[1] if weight is not None and weight.ndim == 4 else getattr(model, "in_chans", chans)
    # TResNet folds blocks of 4 × 4 pixels into channels in front of its first convolution.
    if any(type(module).__name__.startswith("SpaceToDepth") for module in model.modules()):
        chans //= 16
    own = getattr(getattr(model, "patch_embed", None), "img_size", None)
    return (chans, *(own if isinstance(own, tuple) else size))


@zoo.hookimpl
def zoo_families() -> list[zoo.Family]:
    return [timm_family]
