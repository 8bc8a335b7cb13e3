"""The spec language: what is a spec and what isn't, how it prints, and that reading and printing are inverses."""

from __future__ import annotations

import copy
import pickle
import re
import time
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import lark
import pytest
import timm
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.extra.lark import from_lark

import zoo
from zoo.spec.values import BIDI, CONSTANTS, NAME, NUMBER, Call, List

# The same examples in every run; `derandomize` off finds new ones.
PHASES = [Phase.explicit, Phase.generate, Phase.shrink]
PROPERTY = settings(max_examples=250, deadline=None, derandomize=True, database=None, phases=PHASES)


def inside(spec: zoo.Spec) -> str:
    """Every value of a spec with its type: `==` on specs goes through the text, which a bug in printing could fool."""
    return repr((spec.arch, spec.parts))


def arg(text: str) -> Any:
    """The value that the text of one argument stands for."""
    ((_, value),) = zoo.parse(f"m({text})").arch.args
    return value


# -- what is a spec, and how it prints: (text, canonical) --------------------------------------------------------------

VALID = [
    ("simple", "simple"),
    ("resnet50.a1_in1k", "resnet50.a1_in1k"),
    ("torchvision/resnet18", "torchvision/resnet18"),
    ("hf-hub:timm/resnet18.a1_in1k", "hf-hub:timm/resnet18.a1_in1k"),
    ('local-dir:"/data/my model"', 'local-dir:"/data/my model"'),
    ("local-dir:'/data/models'", "local-dir:/data/models"),
    ('local-dir:"!odd"', 'local-dir:"!odd"'),
    ('local-dir:"True"(1)', 'local-dir:"True"(1)'),
    ("?MyNet", "?MyNet"),
    ("? MyNet + dropout", "?MyNet+dropout"),
    ("no_such_arch+no_such_modifier(1)", "no_such_arch+no_such_modifier(1)"),
    ("simple()", "simple"),
    ("simple()+dropout()", "simple+dropout"),
    (" simple\t+\r\n dropout ( 0.2 , at = head ) ", "simple+dropout(0.2, at=head)"),
    ("m(0.20)", "m(0.2)"),
    ("m(1e-4, 1E5, 1., .5, -0.0)", "m(0.0001, 100000.0, 1.0, 0.5, -0.0)"),
    ("m(1e22, 5e-324, 007, -0)", "m(1e+22, 5e-324, 7, 0)"),
    ("m(9223372036854775807, -9223372036854775808)", "m(9223372036854775807, -9223372036854775808)"),
    ("m(True, False, None)", "m(True, False, None)"),
    ("m(true, none)", "m(true, none)"),
    ("""m("True", 'None', "1", "-1", "1e5", "1x", "")""", 'm("True", "None", "1", "-1", "1e5", "1x", "")'),
    ("""m("silu", 'silu', silu)""", "m(silu, silu, silu)"),
    (r"""m("a b", 'say "hi"', "it's", "back\\slash")""", r"""m("a b", "say \"hi\"", "it's", "back\\slash")"""),
    ('m("größe", "层", "🙂")', 'm("größe", "层", "🙂")'),
    ("m(layer1.*, layer[12])".replace("[12]", "?"), "m(layer1.*, layer?)"),
    ("m(?, *, -, ., _, /, @)", "m(?, *, -, ., _, /, @)"),
    ('m(!bn1, !"a b", ! x, "!x")', 'm(!bn1, !"a b", !x, !x)'),
    ('m("!", "!!x", !"1", !True)', 'm("!", "!!x", !"1", !"True")'),
    ("m([], [1], [1, 2,], [[a], [b]])", "m([], [1], [1, 2], [[a], [b]])"),
    ("m((), (1,), (1, 2), (1, 2,), ((a,),))", "m((), (1,), (1, 2), (1, 2), ((a,),))"),
    ("append(x, Dropout(0.5))", "append(x, Dropout(0.5))"),
    ("m(Identity(), layer=Identity( ))", "m(Identity(), layer=Identity())"),
    ("m(None(), True())", "m(None(), True())"),
    (
        "m(Sequential(ReLU(), [PReLU(num_parameters=3)], (Identity(),)))",
        "m(Sequential(ReLU(), [PReLU(num_parameters=3)], (Identity(),)))",
    ),
    ("m(1, b=2, a=3)", "m(1, b=2, a=3)"),
    ("-1+-2", "-1+-2"),
    ("*+*", "*+*"),
]

