"""`zoo.save` and `zoo.load`: one file is the model, weights, structure, ties and all."""

from __future__ import annotations

import copy
import json
import types
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

import zoo
from tests.nets import back, run, same, there, ties
from tests.whole.test_field import MODS, SMALLEST, image_size

FILES = Path(__file__).parents[1] / "data"
QUICK = ("test_resnet", "test_vit", "test_convnext", "test_efficientnet", "test_nfnet")

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


# -- options, and other models ----------------------------------------------------------------------------------------

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


# -- files and folders ------------------------------------------------------------------------------------------------


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
