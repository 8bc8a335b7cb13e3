"""An arch built once on the meta device, and what a forward of it touches: for checks before anything real is built.

A place is live when a forward calls the module there or reads the attribute in question. To see both, the trace gives
every module of the blueprint, which nobody else holds, a class that notes each attribute that is read; a call shows
as a read of `forward`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from .info import Change, Info, attach
from .walker import places

if TYPE_CHECKING:
    from .declare import Arch
    from .spec import Spec

MOST_KEPT = 16

Reads = Mapping[str, frozenset[str]]


@dataclass
class Blueprint:
    """A bare arch on meta (or on the CPU, where meta won't do), with what its forward reads at each path.

    `reads` is None where no forward could be run. `checked` are the canonical variants that were tried on it.
    """

    model: nn.Module
    reads: Reads | None
    checked: set[str]


def normal_sites(arch: Arch, model: nn.Module) -> dict[str, tuple[str, ...]]:
    """The sites of a built arch, every one as a tuple of paths."""
    sites = arch.sites(model) if callable(arch.sites) else arch.sites
    return {name: (paths,) if isinstance(paths, str) else tuple(paths) for name, paths in sites.items()}


def draw(arch: Arch, spec: Spec, options: Mapping[str, Any], memo: dict[str, Any]) -> Blueprint:
    """The blueprint of an arch with its options, from the memo if it has been drawn before.

    Draws no random number that the caller would miss.
    """
    key = str(spec)
    if key not in memo:
        while len(memo) >= MOST_KEPT:
            memo.pop(next(iter(memo)))
        with torch.random.fork_rng(devices=[]):
            memo[key] = _draw(arch, spec, options)
    found: Blueprint = memo[key]
    return found


def _draw(arch: Arch, spec: Spec, options: Mapping[str, Any]) -> Blueprint:
    device = "meta"
    try:
        with torch.device("meta"):
            model = arch.build(**options)
    except (NotImplementedError, RuntimeError):  # an arch that computes with its weights while it's built
        device = "cpu"
        model = arch.build(**options)
    attach(model, Info(spec, normal_sites(arch, model)))
    return Blueprint(model, trace(model, arch.sample, device), set())


def sample_input(model: nn.Module, sample: Any, device: str) -> tuple[Any, ...] | None:
    """The arguments of one forward, two samples in a batch, since BatchNorm refuses to train on one."""
    with torch.device(device):
        given = sample(model) if callable(sample) else sample
        if given is None:
            return None
        if all(isinstance(size, int) for size in given):
            return (torch.zeros(2, *given),)
        return tuple(given)


def trace(model: nn.Module, sample: Any, device: str) -> Reads | None:
    """Which attributes forwards in eval and in train mode read at each path, or None if no forward runs."""
    arguments = sample_input(model, sample, device)
    if arguments is None:
        return None
    reads: dict[int, set[str]] = {}
    modes = {module: module.training for module in model.modules()}
    classes = {module: type(module) for module in model.modules()}
    seen = 0
    try:
        for module, cls in classes.items():
            reads[id(module)] = set()
            module.__class__ = _noting(cls, reads)
        for training in (False, True):
            nn.Module.train(model, training)
            seen += _runs(model, arguments)
    finally:
        for module, cls in classes.items():
            module.__class__ = cls
        for module, mode in modes.items():
            module.training = mode
    return {path: frozenset(reads[id(module)]) for path, module in places(model)} if seen else None


def _noting(cls: type, reads: dict[int, set[str]]) -> type:
    def __getattribute__(self: Any, name: str) -> Any:
        if (noted := reads.get(id(self))) is not None:
            noted.add(name)
        return cls.__getattribute__(self, name)  # type: ignore[call-arg]

    return type(cls)(cls.__name__, (cls,), {"__getattribute__": __getattribute__, "__module__": cls.__module__})


def _runs(model: nn.Module, arguments: tuple[Any, ...]) -> bool:
    try:
        with torch.no_grad():
            model(*arguments)
    except Exception:  # whatever an arch raises here only means that nothing is known about what is live
        return False
    return True


def is_live(change: Change, reads: Reads | None) -> bool | None:
    """Whether a forward of the bare arch reaches what was changed; None if that isn't known."""
    if reads is None:
        return None
    answers = [_path_live(path, change.what, reads) for path in (change.path, *change.aliases)]
    return True if True in answers else None if None in answers else False


def _path_live(path: str, what: str, reads: Reads) -> bool | None:
    holder, _, name = path.rpartition(".")
    if path not in reads:
        # A parameter or buffer of a module that was there, or something that an earlier modifier brought.
        return name in reads[holder] if holder in reads and what in ("values", "requires_grad", "replaced") else None
    noted = reads[path]
    if what in ("inserted before", "inserted after", "became", "class"):
        return "forward" in noted
    if what in ("replaced", "removed", "already", "no longer"):
        return any(not name.startswith("_") and name != "training" for name in noted)
    return what in noted or None if what.startswith("hook") else what in noted
