"""A model and the optimizers that train it, changed together or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .optimizers import OptimizerSnapshot, follow
from .snapshot import Snapshot
from .write_log import Writes

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer


class Transaction:
    """A model under change: left by an exception, it takes everything back, whatever was reached by then.

    The problem: a modifier may raise, or someone press Ctrl-C, when modules, weights and optimizers have been changed
    already, and some of them by hand. The trick: nothing is undone step by step. What is needed to go back is held from
    the start: references and shallow copies of the dicts of all modules, of all optimizers, and of each memory that is
    written to, a copy from before the first write. So the way back doesn't ask what was done, and may be gone twice.
    How it can fail: what neither a module nor an optimizer holds, such as a file or a global, isn't known here.

    start: the model as it was. now: as the last modifier left it.
    """

    def __init__(self, start: Snapshot, optimizers: Sequence[Optimizer] = ()) -> None:
        self.start = self.now = start
        self.writes = Writes(self._memory)
        self._optimizers = [OptimizerSnapshot(one) for one in optimizers]

    def _memory(self) -> Iterator[Tensor]:
        """The tensors that are watched: the model's, and their gradients."""
        for state in self.start.tensors.values():
            yield from (state.tensor, *(state.grad or ()))

    def __enter__(self) -> Transaction:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is not None:
            self.rollback()

    def rollback(self) -> None:
        """Take everything back. An interrupt in the middle is raised when that is done."""
        try:
            self._rollback()
        except KeyboardInterrupt:
            self._rollback()
            raise

    def _rollback(self) -> None:
        self.writes.restore()
        self.start.restore()
        for one in self._optimizers:
            one.restore()
        self.now = self.start

    def follow(self, group: int | Mapping[str, Any] | None) -> None:
        """Make the optimizers those of the model as it is now; see `optimizers.follow`."""
        if self._optimizers:
            old, new = self.start.parameters, self.now.parameters
            cold = {id(state.tensor) for state in self.start.tensors.values() if not state.requires_grad}
            follow([one.optimizer for one in self._optimizers], old, new, group, cold)


@contextmanager
def trial(model: nn.Module) -> Iterator[Transaction]:
    """A transaction that is taken back in any case: to see what modifiers would do."""
    transaction = Transaction(Snapshot(model))
    try:
        yield transaction
    finally:
        transaction.rollback()
