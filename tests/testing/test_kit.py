"""What the author of a plugin calls: checks of a modifier, an arch, a whole distribution, and what they report."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import zoo
import zoo.testing
from tests.nets import registry_of
from tests.testing.common import LEAKY, SLOW, failed
from zoo.testing import suite
from zoo.testing.suite import DECLARATIONS, TRIALS


def eps(model: nn.Module) -> nn.Module:
    """An honest edit, so that there is one."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.eps = 0.01
    return model


@zoo.modifier(examples=["leaky", "leaky(0.2)"])
def leaky(model, /, slope: float = 0.01, at: zoo.Where = "*"):
    """Swap every ReLU for a LeakyReLU of this slope."""
    for path in zoo.select(model, at, kind=nn.ReLU):
        model = zoo.replace(model, path, nn.LeakyReLU(slope))
    return model


@zoo.modifier
def doubles(model, /):
    """Write into weights, without a word."""
    model.layers1[0].weight.data.mul_(2)
    return eps(model)


def test_a_sound_modifier_passes() -> None:
    """On the kit's own nets, where the registry has none of the zoo's."""
    report = zoo.testing.check_modifier("leaky(0.2)", registry=registry_of(leaky, owner="zoo-broken"), raises=False)
    assert report, str(report)
    assert {r.check for r in report.results} == {*DECLARATIONS, *TRIALS}
    assert {r.arch for r in report.results} == {"", "kit-tangled", "kit-fused", "kit-tokens"}
    assert {r.arch for r in report.results if r.status == "skipped"} == {"kit-tokens"}  # which has no ReLU
    assert report.summary == f"{2 + 2 * 19 + 1} passed, 18 skipped"


def test_each_example_is_tried_on_each_default_arch() -> None:
    tried = {(case.subject, case.arch) for case in zoo.testing.cases(modifiers=[leaky]) if case.arch}
    archs = ["simple", "mlp(16, hidden=[12])", "convnet(channels=4, depth=2)", "kit-tangled", "kit-fused", "kit-tokens"]
    assert tried == {(example, arch) for example in ("leaky", "leaky(0.2)") for arch in archs}


def test_a_broken_modifier_raises_with_every_failure() -> None:
    with pytest.raises(AssertionError) as caught:
        zoo.testing.check_modifier(doubles, archs=["simple"])
    summary, *rows = str(caught.value).split("\n")
    assert summary == "20 passed, 1 failed"
    (row,) = rows
    told = "under one seed 'layers1.0.weight' of variant and base differ, which no change tells"
    assert row == f"failed     simple+doubles, weights: {told}"


def test_the_report_prints_as_a_table() -> None:
    report = zoo.testing.check_modifier("bn(eps=1e-4)", archs=["simple", "kit-tokens"], raises=False)
    table = str(report).split("\n\n")[1].split("\n")
    assert table[0].split() == ["bn(eps=1e-4)", "simple", "kit-tokens"]
    assert [row.split() for row in table[1:]] == [[c, "ok", "ok" if c == "applies" else "-"] for c in TRIALS]
    why = "not applicable: NotApplicableError: this Tokens has no BatchNorm"
    assert f"skipped    kit-tokens+bn(eps=1e-4), round_trip, again, effects …: {why}" in str(report)
    assert str(report).endswith("\n\n22 passed, 18 skipped")


def only(check: str, **options: Any) -> list[zoo.testing.Result]:
    return [case.result() for case in zoo.testing.cases(**options) if case.check == check]


@pytest.mark.parametrize("key", ["weights", "weights[simple]", "weights[doubles]", "weights[simple+doubles]"])
def test_what_is_expected_to_fail_is_no_failure(key: str) -> None:
    (row,) = only("weights", modifiers=[doubles], archs=["simple"], expected_failures={key: "it doubles"})
    assert row.status == "expected"
    assert row.reason.startswith("it doubles (under one seed ")
    assert zoo.testing.Report((row,)).raise_if_failed()


