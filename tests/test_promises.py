"""What every modifier promises, over one arch of each family and each of the zoo's modifiers."""

from __future__ import annotations

import copy
import inspect
import io
import pickle
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zoo

# The arch of a spec, and the shape of one input. One of each family runs always, cut down where it is deep ...
SMALL = {
    "simple": (100,),
    "mlp": (784,),
    "convnet": (3, 16, 16),
    "resnet18": (3, 48, 48),
    "vit_tiny_patch16_224(img_size=32, depth=2)": (3, 32, 32),
    "convnext_atto(depths=[1, 1, 1, 1], dims=[8, 16, 24, 32])": (3, 64, 64),
    "test_efficientnet": (3, 64, 64),
    "swin_tiny_patch4_window7_224(img_size=56, depths=[2, 1], embed_dim=24, num_heads=[1, 2])": (3, 56, 56),
    "mobilenetv3_small_050": (3, 64, 64),
}
# ... and the published ones, whole, in the long run.
WHOLE = {
    "vit_tiny_patch16_224": (3, 224, 224),
    "convnext_atto": (3, 64, 64),
    "efficientnet_b0": (3, 64, 64),
    "swin_tiny_patch4_window7_224": (3, 224, 224),
}
ARCHS = {**SMALL, **WHOLE}
BN = "bn(eps=1e-4)"
MODS = ("dropout(0.2)", "act(mish)", BN, "heads(a=3, b=1)")
WITHOUT_BN = ("mlp", "vit", "convnext", "swin")


def is_lacking(arch: str, mod: str) -> bool:
    return mod == BN and arch.startswith(WITHOUT_BN)


def short(arch: str) -> str:
    return arch.split("(")[0] + ("-small" if "(" in arch else "")


def param(arch: str, mod: str, marks: Any = ()) -> Any:
    name = "all" if "+" in mod else mod.split("(")[0]
    return pytest.param(arch, mod, id=f"{short(arch)}+{name}", marks=[pytest.mark.slow] if arch in WHOLE else marks)


# What compiles in seconds; of the others, only the chain of all modifiers is compiled in the default run.
QUICK = ("simple", "mlp", "convnet")

EVERY = [param(arch, mod) for arch in ARCHS for mod in MODS if not is_lacking(arch, mod)]
LACKING = [param(arch, mod) for arch in ARCHS for mod in MODS if is_lacking(arch, mod)]
NO_HEADS = [case for case in EVERY if "heads" not in case.values[1]]
HEADS = [case for case in EVERY if "heads" in case.values[1]]
every = pytest.mark.parametrize(("arch", "mod"), EVERY)


def chain(arch: str) -> str:
    """All modifiers that the arch can take."""
    return "+".join(mod for mod in MODS if not is_lacking(arch, mod))


ALL_MODS = [param(arch, chain(arch)) for arch in SMALL]
COMPILED = ALL_MODS + [
    param(arch, mod, () if arch in QUICK else pytest.mark.slow)
    for arch in ARCHS
    for mod in MODS
    if not is_lacking(arch, mod)
]


@cache
def shared(spec: str) -> nn.Module:
    """A model that tests look at and don't change, in eval mode."""
    torch.manual_seed(0)
    return zoo.create(spec).eval()


def base(arch: str) -> nn.Module:
    """A bare base of a test's own."""
    return copy.deepcopy(shared(arch))


def variant(arch: str, mod: str) -> nn.Module:
    return shared(f"{arch}+{mod}")


@cache
def inputs(arch: str) -> Tensor:
    return torch.randn(2, *ARCHS[arch], generator=torch.Generator().manual_seed(1))


def flat(output: Any) -> list[Tensor]:
    return list(output.values()) if isinstance(output, dict) else [output]


@torch.no_grad()
def run(model: Any, x: Tensor, **kwargs: Any) -> list[Tensor]:
    torch.manual_seed(2)  # what dropout draws
    return flat(model(x, **kwargs))


def assert_equal(got: list[Tensor], expected: list[Tensor]) -> None:
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        assert torch.equal(a, b)


def assert_close(got: list[Tensor], expected: list[Tensor]) -> None:
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


