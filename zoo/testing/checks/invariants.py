"""Checks of what a modifier must leave as it was: weights, names, ties, modes, hooks, and that copies are copies."""

from __future__ import annotations

import inspect
import io
import pickle
from typing import Any

import torch
from torch import Tensor, nn

from ...factory.factory import create, spec_of
from ...messages.text import list_names
from ...surgery.provenance import changes_of
from ...surgery.walk import parent_path, tensors_by_name
from ..results import Skip
from ..subjects import DECLINES, Trial, names_of
from ..tools import brief, digest, digests, find_shared, get_at, has, leaves, list_differing, run, same, tensors_in, tie


def weights(trial: Trial) -> None:
    """What stays has the values that it had, to the last byte, unless the record tells of it.

    Under one seed a variant has its bare base's weights, and a live model keeps its own.
    """
    variant = trial.variant
    both = {name: value for name, value in digests(variant).items() if not trial.is_recorded(name)}
    torch.manual_seed(0)
    base = digests(create(trial.ground.arch, registry=trial.registry))
    if changed := list_differing(both, base):
        raise AssertionError(f"under one seed {list_names(changed)} of variant and base differ, which no change tells")
    model = trial.ground.fresh()
    before = {id(tensor): (name, tensor, digest(tensor)) for name, tensor in tensors_by_name(model).items()}
    model = trial.apply(model)
    kept = {id(tensor) for tensor in tensors_by_name(model).values()}
    changed = [
        name
        for key, (name, tensor, value) in before.items()
        if key in kept and digest(tensor) != value and not trial.is_recorded(name, model)
    ]
    assert not changed, f"it wrote into {list_names(changed)}, and no change tells of it"


def names(trial: Trial) -> None:
    """Parameters and buffers that stay have the names and the order that they had."""
    base, variant = names_of(trial.ground.model), names_of(trial.variant)
    kept = [name for name in base if name in variant]
    assert [n for n in variant if n in base] == kept, (
        f"the order of the names changed: {list_names(_list_moved(kept, variant))}"
    )
    gone = [name for name in base if name not in variant]
    silent = [n for n in gone if not trial.is_recorded(n)]
    assert not silent, f"{list_names(silent)} went, and no change tells of it"
    new = [name for name in variant if name not in base and not trial.is_recorded(name) and not _is_inserted(name)]
    assert not new, f"{list_names(new)} came, and no change tells of it"


def _list_moved(kept: list[str], variant: list[str]) -> list[str]:
    now = [name for name in variant if name in kept]
    return [new for old, new in zip(kept, now, strict=True) if old != new]


def _is_inserted(name: str) -> bool:
    return any(part.startswith("zoo_") for part in name.split("."))


def sharing(trial: Trial) -> str:
    """A module or parameter that stood in two places still does, or was replaced in both."""
    trial.variant  # noqa: B018
    natural = find_shared(trial.ground.model)
    _still_shared(trial.variant, natural)
    model = trial.ground.fresh()
    pairs = [(one, other) for one, other in (*tie(model), *natural) if get_at(model, one) is get_at(model, other)]
    try:
        made = trial.apply(model)
    except DECLINES as error:
        raise Skip(f"not applicable where places are shared: {brief(error)}") from error
    _still_shared(made, pairs)
    return f"{len(pairs)} pairs"


def _still_shared(model: nn.Module, pairs: list[tuple[str, str]]) -> None:
    for one, other in pairs:
        if all(has(model, parent_path(name)) for name in (one, other)):
            assert get_at(model, one) is get_at(model, other), f"'{one}' and '{other}' were one thing, and are two"


def strict_load(trial: Trial) -> str | None:
    """A modifier that adds and removes no parameter: checkpoints of the base load strictly into the variant, and back.

    Otherwise every name that both have is filled.
    """
    base, variant = trial.ground.fresh(), trial.fresh()
    with torch.no_grad():
        for number, tensor in enumerate(base.parameters()):
            tensor.fill_(number + 1)
    shapes = [{name: t.shape for name, t in model.state_dict().items()} for model in (base, variant)]
    resized = [n for n, shape in shapes[0].items() if shapes[1].get(n, shape) != shape and trial.is_recorded(n)]
    strict = trial.same_names and not resized
    for source, target in ((base, variant), (variant, trial.ground.fresh())):
        saved = source.state_dict()
        try:
            target.load_state_dict(saved, strict=strict)
        except RuntimeError as error:
            if strict:
                raise AssertionError(f"a checkpoint doesn't load strictly: {' '.join(str(error).split())}") from error
            raise Skip("layers of other sizes stand under names of the base") from error
        arrived = {n: digest(t) for n, t in target.state_dict().items() if isinstance(t, Tensor) and n in saved}
        sent = {n: digest(saved[n]) for n in arrived}
        assert arrived == sent, f"{list_names(list_differing(arrived, sent))} came out otherwise than saved"
    return None if strict else "parameters were added or removed; what both have is filled"


