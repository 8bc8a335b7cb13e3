"""A modifier fails at its n-th edit, for every n, and model and optimizer are as they were, bit for bit.

Eleven archs, trained for two steps with momentum and with AdamW.
"""

from __future__ import annotations

import copy
import types
from collections.abc import Callable
from typing import Any

import pytest
import torch
import zoo_archs
import zoo_archs.timm_models
import zoo_archs.torchvision_models
import zoo_modifiers
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

import zoo
from tests.pictures import Picture

# -- the models -------------------------------------------------------------------------------------------------------


class Own(nn.Module):
    """A user's own: a tied weight, a shared module, a plain list, a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.act = nn.ReLU()
        self.again = self.act
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)
        self.two.weight = self.one.weight
        self.head = nn.Linear(4, 2)
        self.register_buffer("shift", torch.zeros(4), persistent=False)
        self.labels = ["a", "b"]

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.norm(self.stem(x))).mean((2, 3)) + self.shift
        return self.head(self.two(self.again(self.one(x))))


ARCHS: dict[str, tuple[str, int]] = {
    # name: (spec, side of the image)
    "simple": ("simple", 0),
    "convnet": ("convnet(channels=4, depth=2)", 16),
    "resnet": ("test_resnet", 32),
    "vit": ("test_vit", 160),
    "convnext": ("test_convnext", 32),
    "efficientnet": ("test_efficientnet", 32),
    "nfnet": ("test_nfnet", 32),
    "byobnet": ("test_byobnet", 32),
    "swin": (
        "swin_tiny_patch4_window7_224(img_size=32, window_size=4, embed_dim=8, depths=[1, 1], num_heads=[1, 1])",
        32,
    ),
    "torchvision": ("torchvision/squeezenet1_1(num_classes=4)", 32),
    "own": ("", 16),
}
OPTIMIZERS: dict[str, Callable[[Any], Optimizer]] = {
    "sgd": lambda groups: SGD(groups, lr=0.01, momentum=0.9, weight_decay=0.01),
    "adamw": lambda groups: AdamW(groups, lr=1e-3, amsgrad=True),
}


def saw(*args: Any) -> None:
    """A user's hook."""


def trained(name: str, optimizer: str) -> tuple[nn.Module, Optimizer]:
    """A model after two steps, with a frozen parameter, a part in eval mode, hooks, and two groups in the optimizer."""
    spec, side = ARCHS[name]
    model = zoo.create(spec, registry=REGISTRY) if spec else Own()
    parameters = list(model.parameters())
    parameters[0].requires_grad_(False)
    model.register_forward_hook(saw)
    lone = [p for p in parameters[1:] if p.ndim < 2]
    made = OPTIMIZERS[optimizer]([{"params": lone, "lr": 0.02}, {"params": [p for p in parameters[1:] if p.ndim > 1]}])
    for _ in range(2):
        x = torch.randn(2, 3, side, side) if side else torch.randn(2, 100)
        made.zero_grad()
        model(x).square().mean().backward()
        made.step()
    next(m for m in model.modules() if not m._modules).eval()
    return model, made


# -- what fails -------------------------------------------------------------------------------------------------------


class Marked(zoo.Mixin):
    """What a root becomes."""


class Halt(Exception):
    """What the modifier raises."""


