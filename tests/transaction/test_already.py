"""What a modifier sets to what it was is seen, and torch stays as it is meanwhile, for every thread."""

from __future__ import annotations

import ast
import threading
import types
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zoo

ENGINE = Path(zoo.__file__).parent


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)
        self.act = nn.ReLU(inplace=True)
        self.rate = None

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.fc(x)))


def registry_of(*functions: Callable[[Any], Any]) -> zoo.Registry:
    for function in functions:
        function.__doc__ = "An edit by hand."
    module = types.ModuleType("acme")
    module.zoo_modifiers = zoo.hookimpl(specname="zoo_modifiers")(lambda: [*map(zoo.modifier, functions)])
    return zoo.Registry.of(module)


def modify(model: nn.Module, edit: Callable[[Any], Any]) -> nn.Module:
    def edited(model):
        edit(model)
        return model

    return zoo.modify(model, "edited", registry=registry_of(edited))


def same_eps_again(model: Any) -> Any:
    for module in model.modules():
        if type(module) is nn.BatchNorm1d:  # and no class of the engine's making
            module.eps = 1e-5
    return model


def as_it_is(module: nn.Module) -> list[Any]:
    """Class, content and containers, with their order: plain values, and the identities of all else."""
    found: list[Any] = []
    for part in module.modules():
        held = {key: [*map(id, value.items())] and [*value] for key, value in vars(part).items() if type(value) is dict}
        found.append(
            (
                type(part),
                {k: v if type(v) in (int, float, bool) else id(v) for k, v in vars(part).items() if k != "_zoo"},
                held,
            )
        )
    return found


