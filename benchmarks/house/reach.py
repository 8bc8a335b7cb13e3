"""What a modifier reaches in its package: its own lines, and those of all that it uses there."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from .source import parse, python_files, span


class Package:
    """Names and the statements that define them, in every file of a package."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.trees = {path: parse(path) for path in python_files(folder)}
        self.defined = {path: self._definitions(tree) for path, tree in self.trees.items()}

    def _definitions(self, tree: ast.Module) -> dict[str, ast.stmt]:
        found: dict[str, ast.stmt] = {}
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found[node.name] = node
            for target in node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]:
                if isinstance(target, ast.Name):
                    found[target.id] = node
        return found

    def _imports(self, path: Path, root: ast.AST) -> dict[str, tuple[Path, str]]:
        """Local name to (file, name there; "" for the file itself), of the relative imports below a node."""
        found = {}
        for node in ast.walk(root):
            if isinstance(node, ast.ImportFrom) and node.level:
                base = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
                for alias in node.names:
                    inner = base / f"{alias.name}.py"
                    file = inner if inner in self.trees else base.with_suffix(".py")
                    file = file if file in self.trees else base / "__init__.py"
                    found[alias.asname or alias.name] = (file, "" if file == inner else alias.name)
        return found

    def modifiers(self) -> Iterator[tuple[Path, ast.FunctionDef]]:
        for path, tree in self.trees.items():
            for node in tree.body:
                if isinstance(node, ast.FunctionDef) and any("modifier" in ast.unparse(d) for d in node.decorator_list):
                    yield path, node

    def reach(self, path: Path, node: ast.stmt) -> int:
        """The lines of a statement and of every one of this package that it uses, and that those use, and so on."""
        reached: dict[tuple[Path, int], int] = {}
        waiting = [(path, node)]
        while waiting:
            file, statement = waiting.pop()
            if (file, statement.lineno) not in reached:
                reached[file, statement.lineno] = span(statement)
                waiting.extend(self._used(file, statement))
        return sum(reached.values())

    def _used(self, file: Path, statement: ast.stmt) -> Iterator[tuple[Path, ast.stmt]]:
        imported = self._imports(file, self.trees[file])
        for node in ast.walk(statement):
            if isinstance(node, ast.Name):
                where, name = imported.get(node.id, (file, node.id))
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                where, name = imported.get(node.value.id, (file, ""))[0], node.attr
                if where == file:
                    continue
            else:
                continue
            if found := self.defined.get(where, {}).get(name):
                yield where, found

    def sizes(self) -> dict[str, int]:
        """Each modifier's lines with all that it reaches in its package, the largest first."""
        found = {node.name.strip("_"): self.reach(path, node) for path, node in self.modifiers()}
        return dict(sorted(found.items(), key=lambda item: -item[1]))
