"""Walking a module and its tensors: the one file that touches the dicts in which torch keeps them.

A path is what torch's own names are: the names of children from the root down, with dots between; `""` is the root.
What stands in several places (a shared module, a tied weight) has several paths, and torch's own walks show only the
first unless they are told; an edit has to find all of them, so that here every name is the rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

# Under which names torch keeps them in a module's `__dict__`, for those that compare or note whole `__dict__`s.
CHILDREN = "_modules"
PARAMETERS = "_parameters"
BUFFERS = "_buffers"
NON_PERSISTENT = "_non_persistent_buffers_set"


def join(path: str, name: str) -> str:
    """The path of what bears this name (or has this path) in the module at `path`."""
    return f"{path}.{name}" if path and name else path or name


def split(path: str) -> tuple[str, str]:
    """The path of the parent, and the name there: `("layer1.0", "conv1")`."""
    parent, _, name = path.rpartition(".")
    return parent, name


def parent_path(path: str) -> str:
    """The path of the parent; the root is its own."""
    return path.rpartition(".")[0]


def below(path: str, top: str) -> bool:
    """Whether a path is that of `top` or of something in it."""
    return not top or path == top or path.startswith(f"{top}.")


def places(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Every path of every module, parents first, the second paths of shared ones too.

    It is the list of this moment: what an edit does while it is gone through doesn't change it.
    """
    found: list[tuple[str, nn.Module]] = []
    _gather("", model, found)
    return iter(found)


def _gather(path: str, module: nn.Module, found: list[tuple[str, nn.Module]]) -> None:
    """Written for speed, since each edit and each snapshot goes this way: a list, and no generator in a generator."""
    found.append((path, module))
    children = module._modules
    if children:
        start = f"{path}." if path else ""
        for name, child in children.items():
            if child is not None:
                _gather(start + name, child, found)


def children_of(module: nn.Module) -> dict[str, nn.Module]:
    """A module's own children by name; one that stands under two names has both, unlike in torch's walk."""
    return {name: child for name, child in module._modules.items() if child is not None}


def parameters_of(module: nn.Module) -> dict[str, nn.Parameter]:
    """A module's own parameters by name, those of its children not."""
    return {name: tensor for name, tensor in module._parameters.items() if tensor is not None}


def buffers_of(module: nn.Module) -> dict[str, Tensor]:
    """A module's own buffers by name, those of its children not."""
    return {name: tensor for name, tensor in module._buffers.items() if tensor is not None}


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """A module's own parameters, then its own buffers, by name."""
    found: dict[str, Tensor] = {}
    for slots in (module._parameters, module._buffers):
        if slots:
            found.update((name, tensor) for name, tensor in slots.items() if tensor is not None)
    return found


def persistent(module: nn.Module, name: str) -> bool:
    """Whether a module's own parameter or buffer of this name is in the state dict."""
    return name not in module._non_persistent_buffers_set


def tensors_by_name(model: nn.Module) -> dict[str, Tensor]:
    """Every name of every parameter and buffer, module by module, the second names of tied ones too."""
    return {join(path, name): t for path, module in places(model) for name, t in tensors_of(module).items()}


def holders_of(model: nn.Module, module: nn.Module) -> list[tuple[nn.Module, str]]:
    """Every parent of a module in the model, with the name that it has there; none for the root itself."""
    return holders_of_each(model, [module])[id(module)]


def holders_of_each(model: nn.Module, modules: Sequence[nn.Module]) -> dict[int, list[tuple[nn.Module, str]]]:
    """The same of several modules, in one walk, by the id of each.

    Written for speed: an edit of each layer calls it, so that it makes no paths and enters only what has children.
    """
    found: dict[int, list[tuple[nn.Module, str]]] = {id(module): [] for module in modules}
    only = modules[0] if len(found) == 1 else None
    seen, parents = {id(model)}, [model]
    for parent in parents:  # which grows meanwhile
        children = parent._modules
        if only is None or only in children.values():
            for name, child in children.items():
                if id(child) in found:
                    found[id(child)].append((parent, name))
        for child in children.values():
            if child is not None and child._modules and id(child) not in seen:
                seen.add(id(child))
                parents.append(child)
    return found


def way_to(model: nn.Module, path: str) -> list[nn.Module] | None:
    """The modules on the way to a place, the root first and the one that stands there last; None where none does."""
    from torch import nn

    way: list[nn.Module] = [model]
    for name in path.split(".") if path else ():
        child: Any = way[-1]._modules.get(name)
        if child is None:
            child = getattr(way[-1], name, None)  # what a module hands out as an attribute, too
            if not isinstance(child, nn.Module):
                return None
        way.append(child)
    return way


def child_slots(module: nn.Module) -> dict[str, nn.Module | None]:
    """The dict of a module's children itself, with the names under which it holds None: to read, not to write."""
    return module._modules


def parameter_slots(module: nn.Module) -> dict[str, nn.Parameter | None]:
    """The dict of a module's own parameters itself, with the names under which it holds None: to read only."""
    return module._parameters


def buffer_slots(module: nn.Module) -> dict[str, Tensor | None]:
    """The dict of a module's own buffers itself, with the names under which it holds None: to read only."""
    return module._buffers


def non_persistent(module: nn.Module) -> set[str]:
    """The set itself of a module's own buffers that aren't in the state dict: to read only."""
    return module._non_persistent_buffers_set


def free_number(module: nn.Module) -> str:
    """The name that a further element of a Sequential gets: the first number, from their count on, that is free."""
    number = len(module._modules)
    while str(number) in module._modules:
        number += 1
    return str(number)


def move_to_front(module: nn.Module, name: str) -> None:
    """Make a child the first of its module; the others keep their order, and all keep their names."""
    children = module._modules
    for other in [other for other in children if other != name]:
        children[other] = children.pop(other)


def set_tensor(module: nn.Module, name: str, tensor: Tensor) -> None:
    """Put a tensor where the module holds one of this name, past any `__setattr__`: among its parameters if it is one.

    A buffer stays in the state dict, or out of it, as it was.
    """
    from torch.nn import Parameter

    if isinstance(tensor, Parameter):
        module._buffers.pop(name, None)
        module._parameters[name] = tensor
    else:
        module._parameters.pop(name, None)
        module._buffers[name] = tensor