# -- and what isn't: (text, the message's first line) ------------------------------------------------------------------

VALUE = "a name or a number or a quoted string or '(' or '[' or '!'"
INVALID = [
    ("", "the spec is empty; expected the name of an arch, such as 'resnet18'"),
    (" \n", "the spec is empty; expected the name of an arch, such as 'resnet18'"),
    ("?", "column 2: the spec ends too early; expected a name"),
    ("??", "column 1: expected the name of an arch"),
    ("+a", "column 1: unexpected '+'; expected a name or '?'"),
    ("a+", "column 3: the spec ends too early; expected a name"),
    ("a + ", "column 4: the spec ends too early; expected a name"),
    ("a++b", "column 3: unexpected '+'; expected a name"),
    ("a b", "column 3: unexpected 'b'; expected '+' or '(' or ':' or the end"),
    ("a;", "column 2: unexpected ';'; expected '+' or '(' or ':' or the end"),
    ("a(1) # b", "column 6: unexpected '#'; expected '+' or the end"),
    ("a:", "column 3: the spec ends too early; expected a name or a quoted string"),
    ("a:b:c", "column 4: unexpected ':'; expected '+' or '(' or the end"),
    ("a:1", "column 3: unexpected '1'; expected a name or a quoted string"),
    ("1a", "column 1: a name doesn't start with a digit; expected a name or '?'"),
    ("a+1x", "column 3: a name doesn't start with a digit; expected a name"),
    ("a(1x)", 'column 3: neither a number nor a word, which starts with a letter; quote it, as in "1x"'),
    ("a(1_0)", 'column 3: neither a number nor a word, which starts with a letter; quote it, as in "1x"'),
    ("a(0x10)", 'column 3: neither a number nor a word, which starts with a letter; quote it, as in "1x"'),
    ("a(b", "column 4: the spec ends too early; expected '(' or ')' or ',' or '='"),
    ("a(b]", "column 4: unexpected ']'; expected '(' or ')' or ',' or '='"),
    ("a)", "column 2: unexpected ')'; expected '+' or '(' or ':' or the end"),
    ("a()()", "column 4: unexpected '('; expected '+' or the end"),
    ("a(b=)", f"column 5: unexpected ')'; expected {VALUE}"),
    ("a(b==1)", f"column 5: unexpected '='; expected {VALUE}"),
    ("a(1,)", f"column 5: unexpected ')'; expected {VALUE}"),
    ("a(,)", "column 3: unexpected ','; expected " + VALUE.replace("'(' or", "'(' or ')' or")),
    ("a({b: 1})", "column 3: unexpected '{'; expected " + VALUE.replace("'(' or", "'(' or ')' or")),
    ("a([1;])", "column 5: unexpected ';'; expected ']' or ','"),
    ("a((1))", "column 5: unexpected ')'; expected ','"),
    ("a(1, 1=2)", "column 7: unexpected '='; expected ')' or ','"),
    ('a("b"=2)', "column 6: unexpected '='; expected ')' or ','"),
    ("a(b=1, b=2)", "column 8: the keyword 'b' stands twice"),
    ("a(b=1, 2)", "column 8: a positional value after the keyword 'b'; expected a keyword"),
    ("a(B(c=1, c=2))", "column 10: the keyword 'c' stands twice"),
    ('a("b)', "column 3: a quote that isn't closed, or a backslash before anything but \" or \\"),
    (r"a('\n')", "column 3: a quote that isn't closed, or a backslash before anything but ' or \\"),
    ("a(1e400)", "column 3: 1e400 is too large for a number"),
    ("a(-1e400)", "column 3: -1e400 is too large for a number"),
    ("a(9223372036854775808)", "column 3: this integer doesn't fit in 64 bits"),
    ("a(-9223372036854775809)", "column 3: this integer doesn't fit in 64 bits"),
    ("ａ", "column 1: 'ａ' (U+FF41 FULLWIDTH LATIN SMALL LETTER A) outside quotes; names are plain ASCII"),
    ("a(٣)", "column 3: '٣' (U+0663 ARABIC-INDIC DIGIT THREE) outside quotes; names are plain ASCII"),
    ("а", "column 1: 'а' (U+0430 CYRILLIC SMALL LETTER A) outside quotes; names are plain ASCII"),
    ("a\x00", "column 2: unexpected U+0000; expected '+' or '(' or ':' or the end"),
    ("a\x0c", "column 2: unexpected U+000C; expected '+' or '(' or ':' or the end"),
    ('a("\x00")', "column 4: the control character U+0000 inside quotes"),
    ('a("\n")', "column 4: the control character U+000A inside quotes"),
    ('a("\x85")', "column 4: the control character U+0085 inside quotes"),
    ('a("\u2028")', "column 4: the control character U+2028 inside quotes"),
    ('a("\u202e")', "column 4: the bidirectional control character U+202E inside quotes"),
    ('a("\ud800")', "column 4: the lone surrogate U+D800 inside quotes"),
    ("a(" + "[" * 8, "column 10: more than 8 levels of brackets"),
    ("a" * 4097, "4,097 characters; a spec has at most 4,096"),
    ("+".join("a" * 34), "33 parts; a text may have at most 32"),
]


