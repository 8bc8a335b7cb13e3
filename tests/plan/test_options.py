"""Options: what binds to a signature, what is refused, and the one canonical spelling of what was meant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from types import ModuleType
from typing import Annotated, Any, Literal

import pytest
import torch
from annotated_types import Ge, Gt, Le, MinLen
from torch import nn

import zoo
from zoo.plan.bind import Bound, bind
from zoo.registry.registry import Registry
from zoo.surgery.provenance import info_of

Size = Annotated[int, Ge(1)]


def plugin(archs: Sequence[zoo.Arch] = (), modifiers: Sequence[zoo.Modifier] = ()) -> ModuleType:
    """A plugin that declares these."""
    module = ModuleType("a_plugin")

    @zoo.hookimpl
    def zoo_archs() -> list[zoo.Arch]:
        return list(archs)

    @zoo.hookimpl
    def zoo_modifiers() -> list[zoo.Modifier]:
        return list(modifiers)

    vars(module).update(zoo_archs=zoo_archs, zoo_modifiers=zoo_modifiers)
    return module


class Net(nn.Module):
    """Keeps what it was built with."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = options
        self.fc = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x)  # type: ignore[no-any-return]


@zoo.arch(sites={"head": "fc"}, sample=(4,), examples=["net(3)"])
def net(
    width: Size,
    rate: float = 0,
    sizes: tuple[int, ...] = (1, 2),
    kind: Literal["a", "b"] | None = None,
    flag: bool = False,
    layer: zoo.Layer | None = None,
    *,
    names: Sequence[str] = ("x", "y"),
    **extra: Any,
) -> nn.Module:
    """A net with one option of every kind."""
    return Net(width=width, rate=rate, sizes=sizes, kind=kind, flag=flag, layer=layer, names=names, **extra)


@zoo.modifier(examples=["note(x)"])
def note(
    model: nn.Module,
    /,
    text: str,
    times: Annotated[int, Gt(0), Le(9)] = 1,
    at: zoo.Where = "head",
    layers: Sequence[zoo.Layer] = (),
    **more: float,
) -> nn.Module:
    """Write the options down in the model, and put a dropout in front of its head."""
    model.noted = (text, times, at, tuple(map(str, layers)), more)  # type: ignore[assignment]
    return zoo.insert_before(model, "fc", nn.Dropout(times / 10))


@zoo.arch(sites={"head": "fc"}, sample=(4,), examples=["row(1, 2)"])
def row(*sizes: Size, rate: float = 0, **extra: Any) -> nn.Module:
    """A net that takes its sizes in a row."""
    return Net(sizes=sizes, rate=rate, **extra)


@zoo.modifier(examples=["mark(a, b)"])
def mark(model: nn.Module, /, *words: str, at: zoo.Where = "head", **more: int) -> nn.Module:
    """Write the words down in the model, and put a dropout in front of its head."""
    model.noted = (words, at, more)  # type: ignore[assignment]
    return zoo.insert_before(model, "fc", nn.Dropout(0.1))


REGISTRY = zoo.Registry.of(plugin([net, row], [note, mark]))


def make(spec: str, **options: Any) -> nn.Module:
    return zoo.create(spec, registry=REGISTRY, **options)


