"""Checks of an arch."""

from __future__ import annotations

import copy
import pickle

import torch

from ...factory.factory import create, spec_of
from ...messages.text import list_names
from ...plan.resolve import plan_of
from ...spec.spec import parse
from ...surgery.provenance import sites_of
from ...surgery.slots import Slot
from ...surgery.walk import tensors_by_name
from ..global_state import Classes, Global, classes_of
from ..results import Skip
from ..subjects import Ground
from ..tools import brief, digests, finite, gradients, has, move, run, same
from .execution import run_compiled, run_exported


def builds(ground: Ground) -> str:
    """It builds, says which spec it is, and that spec reads back as itself."""
    canonical = ground.plan.spec
    assert plan_of(parse(str(canonical)), ground.registry).spec == canonical, f"'{canonical}' doesn't read back"
    assert isinstance(ground.model, torch.nn.Module), f"it builds a {type(ground.model).__name__}"
    assert spec_of(ground.model) == canonical, f"the model of '{canonical}' says that it is '{spec_of(ground.model)}'"
    return f"{sum(p.numel() for p in ground.model.parameters()):,} parameters"


def sample(ground: Ground) -> None:
    """The sample input goes through it, in eval and in train mode, and what comes out is finite."""
    for training, mode in ((False, "eval"), (True, "train")):
        try:
            outputs = run(ground.model, ground.arguments, training)
        except Exception as error:
            if isinstance(error, Skip):
                raise
            raise AssertionError(f"the sample input doesn't go through in {mode} mode: {brief(error)}") from error
        assert finite(outputs), f"in {mode} mode the output isn't finite"


def sites(ground: Ground) -> str:
    """Each site is a place that exists, and a forward reaches it."""
    named = sites_of(ground.model)
    called: set[int] = set()
    model = ground.fresh()
    for path in (path for paths in named.values() for path in paths):
        slot = Slot.parse(path)
        assert has(model, slot.path), f"a site is '{slot.path}', and there is no such module"
        assert not slot.attribute or slot.is_in(model), f"a site is '{path}', which isn't there"
    if not named:
        return "it names no site"

    def note(module: torch.nn.Module, args: object) -> None:
        called.add(id(module))

    for inner in model.modules():
        inner.register_forward_pre_hook(note)
    for training in (False, True):
        ground.runs(training)
        model.train(training)
        with torch.no_grad():
            model(*copy.deepcopy(ground.arguments))
    for name, paths in named.items():
        found = [model.get_submodule(path) for path in paths if not Slot.parse(path).attribute]
        live = any(id(module) in called for site in found for module in site.modules())
        assert live or not found, f"no forward reaches the site '{name}', {list_names(paths)}"
    return ", ".join(named)


def meta(ground: Ground) -> None:
    """On the meta device it has the parameters and buffers that it has on the CPU."""
    try:
        on_meta = create(ground.arch, device="meta", registry=ground.registry)
    except (NotImplementedError, RuntimeError) as error:
        raise Skip(f"it can't be built on meta: {brief(error)}") from error
    real = [name for name, tensor in tensors_by_name(on_meta).items() if not tensor.is_meta]
    assert not real, f"on meta {list_names(real)} isn't"
    shapes = [{n: (t.shape, t.dtype) for n, t in tensors_by_name(m).items()} for m in (on_meta, ground.model)]
    assert shapes[0] == shapes[1], "on meta it has other parameters and buffers than on the CPU"


def bfloat16(ground: Ground) -> None:
    """It runs in bfloat16."""
    arguments = move(ground.arguments, dtype=torch.bfloat16)
    outputs = ground.once("run in bfloat16", lambda: run(ground.fresh().bfloat16(), arguments))
    assert finite(outputs), "in bfloat16 the output isn't finite"


def deterministic(ground: Ground) -> None:
    """In eval mode two forwards give the same, whatever the seed."""
    first = ground.runs()
    assert same(first, run(ground.model, ground.arguments)), "two forwards in eval mode differ"
    assert same(first, run(ground.model, ground.arguments, seed=3)), "in eval mode it draws random numbers"


def seed(ground: Ground) -> None:
    """Under one seed two models have the same weights, and none is left as memory happened to be."""
    made = []
    for _ in range(2):
        torch.manual_seed(5)
        made.append(create(ground.arch, registry=ground.registry))
    one, two = map(digests, made)
    changed = [name for name in one if one[name] != two.get(name)]
    assert not changed, f"under one seed {list_names(changed)} gets other values"
    odd = [name for name, tensor in tensors_by_name(made[0]).items() if not finite([tensor])]
    assert not odd, f"{list_names(odd)} isn't finite"


def copies(ground: Ground) -> None:
    """deepcopy and pickle give the same model, which shares nothing with the original."""
    expected = ground.runs()
    for how, other in (("deepcopy", ground.fresh()), ("pickle", pickle.loads(pickle.dumps(ground.model)))):
        assert same(run(other, ground.arguments), expected), f"the output after {how} differs"
        own = {id(tensor) for tensor in tensors_by_name(ground.model).values()}
        common = [name for name, tensor in tensors_by_name(other).items() if id(tensor) in own]
        assert not common, f"after {how} it shares {list_names(common)} with its original"


def gradient(ground: Ground) -> str:
    """In train mode trainable parameters get gradients, and finite ones."""
    found = ground.once("train", lambda: gradients(ground.model, ground.arguments))
    reached = [value for value in found.values() if value is not None]
    assert reached or not found, "no trainable parameter gets a gradient"
    assert finite(reached), "a gradient isn't finite"
    return f"{len(reached)} of {len(found)} parameters get a gradient"


def compiles(ground: Ground) -> None:
    """torch.compile(fullgraph=True) gives the same; told, and no failure, where it can't."""
    found = ground.once("be compiled to one graph", lambda: run_compiled(ground.model, ground.arguments))
    assert same(found, ground.runs(), loosely=True), "what it gives differs after torch.compile"


def exports(ground: Ground) -> None:
    """torch.export gives the same; told, and no failure, where it can't."""
    found = ground.once("be exported", lambda: run_exported(ground.model, ground.arguments))
    assert same(found, ground.runs(), loosely=True), "what it gives differs after torch.export"


def global_state(ground: Ground) -> None:
    """Building and running change neither global state nor classes, and don't seed torch's generator."""
    classes, before, states = Classes(classes_of(ground.model)), Global(), []
    for number in (3, 4):
        torch.manual_seed(number)
        model = create(ground.arch, registry=ground.registry)
        states.append(torch.get_rng_state())
    ground.runs()
    changed = [*before.list_changed(), *classes.list_changed()]
    assert not changed, f"it changed {', '.join(changed)}"
    drew = any(parameter.numel() for parameter in model.parameters())
    assert not (drew and torch.equal(*states)), "it seeds torch's random generator"
