"""The modifiers that come with the zoo. Each is a file of its own and uses what `import zoo` gives anyone."""

from __future__ import annotations

import zoo

from .act import act
from .bn import bn
from .dropout import dropout
from .heads import heads
from .structure import append, prepend, remove, replace, set_


@zoo.hookimpl
def zoo_modifiers() -> list[zoo.Modifier]:
    return [act, append, bn, dropout, heads, prepend, remove, replace, set_]
