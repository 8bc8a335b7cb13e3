"""Files, functions and names, read from the source."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

PRIVATE = {"_modules", "_parameters", "_buffers", "_non_persistent_buffers_set"}
# A name says what the function does, by a verb; these forms say what has been done. A heuristic: the first word of the
# name is in this list, or ends as a participle does and isn't one of the words that only look so.
IRREGULAR = set(
    "begun bound brought built bought caught chosen done drawn felt found given gone grown held kept known laid left "
    "lent lost made meant met paid seen sent shown sought spent spoken stood taken taught told understood worn "
    "written".split()
)
NO_PARTICIPLES = set("bring embed feed need nothing seed speed string thing".split())

Function = ast.FunctionDef | ast.AsyncFunctionDef


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def python_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def count_lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def span(node: ast.AST) -> int:
    """The lines of a definition with its decorators, or of any statement."""
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])  # type: ignore[attr-defined]
    return int(node.end_lineno - first + 1)  # type: ignore[attr-defined]


def functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(parse(path)):
        if isinstance(node, Function):
            yield node


def code_lines(function: Function) -> int:
    """From `def` to its end, without the docstring."""
    documented = ast.get_docstring(function) is not None
    return int(function.end_lineno or 0) - function.lineno + 1 - (span(function.body[0]) if documented else 0)


def is_named_by_a_participle(function: Function) -> bool:
    """Whether what should be a verb isn't one. A property is no action, and has a noun's name."""
    name = function.name
    if name.startswith(("__", "_missing_")) or any("property" in ast.unparse(d) for d in function.decorator_list):
        return False
    first = re.split("_+", name.strip("_"))[0]
    looks = first.endswith("ed") or (first.endswith("ing") and len(first) > 5)
    return first in IRREGULAR or (looks and first not in NO_PARTICIPLES)


def touches_private_dicts(path: Path) -> bool:
    """As an attribute, or in a text as in `vars(module)["_modules"]`."""
    names = (getattr(node, "attr", None) or getattr(node, "value", None) for node in ast.walk(parse(path)))
    return any(isinstance(name, str) and name in PRIVATE for name in names)


def comment_lines(path: Path) -> int:
    """Lines that are a comment and nothing else."""
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)
    return sum(token.type == tokenize.COMMENT and not token.line[: token.start[1]].strip() for token in tokens)


def bare_lines(path: Path) -> int:
    """Lines that hold a token of code: no blank ones, no comments, no docstrings."""
    silent = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    found: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        if token.type not in silent:
            found.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Module | ast.ClassDef | Function) and ast.get_docstring(node) is not None:
            found -= set(range(node.body[0].lineno, int(node.body[0].end_lineno or 0) + 1))
    return len(found)
