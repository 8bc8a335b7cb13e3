"""Errors: where they stand, how they travel, and the place that a border adds."""

from __future__ import annotations

import pickle
import pickletools
import traceback

import pytest

import zoo
from zoo.messages.errors import locate

ERRORS = [getattr(zoo, name) for name in zoo.__all__ if name.endswith(("Error", "Warning"))]


@pytest.mark.parametrize("kind", ERRORS)
def test_a_traceback_and_a_pickle_name_what_users_catch(kind: type[Exception]) -> None:
    error = kind("no")
    assert traceback.format_exception_only(error) == [f"zoo.{kind.__name__}: no\n"]
    saved = pickle.dumps(error, protocol=4)
    assert [arg for op, arg, _ in pickletools.genops(saved) if op.name == "SHORT_BINUNICODE"] == [
        "zoo",
        kind.__name__,
        "no",
    ]
    again = pickle.loads(saved)
    assert (type(again), str(again)) == (kind, "no")


def test_an_error_of_a_strangers_own_stands_where_it_is_written() -> None:
    class Broken(zoo.NotApplicableError):
        pass

    assert Broken.__module__ == __name__


def test_only_the_innermost_border_adds_its_place() -> None:
    error = zoo.UnknownNameError("no arch 'resnet'")
    error.owners = ("acme", "bolt")
    inner = locate(error, "part 1")
    assert isinstance(inner, zoo.UnknownNameError)
    assert (str(inner), inner.owners) == ("no arch 'resnet'\n  in part 1", ("acme", "bolt"))
    assert locate(inner, "the whole") is inner
    assert str(error) == "no arch 'resnet'"
