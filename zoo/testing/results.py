"""What comes out of the kit: a `Case` to run, the `Result` of one, and the `Report` of many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

BAD = ("failed", "unexpected")


class Skip(Exception):
    """Raised by a check that has nothing to say about a subject; the message says why."""


@dataclass(frozen=True)
class Result:
    """What one check found.

    check: its name. subject: what was checked: a modifier with its options, an arch, a plugin. arch: what a modifier
    was tried on, empty otherwise. status: `passed`, `failed`, `skipped`, `expected` (it failed, and was expected to) or
    `unexpected` (it passed, though it was expected to fail). reason: why.
    """

    check: str
    subject: str
    arch: str
    status: str
    reason: str = ""

    @property
    def spec(self) -> str:
        """Subject and arch as a spec has them."""
        return f"{self.arch}+{self.subject}" if self.arch else self.subject

    def __str__(self) -> str:
        return f"{self.status:<10} {self.spec}, {self.check}" + (f": {self.reason}" if self.reason else "")


@dataclass(frozen=True)
class Case:
    """One check that is still to be run: `case()` raises AssertionError if it fails, `case.result()` never raises.

    expected: the reason why it is expected to fail; empty where it isn't.
    """

    check: str
    subject: str
    arch: str
    run: Callable[[], str | None]
    expected: str = ""

    @property
    def spec(self) -> str:
        """Subject and arch as a spec has them."""
        return f"{self.arch}+{self.subject}" if self.arch else self.subject

    @property
    def id(self) -> str:
        """`simple+leaky(0.2)-names`, for pytest."""
        return f"{self.spec}-{self.check}"

    def result(self) -> Result:
        """Run it."""
        status, reason = _outcome(self.run)
        if self.expected and status == "failed":
            status, reason = "expected", f"{self.expected} ({reason})"
        elif self.expected and status == "passed":
            status, reason = "unexpected", f"it passed, but was expected to fail: {self.expected}"
        return Result(self.check, self.subject, self.arch, status, reason)

    def __call__(self) -> None:
        """Run it as a test of pytest."""
        import pytest

        result = self.result()
        if result.status == "skipped":
            pytest.skip(result.reason)
        if result.status == "expected":
            pytest.xfail(result.reason)
        if result.status in BAD:
            raise AssertionError(str(result))


def _outcome(run: Callable[[], str | None]) -> tuple[str, str]:
    try:
        return "passed", run() or ""
    except Skip as skip:
        return "skipped", str(skip)
    except AssertionError as failure:
        return "failed", str(failure)
    except Exception as error:
        return "failed", f"{type(error).__name__}: {error}"


@dataclass(frozen=True)
class Report:
    """The results of a subject, in the order in which they were run; false when one failed. Prints as a table."""

    results: tuple[Result, ...]

    @property
    def failed(self) -> tuple[Result, ...]:
        """The results that failed, those that passed unexpectedly among them."""
        return tuple(result for result in self.results if result.status in BAD)

    def raise_if_failed(self) -> Report:
        """Raise AssertionError with every failed check; otherwise return the report."""
        if self.failed:
            raise AssertionError("\n".join([self.summary, *map(str, self.failed)]))
        return self

    @property
    def summary(self) -> str:
        """`118 passed, 2 skipped`."""
        statuses = [result.status for result in self.results]
        order = ("passed", "skipped", "expected", "unexpected", "failed")
        return ", ".join(f"{n} {status}" for status in order if (n := statuses.count(status))) or "no checks"

    def __bool__(self) -> bool:
        return not self.failed

    def __str__(self) -> str:
        """A row for each check, a column for each arch; then the reasons of what didn't pass, and the totals."""
        tables = [_table(subject, rows) for subject, rows in _group_by_subject(self.results).items()]
        reasons: dict[tuple[str, str, str], list[str]] = {}
        for result in self.results:
            if result.status != "passed":
                reasons.setdefault((result.status, result.spec, result.reason), []).append(result.check)
        rows = [
            f"{status:<10} {spec}, {', '.join(checks[:3])}{' …' * (len(checks) > 3)}: {reason}"
            for (status, spec, reason), checks in reasons.items()
        ]
        return "\n\n".join(filter(None, [*tables, "\n".join(rows), self.summary]))


def _group_by_subject(results: Iterable[Result]) -> dict[str, list[Result]]:
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(result.subject, []).append(result)
    return found


_SHORT = {"passed": "ok", "skipped": "-", "failed": "FAILED", "expected": "expected", "unexpected": "PASSED"}


def _table(subject: str, results: list[Result]) -> str:
    archs = list(dict.fromkeys(result.arch for result in results))
    cells: dict[str, dict[str, str]] = {}
    for result in results:
        cells.setdefault(result.check, {})[result.arch] = _SHORT[result.status]
    first = max(map(len, [subject, *cells]))
    widths = [max(len(arch), 8) for arch in archs]
    rows = [[subject.ljust(first), *(arch.ljust(w) for arch, w in zip(archs, widths, strict=True))]]
    rows += [
        [check.ljust(first), *(row.get(arch, "").ljust(w) for arch, w in zip(archs, widths, strict=True))]
        for check, row in cells.items()
    ]
    return "\n".join("  ".join(row).rstrip() for row in rows)


def expect(cases: Iterable[Case], failures: Mapping[str, str] | None) -> list[Case]:
    """The cases with the reasons why some are expected to fail.

    failures: `{"export": "why"}` for a check wherever it runs, `{"export[resnet18]": "why"}` for one arch, subject or
    spec. Raises ValueError for a key that matches no case.
    """
    cases, reasons = list(cases), dict(failures or {})
    keys = [[c.check, *(f"{c.check}[{place}]" for place in (c.arch, c.subject, c.spec))] for c in cases]
    if unknown := [key for key in reasons if not any(key in own for own in keys)]:
        checks = ", ".join(dict.fromkeys(case.check for case in cases))
        raise ValueError(f"expected_failures names '{unknown[0]}', which is no check that runs here; those: {checks}")
    return [
        Case(c.check, c.subject, c.arch, c.run, next((reasons[k] for k in reversed(own) if k in reasons), ""))
        for c, own in zip(cases, keys, strict=True)
    ]
