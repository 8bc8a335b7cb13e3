"""Telling plugins of a model that was built."""

from __future__ import annotations

import warnings
from contextvars import ContextVar
from typing import TYPE_CHECKING

from ..messages.errors import PluginWarning
from ..registry.entry_points import told
from ..trace.blueprint import device_of

if TYPE_CHECKING:
    from torch import nn

    from ..registry.registry import Registry
    from ..spec.spec import Spec

_telling: ContextVar[bool] = ContextVar("zoo_telling", default=False)


def tell(registry: Registry, model: nn.Module, spec: Spec) -> None:
    """Call each plugin's `zoo_built` with a finished model and its canonical spec. What they return is nothing.

    Not for a model on meta: the zoo builds those for a look of its own. Not for one that is built by a plugin that is
    being told. A plugin that raises is a PluginWarning and takes no build down.
    """
    if _telling.get() or (next(model.parameters(), None) is not None and device_of(model).type == "meta"):
        return
    token = _telling.set(True)
    try:
        for plugin, hook in registry.asked("zoo_built"):
            given = {"model": model, "spec": spec}
            try:
                hook.function(*(given[name] for name in hook.argnames))
            except (Exception, SystemExit) as error:
                what = f"plugin '{plugin.name}' of {plugin.distribution}: zoo_built raised {told(error)}"
                warnings.warn(what, PluginWarning, stacklevel=3)
    finally:
        _telling.reset(token)
