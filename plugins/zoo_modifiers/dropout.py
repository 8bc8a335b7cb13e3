"""Dropout in front of a place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Le

import zoo

if TYPE_CHECKING:
    from torch import nn


@zoo.modifier(
    examples=["dropout", "dropout(0.2)", "dropout(0.1, at=stem)"], effects=zoo.Effects(keys="keep", preserves=True)
)
def dropout(model: nn.Module, /, p: Annotated[float, Ge(0), Le(1)] = 0.5, at: zoo.Where = "head") -> nn.Module:
    """Dropout with probability p in front of a site (Srivastava et al. 2014).

    Where the arch has a dropout of its own in front of the site, or one was put there before, that one gets the new p.
    """
    from torch import nn

    if at and all(term.startswith("!") for term in ([at] if isinstance(at, str) else at)):
        raise zoo.OptionError("dropout needs a place to be put at, and not only what to leave out, as in [head, !fc]")
    for path, module in zoo.select(model, at).items():
        if own := zoo.slots_at(model, path, "drop", "p"):
            for slot in own:
                slot.set(model, p)
        elif there := module if isinstance(module, nn.Dropout) else _in_front(model, path):
            there.p = p
        elif isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
            raise zoo.NotApplicableError(
                f"{zoo.format_place(path)} takes whole numbers, of which dropout can't drop a part"
            )
        else:
            model = zoo.insert_before(model, path, nn.Dropout(p))
    return model


def _in_front(model: nn.Module, path: str) -> nn.Dropout | None:
    """The Dropout that what comes to this place has just passed through, if there is one."""
    from torch import nn

    module = model.get_submodule(path)
    while isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward and len(module):
        module = next(iter(module.children()))
        if isinstance(module, nn.Dropout):
            return module
    inserted = [*getattr(module, "zoo_before", ())][-1:]
    parent = model.get_submodule(path.rpartition(".")[0]) if path else None
    if not inserted and type(parent) is nn.Sequential:
        siblings = [None, *parent.children()]
        inserted = siblings[siblings.index(model.get_submodule(path)) - 1 :][:1]
    return inserted[0] if inserted and isinstance(inserted[0], nn.Dropout) else None
