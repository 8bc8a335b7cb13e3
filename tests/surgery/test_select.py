"""`zoo.select`: what each way to name a place finds, in which order, and what it leaves out on request."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from torch import nn

import zoo
from tests.nets import Family

# -- outermost, and without what was inserted -------------------------------------------------------------------------


def net() -> nn.Sequential:
    return nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), nn.Sequential(nn.Linear(2, 2)), nn.ReLU())


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("*", [""]),
        ("0*", ["0"]),
        (["0.0", "0.1"], ["0.0", "0.1"]),
        (["0.1", "0", "2"], ["0", "2"]),
        ("Sequential", [""]),
        (["Sequential", "!"], NotImplemented),
        ("?", ["0", "1", "2"]),
    ],
)
def test_the_outermost_of_what_a_selector_names(where: str | list[str], expected: list[str]) -> None:
    model = net()
    if expected is NotImplemented:
        with pytest.raises(zoo.NoEffectError):
            zoo.select(model, where, outermost=True)
        return
    found = zoo.select(model, where, outermost=True)
    assert list(found) == expected
    assert all(module is model.get_submodule(path) for path, module in found.items())


def test_the_outermost_are_those_of_a_kind() -> None:
    found = zoo.select(net(), "*", kind=nn.Sequential, outermost=True)
    assert list(found) == [""]
    assert list(zoo.select(net(), ["0", "1"], kind=nn.Sequential, outermost=True)) == ["0", "1"]


def test_names_that_begin_alike_are_not_inside_each_other() -> None:
    model = nn.Module()
    model.layer1, model.layer10 = nn.Sequential(nn.ReLU()), nn.ReLU()
    assert list(zoo.select(model, "layer1*", outermost=True)) == ["layer1", "layer10"]


def test_what_was_inserted_is_passed_over() -> None:
    model = net()
    zoo.insert_before(model, "0.1", nn.Sequential(nn.ReLU()))
    zoo.insert_after(model, "2", nn.ReLU())
    assert len(zoo.select(model, kind=nn.ReLU)) == 4
    assert list(zoo.select(model, kind=nn.ReLU, inserted=False)) == ["0.1", "2"]
    with pytest.raises(zoo.NoEffectError, match=r"at=2\.zoo_after\.0 matches nothing"):
        zoo.select(model, "2.zoo_after.0", inserted=False)


def test_a_module_that_was_inserted_and_stands_elsewhere_is_found_there() -> None:
    model = net()
    zoo.insert_before(model, "0.1", model[2])
    assert list(zoo.select(model, kind=nn.ReLU)) == ["0.1", "0.1.zoo_before.0"]
    assert list(zoo.select(model, kind=nn.ReLU, inserted=False)) == ["0.1", "2"]


# -- terms and kinds --------------------------------------------------------------------------------------------------


@zoo.arch(sites={"fc": "body.0", "ends": ("body.0", "body.2"), "nowhere": "gone"}, sample=(3,))
def sited() -> nn.Module:
    """A net whose site `fc` and path `fc` differ, and which has a path called as a class."""
    net = nn.Module()
    net.body = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
    net.fc = nn.Linear(3, 2)
    net.ReLU = nn.Tanh()
    return net


@zoo.hookimpl
def zoo_archs() -> list[zoo.Arch]:
    return [sited]


def paths(model: nn.Module, *args: Any, **kwargs: Any) -> list[str]:
    return list(zoo.select(model, *args, **kwargs))


CONVNET = "convnet(channels=4, depth=2)"
BLOCK_1 = ["blocks.1", "blocks.1.conv", "blocks.1.norm", "blocks.1.act"]
BLOCKS = ["blocks.0", "blocks.0.conv", "blocks.0.norm", "blocks.0.act", *BLOCK_1]
REST = ["", "down", "pool", "head"]

SELECTIONS: list[tuple[str, Any, Any, list[str]]] = [
    ("a site", "head", None, ["head"]),
    ("a site that is another path", "stem", None, ["blocks.0.conv"]),
    ("a path", "blocks.1.act", None, ["blocks.1.act"]),
    ("a glob crosses dots", "b*act", None, ["blocks.0.act", "blocks.1.act"]),
    ("a glob of one character", "blocks.?.act", None, ["blocks.0.act", "blocks.1.act"]),
    ("a glob takes contents along", "blocks.*", None, BLOCKS),
    ("a star takes the root too", "*", None, ["", "blocks", *BLOCKS, "down", "pool", "head"]),
    ("a class", "Conv2d", None, ["blocks.0.conv", "blocks.1.conv"]),
    ("a base class", "_BatchNorm", None, ["blocks.0.norm", "blocks.1.norm"]),
    ("the class of the root", "ConvNet", None, [""]),
    ("a container is itself", "blocks", None, ["blocks"]),
    ("a list, in the model's order", ["head", "stem"], None, ["blocks.0.conv", "head"]),
    ("a tuple", ("head", "pool"), None, ["pool", "head"]),
    ("a term twice", ["head", "head", "Linear"], None, ["head"]),
    ("excluded with its contents", ["*", "!blocks"], None, REST),
    ("excluded first", ["!blocks", "*"], None, REST),
    ("only exclusions", "!blocks", None, REST),
    ("excluded class", ["blocks*", "!Block"], None, ["blocks"]),
    ("excluded site", ["Conv2d", "!stem"], None, ["blocks.1.conv"]),
    ("excluded glob", ["*.act", "!*1*"], None, ["blocks.0.act"]),
    ("a container means its contents of a kind", "blocks", nn.ReLU, ["blocks.0.act", "blocks.1.act"]),
    ("a part means its contents of a kind", "blocks.1", nn.ReLU, ["blocks.1.act"]),
    ("a glob of containers and a kind", "blocks.?", nn.Conv2d, ["blocks.0.conv", "blocks.1.conv"]),
    ("everything of a kind", "*", nn.Linear, ["head"]),
    ("kinds", "*", (nn.Linear, nn.MaxPool2d), ["down", "head"]),
    ("a test as kind", "*", lambda m: getattr(m, "kernel_size", None) == (3, 3), ["blocks.0.conv", "blocks.1.conv"]),
    ("exclusions and a kind", "!blocks.0", nn.ReLU, ["blocks.1.act"]),
    ("a union of kinds", "*", nn.Linear | nn.MaxPool2d, ["down", "head"]),
    ("a kind that the model lacks", "*", nn.LSTM, []),
    ("a kind that the model lacks, excluded", ["*", "!head"], nn.LSTM, []),
]


@pytest.mark.parametrize(("where", "kind", "expected"), [s[1:] for s in SELECTIONS], ids=[s[0] for s in SELECTIONS])
def test_select(where: Any, kind: Any, expected: list[str]) -> None:
    model = zoo.create(CONVNET, device="meta")
    found = zoo.select(model, where, kind) if kind else zoo.select(model, where)
    assert list(found) == expected
    assert all(found[path] is model.get_submodule(path) for path in expected)


NOTHING: list[tuple[Any, Any, str]] = [
    (
        "blocks.7",
        None,
        "at=blocks.7 matches nothing in this ConvNet; sites: stem, head, stages; paths: 'blocks', 'blocks.0', "
        "'blocks.0.conv', 'blocks.0.norm', 'blocks.0.act', 'blocks.1' …",
    ),
    (["head", "LSTM"], None, "at=LSTM matches nothing in this ConvNet"),
    (["head", "!LSTM"], None, "at=LSTM matches nothing in this ConvNet"),
    ("Head", None, "at=Head matches nothing in this ConvNet"),
    ("blocks.1.norm", nn.ReLU, "at=blocks.1.norm matches 'blocks.1.norm' (BatchNorm2d), which holds nothing to change"),
    (["blocks.*", "!Block"], None, "the exclusions leave nothing of at=[blocks.*, !Block]; exclude less"),
    (["head", "!head"], None, "the exclusions leave nothing of at=[head, !head]; exclude less"),
    ("!*", None, "the exclusions leave nothing of at=!*; exclude less"),
    ("!blocks", nn.ReLU, "the exclusions leave nothing of at=!blocks; exclude less"),
]


@pytest.mark.parametrize(("where", "kind", "text"), NOTHING)
def test_each_term_must_match(where: Any, kind: Any, text: str) -> None:
    model = zoo.create(CONVNET, device="meta")
    with pytest.raises(zoo.NoEffectError) as caught:
        zoo.select(model, where, kind)
    assert str(caught.value).startswith(text)


def test_select_a_site_before_a_path_before_a_class() -> None:
    here = sys.modules[__name__]
    model = zoo.create("sited", registry=zoo.Registry.of(here))
    assert paths(model, "fc") == ["body.0"]
    assert paths(model, "ends") == ["body.0", "body.2"]
    assert paths(model, "ReLU") == ["ReLU"]  # a path of that name, so not the class
    assert paths(model, ["ends", "!fc"]) == ["body.2"]
    assert paths(model, "Tanh") == ["ReLU"]


def test_select_names_a_shared_module_once() -> None:
    assert paths(Family(), "*", nn.ReLU) == ["act"]
    assert paths(Family(), "ReLU") == ["act"]
    assert paths(Family(), ["inner.1", "again"]) in (["act"], ["again"])
    assert paths(Family(), "inner.1") == ["inner.1"], "the second name works too"


def test_select_finds_a_root_that_matches() -> None:
    relu = nn.ReLU()
    assert zoo.select(relu, "*", nn.ReLU) == {"": relu}
    assert zoo.select(relu, "ReLU") == {"": relu}


def test_select_finds_matches_inside_matches() -> None:
    model = nn.Sequential(nn.Sequential(nn.Sequential(nn.ReLU())), nn.ReLU())
    assert paths(model, "Sequential") == ["", "0", "0.0"]
    assert paths(model, "*", nn.Sequential) == ["", "0", "0.0"]
