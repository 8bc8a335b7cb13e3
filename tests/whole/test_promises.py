"""What the zoo's modifiers promise, over one arch of each family, beyond what the kit asks of anyone's.

`test_conformance.py` runs the kit over the same models and modifiers.
"""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zoo
from tests.nets import run, tensors

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


def outputs(model: Any, x: Tensor, **kwargs: Any) -> list[Tensor]:
    return tensors(run(model, x, training=None, **kwargs))


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
    assert_equal(outputs(model, inputs(arch)), outputs(shared(arch), inputs(arch)))


# Weights and names survive


@pytest.mark.parametrize(("arch", "mod"), HEADS)
def test_trunk_methods_work_as_before(arch: str, mod: str) -> None:
    plain, model, x = shared(arch), variant(arch, mod), inputs(arch)
    if not hasattr(plain, "forward_features"):  # the zoo's own nets: the heads see what the classifier saw
        plain, model = (classifier_input(m) for m in (plain, model))
        assert_equal(outputs(model, x), outputs(plain, x))
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


# Compile and export


@pytest.mark.parametrize(("arch", "mod"), COMPILED)
@pytest.mark.usefixtures("_fresh_dynamo")
def test_compiles_to_one_graph(arch: str, mod: str) -> None:
    model, x = variant(arch, mod), inputs(arch)
    assert_close(outputs(torch.compile(model, fullgraph=True, backend="eager"), x), outputs(model, x))


FEW_MODS = [case for case in ALL_MODS if case.values[0] in QUICK or case.id.startswith("vit")]


@pytest.mark.parametrize(("arch", "mod"), FEW_MODS)
@pytest.mark.usefixtures("_fresh_dynamo")
def test_compiles_in_train_mode(arch: str, mod: str) -> None:
    """The same dropout mask, since the eager backend draws as eager mode does."""
    model, x = copy.deepcopy(variant(arch, mod)).train(), inputs(arch)
    expected = outputs(copy.deepcopy(model), x)
    assert_close(outputs(torch.compile(model, fullgraph=True, backend="eager"), x), expected)


@pytest.mark.parametrize("arch", ["simple", pytest.param("convnet", marks=pytest.mark.slow)])
@pytest.mark.usefixtures("_fresh_dynamo")
def test_compiles_with_inductor(arch: str) -> None:
    model, x = variant(arch, chain(arch)), inputs(arch)
    compiled = torch.compile(model, fullgraph=True)
    assert_close(outputs(compiled, x), outputs(model, x))


@pytest.mark.parametrize(("arch", "mod"), FEW_MODS)
@pytest.mark.usefixtures("_fresh_dynamo")
def test_compiles_with_a_task(arch: str, mod: str) -> None:
    model, x = variant(arch, mod), inputs(arch)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    assert_close(outputs(compiled, x, task="b"), outputs(model, x)[1:])


@pytest.mark.parametrize(("arch", "mod"), COMPILED)
@pytest.mark.parametrize("strict", [True, False], ids=["strict", "non-strict"])
@pytest.mark.usefixtures("_fresh_dynamo")
def test_exports(arch: str, mod: str, strict: bool) -> None:
    model, x = variant(arch, mod), inputs(arch)
    exported = torch.export.export(model, (x,), strict=strict).module()
    assert_close(outputs(exported, x), outputs(model, x))


@pytest.mark.parametrize(("arch", "mod"), FEW_MODS)
@pytest.mark.parametrize("strict", [True, False], ids=["strict", "non-strict"])
@pytest.mark.usefixtures("_fresh_dynamo")
def test_exports_with_a_named_dynamic_batch(arch: str, mod: str, strict: bool) -> None:
    model, x = variant(arch, mod), inputs(arch)
    sizes = {"x": {0: torch.export.Dim("batch", min=2)}}
    exported = torch.export.export(model, (x,), dynamic_shapes=sizes, strict=strict).module()
    more = torch.cat([x, x, x])
    assert_close(outputs(exported, more), outputs(model, more))


@pytest.mark.parametrize(("arch", "mod"), FEW_MODS)
@pytest.mark.usefixtures("_fresh_dynamo")
def test_exports_with_a_task(arch: str, mod: str) -> None:
    model, x = variant(arch, mod), inputs(arch)
    exported = torch.export.export(model, (x,), {"task": "b"}, strict=False).module()
    assert_close(outputs(exported, x, task="b"), outputs(model, x)[1:])
