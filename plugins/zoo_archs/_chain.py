"""The modules of `chain`: blocks in a row, each of which knows its neighbours.

The order stands in the container alone. A block holds a weak reference to its chain, which copies and pickles leave
out and the chain puts back, so that 2,000 blocks copy as deep as one. How it can fail: a block that outlives its chain
has no neighbours.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import zoo


def plain_layers(before: int, after: int) -> dict[str, nn.Module]:
    """Convolution, norm, activation."""
    conv = nn.Conv2d(before, after, 3, padding=1, bias=False)
    return {"conv": conv, "norm": nn.BatchNorm2d(after), "act": nn.ReLU(inplace=True)}


class Block(nn.Module):
    """Layers one after the other, in a chain; `prev` and `next` are its neighbours there, None at the ends.

    With `fade`, the block comes in slowly (Karras et al. 2018): it gives `alpha * layers(x) + (1 - alpha) * x`, where
    further channels of x are zeros and another size of the image is interpolated. `block.alpha = 0.3` sets it, a
    number of the training loop's from 0, where the network is the one before, to 1. It is a buffer, and so goes along
    with checkpoints.
    """

    alpha: Tensor

    def __init__(self, layers: Mapping[str, nn.Module], fade: bool = False) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.fade = fade
        if fade:
            self.register_buffer("alpha", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        old = x
        if self.fade:
            x = x.clone()  # or a layer that works in place would change the old path as well
        for name, layer in self._modules.items():
            if not name.startswith("zoo_"):  # what is inserted at the block runs by itself
                x = layer(x)  # type: ignore[misc]
        return self.alpha * x + (1 - self.alpha) * _as_large(old, x) if self.fade else x

    def __setattr__(self, name: str, value: Any) -> None:
        # torch itself sets the buffer to a tensor, such as one on another device.
        if name == "alpha" and not (isinstance(value, Tensor) and (value.is_meta or value.ndim or 0 <= value <= 1)):
            if not self.__dict__.get("fade"):
                raise zoo.OptionError("this block isn't fading in; grow(..., fade=True) makes one that is")
            if not isinstance(value, (int, float)) or not 0 <= value <= 1:
                raise zoo.OptionError(f"alpha={value}; expected a number from 0, the old network, to 1")
            self.alpha.fill_(value)
        else:
            super().__setattr__(name, value)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_chain"}

    @property
    def prev(self) -> nn.Module | None:
        """The block in front of this one."""
        return self._neighbour(-1)

    @property
    def next(self) -> nn.Module | None:
        """The block behind this one."""
        return self._neighbour(1)

    def _neighbour(self, step: int) -> nn.Module | None:
        chain = self.__dict__.get("_chain", lambda: None)()
        if chain is None:
            return None
        names, blocks = list(chain._modules), list(chain._modules.values())
        place = blocks.index(self) + step
        while 0 <= place < len(blocks) and not names[place].isdigit():
            place += step  # what isn't a block: a head behind the chain
        return chain.link(blocks[place]) if 0 <= place < len(blocks) else None


class Chain(nn.Module):
    """Blocks in a row. A block keeps its key, a number, whatever comes before or behind it or is taken out.

    sizes: the channels of the input and of each block. template: what a new block is made of where nothing else is
    said.
    """

    def __init__(self, sizes: Sequence[int], template: zoo.Template | None = None) -> None:
        super().__init__()
        self.template = template
        for key, (before, after) in enumerate(pairwise(sizes)):
            self.add_module(str(key), self.make(before, after))

    def forward(self, x: Tensor) -> Tensor:
        for name, block in self._modules.items():
            if name.isdigit():
                x = block(x)  # type: ignore[misc]
        return x

    def __iter__(self) -> Iterator[nn.Module]:
        return iter([self.link(block) for name, block in self._modules.items() if name.isdigit() and block is not None])

    def __reversed__(self) -> Iterator[nn.Module]:
        return reversed(list(self))

    def __len__(self) -> int:
        return sum(map(str.isdigit, self._modules))

    @property
    def first(self) -> nn.Module:
        """The block that gets the input."""
        return next(iter(self))

    @property
    def last(self) -> nn.Module:
        """The block that gives the output."""
        return next(reversed(self))

    def key(self, block: nn.Module) -> str:
        """The number under which a block stands."""
        for name, module in self._modules.items():
            if module is block and name.isdigit():
                return name
        raise zoo.OptionError(f"this {type(block).__name__} is no block of the chain")

    def block(self, key: int | None) -> nn.Module:
        """The block of a number, or the last one."""
        if key is None:
            return self.last
        found = self._modules.get(str(key))
        if found is None:
            known = ", ".join(filter(str.isdigit, self._modules))
            raise zoo.OptionError(f"the chain has no block {key}; its blocks: {known}")
        return found

    def make(
        self, before: int | None, after: int, template: zoo.Template | None = None, fade: bool = False
    ) -> nn.Module:
        """A block of a template, the chain's own if none is given, for so many channels before and after."""
        template = template or self.template
        if before is None:
            raise zoo.ShapeError("what stands in front of the new block doesn't say how many channels it gives")
        if fade and before > after:
            raise zoo.ShapeError(f"a block from {before} to {after} channels can't fade in: the old ones don't fit in")
        layers = plain_layers(before, after) if template is None else _layers(_filled(template, before, after))
        block = Block(layers, fade)
        if channels(block) == (None, None) and before != after:
            raise zoo.ShapeError(
                f"the block {template} has no channels of its own and so gives {before}, not {after}; say where "
                "they go, as in Conv2d(in, out, 3, padding=1)"
            )
        if channels(block) not in ((before, after), (None, None)):
            raise zoo.ShapeError(f"the block {template} is one for {channels(block)} channels, not {(before, after)}")
        return block

    def grow(
        self, after: int, template: zoo.Template | None = None, fade: bool = False, behind: nn.Module | None = None
    ) -> nn.Module:
        """Make a block that gives so many channels, put it behind another, or at the end, and return it."""
        place = behind or self.last
        blocks = list(self)
        gives = (channels(block)[1] for block in reversed(blocks[: blocks.index(place) + 1]))
        before = next((size for size in gives if size is not None), None)  # a pooling hands on what it gets
        return self.insert_after(place, self.make(before, after, template, fade))

    def insert_after(self, place: nn.Module, block: nn.Module) -> nn.Module:
        """Put a block, or a layer as one, behind another. ShapeError where its channels don't fit."""
        following = list(self)[list(self).index(place) + 1 :]
        return self._insert(place, block, following[0] if following else None)

    def insert_before(self, place: nn.Module, block: nn.Module) -> nn.Module:
        """Put a block, or a layer as one, in front of another. ShapeError where its channels don't fit."""
        before = list(self)[: list(self).index(place)]
        return self._insert(before[-1] if before else None, block, place)

    def _insert(self, before: nn.Module | None, block: nn.Module, after: nn.Module | None) -> nn.Module:
        block = block if isinstance(block, Block) else Block(_layers(block))
        _fit(before, block)
        _fit(block, after)
        zoo.add(self, "", self._free(), block)
        names = list(self._modules)
        moved = names[names.index(self.key(after)) : -1] if after is not None else []
        for name in moved:  # to the end, in their order, so that they stand behind the new one
            self._modules[name] = self._modules.pop(name)
        return block

    def _free(self) -> str:
        """The number after the highest."""
        return str(max((int(name) for name in self._modules if name.isdigit()), default=-1) + 1)

    def remove(self, block: nn.Module) -> nn.Module:
        """Take a block out and return it; its neighbours become each other's. ShapeError where they don't fit."""
        name, blocks = self.key(block), list(self)
        if len(blocks) == 1:
            raise zoo.NotApplicableError("this is the chain's only block")
        at = blocks.index(block)
        if 0 < at < len(blocks) - 1:
            _fit(blocks[at - 1], blocks[at + 1])
        del self._modules[name]
        block.__dict__.pop("_chain", None)
        return block

    def link(self, block: nn.Module) -> nn.Module:
        """Tell a block, which may have come in by a plain assignment, whose it is."""
        held = block.__dict__.get("_chain")
        if isinstance(block, Block) and (held is None or held() is not self):
            block.__dict__["_chain"] = weakref.ref(self)
        return block

    def add_module(self, name: str, module: nn.Module | None) -> None:
        super().add_module(name, module)
        if module is not None and name.isdigit():
            self.link(module)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        iter(self)  # links the blocks, which come without


