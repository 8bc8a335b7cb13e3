"""A layer made to fit the place that it comes to: mode, device, dtype, and the users' hooks."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from ..messages.errors import NoEffectError, OptionError
from ..messages.text import printable
from .walk import child_slots, join, parent_path, set_tensor, tensors_of, way_to

HOOK_DICTS = (
    "_forward_pre_hooks",
    "_forward_hooks",
    "_backward_pre_hooks",
    "_backward_hooks",
)
_HOOK_FLAGS = ("_forward_pre_hooks_with_kwargs", "_forward_hooks_with_kwargs", "_forward_hooks_always_called")


def users(hook: Any) -> bool:
    """Whether a hook is one that a user put there, and not torch's own (weight_norm, spectral_norm) or `slow_path`."""
    return hook is not slow_path and not type(hook).__module__.startswith("torch.")


def slow_path(module: nn.Module, args: Any) -> None:
    """A hook that does nothing but be there."""


def check_layer(layer: Any) -> None:
    """Raise OptionError for what is no module."""
    if not isinstance(layer, nn.Module):
        made = isinstance(layer, type) and issubclass(layer, nn.Module)
        met = f"the class {layer.__name__}; write {layer.__name__}(...)" if made else repr(layer)
        raise OptionError(f"a layer is a module, such as nn.ReLU(), not {met}")


def at(model: nn.Module, path: str) -> nn.Module:
    """The module at a path; NoEffectError where there is none, with what there is."""
    if not isinstance(path, str):
        raise OptionError(f"a path is a text such as 'layer1.0', not {path!r}")
    if not isinstance(model, nn.Module):
        raise OptionError(f"expected a live model, not {model!r}")
    if way := way_to(model, path):
        return way[-1]
    parent, inside = model, ""
    for name in path.split("."):
        child = child_slots(parent).get(name)
        if child is None:
            break
        parent, inside = child, join(inside, name)
    some = ", ".join(list(child_slots(parent))[:8]) or "nothing"
    place = f"'{inside}'" if inside else f"this {type(model).__name__}"
    # Names of modules are anyone's: they come from files and from strangers' code.
    raise NoEffectError(printable(f"there is no module at '{path}'; in {place} there is: {some}"))


def walks(module: nn.Module) -> bool:
    """Whether a module's forward goes over its children, so that one more would run as one of them.

    Args:
        module: any module.

    Returns:
        True for every Sequential, ModuleList and ModuleDict, but for a class that says `zoo_walks = False`.
    """
    found: bool = getattr(module, "zoo_walks", isinstance(module, (nn.Sequential, nn.ModuleList, nn.ModuleDict)))
    return found


def match(model: nn.Module, path: str, layer: nn.Module) -> None:
    """Give a new layer the mode, device and dtype of the place that it comes to."""
    place = at(model, path)
    if not (child_slots(layer) or child_slots(place) or tensors_of(layer)) and layer is not place:
        if layer.training != place.training:  # as with activations, of which there are many
            layer.training = place.training
        return
    kept = {id(m) for m in place.modules()}
    for module in layer.modules():
        if id(module) not in kept:
            module.training = place.training
    if next(layer.parameters(), None) is None and next(layer.buffers(), None) is None:
        return
    like = _find_like(model, path)
    if like is None:
        return
    moved: dict[int, torch.Tensor] = {}  # a parameter that stands twice in the layer stays one
    for module in layer.modules():
        if id(module) in kept:
            continue
        for name, tensor in tensors_of(module).items():
            dtype = like.dtype if tensor.is_floating_point() else tensor.dtype
            if tensor.device == like.device and tensor.dtype == dtype:
                continue
            fresh = _move(tensor, like.device, dtype)
            if isinstance(tensor, nn.Parameter):
                fresh = moved.setdefault(id(tensor), fresh)
            set_tensor(module, name, fresh)


def _move(tensor: torch.Tensor, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    if is_lazy(tensor):  # has no values to move
        return type(tensor)(requires_grad=tensor.requires_grad, device=device, dtype=dtype)  # type: ignore[call-arg]
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(tensor.detach().to(device, dtype), requires_grad=tensor.requires_grad)
    return tensor.to(device, dtype)


def _find_like(model: nn.Module, path: str) -> torch.Tensor | None:
    """A tensor that shows device and dtype: of the place, else of the nearest parent that has one."""
    place = model.get_submodule(path)
    for tensor in [*place.parameters(), *place.buffers()]:
        if tensor.is_floating_point():
            return tensor
    return _find_like(model, parent_path(path)) if path else None


def find_fitting(old: nn.Module, new: nn.Module) -> list[str]:
    """The names of parameters and buffers that both have, in one shape; what has no shape yet fits nothing."""
    theirs, ours = old.state_dict(keep_vars=True), new.state_dict(keep_vars=True)
    common = [name for name in ours if name in theirs and not is_lazy(ours[name]) and not is_lazy(theirs[name])]
    return [name for name in common if ours[name].shape == theirs[name].shape]


def copy_weights(old: nn.Module, new: nn.Module) -> list[str]:
    """Copy every parameter and buffer of a layer into another one that has its name and shape.

    Args:
        old: where they come from; it stays as it is. Nothing is read of what is on meta.
        new: where they go, in its own device and dtype.

    Returns:
        The names of those that fitted, of none where nothing did.

    Example:
        >>> import zoo
        >>> from torch import nn
        >>> zoo.copy_weights(nn.Linear(3, 2), nn.Linear(4, 2))
        ['bias']
    """
    fitting = find_fitting(old, new)
    theirs, ours = old.state_dict(), new.state_dict()
    with torch.no_grad():
        for name in fitting:
            if not theirs[name].is_meta:
                ours[name].copy_(theirs[name])
    return fitting


def hand_over_hooks(old: nn.Module, new: nn.Module) -> None:
    """The user's hooks go to the replacement, in the same dicts, so that the handles he holds still remove them.

    torch's own hooks (weight_norm, spectral_norm) belong to the old weights and stay behind, in dicts of their own.
    """
    for name in HOOK_DICTS:
        ours, theirs = vars(old)[name], vars(new)[name]
        if not ours:
            continue
        torchs = {k: h for k, h in ours.items() if not users(h)}
        if len(torchs) == len(ours) or ours is theirs:
            continue
        for key in torchs:
            del ours[key]
        ours.update(theirs)
        vars(new)[name] = ours
        vars(old)[name] = type(ours)(torchs)
    for name in _HOOK_FLAGS:
        if flags := vars(old)[name]:
            vars(new)[name].update(flags)
    if old._is_full_backward_hook is not None:
        new._is_full_backward_hook = old._is_full_backward_hook


def leave_fast_path(model: nn.Module, path: str) -> None:
    """Inside a TransformerEncoderLayer: make it call its children in eval mode too.

    Its fast path computes with their weights and knows nothing of what they have become. Any hook switches it off.
    """
    for parent in (way_to(model, path) or [])[:-1]:
        if isinstance(parent, nn.TransformerEncoderLayer) and slow_path not in parent._forward_pre_hooks.values():
            parent.register_forward_pre_hook(slow_path)