def every_edit(model: nn.Module, stop: int, error: type[BaseException]) -> nn.Module:
    """Edit place by place, one of everything at each, and raise before the edit number `stop`."""
    done = 0

    def tick() -> None:
        nonlocal done
        if done == stop:
            raise error(f"at edit {stop}")
        done += 1

    for path, module in reversed(list(model.named_modules())):  # what is inside a place before the place
        if isinstance(module, nn.Linear):
            tick()
            zoo.insert_before(model, path, nn.LayerNorm(module.in_features))
            tick()
            zoo.insert_after(model, path, nn.Linear(module.out_features, module.out_features))
            tick()
            zoo.replace(model, path, nn.Linear(module.in_features, module.out_features))
        elif isinstance(module, nn.modules.batchnorm._BatchNorm):
            tick()
            module.eps = 0.1
            tick()
            module.weight = nn.Parameter(torch.ones_like(module.weight))
            tick()
            zoo.remove(model, path)
        elif isinstance(module, nn.modules.conv._ConvNd):
            tick()
            module.requires_grad_(False)
            tick()
            module.register_forward_hook(saw)
            tick()
            module.register_buffer("bump", torch.ones(1))
        elif isinstance(module, nn.ReLU):
            tick()
            model = zoo.replace(model, path, nn.PReLU())
    tick()
    zoo.become(model, "", Marked, zoo_mark=1)
    tick()
    zoo.add(model, "", "tail", nn.Linear(2, 2))
    model.count = done
    raise error("at the end")


@zoo.modifier
def faulty(model: nn.Module, /, stop: int = 0) -> nn.Module:
    """Raise before the edit of this number."""
    return every_edit(model, stop, Halt)


@zoo.modifier
def interrupted(model: nn.Module, /, stop: int = 0) -> nn.Module:
    """Someone presses Ctrl-C in the middle."""
    return every_edit(model, stop, KeyboardInterrupt)


@zoo.modifier
def harmless(model: nn.Module, /) -> nn.Module:
    """An edit that goes well, before the one that doesn't."""
    return zoo.become(model, "", Marked, zoo_mark=[1])


def _plugin() -> types.ModuleType:
    module = types.ModuleType("faults")
    module.zoo_modifiers = zoo.hookimpl(lambda: [faulty, interrupted, harmless])
    return module


REGISTRY = zoo.Registry.of(
    zoo_archs, zoo_archs.timm_models, zoo_archs.torchvision_models, zoo_modifiers, _plugin(), owner="zoo"
)


def edits_of(model: nn.Module) -> int:
    """How many edits `every_edit` makes on a model; counted on a copy, so that none is left out below."""
    other = copy.deepcopy(model)
    with pytest.raises(Halt, match="at the end"):
        every_edit(other, 10**6, Halt)
    return int(other.count)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", ARCHS)
def test_a_modifier_that_fails_leaves_model_and_optimizer_as_they_were(name: str, optimizer: str) -> None:
    """At the first edit, the last, and some between."""
    fail(*trained(name, optimizer), most=6)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "optimizer"), list(zip(ARCHS, [*OPTIMIZERS] * len(ARCHS), strict=False)))
def test_a_modifier_that_fails_at_any_edit_leaves_model_and_optimizer_as_they_were(name: str, optimizer: str) -> None:
    fail(*trained(name, optimizer), most=10**6)