def _filled(template: zoo.Template, before: int, after: int) -> nn.Module:
    try:
        return template.build(**{"in": before, "out": after})
    except zoo.OptionError:
        if words := [f"'{word}'" for word in _words(template.call) if word not in ("in", "out")]:
            what = f"the block {template} can't be made with {' and '.join(words)}"
            raise zoo.OptionError(f"{what}; the words that stand for numbers are `in` and `out`") from None
        raise


def _words(call: Any) -> Iterator[str]:
    """The words in a template, those in the layers inside it too."""
    for value in call if isinstance(call, tuple) else [value for _, value in call.args]:
        if isinstance(value, str):
            yield value
        elif isinstance(value, tuple) or hasattr(value, "args"):
            yield from _words(value)


def channels(module: nn.Module | None) -> tuple[int | None, int | None]:
    """The channels, or features, that a module takes and gives, by its first and last layer that fixes them."""
    takes = gives = None
    for layer in module.modules() if module is not None else ():
        one = getattr(layer, "in_channels", getattr(layer, "in_features", None))
        other = getattr(layer, "out_channels", getattr(layer, "out_features", None))
        if isinstance(one, int) and isinstance(other, int):
            takes, gives = takes if takes is not None else one, other
    return takes, gives


def _fit(before: nn.Module | None, after: nn.Module | None) -> None:
    gives, takes = channels(before)[1], channels(after)[0]
    if before is not None and after is not None and None not in (gives, takes) and gives != takes:
        raise zoo.ShapeError(f"the block in front gives {gives} channels, and the one behind takes {takes}")


def _layers(module: nn.Module) -> dict[str, nn.Module]:
    return dict(module.named_children()) if type(module) is nn.Sequential else {"0": module}


def _as_large(old: Tensor, new: Tensor) -> Tensor:
    """The old path in the shape of the new one."""
    if old.ndim > 2 and old.shape[2:] != new.shape[2:]:
        old = F.interpolate(old, new.shape[2:], mode="area" if old.shape[-1] > new.shape[-1] else "nearest")
    missing = new.shape[1] - old.shape[1]
    return F.pad(old, [0, 0] * (old.ndim - 2) + [0, missing]) if missing else old
