"""What comes through a place of a model: how many channels, and whether anything does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import nn

from ..primitives.resize import features_of
from ..surgery.placement import at
from ..surgery.walk import children_of, parameter_slots, split
from ..trace.trace import Shape, Trace, current_trace


@dataclass(frozen=True)
class Channels:
    """How many channels arrive at a place and leave it, each None where that isn't known.

    dim: the dimension of them in what leaves: 1 as in images (N, C, H, W), -1 as in tokens (N, L, C); None where that
    isn't known. In a tensor of two dimensions both are the same.
    """

    arrive: int | None = None
    leave: int | None = None
    dim: int | None = None


def channels_at(model: nn.Module, path: str) -> Channels:
    """How many channels arrive at a layer or block and leave it, and which dimension of a tensor they are.

    A layer that has such numbers, as a convolution or a norm, says so itself. For any other, and for a modifier at
    work, it is what a forward of the bare arch took and gave there.

    Args:
        model: a live model.
        path: where.

    Returns:
        The numbers and the dimension, each None where nothing says it.

    Raises:
        NoEffectError: nothing stands at the path.

    Example:
        >>> import zoo
        >>> zoo.channels_at(zoo.create("convnet"), "blocks.1.conv")
        Channels(arrive=32, leave=64, dim=1)
    """
    # A shape doesn't say which of its dimensions the channels are. The trick: layers do, and the nearest one that fits
    # the shape is believed, first what is inside, then what stands around. How it can fail: an image as wide as
    # some layer nearby has channels, in a model that has them now in front and now behind.
    layer = at(model, path)
    took, gave = _shapes_at(model, path)
    arrive, leave, dim = _own(layer)
    if dim is None:
        (arrive, first), (leave, last) = _agree(took, model, path), _agree(gave, model, path)
        dim = first if last is None else last
    elif gave is not None and leave != gave[dim] and leave in (gave[1], gave[-1]):
        dim = 1 if leave == gave[1] else -1  # a norm over channels that says it in its own code
    return Channels(arrive, leave, dim)


def is_called(model: nn.Module, path: str) -> bool | None:
    """Whether a forward of the model calls the module at a path, for a modifier at work.

    A module that is called in training alone, as an auxiliary classifier, counts as called.

    Args:
        model: a live model.
        path: where, under any of its names.

    Returns:
        None where that isn't known: for a model that the zoo has no arch for, and for what came into the place of
        another module.

    Raises:
        NoEffectError: nothing stands at the path.
    """
    module, trace = at(model, path), current_trace()
    if trace is None or not _is_the_archs(trace, path, module):
        return None
    if path in trace.notes.shapes:
        return True
    return trace.in_training is not None and path in trace.in_training.shapes


def _is_the_archs(trace: Trace, path: str, module: nn.Module) -> bool:
    """Whether what stands there is what the trace saw, and not what came into its place."""
    return path in trace.notes.classes and isinstance(module, trace.notes.classes[path])


def _shapes_at(model: nn.Module, path: str) -> tuple[Shape | None, Shape | None]:
    """The shapes of what a forward took and gave there, where that is known."""
    trace = current_trace()
    if trace is None or not _is_the_archs(trace, path, model.get_submodule(path)):
        return None, None
    return trace.notes.shapes.get(path, (None, None))


def _own(layer: nn.Module) -> tuple[int | None, int | None, int | None]:
    """A layer's own numbers, and the dimension of a tensor that its class means by them; None for a block."""
    width = getattr(layer, "embed_dim", None) if isinstance(layer, nn.MultiheadAttention) else None
    if not isinstance(layer, _LAYERS) and "weight" not in parameter_slots(layer):
        return width, width, None if width is None else -1
    arrive, leave = features_of(layer)
    if isinstance(layer, (nn.Embedding, nn.EmbeddingBag)):  # its rows are numbers, and no channels
        arrive = None
    first = type(layer).__name__.endswith(("1d", "2d", "3d")) or isinstance(layer, (nn.GroupNorm, _CONV))
    return arrive, leave, 1 if first else -1


_CONV = nn.modules.conv._ConvNd
_LAYERS = (nn.Linear, _CONV, nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)


def _nearby(model: nn.Module, path: str) -> Iterator[nn.Module]:
    """What is inside, the last first, since that is what gives; then what stands beside it, ever further away."""
    yield from reversed(list(model.get_submodule(path).modules()))
    while path:
        path, name = split(path)
        for other in _beside(children_of(model.get_submodule(path)), name):
            yield from reversed(list(other.modules()))


def _beside(children: Mapping[str, nn.Module], name: str) -> list[nn.Module]:
    """The other children, the nearest first."""
    place = list(children).index(name)
    others = [(abs(n - place), child) for n, child in enumerate(children.values()) if n != place]
    return [child for _, child in sorted(others, key=lambda pair: pair[0])]


def _agree(shape: Shape | None, model: nn.Module, path: str) -> tuple[int | None, int | None]:
    """The number of channels in a shape, and their dimension, by the nearest layer that fits it."""
    if shape is None or len(shape) < 2:
        return None, None
    for arrive, leave, dim in map(_own, _nearby(model, path)):
        if dim is not None and shape[dim] in (arrive, leave):
            return shape[dim], dim
    return (shape[1], None) if shape[1] == shape[-1] else (None, None)
