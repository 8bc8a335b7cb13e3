"""The zoo keeps what it asks of plugins: its own kit, over everything that ships with it."""

from __future__ import annotations

from typing import Any

import pytest

import zoo.testing
from tests.whole.test_promises import MODS, SMALL, WHOLE, is_lacking
from zoo.testing import Case, Report

# What a default run leaves to the long one: a second each. `test_promises.py` compiles and exports chains of modifiers.
LONG = ("compiles", "exports")
NETS = ["kit-tangled", "kit-fused", "kit-tokens"]

# Where an example has nothing to work on.
LACKING = {
    "kit-tokens+bn(eps=1e-4)",
    "kit-tokens+bn(momentum=0.01)",
    "kit-tokens+dropout(0.1, at=stem)",
    "kit-tokens+set(BatchNorm2d, eps=1e-3)",
    "kit-tangled+set(BatchNorm2d, eps=1e-3)",
}


def grouped(cases: list[Case]) -> dict[str, list[Case]]:
    found: dict[str, list[Case]] = {}
    for case in cases:
        found.setdefault(case.spec, []).append(case)
    return found


# What `num_classes` and its like say of a checkpoint of the base.
RESIZED = "layers of other sizes stand under names of the base"


def assert_conform(cases: list[Case], lacking: bool = False) -> None:
    report = Report(tuple(case.result() for case in cases)).raise_if_failed()
    skipped = {r.check: r.reason for r in report.results if r.status == "skipped" and r.reason != RESIZED}
    if lacking:
        assert skipped.keys() == {case.check for case in cases} - {"applies"}
        assert all(reason.startswith("not applicable: ") for reason in skipped.values())
    else:
        assert not skipped


# What works on models of its own kind alone.
ELSEWHERE = {
    "grow": ["chain(3, 8)"],
    "shrink": ["chain(3, 8, 16)"],
    "drop_heads": ["mlp(8, [4])+heads(cls=3, reg=1)"],
    "in_chans": ["kit-fused", "convnet(channels=4, depth=2)"],
}
OWN = {
    spec: cases
    for spec, cases in grouped(zoo.testing.cases("plugzoo", archs=NETS)).items()
    if spec.partition("+")[2].partition("(")[0] not in ELSEWHERE and spec not in ELSEWHERE
}
for name, archs in ELSEWHERE.items():
    OWN |= grouped(zoo.testing.cases(modifiers=[name], archs=archs))
PLUGIN = OWN.pop("plugzoo")


def test_the_plugins() -> None:
    report = Report(tuple(case.result() for case in PLUGIN)).raise_if_failed()
    # Its names are the zoo's own, and it has no named variants.
    assert {r.check for r in report.results if r.status == "skipped"} == {"own_names", "variants"}


def test_everything_is_there() -> None:
    modifiers = zoo.list_modifiers()
    assert {"simple", "mlp", "convnet", *modifiers} <= OWN.keys()
    for name in modifiers:
        for arch in ELSEWHERE.get(name, NETS):
            assert {f"{arch}+{example}" for example in zoo.describe(name).examples} <= OWN.keys()


@pytest.mark.parametrize("spec", OWN)
def test_archs_and_modifiers(spec: str) -> None:
    assert_conform([case for case in OWN[spec] if case.check not in LONG], spec in LACKING)


@pytest.mark.slow
@pytest.mark.parametrize("spec", [spec for spec in OWN if spec not in LACKING and spec not in zoo.list_modifiers()])
def test_archs_and_modifiers_compiled(spec: str) -> None:
    assert_conform([case for case in OWN[spec] if case.check in LONG])


# One arch of each family, as in `test_promises.py`, and those with norms that hold activations.
FIELD = {**SMALL, "test_byobnet": (3, 64, 64), "torchvision/resnet18": (3, 48, 48)}
CASES = grouped([case for case in zoo.testing.cases(modifiers=MODS, archs={**FIELD, **WHOLE}) if case.arch])
WITHOUT = {f"{arch}+{mod}" for arch in [*FIELD, *WHOLE] for mod in MODS if is_lacking(arch, mod)}


def in_turn() -> list[Any]:
    """Every arch with every modifier; the default run takes one of them for each arch, and each as often."""
    cases = []
    for row, arch in enumerate(FIELD):
        able = [mod for mod in MODS if f"{arch}+{mod}" not in WITHOUT]
        for mod in MODS:
            marks = () if mod == able[row % len(able)] else pytest.mark.slow
            cases.append(pytest.param(f"{arch}+{mod}", marks=marks))
    return cases


@pytest.mark.parametrize("spec", in_turn())
def test_models_of_the_field(spec: str) -> None:
    assert_conform([case for case in CASES[spec] if case.check not in LONG], spec in WITHOUT)


@pytest.mark.slow
@pytest.mark.parametrize("spec", [f"{arch}+{mod}" for arch in WHOLE for mod in MODS])
def test_whole_models(spec: str) -> None:
    assert_conform([case for case in CASES[spec] if case.check not in LONG], spec in WITHOUT)
