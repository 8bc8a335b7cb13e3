"""The mixin behind `freeze`."""

from __future__ import annotations

from typing import Any

import zoo


class Held(zoo.Mixin):
    """Stays in eval mode, so that its running statistics are used and never moved, whatever the model is put in."""

    def train(self, mode: bool = True) -> Any:
        super().train(mode)  # type: ignore[misc]
        self.training = False
        return self
