"""Weights files: bytes made by hand, round trips, and what doesn't fit."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import CLASSIFIER, SMALL

import zoo
from zoo_darknet import Header, load_weights, save_weights

# One layer of each kind that has weights: 1 × 1 convolution, one with normalisation, local, batchnorm, connected.
ALL_KINDS = """
[net]
height=2
width=1
channels=2
[convolutional]
filters=3
[convolutional]
filters=2
batch_normalize=1
[batchnorm]
[local]
filters=2
[connected]
output=3
batch_normalize=1
[connected]
output=2
"""
# In the order of Darknet's save_weights: biases first; scales, means and variances next, but behind a connected
# layer's matrix.
ORDER = [
    ("0.conv.bias", (3,)),
    ("0.conv.weight", (3, 2, 1, 1)),
    ("1.bn.bias", (2,)),
    ("1.bn.weight", (2,)),
    ("1.bn.running_mean", (2,)),
    ("1.bn.running_var", (2,)),
    ("1.conv.weight", (2, 3, 1, 1)),
    ("2.bias", (2,)),
    ("2.weight", (2,)),
    ("2.running_mean", (2,)),
    ("2.running_var", (2,)),
    ("3.bias", (2, 2, 1)),
    ("3.weight", (2, 2, 2)),
    ("4.bn.bias", (3,)),
    ("4.linear.weight", (3, 4)),
    ("4.bn.weight", (3,)),
    ("4.bn.running_mean", (3,)),
    ("4.bn.running_var", (3,)),
    ("5.linear.bias", (2,)),
    ("5.linear.weight", (2, 3)),
]
FLOATS = 75


def numbered(header: bytes) -> bytes:
    return header + struct.pack(f"<{FLOATS}f", *range(FLOATS))


HEADERS = [
    (struct.pack("<iiiQ", 0, 2, 5, 32013312), Header(0, 2, 5, 32013312)),
    (struct.pack("<iiiQ", 1, 0, 0, 2**40), Header(1, 0, 0, 2**40)),
    (struct.pack("<iiiI", 0, 1, 0, 7), Header(0, 1, 0, 7)),
    (struct.pack("<iiiI", 0, 0, 0, 0), Header(0, 0, 0, 0)),
]


@pytest.mark.parametrize(("start", "header"), HEADERS)
def test_bytes_made_by_hand_are_read_and_written(
    make: Callable[..., Any], tmp_path: Path, start: bytes, header: Header
) -> None:
    file = tmp_path / "a.weights"
    file.write_bytes(numbered(start))
    model = make(ALL_KINDS)
    assert load_weights(model, file) == header
    state, numbers = model.state_dict(), count()
    for name, shape in ORDER:
        values = torch.tensor([next(numbers) for _ in range(torch.Size(shape).numel())], dtype=torch.float32)
        assert torch.equal(state[f"layers.{name}"], values.reshape(shape)), name
    save_weights(model, tmp_path / "b.weights", header=header)
    assert (tmp_path / "b.weights").read_bytes() == file.read_bytes()


def test_old_files_hold_connected_layers_input_by_input(make: Callable[..., Any], tmp_path: Path) -> None:
    start = struct.pack("<iiiI", 0, 1001, 0, 0)
    (tmp_path / "old.weights").write_bytes(numbered(start))
    model = make(ALL_KINDS)
    header = load_weights(model, tmp_path / "old.weights")
    assert model.layers[5].linear.weight.tolist() == [[69, 71, 73], [70, 72, 74]]
    assert model.layers[0].conv.weight.flatten().tolist() == [3, 4, 5, 6, 7, 8]
    save_weights(model, tmp_path / "b.weights", header=header)
    assert (tmp_path / "b.weights").read_bytes() == numbered(start)


def test_a_file_without_anything_said_is_of_version_0_2_0(make: Callable[..., Any], tmp_path: Path) -> None:
    save_weights(make(SMALL), tmp_path / "a.weights")
    assert (tmp_path / "a.weights").read_bytes()[:20] == struct.pack("<iiiQ", 0, 2, 0, 0)
    assert sorted(os.listdir(tmp_path)) == ["a.weights", "net.cfg"]


WRONG = [
    (b"", "has 0 bytes; expected a header of 20 first"),
    (struct.pack("<iiiI", 0, 2, 0, 0), "has 16 bytes; expected a header of 20 first"),
    (struct.pack("<iii", 0, 1, 0), "has 12 bytes; expected a header of 16 first"),
    (
        struct.pack("<iiiQ", 0, 2, 0, 0),
        "has 0 floats behind a header of 20 bytes (version 0.2.0); this network takes 75, 75 f",
    ),
    (
        numbered(struct.pack("<iiiQ", 0, 2, 0, 0))[:-4],
        "has 74 floats behind a header of 20 bytes (version 0.2.0); this ",
    ),
    (numbered(struct.pack("<iiiQ", 0, 2, 0, 0))[:-3], "has 74 floats and 1 bytes behind a header of 20 bytes"),
    (
        numbered(struct.pack("<iiiQ", 0, 2, 0, 0)) + bytes(8),
        "has 77 floats behind a header of 20 bytes (version 0.2.0); ",
    ),
    (numbered(struct.pack("<iiiQ", 0, 2, 0, 0)) + bytes(8), "this network takes 75, 2 more than expected"),
    (numbered(struct.pack("<iiiQ", 0, 1, 0, 0)), "has 76 floats behind a header of 16 bytes (version 0.1.0); this"),
]


@pytest.mark.parametrize(("data", "message"), WRONG)
def test_a_file_of_another_size_is_refused_and_nothing_is_loaded(
    make: Callable[..., Any], tmp_path: Path, data: bytes, message: str
) -> None:
    (tmp_path / "a.weights").write_bytes(data)
    model = make(ALL_KINDS)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(zoo.CheckpointError) as caught:
        load_weights(model, tmp_path / "a.weights")
    assert message in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_file_that_is_not_there(make: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(zoo.CheckpointError, match=r"a\.weights can't be read: No such file or directory"):
        load_weights(make(ALL_KINDS), tmp_path / "a.weights")


def test_only_the_first_layers(make: Callable[..., Any], tmp_path: Path) -> None:
    """As with darknet53.conv.74, a trunk without its detection layers."""
    trained, fresh = make(SMALL), make(SMALL)
    save_weights(trained, tmp_path / "trunk", layers=7)
    assert (tmp_path / "trunk").stat().st_size == 20 + 4 * (8 * 4 + 8 * 27 + 8 + 64 + 4 * 4 + 4 * 18)
    old = fresh.state_dict()["layers.8.conv.weight"].clone()
    load_weights(fresh, tmp_path / "trunk", layers=7)
    assert torch.equal(fresh.layers[5].conv.weight, trained.layers[5].conv.weight)
    assert torch.equal(fresh.layers[8].conv.weight, old)
    with pytest.raises(zoo.OptionError, match="layers is 15; expected 1 to 14"):
        load_weights(fresh, tmp_path / "trunk", layers=15)


def test_yolov3_writes_and_reads_as_many_bytes_as_were_published(tmp_path: Path) -> None:
    model = zoo.create('darknet:"yolov3.cfg"', device="meta").to_empty(device="cpu")
    for tensor in model.state_dict().values():
        tensor.zero_()
    model.layers[105].conv.weight.data.fill_(3)
    save_weights(model, tmp_path / "yolov3.weights", header=Header(0, 2, 0, 32013312))
    assert (tmp_path / "yolov3.weights").stat().st_size == 248_007_048
    model.layers[105].conv.weight.data.zero_()
    assert load_weights(model, tmp_path / "yolov3.weights").seen == 32013312
    assert model.layers[105].conv.weight.sum() == 3 * 255 * 256
    os.truncate(tmp_path / "yolov3.weights", 248_007_044)
    with pytest.raises(zoo.CheckpointError, match=r"has 62,001,756 floats .* this network takes 62,001,757, 1 fewer"):
        load_weights(model, tmp_path / "yolov3.weights")


# -- after modifiers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mods", ["+dropout(0.2)", "+act(silu)", "+bn(eps=1e-3)", "+append(layers.0.conv, Dropout(0.1))"]
)
def test_a_variant_takes_the_weights_of_its_base(make: Callable[..., Any], tmp_path: Path, mods: str) -> None:
    base = make(CLASSIFIER)
    save_weights(base, tmp_path / "a.weights")
    variant = make(CLASSIFIER, mods)
    load_weights(variant, tmp_path / "a.weights")
    assert all(torch.equal(value, variant.state_dict()[name]) for name, value in base.state_dict().items())
    save_weights(variant, tmp_path / "b.weights")
    assert (tmp_path / "b.weights").read_bytes() == (tmp_path / "a.weights").read_bytes()


REFUSED = [
    (
        "+heads(a=2)",
        "'layers.4.linear.bias' isn't there, but [4] by the model's cfg: something else stands there now; use",
    ),
    ("+replace(head, Linear(5, 2))", "'layers.4.linear.bias' is [2], but [4] by the model's cfg"),
]


@pytest.mark.parametrize(("mods", "message"), REFUSED)
def test_a_variant_with_other_weights_says_which(
    make: Callable[..., Any], tmp_path: Path, mods: str, message: str
) -> None:
    save_weights(make(CLASSIFIER), tmp_path / "a.weights")
    variant = make(CLASSIFIER, mods)
    before = {name: value.clone() for name, value in variant.state_dict().items()}
    with pytest.raises(zoo.CheckpointError) as caught:
        load_weights(variant, tmp_path / "a.weights")
    assert str(caught.value).startswith(message)
    assert str(caught.value).endswith("or with layers=4 for what is in front")
    assert all(torch.equal(value, before[name]) for name, value in variant.state_dict().items())
    save_weights(variant, tmp_path / "trunk", layers=4)
    load_weights(variant, tmp_path / "trunk", layers=4)


def test_other_types_are_converted(make: Callable[..., Any], tmp_path: Path) -> None:
    model = make(CLASSIFIER, dtype=torch.bfloat16)
    save_weights(model, tmp_path / "a.weights")
    again = make(CLASSIFIER)
    load_weights(again, tmp_path / "a.weights")
    assert torch.equal(again.layers[0].conv.weight, model.layers[0].conv.weight.float())
    load_weights(model, tmp_path / "a.weights")
    assert model.layers[0].conv.weight.dtype == torch.bfloat16


def test_what_cannot_be_filled(make: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "a.weights").write_bytes(b"")
    with pytest.raises(zoo.CheckpointError, match="the model is on the meta device and holds no weights"):
        load_weights(make(SMALL, device="meta"), tmp_path / "a.weights")
    with pytest.raises(zoo.CheckpointError, match="this Simple isn't a Darknet network"):
        load_weights(zoo.create("simple"), tmp_path / "a.weights")


def test_a_failed_write_leaves_the_old_file(make: Callable[..., Any], tmp_path: Path) -> None:
    model = make(SMALL)
    save_weights(model, tmp_path / "a.weights")
    old = (tmp_path / "a.weights").read_bytes()
    with pytest.raises(zoo.OptionError, match=r"^Header\(major=0, minor=1, .* doesn't fit into 16 bytes: "):
        save_weights(model, tmp_path / "a.weights", header=Header(0, 1, 0, seen=2**32))
    assert (tmp_path / "a.weights").read_bytes() == old
    assert sorted(os.listdir(tmp_path)) == ["a.weights", "net.cfg"]