def plain(value: Any) -> Any:
    """With lists as tuples: a default comes as the signature has it."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return tuple(map(plain, value)) if isinstance(value, (list, tuple)) else value


def bound(function: Callable[..., Any], args: str) -> Bound:
    return bind(zoo.parse(f"f({args})").arch, function, 0, Registry())


def test_a_type_that_only_a_type_checker_finds_is_the_plugins_fault() -> None:
    def net(width: Width) -> nn.Module:  # type: ignore[name-defined]  # noqa: F821
        """A net."""
        return nn.Linear(width, 1)

    with pytest.raises(zoo.PluginError) as caught:
        bound(net, "3")
    assert str(caught.value) == ("net: the type of an option can't be found at run time: name 'Width' is not defined")


# -- canonical forms: (text, canonical) -------------------------------------------------------------------------------

CANONICAL = [
    ("net(3)", "net(width=3)"),
    ("zoo/net(3)+zoo/note(x)", "net(width=3)+note(text=x)"),
    # by name, in the order of the signature
    ("net(flag=True, kind=b, width=3)", "net(width=3, kind=b, flag=True)"),
    ("net(3, 0.5, (7,), a, True)", "net(width=3, rate=0.5, sizes=(7,), kind=a, flag=True)"),
    # those at their default left out
    ("net(3, 0, [1, 2], None, False, None)", "net(width=3)"),
    ("net(3, 0.0)", "net(width=3)"),
    ("net(3, names=[x, y])", "net(width=3)"),
    ("net(3, names=(x, y))", "net(width=3)"),
    ("net(3)+note(x, 1, head, [])", "net(width=3)+note(text=x)"),
    ("net(3)+note(x, at=[head], layers=())", "net(width=3)+note(text=x)"),
    # a number as the type has it
    ("net(3, 1)", "net(width=3, rate=1.0)"),
    ("net(3, 1e-4)", "net(width=3, rate=0.0001)"),
    # lists and tuples as the type has them
    ("net(3, sizes=[7])", "net(width=3, sizes=(7,))"),
    ("net(3, sizes=(7,))", "net(width=3, sizes=(7,))"),
    ("net(3, sizes=())", "net(width=3, sizes=())"),
    ("net(3)+note(x, at=(fc,))", "net(width=3)+note(text=x, at=fc)"),
    # what only **extra takes, sorted
    ("net(3, zebra=1, apple=2, rate=0.5)", "net(width=3, rate=0.5, apple=2, zebra=1)"),
    ("net(3, b=[1, [2]], a=(1, (2,)))", "net(width=3, a=(1, (2,)), b=(1, (2,)))"),
    ("net(3)+note(x, z=1, a=2.5)", "net(width=3)+note(text=x, a=2.5, z=1.0)"),
    # layers in their own spelling
    ("net(3, layer=PReLU(64))", "net(width=3, layer=PReLU(64))"),
    ("net(3, layer=PReLU(num_parameters=64, init=0.1))", "net(width=3, layer=PReLU(num_parameters=64, init=0.1))"),
    ("net(3, layer=Identity( ))", "net(width=3, layer=Identity())"),
    (
        "net(3, layer=Sequential(ReLU(), Sequential(Linear(4, 2, bias=False))))",
        "net(width=3, layer=Sequential(ReLU(), Sequential(Linear(4, 2, bias=False))))",
    ),
    # what would read back differently, quoted
    ("""net(3)+note("x")""", "net(width=3)+note(text=x)"),
    ("""net(3)+note('1')""", 'net(width=3)+note(text="1")'),
    ("""net(3)+note("True")""", 'net(width=3)+note(text="True")'),
    ("""net(3)+note("a b")""", 'net(width=3)+note(text="a b")'),
    ("""net(3)+note("")""", 'net(width=3)+note(text="")'),
    # values in a row stay in a row, in front of what has a name
    ("row(3, 4)", "row(3, 4)"),
    ("row(3, rate=1, zebra=1, apple=2)", "row(3, rate=1.0, apple=2, zebra=1)"),
    ("row(rate=0)", "row"),
    ('row(2)+mark(a, "1", at=[fc], z=1)', 'row(2)+mark(a, "1", at=fc, z=1)'),
    ("row(2)+mark()", "row(2)+mark"),
    # white space
    (" net ( 3 ) + note ( x ) ", "net(width=3)+note(text=x)"),
]


@pytest.mark.parametrize(("text", "expected"), CANONICAL, ids=[text for text, _ in CANONICAL])
def test_canonical_form(text: str, expected: str) -> None:
    model = make(text)
    spec = zoo.spec_of(model)
    assert str(spec) == expected
    assert zoo.parse(expected) == spec
    again = make(expected)  # the canonical text means the same, and is its own canonical form
    assert str(zoo.spec_of(again)) == expected
    assert plain(again.options) == plain(model.options)
    assert getattr(again, "noted", None) == getattr(model, "noted", None)
    assert info_of(model).obstacle == ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("net(3)", "net(4)"),
        ("net(3, a=1)", "net(3, a=1.0)"),
        ("net(3, a=1)", "net(3, a=True)"),
        ("net(3, a=x)", "net(3, a=X)"),
        ("net(3, layer=ReLU())", "net(3, layer=ReLU(inplace=True))"),
        ("net(3)+note(x, at=fc)", "net(3)+note(x, at=head)"),
        ("net(3)+note(x)+note(y)", "net(3)+note(y)+note(x)"),
    ],
)
def test_different_variants_have_different_specs(one: str, other: str) -> None:
    assert zoo.spec_of(make(one)) != zoo.spec_of(make(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("net(3, names=(a, b))", "net(3, names=[a, b])"),
        ("net(3)+note(x, at=(fc, !stem))", "net(3)+note(x, at=[fc, !stem])"),
        ("net(3)+note(x, layers=(ReLU(), PReLU(3)))", "net(3)+note(x, layers=[ReLU( ), PReLU(3)])"),
    ],
)
def test_lists_and_tuples_mean_the_same(one: str, other: str) -> None:
    a, b = zoo.spec_of(make(one)), zoo.spec_of(make(other))
    assert a == b
    assert zoo.parse(str(a)) == b
    assert str(a) != "net(width=3)+note(text=x)"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("mlp(784, hidden=[512, 512])+dropout", "mlp()+dropout(0.5, head)"),
        ("mlp(64, (32,), 5)", "mlp(num_classes=5, hidden=[32], in_features=64)"),
        ("simple+dropout(0.2, at=[head])", "zoo/simple + zoo/dropout(at='head', p=2e-1)"),
        ("simple+act('silu')", "simple()+act(silu, '*')"),
        ("simple+heads(b=1, a=2)", "simple+heads(a=2, at=head, b=1)"),
        ("timm/resnet18+bn(1e-4)", "resnet18+bn(eps=0.0001, momentum=None)"),
    ],
)
def test_two_texts_for_one_variant(one: str, other: str) -> None:
    a, b = (zoo.spec_of(zoo.create(text, device="meta")) for text in (one, other))
    assert a == b
    assert str(a) == str(b)


# -- what an option takes: (type, text, value) ------------------------------------------------------------------------

TAKES: list[tuple[Any, str, Any]] = [
    (int, "3", 3),
    (int, "-9223372036854775808", -(2**63)),
    (float, "0.5", 0.5),
    (float, "1", 1.0),
    (bool, "True", True),
    (str, "word", "word"),
    (str, '"1"', "1"),
    (str | None, "None", None),
    (int | float, "1", 1),
    (int | float, "1.0", 1.0),
    (Literal["a", 3], "a", "a"),
    (Literal["a", 3], "3", 3),
    (list[int], "[1, 2]", [1, 2]),
    (list[int], "(1, 2)", [1, 2]),
    (tuple[int, ...], "[1, 2]", (1, 2)),
    (tuple[int, str], "(1, a)", (1, "a")),
    (tuple[int, ...] | None, "None", None),
    (int | tuple[int, int], "3", 3),
    (int | tuple[int, int], "[3, 4]", (3, 4)),
    (int | list[int], "(3,)", [3]),
    (tuple[tuple[int, int], ...], "[[1, 2], (3, 4)]", ((1, 2), (3, 4))),
    (list[tuple[int, int]], "[(1, 2)]", [(1, 2)]),
    (list[tuple[int, int]], "((1, 2), [3, 4])", [(1, 2), (3, 4)]),
    (tuple[list[int], ...], "([1],)", ([1],)),
    (Annotated[list[Size], MinLen(1)], "[1]", [1]),
    (Any, "[1, [a]]", (1, ("a",))),
    (zoo.Where, "[a]", "a"),
    (zoo.Where, "(a, !b)", ["a", "!b"]),
]


@pytest.mark.parametrize(("annotation", "text", "value"), TAKES, ids=[f"{a}: {t}" for a, t, _ in TAKES])
def test_what_an_option_takes(annotation: Any, text: str, value: Any) -> None:
    def f(x: Any) -> None: ...

    f.__annotations__["x"] = annotation
    found = bound(f, text)
    assert repr(found.values["x"]) == repr(value)  # the type too
    assert zoo.parse(str(found.call)).arch == found.call


REFUSES: list[tuple[Any, str, str]] = [
    (int, "True", "True (bool)"),
    (int, "1.0", "1.0 (float)"),
    (int, '"1"', "'1' (str)"),
    (int, "None", "None (NoneType)"),
    (int, "[1]", "[1] (list)"),
    (float, "True", "True (bool)"),
    (float, '"0.2"', "'0.2' (str)"),
    (float, "nan", "'nan' (str)"),
    (float, "inf", "'inf' (str)"),
    (bool, "1", "1 (int)"),
    (bool, "true", "'true' (str)"),
    (str, "1", "1 (int)"),
    (str, "True", "True (bool)"),
    (str, "[a]", "['a'] (list)"),
    (int | float, "True", "True (bool)"),
    (Literal["a", 3], "b", "'b' (str)"),
    (list[int], "3", "3 (int)"),
    (list[int], "[1, True]", "[1, True] (list)"),
    (tuple[int, int], "(1, 2, 3)", "(1, 2, 3) (tuple)"),
    (tuple[int, ...], "(1, x)", "(1, 'x') (tuple)"),
    (Size, "0", "0 (int)"),
    (Annotated[float, Ge(0), Le(1)], "-0.1", "-0.1 (float)"),
    (Annotated[float, Ge(0), Le(1)], "1.1", "1.1 (float)"),
    (zoo.Where, "3", "3 (int)"),
    (zoo.Where, "[a, 3]", "['a', 3] (list)"),
    (zoo.Layer, "3", "3 (int)"),
    (zoo.Layer, '"a b"', "'a b' (str)"),
]


@pytest.mark.parametrize(("annotation", "text", "met"), REFUSES, ids=[f"{a}: {t}" for a, t, _ in REFUSES])
def test_what_an_option_refuses(annotation: Any, text: str, met: str) -> None:
    def f(x: Any) -> None: ...

    f.__annotations__["x"] = annotation
    with pytest.raises(zoo.OptionError) as caught:
        bound(f, text)
    message = str(caught.value)
    assert message.startswith(f"f: x is {met}; expected ")
    assert "; its options: f(x: " in message


def test_what_is_expected_is_what_is_missing() -> None:
    """Not "expected a tuple" of a list that would do but for what is in it."""

    def f(x: Annotated[tuple[Size, ...], MinLen(1)]) -> None: ...

    for args in ("[]", "[0]", "[a]"):
        with pytest.raises(zoo.OptionError) as caught:
            bound(f, args)
        assert "expected a valid tuple" not in str(caught.value)


# -- layers -----------------------------------------------------------------------------------------------------------


def test_a_layer_is_a_fresh_module_each_time() -> None:
    layer = make("net(3, layer=Sequential(Linear(4, 2), PReLU(init=0.5)))").options["layer"]
    one, other = layer.build(), layer.build()
    assert [type(module) for module in one] == [nn.Linear, nn.PReLU]
    assert (one[0].in_features, one[0].out_features, one[1].weight.item()) == (4, 2, 0.5)
    assert one[0].weight is not other[0].weight
    assert one[0].weight.device.type == "cpu"


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("net(3, layer=Identity)", zoo.OptionError, "net: layer=Identity is a word, not a layer; write Identity()"),
        ("net(3, layer=Idntity())", zoo.UnknownNameError, "no layer 'Idntity'; did you mean 'Identity'?"),
        (
            "net(3, layer=os.system(ls))",
            zoo.UnknownNameError,
            "no layer 'os.system'; the layers are torch.nn's and those of plugins",
        ),
        ("net(3, layer=Module())", zoo.UnknownNameError, "no layer 'Module'"),
        ("net(3, layer=Linear(4))", zoo.OptionError, "Linear(4): Linear.__init__() missing 1 required positional"),
        ("net(3, layer=Linear(4, 2, colour=red))", zoo.OptionError, "Linear(4, 2, colour=red): "),
        ("net(3, layer=Sequential(__import__(os)))", zoo.UnknownNameError, "no layer '__import__'"),
        ("net(3, rate=ReLU())", zoo.OptionError, "net: rate takes float, not the layer ReLU(); its options: net("),
    ],
)
def test_layers_that_are_refused(text: str, error: type[zoo.ZooError], message: str) -> None:
    with pytest.raises(error) as caught:
        make(text)
    assert str(caught.value).startswith(message)


# -- create's keyword options -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("net", {"width": 3}, "net(width=3)"),
        ("net(3)", {"rate": 0.5, "flag": True}, "net(width=3, rate=0.5, flag=True)"),
        ("net(3)+note(x)", {"kind": "a"}, "net(width=3, kind=a)+note(text=x)"),
        ("net(3)", {"sizes": [7, 8]}, "net(width=3, sizes=(7, 8))"),
        ("net(3)", {"sizes": (1, 2), "rate": 0, "layer": None}, "net(width=3)"),
        ("net(3)", {"zebra": "a b", "apple": [1, (2,)]}, 'net(width=3, apple=(1, (2,)), zebra="a b")'),
        ("net(width=3)", {"width": 4}, "net(width=4)"),
    ],
)
def test_a_keyword_option_becomes_part_of_the_spec(text: str, options: dict[str, Any], expected: str) -> None:
    model = make(text, **options)
    assert str(zoo.spec_of(model)) == expected
    assert info_of(model).obstacle == ""
    assert make(expected).options == model.options


def test_a_keyword_option_that_no_spec_can_hold_is_an_obstacle() -> None:
    norm = partial(nn.BatchNorm2d, eps=1e-3)
    model = zoo.create("resnet18(num_classes=7)+bn(momentum=0.2)", norm_layer=norm, device="meta")
    assert {module.eps for module in model.modules() if isinstance(module, nn.BatchNorm2d)} == {1e-3}
    assert str(zoo.spec_of(model)) == "resnet18(num_classes=7)+bn(momentum=0.2)"
    assert info_of(model).obstacle == f"norm_layer={norm!r} can't be written in a spec"
    assert info_of(zoo.modify(model, "dropout(0.1)")).obstacle == info_of(model).obstacle


@pytest.mark.parametrize("value", [{"a": 1}, 1j, nn.ReLU, object, torch.float16, float("nan"), "a\x00b"], ids=ascii)
def test_any_such_value_reaches_the_arch_as_it_is(value: Any) -> None:
    model = make("net(3, apple=1)", odd=value)
    assert model.options["odd"] is value
    assert str(zoo.spec_of(model)) == "net(width=3, apple=1)"
    assert info_of(model).obstacle.startswith("odd=")


def test_such_a_value_does_not_stick_to_the_arch() -> None:
    """A build with what no spec can hold is not remembered under the spec."""
    make("net(3)+note(x)", odd=object())
    assert "odd" not in make("net(3)+note(x)").options


@pytest.mark.parametrize(
    ("options", "start"),
    [
        ({"width": True}, "net: width is True (bool); expected "),
        ({"width": "3"}, "net: width is '3' (str); expected "),
        ({"width": 0}, "net: width is 0 (int); expected "),
        ({"width": 3, "rate": float("nan")}, "net: rate is nan (float); expected "),
        ({"width": 3, "rate": float("inf")}, "net: rate is inf (float); expected "),
        ({"width": 3, "sizes": {"a": 1}}, "net: sizes is {'a': 1} (dict); expected "),
        ({"width": 3, "sizes": [1, float("nan")]}, "net: sizes is [1, nan] (list); expected "),
        ({"width": 3, "kind": "c"}, "net: kind is 'c' (str); expected "),
        ({}, "net needs 'width'; its options: net("),
    ],
)
def test_keyword_options_are_checked_like_those_of_a_spec(options: dict[str, Any], start: str) -> None:
    with pytest.raises(zoo.OptionError) as caught:
        make("net", **options)
    assert str(caught.value).startswith(start)
    assert "\n  in the arch of 'net'" in str(caught.value)


@pytest.mark.parametrize("key", ["größe", "a b", "-1", "", "x=1", "x)+heads(a"])
def test_a_keyword_that_is_no_name_does_not_spoil_the_spec(key: str) -> None:
    """Python takes any string for a keyword; a spec doesn't."""
    try:
        model = make("net(3)", **{key: 1})
    except zoo.OptionError:
        return
    assert zoo.parse(str(zoo.spec_of(model))) == zoo.spec_of(model)
    assert info_of(model).obstacle != ""


