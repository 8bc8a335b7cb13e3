"""An edit of a model that is its own code, such as timm's `reset_classifier`, made as the engine would make it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from ..surgery.edits import replace
from ..surgery.walk import below, places, split


def adopt(model: nn.Module, edit: Callable[[], Any]) -> nn.Module:
    """Let an edit of someone else's put modules into a model, then put them there as `replace` does.

    The users' hooks, what was inserted, mode, device and dtype are kept in this way, of which such code knows nothing.
    What it puts that is as before, and has no weights, is left out: then what was there stays.

    Args:
        model: The model.
        edit: Changes modules and attributes of the model. What it adds under new names, or takes out, stays so.

    Returns:
        The model.

    Example:
        >>> import zoo
        >>> model = zoo.create("test_resnet")
        >>> zoo.adopt(model, lambda: model.reset_classifier(5)).fc
        Linear(in_features=96, out_features=5, bias=True)
    """
    before = dict(places(model))
    edit()
    put = {path: new for path, new in places(model) if before.get(path, new) is not new}
    for path, new in put.items():
        old = before[path]
        if any(below(path, top) for top in put if top != path):
            continue
        parent, name = split(path)
        setattr(model.get_submodule(parent), name, old)
        if repr(old) != repr(new) or next(new.parameters(), None) is not None:
            model = replace(model, path, new)
    return model
