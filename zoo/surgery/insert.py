"""Layers in front of a module and behind it, which change no name: the module becomes one that calls them."""

from __future__ import annotations

from typing import Any

from torch import nn

from .changes import What
from .guards import refuse_cycle, refuse_mixin, refuse_uncalled
from .mixins import Mixin, add_mixin, parts_of
from .placement import at, check_layer, leave_fast_path, match
from .walk import child_slots, free_number, holders_of, join, move_to_front


class Insertion(Mixin):
    """Runs what was inserted at a module: the layers in its child of this name, one after the other."""

    what: What
    child: str


class Before(Insertion):
    """Runs `zoo_before` on the first input."""

    what = What.INSERTED_BEFORE
    child = "zoo_before"

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if args:
            return super().forward(self.zoo_before(args[0]), *args[1:], **kwargs)  # type: ignore[misc, attr-defined]
        name = self.zoo_input  # type: ignore[attr-defined]  # the first parameter, called by keyword
        if name in kwargs:
            kwargs = {**kwargs, name: self.zoo_before(kwargs[name])}  # type: ignore[attr-defined]
        return super().forward(**kwargs)  # type: ignore[misc]


class After(Insertion):
    """Runs `zoo_after` on the output."""

    what = What.INSERTED_AFTER
    child = "zoo_after"

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.zoo_after(super().forward(*args, **kwargs))  # type: ignore[misc, attr-defined]


def insert_before(model: nn.Module, path: str, layer: nn.Module) -> nn.Module:
    """Put a layer in front of the module at `path`. No key of the module changes; the layer's are `…zoo_before.N`.

    In front of a Sequential means in front of its first element, so that no index moves. Inserted twice, the later
    one comes first: it stands in front of the site as it then is.

    Args:
        model: the model, which is edited in place.
        path: where; `""` is the root.
        layer: what gets the first input of the module, and gives what the module gets instead. It takes on mode, device
            and dtype of its place.

    Returns:
        The model.

    Raises:
        NoEffectError: nothing stands at the path.
        NotApplicableError: the place would not run the layer: a ModuleList, a part of an attention layer, an instance
            with a forward of its own.
        OptionError: this is no layer, or one that holds the place that it is for.

    Example:
        >>> import torch
        >>> model = zoo.insert_before(zoo.create("simple"), "layers3.1", torch.nn.Dropout(0.2))
        >>> model.layers3[1].zoo_before
        Sequential(
          (0): Dropout(p=0.2, inplace=False)
        )
    """
    return insert(model, path, layer, Before, first=True)


def insert_after(model: nn.Module, path: str, layer: nn.Module) -> nn.Module:
    """Put a layer behind the module at `path`; the mirror image of `insert_before`.

    Args:
        model: the model, which is edited in place.
        path: where; `""` is the root. Behind a Sequential means behind its last element.
        layer: what gets the output of the module. Inserted twice, the later one comes last.

    Returns:
        The model.

    Raises:
        NoEffectError: nothing stands at the path.
        NotApplicableError: the place would not run the layer, as for `insert_before`.
        OptionError: this is no layer, or one that holds the place that it is for.
    """
    return insert(model, path, layer, After, first=False)


def insert(model: nn.Module, path: str, layer: nn.Module, mixin: type[Insertion], first: bool) -> nn.Module:
    """Put a layer among those that `Before` or `After` runs at a place, as the first or the last of them."""
    check_layer(layer)
    module, path = _innermost(model, at(model, path), path, first)
    refuse_uncalled(model, module, path)
    refuse_mixin(module, path, mixin)
    refuse_cycle(layer, module, path)
    leave_fast_path(model, path)
    match(model, path, layer)
    if mixin not in parts_of(type(module))[1]:
        add_mixin(module, mixin)
        module.add_module(mixin.child, nn.Sequential().train(module.training))
    sequence = getattr(module, mixin.child)
    sequence.add_module(number := free_number(sequence), layer)
    if first:
        move_to_front(sequence, number)
    return model


def _innermost(model: nn.Module, module: nn.Module, path: str, first: bool) -> tuple[nn.Module, str]:
    """The first or last element of a Sequential, which takes an insertion for it; any other module itself.

    A Sequential runs whatever is registered in it, so it can't hold a child of its own, and a new element would move
    the indices that other code uses.
    """
    while type(module) is nn.Sequential and (children := child_slots(module)):
        name = list(children)[0 if first else -1]
        element = children[name]
        if element is None or len(holders_of(model, element)) > 1:
            break  # where it stands in other places too, the insertion would run there as well
        module, path = element, join(path, name)
    return module, path
