"""Choices that hold for one call of a model, and for what autograd computes of that call again.

Gradient checkpointing calls modules a second time, during backward, when the call that chose for them is over. So each
call leaves its choice on the nodes through which a backward comes into it: the nodes of a later call run first, and
those inside a call run after the ones at its end, which makes it the right one even where several calls are open.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import zoo


class Chooses(nn.ModuleDict):
    """Layers by name, of which a call of the model chooses what runs."""

    zoo_walks = False  # the forward goes by names, so that more may be registered beside the layers
    _recalled: tuple[int, str] | None = None  # once a call has chosen: the backward that came into a call, its choice

    def __init__(self, layers: Mapping[str, nn.Module]) -> None:
        super().__init__(layers)
        self.choice: str | None = None

    def chosen(self) -> str | None:
        """What the call that is running has chosen, or the one of which a backward computes something again."""
        if self.choice is not None or torch.compiler.is_compiling() or self._recalled is None:
            return self.choice
        task: int = torch._C._current_graph_task_id()  # -1 outside of a backward
        if task == -1:
            return None
        if task == self._recalled[0]:
            return self._recalled[1]
        raise zoo.NotApplicableError(
            "gradient checkpointing computes a call of the model again, and this backward didn't come in by that "
            "call's outputs, so its choice isn't known; take the loss from what the model returns"
        )


def calling(model: Any, chosen: Sequence[tuple[Chooses, str]], call: Callable[[], Any]) -> Any:
    """Make a call of the model with these choices, which are gone afterwards, also when it fails."""
    were = [module.choice for module, _ in chosen]
    try:
        for module, choice in chosen:
            module.choice = choice
        output = call()
    finally:
        for (module, _), was in zip(chosen, were, strict=True):
            module.choice = was  # or one failing call would choose for the next
    if not torch.compiler.is_compiling():
        _leave(output, chosen)
        model._zoo_chose = True
    return output


def nobody_chose(model: Any) -> bool:
    """Whether a call without a choice can go the short way: no other one has chosen yet."""
    return torch.compiler.is_compiling() or "_zoo_chose" not in vars(model)


def _leave(output: Any, chosen: Sequence[tuple[Chooses, str]]) -> None:
    """Note the choices on the nodes that gave the output."""

    def recall(*_: Any) -> None:
        task = torch._C._current_graph_task_id()
        for module, choice in chosen:
            module._recalled = (task, choice)

    for module, choice in chosen:
        module._recalled = module._recalled or (-2, choice)  # no backward has this number
    for leaf in pytree.tree_leaves(output):
        if isinstance(leaf, Tensor) and leaf.grad_fn is not None:
            leaf.grad_fn.register_prehook(recall)
