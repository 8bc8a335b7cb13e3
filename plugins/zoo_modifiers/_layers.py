"""The layers that specs may call besides torch's."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

import zoo


class Head(nn.Module):
    """What one head is to be, as a layer of a spec: `heads(reg=Head(1, hidden=64, dropout=0.2))`.

    size: the number of outputs. hidden: the width of a hidden layer with ReLU; None for a linear head. dropout: the
    probability in front of the last layer. `heads` makes the layers, since the trunk's width is known there.
    """

    def __init__(self, size: int, hidden: int | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        for name, value in (("size", size), ("hidden", hidden)):
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise zoo.OptionError(f"Head: {name} is {value!r}; expected an integer of at least 1")
        if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0 <= dropout <= 1:
            raise zoo.OptionError(f"Head: dropout is {dropout!r}; expected a number from 0 to 1")
        self.size, self.hidden, self.dropout = size, hidden, dropout

    def forward(self, x: Tensor) -> Tensor:
        raise zoo.NotApplicableError("a Head says what `heads` should make, as in heads(reg=Head(1, hidden=64))")

    def make(self, make: Callable[[int], nn.Module]) -> nn.Module:
        """The layers: one like the classifier, or with a hidden layer in front that is."""
        if self.hidden is None and not self.dropout:
            return make(self.size)
        layers = {"drop": nn.Dropout(self.dropout)} if self.dropout else {}
        if self.hidden is None:
            return nn.Sequential(OrderedDict(**layers, out=make(self.size)))
        first: Any = make(self.hidden)
        bias = first.bias is not None
        if isinstance(first, nn.Linear):
            out: nn.Module = nn.Linear(self.hidden, self.size, bias=bias)
        else:
            out = getattr(nn, f"Conv{len(first.kernel_size)}d")(self.hidden, self.size, 1, bias=bias)
        return nn.Sequential(OrderedDict(hidden=first, act=nn.ReLU(), **layers, out=out))
