"""What tools read of the public functions: every argument and result is explained, and every example runs."""

from __future__ import annotations

import doctest
import inspect
import re
from typing import Any

import pytest
import torch

import zoo
import zoo.testing

KIT = ("check_modifier", "check_arch", "check_plugin", "parametrize", "cases")
PUBLIC = {name: getattr(zoo, name) for name in zoo.__all__ if name != "testing"}
PUBLIC |= {f"testing.{name}": getattr(zoo.testing, name) for name in KIT}
FUNCTIONS = {name: value for name, value in PUBLIC.items() if inspect.isfunction(value)}
SECTION = re.compile(r"^(Args|Returns|Raises|Example|Yields):\n((?:(?: {4}.*)?\n?)*)", re.MULTILINE)
FINDER = doctest.DocTestFinder(recurse=False)
EXAMPLES = [
    test
    for name, value in PUBLIC.items()
    if inspect.isfunction(value) or inspect.isclass(value)
    for test in FINDER.find(value, name, globs={"torch": torch, "zoo": zoo})
    if test.examples
]


def sections(function: Any) -> dict[str, str]:
    return dict(SECTION.findall(inspect.getdoc(function) or ""))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_arguments_and_result_of_a_public_function_are_explained(name: str) -> None:
    """Ruff holds that a section names every argument, where there is one; this, that there is one."""
    function = FUNCTIONS[name]
    found, signature = sections(function), inspect.signature(function)
    named = re.findall(r"^    [*]{0,2}(\w+)(?: \(.*\))?: \S", found.get("Args", ""), re.MULTILINE)
    assert named == list(signature.parameters), "in the order of the signature"
    returns = signature.return_annotation not in ("None", "NoReturn")
    assert ("Returns" in found or "Yields" in found) is returns


@pytest.mark.parametrize("test", EXAMPLES, ids=lambda test: test.name)
def test_the_example_of_a_docstring_runs(test: doctest.DocTest) -> None:
    report: list[str] = []
    failed = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=report.append).failed
    assert not failed, "".join(report)


def test_most_public_functions_have_an_example() -> None:
    shown = {test.name for test in EXAMPLES}
    assert len([name for name in FUNCTIONS if name in shown]) > len(FUNCTIONS) / 2