# Nothing is silent


@every
def test_shows_in_the_changes(arch: str, mod: str) -> None:
    """Whatever differs between base and variant is in the record under its path, and the record holds nothing else."""
    plain, model = shared(arch), variant(arch, mod)
    paths = {change.path for change in zoo.changes(model)}
    here, there = dict(plain.named_modules()), dict(model.named_modules())
    differing = {
        path
        for path, old in here.items()
        if path in there and (type(old) is not type(there[path]) or settings(old) != settings(there[path]))
    } | (here.keys() ^ there.keys())
    assert differing
    for path in differing:
        assert any(path == p or path.startswith(f"{p}." if p else "zoo_") for p in paths), path
    assert {c.part for c in zoo.changes(model)} == {str(part) for part in zoo.spec_of(model).parts}
    assert all(change.live for change in zoo.changes(model))


def settings(module: nn.Module) -> dict[str, Any]:
    plain = (int, float, str, bool, type(None), tuple)
    return {k: v for k, v in vars(module).items() if isinstance(v, plain) and not k.startswith("_")}


@pytest.mark.parametrize(("arch", "mod"), NO_HEADS)
def test_what_was_already_so_is_recorded_as_already(arch: str, mod: str) -> None:
    model = copy.deepcopy(variant(arch, mod))
    first = len(zoo.changes(model))
    zoo.modify(model, mod)
    again = zoo.changes(model)[first:]
    assert again
    assert {change.what for change in again} == {"already"}


@pytest.mark.parametrize(("arch", "mod"), LACKING)
def test_where_there_is_nothing_to_do_it_says_so(arch: str, mod: str) -> None:
    with pytest.raises(zoo.NotApplicableError, match="has no BatchNorm"):
        zoo.create(f"{arch}+{mod}")
    model = base(arch)
    with pytest.raises(zoo.NotApplicableError, match="has no BatchNorm"):
        zoo.modify(model, mod)
    assert not zoo.changes(model)
    assert_equal(run(model, inputs(arch)), run(shared(arch), inputs(arch)))


# Weights survive


@every
def test_same_seed_same_weights(arch: str, mod: str) -> None:
    torch.manual_seed(7)
    plain = zoo.create(arch).state_dict()
    torch.manual_seed(7)
    varied = zoo.create(f"{arch}+{mod}").state_dict()
    both = plain.keys() & varied.keys()
    assert len(both) >= len(plain) - 2  # all but the head's weight and bias
    for name in both:
        assert torch.equal(plain[name], varied[name]), name


@every
def test_stays_an_instance_with_all_attributes_and_methods(arch: str, mod: str) -> None:
    plain, model = shared(arch), variant(arch, mod)
    assert isinstance(model, type(plain))
    assert type(model).__name__ == type(plain).__name__
    assert set(dir(plain)) <= set(dir(model))
    for name in ("num_features", "head_hidden_size", "num_classes", "feature_info", "pretrained_cfg"):
        if hasattr(plain, name):
            assert getattr(model, name) == getattr(plain, name)


@pytest.mark.parametrize(("arch", "mod"), HEADS)
def test_trunk_methods_work_as_before(arch: str, mod: str) -> None:
    plain, model, x = shared(arch), variant(arch, mod), inputs(arch)
    if not hasattr(plain, "forward_features"):  # the zoo's own nets: the heads see what the classifier saw
        plain, model = (classifier_input(m) for m in (plain, model))
        assert_equal(run(model, x), run(plain, x))
        return
    with torch.no_grad():
        features = model.forward_features(x)
        assert torch.equal(features, plain.forward_features(x))
        assert torch.equal(model.forward_head(features, pre_logits=True), plain.forward_head(features, pre_logits=True))


def classifier_input(model: nn.Module) -> Any:
    seen: list[Tensor] = []
    last = [m for m in model.modules() if isinstance(m, (nn.Linear, nn.ModuleDict))]
    last = [m for m in last if isinstance(m, nn.ModuleDict)][:1] or last[-1:]

    def catch(x: Tensor) -> Tensor:
        handle = last[0].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
        model(x)
        handle.remove()
        return seen[-1]

    return catch