@pytest.mark.parametrize(("text", "canonical"), VALID)
def test_valid(text: str, canonical: str) -> None:
    spec = zoo.parse(text)
    assert str(spec) == canonical
    assert inside(zoo.parse(canonical)) == inside(spec)
    assert zoo.parse(canonical) == spec
    assert repr(spec) == f"Spec({canonical!r})"


@pytest.mark.parametrize(("text", "first_line"), INVALID)
def test_invalid(text: str, first_line: str) -> None:
    with pytest.raises(zoo.SpecError) as caught:
        zoo.parse(text)
    message, *drawing = str(caught.value).split("\n")
    assert message == first_line
    assert bool(drawing) == message.startswith("column ")


@pytest.mark.parametrize("lead", [0, 3, 300])
def test_the_caret_stands_under_the_column(lead: int) -> None:
    text = "m(" + "a" * lead + ";" + "b" * 100
    with pytest.raises(zoo.SpecError) as caught:
        zoo.parse(text)
    message, shown, caret = str(caught.value).split("\n")
    assert message.startswith(f"column {lead + 3}: ")
    assert shown[caret.index("^")] == ";"
    assert len(shown) < 100


def test_the_caret_counts_a_wide_character_as_two() -> None:
    with pytest.raises(zoo.SpecError) as caught:
        zoo.parse('m("层层";')
    _, shown, caret = str(caught.value).split("\n")
    assert caret.index("^") == shown.index(";") + 2


def test_a_message_stays_short() -> None:
    for text in (
        "a " + "b" * 4000,
        "a(" + "9" * 4000 + ")",
        f"a({'9' * 4000}.0)",
        "a(b" + "=" * 4000,
        'a("' + "b" * 4000,
    ):
        with pytest.raises(zoo.SpecError) as caught:
            zoo.parse(text)
        assert len(str(caught.value)) < 500


@pytest.mark.parametrize("text", [None, 3, b"simple", ["simple"]])
def test_only_a_text_or_a_spec_is_read(text: Any) -> None:
    with pytest.raises(zoo.SpecError, match=f"^a spec is a text such as .*, not {type(text).__name__}$"):
        zoo.parse(text)


def test_what_a_text_holds() -> None:
    spec = zoo.parse('hf-hub:a/b(1)+m(1.0, "x y", k=[a, (True,)], l=PReLU(64, init=0.1))')
    assert spec.arch == Call("hf-hub", ((None, 1),), "a/b")
    layer = Call("PReLU", ((None, 64), ("init", 0.1)))
    (part,) = spec.parts
    assert part == Call("m", ((None, 1.0), (None, "x y"), ("k", List(["a", (True,)])), ("l", layer)))
    assert isinstance(arg("[1]"), List)
    assert type(arg("(1,)")) is tuple


def test_a_layer_is_no_word() -> None:
    assert arg("Identity()") == Call("Identity")
    assert arg("Identity") == "Identity"
    assert zoo.parse("m(Identity())") != zoo.parse("m(Identity)")


