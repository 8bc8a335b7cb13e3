"""Errors: where they stand, how they travel, and the place that a border adds."""

from __future__ import annotations

import pickle
import pickletools
import traceback
from typing import Any

import pytest
from torch import nn

import zoo
from zoo.messages.errors import locate
from zoo.plan.lookup import find_modifier

FIELDS = ("spec", "part", "column", "name", "option", "suggestions")

ERRORS = [getattr(zoo, name) for name in zoo.__all__ if name.endswith(("Error", "Warning"))]


@pytest.mark.parametrize("kind", ERRORS)
def test_a_traceback_and_a_pickle_name_what_users_catch(kind: type[Exception]) -> None:
    error = kind("no")
    assert traceback.format_exception_only(error) == [f"zoo.{kind.__name__}: no\n"]
    saved = pickle.dumps(error, protocol=4)
    texts = [arg for op, arg, _ in pickletools.genops(saved) if op.name == "SHORT_BINUNICODE"]
    assert texts[:3] == ["zoo", kind.__name__, "no"]
    assert not any("." in text for text in texts)
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


@pytest.mark.parametrize(
    ("kind", "parents"),
    [
        (zoo.SpecError, (ValueError,)),
        (zoo.UnknownNameError, (LookupError,)),
        (zoo.OptionError, (TypeError, ValueError)),
        (zoo.NoEffectError, (zoo.NotApplicableError,)),
        (zoo.ShapeError, (ValueError,)),
        (zoo.FetchError, (OSError,)),
    ],
)
def test_errors_are_caught_as_what_people_catch(kind: type[zoo.ZooError], parents: tuple[type[Exception], ...]) -> None:
    for parent in (zoo.ZooError, *parents):
        with pytest.raises(parent) as caught:
            raise kind("no")
        assert str(caught.value) == "no"


def test_fields_are_empty_where_nobody_says_anything_and_travel_with_the_error() -> None:
    assert [getattr(zoo.OptionError("no"), field) for field in FIELDS] == ["", "", None, "", "", ()]
    error = zoo.OptionError("no", spec="a+b(c=1)", part="b(c=1)", name="b", option="c", suggestions=["d"])
    again = locate(pickle.loads(pickle.dumps(error)), "part 1")
    assert [getattr(again, field) for field in FIELDS] == ["a+b(c=1)", "b(c=1)", None, "b", "c", ("d",)]
    with pytest.raises(TypeError):
        zoo.OptionError("no", nmae="b")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("spec", "kind", "fields"),
    [
        ("simple+act(silu", zoo.SpecError, {"spec": "simple+act(silu", "column": 16}),
        ("simpel", zoo.UnknownNameError, {"part": "simpel", "name": "simpel", "suggestions": "simple"}),
        ("simple+dropot", zoo.UnknownNameError, {"part": "dropot", "name": "dropot", "suggestions": "dropout"}),
        ("dropout", zoo.UnknownNameError, {"part": "dropout", "name": "dropout"}),
        ("?Net", zoo.UnknownNameError, {"part": "?Net", "name": "?Net"}),
        ("hf-hu:x", zoo.UnknownNameError, {"part": "hf-hu:x", "name": "hf-hu", "suggestions": "hf-hub"}),
        (
            "mlp(in_featurs=3)",
            zoo.OptionError,
            {"name": "mlp", "option": "in_featurs", "suggestions": "in_features"},
        ),
        ("simple+dropout(p=3)", zoo.OptionError, {"part": "dropout(p=3)", "name": "dropout", "option": "p"}),
        ("simple+dropout(0.1, p=0.2)", zoo.OptionError, {"name": "dropout", "option": "p"}),
        ("simple+dropout(1, 2, 3, 4)", zoo.OptionError, {"part": "dropout(1, 2, 3, 4)", "name": "dropout"}),
        ("simple+replace(head)", zoo.OptionError, {"part": "replace(head)", "name": "replace", "option": "layer"}),
        ("simple+replace(head, PReLUU(3))", zoo.UnknownNameError, {"name": "PReLUU", "option": "layer"}),
        ("simple+act(silo)", zoo.OptionError, {"part": "act(silo)", "name": "act", "suggestions": "silu"}),
        ("simple+dropout(at=nix)", zoo.NoEffectError, {"part": "dropout(at=nix)", "name": "nix", "option": "at"}),
        ("simple+bn(eps=0.1, at=layers1*)", zoo.NoEffectError, {"name": "layers1*", "option": "at"}),
    ],
)
def test_an_error_has_in_fields_what_programs_want_of_it(
    spec: str, kind: type[zoo.ZooError], fields: dict[str, Any]
) -> None:
    with pytest.raises(kind) as caught:
        zoo.create(spec)
    error = caught.value
    assert error.spec == spec
    for field, value in fields.items():
        found = getattr(error, field)
        assert (value in found) if field == "suggestions" else (found == value), (field, found)


def test_a_name_that_two_have_suggests_both_with_their_owners() -> None:
    @zoo.modifier
    def crown(model: nn.Module, /) -> nn.Module:
        """Changes nothing."""
        return model

    registry = zoo.Registry().also(crown, owner="acme").also(crown, owner="bolt")
    with pytest.raises(zoo.UnknownNameError) as caught:
        find_modifier("crown", registry)
    assert (caught.value.name, caught.value.suggestions) == ("crown", ("acme/crown", "bolt/crown"))


def test_a_modifiers_own_error_has_its_name() -> None:
    for error in (RuntimeError("no"), zoo.NotApplicableError("no")):

        def crown(model: nn.Module, /) -> nn.Module:
            """Never works."""
            raise error  # noqa: B023

        registry = zoo.Registry().also(zoo.modifier(crown), owner="acme")
        with pytest.raises(zoo.ZooError) as caught:
            zoo.modify(nn.ReLU(), "crown", registry=registry)
        assert (caught.value.name, caught.value.part, caught.value.spec) == ("crown", "crown", "crown")
