"""Braces: the raw expansion is bash's own, tried against the real one; `zoo.expand` makes checked specs of it."""

from __future__ import annotations

import random
import re
import subprocess
import time

import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

import zoo
from zoo.spec.braces import expand_braces

SHOW = 'show() { printf \'%s\\n\' "$#" "$@"; }\n'


def bash(texts: list[str]) -> list[list[str]]:
    """What bash makes of each text, in one process. Empty words vanish there."""
    script = SHOW + "\n".join(f"show {text}" for text in texts)
    command = ["bash", "--norc", "--noprofile", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"LC_ALL": "C"})
    assert not done.stderr
    lines = iter(done.stdout.split("\n"))
    return [[next(lines) for _ in range(int(next(lines)))] for _ in texts]


def check_against_bash(texts: list[str]) -> None:
    """Bare, where the empty ones vanish, and between letters, where none is empty."""
    texts = [*texts, *(f"x{text}y" for text in texts)]
    found = {text: [one for one in expand_braces(text) if one] for text in texts}
    assert found == dict(zip(texts, bash(texts), strict=True))


# -- against bash -----------------------------------------------------------------------------------------------------

LISTS = """
a a{b,c} {a,b}{c,d} {a,{b,c}} {{a,b},c} a{b,c{d,e}f}g {,a} {a,} {,} {,,} {a,,b} {a,b}, ,{a,b} {a,a}
"""
# What bash takes for text.
ODD = """
{} {a} {}a a{} {}{a,b} {a,b}{} {{}} {{},a} {{a,b}} {{{a,b}}} {a,b }a{a,b} {a,b}} {{a,b} {a,{b} {a},b} { } }{ {{ }}
{,{,}} {a}{b,c} {a}b,c} {{a}b,c} {a,b{c} {a{b,c} {a{b,c}d {,{a} {{a},b}c} }{,{ ,{},{
"""
RANGES = """
{1..3} {3..1} {1..1} {-1..1} {1..-1} {-3..-1} {1..10..3} {10..1..3} {1..10..-3} {10..1..-3} {1..3..0} {01..10} {1..010}
{00..3} {0..00} {-01..1} {-1..01} {-00..1} {-0..1} {001..3..2} {1..3..02} {9..11} {09..11} {a..e} {e..a} {a..a}
{a..e..2} {e..a..2} {a..e..-2} {e..a..-2} {a..c..0} {A..C} {z..x} {0..1}{0..1} {a,{1..3}}
"""
NO_RANGES = """
{1..} {..1} {..} {...} {1...3} {1..3..} {1..3..1..1} {a..1} {1..a} {ab..c} {a..bc} {1..2a} {1.5..2} {1.3} {-..1}
{--1..1} {1,2..3} {1..3,5} {a..c,e..g} {1..3}..5 {a..b..c} {a..c..1x} {.1..3} {..a..c} {..,a}
"""
# Two dots open a group as a comma does, even where the braces inside make it no range.
NESTED = """
{{1..3}..5} {1..{2,3}} {{a,b}..c} {{1,2}..{3,4}} {{1..3}a}..a1} {..{1..3}} {..{1..3}}{a,b} {{-1}1..{1..3}} {{a,b}..}}
{{1..2}..{3..4}} {{..{1..3}}{a,b} {b{1..3}..-1}..-1 {},{}..{a,b}}{ {}..{a,b}}a
"""


@pytest.mark.parametrize(
    "table", [LISTS, ODD, RANGES, NO_RANGES, NESTED], ids=["lists", "odd", "ranges", "no", "nested"]
)
def test_a_text_expands_as_in_bash(table: str) -> None:
    check_against_bash(table.split())


@pytest.mark.parametrize("pieces", ["{},.ab01-", ["{", "}", ",", "..", "a", "0", "1", "-1", "01", "{a,b}", "{1..3}"]])
def test_random_texts_expand_as_in_bash(pieces: str | list[str]) -> None:
    choose = random.Random(7)
    texts = ["".join(choose.choices(pieces, k=choose.randint(1, 12))) for _ in range(3000)]
    check_against_bash([text for text in texts if not re.search(r"\d{4}", text)])  # a long range takes long


