"""What building with one registry shares, kept with that registry."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import RLock
from typing import Any

from ..registry.registry import Registry
from ..trace.blueprint import Blueprint


@dataclass(frozen=True, eq=False)
class Workshop:
    """One model is built at a time, since building draws from torch's one global generator.

    blueprints: those of archs that were drawn, by canonical spec.
    """

    registry: Registry
    lock: Any = field(default_factory=RLock)
    blueprints: dict[str, Blueprint] = field(default_factory=dict)
