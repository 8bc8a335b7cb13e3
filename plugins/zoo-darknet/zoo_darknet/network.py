"""The network that a cfg describes: a list of layers, numbered as Darknet numbers them, and who takes whose output."""

from __future__ import annotations

from torch import Tensor, nn

from .layers import Softmax, build_layer
from .parts import Network


class Darknet(nn.Module):
    """A network out of a cfg.

    A detection network gives a tuple of the raw maps at its yolo, region or detection layers, in their order; a
    classifier gives (N, classes), probabilities where the file ends in a softmax; any other gives its last output.

    `layers` are Darknet's by Darknet's numbers; `input_shape` is what the file says of the input.
    """

    def __init__(self, network: Network, cfg: str) -> None:
        super().__init__()
        self._cfg = cfg  # for weights files and for `recipe`; private, as nothing that two models are compared by
        self.input_shape = network.input
        self.outputs = network.outputs
        self.classifies = network.classifies
        self._sources = tuple(layer.sources for layer in network.layers)
        self.layers = nn.ModuleList(map(build_layer, network.layers))
        self._done = _last_uses(self._sources, self.outputs)

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        """images: (N, channels, height, width)."""
        made = {-1: images}
        for index, layer in enumerate(self.layers):
            if isinstance(layer, Softmax) and hasattr(self, "zoo_heads_at"):
                # Over several heads side by side one softmax would mix them: they stay logits.
                made[index] = made[self._sources[index][0]]
            else:
                made[index] = layer(*[made[source] for source in self._sources[index]])
            for old in self._done[index]:
                del made[old]
        if self.outputs:
            return tuple(made[index] for index in self.outputs)
        last = made[len(self.layers) - 1]
        return last.flatten(1) if self.classifies else last


def _last_uses(sources: tuple[tuple[int, ...], ...], outputs: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """For each layer the outputs that nothing takes after it, so that memory goes back early."""
    last = {source: index for index, taken in enumerate(sources) for source in taken}
    kept = {*outputs, len(sources) - 1}
    return tuple(
        tuple(source for source, at in last.items() if at == index and source not in kept)
        for index in range(len(sources))
    )
