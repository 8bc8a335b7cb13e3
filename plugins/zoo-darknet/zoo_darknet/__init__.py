"""Darknet's networks for the zoo: cfg files as archs, weights files read and written.

>>> model = zoo.create('darknet:"yolov3.cfg"')
>>> zoo_darknet.load_weights(model, "yolov3.weights")

Importing it imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zoo

from .cfg import MOST_CHARACTERS, CfgError
from .weights import Header, load_weights, save_weights

if TYPE_CHECKING:
    from torch import nn

__all__ = ["CfgError", "Header", "load_weights", "save_weights"]

_SHIPPED = Path(__file__).parent / "nets"


def names() -> tuple[str, ...]:
    """The cfg files that the plugin ships, without their ending."""
    return tuple(sorted(path.stem for path in _SHIPPED.glob("*.cfg")))


def rebuild(prefix: str, recipe: str) -> zoo.Arch:
    """The arch of a cfg's text. Opens nothing."""
    return _arch(prefix, recipe, "the saved cfg")


@zoo.family("darknet", names=names, prefixes=("darknet",), rebuild=rebuild)
def darknet(name: str, source: str | None) -> zoo.Arch | None:
    """Darknet networks: `darknet:"yolov3.cfg"` is that file, or where there is none the one that the plugin ships."""
    if source is not None:
        return _arch(name, None, source)
    return _arch(name, None, str(_SHIPPED / f"{name}.cfg")) if name in names() else None


def _arch(name: str, text: str | None, file: str) -> zoo.Arch:
    def build() -> nn.Module:
        """A network as a Darknet cfg file describes it. The file has all the options there are."""
        from .network import Darknet
        from .reading import read_network

        found, label = (text, file) if text is not None else _read(file)
        return Darknet(read_network(found, label), found)

    return zoo.Arch(name, build, sites, sample, width=width, order=order, recipe=recipe)


def _read(source: str) -> tuple[str, str]:
    """A cfg's text and what to call it in messages: the user's file before a shipped one."""
    path = Path(source)
    if not path.is_file():
        shipped = [f"{name}.cfg" for name in names()]
        if source not in shipped:
            raise CfgError(
                f"there is no file '{source}'; expected a path to a cfg, or one that zoo-darknet ships: "
                f"{', '.join(shipped)}"
            )
        path = _SHIPPED / source
    with path.open("rb") as file:
        data = file.read(4 * MOST_CHARACTERS + 1)
    text = data.decode("utf-8-sig", errors="replace")  # what isn't UTF-8 is a comment, or an error with its line
    return text.replace("\r\n", "\n").replace("\r", "\n"), path.name


def recipe(model: Any) -> str:
    """The text of the cfg that a network came from."""
    return str(model._cfg)


def sites(model: Any) -> Mapping[str, str]:
    """`stem`, the first convolution, and in a classifier `head`, `head_drop` and `softmax`.

    `head` is the last layer with weights, `head_drop` the file's own dropout in front of it.
    """
    from .reading import read_network

    network = read_network(model._cfg, "the model's cfg")
    kinds = [layer.kind for layer in network.layers]
    found = {"stem": f"layers.{kinds.index('convolutional')}.conv"} if "convolutional" in kinds else {}
    head = network.head
    if head is not None:
        found["head"] = f"layers.{head}.{'linear' if kinds[head] == 'connected' else 'conv'}"
        if head and kinds[head - 1] == "dropout":
            found["head_drop"] = f"layers.{head - 1}"
        if "softmax" in kinds:
            found["softmax"] = f"layers.{kinds.index('softmax')}"
    return found


def sample(model: Any) -> tuple[int, ...]:
    """One input of the size that the cfg gives."""
    return tuple(model.input_shape)


def width(model: Any) -> int | None:
    """The features that arrive at a classifier's last layer."""
    path = sites(model).get("head")
    if path is None:
        return None
    layer = model.get_submodule(path)
    return int(layer.in_features if path.endswith("linear") else layer.in_channels)


def order(model: Any) -> Mapping[str, int]:
    """Each parameter's layer, by Darknet's numbers."""
    return {name: int(name.split(".")[1]) for name, _ in model.named_parameters() if name.startswith("layers.")}


@zoo.hookimpl
def zoo_families() -> list[zoo.Family]:
    return [darknet]
