"""What each section of a cfg means: its options, the shape that comes out, the tensors it has. No torch, no memory.

Option names and defaults are those of Darknet (Redmon, pjreddie/darknet; route groups and further activations:
Bochkovskiy, AlexeyAB/darknet). An option that isn't read here and isn't about training alone is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from .cfg import Options
from .detecting import detection, region, yolo
from .parts import Before, Layer, Shape, sized
from .training import LOSS

ACTIVATIONS = frozenset(
    "linear leaky relu relu6 relie logistic swish mish elu selu gelu tanh hardtan".split(),
)
_OTHER_CONVOLUTIONS = (
    "binary xnor bin_output flipped dot antialiasing assisted_excitation cbn sway rotate stretch stretch_sway "
    "coordconv reverse".split()
)


# -- sections that have weights ---------------------------------------------------------------------------------------


def _norm(size: int) -> tuple[tuple[str, Shape], ...]:
    return (("bn.weight", (size,)), ("bn.running_mean", (size,)), ("bn.running_var", (size,)))


def _convolutional(options: Options, before: Before) -> Layer:
    channels, height, width = before.map(options)
    filters, size, groups = (options.integer(name, 1) for name in ("filters", "size", "groups"))
    stride = options.integer("stride", 1)
    strides = (options.integer("stride_y", stride), options.integer("stride_x", stride))
    dilation = options.integer("dilation", 1)
    dilation = dilation if size > 1 else 1  # as Darknet has it
    padding = options.integer("padding", 0, 0)
    padding = size // 2 if options.flag("pad") else padding
    norm = options.flag("batch_normalize")
    activation = options.word("activation", "logistic", ACTIVATIONS)
    _refuse_other_kinds(options)
    for what, number in (("filters", filters), ("channels that arrive", channels)):
        if number % groups:
            raise options.error(f"groups={groups} doesn't divide the {number} {what}", "groups")
    if dilation > 1 and 2 * padding != size - 1:
        raise options.error(f"dilation={dilation} needs pad=1 and an odd size", "dilation")
    out = tuple((side + 2 * padding - size) // step + 1 for side, step in zip((height, width), strides, strict=True))
    if min(out) < 1:
        raise options.error(f"size={size} doesn't fit into the {height} × {width} map that arrives", "size")
    kernel = ("conv.weight", (filters, channels // groups, size, size))
    bias = ("bn.bias" if norm else "conv.bias", (filters,))
    return before.then(
        "convolutional",
        (filters, *out),
        (bias, *(_norm(filters) if norm else ()), kernel),
        channels=channels,
        filters=filters,
        size=size,
        stride=strides,
        padding=padding * dilation,
        dilation=dilation,
        groups=groups,
        norm=norm,
        activation=activation,
    )


def _refuse_other_kinds(options: Options) -> None:
    """Convolutions with binary or shared weights, and others that Darknet's forks have."""
    for name in _OTHER_CONVOLUTIONS:
        options.only(name, 0)
    if options.text("share_index") is not None:
        raise options.error("share_index is not supported: layers that share weights", "share_index")


def _connected(options: Options, before: Before) -> Layer:
    inputs, output = prod(before.shape), options.integer("output", 1)
    norm = options.flag("batch_normalize")
    activation = options.word("activation", "logistic", ACTIVATIONS)
    bias = ("bn.bias" if norm else "linear.bias", (output,))
    tensors = (bias, ("linear.weight", (output, inputs)), *(_norm(output) if norm else ()))
    made = {"inputs": inputs, "output": output, "norm": norm, "activation": activation}
    return Layer("connected", made, (before.source,), (output,), tensors, pooled=True)


