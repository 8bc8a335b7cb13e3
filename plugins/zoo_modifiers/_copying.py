"""Places inside others."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def topmost(paths: dict[str, nn.Module]) -> list[str]:
    """Those that aren't inside another."""
    tops: list[str] = []
    for path in paths:
        if not any(top == "" or path.startswith(f"{top}.") for top in tops):
            tops.append(path)
    return tops