@every
def test_tensors_modes_grads_and_hooks_of_what_stays(arch: str, mod: str) -> None:
    """A model in a mixed state: some blocks in train mode, some weights frozen, bf16, moved statistics, hooks."""
    model = base(arch).train()
    run(model, inputs(arch))  # moves the running statistics
    model.bfloat16()
    for i, module in enumerate(model.modules()):
        module.training = i % 3 == 0
    for i, parameter in enumerate(model.parameters()):
        parameter.requires_grad_(i % 2 == 0)
    calls: list[str] = []
    handles = [m.register_forward_hook(lambda *_, p=p: calls.append(p)) for p, m in model.named_modules()]
    before = copy.copy(dict(model.named_modules()))
    modes = {path: m.training for path, m in before.items()}
    tensors = {n: (t, t.clone(), t._version, t.requires_grad) for n, t in named_tensors(model).items()}

    assert zoo.modify(model, mod) is model

    for path, module in model.named_modules():
        ancestor = path
        while ancestor not in modes:
            ancestor = ancestor.rpartition(".")[0]
        # An insertion is in the mode of the module that it serves, a new head in that of the old one.
        assert module.training == modes[ancestor], path
    for name, tensor in named_tensors(model).items():
        assert tensor.dtype == torch.bfloat16 or not tensor.is_floating_point(), name
        if name in tensors:
            old, values, version, grad = tensors[name]
            assert tensor is old, name
            assert (tensor._version, tensor.requires_grad) == (version, grad), name
            assert torch.equal(tensor, values), name
    for path, module in model.named_modules():
        if module is before.get(path):
            assert module._forward_hooks, path
    for out in run(model.eval(), inputs(arch).bfloat16()):
        assert out.dtype == torch.bfloat16
    assert "" in calls
    calls.clear()
    for handle in handles:
        handle.remove()
    run(model, inputs(arch).bfloat16())
    assert not calls


def named_tensors(model: nn.Module) -> dict[str, Tensor]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


@every
@pytest.mark.parametrize("mode", [True, False])
def test_mode_survives(arch: str, mod: str, mode: bool) -> None:
    model = zoo.modify(base(arch).train(mode), mod)
    assert {m.training for m in model.modules()} == {mode}


# Names survive


@pytest.mark.parametrize(("arch", "mod"), NO_HEADS)
def test_checkpoints_fit_both_ways(arch: str, mod: str) -> None:
    torch.manual_seed(5)
    plain, model = zoo.create(arch), zoo.create(f"{arch}+{mod}")
    assert list(model.state_dict()) == list(plain.state_dict())
    assert [n for n, _ in model.named_parameters()] == [n for n, _ in plain.named_parameters()]
    assert [n for n, _ in model.named_buffers()] == [n for n, _ in plain.named_buffers()]
    model.load_state_dict(shared(arch).state_dict(), strict=True)
    plain.load_state_dict(variant(arch, mod).state_dict(), strict=True)
    assert_equal(run(model.eval(), inputs(arch)), run(variant(arch, mod), inputs(arch)))
    assert_equal(run(plain.eval(), inputs(arch)), run(shared(arch), inputs(arch)))


@pytest.mark.parametrize(("arch", "mod"), HEADS)
def test_heads_rename_nothing(arch: str, mod: str) -> None:
    plain, model = list(shared(arch).state_dict()), list(variant(arch, mod).state_dict())
    gone = [name for name in plain if name not in model]
    new = [name for name in model if name not in plain]
    head = gone[0].removesuffix(".weight")
    assert gone == [f"{head}.weight", f"{head}.bias"]
    assert new == [f"{head}.a.weight", f"{head}.a.bias", f"{head}.b.weight", f"{head}.b.bias"]
    assert [n for n in plain if n not in gone] == [n for n in model if n not in new]
    result = zoo.create(f"{arch}+{mod}").load_state_dict(shared(arch).state_dict(), strict=False)
    assert result.unexpected_keys == gone
    assert result.missing_keys == new


# Sharing survives


