"""The words that messages are made of."""

from __future__ import annotations

import pytest

from zoo.messages import text


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("nothing to say")


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (text.printable("a\x1b[31mb\n\tc"), "a\\x1b[31mb\n\tc"),
        (text.shorten("abcdef", 6), "abcdef"),
        (text.shorten("abcdefg", 6), "abcde…"),
        (text.put_in_a_line("a\n   b\tc"), "a b c"),
        (text.put_in_a_line("x" * 121), "x" * 119 + "…"),
        (text.quote("a\nb\x1b"), "'a\\nb\\x1b'"),
        (text.quote("x" * 101), f"'{'x' * 99}…'"),
        (text.escape("x" * 101), f"{'x' * 99}…"),
        (text.format_place("fc"), "'fc'"),
        (text.format_place("fc\x1b", "Linear"), "'fc\\x1b' (Linear)"),
        (text.format_place(""), "the model itself"),
        (text.format_place("", "Linear", root="the root"), "the root (Linear)"),
        (text.format_error(ValueError("no")), "ValueError: no"),
        (text.format_error(Mute()), "Mute: (it has no text)"),
        (text.count(0, "difference"), "0 differences"),
        (text.count(1, "difference"), "1 difference"),
        (text.count(2, "difference"), "2 differences"),
        (text.and_more(3, 3), ""),
        (text.and_more(4, 3), " and 1 more"),
        (text.list_names("abcd"), "'a', 'b', 'c', 'd'"),
        (text.list_names("abcdef"), "'a', 'b', 'c', 'd' and 2 more"),
        (text.list_lines(["a", "b"], 2), "\n  a\n  b"),
        (text.list_lines(["a", "b", "c"], 2), "\n  a\n  b\n  … and 1 more"),
        (text.suggest("silo", ["relu", "silu"], "the names: relu, silu"), "did you mean 'silu'?"),
        (text.suggest("xyzzy", ["relu", "silu"], "the names: relu, silu"), "the names: relu, silu"),
        (text.ask_for(["silu", "gelu"]), "did you mean 'silu' or 'gelu'?"),
        (text.ask_for([]), ""),
    ],
)
def test_words(made: str, wanted: str) -> None:
    assert made == wanted
