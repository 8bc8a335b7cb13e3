"""What several checks need: one forward, the tensors of a model and of an output, sums over their bytes."""

from __future__ import annotations

import copy
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map

from ..messages.text import format_error
from ..surgery.walk import child_slots, places, split, tensors_by_name
from ..trace.blueprint import sample_input
from .results import Skip


def where_base_does(what: str, attempt: Callable[[], Any]) -> Any:
    """What the attempt gives; Skip where the bare arch itself can't."""
    try:
        return attempt()
    except Exception as error:
        raise Skip(f"the bare arch can't {what}: {brief(error)}") from error


def brief(error: BaseException) -> str:
    """An error in a line."""
    return format_error(error).strip().split("\n")[0]


def arguments_of(model: nn.Module, sample: Any) -> tuple[Any, ...]:
    """Arguments for a forward: the arch's sample, with noise where it is blank; Skip where the arch has none."""
    found = sample_input(model, sample)
    if found is None:
        raise Skip("the arch declares no sample input")
    generator = torch.Generator().manual_seed(1)

    def noisy(value: Any) -> Any:
        if not isinstance(value, Tensor) or not value.is_floating_point() or value.is_meta or value.any():
            return value
        return torch.randn(value.shape, generator=generator, dtype=value.dtype).to(value.device)

    return tree_map(noisy, found)  # type: ignore[no-any-return]


def move(arguments: Any, device: str | None = None, dtype: torch.dtype | None = None) -> Any:
    """Arguments on another device; the floating-point ones in another dtype."""

    def move(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        return value.to(device, dtype if value.is_floating_point() else None)

    return tree_map(move, arguments)


def tensors_in(output: Any) -> list[Tensor]:
    """Every tensor of an output, whatever tuples and dicts it is made of."""
    return [leaf for leaf in tree_flatten(output)[0] if isinstance(leaf, Tensor)]


def run(model: Any, arguments: tuple[Any, ...], training: bool = False, seed: int | None = 2) -> list[Tensor]:
    """One forward without gradients: what it gives. Train mode works on a copy, since it moves statistics."""
    if training:
        model = copy.deepcopy(model).train()
    if seed is not None:
        torch.manual_seed(seed)
    with torch.no_grad():
        return tensors_in(model(*copy.deepcopy(arguments)))


def digest(tensor: Tensor) -> str:
    """A sum over the bytes of a tensor; a write through `.data` changes it too."""
    if tensor.is_meta:
        return "meta"
    data = tensor.detach().cpu().contiguous().reshape(-1)
    return hashlib.blake2b(data.view(torch.uint8).numpy().tobytes(), digest_size=16).hexdigest()


def digests(model: nn.Module) -> dict[str, str]:
    """A sum over the bytes of each parameter and buffer, by name."""
    return {name: digest(tensor) for name, tensor in tensors_by_name(model).items()}


def same(got: Iterable[Tensor], expected: Iterable[Tensor], loosely: bool = False) -> bool:
    """Whether two outputs are equal to the bit, NaNs included; loosely: within rounding."""
    one, two = list(got), list(expected)
    if [t.shape for t in one] != [t.shape for t in two]:
        return False
    if loosely:
        return all(torch.allclose(a, b, rtol=1e-3, atol=1e-4, equal_nan=True) for a, b in zip(one, two, strict=True))
    return all(digest(a) == digest(b) for a, b in zip(one, two, strict=True))


def finite(tensors: Iterable[Tensor]) -> bool:
    """Whether no number of these is NaN or infinite."""
    return all(bool(t.isfinite().all()) for t in tensors if t.is_floating_point())


def get_at(model: nn.Module, path: str) -> Any:
    """What stands under a dotted name."""
    parent, name = split(path)
    return getattr(model.get_submodule(parent), name, None) if has(model, parent) else None


def has(model: nn.Module, path: str) -> bool:
    """Whether a module stands at a path."""
    try:
        model.get_submodule(path)
    except AttributeError:
        return False
    return True


def find_shared(model: nn.Module) -> list[tuple[str, str]]:
    """Two names each of what stands in several places, modules and tensors."""
    names: dict[int, list[str]] = defaultdict(list)
    found: list[tuple[str, Any]] = [*places(model), *tensors_by_name(model).items()]
    for name, thing in found:
        names[id(thing)].append(name)
    return [(group[0], other) for group in names.values() for other in group[1:]]


def tie(model: nn.Module) -> list[tuple[str, str]]:
    """Put the first of two like layers in the place of the second, the same for parameters; the pairs."""
    layers: dict[Any, list[str]] = defaultdict(list)
    shapes: dict[Any, list[str]] = defaultdict(list)
    for path, module in model.named_modules():
        if not child_slots(module) and not isinstance(module, nn.Identity):
            layers[type(module), repr(module)].append(path)
    pairs = [(paths[0], paths[1]) for paths in layers.values() if len(paths) > 1]
    for name, parameter in model.named_parameters():
        shapes[tuple(parameter.shape)].append(name)
    pairs += [(names[-2], names[-1]) for names in shapes.values() if len(names) > 1]
    for one, other in pairs:
        parent, name = split(other)
        setattr(model.get_submodule(parent), name, get_at(model, one))
    return pairs


def gradients(model: nn.Module, arguments: tuple[Any, ...]) -> dict[str, Tensor | None]:
    """The gradient of every trainable parameter after one step in train mode, on a copy."""
    model = copy.deepcopy(model).train()
    torch.manual_seed(2)
    loss = sum(t.float().mean() + t.float().square().mean() for t in tensors_in(model(*arguments)) if t.requires_grad)
    if isinstance(loss, Tensor):
        loss.backward()  # type: ignore[no-untyped-call]
    return {name: p.grad for name, p in model.named_parameters() if p.requires_grad}


def leaves(outputs: Iterable[Tensor]) -> list[Tensor]:
    """The trainable tensors that outputs were computed from."""
    found: list[Tensor] = []
    seen: set[Any] = set()
    left: list[Any] = [t.grad_fn for t in outputs if t.grad_fn is not None]
    while left:
        node = left.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if (variable := getattr(node, "variable", None)) is not None:
            found.append(variable)
        left += [parent for parent, _ in node.next_functions]
    return found


def list_differing(one: Mapping[str, Any], two: Mapping[str, Any]) -> list[str]:
    """The keys of both under which different things stand."""
    return [key for key in one if key in two and one[key] != two[key]]