@pytest.mark.parametrize(
    "number", [2**63, -(2**63) - 1, 2**70, 10**5000], ids=["2^63", "-2^63-1", "2^70", "5,001 digits"]
)
def test_an_integer_beyond_64_bits_is_an_option_error(number: int) -> None:
    with pytest.raises(zoo.OptionError, match="64 bits") as caught:
        zoo.create("mlp", in_features=number)
    assert len(str(caught.value)) < 500


# -- matching arguments to a signature: (text, message) ---------------------------------------------------------------

SIGNATURE = "f(a: int, b: str = 'x', c: float ≥ 0 ≤ 1 = 0.5)"
MISMATCHES = [
    ("", f"f needs 'a'; its options: {SIGNATURE}"),
    ("b=y", f"f needs 'a'; its options: {SIGNATURE}"),
    ("1, y, 0.5", f"f takes at most 2 positional values, not 3; its options: {SIGNATURE}"),
    ("1, a=2", f"f: 'a' is given by position and by name; its options: {SIGNATURE}"),
    ("1, d=2", f"f has no option 'd'; its options: {SIGNATURE}"),
    ("1, pretrained=True", "f: 'pretrained' can't stand in a spec; write zoo.create(spec, pretrained=...)"),
    ("1, cache_dir=x", "f: 'cache_dir' can't stand in a spec; write zoo.create(spec, cache_dir=...)"),
]


