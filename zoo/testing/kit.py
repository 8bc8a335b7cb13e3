"""What a plugin's author calls: checks of a modifier, an arch, a distribution, and the same as cases of pytest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..registry.declarations import Arch, Modifier
from ..registry.registry import Registry
from .results import Case, Report
from .suite import Archs, cases


def check_modifier(
    modifier: str | Modifier,
    archs: Archs | None = None,
    *,
    registry: Registry | None = None,
    expected_failures: Mapping[str, str] | None = None,
    raises: bool = True,
) -> Report:
    """Run every check of a modifier on several archs, after scikit-learn's `check_estimator`.

    Args:
        modifier: a name, or what `@zoo.modifier` made, which is tried with each of its examples; or a text with
            options, `"leaky(0.2)"`, for these alone.
        archs: specs such as `"resnet18"`, or what `@zoo.arch()` made. By default small nets of the zoo and of the kit,
            which have shared modules, tied weights, fused norms, frozen weights and the like. As a dict, with the shape
            of one input where the arch's own sample would take long: `{"resnet18": (3, 48, 48)}`.
        registry: where names are looked up; by default what is installed.
        expected_failures: `{"exports": "why"}`, for one arch `{"exports[resnet18]": "why"}`. A check that is expected
            to fail and passes is a failure.
        raises: whether a failure raises; otherwise the report says it.

    Returns:
        The report, which is false when a check failed.

    Raises:
        AssertionError: checks failed; all of them, with their reasons.
        UnknownNameError: there is no such modifier or arch.
        OptionError: this is no modifier, or no arch, or several.
    """
    found = cases(modifiers=[modifier], archs=archs, registry=registry, expected_failures=expected_failures)
    return _report(found, raises)


def check_arch(
    arch: str | Arch,
    *,
    registry: Registry | None = None,
    expected_failures: Mapping[str, str] | None = None,
    raises: bool = True,
) -> Report:
    """Run every check of an arch.

    Args:
        arch: a spec such as `"resnet18"` or `"convnet(channels=8)"`, or what `@zoo.arch()` made.
        registry: as for `check_modifier`.
        expected_failures: as for `check_modifier`.
        raises: as for `check_modifier`.

    Returns:
        The report, which is false when a check failed.

    Raises:
        AssertionError: checks failed; all of them, with their reasons.
        UnknownNameError: there is no such arch.
        OptionError: this is no arch.
    """
    return _report(cases(archs=[arch], registry=registry, expected_failures=expected_failures), raises)


def check_plugin(
    distribution: str,
    archs: Archs | None = None,
    *,
    registry: Registry | None = None,
    expected_failures: Mapping[str, str] | None = None,
    raises: bool = True,
) -> Report:
    """Run every check of everything that an installed distribution contributes: how it loads, its archs, its modifiers.

    Args:
        distribution: its name, `"zoo-leaky"`.
        archs: what its modifiers are tried on, by default the small nets of `check_modifier` and its own archs. Those
            of them that come from its families are checked themselves.
        registry: as for `check_modifier`.
        expected_failures: as for `check_modifier`.
        raises: as for `check_modifier`.

    Returns:
        The report, which is false when a check failed.

    Raises:
        AssertionError: checks failed; all of them, with their reasons.
    """
    found = cases(distribution, archs=archs, registry=registry, expected_failures=expected_failures)
    return _report(found, raises)


def parametrize(
    distribution: str | None = None,
    *,
    modifiers: Iterable[str | Modifier] = (),
    archs: Archs | None = None,
    registry: Registry | None = None,
    expected_failures: Mapping[str, str] | None = None,
) -> Any:
    """A decorator that makes every check a test of pytest; one expected to fail is a strict xfail.

    Args:
        distribution: everything that it contributes, as for `check_plugin`.
        modifiers: these, each as for `check_modifier`.
        archs: what modifiers are tried on; alone, these are checked, each as for `check_arch`.
        registry: as for `check_modifier`.
        expected_failures: as for `check_modifier`.

    Returns:
        `pytest.mark.parametrize` over the argument `check`.

    Raises:
        UnknownNameError: there is no such modifier or arch.
        OptionError: this is no modifier, or no arch, or several.

    Example:
        >>> @zoo.testing.parametrize(modifiers=["bn"], archs="simple")
        ... def test_conforms(check):
        ...     check()
    """
    import pytest

    found = cases(
        distribution, modifiers=modifiers, archs=archs, registry=registry, expected_failures=expected_failures
    )
    return pytest.mark.parametrize("check", [pytest.param(case, id=case.id) for case in found])


def _report(found: Iterable[Case], raises: bool) -> Report:
    report = Report(tuple(case.result() for case in found))
    return report.raise_if_failed() if raises else report