def test_torch_is_as_it_was_while_a_modifier_works_in_either_run() -> None:
    plain, met = [dict(vars(cls)) for cls in (nn.Module, nn.Linear, nn.BatchNorm1d, Tensor)], []

    def looks(model):
        met.append([dict(vars(cls)) for cls in (nn.Module, nn.Linear, nn.BatchNorm1d, Tensor)])
        met.append([type(module) for module in model.modules()])
        return same_eps_again(model)

    zoo.modify(Net(), "looks", registry=registry_of(looks))
    assert len(met) >= 2
    assert met[::2] == [plain] * (len(met) // 2)
    assert met[1::2] == [[Net, nn.Linear, nn.BatchNorm1d, nn.ReLU]] * (len(met) // 2)


def test_two_registries_in_two_threads_leave_torch_as_it_was() -> None:
    """The second comes into its second run while the first is in its own, and goes out last."""
    before = dict(vars(nn.Module))
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()
    runs, failed = [0, 0], []

    def working(number: int) -> Callable[[Any], Any]:
        def waits(model):
            runs[number] += 1
            if number == 0 and runs[0] == 2:
                first_in.set()
                assert second_in.wait(30)
            if number == 1 and runs[1] == 1:
                assert first_in.wait(30)
            if number == 1 and runs[1] == 2:
                second_in.set()
                assert first_out.wait(30)
            return same_eps_again(model)

        return waits

    def work(number: int) -> None:
        try:
            (change,) = zoo.changes(zoo.modify(Net(), "waits", registry=registry_of(working(number))))
            assert (change.path, change.what, change.after) == ("norm", "already", "eps=1e-05")
        except BaseException as error:
            failed.append(error)
        finally:
            if number == 0:
                first_out.set()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert dict(vars(nn.Module)) == before


def test_another_thread_goes_on_as_ever() -> None:
    """What another thread sets on a model of its own meanwhile is no business of this one."""
    other, net = Net(), Net()

    def lets_others_work(model):
        thread = threading.Thread(target=lambda: setattr(other.act, "inplace", True))
        thread.start()
        thread.join()
        return model

    with pytest.raises(zoo.NotApplicableError, match="lets_others_work changed nothing"):
        zoo.modify(net, "lets_others_work", registry=registry_of(lets_others_work))
    assert type(other.act._parameters) in (dict, OrderedDict)


ALREADY: dict[str, tuple[Callable[[Any], Any], str, str]] = {
    # what is done: how, the path, the text
    "a number": (lambda m: setattr(m.norm, "eps", 1e-5), "norm", "eps=1e-05"),
    "a flag": (lambda m: setattr(m.act, "inplace", True), "act", "inplace=True"),
    "None": (lambda m: setattr(m, "rate", None), "", "rate=None"),
    "by torch's own method": (lambda m: nn.Module.__setattr__(m.norm, "eps", 1e-5), "norm", "eps=1e-05"),
    "a module": (lambda m: setattr(m, "act", m.act), "act", "ReLU(inplace=True)"),
    "a module by register": (lambda m: m.register_module("act", m.act), "act", "ReLU(inplace=True)"),
    "a parameter": (lambda m: setattr(m.fc, "weight", m.fc.weight), "fc.weight", "float32[4, 4]"),
    "a buffer": (lambda m: setattr(m.norm, "running_var", m.norm.running_var), "norm.running_var", "float32[4]"),
    "a flag of a parameter": (lambda m: m.fc.requires_grad_(True) and None, "fc.weight", "requires_grad=True"),
}


@pytest.mark.parametrize("name", ALREADY)
def test_what_was_so_is_seen_and_the_model_stays_as_it_was(name: str) -> None:
    edit, path, text = ALREADY[name]
    model = Net()
    before = as_it_is(model)
    found = zoo.changes(modify(model, edit))
    assert (found[0].path, found[0].what, found[0].before, found[0].after) == (path, "already", text, text)
    assert len(found) == (2 if name == "a flag of a parameter" else 1)  # of weight and bias
    assert as_it_is(model) == before


NOTHING: dict[str, Callable[[Any], Any]] = {
    "reads": lambda m: [m.norm.eps, m.fc.weight, m.act, m.rate, m.norm.running_mean, dict(m.named_parameters())],
    "asks": lambda m: [hasattr(m, "nothing"), hasattr(m.fc, "weight"), m.state_dict()],
    "modes": lambda m: m.train(),
    "casts": lambda m: m.float(),
    "private": lambda m: setattr(m, "_secret", 1) or delattr(m, "_secret"),
    "copies": lambda m: __import__("copy").deepcopy(m),
    "a copy's": lambda m: setattr(__import__("copy").deepcopy(m).norm, "eps", 1e-5),
    "a new one's": lambda m: setattr(nn.BatchNorm1d(4), "eps", 1e-5),
}


@pytest.mark.parametrize("name", NOTHING)
def test_what_sets_nothing_of_the_model_found_nothing_to_do(name: str) -> None:
    model = Net()
    before = as_it_is(model)
    with pytest.raises(
        zoo.NotApplicableError, match=r"^edited changed nothing: it found nothing to work on in this Net"
    ):
        modify(model, NOTHING[name])
    assert as_it_is(model) == before


def test_a_modifier_that_does_more_when_it_runs_again_is_held_to_its_first_run() -> None:
    """It runs again only to be looked at."""
    runs = []

    def grows(model):
        runs.append(model)
        model.norm.eps = 1e-5 * len(runs)
        if len(runs) == 2:
            model.register_buffer("steps", torch.ones(1))
        return model

    model = Net()
    before = as_it_is(model)
    zoo.modify(model, "grows", registry=registry_of(grows))
    assert len(runs) == 2
    assert as_it_is(model) == before
    assert model.norm.eps == 1e-5


def test_ctrl_c_in_the_second_run_leaves_the_model_as_it_was() -> None:
    runs = []

    def interrupts(model):
        model.norm.eps = 1e-5
        runs.append(model)
        if len(runs) == 2:
            raise KeyboardInterrupt
        return model

    model = Net()
    before = as_it_is(model)
    with pytest.raises(KeyboardInterrupt):
        zoo.modify(model, "interrupts", registry=registry_of(interrupts))
    assert as_it_is(model) == before
    assert zoo.changes(model) == ()


# -- the engine's code ------------------------------------------------------------------------------------------------


def foreign_classes(tree: ast.Module) -> list[str]:
    """What is assigned to an attribute of something that a module imported, or patched with mock."""
    imported = {
        (name.asname or name.name).partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in node.names
    }
    found = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    found = [text for text in found if "mock" in text]
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, (ast.Assign, ast.Delete)) else []
        targets = [node.target] if isinstance(node, (ast.AugAssign, ast.AnnAssign)) else targets
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("setattr", "delattr", "type.__setattr__"):
            targets = [ast.Attribute(node.args[0], "x")]
        for target in targets:
            root = target
            while isinstance(root, ast.Attribute):
                root = root.value
            if isinstance(target, ast.Attribute) and isinstance(root, ast.Name) and root.id in imported:
                found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize("path", sorted(ENGINE.rglob("*.py")), ids=lambda p: p.relative_to(ENGINE).as_posix())
def test_the_engine_replaces_no_attribute_of_what_it_imports(path: Path) -> None:
    assert foreign_classes(ast.parse(path.read_text())) == []


@pytest.mark.parametrize(
    "code",
    [
        "from torch import nn\nnn.Module.__setattr__ = f",
        "import torch.nn\ndel torch.nn.Module.forward",
        "from torch.nn import Module\nsetattr(Module, 'forward', f)",
        "from unittest import mock",
        "from unittest.mock import patch",
    ],
)
def test_the_look_at_the_code_sees_what_it_should(code: str) -> None:
    assert foreign_classes(ast.parse(code))
