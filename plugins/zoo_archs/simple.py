"""The smallest net of the zoo."""

from __future__ import annotations

from typing import TYPE_CHECKING

import zoo

from ._order import by_part

if TYPE_CHECKING:
    from torch import nn


@zoo.arch(sites={"stem": "layers1.0", "head": "layers3"}, sample=(100,), order=by_part)
def simple() -> nn.Module:
    """Three blocks of layers for (N, 100) inputs and (N, 2) outputs: 17,452 parameters. For first steps and tests."""
    from ._nets import Simple

    return Simple()
