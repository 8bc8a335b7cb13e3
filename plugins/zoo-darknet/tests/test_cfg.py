"""What a cfg may say, and what it gets told where it can't."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo
import zoo_darknet
from zoo_darknet.parts import Network
from zoo_darknet.reading import read_network

NET = "[net]\nheight=8\nwidth=8\nchannels=3\n"
CONV = "[convolutional]\nfilters=4\nsize=3\npad=1\nactivation=leaky\n"


def shipped(name: str) -> Network:
    text = (Path(zoo_darknet.__file__).parent / "nets" / f"{name}.cfg").read_text(encoding="utf-8")
    return read_network(text, name)


# -- proof from outside -----------------------------------------------------------------------------------------------

# What was published, in bytes, of which so many are header; how many layers; how many of them are in the file.
PUBLISHED = [
    ("yolov3", "yolov3.weights", 248_007_048, 20, 107, 107),
    ("yolov3-tiny", "yolov3-tiny.weights", 35_434_956, 20, 24, 24),
    ("yolov2", "yolov2.weights", 203_934_260, 16, 32, 32),
    ("yolov4-tiny", "yolov4-tiny.weights", 24_251_276, 20, 38, 38),
    ("darknet53", "darknet53.conv.74", 162_482_580, 20, 78, 75),
]


@pytest.mark.parametrize(("name", "file", "size", "header", "layers", "stored"), PUBLISHED)
def test_a_shipped_cfg_takes_exactly_the_floats_of_the_published_weights(
    name: str, file: str, size: int, header: int, layers: int, stored: int
) -> None:
    network = shipped(name)
    assert len(network.layers) == layers
    assert sum(layer.floats for layer in network.layers[:stored]) * 4 + header == size


def test_yolov3_takes_62_001_757_floats() -> None:
    assert shipped("yolov3").floats == 62_001_757


MAPS = [
    ("yolov3", 416, [(255, 13, 13), (255, 26, 26), (255, 52, 52)]),
    ("yolov3", 320, [(255, 10, 10), (255, 20, 20), (255, 40, 40)]),
    ("yolov3-tiny", 416, [(255, 13, 13), (255, 26, 26)]),
    ("yolov4-tiny", 416, [(255, 13, 13), (255, 26, 26)]),
    ("yolov2", 416, [(425, 13, 13)]),
]


@pytest.mark.parametrize(("name", "side", "maps"), MAPS)
def test_a_detector_gives_its_raw_maps(name: str, side: int, maps: list[tuple[int, ...]]) -> None:
    model = zoo.create(f'darknet:"{name}.cfg"', device="meta").eval()
    out = model(torch.empty(2, 3, side, side, device="meta"))
    assert [tuple(y.shape) for y in out] == [(2, *shape) for shape in maps]


@pytest.mark.parametrize(("name", "side"), [("darknet19", 224), ("darknet53", 256), ("resnet18", 256)])
def test_a_classifier_gives_one_number_a_class(name: str, side: int) -> None:
    model = zoo.create(f"zoo-darknet/{name}", device="meta").eval()
    assert tuple(model(torch.empty(2, 3, side, side, device="meta")).shape) == (2, 1000)


@pytest.mark.parametrize("name", zoo_darknet.names())
def test_what_the_reading_says_of_shapes_is_what_the_modules_do(name: str) -> None:
    network = shipped(name)
    model = zoo.create(f'darknet:"{name}.cfg"', device="meta").eval()
    seen: list[tuple[int, ...]] = []
    for layer in model.layers:
        layer.register_forward_hook(lambda module, args, out: seen.append(tuple(out.shape[1:])))
    model(torch.empty(1, *network.input, device="meta"))
    assert seen == [layer.shape for layer in network.layers]


# -- what can't be read -----------------------------------------------------------------------------------------------

BAD = [
    ("", "bad.cfg has no sections; expected [net] first"),
    ("# nothing\n", "bad.cfg has no sections; expected [net] first"),
    ("width=3\n", "bad.cfg, line 1: 'width' comes before any section; expected [net] first"),
    ("[net\n", "bad.cfg, line 1: met '[net'; expected a section, such as [convolutional]"),
    ("\n[convolutional]\n", "bad.cfg, line 2: met [convolutional]; expected [net] first"),
    ("[net]\nwidth\n", "bad.cfg, line 2: met 'width'; expected a [section] or option=value"),
    ("[net]\nwidth=\n", "bad.cfg, line 2: met 'width='; expected a [section] or option=value"),
    ("[net]\nwidth=8\n", "line 1: [net]: height, width and channels are 0, 8 and 0; expected all three"),
    ("[net]\nwidht=8\n", "line 2: [net]: no option 'widht'; did you mean 'width'?"),
    ("[net]\nwidth=8px\n", "line 2: [net]: width is '8px'; expected a whole number of 0 or more"),
    ("[net]\nwidth=１\n", "line 2: [net]: width is '１'; expected a whole number of 0 or more"),
    ("[net]\nwidth=1_0\n", "line 2: [net]: width is '1_0'; expected a whole number of 0 or more"),
    (NET, "bad.cfg has no layers; expected sections behind [net]"),
    (NET + "[net]\n", "line 5: [net] (layer 0): a second one; expected one, at the top"),
    (NET + "[conv3d]\n", "line 5: [conv3d] (layer 0): no such section; expected one of activation, avgpool, "),
    (NET + "[lstm]\n", "line 5: [lstm] (layer 0): no such section"),
    (
        NET + CONV + "stride=0\n",
        "line 10: [convolutional] (layer 0): stride is '0'; expected a whole number of 1 or more",
    ),
    (NET + CONV + "size=5\n", "line 10: [convolutional] has size=5 here and size=3 on line 7; keep one"),
    (NET + CONV + "filtres=5\n", "line 10: [convolutional] (layer 0): no option 'filtres'; did you mean 'filters'?"),
    (NET + CONV + "zzz=5\n", "line 10: [convolutional] (layer 0): no option 'zzz'; it reads activation, "),
    (
        NET + CONV + "groups=2\n",
        "line 10: [convolutional] (layer 0): groups=2 doesn't divide the 3 channels that arrive",
    ),
    (NET + CONV + "batch_normalize=2\n", "batch_normalize is '2'; expected a whole number from 0 to 1"),
    (NET + CONV + "xnor=1\n", "line 10: [convolutional] (layer 0): xnor=1 is not supported; leave it out"),
    (NET + CONV + "dontload=1\n", "line 10: [convolutional] (layer 0): dontload=1 is not supported; leave it out"),
    (NET + CONV + "share_index=0\n", "line 10: [convolutional] (layer 0): share_index is not supported"),
    (
        NET + "[convolutional]\nactivation=swosh\n",
        "line 6: [convolutional] (layer 0): activation is 'swosh'; expected one",
    ),
    (NET + "[convolutional]\nsize=9\n", "line 6: [convolutional] (layer 0): size=9 doesn't fit into the 8 × 8 map"),
    (
        NET + CONV + "[maxpool]\nsize=9\npadding=0\n",
        "line 11: [maxpool] (layer 1): size=9 doesn't fit into the 8 × 8 map",
    ),
    (
        NET + CONV + "[maxpool]\nsize=2\npadding=2\n",
        "line 12: [maxpool] (layer 1): padding=2 with size=2 pools nothing",
    ),
    (NET + CONV + "[route]\n", "line 10: [route] (layer 1): needs layers, as in layers=-1"),
    (
        NET + CONV + "[route]\nlayers=-2\n",
        "line 11: [route] (layer 1): layers has -2, which is no layer before this one",
    ),
    (
        NET + CONV + "[route]\nlayers=1\n",
        "layers has 1, which is no layer before this one; those are 0 to 0, or -1 to -1",
    ),
    (
        NET + "[route]\nlayers=-1\n",
        "line 6: [route] (layer 0): layers has -1, which is no layer before this one; those",
    ),
    (NET + CONV + "[route]\nlayers=-1,\n", "layers has ''; expected whole numbers with commas between them"),
    (
        NET + CONV + "[route]\nlayers=0\ngroups=3\n",
        "line 12: [route] (layer 1): groups=3 doesn't divide the 4 channels",
    ),
    (NET + CONV + "[route]\nlayers=0\ngroups=2\ngroup_id=2\n", "group_id is '2'; expected a whole number from 0 to 1"),
    (
        NET + CONV + "[maxpool]\nsize=2\nstride=2\n[route]\nlayers=-1,0\n",
        "line 14: [route] (layer 2): the layers can't be put side by side: 1: 4 × 4 × 4, 0: 4 × 8 × 8; expected one",
    ),
    (
        NET + CONV + "[maxpool]\nsize=2\nstride=2\n[upsample]\n[upsample]\n[shortcut]\nfrom=1\n",
        "line 16: [shortcut] (layer 4): layer 1 gives 4 × 4 × 4, which can't be added to 4 × 16 × 16; expected",
    ),
    (
        NET + CONV + "[shortcut]\nfrom=-1\nweights_type=per_feature\n",
        "weights_type is 'per_feature'; expected one of none",
    ),
    (NET + CONV + "[reorg]\nstride=3\n", "line 11: [reorg] (layer 1): stride=3 can't fold 4 × 8 × 8 without a rest"),
    (NET + CONV + "[reorg]\nextra=9\n", "line 11: [reorg] (layer 1): extra=9 is not supported; leave it out"),
    (
        NET + "[connected]\n[upsample]\n",
        "line 6: [upsample] (layer 1): needs a map (channels, height, width), but 1 features",
    ),
    (NET + "[dropout]\nprobability=2\n", "line 6: [dropout] (layer 0): probability is 2.0; expected 0 to 1"),
    (NET + "[dropout]\nprobability=nan\n", "line 6: [dropout] (layer 0): probability is 'nan'; expected a number"),
    (NET + "[dropout]\nprobability=1e999\n", "line 6: [dropout] (layer 0): probability is '1e999'; expected a number"),
    (NET + "[softmax]\ntree=9k.tree\n", "line 6: [softmax] (layer 0): tree is not supported: it names another file"),
    (
        NET + CONV + "[yolo]\nclasses=2\nmask=0\nnum=1\nanchors=1,2\n",
        "line 10: [yolo] (layer 1): 4 channels arrive, but 1 anchors × (2 classes + 5) are 7; write filters=7 in",
    ),
    (NET + CONV + "[yolo]\nnum=3\nmask=3\n", "line 12: [yolo] (layer 1): mask has 3; expected anchors from 0 to 2"),
    (NET + CONV + "[yolo]\nnum=3\nanchors=1,2\n", "line 12: [yolo] (layer 1): anchors has 2 numbers; expected 6"),
    (NET + CONV + "[region]\nclasses=2\n", "4 channels arrive, but 1 anchors × (2 classes + 5) are 7; write filters=7"),
    (NET + "[connected]\noutput=9\n[detection]\nside=2\ncoords=4\n", "9 features arrive, but 2² cells × (1 boxes × (4"),
    (NET + "[local]\nsize=5\npad=1\n", "line 7: [local] (layer 0): pad=1 with size=5 is not supported"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_a_bad_cfg_gets_an_error_with_its_line(text: str, message: str) -> None:
    with pytest.raises(zoo_darknet.CfgError) as caught:
        read_network(text, "bad.cfg")
    assert str(caught.value).startswith("bad.cfg")
    assert message in str(caught.value)


def test_the_error_reaches_the_user_with_the_name_of_the_file(make: Callable[..., Any]) -> None:
    with pytest.raises(zoo.ZooError, match=r"^net\.cfg, line 5: \[conv3d\] \(layer 0\): no such section") as caught:
        make(NET + "[conv3d]\n")
    assert isinstance(caught.value, ValueError)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


LARGE = [
    ("[net]\nheight=99999\nwidth=99999\nchannels=3\n[cost]\n", "an input of 29,999,400,003 numbers; expected at most"),
    (
        "[net]\ninputs=99999999\n[connected]\noutput=99999999\n",
        "9,999,999,900,000,000 weights; expected at most 1,073,",
    ),
    (NET + "[convolutional]\nfilters=2000000000\n", "8,000,000,000 weights; expected at most 1,073,741,824"),
    (NET + "[upsample]\nstride=100000\n", "1,920,000,000,000 numbers in one output; expected at most 268,435,456"),
    (NET + "[convolutional]\nfilters=99999999999999999999\n", "filters is '99999999999999999999'; expected a whole"),
    (NET + CONV + "[yolo]\nnum=100000000\n", "num is '100000000'; expected a whole number from 1 to 1000"),
    (NET + "[cost]\n" * 4_097, "more than 4,096 sections"),
    (NET + "#" * 1_000_000, "bad.cfg has 1,000,034 characters; expected at most 1,000,000"),
]


@pytest.mark.parametrize(("text", "message"), LARGE, ids=[message[:30] for _, message in LARGE])
def test_a_few_lines_cannot_ask_for_all_the_memory(text: str, message: str) -> None:
    with pytest.raises(zoo_darknet.CfgError) as caught:
        read_network(text, "bad.cfg")
    assert message in str(caught.value)


# -- what Darknet reads, this reads -----------------------------------------------------------------------------------

SAME = [
    (NET + CONV).replace("=", " = "),
    (NET + CONV).replace("\n", "\r\n"),
    "\ufeff" + NET + CONV,
    "# héllo\n" + (NET + CONV).replace("pad=1", "pad=1 # as usual") + "; the end",
    (NET + CONV).replace("convolutional", "conv").replace("[net]", "[network]"),
    NET + "batch=64\nbatch=1\nsteps=1,2\n" + CONV + "size=3\nlearning_rate=0\n",
    NET + CONV + "padding=7\n",  # pad wins
]


@pytest.mark.parametrize("text", SAME)
def test_spelling_means_nothing(make: Callable[..., Any], text: str) -> None:
    plain, other = make(NET + CONV).eval(), make(text).eval()
    other.load_state_dict(plain.state_dict())
    x = torch.randn(1, 3, 8, 8)
    assert torch.equal(plain(x), other(x))


def test_defaults_are_darknets(make: Callable[..., Any]) -> None:
    model = make(NET + "[convolutional]\n")
    assert str(model.layers[0].conv) == "Conv2d(3, 1, kernel_size=(1, 1), stride=(1, 1))"
    assert type(model.layers[0].act).__name__ == "Sigmoid"


# -- which file a name means ------------------------------------------------------------------------------------------


def test_a_file_comes_before_what_the_plugin_ships(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(zoo.create('darknet:"yolov3.cfg"', device="meta").layers) == 107
    (tmp_path / "yolov3.cfg").write_text(NET + CONV)
    assert len(zoo.create('darknet:"yolov3.cfg"', device="meta").layers) == 1
    assert len(zoo.create("zoo-darknet/yolov3", device="meta").layers) == 107


@pytest.mark.parametrize("source", ["nowhere.cfg", "../yolov3.cfg", "yolov3", "."])
def test_a_file_that_is_not_there(source: str) -> None:
    with pytest.raises(zoo_darknet.CfgError) as caught:
        zoo.create(f'darknet:"{source}"')
    assert str(caught.value).startswith(
        f"there is no file '{source}'; expected a path to a cfg, or one that zoo-darknet"
    )


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.cfg")
    with pytest.raises(zoo_darknet.CfgError, match="there is no file"):
        zoo.create(f'darknet:"{tmp_path / "pipe.cfg"}"')


def test_a_weights_file_is_no_cfg(tmp_path: Path) -> None:
    (tmp_path / "net.weights").write_bytes(bytes(range(256)) * 9)
    with pytest.raises(zoo_darknet.CfgError, match=r"net\.weights, line \d+: "):
        zoo.create(f'darknet:"{tmp_path / "net.weights"}"')


def test_a_changed_file_is_read_again(make: Callable[..., Any]) -> None:
    assert len(make(NET + CONV, "+act(relu)").layers) == 1
    model = make(NET + CONV + CONV, "+act(relu)")
    assert [change.path for change in zoo.changes(model)] == ["layers.0.act", "layers.1.act"]
    assert all(change.live for change in zoo.changes(model))
