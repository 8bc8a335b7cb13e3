"""A layer like another one with other widths, against the one that torch's own constructor makes."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

import zoo

BIG: dict[str, Any] = {"stride": 2, "padding": 1, "dilation": 2, "groups": 4, "bias": False}
# The class, its first arguments, those of the one that is wanted, its options, and the widths to ask for.
PAIRS = [
    (nn.Linear, (3, 4), (5, 6), {}, (5, 6)),
    (nn.Linear, (3, 4), (3, 6), {"bias": False}, (None, 6)),
    (nn.Conv1d, (4, 8, 3), (6, 8, 3), {"padding": "same", "padding_mode": "circular"}, (6, None)),
    (nn.Conv2d, (8, 16, 3), (4, 8, 3), BIG, (4, 8)),
    (nn.Conv2d, (8, 8, 3), (16, 32, 3), {"groups": 8, "padding_mode": "reflect", "padding": (1, 0)}, (16, 32)),
    (nn.Conv3d, (2, 3, (1, 2, 3)), (4, 5, (1, 2, 3)), {}, (4, 5)),
    (nn.ConvTranspose1d, (2, 3, 2), (2, 7, 2), {"stride": 2}, (None, 7)),
    (nn.ConvTranspose2d, (8, 16, 3), (16, 32, 3), {**BIG, "output_padding": 1}, (16, 32)),
    (nn.Embedding, (10, 4), (20, 8), {"padding_idx": 3, "max_norm": 1.0, "sparse": True}, (20, 8)),
    (nn.EmbeddingBag, (10, 4), (5, 4), {"mode": "sum", "include_last_offset": True}, (5, None)),
    (nn.BatchNorm2d, (4,), (8,), {"eps": 0.1, "momentum": None, "affine": False}, (8, None)),
    (nn.BatchNorm1d, (4,), (8,), {"track_running_stats": False}, (8, 8)),
    (nn.GroupNorm, (2, 8), (2, 4), {"eps": 0.1}, (None, 4)),
    (nn.InstanceNorm2d, (4,), (8,), {"affine": True, "track_running_stats": True}, (8, 8)),
    (nn.LayerNorm, (8,), (16,), {"bias": False, "eps": 0.1}, (16, None)),
    (nn.RMSNorm, (8,), (4,), {}, (4, 4)),
    (nn.Bilinear, (2, 3, 4), (2, 3, 5), {}, (None, 5)),
    (nn.LazyLinear, (4,), (5,), {}, (None, 5)),
]


@pytest.mark.parametrize(("kind", "old", "new", "options", "wanted"), PAIRS, ids=[pair[0].__name__ for pair in PAIRS])
def test_a_layer_like_another_is_what_its_constructor_makes(
    kind: Any, old: Any, new: Any, options: dict[str, Any], wanted: tuple[int | None, int | None]
) -> None:
    torch.manual_seed(1)
    expected = kind(*new, **options)
    layer = kind(*old, **options)
    torch.manual_seed(1)
    made = zoo.make_like(layer, *wanted)
    assert type(made) is kind
    assert repr(made) == repr(expected)
    assert public(made) == public(expected)
    assert list(made.state_dict()) == list(expected.state_dict())
    for name, value in expected.state_dict().items():
        assert isinstance(value, nn.UninitializedParameter) or torch.equal(made.state_dict()[name], value)


def public(layer: nn.Module) -> dict[str, Any]:
    return {name: value for name, value in vars(layer).items() if not name.startswith("_")}


def test_it_comes_in_the_mode_and_memory_of_the_other() -> None:
    made = zoo.make_like(nn.Linear(3, 4, dtype=torch.float16, device="meta").eval(), out_features=10**12)
    assert made.weight.shape == (10**12, 3)
    assert (made.weight.dtype, made.weight.device.type, made.training) == (torch.float16, "meta", False)
    assert zoo.make_like(nn.Linear(3, 4).double(), 5).bias.dtype == torch.float64


class Doubles(nn.Linear):
    """Computes in a way of its own, with torch's constructor."""

    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


class Square(nn.Linear):
    """A constructor of its own, and torch's forward."""

    def __init__(self, width: int) -> None:
        super().__init__(width, width)


class Scaled(nn.Linear):
    """Both of its own."""

    def __init__(self, width: int, by: float) -> None:
        super().__init__(width, width)
        self.by = by

    def forward(self, input: Tensor) -> Tensor:
        return self.by * super().forward(input)