@every
def test_sharing_survives(arch: str, mod: str) -> None:
    """One layer of each kind put in two places, and one more parameter tied: pairs stay pairs, kept or replaced."""
    model = base(arch)
    pairs = tie(model)
    assert pairs
    zoo.modify(model, mod)
    for one, other in pairs:
        assert held(model, one) is held(model, other), (one, other)
    run(model.eval(), inputs(arch))


def tie(model: nn.Module) -> list[tuple[str, str]]:
    """Put the first of two like layers in the place of the second; the same for parameters of like shape."""
    layers, shapes = defaultdict(list), defaultdict(list)
    for path, module in model.named_modules():
        if not module._modules and not isinstance(module, nn.Identity):
            layers[type(module), repr(module)].append(path)
    pairs = [tuple(paths[:2]) for paths in layers.values() if len(paths) > 1]
    for name, parameter in model.named_parameters():
        shapes[tuple(parameter.shape)].append(name)
    pairs += [tuple(names[-2:]) for names in shapes.values() if len(names) > 1]
    for one, other in pairs:
        parent, _, name = other.rpartition(".")
        setattr(model.get_submodule(parent), name, held(model, one))
    return pairs


def held(model: nn.Module, path: str) -> Any:
    parent, _, name = path.rpartition(".")
    return getattr(model.get_submodule(parent), name)


# Copies, processes, devices


@every
def test_deepcopy_is_equal_and_independent(arch: str, mod: str) -> None:
    model, x = variant(arch, mod), inputs(arch)
    other = copy.deepcopy(model)
    assert_equal(run(other, x), run(model, x))
    assert_equal(run(other.train(), x), run(copy.deepcopy(model).train(), x))
    expected = run(model, x)
    assert not {id(t) for t in named_tensors(other).values()} & {id(t) for t in named_tensors(model).values()}
    with torch.no_grad():
        for tensor in named_tensors(other).values():
            tensor.zero_()
    zoo.modify(other, "act(tanh)")
    assert_equal(run(model, x), expected)
    assert zoo.spec_of(other) == zoo.spec_of(model) + "act(name=tanh)"


@every
def test_pickle(arch: str, mod: str) -> None:
    assert_same_model(pickle.loads(pickle.dumps(variant(arch, mod))), variant(arch, mod), inputs(arch))


@pytest.mark.parametrize(("arch", "mod"), ALL_MODS)
def test_saved_whole_by_torch(arch: str, mod: str) -> None:
    torch.save(variant(arch, mod), buffer := io.BytesIO())
    other = torch.load(io.BytesIO(buffer.getvalue()), weights_only=False)
    assert_same_model(other, variant(arch, mod), inputs(arch))


def assert_same_model(other: nn.Module, model: nn.Module, x: Tensor) -> None:
    assert type(other) is type(model)
    assert_equal(run(other, x), run(model, x))
    assert_equal(run(other.train(), x), run(copy.deepcopy(model).train(), x))
    assert (zoo.spec_of(other), zoo.changes(other)) == (zoo.spec_of(model), zoo.changes(model))


@every
def test_created_on_meta(arch: str, mod: str) -> None:
    model, real = zoo.create(f"{arch}+{mod}", device="meta"), variant(arch, mod)
    assert all(t.is_meta for t in named_tensors(model).values())
    assert {n: (t.shape, t.dtype) for n, t in model.state_dict().items()} == {
        n: (t.shape, t.dtype) for n, t in real.state_dict().items()
    }
    assert zoo.changes(model) == zoo.changes(real)
    assert zoo.spec_of(model) == zoo.spec_of(real)
    outputs = [out.shape for out in run(model.eval(), inputs(arch).to("meta"))]
    assert outputs == [out.shape for out in run(real, inputs(arch))]


@every
def test_modified_on_meta(arch: str, mod: str) -> None:
    model = zoo.modify(zoo.create(arch, device="meta"), mod)
    assert all(t.is_meta for t in named_tensors(model).values())
    model.to_empty(device="cpu").load_state_dict(variant(arch, mod).state_dict())
    assert list(model.state_dict()) == list(variant(arch, mod).state_dict())


