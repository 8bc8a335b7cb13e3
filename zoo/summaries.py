"""`zoo.summary`: what a model is made of, place by place, as values that print as a table."""

from __future__ import annotations

import html
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .errors import OptionError
from .factory import arch_of, create
from .flops import Cost, costs, needs_memory
from .info import info_of
from .mixins import parts_of
from .registry import Registry
from .spec import Spec

if TYPE_CHECKING:
    from rich.console import Group

MOST_SHOWN = 500
Size = int | Sequence[int] | Sequence[Sequence[int]]


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
        return {row.path: row for row, _ in _walk(self.root, 0)}

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

    def _shown(self) -> Iterator[tuple[str, ...]]:
        """The rows of the table, as text; the first column is indented."""
        for row, depth in _walk(self.root, 0):
            if self.depth is None or depth <= self.depth:
                yield (
                    "  " * depth + (row.path.rpartition(".")[2] or "(model)"),
                    f"{row.cls} = {row.shared_with}" if row.shared_with else row.cls,
                    _shapes(row.outputs) if any(one.calls for one, _ in _walk(row, 0)) else "not called",
                    f"{row.parameters:,}",
                    *([f"{row.frozen:,}"] if self.frozen else []),
                    _with_unit(row.flops, ""),
                    _with_unit(row.memory, "B"),
                )

    def _totals(self) -> str:
        frozen = f", {self.frozen:,} of them frozen" if self.frozen else ""
        flops, memory = _with_unit(self.flops, "FLOPs"), _with_unit(self.memory, "B")
        return f"{self.parameters:,} parameters{frozen}; for {_shapes(self.inputs)}: {flops}, {memory} of activations"

    def __rich__(self) -> Group:
        from rich import box
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for number, column in enumerate(self._columns()):
            table.add_column(column, justify="right" if number > 2 else "left", overflow="fold")
        for cells in self._shown():
            table.add_row(*map(Text, cells))  # Text, since rich would read square brackets in a str as markup
        return Group(Text(self.name), table, Text(self._totals()))

    def __str__(self) -> str:
        from rich.console import Console

        out = io.StringIO()
        Console(file=out, width=200, color_system=None).print(self.__rich__())
        return "\n".join(line.rstrip() for line in out.getvalue().strip("\n").split("\n"))

    def _repr_html_(self) -> str:
        """For notebooks: escaped, without scripts, capped."""
        rows = list(self._shown())
        head = "".join(f"<th>{name}</th>" for name in self._columns())
        lines = ["".join(_cell(text, i) for i, text in enumerate(cells)) for cells in rows[:MOST_SHOWN]]
        more = f"<p>… and {len(rows) - MOST_SHOWN} more</p>" if len(rows) > MOST_SHOWN else ""
        body = "".join(f"<tr>{line}</tr>" for line in lines)
        title = html.escape(f"{self.name}: {self._totals()}")
        return f"<details open><summary>{title}</summary><table><tr>{head}</tr>{body}</table>{more}</details>"


def _cell(text: str, column: int) -> str:
    align = "right" if column > 2 else "left"
    return f'<td style="text-align:{align};white-space:pre">{html.escape(text)}</td>'


def _shapes(shapes: tuple[tuple[int, ...], ...]) -> str:
    more = f" and {len(shapes) - 4} more" if len(shapes) > 4 else ""
    return " ".join(map(str, shapes[:4])) + more


def _with_unit(number: int, unit: str) -> str:
    """A number in three digits: `3.63 G`, `19.7 MB`."""
    value, prefix = float(number), ""
    for following in "kMGTPE":
        if value < 999.5:
            break
        value, prefix = value / 1000, following
    return f"{value:.3g} {prefix}{unit}".rstrip()


def _walk(row: Row, depth: int) -> Iterator[tuple[Row, int]]:
    yield row, depth
    for child in row.children:
        yield from _walk(child, depth + 1)