class Wrapping(nn.Conv2d):
    """What it computes stands in a method that torch's forward calls."""

    def __init__(self, width: int) -> None:
        super().__init__(width, width, 3)

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return super()._conv_forward(input, weight.sign(), bias)


def test_a_class_of_someones_own_is_made_by_whoever_knows_how() -> None:
    made = zoo.make_like(Doubles(3, 4), out_features=5)
    assert type(made) is Doubles
    x = torch.randn(2, 3)
    assert torch.equal(made(x), 2 * nn.functional.linear(x, made.weight, made.bias))
    assert type(zoo.make_like(Square(3), out_features=5)) is nn.Linear


@pytest.mark.parametrize("change", [lambda m: zoo.insert_before(m, "", nn.Dropout()), parametrizations.weight_norm])
def test_what_was_put_over_a_class_does_not_come_along(change: Any) -> None:
    assert type(zoo.make_like(change(Doubles(3, 4)), 5)) is Doubles


REFUSALS = [
    (
        Scaled(3, 2.0),
        (None, 5),
        zoo.NotApplicableError,
        "a Scaled computes in a way of its own, and what its construct",
    ),
    (Wrapping(3), (None, 5), zoo.NotApplicableError, "a Wrapping computes in a way of its own, and what its construct"),
    (
        nn.ReLU(),
        (5, None),
        zoo.NotApplicableError,
        "a ReLU has no number of inputs of its own; write replace(site, lay",
    ),
    (nn.LSTM(3, 4), (None, 5), zoo.NotApplicableError, "a LSTM has no number of outputs of its own; write replace(sit"),
    (nn.LazyLinear(3), (5, None), zoo.NotApplicableError, "a LazyLinear has no number of inputs of its own; write re"),
    (nn.LayerNorm((2, 3)), (5, None), zoo.NotApplicableError, "a LayerNorm has no number of inputs of its own; write"),
    (nn.BatchNorm2d(4), (5, 6), zoo.ShapeError, "a BatchNorm2d gives as many as it takes, not 5 in and 6 out"),
    (nn.Conv2d(4, 4, 1, groups=4), (None, 6), zoo.ShapeError, "no Conv2d like this one can have out_channels=6: out_"),
    (nn.GroupNorm(2, 8), (5, None), zoo.ShapeError, "no GroupNorm like this one can have num_channels=5: num_chann"),
    (nn.Embedding(9, 4, 8), (5, None), zoo.ShapeError, "no Embedding like this one can have num_embeddings=5: Pad"),
]


@pytest.mark.parametrize(("layer", "wanted", "kind", "text"), REFUSALS, ids=[text[:16] for *_, text in REFUSALS])
def test_what_no_layer_like_another_can_be(layer: nn.Module, wanted: Any, kind: type[zoo.ZooError], text: str) -> None:
    with pytest.raises(kind) as caught:
        zoo.make_like(layer, *wanted)
    assert str(caught.value).startswith(text)


def test_features_of_says_what_a_layer_says() -> None:
    assert zoo.features_of(nn.Conv2d(3, 8, 1)) == (3, 8)
    assert zoo.features_of(nn.Embedding(10, 4)) == (10, 4)
    assert zoo.features_of(nn.LayerNorm(8)) == (8, 8)
    assert zoo.features_of(nn.LayerNorm((2, 3))) == zoo.features_of(nn.ReLU()) == (None, None)
    assert zoo.features_of(nn.Bilinear(2, 3, 4)) == (None, 4)


@pytest.mark.parametrize("title", ["Layers of other widths", "Weights drawn anew, and edits that aren't yours"])
def test_the_example_for_authors_runs_and_prints_what_is_shown(title: str) -> None:
    page = (Path(__file__).parents[2] / "plugins" / "README.md").read_text(encoding="utf-8")
    section = page.partition(f"### {title}\n")[2].partition("\n## ")[0].partition("\n### ")[0]
    code, shown = (block for _, block in re.findall(r"^```(\w+)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {})
    assert printed.getvalue() == shown


def test_what_was_shared_is_shared_again_where_it_can_be() -> None:
    a, b, alone = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)
    b.weight = a.weight
    pairs = [(layer, zoo.make_like(layer, 5)) for layer in (a, alone, b)]
    zoo.tie_again(pairs)
    new_a, new_alone, new_b = (new for _, new in pairs)
    assert new_a.weight is new_b.weight
    assert new_a.weight is not new_alone.weight
    assert new_a.bias is not new_b.bias
    other = [(a, zoo.make_like(a, 5)), (b, zoo.make_like(b, 6))]
    zoo.tie_again(other)
    assert other[0][1].weight is not other[1][1].weight