# -- Spec as a value ---------------------------------------------------------------------------------------------------

DISTINCT = ["1", "1.0", "True", '"1"', "[1]", "(1,)", "[1.0]", "one", "one()", "one(1)", "!one", "0.0", "-0.0", "k=1"]


def test_equality_and_hash() -> None:
    specs = [zoo.parse(f"m({value})") for value in DISTINCT]
    assert len(set(specs)) == len(DISTINCT)
    for spec, value in zip(specs, DISTINCT, strict=True):
        again = zoo.parse(f" m ( {value} ) ")
        assert [other for other in specs if other == again] == [spec]
        assert hash(again) == hash(spec)
    assert zoo.parse("m") != "m"


def test_a_spec_is_frozen() -> None:
    spec = zoo.parse("m(k=[1])+n")
    for target, name in ((spec, "arch"), (spec, "parts"), (spec, "anything"), (spec.arch, "name"), (spec.arch, "args")):
        with pytest.raises(FrozenInstanceError):
            setattr(target, name, ())
    with pytest.raises(TypeError):
        spec.arch.args[0][1][0] = 2
    assert str(spec) == "m(k=[1])+n"


@pytest.mark.parametrize("text", [text for text, _ in VALID])
def test_copies_are_equal(text: str) -> None:
    spec = zoo.parse(text)
    for twin in (pickle.loads(pickle.dumps(spec)), copy.deepcopy(spec), copy.copy(spec), zoo.parse(spec)):
        assert twin == spec
        assert hash(twin) == hash(spec)
        assert inside(twin) == inside(spec)


def test_algebra() -> None:
    spec = zoo.parse("a(1)+b(2)+c+b(3)")
    assert str(spec.base) == "a(1)"
    assert str(spec.without("b")) == "a(1)+c"
    assert str(spec.base + "d(x) + e") == "a(1)+d(x)+e"
    assert str(spec.base + Call("d", ((None, 1),))) == "a(1)+d(1)"
    assert spec.base + spec.parts == spec
    assert spec.base + "b(2)" + "c+b(3)" == spec
    assert str(spec) == "a(1)+b(2)+c+b(3)"  # none of them touched it


def test_without_a_part_that_is_not_there() -> None:
    with pytest.raises(zoo.UnknownNameError) as caught:
        zoo.parse("a+b+c(1)").without("d")
    assert str(caught.value) == "'a+b+c(1)' has no part 'd'; its parts: b, c"
    with pytest.raises(zoo.UnknownNameError, match=r"its parts: none$"):
        zoo.parse("a").without("a")


@pytest.mark.parametrize(("mods", "met"), [(3, "3"), (None, "None"), (["b"], "'b'"), ([Call("b"), 2], "2")])
def test_what_comes_behind_a_spec_are_modifiers(mods: Any, met: str) -> None:
    with pytest.raises(zoo.SpecError) as caught:
        zoo.parse("a") + mods
    assert str(caught.value) == f"what comes behind a spec are modifiers, such as 'dropout(0.2)', not {met}"


@pytest.mark.parametrize("mods", ["", "+", "b+", "+b", "b++c", "b(", "b:c", "1"])
def test_adding_what_is_no_part(mods: str) -> None:
    spec = zoo.parse("a")
    with pytest.raises(zoo.SpecError):
        spec + mods


# -- limits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "a" * 4096,
        "+".join("a" * 33),
        "a(" + "[" * 7 + "]" * 7 + ")",
        'a("' + "[(" * 100 + '")',
        "a(b='" + "(\\'" * 9 + "')",
    ],
    ids=["characters", "parts", "brackets", "quoted brackets", "quoted brackets and quotes"],
)
def test_as_much_as_a_text_may_hold(text: str) -> None:
    spec = zoo.parse(text)
    assert inside(zoo.parse(str(spec))) == inside(spec)


def test_a_program_may_build_more() -> None:
    spec = zoo.parse("a")
    for i in range(40):
        spec += f'b("{"x" * 200} {i}")'
    assert len(spec.parts) == 40
    assert len(str(spec)) > 4096
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert zoo.parse(spec) is spec
    assert str(spec.without("b")) == "a"


