"""`become` and its inverse: one module of a model gets a new class and stays the object that it is."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..messages.errors import NotApplicableError, OptionError
from ..messages.text import format_place
from .guards import refuse_cycle, refuse_mixin, refuse_uncalled
from .mixins import add_mixin, drop_mixin, parts_of
from .placement import at, leave_fast_path, match, walks


def become(model: nn.Module, path: str, mixin: type, **state: Any) -> nn.Module:
    """Give the module at `path` a new class: the mixin over its own class. It stays the same object.

    Args:
        model: the model, which is edited in place.
        path: where; `""` is the root.
        mixin: a class with the methods to override, a subclass of `zoo.Mixin` or not. The new class can be pickled and
            copied as long as the mixin can be imported.
        state: attributes to set on the module. A layer among them takes on mode, device and dtype of the place.

    Returns:
        The model.

    Raises:
        NoEffectError: nothing stands at the path.
        NotApplicableError: the class of the module can't be changed, or isn't what runs.
        OptionError: the mixin is a module, or no class; or a layer of the state holds the place.

    Example:
        >>> import torch
        >>> class Doubled(zoo.Mixin):
        ...     def forward(self, *args, **kwargs):
        ...         return 2 * super().forward(*args, **kwargs)
        >>> zoo.become(torch.nn.ReLU(), "", Doubled)(torch.tensor([-1.0, 3.0]))
        tensor([0., 6.])
    """
    if not isinstance(mixin, type) or issubclass(mixin, nn.Module):
        raise OptionError(f"become takes a class that isn't an nn.Module itself, not {mixin!r}")
    module = at(model, path)
    for value in state.values():
        if isinstance(value, nn.Module):
            refuse_cycle(value, module, path)
    if "forward" in vars(mixin):
        refuse_uncalled(model, nn.Identity() if walks(module) else module, path)
        leave_fast_path(model, path)
    if mixin not in parts_of(type(module))[1]:
        refuse_mixin(module, path, mixin)
    add_mixin(module, mixin)
    for name, value in state.items():
        if isinstance(value, nn.Module):
            match(model, path, value)
        setattr(module, name, value)
    return model


def unbecome(model: nn.Module, path: str, mixin: type, *state: str) -> nn.Module:
    """Take a mixin off the module at `path` again; the inverse of `become`.

    Args:
        model: the model, which is edited in place.
        path: where; `""` is the root.
        mixin: what it became.
        state: names of attributes that go with it.

    Returns:
        The model.

    Raises:
        NoEffectError: nothing stands at the path.
        NotApplicableError: the module never became this.
    """
    module = at(model, path)
    if mixin not in parts_of(type(module))[1]:
        raise NotApplicableError(f"{format_place(path, type(module).__name__)} never became {mixin.__name__}")
    drop_mixin(module, mixin)
    for name in state:
        delattr(module, name)
    return model
