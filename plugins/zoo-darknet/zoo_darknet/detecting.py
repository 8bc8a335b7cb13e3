"""The sections that a detection network ends in: anchors, classes, and whether what arrives has their size."""

from __future__ import annotations

from math import prod

from .cfg import Options
from .parts import Before, Layer


def yolo(options: Options, before: Before) -> Layer:
    """`[yolo]`: boxes by the anchors that `mask` picks, for each pixel of the map."""
    channels, _, _ = before.map(options)
    classes, num = options.integer("classes", 20), options.integer("num", 1, most=1_000)
    mask = options.integers("mask") or tuple(range(num))
    anchors = _anchors(options, num)
    if bad := [number for number in mask if not 0 <= number < num]:
        raise options.error(f"mask has {bad[0]}; expected anchors from 0 to {num - 1}", "mask")
    scale, new = options.number("scale_x_y", 1), options.flag("new_coords")
    _fits(options, before, channels, len(mask) * (classes + 5), f"{len(mask)} anchors × ({classes} classes + 5)")
    picked = tuple(anchors[number] for number in mask)
    return before.then("yolo", before.shape, anchors=picked, classes=classes, scale_x_y=scale, new_coords=new)


def region(options: Options, before: Before) -> Layer:
    """`[region]`: boxes by every anchor, for each pixel of the map."""
    channels, _, _ = before.map(options)
    classes, num = options.integer("classes", 20), options.integer("num", 1, most=1_000)
    coords = options.integer("coords", 4, 4)
    softmax, background = options.flag("softmax"), options.flag("background")
    if options.text("tree") is not None:
        raise options.error("tree is not supported: it names another file", "tree")
    what = f"{num} anchors × ({classes} classes + {coords + 1})"
    _fits(options, before, channels, num * (classes + coords + 1), what)
    return before.then(
        "region",
        before.shape,
        anchors=_anchors(options, num),
        classes=classes,
        coords=coords,
        softmax=softmax,
        background=background,
    )


def detection(options: Options, before: Before) -> Layer:
    """`[detection]`: boxes for each cell of a grid over the image."""
    classes, num, side = (options.integer(n, d) for n, d in (("classes", 1), ("num", 1), ("side", 7)))
    coords, softmax = options.integer("coords", 1), options.flag("softmax")
    options.only("reorg", 0)
    what = f"{side}² cells × ({num} boxes × ({coords} + 1) + {classes} classes)"
    _fits(options, before, prod(before.shape), side**2 * (num * (coords + 1) + classes), what)
    return before.then("detection", before.shape, classes=classes, boxes=num, coords=coords, side=side, softmax=softmax)


def _anchors(options: Options, num: int) -> tuple[tuple[float, float], ...]:
    """Pairs of width and height; Darknet's own 0.5 where none are written."""
    given = options.numbers("anchors") or (0.5,) * (2 * num)
    if len(given) != 2 * num:
        raise options.error(
            f"anchors has {len(given)} numbers; expected {2 * num}, two for each of num={num}", "anchors"
        )
    return tuple(zip(given[::2], given[1::2], strict=True))


def _fits(options: Options, before: Before, met: int, wanted: int, what: str) -> None:
    if met != wanted:
        option = {"convolutional": "filters", "connected": "output"}.get(
            before.layers[-1].kind if before.layers else ""
        )
        hint = f"; write {option}={wanted} in layer {before.source}" if option else ""
        unit = "channels" if len(before.shape) == 3 and options.section.name != "detection" else "features"
        raise options.error(f"{met} {unit} arrive, but {what} are {wanted}{hint}")
