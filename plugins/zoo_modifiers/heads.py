"""Several heads on one trunk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

import zoo

if TYPE_CHECKING:
    from torch import nn


@zoo.modifier(examples=["heads(cls=10, reg=1)", "heads(species=200, age=1)"])
def heads(model: nn.Module, /, at: zoo.Where = "head", **sizes: Annotated[int, Ge(1)]) -> nn.Module:
    """One linear head for each name, with so many outputs, on the shared trunk, in the place of the classifier.

    `model(x)` then returns a dict of all outputs, `model(x, task="cls")` computes that one head and returns its tensor.
    The heads are an nn.ModuleDict; with heads there already, the new ones join them.
    """
    from torch import nn

    from ._heads import Heads, TaskChoice

    _check_names(sizes)
    for path in zoo.select(model, at):
        path = _classifier(model, path)
        old = model.get_submodule(path)
        if isinstance(old, Heads):
            old.add(sizes)
            continue
        assert isinstance(old, nn.Linear)
        model = zoo.replace(model, path, Heads(old.in_features, sizes, bias=old.bias is not None))
        if path:
            zoo.become(model, "", TaskChoice, zoo_heads_at=path)
    return model


def _classifier(model: nn.Module, path: str) -> str:
    """The last linear layer at or inside a site, or the heads that are there already."""
    from torch import nn

    from ._heads import Heads

    inside = {f"{path}.{name}".strip("."): m for name, m in model.get_submodule(path).named_modules()}
    if found := [name for name, m in inside.items() if isinstance(m, Heads)]:
        return found[-1]
    if found := [name for name, m in inside.items() if isinstance(m, nn.Linear)]:
        return found[-1]
    met = type(model.get_submodule(path)).__name__
    raise zoo.NotApplicableError(f"heads needs a linear layer at '{path}', where this model has a {met}")


def _check_names(sizes: dict[str, int]) -> None:
    import keyword

    from torch import nn

    if not sizes:
        raise zoo.OptionError("heads needs at least one name=size, as in heads(cls=10, reg=1)")
    for name in sizes:
        reason = ""
        if not name.isidentifier() or keyword.iskeyword(name):
            reason = "Python can't take it for a name"
        elif hasattr(nn.ModuleDict, name) or name == "training":
            reason = "nn.ModuleDict has an attribute of that name"
        if reason:
            raise zoo.OptionError(f"heads: a head can't be called '{name}': {reason}; call it '{name}_head', say")