@settings(max_examples=40, deadline=None, derandomize=True, database=None, phases=[Phase.generate, Phase.shrink])
@given(st.lists(st.text("{},.ab01-", min_size=1, max_size=20), min_size=1, max_size=50))
def test_any_text_expands_as_in_bash(texts: list[str]) -> None:
    assume(not any(re.search(r"\d{4}", text) for text in texts))
    assume(all(text.count(",") + text.count("..") < 10 for text in texts))
    check_against_bash(texts)


# -- where a spec is no word of a shell -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{,a}", ["", "a"]),  # bash drops an empty word; here it is for `expand` to explain
        ("x{,}y", ["xy", "xy"]),
        ("", [""]),
        ("a b{1,2}", ["a b1", "a b2"]),
        ("$a{1,2}*~\\", ["$a1*~\\", "$a2*~\\"]),
        ("a({1,2}, b)", ["a(1, b)", "a(2, b)"]),
        ("{a(1, 2),b}", ["a(1", " 2)", "b"]),  # brackets don't protect a comma
        ('a("{1,2}")', ['a("{1,2}")']),
        ("a('{1..3}')", ["a('{1..3}')"]),
        ('{"a,b",c}', ['"a,b"', "c"]),
        ("""{'a"b,c',"d'e,f"}""", ["""'a"b,c'""", """"d'e,f\""""]),
        (r'{"a\",b",c}', [r'"a\",b"', "c"]),
        (r'{"a\\",b}', [r'"a\\"', "b"]),
        ('{"..",1}', ['".."', "1"]),
        ('{1".."3}', ['{1".."3}']),
        ('"{a,b}', ['"a', '"b']),  # a quote that isn't closed protects nothing; `parse` refuses it
        ("{٣..٥}", ["{٣..٥}"]),
    ],
)
def test_raw_expansion_of_what_a_shell_would_read_otherwise(text: str, expected: list[str]) -> None:
    assert expand_braces(text) == expected


# -- families of specs ------------------------------------------------------------------------------------------------

FAMILIES = [
    ("simple", ["simple"]),
    (
        "resnet{18,34}+{,dropout(0.2)}+act({relu,silu})",
        [
            "resnet18+act(relu)",
            "resnet18+act(silu)",
            "resnet18+dropout(0.2)+act(relu)",
            "resnet18+dropout(0.2)+act(silu)",
            "resnet34+act(relu)",
            "resnet34+act(silu)",
            "resnet34+dropout(0.2)+act(relu)",
            "resnet34+dropout(0.2)+act(silu)",
        ],
    ),
    ("vit_{tiny,small}_patch16_224", ["vit_tiny_patch16_224", "vit_small_patch16_224"]),
    ("a+dropout(0.{1..3})", ["a+dropout(0.1)", "a+dropout(0.2)", "a+dropout(0.3)"]),
    ("a+{b,c+d}", ["a+b", "a+c+d"]),
    ("a{,+b}", ["a", "a+b"]),
    ("a{,(1)}", ["a", "a(1)"]),
    ("a+b({c,})", ["a+b(c)", "a+b"]),
    # an empty part vanishes with its plus, wherever it stands
    ("a+{,b}", ["a", "a+b"]),
    ("a+{,b}+{,c}", ["a", "a+c", "a+b", "a+b+c"]),
    ("a+{,b,c}+d", ["a+d", "a+b+d", "a+c+d"]),
    ("a + {, b} + c", ["a+c", "a+b+c"]),
    # equal ones stand once, in the order of their first
    ("a+{b,c,b}", ["a+b", "a+c"]),
    ("a({0.5,.5,5e-1,0.50})", ["a(0.5)"]),
    ("""a({x,"x",'x', x })""", ["a(x)"]),
    ("a({1,1.0,True})", ["a(1)", "a(1.0)", "a(True)"]),
    ("a+{,}+{,}", ["a"]),
    # quotes protect
    ('a("{b,c}")', ['a("{b,c}")']),
    ("""a({"b,c",'{d}'})+{e,}""", ['a("b,c")+e', 'a("b,c")', 'a("{d}")+e', 'a("{d}")']),
    ('local-dir:"/data/{x}"+{b,}', ['local-dir:"/data/{x}"+b', 'local-dir:"/data/{x}"']),
    ('a("++")+{,b}', ['a("++")', 'a("++")+b']),
    ('a("(+")+{,b}', ['a("(+")', 'a("(+")+b']),
]


