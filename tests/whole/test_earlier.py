"""What 0.1 wrote still reads: files, training states, pickled models and values, texts.

`tests/data/make_0_1.py` wrote them, and `index.json` beside them what was so then. What is compared is what a user has
of it: outputs, keys, modes, what was changed. How a spec prints may be another by now, what it stands for may not.
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zoo

HERE = Path(__file__).parents[1] / "data" / "0.1"
INDEX: dict[str, Any] = json.loads((HERE / "index.json").read_text())
FILES, MODELS, TRAINING = INDEX["files"], INDEX["models"], INDEX["training"]
TEXTS = [(name, text) for name, known in FILES.items() for text in known["texts"] if name not in ("double", "tied")]

file = pytest.mark.parametrize("name", FILES)
model = pytest.mark.parametrize("name", MODELS)


def inputs(shape: list[int]) -> Tensor:
    return torch.linspace(-1, 1, torch.Size(shape).numel()).reshape(shape)


def shapes(net: nn.Module) -> dict[str, list[int]]:
    return {name: list(value.shape) for name, value in net.state_dict().items()}


def check_outputs(net: nn.Module, known: dict[str, Any], outputs: list[dict[str, Any]]) -> None:
    """Every call gives what it gave, those that choose too."""
    modes = {module: module.training for module in net.modules()}
    net.eval()
    x = inputs(known["shape"]).to(next(net.parameters()).dtype)
    for each in outputs:
        with torch.no_grad():
            check_equal(net(x, **each["call"]), each["output"])
    for module, mode in modes.items():
        module.training = mode


def check_equal(output: Any, expected: Any) -> None:
    if isinstance(expected, dict):
        assert list(output) == list(expected)
        for name, one in expected.items():
            check_equal(output[name], one)
    else:
        torch.testing.assert_close(output, torch.tensor(expected, dtype=output.dtype))


def check_as_it_was(net: nn.Module, known: dict[str, Any]) -> None:
    """Keys in their order, modes, what is frozen, what was changed, and what it computes."""
    assert shapes(net) == known["keys"]
    assert list(shapes(net)) == list(known["keys"])
    assert net.training is known["training"]
    assert [path for path, module in net.named_modules() if module.training is not net.training] == known["modes"]
    assert [name for name, parameter in net.named_parameters() if not parameter.requires_grad] == known["frozen"]
    assert [[change.path, str(change.what)] for change in zoo.changes(net)] == known["changes"]
    check_outputs(net, known, known["outputs"])


@file
def test_a_file_loads_as_it_was(name: str) -> None:
    known = FILES[name]
    check_as_it_was(zoo.load(HERE / known["file"]), known)


@file
def test_the_recorded_canonical_text_stands_for_the_model_of_the_file(name: str) -> None:
    known = FILES[name]
    built, loaded = zoo.create(zoo.parse(known["canonical"])), zoo.load(HERE / known["file"])
    assert shapes(built) == known["keys"]
    assert zoo.spec_of(built) == zoo.spec_of(loaded)


@file
def test_the_spec_of_a_file_builds_a_model_that_takes_its_weights(name: str) -> None:
    known = FILES[name]
    spec = zoo.spec_of(zoo.load(HERE / known["file"]))
    assert zoo.parse(str(spec)) == spec
    built = zoo.create(str(spec), weights=HERE / known["file"])
    assert zoo.spec_of(built) == spec
    check_outputs(built.to(next(zoo.load(HERE / known["file"]).parameters()).dtype), known, known["outputs"])


@file
def test_the_manifest_of_a_file_reads(name: str) -> None:
    known = FILES[name]
    manifest = zoo.read_manifest(HERE / known["file"])
    assert manifest.spec == zoo.parse(known["canonical"])
    assert manifest.step == known["step"]
    assert [[change.path, str(change.what)] for change in manifest.changes] == known["changes"]
    assert manifest.versions["plugzoo"] == "0.1.0"


@pytest.mark.parametrize(("name", "text"), TEXTS)
def test_a_text_builds_what_it_built(name: str, text: str) -> None:
    """Without regard to the order of what has no order in 0.1: of heads, and of the layers of a switch."""
    assert shapes(zoo.create(text)) == FILES[name]["keys"]


def test_how_a_model_stood_comes_back() -> None:
    double: Any = zoo.load(HERE / "double.safetensors")
    assert double.head.weight.dtype == torch.float64
    assert double.blocks[1].conv.weight.is_contiguous(memory_format=torch.channels_last)
    tied: Any = zoo.load(HERE / "tied.safetensors")
    assert tied.layers[2].weight is tied.layers[0].weight


def test_a_file_changes_its_options() -> None:
    net: Any = zoo.load(HERE / "dropout.safetensors", **{"dropout.p": 0.4})
    assert [module.p for module in net.modules() if isinstance(module, nn.Dropout)] == [0.4]


def training(net: Any) -> tuple[list[Any], list[Any]]:
    """As in `make_0_1.py`."""
    first, last = net.layers[0], net.layers[2]
    groups = [{"params": [first.weight]}, {"params": [first.bias], "weight_decay": 0.0}]
    optimizers: list[Any] = [torch.optim.AdamW(groups, lr=0.01), torch.optim.SGD(last.parameters(), 0.01, momentum=0.9)]
    schedulers = [
        torch.optim.lr_scheduler.StepLR(optimizers[0], 2, gamma=0.5),
        torch.optim.lr_scheduler.CosineAnnealingLR(optimizers[1], 10),
    ]
    return optimizers, schedulers


def test_a_training_goes_on() -> None:
    path = HERE / TRAINING["file"]
    net = zoo.load(path)
    check_as_it_was(net, TRAINING)
    optimizers, schedulers = training(net)
    zoo.load(path, into=net, optimizer=optimizers, scheduler=schedulers)
    assert zoo.read_manifest(path).step == TRAINING["step"]
    rates = [group["lr"] for one in optimizers for group in one.param_groups]
    assert rates == pytest.approx(TRAINING["rates"])
    torch.testing.assert_close(torch.rand(3), torch.tensor(TRAINING["drawn"]))
    for _ in range(2):
        net.zero_grad()
        net(inputs(TRAINING["shape"])).square().mean().backward()
        for one in [*optimizers, *schedulers]:
            one.step()
    check_outputs(net, TRAINING, TRAINING["later"])


def pickled(name: str) -> nn.Module:
    return pickle.loads((HERE / f"{name}.pickle").read_bytes())  # type: ignore[no-any-return]


@model
def test_a_pickled_model_is_as_it_was(name: str) -> None:
    check_as_it_was(pickled(name), MODELS[name])


@pytest.mark.parametrize("name", [name for name in MODELS if "torch" in MODELS[name]])
def test_a_model_of_torch_save_is_as_it_was(name: str) -> None:
    net = torch.load(HERE / MODELS[name]["torch"], weights_only=False)
    check_as_it_was(net, MODELS[name])


@model
def test_a_pickled_model_can_be_modified(name: str) -> None:
    """What modifiers left on the model, they still find."""
    known = MODELS[name]
    net = zoo.modify(pickled(name), known["then"])
    assert shapes(net) == known["then_keys"]
    assert [key for key, parameter in net.named_parameters() if not parameter.requires_grad] == known["then_frozen"]
    net.eval()(inputs(known["shape"]))


@model
def test_a_pickled_model_pickles_again(name: str) -> None:
    check_as_it_was(pickle.loads(pickle.dumps(pickled(name))), MODELS[name])


@pytest.mark.parametrize("name", [name for name in MODELS if name not in ("edited", "foreign", "encoder")])
def test_the_spec_of_a_pickled_model_builds_it(name: str) -> None:
    """`heads-called` and others were trained on since, so only what a spec says is compared."""
    known = MODELS[name]
    built = zoo.create(str(zoo.spec_of(pickled(name))))
    assert shapes(built) == known["keys"]
    assert zoo.spec_of(built) == zoo.spec_of(zoo.create(known["canonical"]))


@pytest.mark.parametrize("name", ["heads", "switch", "freeze", "chain", "several", "before-after"])
def test_a_pickled_model_saves_as_a_file(name: str, tmp_path: Path) -> None:
    zoo.save(pickled(name), tmp_path / "model.safetensors")
    check_as_it_was(zoo.load(tmp_path / "model.safetensors"), MODELS[name])


def test_the_blocks_of_a_pickled_chain_know_each_other() -> None:
    chain: Any = pickled("chain")
    assert [block.next for block in chain][:-1] == list(chain)[1:]
    assert chain.first.prev is None
    assert chain.last.alpha == 0


def test_what_a_pickled_model_holds_back_stays_held() -> None:
    net: Any = pickled("freeze")
    assert not any(module.training for module in net.train().modules() if isinstance(module, nn.BatchNorm2d))
    zoo.modify(net, "unfreeze")
    assert all(module.training for module in net.modules())
    assert all(parameter.requires_grad for parameter in net.parameters())


def test_a_pickled_model_of_torch_goes_on() -> None:
    assert str(zoo.spec_of(pickled("foreign"))).startswith("?Sequential+dropout(")
    assert str(zoo.spec_of(pickled("encoder"))).startswith("?TransformerEncoderLayer+append(")


def test_pickled_values_read() -> None:
    known = INDEX["values"]
    values = pickle.loads((HERE / "values.pickle").read_bytes())
    assert values["spec"] == zoo.parse(known["spec"])
    assert values["spec_of"] == zoo.parse(known["spec_of"])
    assert zoo.spec_of(zoo.create(values["spec_of"])) == zoo.spec_of(zoo.create(known["spec_of"]))
    assert isinstance(values["changes"], zoo.Changes)
    assert len(values["changes"]) == known["changes"]
    assert str(values["changes"])


def test_pickled_errors_read() -> None:
    errors = pickle.loads((HERE / "errors.pickle").read_bytes())
    assert [[type(one).__name__, str(one)] for one in errors] == INDEX["errors"]
    for one in errors:
        assert type(one) is getattr(zoo, type(one).__name__)


def test_no_file_names_a_place_of_the_machine_that_wrote_it() -> None:
    for path in HERE.rglob("*.*"):
        data = path.read_bytes()
        assert not [word for word in (b"/home/", b"/tmp/", b"/usr/", b"site-packages", b"C:\\") if word in data]