@pytest.mark.parametrize(("text", "message"), MISMATCHES)
def test_arguments_that_do_not_match(text: str, message: str) -> None:
    def f(a: int, b: str = "x", *, c: Annotated[float, Ge(0), Le(1)] = 0.5) -> None: ...

    with pytest.raises(zoo.OptionError) as caught:
        bound(f, text)
    assert str(caught.value) == message


ROW = "f(*sizes: int ≥ 1, rate: float = 0)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1, 0", f"f: sizes is 0 (int); expected greater than or equal to 1; its options: {ROW}"),
        ("1, True", f"f: sizes is True (bool); expected a valid integer; its options: {ROW}"),
        ("1, [2]", f"f: sizes is [2] (list); expected a valid integer; its options: {ROW}"),
        ("1, ReLU()", f"f: sizes takes int ≥ 1, not the layer ReLU(); its options: {ROW}"),
        ("sizes=1", f"f: 'sizes' are given by position, without a name; its options: {ROW}"),
        ("1, size=2", f"f has no option 'size'; its options: {ROW}"),
    ],
)
def test_values_in_a_row_are_checked_one_by_one(text: str, message: str) -> None:
    def f(*sizes: Size, rate: float = 0) -> None: ...

    with pytest.raises(zoo.OptionError) as caught:
        bound(f, text)
    assert str(caught.value) == message


def test_values_in_a_row_are_described() -> None:
    described = zoo.describe("row", registry=REGISTRY)
    assert described.signature == "row(*sizes: int ≥ 1, rate: float = 0, **extra: Any)"
    assert described.options[0] == {"name": "sizes", "type": "int ≥ 1"}
    with pytest.raises(zoo.OptionError, match=r"^row: 'sizes' are given by position, without a name"):
        make("row", sizes=(1, 2))


def test_no_positional_values_at_all() -> None:
    def f(*, near: int = 1) -> None: ...

    with pytest.raises(zoo.OptionError, match=r"^f takes no positional values, not 1; its options: "):
        bound(f, "1")
    with pytest.raises(zoo.OptionError, match=r"^f has no option 'nera'; did you mean 'near'\?; its options: "):
        bound(f, "nera=1")


def test_what_was_written() -> None:
    """The names that the user wrote, less those at their default."""

    def f(a: int = 1, b: int = 2, at: zoo.Where = "*") -> None: ...

    assert bound(f, "1, b=3").written == {"b"}
    assert bound(f, "at='*'").written == frozenset()
    assert bound(f, "at=fc").values == {"at": "fc"}
