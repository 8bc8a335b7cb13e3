"""A whole cfg to a network: the input, then section by section, within limits."""

from __future__ import annotations

from math import prod

from .cfg import CfgError, Options, Section, read_sections
from .parts import Before, Layer, Network, Shape
from .sections import SECTIONS, SHORT
from .training import NET

# What one network may take, so that a few lines of text can't ask for a machine's whole memory.
MOST_FLOATS = 2**30
MOST_IN_A_MAP = 2**28


def read_network(text: str, file: str) -> Network:
    """A cfg, read and checked. Raises CfgError with the file and the line."""
    first, *rest = read_sections(text, file)
    if first.name not in ("net", "network"):
        raise CfgError(f"{file}, line {first.line}: met [{first.name}]; expected [net] first")
    before = Before(_input(Options(first, file)))
    total = 0
    for index, section in enumerate(rest):
        options = Options(section, file, index)
        layer = _read(section, options, before)
        total += layer.floats
        if total > MOST_FLOATS or prod(layer.shape) > MOST_IN_A_MAP:
            what, most = ("weights", MOST_FLOATS) if total > MOST_FLOATS else ("numbers in one output", MOST_IN_A_MAP)
            met = total if total > MOST_FLOATS else prod(layer.shape)
            raise options.error(f"{met:,} {what}; expected at most {most:,}")
        before.layers.append(layer)
    if not rest:
        raise CfgError(f"{file} has no layers; expected sections behind [net]")
    return Network(before.input, tuple(before.layers))


def _read(section: Section, options: Options, before: Before) -> Layer:
    if section.name in ("net", "network"):
        raise options.error("a second one; expected one, at the top")
    name = SHORT.get(section.name, section.name)
    if name not in SECTIONS:
        raise options.error(f"no such section; expected one of {', '.join(sorted(SECTIONS))}")
    read, training = SECTIONS[name]
    layer = read(options, before)
    options.finish(training)
    return layer


def _input(options: Options) -> Shape:
    height, width, channels = (options.integer(name, 0, 0) for name in ("height", "width", "channels"))
    inputs = options.integer("inputs", 0, 0)
    options.finish(NET)
    sizes = (channels, height, width)
    if all(sizes):
        shape: Shape = sizes
    elif inputs and not any(sizes):
        shape = (inputs,)
    else:
        raise options.error(
            f"height, width and channels are {height}, {width} and {channels}; expected all three to be 1 or more, or "
            f"inputs alone"
        )
    if prod(shape) > MOST_IN_A_MAP:
        raise options.error(f"an input of {prod(shape):,} numbers; expected at most {MOST_IN_A_MAP:,}")
    return shape
