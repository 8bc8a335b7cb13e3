"""What modifiers say of models that have nothing for them, or that they can't do it to."""

from __future__ import annotations

import pytest
from torch import nn

import zoo

ROWS = [
    # (model, modifier, error, first line of the message)
    (nn.ReLU(), "freeze", zoo.NotApplicableError, "this Sequential has no parameter to freeze"),
    (nn.ReLU(), "unfreeze", zoo.NotApplicableError, "this Sequential has no parameter to unfreeze"),
    (nn.ReLU(), "reinit('*')", zoo.NotApplicableError, "this Sequential has no parameter to initialise"),
    (
        nn.Linear(2, 2),
        "dropout(0.1, at='!0')",
        zoo.OptionError,
        "dropout needs a place to be put at, and not only what to leave out, as in [head, !fc]",
    ),
    (
        nn.Conv2d(4, 4, 1, groups=2),
        "in_chans(3, at='0')",
        zoo.NotApplicableError,
        "in_chans can't adapt '0', a Conv2d that works in groups",
    ),
    (
        nn.ReLU(),
        "in_chans(1)",
        zoo.NotApplicableError,
        "this Sequential names no stem; say where, as in in_chans(1, at=...)",
    ),
]


@pytest.mark.parametrize(("layer", "mods", "error", "text"), ROWS, ids=[row[1] for row in ROWS])
def test_the_reason_is_told(layer: nn.Module, mods: str, error: type[zoo.ZooError], text: str) -> None:
    model = nn.Sequential(layer)
    with pytest.raises(error) as caught:
        zoo.modify(model, mods)
    assert str(caught.value).partition("\n")[0] == text
    assert not zoo.changes(model)


def test_a_stranger_is_no_block_of_a_chain() -> None:
    chain = zoo.create("chain(3, 4)")
    with pytest.raises(zoo.OptionError, match=r"^this Conv2d is no block of the chain$"):
        chain.remove(nn.Conv2d(4, 4, 1))
