"""A model's modules without its memory: what is run when only shapes and numbers of operations are wanted."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ..messages.errors import NotApplicableError
from ..surgery.placement import HOOK_DICTS, users
from ..surgery.provenance import KEY
from ..surgery.walk import places, tensors_of
from ..surgery.wrappers import unwrap


# The problem: a forward on meta needs every tensor of the model there, without touching the model, and without the
# memory that a copy takes. The trick: `deepcopy` takes what stands in its memo under an object's id for that object's
# copy, so that each tensor is entered with its stand-in beforehand, and ties and views by attribute follow by
# themselves; users' hooks are left out in the same way. How it can fail: an attribute that can't be copied (a lock, an
# open file), which is told; a tensor held in a closure or a global isn't found and stays the real one.
def make_skeleton(model: nn.Module, meta: bool) -> nn.Module:
    """A copy of a model's modules in eval mode, without users' hooks.

    Its tensors are on meta; or, for what can't run there, the model's own parameters, and copies of the rest.
    """
    model = unwrap(model)
    if any(map(is_lazy, [*model.parameters(), *model.buffers()])):
        raise NotApplicableError(f"this {type(model).__name__} gets its sizes at its first forward; run one before")
    memo: dict[int, Any] = {}  # what stands here under an object's id is taken for its copy
    for _, module in places(model):
        own = vars(module)
        memo[id(own.get(KEY))] = own.get(KEY)
        for hooks in (own[name] for name in HOOK_DICTS if own.get(name)):
            memo[id(hooks)] = type(hooks)({key: hook for key, hook in hooks.items() if not users(hook)})
        for value in [*tensors_of(module).values(), *own.values()]:
            if isinstance(value, Tensor) and id(value) not in memo:
                memo |= _twin(value, meta)
    try:
        return copy.deepcopy(model, memo).eval()
    except Exception as error:  # whatever a stranger's attribute raises
        raise NotApplicableError(
            f"this {type(model).__name__} can't be copied, so nothing runs on it: {error}"
        ) from error


def _twin(tensor: Tensor, meta: bool) -> dict[int, Tensor]:
    """What stands for a tensor in the copy, under its id; nothing for one to be copied."""
    if not meta:
        return {id(tensor): tensor} if isinstance(tensor, nn.Parameter) else {}
    moved = tensor.detach().to("meta")
    return {id(tensor): nn.Parameter(moved, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else moved}
