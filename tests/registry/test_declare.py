"""Declarations that can't work say why."""

from __future__ import annotations

from typing import Any

import pytest

import zoo

DECLARATIONS = [
    ("@zoo.modifier\ndef m(): 'x'", "modifier 'm': the first parameter is the model, as in m(model, /, ...)"),
    (
        "@zoo.modifier\ndef m(model, a: int, *rest: int): 'x'",
        "modifier 'm': *rest takes every positional value; put 'a' behind it",
    ),
    (
        "@zoo.arch()\ndef a(width: int, *rest: int): 'x'",
        "arch 'a': *rest takes every positional value; put 'width' behind it",
    ),
    ("@zoo.modifier\ndef m(model, p=1): 'x'", "modifier 'm': option 'p' needs a type, as in 'p: int'"),
    (
        "@zoo.modifier\ndef m(model, p: int = 1, /): 'x'",
        "modifier 'm': 'p' can't be positional only; put the / before it",
    ),
    (
        "@zoo.modifier\ndef m(model, pretrained: bool = False): 'x'",
        "modifier 'm': 'pretrained' is an option of zoo.create; call it otherwise",
    ),
    ("@zoo.modifier\ndef m(model, p: int): 'x'", "modifier 'm': 'p' has no default, so give examples=[\"m(...)\"]"),
    (
        "@zoo.modifier(name='two words')\ndef m(model): 'x'",
        "modifier 'two words': a name is letters, digits and _ . -, not starting with a digit",
    ),
    ("@zoo.modifier\ndef m(model): pass", "modifier 'm' needs a docstring: it is what `zoo.describe('m')` shows"),
    ("@zoo.arch\ndef a(): 'x'", "write @zoo.arch(), with brackets, above 'a'"),
    ("@zoo.arch()\ndef a(): pass", "arch 'a' needs a docstring: it is what `zoo.describe('a')` shows"),
]


@pytest.mark.parametrize(("code", "message"), DECLARATIONS)
def test_a_declaration_that_cannot_work_says_why(code: str, message: str) -> None:
    with pytest.raises(zoo.PluginError) as caught:
        exec(code, {"zoo": zoo})
    assert str(caught.value) == message


EFFECTS = [
    ({"effects": "keep"}, "effects are what zoo.Effects makes, not 'keep'"),
    (
        {"effects": zoo.Effects(keys="keeps")},
        "effects: keys='keeps'; expected one of 'keep', 'add', 'remove', 'change'",
    ),  # type: ignore[arg-type]
    ({"effects": zoo.Effects(preserves=1)}, "effects: preserves=1; expected True or False"),  # type: ignore[arg-type]
    ({"effects": zoo.Effects(repeats="no")}, "effects: repeats='no'; expected True or False"),  # type: ignore[arg-type]
    ({"effects": zoo.Effects(after="heads")}, "effects: after='heads'; expected a tuple of names, such as ('heads',)"),  # type: ignore[arg-type]
    ({"effects": zoo.Effects(before=(1,))}, "effects: before=(1,); expected a tuple of names, such as ('heads',)"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("said", "text"), EFFECTS)
def test_effects_that_are_none(said: dict[str, Any], text: str) -> None:
    def leaky(model: Any, /) -> Any:
        """Nothing."""

    with pytest.raises(zoo.PluginError) as met:
        zoo.modifier(**said)(leaky)
    assert str(met.value) == f"modifier 'leaky': {text}"


def test_effects_are_kept_with_the_modifier() -> None:
    said = zoo.Effects(keys="add", preserves=True, repeats=False, after=("heads",), before=("freeze",))

    @zoo.modifier(effects=said)
    def leaky(model: Any, /) -> Any:
        """Nothing."""

    assert leaky.effects is said
    assert zoo.modifier(leaky.apply).effects == zoo.Effects()
