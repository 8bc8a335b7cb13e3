"""Choices: modules that run in one of several ways, which a keyword of the model's call names for that call alone.

Two problems. A call must not choose for another one: not for the next, when it fails; not for one that runs at the same
time in another thread. So what is chosen stands in a `threading.local` on each place, and is put back in a `finally`.
(A context variable would be one object in place of many, but torch.compile can't trace that it's set.)

And gradient checkpointing calls modules a second time, during backward, when the call that chose for them is over. The
trick: each call leaves its choices on the nodes through which a backward comes into it. The nodes of a later call run
first, and those inside a call run after the ones at its end, which makes it the right one even where several calls are
open. It can fail where a backward comes in elsewhere (a loss of features that a hook took): then nothing is known, and
a place that would have to guess raises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from threading import local
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ..messages.errors import NotApplicableError, OptionError


class _Call(local):
    """What the call has chosen that runs in this thread: `""` for nothing, None where no call is running."""

    choice: str | None = None


class Choice(nn.Module):
    """A module whose forward asks what the call of the model has chosen for it, by `self.chosen()`.

    Stands in front of another class of torch's, or alone:

    Example:
        >>> import torch, zoo
        >>> class MCDropout(zoo.Choice, torch.nn.Dropout):
        ...     def forward(self, x):
        ...         return torch.nn.functional.dropout(x, self.p, self.training or self.chosen() == "on")
        >>> class Sampled(zoo.Mixin):
        ...     options = ("mc",)
        ...
        ...     def forward(self, *args, mc=None, **kwargs):
        ...         places = [(place, mc) for place in self.modules() if isinstance(place, MCDropout)]
        ...         return zoo.call_with(self, places, lambda: super(Sampled, self).forward(*args, **kwargs))
        >>> model = zoo.become(torch.nn.Sequential(MCDropout(1.0)).eval(), "", Sampled)
        >>> model(torch.ones(2)).tolist(), model(torch.ones(2), mc="on").tolist()
        ([1.0, 1.0], [0.0, 0.0])
    """

    _call: _Call
    _recalled: dict[int, str | None] | None = None  # once a call has chosen: what it chose, by the backwards under way

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._call = _Call()

    def chosen(self) -> str | None:
        """What the call that is running has chosen for this place, None for nothing.

        During a backward it is what that call had chosen of which something is computed again.

        Raises:
            NotApplicableError: In a backward that didn't come in by the outputs of a call.
        """
        choice = self._call.choice
        if choice is not None or torch.compiler.is_compiling() or self._recalled is None:
            return choice or None
        task: int = torch._C._current_graph_task_id()  # -1 outside of a backward
        if task == -1 or task in self._recalled:
            return self._recalled.get(task)
        raise NotApplicableError(
            "gradient checkpointing computes a call of the model again, and this backward didn't come in by that "
            "call's outputs, so its choice isn't known; take the loss from what the model returns"
        )

    def __getstate__(self) -> dict[str, Any]:
        """All but what belongs to calls, so that a copy, and what is pickled, starts without."""
        return {name: value for name, value in vars(self).items() if name not in _OF_CALLS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({name: value for name, value in state.items() if name not in _OF_CALLS})  # type: ignore[no-untyped-call]
        self._call = _Call()

    def _replicate_for_data_parallel(self) -> Any:
        """torch's own, for DataParallel, which runs each replica in a thread of its own: the choice goes along."""
        replica = super()._replicate_for_data_parallel()  # type: ignore[no-untyped-call]
        replica._call = _Given(self._call.choice)
        return replica


class _Given(_Call):
    """A choice that holds in every thread which hasn't made one."""

    def __init__(self, choice: str | None) -> None:
        self.choice = choice  # `local` calls this in each thread anew


# `choice` is where 0.1 kept what is in `_call` now.
_OF_CALLS = ("_call", "_recalled", "choice")


