"""Weights from one model into another, by name, with a report of what fitted and what didn't.

Everything is compared before a tensor is touched, and nothing is passed over in silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .errors import CheckpointError, OptionError

SHOWN = 5


@dataclass(frozen=True)
class Report:
    """Names of weights. matched: carried over. missing: in the model alone. unexpected: in the source alone.

    reshaped: in both, but of another shape or kind, as (name, wanted, found).
    """

    matched: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    reshaped: tuple[tuple[str, str, str], ...] = ()

    @property
    def exact(self) -> bool:
        """Whether every weight found its place."""
        return not (self.missing or self.unexpected or self.reshaped)

    def __str__(self) -> str:
        lines = [f"{len(self.matched)} weights matched"]
        lines += _listed("missing from the source", self.missing)
        lines += _listed("unexpected in the source", self.unexpected)
        lines += _listed("of another shape", [f"{n} (wants {a}, found {b})" for n, a, b in self.reshaped])
        return "\n  ".join(lines)


def _listed(what: str, names: Any) -> list[str]:
    if not names:
        return []
    more = f", … and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return [f"{len(names)} {what}: {', '.join(names[:SHOWN])}{more}"]


def carry(model: nn.Module, source: nn.Module | Mapping[str, Any], *, strict: bool = True) -> Report:
    """Copy weights into a model from another model or a state dict, by name.

    strict: raise CheckpointError, with the report, unless every weight finds its place; the model is untouched then.
    Otherwise what fits is copied, the rest of the model stays as it is, and the report says which is which.
    """
    found = source.state_dict() if isinstance(source, nn.Module) else source
    if not isinstance(found, Mapping) or not all(isinstance(v, Tensor) for v in found.values()):
        raise OptionError(f"weights are a model or a state dict of tensors, not {type(source).__name__}")
    targets = model.state_dict(keep_vars=True)
    if any(tensor.is_meta for tensor in targets.values()):
        raise OptionError("a model on the meta device has no memory for weights; create it without device='meta'")
    report = compared(targets, found)
    if strict and not report.exact:
        raise CheckpointError(f"these weights aren't this model's: {report}")
    with torch.no_grad():
        for name in report.matched:
            targets[name].copy_(found[name])
    return report


def compared(targets: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> Report:
    """What would fit. A float may become another float, but no integer a float, nor a complex number a real one."""
    matched = []
    reshaped = []
    for name, target in targets.items():
        if name not in found:
            continue
        wants, has = _shown(target), _shown(found[name])
        if target.shape == found[name].shape and _kind(target) == _kind(found[name]):
            matched.append(name)
        else:
            reshaped.append((name, wants, has))
    missing = tuple(name for name in targets if name not in found)
    unexpected = tuple(name for name in found if name not in targets)
    return Report(tuple(matched), missing, unexpected, tuple(reshaped))


def _kind(tensor: Tensor) -> tuple[bool, bool]:
    return tensor.is_floating_point(), tensor.is_complex()


def _shown(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"
