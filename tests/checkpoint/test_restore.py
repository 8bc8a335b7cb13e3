"""What a file brings back beside the weights: modes, gradients, dtype, memory, ties; and nothing is drawn or shared."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

import zoo
from tests.nets import back, run, same, there, ties
from zoo.factory.skip_init import SkipInit


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
    for away, here in ((alone, crowd), (crowd, alone)):
        if away is crowd:
            model = zoo.create("simple+zoo-a/se(0.2)", registry=crowd)
        zoo.save(model, path, registry=away)
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