def fail(model: nn.Module, made: Optimizer, most: int) -> None:
    """Fail at each edit, or at so many of them, and compare each time."""
    before, count = Picture(model, made), edits_of(model)
    assert count >= 5
    for stop in [*range(0, count, max(1, count // most)), count]:
        with pytest.raises(zoo.PluginError, match=f"raised Halt: at {f'edit {stop}' if stop < count else 'the end'}"):
            zoo.modify(model, f"harmless+faulty({stop})", optimizer=made, registry=REGISTRY)
        before.assert_same(Picture(model, made, bits=stop == count))


@pytest.mark.parametrize("name", ["convnet", "own"])
def test_ctrl_c_at_any_edit_leaves_model_and_optimizer_as_they_were(name: str) -> None:
    model, made = trained(name, "adamw")
    before = Picture(model, made)
    for stop in range(edits_of(model) + 1):
        with pytest.raises(KeyboardInterrupt):
            zoo.modify(model, f"harmless+interrupted({stop})", optimizer=made, registry=REGISTRY)
        before.assert_same(Picture(model, made))


GROWS = "replace(head, Linear(4, 3))+append(one, Linear(4, 4))"
# What the optimizers are asked that they can't do, after the model has been edited already.
UNABLE: dict[str, tuple[Callable[[nn.Module, Optimizer], list[Optimizer]], dict[str, Any], str]] = {
    "group": (lambda m, o: [o], {"group": 2}, "group=2, but the optimizer has 2 parameter groups"),
    "option": (lambda m, o: [o], {"group": {"rate": 1}}, "group: AdamW has no option 'rate'"),
    "kind of group": (lambda m, o: [o], {"group": "last"}, "group='last'; expected the index of a group"),
    "stranger": (lambda m, o: [o, SGD(nn.Linear(2, 2).parameters(), 0.1)], {}, "this SGD holds no parameter"),
    "flat state": (lambda m, o: [o, torch.optim.LBFGS(m.parameters())], {}, "LBFGS keeps one flat state"),
}


@pytest.mark.parametrize(("others", "options", "text"), UNABLE.values(), ids=UNABLE)
def test_optimizers_that_can_not_follow_leave_all_as_it_was(others: Any, options: dict[str, Any], text: str) -> None:
    model, made = trained("own", "adamw")
    optimizers = others(model, made)
    before = Picture(model, *optimizers)
    with pytest.raises(zoo.OptionError) as caught:
        zoo.modify(model, GROWS, optimizer=optimizers, registry=REGISTRY, **options)
    assert str(caught.value).startswith(text)
    before.assert_same(Picture(model, *optimizers))


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
@pytest.mark.parametrize("at", range(4))
def test_a_failure_while_optimizers_follow(
    at: int, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of two has followed already when something goes wrong with a list of the second."""

    class Failing(list):  # type: ignore[type-arg]
        left = at

        def append(self, value: Any) -> None:
            self.check()
            super().append(value)

        def __setitem__(self, key: Any, value: Any) -> None:
            self.check()
            super().__setitem__(key, value)

        def check(self) -> None:
            Failing.left -= 1
            if Failing.left < 0:
                Failing.left = 10**6  # once: the way back uses the list too
                raise error

    model, _ = trained("own", "sgd")
    trunk = [p for n, p in model.named_parameters() if not n.startswith("head")][1:]
    first, second = SGD(trunk, lr=0.1, momentum=0.9), AdamW(model.head.parameters())
    model(torch.randn(2, 3, 16, 16)).sum().backward()
    first.step()
    second.step()
    second.param_groups[0]["params"] = Failing(second.param_groups[0]["params"])
    Failing.left = at
    before = Picture(model, first, second)
    mods = "replace(head, Linear(4, 3))+append(one, Linear(4, 4))+append(head, Linear(3, 3))"
    with pytest.raises(error):
        zoo.modify(model, mods, optimizer=[first, second], registry=REGISTRY)
    before.assert_same(Picture(model, first, second))


def test_the_picture_sees_what_it_should() -> None:
    """The comparison above can fail, in each of its parts."""
    model, made = trained("own", "adamw")
    state = made.state[model.head.weight]
    for change in (
        lambda: state["exp_avg"].data.add_(1),
        lambda: state.update(exp_avg=state["exp_avg"].clone()),
        lambda: made.param_groups[0].update(lr=1.0),
        lambda: made.defaults.update(lr=1.0),
        lambda: made.param_groups[0]["params"].reverse(),
        lambda: made.param_groups.reverse(),
        lambda: model.head.weight.grad.data.add_(1),
        lambda: setattr(model.head.weight, "grad", None),
        lambda: model.labels.append("c"),
        lambda: model.act.register_forward_hook(saw),
        lambda: model.head.train(not model.head.training),
        lambda: model._modules.update(stem=model._modules.pop("stem")),
        lambda: model.shift.data.add_(1),
    ):
        before = Picture(model, made)
        change()
        with pytest.raises(AssertionError):
            before.assert_same(Picture(model, made))