def summary(
    spec_or_model: str | Spec | nn.Module,
    input_size: Size | None = None,
    *,
    arguments: tuple[Any, ...] | None = None,
    batch_size: int = 1,
    depth: int | None = None,
    registry: Registry | None = None,
) -> Summary:
    """What a model is made of: each module with output shape, parameters, FLOPs and activation memory.

    spec_or_model: a spec, which is built on the meta device, or a live model, which stays as it is; its hooks don't
        run. The forward is one in eval mode, of zeros.
    input_size: the shape of one input without the batch dimension, `(3, 224, 224)`, or a list of shapes where the
        forward takes several. By default the sample input of the model's arch.
    arguments: what the forward takes, in place of a size: for token numbers, dicts and the like.
    batch_size: how many go in at once; shapes, FLOPs and memory are those of the batch.
    depth: print no deeper than this; the values hold every module.

    FLOPs are torch.utils.flop_counter's: two for a multiply and add. The memory of activations is what the modules
    give, in bytes, each tensor once, whether it's kept for a backward or not.

    Raises ShapeError where the input can't go through: which module, what arrived, what it wants; OptionError without
    a size where no arch names one.
    """
    given = spec_or_model
    if isinstance(given, nn.Module):
        model = getattr(given, "_orig_mod", given)  # inside torch.compile's wrapper
    elif isinstance(given, (str, Spec)):
        model = _built(given, registry)
    else:
        raise OptionError(f"summary takes a spec or a model, not {type(given).__name__}")
    if batch_size < 1:
        raise OptionError(f"batch_size={batch_size}; expected 1 or more")
    took = _arguments(model, input_size, arguments, batch_size, registry)
    try:
        found = costs(model, took)
    except Exception as error:
        if isinstance(given, nn.Module) or not needs_memory(error):
            raise
        with torch.random.fork_rng(devices=[]):
            model = create(given, registry=registry)
        found = costs(model, took)
    info = info_of(model)
    name = str(info.spec) if info else parts_of(type(model))[0].__name__
    inputs = tuple(tuple(leaf.shape) for leaf in torch.utils._pytree.tree_leaves(took) if isinstance(leaf, Tensor))
    weights = [{n: Weight.of(t) for n, t in named} for named in (model.named_parameters(), model.named_buffers())]
    return Summary(name, inputs, _row("", model, found, {}), weights[0], weights[1], depth)


def _built(spec: str | Spec, registry: Registry | None) -> nn.Module:
    """The model on meta, or for an arch that can't be built there, in memory."""
    try:
        return create(spec, device="meta", registry=registry)
    except (NotImplementedError, RuntimeError) as error:
        if not needs_memory(error):
            raise
        with torch.random.fork_rng(devices=[]):
            return create(spec, registry=registry)


def _arguments(
    model: nn.Module,
    size: Size | None,
    arguments: tuple[Any, ...] | None,
    batch_size: int,
    registry: Registry | None,
) -> tuple[Any, ...]:
    """What the forward gets: tensors of zeros in the model's own dtype, on meta where the model is."""
    if arguments is not None:
        if size is not None:
            raise OptionError("input_size= and arguments= say the same; give one of them")
        return arguments if isinstance(arguments, tuple) else (arguments,)
    sample: Any = (size,) if isinstance(size, int) else size
    if size is None:
        arch = arch_of(model, registry)
        sample = arch.sample if arch else None
        sample = sample(model) if callable(sample) else sample
        if sample is None:
            raise OptionError(
                f"nothing says what this {type(model).__name__} takes; give input_size=, the shape of one input "
                "without the batch dimension, as in input_size=(3, 224, 224)"
            )
    return _zeros(model, sample, batch_size)


def _zeros(model: nn.Module, sample: Any, batch_size: int) -> tuple[Any, ...]:
    tensors = [t for t in [*model.parameters(), *model.buffers()] if t.is_floating_point()]
    dtype, device = (tensors[0].dtype, tensors[0].device) if tensors else (torch.float32, torch.device("cpu"))
    shapes = [sample] if _is_shape(sample) else list(sample) if isinstance(sample, Sequence) else []
    if shapes and all(map(_is_shape, shapes)):
        return tuple(torch.zeros(batch_size, *shape, dtype=dtype, device=device) for shape in shapes)
    if isinstance(sample, tuple) and not any(isinstance(part, (int, float, str)) for part in sample):
        return sample  # an arch's own arguments: images of detection, a pair of frames
    raise OptionError(f"input_size={sample!r}; expected a shape without the batch dimension, as in (3, 224, 224)")


def _is_shape(value: Any) -> bool:
    whole = isinstance(value, Sequence) and not isinstance(value, str) and len(value) > 0
    return whole and all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in value)


def _row(path: str, module: nn.Module, found: Mapping[str, Cost], listed: dict[int, str]) -> Row:
    """A module's row, with those below it. listed: where each module was met first."""
    first = listed.setdefault(id(module), path)
    below = [(f"{path}.{name}".lstrip("."), child) for name, child in module._modules.items() if child is not None]
    children = tuple(_row(at, child, found, listed) for at, child in below)
    own = list(module.parameters())
    total, trainable = sum(p.numel() for p in own), sum(p.numel() for p in own if p.requires_grad)
    buffers = sum(b.numel() for b in module.buffers())
    cost, cls = found.get(path, Cost()), parts_of(type(module))[0].__name__
    shared = first if first != path else ""
    sums = (total, trainable, total - trainable, buffers, cost.flops, cost.memory, cost.calls)
    return Row(path, cls, cost.outputs, *sums, shared, children)
