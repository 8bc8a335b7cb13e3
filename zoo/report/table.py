"""What `zoo.summary` gives, as values: rows in a tree, which print as a table, in a terminal and in a notebook."""

from __future__ import annotations

import html
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..messages.text import and_more

if TYPE_CHECKING:
    from rich.console import Group
    from torch import Tensor

MOST_SHOWN = 500


@dataclass(frozen=True)
class Weight:
    """A parameter or a buffer. `trainable`: its requires_grad."""

    shape: tuple[int, ...]
    dtype: str
    trainable: bool

    @classmethod
    def of(cls, tensor: Tensor) -> Weight:
        return cls(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."), tensor.requires_grad)


@dataclass(frozen=True)
class Row:
    """One module, with all that is in it.

    path: `""` for the whole model. outputs: the shapes of what it gives, batch first. parameters, trainable, frozen,
    buffers: counts of numbers, what is shared counted once. flops: of the forward, two for a multiply and add, as
    torch.utils.flop_counter counts. memory: bytes of activations. calls: 0 for one that the forward doesn't reach.
    shared_with: the path where the same module was listed before. children: the modules right below.
    """

    path: str
    cls: str
    outputs: tuple[tuple[int, ...], ...]
    parameters: int
    trainable: int
    frozen: int
    buffers: int
    flops: int
    memory: int
    calls: int
    shared_with: str
    children: tuple[Row, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; children by path."""
        data = {"name": self.path, "class": self.cls, "outputs": [list(shape) for shape in self.outputs]}
        keys = ("parameters", "trainable", "frozen", "buffers", "flops", "memory", "calls", "shared_with")
        return data | {key: getattr(self, key) for key in keys} | {"children": [child.path for child in self.children]}


@dataclass(frozen=True)
class Summary:
    """What a model is made of: a tree of rows, and parameters and buffers by name. Prints as a table.

    name: the spec, or the class. inputs: the shapes of what went in. root: the row of the whole model. The totals are
    the root's. depth: how deep the printed table goes, None for all.
    """

    name: str
    inputs: tuple[tuple[int, ...], ...]
    root: Row
    named_parameters: Mapping[str, Weight]
    named_buffers: Mapping[str, Weight]
    depth: int | None = None

    @property
    def children(self) -> tuple[Row, ...]:
        """The rows right below the model; each has its own `children`."""
        return self.root.children

    @cached_property
    def modules(self) -> dict[str, Row]:
        """Every row by its path, in the model's order, the model itself first."""
        return {row.path: row for row, _ in _list_rows(self.root, 0)}

    @property
    def parameters(self) -> int:
        return self.root.parameters

    @property
    def trainable(self) -> int:
        return self.root.trainable

    @property
    def frozen(self) -> int:
        return self.root.frozen

    @property
    def buffers(self) -> int:
        return self.root.buffers

    @property
    def flops(self) -> int:
        return self.root.flops

    @property
    def memory(self) -> int:
        return self.root.memory

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: the totals, one object for each module, and parameters and buffers by name."""
        totals = {key: getattr(self.root, key) for key in ("parameters", "trainable", "frozen", "buffers", "flops")}
        return {
            "name": self.name,
            "inputs": [list(shape) for shape in self.inputs],
            **totals,
            "memory": self.memory,
            "modules": [row.to_dict() for row in self.modules.values()],
            "named_parameters": {name: vars(weight) for name, weight in self.named_parameters.items()},
            "named_buffers": {name: vars(weight) for name, weight in self.named_buffers.items()},
        }

    def _columns(self) -> tuple[str, ...]:
        frozen = ("frozen",) if self.frozen else ()
        return ("module", "class", "output", "parameters", *frozen, "FLOPs", "activations")

    def _rows_of_text(self) -> Iterator[tuple[str, ...]]:
        """The rows of the table, as text; the first column is indented."""
        for row, depth in _list_rows(self.root, 0):
            if self.depth is None or depth <= self.depth:
                yield (
                    "  " * depth + (row.path.rpartition(".")[2] or "(model)"),
                    f"{row.cls} = {row.shared_with}" if row.shared_with else row.cls,
                    _format_shapes(row.outputs) if any(one.calls for one, _ in _list_rows(row, 0)) else "not called",
                    f"{row.parameters:,}",
                    *([f"{row.frozen:,}"] if self.frozen else []),
                    _format_number(row.flops, ""),
                    _format_number(row.memory, "B"),
                )

    def _totals(self) -> str:
        frozen = f", {self.frozen:,} of them frozen" if self.frozen else ""
        flops, memory = _format_number(self.flops, "FLOPs"), _format_number(self.memory, "B")
        inputs = _format_shapes(self.inputs)
        return f"{self.parameters:,} parameters{frozen}; for {inputs}: {flops}, {memory} of activations"

    def __rich__(self) -> Group:
        from rich import box
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for number, column in enumerate(self._columns()):
            table.add_column(column, justify="right" if number > 2 else "left", overflow="fold")
        for cells in self._rows_of_text():
            table.add_row(*map(Text, cells))  # Text, since rich would read square brackets in a str as markup
        return Group(Text(self.name), table, Text(self._totals()))

    def __str__(self) -> str:
        from rich.console import Console

        out = io.StringIO()
        Console(file=out, width=200, color_system=None).print(self.__rich__())
        return "\n".join(line.rstrip() for line in out.getvalue().strip("\n").split("\n"))

    def _repr_html_(self) -> str:
        """For notebooks: escaped, without scripts, capped."""
        rows = list(self._rows_of_text())
        head = "".join(f"<th>{name}</th>" for name in self._columns())
        lines = ["".join(_format_cell(text, i) for i, text in enumerate(cells)) for cells in rows[:MOST_SHOWN]]
        more = f"<p>{more}</p>" if (more := and_more(len(rows), MOST_SHOWN, "… and ")) else ""
        body = "".join(f"<tr>{line}</tr>" for line in lines)
        title = html.escape(f"{self.name}: {self._totals()}")
        return f"<details open><summary>{title}</summary><table><tr>{head}</tr>{body}</table>{more}</details>"


def _format_cell(text: str, column: int) -> str:
    align = "right" if column > 2 else "left"
    return f'<td style="text-align:{align};white-space:pre">{html.escape(text)}</td>'


def _format_shapes(shapes: tuple[tuple[int, ...], ...]) -> str:
    return " ".join(map(str, shapes[:4])) + and_more(len(shapes), 4)


def _format_number(number: int, unit: str) -> str:
    """A number in three digits: `3.63 G`, `19.7 MB`."""
    value, prefix = float(number), ""
    for following in "kMGTPE":
        if value < 999.5:
            break
        value, prefix = value / 1000, following
    return f"{value:.3g} {prefix}{unit}".rstrip()


def _list_rows(row: Row, depth: int) -> Iterator[tuple[Row, int]]:
    yield row, depth
    for child in row.children:
        yield from _list_rows(child, depth + 1)
