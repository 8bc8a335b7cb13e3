"""What plugins return from their hooks, as values: archs, families and modifiers.

Declaring is cheap: no torch, no parser, no validation library is imported here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

if TYPE_CHECKING:
    from torch import nn

Where = Annotated[str | Sequence[str], "where"]
"""The type of a modifier's `at=`: a site, a path glob, a class name, or several of them; `!` in front excludes."""

Sites = Mapping[str, str | Sequence[str] | Sequence[Sequence[str]]]
Sample = Sequence[int] | Callable[[Any], tuple[Any, ...]]

# Where weights come from is `create`'s business: a spec can't say it, since a spec reaches no file and no network.
RESERVED_OPTIONS = ("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir")

# What a class of layers may be, for `zoo_classes`. A gate is an activation that scales something else, as in
# squeeze-and-excitation; `fused` says that an activation is inside the formula.
ROLES = ("activation", "gate", "norm", "fused")


@dataclass(frozen=True)
class Arch:
    """A base architecture, as `zoo.arch` makes it of a function. A family makes its own by hand.

    Attributes:
        name: what a spec calls it.
        build: `(**options) -> nn.Module`; the options are the signature.
        sites: names for places of the built model, such as `{"head": "fc"}`; a function of the model where it depends.
            The site `NAME_drop` is the arch's own dropout in front of the site NAME: a Dropout's path, or
            `path:attribute` for a rate that the forward reads. A site in parts, a list of lists, is numbered as well:
            with `{"stages": [["layer1"], ["layer2"]]}` there are `stages`, `stages.0` and `stages.1`.
        sample: shape of one input without the batch dimension, or a function `model -> arguments` of a forward.
        examples: specs that show its options.
        width: a function of the model that gives the number of pooled features in front of the head.
        order: a function of the model that gives each parameter's layer, counted from the input, for learning rates
            that fall from layer to layer; nothing where it can't say.
        recipe: a function of the built model that gives a text, which the family's `rebuild` turns into the same arch
            without opening a file or the network. For archs whose name points outside: `hf-hub:…`,
            `darknet:"net.cfg"`.
    """

    name: str
    build: Callable[..., nn.Module]
    sites: Sites | Callable[[Any], Sites] = field(default_factory=dict)
    sample: Sample | Callable[[Any], Sample] | None = None
    examples: tuple[str, ...] = ()
    width: Callable[[Any], int | None] | None = None
    order: Callable[[Any], Mapping[str, int]] | None = None
    recipe: Callable[[Any], str] | None = None

    @property
    def doc(self) -> str:
        """Its documentation, the function's docstring."""
        return inspect.getdoc(self.build) or ""

    def __call__(self, *args: Any, **options: Any) -> nn.Module:
        """The module, built as the function itself would. `zoo.create` checks the options first."""
        return self.build(*args, **options)


@dataclass(frozen=True)
class Family:
    """An open-ended provider of archs, as `zoo.family` makes it of a function.

    Attributes:
        name: its archs are `name/arch`; where `bare` is true, `arch` alone will do.
        resolve: `(name, source) -> Arch`, or None for a name that it doesn't know. `source` is the text behind the
            colon for one of `prefixes` (`hf-hub:timm/resnet18`), and None otherwise. Imports nothing heavy.
        names: lists what there is. Imports nothing heavy either.
        prefixes: the words in front of a colon that are its own.
        bare: whether `arch` alone will do.
        rebuild: `(prefix, recipe) -> Arch`, the inverse of `Arch.recipe`, for archs of a prefix that come out of a
            saved file. It opens nothing.
    """

    name: str
    resolve: Callable[[str, str | None], Arch | None]
    names: Callable[[], Iterable[str]]
    prefixes: tuple[str, ...] = ()
    bare: bool = False
    rebuild: Callable[[str, str], Arch] | None = None

    @property
    def doc(self) -> str:
        """Its documentation, the function's docstring."""
        return inspect.getdoc(self.resolve) or ""


# What a modifier may do to the names in a state dict, whatever its options: nothing; bring new ones alone; take some
# away alone; both, which is nothing said.
KEYS = ("keep", "add", "remove", "change")


@dataclass(frozen=True)
class Effects:
    """What a modifier promises of itself, beyond what every modifier promises; for all that its options can be.

    The engine holds it to that: what it does to keys is looked at each time that it's applied, the order when a spec is
    resolved, before anything is built; the kit looks at the rest.

    Attributes:
        keys: what it does to the names in the state dict: `keep`, `add` and never take away, `remove` and never add,
            or `change`, which says nothing.
        preserves: whether the model computes in eval mode, right afterwards, what it did before.
        repeats: whether it may stand in one spec more than once.
        after: names of modifiers; where one of them stands in a spec too, this one has to come behind it.
        before: names of modifiers that this one has to come in front of.

    Example:
        >>> zoo.Effects(keys="add", preserves=True, after=("num_classes",))
        Effects(keys='add', preserves=True, repeats=True, after=('num_classes',), before=())
    """

    keys: Literal["keep", "add", "remove", "change"] = "change"
    preserves: bool = False
    repeats: bool = True
    after: tuple[str, ...] = ()
    before: tuple[str, ...] = ()


@dataclass(frozen=True)
class Modifier:
    """An edit of a built model, as `zoo.modifier` makes it of a function.

    Attributes:
        name: what a spec calls it.
        apply: `(model, /, **options) -> model`; the options are the signature.
        examples: parts of a spec that show it.
        effects: what it promises of itself.
    """

    name: str
    apply: Callable[..., Any]
    examples: tuple[str, ...]
    effects: Effects = Effects()

    @property
    def doc(self) -> str:
        """Its documentation, the function's docstring."""
        return inspect.getdoc(self.apply) or ""

    def __call__(self, model: Any, /, *args: Any, **options: Any) -> Any:
        """The function itself, with nothing checked or recorded. `zoo.modify` does both."""
        return self.apply(model, *args, **options)
