"""What a model carries with it: where it came from and what was changed, as one frozen value in its `__dict__`.

It is plain data, so that it goes along with deepcopy, pickle and torch.save, and no key of the state dict is touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from ..spec.spec import Spec
from .changes import Change, Changes
from .mixins import class_name
from .walk import persistent, places, tensors_of
from .wrappers import unwrap

if TYPE_CHECKING:
    from torch import nn

KEY = "_zoo"


Shapes = tuple[tuple[str, tuple[int, ...]], ...]


class Outline:
    """What a model is made of: the classes of all modules, and names and shapes of all weights that have a shape.

    Two are held against each other at each `zoo.modify`, so they are kept as they are, and their digest is made when
    someone asks for it. A pickle holds the digest alone, as a text, and a text is equal where it is the digest.

    places: each path with the class there, and the shape of each of its own weights by name.
    """

    def __init__(self, places: tuple[tuple[str, tuple[type, Shapes]], ...]) -> None:
        self._places = places

    @cached_property
    def digest(self) -> str:
        lines = []
        for path, (cls, shapes) in self._places:
            lines.append(f"{path}: {class_name(cls)}")
            lines += [f"{path}.{name}{list(shape)}" for name, shape in shapes]
        return sha256("\n".join(lines).encode()).hexdigest()[:16]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Outline):
            return self._places == other._places or self.digest == other.digest
        return bool(other) and self.digest == other

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return repr(self.digest)

    def __deepcopy__(self, memo: Any) -> Outline:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return str, (self.digest,)


@dataclass(frozen=True)
class Info:
    """Where a model came from. `obstacle` says why it can't be rebuilt from its spec, if it can't.

    `recipe` is how its arch is built where the name points outside (`local-dir:…`), so that nothing there is opened
    again. `outline` is that of its modules and weights when the zoo last had it in hand: another one says that someone
    else edited it.
    """

    spec: Spec
    sites: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    width: int | None = None
    changes: tuple[Change, ...] = ()
    obstacle: str = ""
    outline: Outline | str = ""
    recipe: str | None = None

    @property
    def is_buildable(self) -> bool:
        """Whether the spec alone builds the bare arch, as long as its plugin is there."""
        return not self.obstacle and not self.spec.arch.is_unknown


def info_of(model: Any) -> Info | None:
    """What the zoo knows of a model; None for one that it never touched. Looks inside wrappers."""
    inner = unwrap(model)
    found = vars(inner).get(KEY) if hasattr(inner, "__dict__") else None
    return found if isinstance(found, Info) else None


def attach(model: nn.Module, info: Info) -> None:
    """Make this what the model says of itself."""
    vars(model)[KEY] = info


def outline_of(model: nn.Module) -> Outline:
    """The outline of a model as it is now."""
    found = []
    for path, module in places(model):
        shapes = ((name, tensor) for name, tensor in tensors_of(module).items() if persistent(module, name))
        sized = tuple((name, tuple(tensor.shape)) for name, tensor in shapes if not hasattr(tensor, "materialize"))
        found.append((path, (type(module), sized)))
    return Outline(tuple(found))


def seal(model: nn.Module, outline: Outline | None = None) -> nn.Module:
    """The model, with its outline written down."""
    if info := info_of(model):
        attach(model, replace(info, outline=outline or outline_of(model)))
    return model


# What timm, torchvision and transformers call their classifiers, and most people theirs.
_HEADS = ("head", "heads", "fc", "classifier")


def sites_of(model: nn.Module) -> Mapping[str, tuple[str, ...]]:
    """The sites that the model's arch names: site to paths.

    Args:
        model: any model. One that no arch of the zoo made has a `head` where just one of its children is called so, or
            `fc` or `classifier`.

    Returns:
        By the name of a site, the paths that it means, in the model's order.

    Example:
        >>> dict(zoo.sites_of(zoo.create("simple")))
        {'stem': ('layers1.0',), 'head': ('layers3',)}
    """
    info = info_of(model)
    if info and not info.spec.arch.is_unknown:
        return info.sites
    named = [name for name, _ in model.named_children() if name in _HEADS]
    return {"head": (named[0],)} if len(named) == 1 else {}


def number_sites(sites: Mapping[str, str | Sequence[str] | Sequence[Sequence[str]]]) -> dict[str, tuple[str, ...]]:
    """Sites as an arch says them, as paths. One in parts, a list of lists, has `NAME.0`, `NAME.1` … as well."""
    found: dict[str, tuple[str, ...]] = {}
    for name, said in sites.items():
        listed = [said] if isinstance(said, str) else said
        parts = [(part,) if isinstance(part, str) else tuple(part) for part in listed]
        found[name] = tuple(path for part in parts for path in part)
        if not all(isinstance(part, str) for part in listed):
            found |= {f"{name}.{number}": part for number, part in enumerate(parts)}
    return found


def is_numbered(site: str, sites: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether a site is one part of another: `stages.2` of `stages`."""
    name, _, number = site.rpartition(".")
    return number.isdecimal() and name in sites


def width_of(model: nn.Module) -> int | None:
    """The number of pooled features that arrive at the head.

    Args:
        model: any model.

    Returns:
        The number, if the model's arch says so; else None.
    """
    info = info_of(model)
    return info.width if info else None


def changes_of(model: nn.Module) -> Changes:
    """What each modifier did to a model, as it was written down; `zoo.changes` adds what it costs."""
    info = info_of(model)
    return Changes(info.changes if info else ())