def _local(options: Options, before: Before) -> Layer:
    channels, height, width = before.map(options)
    filters, size, stride = (options.integer(name, 1) for name in ("filters", "size", "stride"))
    pad = int(options.flag("pad"))
    activation = options.word("activation", "logistic", ACTIVATIONS)
    if pad and size != 3:
        raise options.error(f"pad=1 with size={size} is not supported: Darknet pads a [local] for size=3 alone", "pad")
    out = tuple((side + 2 * pad - size) // stride + 1 for side in (height, width))
    if min(out) < 1:
        raise options.error(f"size={size} doesn't fit into the {height} × {width} map that arrives", "size")
    tensors = (("bias", (filters, *out)), ("weight", (prod(out), filters, channels * size * size)))
    made = {"size": size, "stride": stride, "padding": pad, "activation": activation}
    return before.then("local", (filters, *out), tensors, shapes=dict(tensors), **made)


def _batchnorm(options: Options, before: Before) -> Layer:
    channels, _, _ = before.map(options)
    names = ("bias", "weight", "running_mean", "running_var")
    return before.then("batchnorm", before.shape, tuple((name, (channels,)) for name in names), channels=channels)


# -- sections that join and reshape -----------------------------------------------------------------------------------


def _shortcut(options: Options, before: Before) -> Layer:
    channels, height, width = before.map(options)
    others = options.layers("from")
    activation = options.word("activation", "linear", ACTIVATIONS)
    options.word("weights_type", "none", ("none",))
    options.word("weights_normalization", "none", ("none",))
    options.only("alpha", 1)
    options.only("beta", 1)
    for other in others:
        shape = before.layers[other].shape
        if len(shape) != 3 or shape[1] < height or shape[2] < width or shape[1] // height != shape[2] // width:
            raise options.error(
                f"layer {other} gives {sized(shape)}, which can't be added to {sized(before.shape)}; expected the "
                f"same height and width, or a multiple of both",
                "from",
            )
    steps = tuple(before.layers[other].shape[1] // height for other in others)
    made = {"others": others, "channels": channels, "steps": steps, "activation": activation}
    return Layer("shortcut", made, (before.source, *others), before.shape, pooled=before.pooled)


def _route(options: Options, before: Before) -> Layer:
    sources = options.layers("layers")
    groups = options.integer("groups", 1)
    group = options.integer("group_id", 0, 0, groups - 1)
    shapes = [before.layers[source].shape for source in sources]
    if len({shape[1:] for shape in shapes}) > 1:
        sizes = ", ".join(f"{source}: {sized(shape)}" for source, shape in zip(sources, shapes, strict=True))
        raise options.error(f"the layers can't be put side by side: {sizes}; expected one height and width", "layers")
    for source, shape in zip(sources, shapes, strict=True):
        if shape[0] % groups:
            raise options.error(f"groups={groups} doesn't divide the {shape[0]} channels of layer {source}", "groups")
    out = (sum(shape[0] for shape in shapes) // groups, *shapes[0][1:])
    pooled = all(before.layers[source].pooled for source in sources)
    return Layer("route", {"layers": sources, "groups": groups, "group": group}, sources, out, pooled=pooled)


def _upsample(options: Options, before: Before) -> Layer:
    channels, height, width = before.map(options)
    stride = options.integer("stride", 2)
    options.only("scale", 1)
    return before.then("upsample", (channels, height * stride, width * stride), stride=stride)


def _reorg(options: Options, before: Before) -> Layer:
    channels, height, width = before.map(options)
    stride = options.integer("stride", 1)
    for name in ("reverse", "flatten", "extra"):
        options.only(name, 0)
    if channels % stride**2 or height % stride or width % stride:
        raise options.error(f"stride={stride} can't fold {sized(before.shape)} without a rest", "stride")
    return before.then("reorg", (channels * stride**2, height // stride, width // stride), stride=stride)


def _maxpool(options: Options, before: Before) -> Layer:
    channels, height, width = before.map(options)
    stride = options.integer("stride", 1)
    strides = (options.integer("stride_y", stride), options.integer("stride_x", stride))
    size = options.integer("size", stride)
    padding = options.integer("padding", size - 1, 0)
    for name in ("maxpool_depth", "antialiasing"):
        options.only(name, 0)
    if padding >= size:
        raise options.error(f"padding={padding} with size={size} pools nothing but padding; expected less", "padding")
    out = tuple((side + padding - size) // step + 1 for side, step in zip((height, width), strides, strict=True))
    if min(out) < 1:
        raise options.error(f"size={size} doesn't fit into the {height} × {width} map that arrives", "size")
    return before.then("maxpool", (channels, *out), size=size, stride=strides, padding=padding)


def _avgpool(options: Options, before: Before) -> Layer:
    channels, _, _ = before.map(options)
    return Layer("avgpool", {}, (before.source,), (channels, 1, 1), pooled=True)


def _crop(options: Options, before: Before) -> Layer:
    channels, height, width = before.map(options)
    size = (options.integer("crop_height", 1, most=height), options.integer("crop_width", 1, most=width))
    return before.then("crop", (channels, *size), size=size, adjust=not options.flag("noadjust"))


# -- sections that leave the shape ------------------------------------------------------------------------------------


def _dropout(options: Options, before: Before) -> Layer:
    p = options.number("probability", 0.5)
    if not 0 <= p <= 1:
        raise options.error(f"probability is {p}; expected 0 to 1", "probability")
    options.only("dropblock", 0)
    return before.then("dropout", before.shape, p=p)


def _activation(options: Options, before: Before) -> Layer:
    return before.then("activation", before.shape, activation=options.word("activation", "linear", ACTIVATIONS))


def _softmax(options: Options, before: Before) -> Layer:
    groups, temperature = options.integer("groups", 1), options.number("temperature", 1)
    options.only("spatial", 0)
    if options.text("tree") is not None:
        raise options.error("tree is not supported: it names another file", "tree")
    if prod(before.shape) % groups or temperature <= 0:
        raise options.error(f"groups={groups}, temperature={temperature:g} can't split {sized(before.shape)}", "groups")
    return before.then("softmax", before.shape, groups=groups, temperature=temperature)


def _cost(options: Options, before: Before) -> Layer:
    return before.then("cost", before.shape)


SHORT = {
    "conv": "convolutional",
    "conn": "connected",
    "max": "maxpool",
    "avg": "avgpool",
    "soft": "softmax",
}
# Each section with what reads it, and the options that only say how Darknet trains.
SECTIONS: dict[str, tuple[Callable[[Options, Before], Layer], tuple[str, ...]]] = {
    "activation": (_activation, ()),
    "avgpool": (_avgpool, ()),
    "batchnorm": (_batchnorm, ()),
    "connected": (_connected, ()),
    "convolutional": (_convolutional, ("angle", "grad_centr")),
    "cost": (_cost, ("type", "scale", "ratio", "noobj", "thresh")),
    "crop": (_crop, ("flip", "angle", "saturation", "exposure", "shift")),
    "detection": (detection, LOSS),
    "dropout": (_dropout, ("dropblock_size_rel", "dropblock_size_abs")),
    "local": (_local, ()),
    "maxpool": (_maxpool, ()),
    "region": (region, LOSS),
    "reorg": (_reorg, ()),
    "route": (_route, ()),
    "shortcut": (_shortcut, ()),
    "softmax": (_softmax, ("noloss",)),
    "upsample": (_upsample, ()),
    "yolo": (yolo, LOSS),
}
