"""Writes into a model's tensors, noted while modifiers work, so that they can be taken back.

Every operation of torch says in its schema which arguments it writes to. Before the first write into a memory that
the model uses, a copy of it is kept; a model that nobody writes to costs nothing. So a write through `.data` or a view
is found as well. How it can fail: numpy and custom kernels write without telling torch, and a tensor subclass keeps
its memory to itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class Writes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes writes while it's entered (`with writes:`); `restore` takes them back."""

    def __init__(self, tensors: Callable[[], Iterable[Tensor]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._tensors = tensors
        self._kept: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}

    @cached_property
    def _watched(self) -> set[int]:
        return {address(tensor) for tensor in self._tensors()} - {0}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func._schema.is_mutable:
            for tensor in _list_written(func._schema.arguments, args, kwargs):
                self._keep(tensor)
        return func(*args, **kwargs)

    def _keep(self, tensor: Tensor) -> None:
        place = address(tensor)
        if place in self._watched and place not in self._kept:
            storage = tensor.untyped_storage()
            self._kept[place] = storage, storage.clone()  # type: ignore[no-untyped-call]

    def restore(self) -> None:
        for storage, content in self._kept.values():
            storage.copy_(content)
        self._kept.clear()


def address(tensor: Tensor) -> int:
    """Where the memory of a tensor begins; 0 for one that has none of its own."""
    if tensor.is_meta or tensor.layout is not torch.strided or torch.nn.parameter.is_lazy(tensor):
        return 0
    try:
        return tensor.untyped_storage().data_ptr()
    except (NotImplementedError, RuntimeError):
        return 0


def _list_written(arguments: Iterable[Any], args: Any, kwargs: Any) -> Iterator[Tensor]:
    for position, argument in enumerate(arguments):
        if argument.alias_info is None or not argument.alias_info.is_write:
            continue
        value = args[position] if position < len(args) else kwargs.get(argument.name)
        yield from (v for v in (value if isinstance(value, (list, tuple)) else [value]) if isinstance(v, Tensor))