def state(trial: Trial) -> None:
    """Class, attributes, signature, modes, `requires_grad` and users' hooks of what stays, where all of them mix."""
    _stays_an_instance(trial)
    model = trial.ground.fresh()
    for number, module in enumerate(model.modules()):
        module.training = number % 3 == 0
    for number, parameter in enumerate(model.parameters()):
        parameter.requires_grad_(number % 2 == 0)
    handles = [module.register_forward_hook(_users_hook) for module in model.modules()]
    before = dict(model.named_modules())
    modes = {path: module.training for path, module in before.items()}
    classes = {path: type(module) for path, module in before.items()}
    grads = {id(p): p.requires_grad for p in model.parameters()}
    model = trial.apply(model)
    for path, module in model.named_modules():
        place = path
        while place not in modes:  # what is new is in the mode of what it came to
            place = parent_path(place)
        if module is before.get(path) and type(module) is not classes[path]:
            continue  # what became something else may hold its own mode
        assert module.training == modes[place], f"'{path}' is in another mode than '{place}' was"
        if module is before.get(path):
            assert _users_hook in module._forward_hooks.values(), f"a user's hook on '{path}' is gone"
    for name, parameter in model.named_parameters():
        wanted = grads.get(id(parameter), parameter.requires_grad)
        assert parameter.requires_grad == wanted or trial.is_recorded(name, model), f"requires_grad of '{name}' changed"
    for handle in handles:
        handle.remove()
    left = [path for path, module in model.named_modules() if _users_hook in module._forward_hooks.values()]
    assert not left, f"removing a user's hooks leaves them on {list_names(left)}"


def _users_hook(module: Any, args: Any, output: Any) -> None:
    """A user's hook."""


def _stays_an_instance(trial: Trial) -> None:
    base, variant = trial.ground.model, trial.variant
    assert isinstance(variant, type(base)), f"the variant is a {type(variant).__name__}, not a {type(base).__name__}"
    gone = [name for name in dir(base) if not name.startswith("_") and not hasattr(variant, name)]
    silent = [name for name in gone if not trial.is_recorded(name) and f" {name} " not in _words_of_record(trial)]
    assert not silent, f"the attribute {list_names(silent)} is gone"
    old, new = (list(inspect.signature(model.forward).parameters.values()) for model in (base, variant))
    added = [p for p in new if p.name not in {q.name for q in old}]
    kept = [(p.name, p.kind, p.default) for p in new if p not in added]
    assert kept == [(p.name, p.kind, p.default) for p in old], f"forward takes {inspect.signature(variant.forward)}"
    assert all(p.kind is p.KEYWORD_ONLY or p.default is not p.empty for p in added), "forward needs new arguments"


def _words_of_record(trial: Trial) -> str:
    return "".join(f" {change.what} " for change in changes_of(trial.variant))


def copies(trial: Trial) -> None:
    """deepcopy, pickle and torch.save give a model that is the same, and of which nothing hangs on the original."""
    variant, arguments = trial.variant, trial.arguments
    trial.ground.runs()
    copied = trial.fresh()
    torch.save(variant, buffer := io.BytesIO())
    buffer.seek(0)
    for how, other in (
        ("deepcopy", copied),
        ("pickle", pickle.loads(pickle.dumps(variant))),
        ("torch.save", torch.load(buffer, weights_only=False)),
    ):
        assert type(other) is type(variant), f"{how} gives a {type(other).__name__}"
        record = [(spec_of(model), changes_of(model)) for model in (other, variant)]
        assert record[0] == record[1], f"{how} loses the record"
        for training in (False, True):
            if training and not _runs_in_training(trial):
                break
            got = run(other, arguments, training)
            assert same(got, trial.runs(training)), f"the output after {how} differs"
    own = {id(tensor) for tensor in tensors_by_name(variant).values()}
    common = [name for name, tensor in tensors_by_name(copied).items() if id(tensor) in own]
    assert not common, f"a copy shares {list_names(common)} with its original"
    _all_its_own(trial, copied, arguments)


def _runs_in_training(trial: Trial) -> bool:
    try:
        return bool(trial.ground.runs(training=True))
    except Skip:
        return False


def _all_its_own(trial: Trial, copied: nn.Module, arguments: tuple[Any, ...]) -> None:
    """A layer that a closure holds is in no state dict, and a copy goes on using the original's."""
    own = {id(parameter) for parameter in copied.parameters()}
    strange = [leaf for leaf in leaves(tensors_in(copied(*arguments))) if id(leaf) not in own]
    base = {id(parameter) for parameter in trial.ground.model.parameters()}
    if strange and not [leaf for leaf in leaves(tensors_in(trial.ground.model(*arguments))) if id(leaf) not in base]:
        shapes = ", ".join(str(list(leaf.shape)) for leaf in strange[:3])
        raise AssertionError(f"a copy computes with trainable tensors that aren't its parameters: {shapes}")