@every
def test_created_in_bfloat16(arch: str, mod: str) -> None:
    model = zoo.create(f"{arch}+{mod}", dtype=torch.bfloat16)
    assert {t.dtype for t in named_tensors(model).values() if t.is_floating_point()} == {torch.bfloat16}


# Signatures, compile and export


@every
def test_signature(arch: str, mod: str) -> None:
    """Trainers and torch.export look at the names and defaults of a forward's parameters."""
    expected = list(inspect.signature(shared(arch).forward).parameters.values())
    got = list(inspect.signature(variant(arch, mod).forward).parameters.values())
    if "heads" in mod:
        task = got.pop()
        assert (task.name, task.kind, task.default) == ("task", inspect.Parameter.KEYWORD_ONLY, None)
    assert [(p.name, p.kind, p.default) for p in got] == [(p.name, p.kind, p.default) for p in expected]


@pytest.fixture
def _fresh_dynamo() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize(("arch", "mod"), COMPILED)
@pytest.mark.usefixtures("_fresh_dynamo")
def test_compiles_to_one_graph(arch: str, mod: str) -> None:
    model, x = variant(arch, mod), inputs(arch)
    assert_close(run(torch.compile(model, fullgraph=True, backend="eager"), x), run(model, x))


FEW_MODS = [case for case in ALL_MODS if case.values[0] in QUICK or case.id.startswith("vit")]


@pytest.mark.parametrize(("arch", "mod"), FEW_MODS)
@pytest.mark.usefixtures("_fresh_dynamo")
def test_compiles_in_train_mode(arch: str, mod: str) -> None:
    """The same dropout mask, since the eager backend draws as eager mode does."""
    model, x = copy.deepcopy(variant(arch, mod)).train(), inputs(arch)
    expected = run(copy.deepcopy(model), x)
    assert_close(run(torch.compile(model, fullgraph=True, backend="eager"), x), expected)


@pytest.mark.parametrize("arch", ["simple", pytest.param("convnet", marks=pytest.mark.slow)])
@pytest.mark.usefixtures("_fresh_dynamo")
def test_compiles_with_inductor(arch: str) -> None:
    model, x = variant(arch, chain(arch)), inputs(arch)
    compiled = torch.compile(model, fullgraph=True)
    assert_close(run(compiled, x), run(model, x))


@pytest.mark.parametrize(("arch", "mod"), FEW_MODS)
@pytest.mark.usefixtures("_fresh_dynamo")
def test_compiles_with_a_task(arch: str, mod: str) -> None:
    model, x = variant(arch, mod), inputs(arch)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    assert_close(run(compiled, x, task="b"), run(model, x)[1:])


@pytest.mark.parametrize(("arch", "mod"), COMPILED)
@pytest.mark.parametrize("strict", [True, False], ids=["strict", "non-strict"])
@pytest.mark.usefixtures("_fresh_dynamo")
def test_exports(arch: str, mod: str, strict: bool) -> None:
    model, x = variant(arch, mod), inputs(arch)
    exported = torch.export.export(model, (x,), strict=strict).module()
    assert_close(run(exported, x), run(model, x))


@pytest.mark.parametrize(("arch", "mod"), FEW_MODS)
@pytest.mark.parametrize("strict", [True, False], ids=["strict", "non-strict"])
@pytest.mark.usefixtures("_fresh_dynamo")
def test_exports_with_a_named_dynamic_batch(arch: str, mod: str, strict: bool) -> None:
    model, x = variant(arch, mod), inputs(arch)
    sizes = {"x": {0: torch.export.Dim("batch", min=2)}}
    exported = torch.export.export(model, (x,), dynamic_shapes=sizes, strict=strict).module()
    more = torch.cat([x, x, x])
    assert_close(run(exported, more), run(model, more))


@pytest.mark.parametrize(("arch", "mod"), FEW_MODS)
@pytest.mark.usefixtures("_fresh_dynamo")
def test_exports_with_a_task(arch: str, mod: str) -> None:
    model, x = variant(arch, mod), inputs(arch)
    exported = torch.export.export(model, (x,), {"task": "b"}, strict=False).module()
    assert_close(run(exported, x, task="b"), run(model, x)[1:])
