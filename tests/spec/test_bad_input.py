"""Bad input: one table of what was asked, the class of the error and its exact message. Nothing is ever built."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import zoo

DROPOUT = "dropout(p: float ≥ 0 ≤ 1 = 0.5, at: Where = 'head')"
BN = "bn(eps: float ≥ 0 | None = None, momentum: float ≥ 0 ≤ 1 | 'cumulative' | None = None, at: Where = '*')"
ACT = "act(name: str, at: Where = '*')"
MLP = "mlp(in_features: int ≥ 1 = 784, hidden: tuple[int ≥ 1, ...] = (512, 512), num_classes: int ≥ 1 = 10)"
ACTIVATIONS = (
    "celu, elu, gelu, gelu_tanh, hard_mish, hard_sigmoid, hard_swish, hardsigmoid, hardswish, identity, leaky_relu, "
    "mish, prelu, quick_gelu, relu, relu6, selu, sigmoid, silu, swish, tanh"
)
PATHS = "sites: stem, head; paths: 'layers1', 'layers1.0', 'layers1.1', 'layers2', 'layers2.0', 'layers2.1' …"


def drawn(message: str, shown: str, at: int) -> str:
    """A message, the piece of the text and the caret below it."""
    return f"{message}\n  {shown}\n  {' ' * at}^"


def part(text: str, mod: str, message: str) -> str:
    """A message about the one modifier of a spec."""
    return f"{message}\n  in part 1, '{mod}', of '{text}'"


# (spec, class, message)
TABLE: list[tuple[Any, type[zoo.ZooError], str]] = [
    # -- no spec at all
    ("", zoo.SpecError, "the spec is empty; expected the name of an arch, such as 'resnet18'"),
    ("  \t\n", zoo.SpecError, "the spec is empty; expected the name of an arch, such as 'resnet18'"),
    (None, zoo.SpecError, "a spec is a text such as 'resnet18+dropout(0.2)', not NoneType"),
    (b"simple", zoo.SpecError, "a spec is a text such as 'resnet18+dropout(0.2)', not bytes"),
    # -- syntax
    (
        "simple++dropout",
        zoo.SpecError,
        drawn("column 8: unexpected '+'; expected a name", "simple++dropout", 7),
    ),
    ("simple+", zoo.SpecError, drawn("column 8: the spec ends too early; expected a name", "simple+", 7)),
    ("+dropout", zoo.SpecError, drawn("column 1: unexpected '+'; expected a name or '?'", "+dropout", 0)),
    (
        "simple+dropout(0.2",
        zoo.SpecError,
        drawn("column 19: the spec ends too early; expected ')' or ','", "simple+dropout(0.2", 18),
    ),
    (
        "simple+dropout(at=[head)",
        zoo.SpecError,
        drawn("column 24: unexpected ')'; expected ']' or ','", "simple+dropout(at=[head)", 23),
    ),
    (
        "simple+dropout(0.2))",
        zoo.SpecError,
        drawn("column 20: unexpected ')'; expected '+' or the end", "simple+dropout(0.2))", 19),
    ),
    (
        "simple+dropout(0.2) # drop",
        zoo.SpecError,
        drawn("column 21: unexpected '#'; expected '+' or the end", "simple+dropout(0.2) # drop", 20),
    ),
    (
        "simple+dropout(p=0.1, p=0.2)",
        zoo.SpecError,
        drawn("column 23: the keyword 'p' stands twice", "simple+dropout(p=0.1, p=0.2)", 22),
    ),
    (
        "simple+dropout(p=0.1, head)",
        zoo.SpecError,
        drawn(
            "column 23: a positional value after the keyword 'p'; expected a keyword", "simple+dropout(p=0.1, head)", 22
        ),
    ),
    (
        "simple+act(1x)",
        zoo.SpecError,
        drawn(
            'column 12: neither a number nor a word, which starts with a letter; quote it, as in "1x"',
            "simple+act(1x)",
            11,
        ),
    ),
    # -- names
    ("resnt18", zoo.UnknownNameError, "no arch 'resnt18'; did you mean 'resnet18' or 'resnet18d' or 'skresnet18'?"),
    ("simpel+dropout", zoo.UnknownNameError, "no arch 'simpel'; did you mean 'simple'?"),
    (
        "simple+dropot(0.2)",
        zoo.UnknownNameError,
        part("simple+dropot(0.2)", "dropot(0.2)", "no modifier 'dropot'; did you mean 'dropout'?"),
    ),
    ("?Net", zoo.UnknownNameError, "'?Net' stands for a model that the zoo didn't make, so it can't be built"),
    # -- types and ranges
    (
        "simple+dropout(high)",
        zoo.OptionError,
        part(
            "simple+dropout(high)",
            "dropout(high)",
            f"dropout: p is 'high' (str); expected a valid number; its options: {DROPOUT}",
        ),
    ),
    (
        "simple+dropout('0.2')",
        zoo.OptionError,
        part(
            'simple+dropout("0.2")',
            'dropout("0.2")',
            f"dropout: p is '0.2' (str); expected a valid number; its options: {DROPOUT}",
        ),
    ),
    (
        "simple+dropout(True)",
        zoo.OptionError,
        part(
            "simple+dropout(True)",
            "dropout(True)",
            f"dropout: p is True (bool); expected a valid number; its options: {DROPOUT}",
        ),
    ),
    (
        "mlp(num_classes=True)",
        zoo.OptionError,
        f"mlp: num_classes is True (bool); expected a valid integer; its options: {MLP}\n"
        "  in the arch of 'mlp(num_classes=True)'",
    ),
    (
        "mlp(num_classes=10.0)",
        zoo.OptionError,
        f"mlp: num_classes is 10.0 (float); expected a valid integer; its options: {MLP}\n"
        "  in the arch of 'mlp(num_classes=10.0)'",
    ),
    (
        "simple+dropout(-0.1)",
        zoo.OptionError,
        part(
            "simple+dropout(-0.1)",
            "dropout(-0.1)",
            f"dropout: p is -0.1 (float); expected greater than or equal to 0; its options: {DROPOUT}",
        ),
    ),
    (
        "simple+dropout(1.1)",
        zoo.OptionError,
        part(
            "simple+dropout(1.1)",
            "dropout(1.1)",
            f"dropout: p is 1.1 (float); expected less than or equal to 1; its options: {DROPOUT}",
        ),
    ),
    (
        "simple+bn(eps=NaN)",
        zoo.OptionError,
        part(
            "simple+bn(eps=NaN)",
            "bn(eps=NaN)",
            f"bn: eps is 'NaN' (str); expected a valid number; its options: {BN}",
        ),
    ),
    (
        "simple+dropout(1e400)",
        zoo.SpecError,
        drawn("column 16: 1e400 is too large for a number", "simple+dropout(1e400)", 15),
    ),
    (
        "mlp(" + "9" * 4000 + ")",
        zoo.SpecError,
        drawn("column 5: this integer doesn't fit in 64 bits", "mlp(" + "9" * 30 + "…", 4),
    ),
    ("mlp(" + "9" * 5000 + ")", zoo.SpecError, "5,005 characters; a spec has at most 4,096"),
    # -- characters
    (
        "ｓimple",
        zoo.SpecError,
        drawn(
            "column 1: 'ｓ' (U+FF53 FULLWIDTH LATIN SMALL LETTER S) outside quotes; names are plain ASCII", "ｓimple", 0
        ),
    ),
    (
        "simple+dropout(０.2)",
        zoo.SpecError,
        drawn(
            "column 16: '０' (U+FF10 FULLWIDTH DIGIT ZERO) outside quotes; names are plain ASCII",
            "simple+dropout(０.2)",
            15,
        ),
    ),
    (
        "simple\u202e+dropout",
        zoo.SpecError,
        drawn("column 7: U+202E RIGHT-TO-LEFT OVERRIDE outside quotes; names are plain ASCII", "simple·+dropout", 6),
    ),
    (
        'simple+act("si\u2066lu")',
        zoo.SpecError,
        drawn(
            "column 15: the bidirectional control character U+2066 inside quotes",
            'simple+act("si·lu")',
            14,
        ),
    ),
    (
        "simple\x00",
        zoo.SpecError,
        drawn("column 7: unexpected U+0000; expected '+' or '(' or ':' or the end", "simple·", 6),
    ),
    (
        'simple+act("si\x00lu")',
        zoo.SpecError,
        drawn("column 15: the control character U+0000 inside quotes", 'simple+act("si·lu")', 14),
    ),
    # -- size
    ("simple" + "+dropout" * 1_250_000, zoo.SpecError, "10,000,006 characters; a spec has at most 4,096"),
    ("simple" + "+dropout" * 33, zoo.SpecError, "33 parts; a text may have at most 32"),
    ("(" * 10_000, zoo.SpecError, "10,000 characters; a spec has at most 4,096"),
    (
        "simple(" + "[" * 4000,
        zoo.SpecError,
        drawn("column 15: more than 8 levels of brackets", "simple(" + "[" * 37 + "…", 14),
    ),
    # -- what looks like code
    ("__import__('os')", zoo.UnknownNameError, "no arch '__import__'; see `zoo list archs`"),
    (
        "simple+__import__('os')",
        zoo.UnknownNameError,
        part("simple+__import__(os)", "__import__(os)", "no modifier '__import__'; see `zoo list modifiers`"),
    ),
    (
        "simple+act(__import__('os'))",
        zoo.OptionError,
        part(
            "simple+act(__import__(os))",
            "act(__import__(os))",
            f"act: name takes str, not the layer __import__(os); its options: {ACT}",
        ),
    ),
    (
        "simple+replace(head, __import__('os'))",
        zoo.UnknownNameError,
        part(
            "simple+replace(head, __import__(os))",
            "replace(head, __import__(os))",
            "no layer '__import__'; the layers are torch.nn's and those of plugins",
        ),
    ),
    (
        "simple+act(load_state_dict_from_url)",
        zoo.OptionError,
        part(
            "simple+act(load_state_dict_from_url)",
            "act(load_state_dict_from_url)",
            f"act: no activation 'load_state_dict_from_url'; the names: {ACTIVATIONS}",
        ),
    ),
    (
        'resnet18(checkpoint_path="x")',
        zoo.OptionError,
        "resnet18: 'checkpoint_path' can't stand in a spec; write zoo.create(spec, checkpoint_path=...)\n"
        "  in the arch of 'resnet18(checkpoint_path=x)'",
    ),
    (
        "resnet18(pretrained=True)",
        zoo.OptionError,
        "resnet18: 'pretrained' can't stand in a spec; write zoo.create(spec, pretrained=...)\n"
        "  in the arch of 'resnet18(pretrained=True)'",
    ),
    # -- options of the modifiers
    (
        "simple+heads()",
        zoo.OptionError,
        part("simple+heads", "heads", "heads needs at least one name=size, as in heads(cls=10, reg=1)"),
    ),
    (
        "simple+heads(forward=1)",
        zoo.OptionError,
        part(
            "simple+heads(forward=1)",
            "heads(forward=1)",
            "heads: a head can't be called 'forward': nn.ModuleDict has an attribute of that name; "
            "call it 'forward_head', say",
        ),
    ),
    (
        "simple+heads(class=1)",
        zoo.OptionError,
        part(
            "simple+heads(class=1)",
            "heads(class=1)",
            "heads: a head can't be called 'class': Python can't take it for a name; call it 'class_head', say",
        ),
    ),
    (
        "simple+heads(a.b=1)",
        zoo.OptionError,
        part(
            "simple+heads(a.b=1)",
            "heads(a.b=1)",
            "heads: a head can't be called 'a.b': Python can't take it for a name; call it 'a_b', say",
        ),
    ),
    (
        "simple+replace(x, Identity)",
        zoo.OptionError,
        part(
            "simple+replace(x, Identity)",
            "replace(x, Identity)",
            "replace: layer=Identity is a word, not a layer; write Identity()",
        ),
    ),
    (
        "simple+act",
        zoo.OptionError,
        part("simple+act", "act", f"act needs 'name'; its options: {ACT}"),
    ),
    (
        "simple+act(sliu)",
        zoo.OptionError,
        part("simple+act(sliu)", "act(sliu)", "act: no activation 'sliu'; did you mean 'silu'?"),
    ),
    (
        "mlp(num_clases=3)",
        zoo.OptionError,
        f"mlp has no option 'num_clases'; did you mean 'num_classes'?; its options: {MLP}\n"
        "  in the arch of 'mlp(num_clases=3)'",
    ),
    # -- selectors
    (
        "simple+dropout(at=nowhere)",
        zoo.NoEffectError,
        part(
            "simple+dropout(at=nowhere)", "dropout(at=nowhere)", f"at=nowhere matches nothing in this Simple; {PATHS}"
        ),
    ),
    (
        "simple+dropout(at=[head, nowhere])",
        zoo.NoEffectError,
        part(
            "simple+dropout(at=[head, nowhere])",
            "dropout(at=[head, nowhere])",
            f"at=nowhere matches nothing in this Simple; {PATHS}",
        ),
    ),
    (
        "simple+dropout(at=[head, !nowhere])",
        zoo.NoEffectError,
        part(
            "simple+dropout(at=[head, !nowhere])",
            "dropout(at=[head, !nowhere])",
            f"at=nowhere matches nothing in this Simple; {PATHS}",
        ),
    ),
    (
        "simple+replace(x, Identity())",
        zoo.NoEffectError,
        part(
            "simple+replace(x, Identity())", "replace(x, Identity())", f"at=x matches nothing in this Simple; {PATHS}"
        ),
    ),
    ("mlp+bn(1e-4)", zoo.NotApplicableError, part("mlp+bn(0.0001)", "bn(0.0001)", "this MLP has no BatchNorm")),
]


def short(spec: Any) -> str:
    return ascii(spec)[:50]


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """The modules that get a parameter with memory while the test runs. Rehearsals on meta take none."""
    found: list[nn.Module] = []
    plain = nn.Module.register_parameter

    def register(self: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        if parameter is not None and parameter.device.type != "meta":
            found.append(self)
        plain(self, name, parameter)

    monkeypatch.setattr(nn.Module, "register_parameter", register)
    return found


@pytest.mark.parametrize(("spec", "error", "message"), TABLE, ids=[short(spec) for spec, _, _ in TABLE])
def test_bad_input(spec: Any, error: type[zoo.ZooError], message: str, built: list[nn.Module]) -> None:
    with pytest.raises(zoo.ZooError) as caught:
        zoo.create(spec)
    assert str(caught.value) == message
    assert type(caught.value) is error
    assert caught.value.__cause__ is None
    assert not built


def test_what_counts_as_built(built: list[nn.Module]) -> None:
    zoo.create("simple+dropout", device="meta")
    assert not built
    zoo.create("simple+dropout")
    assert {type(module).__name__ for module in built} == {"Linear", "BatchNorm1d"}


@pytest.mark.parametrize(
    "mods",
    [
        "dropot",
        "dropout(1.1)",
        "heads()",
        "act(sliu)",
        "dropout(at=nowhere)",
        "bn(1e-4, at=stem)",
        "replace(x, Identity)",
    ],
)
def test_what_is_wrong_at_the_end_is_found_before_the_start(mods: str, built: list[nn.Module]) -> None:
    with pytest.raises(zoo.ZooError, match=r"\n  in part 3, '"):
        zoo.create(f"simple+dropout(0.2)+act(silu)+{mods}")
    assert not built


def test_ten_megabytes_are_refused_at_once(look: float) -> None:
    text = "simple" + "+dropout" * 1_250_000
    times = []
    for _ in range(3):
        start = time.process_time()
        with pytest.raises(zoo.SpecError):
            zoo.create(text)
        times.append(time.process_time() - start)
    assert min(times) < len(text) * look / 10


STANDARD = {
    zoo.SpecError: {ValueError},
    zoo.UnknownNameError: {LookupError},
    zoo.OptionError: {TypeError, ValueError},
    zoo.ShapeError: {ValueError},
    zoo.NotApplicableError: set(),
    zoo.NoEffectError: set(),
    zoo.PluginError: set(),
    zoo.CheckpointError: set(),
    zoo.FetchError: {OSError},
}


@pytest.mark.parametrize(("error", "standard"), STANDARD.items(), ids=[error.__name__ for error in STANDARD])
def test_the_family_of_errors(error: type[Exception], standard: set[type[Exception]]) -> None:
    assert issubclass(error, zoo.ZooError)
    assert {cls for cls in (ValueError, LookupError, TypeError, OSError) if issubclass(error, cls)} == standard


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": True}, f"mlp: num_classes is True (bool); expected a valid integer; its options: {MLP}"),
        ({"num_classes": 0}, f"mlp: num_classes is 0 (int); expected greater than or equal to 1; its options: {MLP}"),
        ({"num_clases": 3}, f"mlp has no option 'num_clases'; did you mean 'num_classes'?; its options: {MLP}"),
        ({"num_clases": object}, f"mlp has no option 'num_clases'; did you mean 'num_classes'?; its options: {MLP}"),
        ({"pretrained": True}, "mlp takes no pretrained: it has no published weights"),
        ({"checkpoint_path": "x"}, "mlp takes no checkpoint_path: it has no published weights"),
        ({"dtype": "float16"}, "dtype='float16'; expected a floating one of torch's, such as torch.bfloat16"),
        ({"dtype": torch.int64}, "dtype=torch.int64; expected a floating one of torch's, such as torch.bfloat16"),
        ({"device": "gpu"}, "device='gpu'; expected one of torch's, such as 'cuda' or 'cpu'"),
        ({"device": 0.5}, "device=0.5; expected one of torch's, such as 'cuda' or 'cpu'"),
        ({"map": {}}, "map= says what parts are called in the source of the weights; give weights= too"),
    ],
)
def test_bad_keyword_options(options: dict[str, Any], message: str, built: list[nn.Module]) -> None:
    with pytest.raises(zoo.OptionError) as caught:
        zoo.create("mlp", **options)
    assert str(caught.value).removesuffix("\n  in the arch of 'mlp'") == message
    assert not built


def test_nothing_in_a_spec_runs(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is asked for is a name in a table, and the tables hold no such name."""
    monkeypatch.chdir(tmp_path)
    ran: list[str] = []
    monkeypatch.setattr(os, "system", ran.append)
    monkeypatch.setattr("builtins.eval", lambda *args: ran.append("eval"))
    for call in ["os.system('touch x')", "eval('1')", "nn.Linear(1, 1)", "torch.load('x')", "Module()", "_test()"]:
        for spec in (
            call,
            f"simple+{call}",
            f"simple+replace(head, {call})",
            f"simple+replace(head, Sequential({call}))",
        ):
            with pytest.raises((zoo.UnknownNameError, zoo.OptionError)):
                zoo.create(spec)
    assert not ran
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["{0}", "{0.__class__}", "%s%n", "$HOME", "`id`", "../../etc/passwd", "file:///etc"])
def test_a_strange_text_is_only_a_text(text: str) -> None:
    with pytest.raises(zoo.OptionError) as caught:
        zoo.create(f'simple+act("{text}")')
    assert f"no activation '{text}'" in str(caught.value)


