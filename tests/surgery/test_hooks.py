"""Users' hooks fire on, and their handles remove them, whatever is done at their place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from torch import nn

import zoo
from tests.nets import Negated, Net, Shift, images


class Log(list[str]):
    def pre(self, module: nn.Module, args: Any) -> None:
        self.append("pre")

    def pre_kw(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        self.append("pre_kw")

    def post(self, module: nn.Module, args: Any, out: Any) -> None:
        self.append("post")

    def post_kw(self, module: nn.Module, args: Any, kwargs: Any, out: Any) -> None:
        self.append("post_kw")

    def back_pre(self, module: nn.Module, grads: Any) -> None:
        self.append("back_pre")

    def back(self, module: nn.Module, grad_in: Any, grad_out: Any) -> None:
        self.append("back")


def hook_all(module: nn.Module, log: Log) -> list[Any]:
    return [
        module.register_forward_pre_hook(log.pre),
        module.register_forward_pre_hook(log.pre_kw, with_kwargs=True),
        module.register_forward_hook(log.post),
        module.register_forward_hook(log.post_kw, with_kwargs=True, always_call=True),
        module.register_full_backward_pre_hook(log.back_pre),
        module.register_full_backward_hook(log.back),
    ]


ALL_HOOKS = ["pre", "pre_kw", "post", "post_kw", "back_pre", "back"]

# An edit of each kind at Net's head.
AT_FC: dict[str, Callable[[nn.Module], Any]] = {
    "replace": lambda m: zoo.replace(m, "fc", nn.Linear(4, 2)),
    "insert_before": lambda m: zoo.insert_before(m, "fc", Shift()),
    "insert_after": lambda m: zoo.insert_after(m, "fc", Shift()),
    "become": lambda m: zoo.become(m, "fc", Negated),
}


@pytest.mark.parametrize("edit", AT_FC)
def test_users_hooks_still_fire_and_their_handles_still_remove_them(edit: str) -> None:
    model, log = Net(), Log()
    handles = hook_all(model.fc, log)
    AT_FC[edit](model)
    model(images()).sum().backward()
    assert log == ALL_HOOKS
    for handle in handles:
        handle.remove()
    model(images()).sum().backward()
    assert log == ALL_HOOKS, "none fires after handle.remove()"


@pytest.mark.parametrize("edit", AT_FC)
def test_a_hook_that_is_added_later_works(edit: str) -> None:
    model, log = Net(), Log()
    AT_FC[edit](model)
    handles = hook_all(model.fc, log)
    model(images()).sum().backward()
    for handle in handles:
        handle.remove()
    model(images()).sum().backward()
    assert log == ALL_HOOKS


def test_a_replacement_keeps_its_own_hooks() -> None:
    model, old_log, new_log = Net(), Log(), Log()
    handle = model.fc.register_forward_hook(old_log.post)
    new = nn.Linear(4, 2)
    new.register_forward_hook(new_log.post)
    zoo.replace(model, "fc", new)
    model(images())
    assert (old_log, new_log) == (["post"], ["post"])
    handle.remove()
    model(images())
    assert (old_log, new_log) == (["post"], ["post", "post"])


def test_the_hook_of_a_spectral_norm_stays_with_its_weights_and_the_users_moves() -> None:
    model, log = Net(), Log()
    nn.utils.spectral_norm(model.fc)  # a forward-pre-hook of torch's own
    handle = model.fc.register_forward_pre_hook(log.pre)
    zoo.replace(model, "fc", nn.Linear(4, 2))
    model(images())
    assert log == ["pre"]
    handle.remove()
    model(images())
    assert log == ["pre"]
