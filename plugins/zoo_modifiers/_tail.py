"""What runs behind a model."""

from __future__ import annotations

from typing import Any

import zoo


class Tail(zoo.Mixin):
    """Runs the modules named in `zoo_tail` on the output, one after the other."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        output = super().forward(*args, **kwargs)  # type: ignore[misc]
        for name in self.zoo_tail:  # type: ignore[attr-defined]
            output = getattr(self, name)(output)
        return output
