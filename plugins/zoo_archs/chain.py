"""A network that grows while it is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

import zoo

if TYPE_CHECKING:
    from torch import nn

Size = Annotated[int, Ge(1)]


def _stem(model: nn.Module) -> str:
    """The path of the first layer that fixes how many channels come in."""
    from ._chain import channels

    found = (path for path, module in model.named_modules() if not module._modules and channels(module)[0])
    return next(found, "0")


def _sites(model: nn.Module) -> dict[str, str]:
    return {"stem": _stem(model)}


def _sample(model: nn.Module) -> tuple[int, ...]:
    stem = model.get_submodule(_stem(model))
    side = len(getattr(stem, "kernel_size", ()))
    return (getattr(stem, "in_channels", getattr(stem, "in_features", 1)), *[16] * side)


def _order(model: nn.Module) -> dict[str, int]:
    """Each block is a layer, in the order in which they run, and then what stands behind the chain."""
    parts = sorted((name for name, _ in model.named_children()), key=lambda name: not name.isdigit())
    places = {name: place for place, name in enumerate(parts)}
    return {name: places[name.partition(".")[0]] for name, _ in model.named_parameters(remove_duplicate=False)}


@zoo.arch(
    sites=_sites,
    sample=_sample,
    order=_order,
    examples=["chain(3, 32)", "chain(3, 32, 64, block=Sequential(Conv2d(in, out, 3, padding=1), GELU()))"],
)
def chain(*channels: Size, block: zoo.Template | None = None) -> nn.Module:
    """Blocks in a row, a doubly linked list that can grow: `chain(3, 32, 64)` is two, 3 → 32 → 64 channels.

    Takes (N, channels[0], H, W), gives (N, channels[-1], H, W): a trunk without a classifier. Each block is a 3×3
    convolution without bias, BatchNorm and ReLU, or a layer in which `in` and `out` stand for the numbers of channels.
    The blocks are `model.first`, `model.last`, each one's `prev` and `next`, and what iterating over the model gives.
    """
    from ._chain import Chain

    if len(channels) < 2:
        raise zoo.OptionError("chain needs the channels of the input and of each block, as in chain(3, 32, 64)")
    return Chain(channels, block)


@zoo.modifier(examples=["grow(64)", "grow(64, fade=True)"], effects=zoo.Effects(keys="add"))
def grow(
    model: nn.Module,
    /,
    channels: Size,
    block: zoo.Template | None = None,
    fade: bool = False,
    after: Annotated[int, Ge(0)] | None = None,
    at: zoo.Where = "*",
) -> nn.Module:
    """One more block for a chain, which gives so many channels, behind the last one or the one of the number `after`.

    block: what it is made of, with `in` and `out` for the numbers of channels; otherwise what the chain is made of.
    fade: the block comes in as in Progressive GAN (Karras et al. 2018): `model.last.alpha`, 0 at first, goes from the
        old network's output, with zeros for the channels that are new, to the block's own at 1.
    """
    for one in _chains(model, at):
        one.grow(channels, block, fade, one.block(after))  # type: ignore[operator]
    return model


@zoo.modifier(examples=["shrink"], effects=zoo.Effects(keys="remove"))
def shrink(model: nn.Module, /, block: Annotated[int, Ge(0)] | None = None, at: zoo.Where = "*") -> nn.Module:
    """Take a block out of a chain, the last one or the one of this number. The others keep their names."""
    for one in _chains(model, at):
        one.remove(one.block(block))  # type: ignore[operator]
    return model


def _chains(model: nn.Module, at: zoo.Where) -> list[nn.Module]:
    from ._chain import Chain

    found = list(zoo.select(model, at, kind=Chain).values())
    if not found:
        raise zoo.NotApplicableError(f"this {type(model).__name__} is no chain; zoo.create('chain(3, 32)') makes one")
    return list(found)
