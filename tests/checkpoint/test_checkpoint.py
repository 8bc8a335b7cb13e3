"""`zoo.save` and `zoo.load`: one file is the model, weights, structure, modes, ties and all."""

from __future__ import annotations

import argparse
import copy
import json
import os
import stat
import types
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from click.testing import CliRunner
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

import zoo
from tests.conftest import World
from tests.whole.test_field import MODS, SMALLEST, image_size, run, same
from zoo.cli.main import main
from zoo.factory.skip_init import SkipInit

FILES = Path(__file__).parents[1] / "data"
QUICK = ("test_resnet", "test_vit", "test_convnext", "test_efficientnet", "test_nfnet")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def back(model: nn.Module, path: Path, **options: Any) -> nn.Module:
    zoo.save(model, path)
    return zoo.load(path, **options)


def there(model: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers, those outside of the state dict too."""
    return {
        **dict(model.named_parameters(remove_duplicate=False)),
        **dict(model.named_buffers(remove_duplicate=False)),
    }


# -- round trips ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in SMALLEST])
def test_the_field_comes_back(name: str, path: Path) -> None:
    model = zoo.create(name)
    for mod in MODS[1:]:
        try:
            model = zoo.modify(model, mod)
        except zoo.NotApplicableError:
            continue
    if not zoo.spec_of(model).without("heads").parts:
        model = zoo.modify(model, MODS[0])
    model.eval()
    x = torch.randn(1, *image_size(name))
    torch.manual_seed(1)
    loaded = back(model, path)
    assert torch.initial_seed() == 1
    assert same(run(loaded, x), run(model, x))
    assert list(loaded.state_dict()) == list(model.state_dict())
    assert type(loaded) is type(model)
    assert zoo.spec_of(loaded) == zoo.spec_of(model)
    assert zoo.changes(loaded) == zoo.changes(model)
    old, new = there(model), there(loaded)
    assert old.keys() == new.keys()
    assert all(torch.equal(old[key], new[key]) or bool(old[key].isnan().any()) for key in old)
    assert ties(model) == ties(loaded)


def ties(model: nn.Module) -> set[tuple[str, ...]]:
    names: dict[int, tuple[str, ...]] = {}
    for name, tensor in there(model).items():
        names[id(tensor)] = (*names.get(id(tensor), ()), name)
    return set(names.values())


@pytest.mark.parametrize("name", ["convnet", pytest.param("resnet10t", marks=pytest.mark.slow)])
def test_every_example_of_every_modifier_comes_back(name: str, path: Path) -> None:
    seen = set()
    for variant in zoo.list_variants(name):
        if not variant.applies:
            continue
        seen.add(variant.modifier)
        model = zoo.create(variant.spec)
        loaded = back(model, path)
        assert list(loaded.state_dict()) == list(model.state_dict()), variant.spec
        assert [p.requires_grad for p in loaded.parameters()] == [p.requires_grad for p in model.parameters()]
        for mode in (True, False):
            assert [m.training for m in loaded.modules()] == [m.training for m in model.modules()], variant.spec
            loaded.train(mode)
            model.train(mode)
        x = torch.randn(2, next(p for p in model.parameters() if p.ndim == 4).shape[1], 32, 32)
        assert same(run(loaded, x), run(model, x)), variant.spec
        assert zoo.changes(loaded) == zoo.changes(model)
    assert {"act", "bn", "dropout", "freeze", "heads", "switch"} <= seen


def test_options_in_a_row_come_back(path: Path) -> None:
    model = zoo.create("convnet+heads(a=3, b=2, c=1)+drop_heads(a, c)+switch_act(silu, gelu)")
    loaded = back(model, path)
    x = torch.randn(1, 3, 16, 16)
    assert zoo.spec_of(loaded) == zoo.spec_of(model)
    assert same(run(loaded, x), run(model, x))
    assert zoo.read_manifest(path).parts[2:] == ("drop_heads(a, c)", "switch_act(silu, gelu, at=*)")


def test_torchvision_comes_back(path: Path) -> None:
    model = zoo.create("torchvision/squeezenet1_1(num_classes=3)+act(silu)").eval()
    x = torch.randn(1, 3, 64, 64)
    assert torch.equal(run(back(model, path), x), run(model, x))


def test_the_file_is_plain_safetensors_that_others_read(path: Path) -> None:
    model = zoo.create("resnet10t(num_classes=3)+dropout(0.1)")
    zoo.save(model, path)
    plain = load_file(path)
    assert plain.keys() == model.state_dict().keys()
    assert all(torch.equal(plain[name], value) for name, value in model.state_dict().items())
    assert timm.create_model("resnet10t", num_classes=3, checkpoint_path=str(path)).fc.out_features == 3
    with safe_open(path, "pt") as file:
        assert set(file.metadata()) == {"format", "zoo"}
        assert file.metadata()["format"] == "pt"
        manifest = file.metadata()["zoo"]
    assert manifest == json.dumps(json.loads(manifest), sort_keys=True, separators=(",", ":"))


def test_same_model_same_bytes(tmp_path: Path) -> None:
    model = zoo.create("simple+act(silu)+heads(a=1, b=2)")
    zoo.save(model, tmp_path / "a.safetensors")
    zoo.save(copy.deepcopy(model), tmp_path / "b.safetensors")
    zoo.save(zoo.load(tmp_path / "a.safetensors"), tmp_path / "c.safetensors")
    first, *others = [(tmp_path / f"{name}.safetensors").read_bytes() for name in "abc"]
    assert others == [first, first]


def test_the_manifest_says_how_it_is_built_again(path: Path) -> None:
    zoo.save(zoo.create("mlp(hidden=[8])+act(silu)+dropout").eval(), path, step=7)
    manifest = zoo.read_manifest(path)
    assert str(manifest.spec) == "mlp(hidden=(8,))+act(name=silu)+dropout"
    assert manifest.parts == (
        "mlp(hidden=(8,), in_features=784, num_classes=10)",
        "act(name=silu, at=*)",
        "dropout(p=0.5, at=head)",
    )
    assert [(o.owner, o.distribution) for o in manifest.owners] == [("zoo", "plugzoo")] * 3
    assert manifest.versions["torch"] == torch.__version__.partition("+")[0]
    assert [change.what for change in manifest.changes] == ["replaced", "inserted before"]
    assert (manifest.step, manifest.training, manifest.format) == (7, False, 1)


def test_a_default_that_changes_later_does_not_change_old_files(path: Path) -> None:
    def registry(p: float) -> zoo.Registry:
        @zoo.modifier
        def drop(model: nn.Module, /, p: float = p) -> nn.Module:
            """Dropout in front of the head."""
            return zoo.insert_before(model, "layers3", nn.Dropout(p))

        import zoo_archs

        plugin = types.ModuleType("plugin")
        plugin.zoo_modifiers = zoo.hookimpl(specname="zoo_modifiers")(lambda: [drop])  # type: ignore[attr-defined]
        return zoo.Registry.of(zoo_archs, plugin)

    then, now = registry(0.1), registry(0.9)
    zoo.save(zoo.create("simple+drop", registry=then), path, registry=then)
    loaded = zoo.load(path, registry=now)
    assert [m.p for m in loaded.modules() if isinstance(m, nn.Dropout)] == [0.1]
    assert str(zoo.spec_of(loaded)) == "simple+drop(p=0.1)"
    assert str(zoo.spec_of(zoo.load(path, registry=then))) == "simple+drop"


def test_a_chain_that_is_longer_than_a_text_may_be(path: Path) -> None:
    model = zoo.create("simple")
    for number in range(40):
        model = zoo.modify(model, f"append(layer{number}=Linear(2, 2))")
    x = torch.randn(2, 100)
    assert torch.equal(run(back(model, path), x), run(model, x))


# -- how it stood -----------------------------------------------------------------------------------------------------


def test_a_part_that_is_longer_than_a_text_may_be(path: Path) -> None:
    @zoo.arch()
    def layer(*sizes: int) -> nn.Module:
        """A layer."""
        return nn.Linear(len(sizes), 1)

    plugin = types.ModuleType("plugin")
    plugin.zoo_archs = zoo.hookimpl(specname="zoo_archs")(lambda: [layer])  # type: ignore[attr-defined]
    registry = zoo.Registry.of(plugin)
    model = zoo.create(f"layer({','.join(['2'] * 1500)})", registry=registry)
    assert len(str(zoo.spec_of(model))) > 4096
    zoo.save(model, path, registry=registry)
    loaded = zoo.load(path, registry=registry)
    assert zoo.spec_of(loaded) == zoo.spec_of(model) == zoo.read_manifest(path).spec
    assert torch.equal(loaded.weight, model.weight)
    assert zoo.load(path, into=model) is model


def test_a_registry_where_a_name_is_clear_reads_a_file_from_where_it_was_not(path: Path) -> None:
    import zoo_archs

    def plugin(name: str) -> Any:
        @zoo.modifier(name="se")
        def se(model: nn.Module, /, p: float = 0.1) -> nn.Module:
            """Dropout in front of the head."""
            return zoo.insert_before(model, "layers3", nn.Dropout(p))

        made = types.ModuleType(name)
        made.zoo_modifiers = zoo.hookimpl(specname="zoo_modifiers")(lambda: [se])  # type: ignore[attr-defined]
        return zoo.registry.entry_points.Plugin(name, name, "0", name, name), made

    own = (zoo.registry.entry_points.Plugin("archs", "plugzoo", "0", "zoo", "zoo_archs"), zoo_archs)
    alone, crowd = zoo.Registry([own, plugin("zoo-a")]), zoo.Registry([own, plugin("zoo-a"), plugin("zoo-b")])
    model = zoo.create("simple+se(0.2)", registry=alone)
    for there, here in ((alone, crowd), (crowd, alone)):
        if there is crowd:
            model = zoo.create("simple+zoo-a/se(0.2)", registry=crowd)
        zoo.save(model, path, registry=there)
        assert [m.p for m in zoo.load(path, registry=here).modules() if isinstance(m, nn.Dropout)] == [0.2]


def test_modes_gradients_and_training_come_back(path: Path) -> None:
    model = zoo.create("convnet").train()
    model.blocks[0].eval()
    model.blocks[0].requires_grad_(False)
    loaded = back(model, path)
    assert {n: m.training for n, m in loaded.named_modules()} == {n: m.training for n, m in model.named_modules()}
    assert {n: p.requires_grad for n, p in loaded.named_parameters()} == {
        n: p.requires_grad for n, p in model.named_parameters()
    }
    assert loaded.train() is loaded
    loaded(torch.randn(2, 3, 8, 8)).sum().backward()
    assert loaded.head.weight.grad is not None
    assert loaded.blocks[0].conv.weight.grad is None


def test_dtype_and_memory_format_come_back(path: Path) -> None:
    model = zoo.create("test_vit+dropout(0.1)", dtype=torch.bfloat16)
    model.norm.float()
    loaded = back(model, path)
    assert {n: t.dtype for n, t in there(loaded).items()} == {n: t.dtype for n, t in there(model).items()}
    net = zoo.create("convnet").to(memory_format=torch.channels_last)
    other = back(net, path)
    assert other.blocks[1].conv.weight.stride() == net.blocks[1].conv.weight.stride()
    assert torch.equal(other.blocks[1].conv.weight, net.blocks[1].conv.weight)


def test_dtype_and_device_can_be_asked_for(path: Path) -> None:
    model = zoo.create("simple")
    half = back(model, path, dtype=torch.float16)
    assert {t.dtype for t in there(half).values()} == {torch.float16, torch.int64}
    assert torch.equal(half.layers1[0].weight, model.layers1[0].weight.half())
    meta = zoo.load(path, device="meta")
    assert all(t.is_meta for t in there(meta).values())
    with torch.device("meta"):
        assert all(t.is_meta for t in there(zoo.load(path)).values())


def test_a_file_in_another_precision_fills_the_model_in_its_own(path: Path) -> None:
    model = zoo.create("simple")
    zoo.save(model, path)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    save_file({name: t.half() if t.is_floating_point() else t for name, t in load_file(path).items()}, path, metadata)
    loaded = zoo.load(path)
    assert loaded.layers1[0].weight.dtype == torch.float32
    assert torch.equal(loaded.layers1[0].weight, model.layers1[0].weight.half().float())


def test_tied_weights_are_stored_once_and_come_back_tied(path: Path) -> None:
    model = zoo.create("mlp(in_features=8, hidden=[8, 8], num_classes=8)")
    model.layers[2].weight = model.layers[0].weight  # by hand
    model.layers[4].weight = nn.Parameter(model.layers[0].weight.detach())  # another parameter, the same memory
    loaded = back(model, path)
    assert "layers.2.weight" not in load_file(path)
    assert "layers.4.weight" not in load_file(path)
    assert loaded.layers[2].weight is loaded.layers[0].weight
    assert loaded.layers[4].weight is not loaded.layers[0].weight
    assert loaded.layers[4].weight.data_ptr() == loaded.layers[0].weight.data_ptr()
    assert loaded.layers[3] is not loaded.layers[1]
    assert same(run(loaded, torch.ones(1, 8)), run(model, torch.ones(1, 8)))
    untied = zoo.create("mlp(in_features=8, hidden=[8, 8], num_classes=8)", weights=path)
    assert torch.equal(untied.layers[4].weight, model.layers[0].weight)


def test_weights_that_the_spec_ties_and_the_file_does_not(path: Path) -> None:
    @zoo.arch(sample=(4,))
    def twins() -> nn.Module:
        """Two layers with one weight."""
        net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
        net[1].weight = net[0].weight
        return net

    plugin = types.ModuleType("plugin")
    plugin.zoo_archs = zoo.hookimpl(specname="zoo_archs")(lambda: [twins])  # type: ignore[attr-defined]
    registry = zoo.Registry.of(plugin)
    model = zoo.create("twins", registry=registry)
    zoo.save(model, path, registry=registry)
    assert ties(zoo.load(path, registry=registry)) == ties(model)
    model[1].weight = nn.Parameter(torch.randn(4, 4))
    zoo.save(model, path, registry=registry)
    loaded = zoo.load(path, registry=registry)
    assert torch.equal(loaded[0].weight, model[0].weight)
    assert torch.equal(loaded[1].weight, model[1].weight)


def test_two_models_of_one_file_share_nothing(path: Path) -> None:
    zoo.save(zoo.create("convnet"), path)
    content = path.read_bytes()
    one, two = zoo.load(path), zoo.load(path)
    before = {name: value.clone() for name, value in two.state_dict().items()}
    one.train()
    optimizer = torch.optim.SGD(one.parameters(), lr=1.0)
    one(torch.randn(4, 3, 8, 8)).sum().backward()
    optimizer.step()
    assert not torch.equal(one.blocks[0].norm.running_mean, before["blocks.0.norm.running_mean"])
    assert all(torch.equal(value, before[name]) for name, value in two.state_dict().items())
    assert path.read_bytes() == content, "training leaves the file as it is"


def test_saving_over_the_file_that_is_mapped(path: Path) -> None:
    model = zoo.create("convnet")
    loaded = back(model, path)
    zoo.save(zoo.create("convnet"), path)
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in model.state_dict().items())
    zoo.save(loaded, path)
    path.write_bytes(b"")
    with pytest.raises(zoo.CheckpointError, match="the file is empty"):
        zoo.load(path)


def test_private_memory_outlives_the_file(path: Path) -> None:
    model = zoo.create("convnet")
    loaded = back(model, path, mmap=False)
    path.write_bytes(b"")  # which would end the process of a mapped model
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("mmap", [True, False])
def test_a_file_whose_tensors_lie_askew(path: Path, mmap: bool) -> None:
    model = zoo.create("simple")
    zoo.save(model, path)
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    path.write_bytes((length + 3).to_bytes(8, "little") + content[8 : 8 + length] + b"   " + content[8 + length :])
    assert same(run(zoo.load(path, mmap=mmap), torch.ones(1, 100)), run(model, torch.ones(1, 100)))


def test_the_callers_random_numbers_go_on_undisturbed(path: Path) -> None:
    zoo.save(zoo.create("test_vit+act(silu)+heads(a=3)"), path)
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    zoo.load(path)
    assert torch.equal(torch.rand(2), wanted)


def test_a_modifier_that_reads_or_draws_weights_is_given_some(path: Path) -> None:
    @zoo.modifier
    def halve(model: nn.Module, /) -> nn.Module:
        """Halve the weights, which must be numbers."""
        weight = model.layers1[0].weight  # type: ignore[index, union-attr]
        assert float(weight.detach().abs().max()) <= 0.1 + 1e-6, "Linear(100, 100) draws from ±0.1"  # type: ignore[operator]
        with torch.no_grad():
            weight.mul_(0.5)  # type: ignore[operator, union-attr]
        return model

    import zoo_archs

    plugin = types.ModuleType("plugin")
    plugin.zoo_modifiers = zoo.hookimpl(specname="zoo_modifiers")(lambda: [halve])  # type: ignore[attr-defined]
    registry = zoo.Registry.of(zoo_archs, plugin)
    model = zoo.create("simple", registry=registry)
    zoo.modify(model, "halve", registry=registry)
    zoo.save(model, path, registry=registry)
    loaded = zoo.load(path, registry=registry)
    assert torch.equal(loaded.layers1[0].weight, model.layers1[0].weight)


@pytest.mark.parametrize("name", ["test_vit", "test_efficientnet", "test_convnext", "resnet10t"])
def test_what_is_built_without_drawing_draws_nothing_and_has_its_buffers(name: str) -> None:
    state = torch.get_rng_state()
    with SkipInit():
        model = timm.create_model(name)
        nn.init.trunc_normal_(next(model.parameters()))
    assert torch.equal(torch.get_rng_state(), state)
    drawn = dict(timm.create_model(name).named_buffers())
    assert not torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(buffer, drawn[path]) for path, buffer in model.named_buffers())
    plain = torch.ones(3).mul_(2)  # only parameters are left alone
    with SkipInit():
        assert torch.equal(plain.add_(1), torch.full((3,), 3.0))


def test_a_parameter_that_the_model_does_not_list_is_drawn_all_the_same(path: Path) -> None:
    @zoo.arch(sample=(4,))
    def hidden() -> nn.Module:
        """A layer with a weight in a list, where no state dict sees it."""
        net = nn.Linear(4, 4)
        net.others = [nn.Parameter(torch.empty(1000))]
        nn.init.constant_(net.others[0], 3.0)
        return net

    plugin = types.ModuleType("plugin")
    plugin.zoo_archs = zoo.hookimpl(specname="zoo_archs")(lambda: [hidden])  # type: ignore[attr-defined]
    registry = zoo.Registry.of(plugin)
    zoo.save(zoo.create("hidden", registry=registry), path, registry=registry)
    loaded: Any = zoo.load(path, registry=registry)
    assert torch.equal(loaded.others[0].detach(), torch.full((1000,), 3.0))


@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_lazy_layers_come_back_with_the_shapes_they_got(path: Path) -> None:
    @zoo.arch(sample=(8,))
    def lazy() -> nn.Module:
        """A layer that learns its width from the first input."""
        return nn.Sequential(nn.LazyLinear(3))

    plugin = types.ModuleType("plugin")
    plugin.zoo_archs = zoo.hookimpl(specname="zoo_archs")(lambda: [lazy])  # type: ignore[attr-defined]
    registry = zoo.Registry.of(plugin)
    model = zoo.create("lazy", registry=registry)
    with pytest.raises(zoo.CheckpointError) as raised:
        zoo.save(model, path, registry=registry)
    assert str(raised.value) == "can't save: '0.weight' has no shape yet; run a forward first"
    x = torch.randn(2, 8)
    wanted = run(model, x)
    zoo.save(model, path, registry=registry)
    assert torch.equal(run(zoo.load(path, registry=registry), x), wanted)


# -- options, and other models ----------------------------------------------------------------------------------------


def test_options_can_be_overridden(path: Path) -> None:
    zoo.save(zoo.create("mlp(hidden=[8])+dropout(0.1)+act(silu)+dropout(0.2, at=stem)"), path)
    loaded = zoo.load(path, **{"1.p": 0.3, "act.name": "gelu"})
    assert str(zoo.spec_of(loaded)) == "mlp(hidden=(8,))+dropout(p=0.3)+act(name=gelu)+dropout(p=0.2, at=stem)"
    assert [m.p for m in loaded.modules() if isinstance(m, nn.Dropout)] == [0.2, 0.3]
    assert "gelu" in str(zoo.changes(loaded)).lower()
    model = zoo.create("test_resnet")
    assert back(model, path, drop_rate=0.25).drop_rate == 0.25


def stood(model: nn.Module) -> tuple[dict[str, bool], dict[str, bool]]:
    modes = {path: module.training for path, module in model.named_modules()}
    return modes, {name: p.requires_grad for name, p in model.named_parameters()}


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize(
    ("mods", "overrides", "wanted"),
    [
        ("freeze(blocks.0)", {"freeze.at": "blocks.1"}, "freeze(blocks.1)"),
        ("freeze(blocks.0, bn_stats=False)", {"freeze.bn_stats": True}, "freeze(blocks.0)"),
        ("freeze(blocks.0)", {"freeze.bn_stats": False}, "freeze(blocks.0, bn_stats=False)"),
        ("freeze+unfreeze(blocks.0)", {"unfreeze.at": "blocks.1"}, "freeze+unfreeze(blocks.1)"),
        ("freeze(blocks.0)+dropout(0.1)", {"dropout.p": 0.3}, "freeze(blocks.0)+dropout(0.3)"),
    ],
)
def test_an_override_of_what_is_frozen_counts(
    mods: str, overrides: dict[str, Any], wanted: str, train: bool, path: Path
) -> None:
    loaded = back(zoo.create(f"convnet+{mods}").train(train), path, **overrides)
    made = zoo.create(f"convnet+{wanted}").train(train)
    assert stood(loaded) == stood(made)
    assert stood(loaded.train()) == stood(made.train())
    assert not zoo.verify(loaded)


def test_what_was_frozen_by_hand_stays_so_beside_an_override(path: Path) -> None:
    model = zoo.create("convnet+freeze(blocks.0)")
    model.head.requires_grad_(False)
    model.blocks[0].conv.requires_grad_(True)
    model.blocks[1].eval()
    loaded = back(model, path, **{"freeze.at": "blocks.2"})
    made = zoo.create("convnet+freeze(blocks.2)")
    made.head.requires_grad_(False)
    made.blocks[1].eval()
    assert stood(loaded) == stood(made)


SHOWN = "dropout(p: float ≥ 0 ≤ 1 = 0.5, at: Where = 'head')"


@pytest.mark.parametrize(
    ("overrides", "error", "text"),
    [
        (
            {"dropout.p": 0.3},
            zoo.OptionError,
            "dropout.p=0.3: 'dropout' stands 2 times in 'simple+dropout(p=0.1)+dropout(p=0.2, at=stem)'; say which, as "
            "'1.p' or '2.p'",
        ),
        ({"bn.eps": 1.0}, zoo.OptionError, "has no part 'bn'; its parts: dropout"),
        ({"1.rate": 1.0}, zoo.OptionError, f"dropout has no option 'rate'; did you mean 'at'?; its options: {SHOWN}"),
        ({"1.p": 7}, zoo.OptionError, "dropout: p is 7 (int); expected less than or equal to 1"),
        ({"width": 3}, zoo.OptionError, "simple has no option 'width'; its options: simple()"),
        ({"1.p": nn.ReLU}, zoo.OptionError, "can't be written in a spec, so no file can be built with it"),
    ],
)
def test_overrides_that_can_not_be(overrides: dict[str, Any], error: type, text: str, path: Path) -> None:
    zoo.save(zoo.create("simple+dropout(0.1)+dropout(0.2, at=stem)"), path)
    with pytest.raises(error) as raised:
        zoo.load(path, **overrides)
    assert text in str(raised.value)


def test_an_override_that_nothing_matches_is_told_in_words_of_the_spec(path: Path) -> None:
    zoo.save(zoo.create("simple+dropout(0.1)+act(silu)"), path)
    with pytest.raises(zoo.NoEffectError) as raised:
        zoo.load(path, **{"act.at": "nope"})
    end = "in part 2, 'act(name=silu, at=nope)', of 'simple+dropout(p=0.1)+act(name=silu, at=nope)'"
    assert str(raised.value).endswith(f"\n  {end}")


PATH = "a path is a text or a pathlib.Path, not "


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda path: zoo.save(zoo.create("simple"), 3), zoo.OptionError, f"{PATH}3 (int)"),
        (lambda path: zoo.save(zoo.create("simple"), b"a"), zoo.OptionError, f"{PATH}b'a' (bytes)"),
        (
            lambda path: zoo.save(zoo.create("simple"), "a\0b"),
            zoo.CheckpointError,
            "'a\\x00b' holds a null character, which no path can",
        ),
        (lambda path: zoo.load(None), zoo.OptionError, f"{PATH}None (NoneType)"),
        (lambda path: zoo.load("a\0b"), zoo.CheckpointError, "'a\\x00b' holds a null character, which no path can"),
        (lambda path: zoo.read_manifest(3), zoo.OptionError, f"{PATH}3 (int)"),
        (lambda path: zoo.load(path, into="x"), zoo.OptionError, "into= takes a live model, not 'x' (str)"),
        (
            lambda path: zoo.load(path, **{"": 1}),
            zoo.OptionError,
            "'' names no option; write num_classes=10, or **{'dropout.p': 0.3} of a modifier",
        ),
        (
            lambda path: zoo.load(path, **{"act.": 1}),
            zoo.OptionError,
            "'act.' names no option; write num_classes=10, or **{'dropout.p': 0.3} of a modifier",
        ),
    ],
)
def test_arguments_of_another_type(call: Any, error: type[zoo.ZooError], text: str, path: Path) -> None:
    zoo.save(zoo.create("simple"), path)
    with pytest.raises(error) as raised:
        call(path)
    assert str(raised.value) == text


OWN = """
import zoo
from torch import nn

class Net(nn.Linear):
    pass

@zoo.arch()
def own():
    '''A layer of a class that the plugin brings.'''
    return Net(2, 2)

@zoo.hookimpl
def zoo_archs():
    return [own]
"""


@pytest.mark.parametrize(("dist", "module"), [("zoo-sole", "zoo_sole"), ("zoo-dual", "other_name")])
def test_a_distribution_is_needed_once_whatever_its_module_is_called(
    world: World, dist: str, module: str, path: Path
) -> None:
    world.add(dist, OWN, module=module, version="2.0")
    registry = world.registry()
    zoo.save(zoo.create("own", registry=registry), path, registry=registry)
    manifest = zoo.read_manifest(path)
    assert manifest.versions.keys() == {"plugzoo", "torch", dist}
    assert f"needs       {dist} 2.0, torch {manifest.versions['torch']}\n" in str(manifest)


def test_an_override_that_changes_shapes_is_told_from_the_tensors(path: Path) -> None:
    zoo.save(zoo.create("mlp(hidden=[8])"), path)
    with pytest.raises(zoo.CheckpointError, match=r"layers.2.weight: float32\[3, 8\] by the spec, float32\[10, 8\]"):
        zoo.load(path, num_classes=3)


def test_an_option_that_only_timm_refuses(path: Path) -> None:
    zoo.save(zoo.create("test_resnet"), path)
    with pytest.raises(zoo.OptionError, match="unexpected keyword argument 'widht'"):
        zoo.load(path, widht=3)


def test_weights_go_into_a_live_model(path: Path) -> None:
    base = zoo.create("simple")
    zoo.save(base, path)
    variant = zoo.create("simple+act(silu)+dropout(0.1)")
    weight = variant.layers1[0].weight
    assert zoo.load(path, into=variant) is variant
    assert variant.layers1[0].weight is weight
    assert torch.equal(weight, base.layers1[0].weight)
    assert str(zoo.spec_of(variant)) == "simple+act(name=silu)+dropout(p=0.1)"
    half = zoo.create("simple", dtype=torch.bfloat16)
    zoo.load(path, into=half, mmap=False)
    assert torch.equal(half.layers1[0].weight, base.layers1[0].weight.bfloat16())


def test_into_leaves_the_model_untouched_on_any_error(path: Path) -> None:
    model = zoo.create("simple")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    zoo.save(zoo.create("simple+heads(a=3)"), path)
    text = r"9 weights matched\n  2 missing from the source: layers3.1.weight, layers3.1.bias\n  2 unexpected"
    with pytest.raises(zoo.CheckpointError, match=text):
        zoo.load(path, into=model)
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    with pytest.raises(zoo.CheckpointError, match="100 bytes are missing at the end"):
        zoo.load(path, into=model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="9 weights matched"):
        zoo.load(path, into=model, strict=False)
    assert not torch.equal(model.layers1[0].weight, before["layers1.0.weight"])
    with torch.inference_mode():
        stiff = zoo.create("simple+heads(a=3)")
    with pytest.raises(zoo.CheckpointError, match="was made in inference mode"):
        zoo.load(path, into=stiff)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"into": "model", "dtype": torch.half}, "into= takes the weights alone; dtype= would change the model"),
        ({"into": "model", "dropout.p": 0.1}, "into= takes the weights alone; dropout.p= would change the model"),
        ({"strict": False}, "map= and strict= say how weights get into another model"),
        ({"optimizer": "x"}, "an optimizer holds the parameters of a model that is there"),
    ],
)
def test_options_that_do_not_go_together(options: dict[str, Any], text: str, path: Path) -> None:
    model = zoo.create("simple")
    zoo.save(model, path)
    if "into" in options:
        options = {**options, "into": model}
    with pytest.raises(zoo.OptionError) as raised:
        zoo.load(path, **options)
    assert str(raised.value).startswith(text)


def test_renamed_parts_find_their_place(path: Path) -> None:
    backbone = timm.create_model("test_resnet")
    wrapped = {f"module.backbone.{name}": value for name, value in backbone.state_dict().items()}
    wrapped["module.classifier.weight"] = wrapped.pop("module.backbone.fc.weight")
    wrapped["module.classifier.bias"] = wrapped.pop("module.backbone.fc.bias")
    save_file(wrapped, path)
    names = {"module.backbone": "", "module.classifier": "fc"}
    x = torch.randn(1, 3, 64, 64)
    made = zoo.create("test_resnet+dropout(0.1)", weights=path, map=names)
    assert torch.equal(run(made, x), run(backbone, x))
    into = zoo.load(path, into=zoo.create("test_resnet"), map=names)
    assert torch.equal(run(into, x), run(backbone, x))
    report = zoo.carry(zoo.create("test_resnet"), wrapped, map=names)
    assert report.exact


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ({"fc": "head"}, "map: the source has nothing called 'fc'"),
        ({"layers1": "layers2"}, "map: both 'layers1.0.weight' and 'layers2.0.weight' would become 'layers2.0.weight'"),
    ],
)
def test_a_map_that_makes_no_sense(names: dict[str, str], text: str) -> None:
    model = zoo.create("simple")
    with pytest.raises(zoo.OptionError) as raised:
        zoo.carry(model, model.state_dict(), map=names)
    assert str(raised.value) == text


# -- what can't be saved ----------------------------------------------------------------------------------------------


def edited(change: Any) -> nn.Module:
    model = zoo.create("simple")
    change(model)
    return model


class Stateful(nn.Identity):
    def get_extra_state(self) -> Any:
        return {"a": 1}

    def set_extra_state(self, state: Any) -> None:
        pass


def overlapping(model: Any) -> None:
    memory = torch.zeros(150)
    model.layers1[0].bias = nn.Parameter(memory[:100])
    model.layers2[0].bias = nn.Parameter(memory[80:])


KEEP = "keep the weights alone: safetensors.torch.save_model(model, path)"


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: zoo.create("test_resnet", norm_layer=partial(nn.BatchNorm2d, eps=0.1)),
            "this ResNet can't be built again from its spec, 'test_resnet': norm_layer=functools.partial",
        ),
        (
            lambda: nn.Linear(2, 2),
            "this Linear wasn't made by zoo.create, so no file can say how it's built again; make its class an arch "
            f"(@zoo.arch()), or {KEEP}",
        ),
        (
            lambda: zoo.modify(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), "act(silu)"),
            "this Sequential wasn't made by zoo.create, so no file can say how it's built again",
        ),
        (
            lambda: zoo.create("simple", device="meta"),
            "can't save: 'layers1.0.weight' is on the meta device and has no",
        ),
        (
            lambda: edited(lambda m: setattr(m.layers1[0], "weight", nn.Parameter(torch.eye(100).to_sparse()))),
            "can't save: 'layers1.0.weight' is a Parameter of layout torch.sparse_coo; a file holds plain dense",
        ),
        (
            lambda: edited(lambda m: m.register_buffer("c", torch.zeros(2, dtype=torch.complex128))),
            "can't save: 'c' is of torch.complex128, which safetensors doesn't have",
        ),
        (
            lambda: edited(lambda m: m.register_buffer("__metadata__", torch.zeros(2))),
            "can't save: '__metadata__' has a name that files keep for themselves",
        ),
        (
            lambda: edited(lambda m: setattr(m, "extra", Stateful())),
            "'extra' (Stateful) has state that isn't tensors, which no file holds",
        ),
        (
            lambda: edited(overlapping),
            "can't save: 'layers1.0.bias' and 'layers2.0.bias' share a part of their memory; clone one of them, or "
            "make them the same tensor",
        ),
    ],
)
def test_what_can_not_be_saved(make: Any, text: str, path: Path) -> None:
    with pytest.raises(zoo.CheckpointError) as raised:
        zoo.save(make(), path)
    assert str(raised.value).startswith(text)
    assert not path.exists()


def test_a_model_that_was_edited_by_hand_is_told_from_its_spec(path: Path) -> None:
    model = zoo.create("simple")
    model.layers3[1] = nn.Linear(70, 5)
    model.more = nn.Linear(5, 1)
    for edited in (model, zoo.modify(model, "act(silu)")):
        with pytest.raises(zoo.CheckpointError) as raised:
            zoo.save(edited, path)
        assert str(raised.value) == (
            f"can't save: the weights aren't those of '{zoo.spec_of(edited)}', 4 differences:\n"
            "  layers3.1.weight: float32[2, 70] by the spec, float32[5, 70] in the model\n"
            "  layers3.1.bias: float32[2] by the spec, float32[5] in the model\n"
            "  more.weight: nothing by the spec, float32[1, 5] in the model\n"
            "  more.bias: nothing by the spec, float32[1] in the model\n"
            "say the edit in the spec, as zoo.modify(model, 'replace(...)') does, or " + KEEP
        )
    del model.more
    model.layers3[1] = nn.Linear(70, 2)
    assert torch.equal(back(model, path).layers3[1].weight, model.layers3[1].weight)


def gelu(model: Any) -> None:
    model.act1 = nn.GELU()


class ReLU(nn.ReLU):
    """Another one of the name."""


@pytest.mark.parametrize(
    ("spec", "change", "text"),
    [
        ("resnet10t", gelu, "  act1: ReLU by the spec, GELU in the model\n"),
        ("convnet", lambda m: setattr(m, "pool", ReLU()), "  pool: AdaptiveAvgPool2d by the spec, ReLU in the model\n"),
        (
            "convnet",
            lambda m: setattr(m.blocks[0], "act", ReLU()),
            f"  blocks.0.act: torch.nn.modules.activation.ReLU by the spec, {__name__}.ReLU in the model\n",
        ),
        ("convnet", lambda m: setattr(m, "loss", nn.MSELoss()), "  loss: nothing by the spec, MSELoss in the model\n"),
        ("convnet", lambda m: delattr(m.blocks[1], "act"), "  blocks.1.act: ReLU by the spec, nothing in the model\n"),
        (
            "convnet",
            lambda m: zoo.insert_before(m, "blocks.0.conv", nn.Dropout(0.1)),
            "  blocks.0.conv: Conv2d by the spec, Conv2d under Before in the model\n",
        ),
        (
            "convnet+freeze(blocks.0.norm)",
            nn.SyncBatchNorm.convert_sync_batchnorm,
            "  blocks.0.norm: BatchNorm2d under Held by the spec, SyncBatchNorm in the model\n",
        ),
        (
            "mobilenetv3_small_050",
            lambda m: setattr(m, "bn1", nn.SyncBatchNorm.convert_sync_batchnorm(m.bn1)),
            "  bn1: BatchNormAct2d by the spec, SyncBatchNorm in the model\n",
        ),
    ],
)
def test_an_edit_by_hand_without_weights_is_told_too(spec: str, change: Any, text: str, path: Path) -> None:
    model = zoo.create(spec)
    change(model)
    with pytest.raises(zoo.CheckpointError) as raised:
        zoo.save(model, path)
    assert str(raised.value).startswith(f"can't save: the modules aren't those of '{zoo.spec_of(model)}', ")
    assert text in str(raised.value)
    assert str(raised.value).endswith("say the edit in the spec, as zoo.modify(model, 'replace(...)') does, or " + KEEP)
    assert not path.exists()


@pytest.mark.parametrize(
    ("spec", "change"),
    [
        ("convnet+dropout(0.1)", nn.SyncBatchNorm.convert_sync_batchnorm),
        ("mobilenetv3_small_050", timm.layers.convert_sync_batchnorm),
        ("convnet", lambda model: nn.DataParallel(model)),
        ("convnet", lambda model: torch.compile(model)),
        ("convnet", lambda model: model.blocks[0].compile() or model),
        ("convnet", lambda model: copy.deepcopy(model).to(torch.bfloat16).requires_grad_(False)),
    ],
)
def test_what_training_makes_of_a_model_is_no_edit(spec: str, change: Any, path: Path) -> None:
    model = zoo.create(spec).eval()
    wanted = {name: value.clone() for name, value in model.state_dict().items()}
    loaded = back(change(model), path)
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, wanted[name].to(value.dtype))
    assert {type(m) for m in loaded.modules()} == {type(m) for m in zoo.create(spec).modules()}


def test_only_a_model_that_someone_else_edited_is_built_again_to_be_saved(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = zoo.modify(zoo.create("convnet+act(silu)"), "dropout(0.2)+append(head, PReLU(10))")
    monkeypatch.setattr("zoo.checkpoint.load.rebuild", None)
    zoo.save(model, path)


def test_a_step_is_an_integer(path: Path) -> None:
    with pytest.raises(zoo.OptionError) as raised:
        zoo.save(zoo.create("simple"), path, step=True)
    assert str(raised.value) == "step=True (bool); expected an int"


# -- files and folders ------------------------------------------------------------------------------------------------


def test_a_folder_is_in_hugging_faces_layout_and_timm_reads_it(tmp_path: Path) -> None:
    model = zoo.create("test_resnet(num_classes=5, in_chans=1)").eval()
    zoo.save(model, f"{tmp_path}/new/folder/")
    folder = tmp_path / "new" / "folder"
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "model.safetensors"]
    x = torch.randn(1, 1, 64, 64)
    assert torch.equal(run(zoo.load(folder), x), run(model, x))
    assert torch.equal(run(timm.create_model(f"local-dir:{folder}", pretrained=True), x), run(model, x))
    zoo.save(zoo.create("simple+act(silu)"), folder)
    config = json.loads((folder / "config.json").read_text())
    assert config == {"architectures": ["Simple"], "spec": "simple+act(name=silu)"}


def test_the_umasks_mode_and_symlinks(tmp_path: Path) -> None:
    real, link = tmp_path / "real.safetensors", tmp_path / "link.safetensors"
    link.symlink_to(real)
    old = os.umask(0o027)
    try:
        zoo.save(zoo.create("simple"), link)
    finally:
        os.umask(old)
    assert link.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert sorted(os.listdir(tmp_path)) == ["link.safetensors", "real.safetensors"]


def test_a_place_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "no" / "model.safetensors"
    with pytest.raises(zoo.CheckpointError) as raised:
        zoo.save(zoo.create("simple"), path)
    assert str(raised.value) == f"can't write '{path}': No such file or directory"


def test_a_name_that_points_outside_is_not_needed_any_more(tmp_path: Path, path: Path) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    config = {
        "architecture": "test_resnet",
        "num_classes": 7,
        "model_args": {"in_chans": 1, "drop_rate": 0.1},
        "pretrained_cfg": {"input_size": [1, 64, 64], "first_conv": "conv1", "classifier": "fc"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    model = zoo.create(f'local-dir:"{folder}"+act(silu)').eval()
    zoo.save(model, path)
    (folder / "config.json").unlink()
    loaded = zoo.load(path)
    x = torch.randn(1, 1, 64, 64)
    assert torch.equal(run(loaded, x), run(model, x))
    assert zoo.spec_of(loaded) == zoo.spec_of(model)
    assert (loaded.num_classes, loaded.drop_rate) == (7, 0.1)
    assert zoo.load(path, drop_rate=0.3).drop_rate == 0.3
    for live in (model, loaded):
        assert not zoo.verify(live), "what the name points to isn't opened again"
        assert str(zoo.spec_of(zoo.modify(live, "dropout(0.2)"))).endswith("+act(name=silu)+dropout(p=0.2)")
        assert sum(change.flops for change in zoo.changes(zoo.modify(live, "append(tail=Linear(7, 2))"))) == 28
        assert zoo.summary(live).modules["fc"].parameters == 96 * 7 + 7


def test_a_prefix_without_a_recipe_can_not_be_saved(path: Path) -> None:
    from zoo_archs import simple

    @zoo.family("mine", names=lambda: [], prefixes=["mine"])
    def mine(name: str, source: str | None) -> zoo.Arch | None:
        """Whatever the source says."""
        return simple if source else None

    plugin = types.ModuleType("plugin")
    plugin.zoo_families = zoo.hookimpl(specname="zoo_families")(lambda: [mine])  # type: ignore[attr-defined]
    registry = zoo.Registry.of(plugin)
    with pytest.raises(zoo.CheckpointError) as raised:
        zoo.save(zoo.create("mine:this", registry=registry), path, registry=registry)
    assert str(raised.value) == (
        "'mine:this' points outside of the file, and plugzoo gives no recipe to build it without that; " + KEEP
    )


@pytest.mark.parametrize("name", sorted(p.name for p in FILES.glob("format-*.safetensors")))
def test_files_of_every_released_format_still_load(name: str) -> None:
    loaded = zoo.load(FILES / name)
    assert str(zoo.spec_of(loaded)) == "simple+dropout(p=0.2)"
    x = torch.linspace(-1, 1, 300).view(3, 100)
    wanted = json.loads((FILES / name).with_suffix(".json").read_text())
    torch.testing.assert_close(run(loaded, x), torch.tensor(wanted))


def test_there_is_a_file_of_the_newest_format() -> None:
    from zoo.files.manifest import FORMAT

    assert [f"format-{n}.safetensors" for n in range(1, FORMAT + 1)] == sorted(
        p.name for p in FILES.glob("*.safetensors")
    )


# -- the command ------------------------------------------------------------------------------------------------------


def command(*args: Any) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(arg) for arg in args], env={"COLUMNS": "100"})
    return result.exit_code, result.output


def test_convert_makes_a_file_of_the_zoo(tmp_path: Path, path: Path) -> None:
    model = timm.create_model("test_resnet", num_classes=3).eval()
    old = tmp_path / "old.pt"
    torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in model.state_dict().items()}}, old)
    assert command("show", old) == (
        1,
        f"zoo: '{old}': this is a zip archive, as torch.save writes them, with a pickle inside, which can run code "
        f"when it's read, so the zoo doesn't; convert it once: zoo convert {old} {tmp_path}/old.safetensors SPEC\n",
    )
    spec = "test_resnet(num_classes=3)"
    assert command("convert", old, path, spec) == (0, f"{path}: {spec}\n")
    x = torch.randn(1, 3, 64, 64)
    assert torch.equal(run(zoo.load(path), x), run(model, x))
    save_file({k.replace("fc.", "top."): v for k, v in model.state_dict().items()}, tmp_path / "plain.safetensors")
    assert command("convert", tmp_path / "plain.safetensors", path, spec, "--map", "top=fc")[0] == 0
    assert torch.equal(run(zoo.load(path), x), run(model, x))
    code, output = command("convert", old, path, "test_resnet")
    assert code == 1
    assert "of another shape or kind: fc.weight (wants float32[1000, " in output


@pytest.mark.parametrize(
    ("keys", "taken"),
    [
        (["state_dict"], ""),
        (["state_dict", "state_dict_ema"], "state_dict_ema"),
        (["model", "model_ema"], "model_ema"),
        (["model_ema", "state_dict_ema"], "state_dict_ema"),
        (["model", "state_dict"], "state_dict"),
    ],
)
def test_convert_takes_the_weights_that_timm_takes(keys: list[str], taken: str, tmp_path: Path, path: Path) -> None:
    models = {key: timm.create_model("test_resnet", num_classes=3) for key in keys}
    old = tmp_path / "old.pt"
    held = {key: model.state_dict() for key, model in models.items()}
    torch.save({**held, "args": argparse.Namespace(lr=0.1, mean=(0.5,)), "epoch": 3}, old)
    spec = "test_resnet(num_classes=3)"
    behind = f", of '{taken}'" if taken else ""
    assert command("convert", old, path, spec) == (0, f"{path}: {spec}{behind}\n")
    timms = timm.models.load_state_dict(old, weights_only=False)
    assert all(torch.equal(value, timms[name]) for name, value in zoo.load(path).state_dict().items())


def test_convert_tells_how_to_read_lightnings_names(tmp_path: Path, path: Path) -> None:
    old = tmp_path / "old.ckpt"
    model = zoo.create("simple")
    torch.save({"state_dict": {f"model.{name}": value for name, value in model.state_dict().items()}}, old)
    code, output = command("convert", old, path, "simple")
    assert code == 1
    assert output.endswith("\nevery name starts with 'model.', as in Lightning's: --map model=\n")
    assert command("convert", old, path, "simple", "--map", "model=") == (0, f"{path}: simple\n")
    assert torch.equal(zoo.load(path).layers1[0].weight, model.layers1[0].weight)


def test_convert_runs_nothing(tmp_path: Path, path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "boom"),)

    torch.save({"state_dict": Bomb()}, tmp_path / "old.pt")
    code, output = command("convert", tmp_path / "old.pt", path, "simple")
    assert code == 1
    assert output.removeprefix(f"zoo: '{tmp_path}/old.pt'") == (
        " can't be read without running what's in it: it holds 'posix.mkdir'; where it was made, "
        "torch.save(model.state_dict(), path) writes one that can\n"
    )
    (tmp_path / "cut.pt").write_bytes((tmp_path / "old.pt").read_bytes()[:100])
    output = command("convert", tmp_path / "cut.pt", path, "simple")[1]
    assert output == f"zoo: '{tmp_path}/cut.pt' isn't a file of torch.save with weights alone, or is damaged\n"
    assert not (tmp_path / "boom").exists()
    torch.save([1], tmp_path / "list.pt")
    assert "holds a list; expected a state dict" in command("convert", tmp_path / "list.pt", path, "simple")[1]
    torch.save({"a": 1}, tmp_path / "int.pt")
    assert "'a' is no tensor; expected a state dict" in command("convert", tmp_path / "int.pt", path, "simple")[1]
    assert command("convert", "a", "b", "simple", "--map", "x")[0] == 2


def test_verify_and_diff_take_files(path: Path) -> None:
    model = zoo.create("simple+act(silu)")
    zoo.save(model, path)
    assert command("verify", path) == (0, f"simple+act(name=silu) and {path}: no difference\n")
    assert not zoo.verify(path)
    assert not zoo.diff(path, model)
    assert command("diff", path, "simple") == (
        0,
        f"{path} → simple: 2 differences, 17,452 parameters, 34,280 FLOPs\n"
        "└── layers1.1 … layers2.1: 2 × SiLU() → ReLU()\n",
    )
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    save_file(load_file(path) | {"layers1.0.bias": torch.zeros(3)}, path, metadata)
    code, output = command("verify", path)
    assert code == 1
    assert output.endswith("\n  layers1.0.bias: weight float32[100] → float32[3]\n")
    assert json.loads(command("verify", path, "--json")[1])[0]["name"] == "layers1.0.bias"


def test_show_sums_up_a_file(path: Path) -> None:
    zoo.save(zoo.create("simple+dropout(0.2)"), path)
    assert command("show", path, "--summary", "--depth", "1") == command(
        "show", "simple+dropout(0.2)", "--summary", "--depth", "1"
    )
    summed = json.loads(json.dumps(zoo.summary(zoo.load(path)).to_dict()))
    assert json.loads(command("show", path, "--summary", "--json")[1]) == summed
    code, output = command("show", path, "--depth", "2")
    assert code == 2
    assert "--depth goes with --summary" in output
    save_file({"a": torch.zeros(1)}, path)
    assert "has no manifest" in command("show", path, "--summary")[1]


def test_show_says_what_a_file_holds_even_without_its_plugins(path: Path) -> None:
    zoo.save(zoo.create("simple+dropout(0.2)"), path, step=3)
    code, output = command("show", path)
    assert code == 0
    assert "spec        simple+dropout(p=0.2)\n" in output
    assert (
        "tensors     11, 17,593 numbers, F32, I64\nchanges\n  dropout(p=0.2)\n    layers3.0: inserted before" in output
    )
    data = json.loads(command("show", path, "--json")[1])
    assert (data["spec"], data["step"], data["numbers"]) == ("simple+dropout(p=0.2)", 3, 17593)