TEN_MB = 10_000_000
HUGE = [
    "a" * TEN_MB,
    "(" * TEN_MB,
    "a+" * (TEN_MB // 2),
    " " * TEN_MB,
    '"' * TEN_MB,
    "ａ" * TEN_MB,
    "{a,b}" * (TEN_MB // 5),
]
READERS: list[Callable[[str], Any]] = [zoo.parse, zoo.expand, zoo.parse("a").__add__]


@pytest.mark.parametrize("read", READERS, ids=["parse", "expand", "add"])
@pytest.mark.parametrize("text", HUGE, ids=lambda text: ascii(text[:5]))
def test_ten_megabytes_are_refused_at_once(text: str, read: Callable[[str], Any], look: float) -> None:
    times = []
    for _ in range(3):
        start = time.process_time()
        with pytest.raises(zoo.SpecError, match="10,000,000 characters") as caught:
            read(text)
        times.append(time.process_time() - start)
    assert min(times) < len(text) * look / 10
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("text", ["[" * 4000, "a(" * 2000, "a(" + "(" * 4000, "a(B(" * 1000], ids=lambda t: t[:4])
def test_deep_nesting_is_an_error_like_any_other(text: str) -> None:
    with pytest.raises(zoo.SpecError, match="more than 8 levels of brackets"):
        zoo.parse(text)


# -- round trips -------------------------------------------------------------------------------------------------------

FIRST, REST = "abzABZ_.*?/@-", "abzABZ_.*?/@-019"
NAMES = st.builds(str.__add__, st.sampled_from(FIRST), st.text(REST, max_size=6)).filter(
    lambda name: not NUMBER.fullmatch(name)  # `-1` reads as a name only where no number may stand
)
TRICKY = """True False None nan inf 1 -1 .5 -1e5 1x 1_0 0x1 ! !x !!x !1 !True !-5 " ' \\ \\" \\\\ # ?
    a,b a=b a+b (a) [a] {a,b}"""
WORDS = st.sampled_from(["", " ", "a b", "!a b", *TRICKY.split()])
STRINGS = WORDS | st.text(
    st.characters(exclude_categories=["Cc", "Cs"], exclude_characters=[*BIDI, "\u2028", "\u2029"])
)
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | STRINGS
    | NAMES
)


def calls(values: st.SearchStrategy[Any], names: st.SearchStrategy[str] = NAMES) -> st.SearchStrategy[Call]:
    """A name with positional and keyword arguments."""
    keywords = st.dictionaries(NAMES, values, max_size=2).map(lambda found: tuple(found.items()))
    positional = st.lists(values, max_size=2).map(lambda found: tuple((None, value) for value in found))
    return st.builds(lambda name, a, b: Call(name, a + b), names, positional, keywords)


def nested(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    few = st.lists(values, max_size=3)
    return values | few.map(List) | few.map(tuple) | calls(values)


VALUES = nested(nested(nested(PLAIN)))
ARCHS = st.builds(
    lambda call, source: Call(call.name, call.args, source),
    calls(VALUES, NAMES.filter(lambda name: name.strip("?") != "")),
    st.none() | STRINGS,
)
SPECS = st.builds(zoo.Spec, ARCHS, st.lists(calls(VALUES), max_size=3).map(tuple))


@PROPERTY
@given(SPECS)
def test_a_generated_spec_round_trips(spec: zoo.Spec) -> None:
    text = str(spec)
    if len(text) > 4096:
        return  # only a program may build it
    again = zoo.parse(text)
    assert again == spec
    assert inside(again) == inside(spec)
    assert str(again) == text


@PROPERTY
@given(VALUES)
def test_equal_text_means_equal_value(value: Any) -> None:
    spec = zoo.Spec(Call("m", ((None, value),)))
    if len(str(spec)) <= 4096:
        assert repr(arg(str(spec)[2:-1])) == repr(value)


BAD_STRINGS = ["\x00", "a\nb", "\x7f", "\x85", "\u2028", *sorted(BIDI), "\ud800"]
BAD_VALUES = [float("nan"), float("inf"), -float("inf"), 2**63, -(2**63) - 1, 1j, b"a", {"a": 1}, {1}, object(), print]


@pytest.mark.parametrize("value", BAD_STRINGS + BAD_VALUES, ids=lambda value: ascii(value)[:12])
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: List([v]), lambda v: (v,), lambda v: Call("L", (("k", v),))])
def test_what_would_not_read_back_is_not_printed(value: Any, wrap: Callable[[Any], Any]) -> None:
    with pytest.raises(zoo.SpecError):
        str(Call("m", ((None, wrap(value)),)))


