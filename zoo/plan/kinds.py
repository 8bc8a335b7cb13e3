"""Kinds of layers, activations and norms: which names make one, and which modules are one.

Which modules: a class is told by where it stands, as text, so that nothing is imported to ask.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

from ..registry.owners import Offers
from ..registry.registry import Registry, current_registry

_ACTIVATION, _NORMALIZATION = "torch.nn.modules.activation", "torch.nn.modules.normalization"
_OTHERS = ("GLU", "LogSoftmax", "MultiheadAttention", "Softmax", "Softmax2d", "Softmin", "Threshold")
# torch's own classes. A plugin's hook `zoo_classes` says the same of others.
_TORCHS = {
    f"{_ACTIVATION}:*": "activation",
    **{f"{_ACTIVATION}:{name}": "gate" for name in ("Hardsigmoid", "LogSigmoid", "Sigmoid")},
    **{f"{_ACTIVATION}:{name}": "" for name in _OTHERS},
    "torch.nn.modules.linear:Identity": "",  # which has a name as an activation
    "torch.nn.modules.batchnorm:*": "norm",
    "torch.nn.modules.instancenorm:*": "norm",
    f"{_NORMALIZATION}:*": "norm",
    **{f"{_NORMALIZATION}:{name}": "" for name in ("CrossMapLRN2d", "LocalResponseNorm")},  # across channels alone
}


class Roles:
    """What classes are, by `module:Class`, where `*` stands for any part.

    Of a class and those that it inherits from, the first that is named whole decides; where none is, the first that a
    pattern fits, the longest before others. So a subclass of `Sigmoid` is a gate, wherever it stands. What torch's
    classes are, and those that the zoo's own plugins speak of, no other plugin can say.
    """

    def __init__(self, registry: Registry) -> None:
        own, others = dict(_TORCHS), {}
        for place, claims in registry.tables["class"].items():
            if "zoo" in claims:
                own.setdefault(place, claims["zoo"].value)
            else:
                others[place] = claims[min(claims)].value
        self._tables = [_Table(own), _Table(others)]
        self._found: dict[type, frozenset[str] | None] = {}

    def of(self, cls: type) -> frozenset[str] | None:
        """The roles of a class; None for one of which nobody says anything."""
        if cls not in self._found:
            answers = [self._answer(f"{one.__module__}:{one.__qualname__}") for one in cls.__mro__]
            known = sorted((answer for answer in answers if answer is not None), key=lambda answer: not answer[0])
            self._found[cls] = known[0][1] if known else None
        return self._found[cls]

    def _answer(self, place: str) -> tuple[bool, frozenset[str]] | None:
        """What the first table says that speaks of a place; and whether it's named there whole."""
        return next((answer for table in self._tables if (answer := table.find(place)) is not None), None)


class _Table:
    def __init__(self, entries: Mapping[str, str]) -> None:
        self.exact = {place: frozenset(words.split()) for place, words in entries.items() if "*" not in place}
        longest = sorted((place for place in entries if "*" in place), key=len, reverse=True)
        self.patterns = {place: frozenset(entries[place].split()) for place in longest}

    def find(self, place: str) -> tuple[bool, frozenset[str]] | None:
        if place in self.exact:
            return True, self.exact[place]
        return next(((False, words) for one, words in self.patterns.items() if fnmatchcase(place, one)), None)


class Kind(Offers):
    """The layers of a kind: what makes them, by name, and whether a module is one.

    A mapping of names to functions and classes, each loaded when it's asked for: `kind["silu"]`.

    Example:
        >>> import zoo
        >>> from torch import nn
        >>> norms = zoo.norms()
        >>> "layernorm2d" in norms, norms.holds(nn.BatchNorm2d(3)), norms.holds(nn.ReLU())
        (True, True, False)
    """

    def __init__(self, kind: str, registry: Registry) -> None:
        super().__init__(kind, registry.tables[kind], list_absent=registry.list_absent)
        self._roles = registry.keep(Roles)
        self._offered: dict[type, bool] = {}

    def holds(self, module: object, role: str = "") -> bool:
        """Whether a module is one of this kind: by its class, or since a plugin offers what it's made by.

        Args:
            module: A module.
            role: Ask for `gate` (a sigmoid and its like, which is no activation else) or `fused` (an activation inside
                the formula) instead.
        """
        cls, role = type(module), role or self.kind
        roles = self._roles.of(cls)
        if roles is not None:
            return role in roles
        if cls not in self._offered:
            self._offered[cls] = self.makes(module)
        return role == self.kind and self._offered[cls]


def activations(*, registry: Registry | None = None) -> Kind:
    """The activations: timm's names, which the zoo's own plugin brings, and those that other plugins add.

    Args:
        registry: Whose; for a modifier at work that of the registry it came from, else that of all that is installed.

    Returns:
        Name to what makes the module; under a bare name where that is clear, and under `owner/name` always.

    Raises:
        UnknownNameError: From a look-up of a name that nobody has, or two have.
        PluginError: From a look-up of what can't be loaded.

    Example:
        >>> import zoo
        >>> "silu" in zoo.activations(), "slu" in zoo.activations()
        (True, False)
    """
    return Kind("activation", registry or current_registry())


def norms(*, registry: Registry | None = None) -> Kind:
    """The norms: timm's names, which the zoo's own plugin brings, and those that other plugins add.

    What makes one takes the number of features.

    Args:
        registry: Whose; for a modifier at work that of the registry it came from, else that of all that is installed.

    Returns:
        Name to what makes the module; under a bare name where that is clear, and under `owner/name` always.

    Raises:
        UnknownNameError: From a look-up of a name that nobody has, or two have.
        PluginError: From a look-up of what can't be loaded.

    Example:
        >>> import zoo
        >>> "layernorm2d" in zoo.norms()
        True
    """
    return Kind("norm", registry or current_registry())
