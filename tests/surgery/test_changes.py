"""The words of a change as a type that is the text of old, in whatever it is written down."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import asdict

import pytest

import zoo
from zoo.surgery.changes import What

WORDS = [what for what in What if what is not What.OPTION]


@pytest.mark.parametrize("what", WORDS)
def test_a_word_is_its_text_in_whatever_it_is_written_down(what: What) -> None:
    assert what == what.value
    assert (str(what), repr(what), f"{what}") == (what.value, repr(what.value), what.value)
    assert hash(what) == hash(what.value)
    change = zoo.Change("act(silu)", "layer1.0", what)
    assert asdict(change)["what"] == what.value
    assert json.loads(json.dumps(asdict(change)))["what"] == what.value
    assert type(pickle.loads(pickle.dumps(change)).what) is str
    assert copy.deepcopy(change) == change == zoo.Change("act(silu)", "layer1.0", what.value)


@pytest.mark.parametrize("what", WORDS)
def test_a_plain_text_out_of_a_file_is_of_the_same_kind(what: What) -> None:
    assert zoo.Change("act(silu)", "", what.value).kind is what
    assert zoo.Change("act(silu)", "", what).kind is what


@pytest.mark.parametrize("name", ["eps", "p", "zoo_rate", "in_channels", "hook", "added_to", "option", ""])
def test_any_other_text_names_an_option(name: str) -> None:
    change = zoo.Change("bn", "", name)
    assert change.kind is What.OPTION
    assert change.what == name


def test_each_question_is_answered_by_these() -> None:
    """Written out, so that a new word has to be thought about."""
    questions = ("is_structural", "is_insertion", "is_arrival", "is_departure", "is_of_tensors", "is_of_calls")
    answers = {question: {str(what) for what in What if getattr(what, question)} for question in questions}
    inserted = {"inserted before", "inserted after"}
    assert answers == {
        "is_structural": {"replaced", "added", "removed"} | inserted,
        "is_insertion": inserted,
        "is_arrival": {"added", "became", "hook added"} | inserted,
        "is_departure": {"removed", "no longer", "hook removed"},
        "is_of_tensors": {"values", "requires_grad", "replaced"},
        "is_of_calls": {"became", "class"} | inserted,
    }


@pytest.mark.parametrize(
    ("spec", "unknown", "buildable"), [("simple", False, True), ("?Net", True, False), ("?Net+act(silu)", True, False)]
)
def test_an_arch_that_the_zoo_does_not_know(spec: str, unknown: bool, buildable: bool) -> None:
    from zoo.surgery.provenance import Info

    parsed = zoo.parse(spec)
    assert parsed.arch.is_unknown is unknown
    assert Info(parsed).is_buildable is buildable
    assert not Info(parsed, obstacle="norm_layer=<class> can't be written in a spec").is_buildable