def test_an_integer_of_five_thousand_digits_is_not_printed() -> None:
    with pytest.raises(zoo.SpecError) as caught:
        str(Call("m", ((None, 10**5000),)))
    assert "64 bits" in str(caught.value)
    assert len(str(caught.value)) < 200


# -- the grammar's own sentences, and texts that are almost specs ------------------------------------------------------

GRAMMAR = (Path(zoo.__file__).parent / "spec" / "grammar.lark").read_text(encoding="ascii")
# What a sentence of the grammar may still be refused for.
BEYOND_GRAMMAR = re.compile(
    "stands twice|after the keyword|fit in 64 bits|too large for a number|inside quotes|levels of brackets"
    "|parts; a text may have|characters; a spec has at most"
)


def test_the_grammars_own_sentences_are_read() -> None:
    names = NAMES.filter(lambda name: name.strip("?") != "")
    read: list[str] = []

    @settings(PROPERTY, max_examples=100)
    @given(from_lark(lark.Lark(GRAMMAR, start="spec"), explicit={"NAME": names, "WS": st.sampled_from(" \t\r\n")}))
    def check(text: str) -> None:
        try:
            spec = zoo.parse(text)
        except zoo.SpecError as error:
            if BEYOND_GRAMMAR.search(str(error)):
                return
            raise
        assert inside(zoo.parse(str(spec))) == inside(spec)
        read.append(text)

    check()
    assert len(read) > 50


@pytest.mark.parametrize(("terminal", "pattern"), [("NAME", NAME), ("NUMBER", NUMBER)])
def test_one_pattern_in_two_files(terminal: str, pattern: re.Pattern[str]) -> None:
    found = re.search(rf"^{terminal}(?:\.\d+)?: /(.*)/$", GRAMMAR, re.MULTILINE)
    assert found is not None
    assert found[1].replace("\\/", "/") == pattern.pattern


def test_constants_are_the_words_that_mean_something_else() -> None:
    for word, value in CONSTANTS.items():
        assert arg(word) is value
        assert arg(f'"{word}"') == word


WHOLE = [text for text, _ in VALID]
PIECES = [
    *"+?:=!()[]{},.'\"\\ 019eE-_*@/#$%&;<>^`|~",
    "1e400",
    "9" * 20,
    "++",
    "()",
    "=1",
    "True",
    "\x00",
    "\n",
    "\u202e",
]
PIECES += ["ｓ", "٣", "é", "层", "\ud800", "\ufeff", "\u200b", "{a,b}", "import", "((((((((("]


@settings(PROPERTY, max_examples=600)
@given(st.sampled_from(WHOLE), st.data())
def test_a_mutated_text_is_a_spec_or_a_spec_error(text: str, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        gone = data.draw(st.integers(0, 3))
        text = text[:at] + data.draw(st.sampled_from(PIECES) | st.just("")) + text[at + gone :]
    check_any_text(text)


@settings(PROPERTY, max_examples=300)
@given(st.text(st.characters() | st.sampled_from("+?:=!()[],'\"\\ 01ab")))
def test_any_text_is_a_spec_or_a_spec_error(text: str) -> None:
    check_any_text(text)


def check_any_text(text: str) -> None:
    for read in (zoo.parse, zoo.parse("a").__add__):
        try:
            spec = read(text)
        except zoo.SpecError:
            continue  # any other exception fails the test
        assert inside(zoo.parse(str(spec))) == inside(spec)


def test_every_name_of_timm_is_a_spec() -> None:
    names = {*timm.list_models(), *timm.list_pretrained()}
    assert len(names) > 2500
    assert sum("." in name for name in names) > 1000  # tags, some of which start with a digit: flexivit_base.300ep_in1k
    for name in names:
        spec = zoo.parse(name)
        assert (spec.arch, spec.parts) == (Call(name), ())
        assert str(spec) == name
