"""Darknet's cfg format: text to sections, each option with the line it stands on. Strict, and without torch."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import zoo

# What no network that was published comes near; a cfg is a file from anywhere.
MOST_CHARACTERS = 1_000_000
MOST_SECTIONS = 4_096
MOST_INTEGER = 2**31 - 1

_INTEGER = re.compile(r"[+-]?[0-9]{1,12}")
_NUMBER = re.compile(r"[+-]?([0-9]{1,20}(\.[0-9]{0,40})?|\.[0-9]{1,40})([eE][+-]?[0-9]{1,3})?")

# Options of any layer that only say how Darknet trains it.
_TRAINING = frozenset("learning_rate smooth stopbackward onlyforward truth stream wait_stream".split())
# Options of any layer that change which weights stand in a file.
_REFUSED = ("dontload", "dontsave", "dontloadscales", "numload")


class CfgError(zoo.ZooError, ValueError):
    """A cfg file can't be read, or describes no network; the message has the file and the line."""


@dataclass(frozen=True)
class Section:
    """One `[section]`: its name, its line, and its options as name → (line, text)."""

    name: str
    line: int
    options: dict[str, tuple[int, str]] = field(default_factory=dict)


def read_sections(text: str, file: str) -> list[Section]:
    """The sections of a cfg. White space means nothing, `#` and `;` start a comment.

    As in Darknet, the first of two lines for one option counts; here they must agree, outside `[net]`, where files
    keep one set of options for training and one for testing.
    """
    if len(text) > MOST_CHARACTERS:
        raise CfgError(f"{file} has {len(text):,} characters; expected at most {MOST_CHARACTERS:,}")
    sections: list[Section] = []
    for number, written in enumerate(text.splitlines(), 1):
        line = "".join(re.split("[#;]", written, maxsplit=1)[0].split())
        if not line:
            continue
        if line.startswith("["):
            if not re.fullmatch(r"\[[A-Za-z0-9_]+\]", line):
                raise _met(file, number, written, "a section, such as [convolutional]")
            sections.append(Section(line[1:-1], number))
            if len(sections) > MOST_SECTIONS:
                raise CfgError(f"{file}, line {number}: more than {MOST_SECTIONS:,} sections")
            continue
        name, equals, value = line.partition("=")
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or not equals or not value:
            raise _met(file, number, written, "a [section] or option=value")
        if not sections:
            raise CfgError(f"{file}, line {number}: '{_short(name)}' comes before any section; expected [net] first")
        _add(sections[-1], name, number, value, file)
    if not sections:
        raise CfgError(f"{file} has no sections; expected [net] first")
    return sections


def _add(section: Section, name: str, number: int, value: str, file: str) -> None:
    there = section.options.setdefault(name, (number, value))
    if there[1] != value and section.name not in ("net", "network"):
        raise CfgError(
            f"{file}, line {number}: [{section.name}] has {name}={_short(value)} here and {name}={_short(there[1])} on "
            f"line {there[0]}; keep one"
        )


def _met(file: str, number: int, written: str, expected: str) -> CfgError:
    return CfgError(f"{file}, line {number}: met {_short(written.strip())!r}; expected {expected}")


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


class Options:
    """The options of one section, each read once and checked. `finish` refuses what nothing has read."""

    def __init__(self, section: Section, file: str, index: int | None = None) -> None:
        self.section = section
        self.index = index
        self._lead = f"{file}, line {{}}: [{section.name}]" + ("" if index is None else f" (layer {index})")
        self._known: set[str] = set()

    def error(self, message: str, name: str = "") -> CfgError:
        """An error at the line of an option, or of the section where the option isn't written."""
        line = self.section.options.get(name, (self.section.line, ""))[0]
        return CfgError(f"{self._lead.format(line)}: {message}")

    def text(self, name: str) -> str | None:
        """What is written for an option; None if nothing is."""
        self._known.add(name)
        found = self.section.options.get(name)
        return found[1] if found else None

    def integer(self, name: str, default: int, least: int = 1, most: int = MOST_INTEGER) -> int:
        """A whole number within bounds."""
        text = self.text(name)
        if text is None:
            return default
        if not _INTEGER.fullmatch(text) or not least <= int(text) <= most:
            upto = f"from {least} to {most}" if most < MOST_INTEGER else f"of {least} or more"
            raise self.error(f"{name} is '{_short(text)}'; expected a whole number {upto}", name)
        return int(text)

    def flag(self, name: str) -> bool:
        """0 or 1, 0 by default."""
        return bool(self.integer(name, 0, 0, 1))

    def number(self, name: str, default: float) -> float:
        """A finite number."""
        text = self.text(name)
        return default if text is None else self._number(name, text)

    def _number(self, name: str, text: str) -> float:
        if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
            raise self.error(f"{name} is '{_short(text)}'; expected a number", name)
        return float(text)

    def integers(self, name: str) -> tuple[int, ...]:
        """Whole numbers with commas between them; nothing where the option isn't written."""
        texts = _items(self.text(name))
        if bad := [text for text in texts if not _INTEGER.fullmatch(text)]:
            raise self.error(f"{name} has '{_short(bad[0])}'; expected whole numbers with commas between them", name)
        return tuple(map(int, texts))

    def numbers(self, name: str) -> tuple[float, ...]:
        """Numbers with commas between them; nothing where the option isn't written."""
        return tuple(self._number(name, text) for text in _items(self.text(name)))

    def word(self, name: str, default: str, known: Iterable[str]) -> str:
        """One of several words."""
        text = self.text(name) or default
        if text not in known:
            raise self.error(f"{name} is '{_short(text)}'; expected one of {', '.join(sorted(known))}", name)
        return text

    def only(self, name: str, value: float) -> None:
        """Refuse any other value than the one that changes nothing."""
        if self.number(name, value) != value:
            raise self.error(f"{name}={self.text(name)} is not supported; leave it out", name)

    def layers(self, name: str) -> tuple[int, ...]:
        """Layers before this one by number: negative ones count back from here."""
        assert self.index is not None
        given = self.integers(name)
        if not given:
            raise self.error(f"needs {name}, as in {name}=-1")
        found = tuple(number if number >= 0 else self.index + number for number in given)
        for number, layer in zip(given, found, strict=True):
            if not 0 <= layer < self.index:
                reach = (
                    f"0 to {self.index - 1}, or -1 to -{self.index}" if self.index else "none, since this is the first"
                )
                raise self.error(f"{name} has {number}, which is no layer before this one; those are {reach}", name)
        return found

    def finish(self, training: Sequence[str] = ()) -> None:
        """Refuse options that nothing has read and that aren't known to be about training alone."""
        for name in _REFUSED:
            self.only(name, 0)
        ignored = _TRAINING.union(training)
        for name in self.section.options:
            if name not in self._known and name not in ignored:
                near = difflib.get_close_matches(name, [*self._known, *ignored], n=1)
                hint = f"; did you mean '{near[0]}'?" if near else f"; it reads {', '.join(sorted(self._known))}"
                raise self.error(f"no option '{_short(name)}'{hint}", name)


def _items(text: str | None) -> list[str]:
    return [] if text is None else text.split(",")