# -- what is no text, and texts in the wrong place --------------------------------------------------------------------


class Loop(nn.Sequential):
    """Two layers, and a plain attribute that holds itself."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(2, 2), nn.ReLU())
        self.config: dict[str, Any] = {"width": 2}
        self.config["self"] = self.config
        self.rows: list[Any] = [self.config]
        self.rows.append(self.rows)


_TERM = "a selector is a text or a list of texts, not"
_LAYER = "a layer is a module, such as nn.ReLU(), not"
CALLS: list[tuple[str, Callable[[nn.Module], Any], type[zoo.ZooError], str]] = [
    (
        "diff of a number",
        lambda m: zoo.diff("simple", 3),
        zoo.OptionError,
        "diff takes specs and models, such as 'resnet18+act(silu)', not 3",
    ),
    (
        "describe a number",
        lambda m: zoo.describe(5),
        zoo.OptionError,
        "describe takes the name of an arch or a modifier, such as 'resnet18', not 5",
    ),
    (
        "select a class",
        lambda m: zoo.select(m, nn.Linear),
        zoo.OptionError,
        f"{_TERM} <class 'torch.nn.modules.linear.Linear'>; write 'Linear'",
    ),
    (
        "select a number",
        lambda m: zoo.select(m, [0]),
        zoo.OptionError,
        f"{_TERM} 0; write 'head', 'layer4*' or 'Linear'",
    ),
    (
        "select in a spec",
        lambda m: zoo.select("resnet18", "head"),
        zoo.OptionError,
        "select takes a live model, not 'resnet18'; zoo.create makes one from a spec",
    ),
    (
        "a kind that is a text",
        lambda m: zoo.select(m, kind="Conv2d"),
        zoo.OptionError,
        "kind is a class, several as a tuple, or a test of a module, such as nn.Conv2d, not 'Conv2d'; "
        "the name of a class goes in front, as in zoo.select(model, 'Conv2d')",
    ),
    (
        "kinds that are texts",
        lambda m: zoo.select(m, "*", ("Conv2d", nn.Linear)),
        zoo.OptionError,
        "kind is a class, several as a tuple, or a test of a module, such as nn.Conv2d, not "
        "('Conv2d', <class 'torch.nn.modules.linear.Linear'>); "
        "the name of a class goes in front, as in zoo.select(model, 'Conv2d')",
    ),
    (
        "a kind that is a layer",
        lambda m: zoo.select(m, kind=nn.ReLU()),
        zoo.OptionError,
        "kind is a class, several as a tuple, or a test of a module, such as nn.Conv2d, not ReLU(); "
        "the name of a class goes in front, as in zoo.select(model, 'Conv2d')",
    ),
    *(
        (
            f"exclusions that leave nothing: {part}",
            lambda m, part=part: zoo.modify(m, part),
            zoo.NoEffectError,
            f"the exclusions leave nothing of at={shown}; exclude less\n  in part 1, {part!r}, of {part!r}",
        )
        for part, shown in [
            ("switch([Linear, !Linear], a=ReLU(), b=ReLU())", "[Linear, !Linear]"),
            ("heads(at=[Linear, !Linear], a=3)", "[Linear, !Linear]"),
            ("act(silu, [ReLU, !ReLU])", "[ReLU, !ReLU]"),
            ("freeze(!*)", "!*"),
        ]
    ),
    (
        "replace by a class",
        lambda m: zoo.replace(m, "1", nn.GELU),
        zoo.OptionError,
        f"{_LAYER} the class GELU; write GELU(...)",
    ),
    (
        "insert a class",
        lambda m: zoo.insert_before(m, "1", nn.GELU),
        zoo.OptionError,
        f"{_LAYER} the class GELU; write GELU(...)",
    ),
    ("add a text", lambda m: zoo.add(m, "", "x", "GELU"), zoo.OptionError, f"{_LAYER} 'GELU'"),
    (
        "a path that is a number",
        lambda m: zoo.remove(m, 1),
        zoo.OptionError,
        "a path is a text such as 'layer1.0', not 1",
    ),
    ("edit a spec", lambda m: zoo.remove("simple", "head"), zoo.OptionError, "expected a live model, not 'simple'"),
    (
        "no such path",
        lambda m: zoo.remove(m, "0.weight.x"),
        zoo.NoEffectError,
        "there is no module at '0.weight.x'; in '0' there is: nothing",
    ),
    (
        "no such child",
        lambda m: zoo.remove(m, "2"),
        zoo.NoEffectError,
        "there is no module at '2'; in this Loop there is: 0, 1",
    ),
    (
        "a modifier alone",
        lambda m: zoo.create("dropout(0.2)+act(silu)"),
        zoo.UnknownNameError,
        "'dropout' is a modifier; put an arch in front of it, as in 'resnet18+dropout(0.2)'",
    ),
    (
        "heads alone",
        lambda m: zoo.create("heads()"),
        zoo.UnknownNameError,
        "'heads' is a modifier; put an arch in front of it, as in 'resnet18+heads'",
    ),
    (
        "modify by nothing",
        lambda m: zoo.modify(m, ""),
        zoo.SpecError,
        "the spec is empty; expected a modifier, such as 'dropout(0.2)'",
    ),
    (
        "modify by None",
        lambda m: zoo.modify(m, None),
        zoo.SpecError,
        "modifiers are a text such as 'act(silu)+dropout(0.2)', not NoneType",
    ),
    (
        "set p",
        lambda m: zoo.modify(m, "set(ReLU, p=3)"),
        zoo.OptionError,
        "set: p=3.0 is out of range; expected a number from 0 to 1\n  in part 1, 'set(ReLU, p=3)', of 'set(ReLU, p=3)'",
    ),
    (
        "set eps",
        lambda m: zoo.modify(m, "set(ReLU, eps=0)"),
        zoo.OptionError,
        "set: eps=0.0 is out of range; expected a number above 0\n"
        "  in part 1, 'set(ReLU, eps=0)', of 'set(ReLU, eps=0)'",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), [row[1:] for row in CALLS], ids=[row[0] for row in CALLS])
def test_bad_calls(call: Callable[[nn.Module], Any], error: type[zoo.ZooError], message: str) -> None:
    model = Loop()
    with pytest.raises(error) as caught:
        call(model)
    assert str(caught.value) == message
    assert type(caught.value) is error
    assert [type(module) for module in model] == [nn.Linear, nn.ReLU]


def test_an_attribute_that_holds_itself_is_no_obstacle() -> None:
    model = Loop()
    config, rows = model.config, model.rows
    with pytest.raises(zoo.NotApplicableError):
        zoo.modify(model, "replace('1', Tanh())+bn(eps=0.1)")
    assert isinstance(model[1], nn.ReLU)
    zoo.modify(model, "replace('1', Tanh())")
    assert [change.path for change in zoo.changes(model)] == ["1"]
    assert model.config is config is config["self"]
    assert model.rows is rows is rows[1]
    assert not zoo.diff(model, zoo.modify(Loop(), "replace('1', Tanh())"))