def test_what_is_expected_to_fail_and_passes_is_a_failure() -> None:
    with pytest.raises(AssertionError) as caught:
        zoo.testing.check_modifier("bn(eps=1e-4)", archs=["simple"], expected_failures={"names": "who knows"})
    reason = "it passed, but was expected to fail: who knows"
    assert str(caught.value) == f"20 passed, 1 unexpected\nunexpected simple+bn(eps=1e-4), names: {reason}"


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: zoo.testing.check_modifier("bn", expected_failures={"nmes": "x"}),
            ValueError,
            "expected_failures names 'nmes', which is no check that runs here; those: declaration, options, applies, ",
        ),
        (lambda: zoo.testing.check_modifier("bnn"), zoo.UnknownNameError, "no modifier 'bnn'; did you mean 'bn'?"),
        (lambda: zoo.testing.check_modifier("bn", archs=["simpel"]), zoo.UnknownNameError, "no arch 'simpel'; did"),
        (lambda: zoo.testing.check_modifier("bn", archs=[]), ValueError, "a modifier is checked on an arch, and archs"),
        (
            lambda: zoo.testing.check_modifier("bn(eps=1)+dropout"),
            zoo.OptionError,
            "the checks are of one modifier, and 'bn(eps=1)+dropout' has 2",
        ),
    ],
)
def test_wrong_use_is_told(call: Callable[[], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value).startswith(text)


def test_the_arguments_reach_the_options() -> None:
    (result,) = only("again", modifiers=["append(head, Dropout(0.1))"], archs=["simple"])
    assert (result.spec, result.status, result.reason) == (
        "simple+append(head, Dropout(0.1))",
        "passed",
        "it stacks",
    )
    (result,) = only("again", modifiers=["heads(a=3)"], archs=["simple"])
    assert result.reason == "declined: OptionError: heads: there is a head 'a' already"
    (result,) = only("again", modifiers=["dropout(0.3)"], archs=["simple"])
    assert result.reason == "already so"


def test_a_plugins_whole_test_file(install: Callable[[str, str], zoo.Registry], tmp_path: Path) -> None:
    """As an author writes it: every check is a test, what doesn't apply is skipped, what is known to fail an xfail."""
    install("zoo-leaky", LEAKY.replace("[leaky]", "[leaky, doubles]") + DOUBLES)
    (tmp_path / "test_plugin.py").write_text(TEST_FILE)
    command = [sys.executable, "-m", "pytest", "-q", "-rsxf", "-p", "no:cacheprovider", "test_plugin.py"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1, done.stdout
    last = done.stdout.strip().split("\n")[-1]
    assert last.startswith("1 failed, "), done.stdout
    assert "1 xfailed" in last
    assert "test_plugin.py::test_broken[simple+doubles-weights]" in done.stdout
    assert "XFAIL test_plugin.py::test_known[simple+doubles-weights]" in done.stdout
    assert "SKIPPED" in done.stdout
    assert "test_conforms" not in "".join(line for line in done.stdout.split("\n") if line.startswith("FAILED"))


DOUBLES = """
@zoo.modifier
def doubles(model):
    '''Write into weights, without a word.'''
    model.layers1[0].weight.data.mul_(2)
    model.layers3[0].eps = 0.1
    return model
"""
TEST_FILE = """
import pytest
import zoo.testing

@zoo.testing.parametrize("zoo-leaky", archs=["simple", "kit-tokens"], expected_failures=dict(contributes="no reason"))
def test_nothing_is_run_at_collection(check):
    pass

@zoo.testing.parametrize(modifiers=["leaky(0.2)"], archs=["simple", "kit-tokens"])
def test_conforms(check):
    check()

@zoo.testing.parametrize(modifiers=["doubles"], archs=["simple"], expected_failures={"weights": "known"})
def test_known(check):
    check()

@zoo.testing.parametrize(modifiers=["doubles"], archs=["simple"])
def test_broken(check):
    check()
"""


def test_a_distribution_with_everything(install: Callable[[str, str], zoo.Registry]) -> None:
    """Its own archs are checked, and are among those that its modifiers are tried on."""
    code = LEAKY + "@zoo.arch(sites={'head': '1'}, sample=(6,), examples=['pair', 'pair(3)'])\n" + PAIR
    registry = install("zoo-pair", code)
    cases = zoo.testing.cases("zoo-pair", registry=registry)
    assert {case.subject for case in cases} == {"zoo-pair", "pair", "pair(3)", "leaky", "leaky(0.2)"}
    assert {case.arch for case in cases if case.arch} >= {"simple", "kit-fused", "pair", "pair(3)"}
    few = [case for case in cases if case.check not in SLOW and (not case.arch or case.arch == "pair(3)")]
    assert failed(few) == {}
    found = zoo.testing.check_plugin("zoo-pair", archs=["pair"], registry=registry)
    assert {result.arch for result in found.results} == {"", "pair"}


PAIR = """def pair(width: int = 4):
    '''Two layers.'''
    from torch import nn
    return nn.Sequential(nn.Linear(6, width), nn.Linear(width, 2), nn.ReLU())

@zoo.hookimpl
def zoo_archs():
    return [pair]
"""


def test_the_kit_imports_pytest_only_when_it_is_needed() -> None:
    code = "import sys, zoo.testing; zoo.testing.cases(modifiers=['bn']); print('pytest' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "False\n", done.stderr


def test_assertions_that_are_switched_off_are_no_checks() -> None:
    source = Path(suite.__file__).read_text(encoding="utf-8")
    namespace: dict[str, Any] = {"__name__": "zoo.testing.optimised", "__package__": "zoo.testing"}
    exec(compile(source, "optimised", "exec", optimize=1), namespace)
    with pytest.raises(zoo.ZooError, match="the checks are assertions, which python -O switches off"):
        namespace["cases"](modifiers=["bn"])


@pytest.mark.parametrize("thing", [3, lambda model: model, nn.Linear(1, 1)])
def test_what_is_no_modifier_or_arch_is_told(thing: object) -> None:
    with pytest.raises(
        zoo.OptionError, match=r"^the checks take the name of a modifier, or what @zoo.modifier makes, not "
    ):
        zoo.testing.check_modifier(thing)  # type: ignore[arg-type]
    with pytest.raises(zoo.OptionError, match=r"^the checks take the name of an arch, or what @zoo.arch makes, not "):
        zoo.testing.check_arch(thing)  # type: ignore[arg-type]


def test_one_arch_needs_no_list() -> None:
    assert zoo.testing.check_modifier("dropout(0.1)", archs="simple", raises=False)