class Switch(Choice, nn.ModuleDict):
    """Several layers in one place, of which a call of the model runs one: the default, unless it chooses another.

    Args:
        layers: The layers by name.
        option: The keyword of the model's forward that chooses.
        default: What runs where nothing is chosen; the first, where none is named.
    """

    zoo_walks = False  # the forward goes by names, so that more may be registered beside the layers
    option: str
    default: str

    def __init__(self, layers: Mapping[str, nn.Module], option: str, default: str | None = None) -> None:
        super().__init__(layers)
        self.option = option
        self.default = default or next(iter(layers))

    @property
    def names(self) -> list[str]:
        """What can be chosen; what is inserted at the place isn't."""
        return [name for name in self if not name.startswith("zoo_")]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self[self.chosen() or self.default](*args, **kwargs)


def call_with(model: Any, choices: Sequence[tuple[Choice, str | None]], call: Callable[[], Any]) -> Any:
    """Make a call of a model in which these places have these choices; afterwards they have none, also if it fails.

    Args:
        model: The model, on which it's noted that somebody chose.
        choices: Each place with what is chosen for it; None leaves it to the place.
        call: Makes the call. A forward that starts threads of its own takes no choice into them.

    Returns:
        What the call returns.
    """
    if all(choice is None for _, choice in choices) and never_chose(model):
        return call()
    were = [place._call.choice for place, _ in choices]
    try:
        for place, choice in choices:
            place._call.choice = choice or ""
        output = call()
    finally:
        for (place, _), was in zip(choices, were, strict=True):
            place._call.choice = was
    if not torch.compiler.is_compiling():
        _leave(output, choices)
        model._zoo_chose = True
    return output


def never_chose(model: Any) -> bool:
    """Whether a call without a choice can go the short way: no other one has chosen yet."""
    return torch.compiler.is_compiling() or "_zoo_chose" not in vars(model)


def _leave(output: Any, choices: Sequence[tuple[Choice, str | None]]) -> None:
    """Note the choices on the nodes that gave the output."""

    def recall(*_: Any) -> None:
        task = torch._C._current_graph_task_id()
        for place, choice in choices:
            notes: Any = place._recalled
            if task not in notes:
                torch.autograd.Variable._execution_engine.queue_callback(partial(notes.pop, task, None))
            notes[task] = choice

    for place, _ in choices:
        if place._recalled is None:
            place._recalled = {}
    for leaf in pytree.tree_leaves(output):
        if isinstance(leaf, Tensor) and leaf.grad_fn is not None:
            leaf.grad_fn.register_prehook(recall)


def choose(
    model: Any,
    option: str,
    chosen: str | Sequence[str] | None,
    call: Callable[[], Any],
    aliases: Mapping[str, str] | None = None,
) -> Any:
    """Make a call of a model in which every `Switch` of this option that has the name runs that layer.

    Args:
        model: The root, which holds the switches.
        option: The keyword that was given, as the switches know it.
        chosen: Its value: a name or, for several switches, a list of them; None for nothing.
        call: Makes the call.
        aliases: Other names for some of the choices.

    Returns:
        What the call returns.

    Raises:
        OptionError: For anything that is no choice, and for two choices of one switch.
    """
    if chosen is None and never_chose(model):
        return call()
    switches = [module for module in model.modules() if isinstance(module, Switch) and module.option == option]
    names = _names(option, chosen, switches, aliases or {})
    return call_with(model, [(s, next((n for n in names if n in s.names), None)) for s in switches], call)


def _names(option: str, chosen: Any, switches: Sequence[Switch], aliases: Mapping[str, str]) -> list[str]:
    """The names that a call chooses, checked."""
    given: Sequence[Any] = [] if chosen is None else chosen if isinstance(chosen, (list, tuple)) else [chosen]
    known = ", ".join(dict.fromkeys(name for switch in switches for name in switch.names)) or "none any more"
    if chosen is not None and not given:
        raise OptionError(f"{option}={chosen!r} chooses nothing; the choices: {known}")
    names = []
    for name in given:
        meant = aliases.get(name, name) if isinstance(name, str) else None
        if meant is None or not any(meant in switch.names for switch in switches):
            raise OptionError(f"there is no {option}={name!r}; the choices: {known}")
        names.append(meant)
    for switch in switches:
        if len(both := [name for name in switch.names if name in names]) > 1:
            several = " and ".join(both)
            raise OptionError(f"{option}={chosen!r}: {several} are choices of one place; name one of them")
    return names