@pytest.mark.parametrize(("text", "expected"), FAMILIES, ids=[text for text, _ in FAMILIES])
def test_a_family(text: str, expected: list[str]) -> None:
    found = zoo.expand(text)
    assert [str(spec) for spec in found] == expected
    assert all(isinstance(spec, zoo.Spec) for spec in found)
    assert found == [zoo.parse(one) for one in expected]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the spec is empty"),
        ("{,a}", "the spec is empty"),
        ("{,a}+b", "column 1: unexpected '+'"),
        ("a+b({c,d)", "column 5: unexpected '{'"),
        ("a+{b,c(}", "column 5: the spec ends too early"),
        ("a+{b}", "column 3: unexpected '{'"),
        ("a+{b(1, 2),c}", "column 6: the spec ends too early"),  # bash splits inside brackets too
        ("a(b={1,2},b=3)", "column 7: the keyword 'b' stands twice"),
        ('a+{b,"c"}', "column 3: unexpected '\"c\"'"),
        ('a("{b,c})', "column 3: a quote that isn't closed"),
        ("a+{b,ｃ}", "column 3: 'ｃ' (U+FF43"),
        ("a({1e400,1})", "column 3: 1e400 is too large"),
        ("+".join(["a{,b}"] + ["c"] * 33), "33 parts"),
    ],
)
def test_each_spec_of_a_family_is_checked(text: str, message: str) -> None:
    with pytest.raises(zoo.SpecError, match="^" + re.escape(message)):
        zoo.expand(text)


# -- limits -----------------------------------------------------------------------------------------------------------


def test_ten_thousand_specs_are_the_most() -> None:
    assert len(zoo.expand("a{1..100}{b,c}")) == 200
    assert len(expand_braces("a{1..10000}")) == 10_000
    assert len(expand_braces("{0..9}{0..9}{0..9}{0..9}")) == 10_000


@pytest.mark.parametrize(
    "text",
    [
        "a{1..10001}",
        "a{0..999999999}",
        "a{-999999999..999999999..7}",
        "a{1..100}{1..101}",
        "a" + "{b,c}" * 14,
        "a" + "{b,c}" * 99,
        "a{b,{1..10000}}",
        "a{" + "{1..9999}," * 3 + "}",
        "a{1..2}" + "{1..9999}" * 50,
    ],
    ids=lambda text: text[:24],
)
def test_more_are_refused_before_they_take_memory(text: str) -> None:
    start = time.process_time()
    with pytest.raises(zoo.SpecError, match=r"^the braces stand for more than 10,000 specs$"):
        zoo.expand(text)
    assert time.process_time() - start < 2


HOSTILE = [
    "{" * 4096,
    "{" * 2048 + "}" * 2048,
    "{" * 90 + "}" * 4000,
    "{" + "}" * 4095,
    "{}" * 2048,
    "{a}" * 1365,
    "{" + "a}" * 2000,
    "{a" * 2000 + ",}",
    "{a," * 1300,
    "{a," * 1000 + "}" * 1000,
    "{," * 1365 + "}" * 1365,
    "{" * 2000 + "," * 2000,
    "{.." * 1000 + "}" * 1000,
    "{a..b" * 800,
    "{1..1}" * 682,
    '{"' * 2000,
    "," * 4096,
    "(" * 4096,
]


@pytest.mark.parametrize("text", HOSTILE, ids=[f"{i}:{text[:12]}" for i, text in enumerate(HOSTILE)])
def test_hostile_braces_are_refused_soon(text: str) -> None:
    start = time.process_time()
    with pytest.raises(zoo.SpecError):
        zoo.expand(text)
    assert time.process_time() - start < 2


@pytest.mark.parametrize("text", [None, 3, b"a{b,c}"])
def test_only_a_text_is_expanded(text: object) -> None:
    with pytest.raises(zoo.SpecError, match=f"^a spec is a text such as .*, not {type(text).__name__}$"):
        zoo.expand(text)  # type: ignore[arg-type]
