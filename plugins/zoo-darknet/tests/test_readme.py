"""The README's blocks run, and print what stands there."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

import zoo_darknet

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_the_readme_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {}
    found = re.findall(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert len(found) == README.count("```python") == 3
    for code, wanted in found:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, namespace)
        assert printed.getvalue() == wanted


def test_the_readme_names_what_is_shipped_and_read() -> None:
    from zoo_darknet.sections import ACTIVATIONS, SECTIONS

    for name in (*zoo_darknet.names(), *ACTIVATIONS):
        assert re.search(rf"\b{name}\b", README), name
    (sections,) = re.findall(r"^Sections: (.*?), with Darknet's", README, re.MULTILINE | re.DOTALL)
    assert [part.split()[0] for part in re.sub(r"\([^)]*\)", "", sections).split(",")] == sorted(SECTIONS)
