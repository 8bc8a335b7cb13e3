"""Each check of modifiers is tested by a modifier that is broken in just that."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Annotated, Any

import pytest
import torch
from pydantic import AfterValidator
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

import zoo
import zoo.testing
from tests.testing.common import SLOW, failed
from zoo.testing import nets
from zoo.testing.suite import DECLARATIONS, TRIALS

ARCH = "simple"


class Output(zoo.Mixin):
    """Does something to the output of what becomes this."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.change(super().forward(*args, **kwargs))  # type: ignore[misc]


class NanInEval(Output):
    def change(self, x: Tensor) -> Tensor:
        return x if self.training else x * float("nan")  # type: ignore[attr-defined]


class AlwaysDrops(Output):
    def change(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x, 0.5, training=True)


class Detaches(Output):
    def change(self, x: Tensor) -> Tensor:
        return x.detach()


class Breaks(Output):
    def change(self, x: Tensor) -> Tensor:
        torch._dynamo.graph_break()
        return x * 2


class Unexportable(Output):
    def change(self, x: Tensor) -> Tensor:
        if type(x) is not Tensor:  # torch.export sends a tensor of its own through
            raise RuntimeError("it takes plain tensors")
        return x * 2


class Shifted(Output):
    def change(self, x: Tensor) -> Tensor:
        return x + self.zoo_shift  # type: ignore[attr-defined, no-any-return]


class HasExtraState(zoo.Mixin):
    def get_extra_state(self) -> int:
        return 3

    def set_extra_state(self, state: int) -> None:
        pass


class Starred(nets.Tangled):
    """Its forward no longer says what it takes."""

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        return super().forward(*args, **kwargs) * 2


class Scales:
    """A hook that holds a tensor that trains and that nobody knows of."""

    def __init__(self) -> None:
        self.scale = torch.ones((), device="cpu", requires_grad=True)

    def __call__(self, module: nn.Module, args: Any, output: Tensor) -> Tensor:
        return output * self.scale * 2


def seen(*_: Any) -> None:
    """A hook."""


Function = Callable[..., Any]
BROKEN: list[tuple[str, zoo.Modifier, str]] = []


def broken(
    check: str, on: str = ARCH, examples: tuple[str, ...] = (), effects: zoo.Effects | None = None
) -> Callable[[Function], None]:
    """A modifier that this check has to catch, alone, on this arch."""

    def declare(function: Function) -> None:
        function.__doc__ = function.__doc__ or "Another eps, and something that no modifier may do."
        BROKEN.append((check, zoo.modifier(examples=examples, effects=effects or zoo.Effects())(function), on))

    return declare


def eps(model: nn.Module) -> nn.Module:
    """An honest edit, so that there is one."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.eps = 0.01
    return model


@broken("declaration")
def first_line_goes_on(model):
    """Another eps for
    every norm."""
    return eps(model)


@broken("declaration", examples=("foreign_example", "eps"))
def foreign_example(model):
    return eps(model)


@broken("declaration", examples=("unreadable_example", "unreadable_example(1"))
def unreadable_example(model, size: int = 1):
    return eps(model)


@broken("declaration", examples=("mistyped_example", "mistyped_example(large)"))
def mistyped_example(model, size: int = 1):
    return eps(model)


@broken("declaration", examples=("applies_nowhere",))
def applies_nowhere(model):
    """Works on recurrent layers."""
    raise zoo.NotApplicableError(f"this {type(model).__name__} has no recurrent layer")


@broken("declaration")
def default_of_another_type(model, value: float = "much"):
    return eps(model)


@broken("options")
def wide_type(model, p: float = 0.5):
    return zoo.insert_before(eps(model), "layers3", nn.Dropout(p))


@broken("options", examples=("key_error(relu)",))
def key_error(model, name: str):
    return zoo.insert_after(eps(model), "layers1", {"relu": nn.ReLU, "gelu": nn.GELU}[name]())


@broken("round_trip", examples=("halves(0.4)",))
def halves(model, value: Annotated[float, AfterValidator(lambda value: value / 2)]):
    model.layers3[0].eps = value
    return model


@broken("applies")
def dead_layer(model):
    model.spare = nn.Dropout(0.3)
    return model


@broken("applies")
def explodes(model):
    raise RuntimeError("boom")


@broken("applies")
def gives_nothing(model):
    eps(model)


@broken("again")
def only_once(model):
    if hasattr(model, "was_here"):
        raise KeyError("was_here")
    model.was_here = True
    return eps(model)


@broken("isolation")
def patches_a_class(model):
    type(model.layers3).helper = lambda self: 0
    return eps(model)


@broken("isolation")
def patches_the_arch(model):
    plain = type(model).forward
    type(model).forward = lambda self, x: plain(self, x)
    return eps(model)


@broken("global_state")
def seeds_torch(model):
    torch.manual_seed(0)
    return eps(model)


@broken("global_state")
def seeds_python(model):
    random.seed(0)
    return eps(model)


@broken("global_state")
def sets_threads(model):
    torch.set_num_threads(torch.get_num_threads() + 1)
    return eps(model)


@broken("global_state")
def leaves_a_global_hook(model):
    register_module_forward_hook(seen)
    return eps(model)


@broken("global_state")
def patches_a_function(model):
    plain = nn.functional.relu
    nn.functional.relu = lambda *args, **kwargs: plain(*args, **kwargs)
    return eps(model)


@broken("global_state")
def patches_every_module(model):
    plain = nn.Module.__call__
    nn.Module.__call__ = lambda self, *args, **kwargs: plain(self, *args, **kwargs)
    return eps(model)


@broken("weights")
def writes_through_data(model):
    model.layers1[0].weight.data.mul_(2)
    return eps(model)


@broken("weights")
def writes_through_numpy(model):
    bias = model.layers1[0].bias
    if bias.device.type == "cpu" and bias.dtype == torch.float32:
        bias.detach().numpy()[0] += 1
    return eps(model)


@broken("names")
def other_order(model):
    model._modules["layers1"] = model._modules.pop("layers1")
    return eps(model)


@broken("names")
def wraps(model):
    model.layers3[1] = nn.Sequential(model.layers3[1], nn.Dropout())
    return model


@broken("sharing", "kit-tangled")
def replaces_one_of_two(model):
    model.body[0][1] = nn.SiLU()
    return model


@broken("sharing", "kit-tangled")
def unties(model):
    model.tied.weight = nn.Parameter(model.tied.weight.detach().clone())
    return model


@broken("effects", effects=zoo.Effects(keys="keep"))
def says_that_it_keeps_keys(model):
    return zoo.insert_after(model, "layers3", nn.BatchNorm1d(2))


@broken("effects", effects=zoo.Effects(keys="remove"))
def says_that_it_removes_keys_alone(model):
    return zoo.replace(model, "layers3.1", nn.Sequential(nn.Linear(70, 2, bias=False)))


@broken("effects", effects=zoo.Effects(keys="keep", preserves=True))
def says_that_it_preserves(model):
    return eps(model)


@broken("strict_load")
def has_extra_state(model):
    return zoo.become(eps(model), "layers3.0", HasExtraState)


@broken("state")
def leaves_eval(model):
    return eps(model).eval()


@broken("state")
def drops_hooks(model):
    for module in model.modules():
        module._forward_hooks.clear()
    return eps(model)


@broken("state", "kit-tangled")
def forgets_its_signature(model):
    model.__class__ = Starred
    return model


@broken("copies")
def cannot_be_pickled(model):
    model.rule = lambda x: x
    return eps(model)


@broken("copies")
def hides_a_tensor(model):
    model.register_forward_hook(Scales())
    return model


@broken("device")
def always_float32_on_cpu(model):
    zoo.become(model, "layers3.1", Shifted)
    model.layers3[1].register_buffer("zoo_shift", torch.zeros(2))
    return model


@broken("no_nan")
def nan_in_eval(model):
    return zoo.become(model, "layers3.1", NanInEval)


@broken("deterministic")
def always_drops(model):
    return zoo.become(model, "layers3.1", AlwaysDrops)


@broken("seed")
def draws_by_itself(model):
    layer, generator = nn.Linear(2, 2), torch.Generator()
    generator.seed()
    with torch.no_grad():
        layer.weight.copy_(torch.rand(2, 2, generator=generator, device="cpu"))
    return zoo.insert_after(model, "layers3.1", layer)


@broken("gradient")
def detaches(model):
    return zoo.become(model, "layers3.0", Detaches)


@broken("gradient")
def unused_parameter(model):
    model.layers3[0].spare = nn.Parameter(torch.ones(3).to(model.layers3[0].weight))
    return eps(model)


@broken("compiles")
def breaks_the_graph(model):
    return zoo.become(model, "layers3.1", Breaks)


@broken("exports")
def takes_plain_tensors(model):
    return zoo.become(model, "layers3.1", Unexportable)


@pytest.mark.parametrize(("check", "modifier", "arch"), BROKEN, ids=[f"{c}-{m.name}" for c, m, _ in BROKEN])
def test_a_broken_modifier_fails_in_that_check_alone(check: str, modifier: zoo.Modifier, arch: str) -> None:
    cases = zoo.testing.cases(modifiers=[modifier], archs=[arch])
    assert set(failed([case for case in cases if case.check not in SLOW or check in SLOW])) == {check}


def test_every_check_of_modifiers_has_one_that_is_broken() -> None:
    assert {check for check, *_ in BROKEN} == {*DECLARATIONS, *TRIALS}
    assert 15 <= len({*DECLARATIONS, *TRIALS}) <= 21


def test_what_was_broken_is_whole_again() -> None:
    """The kit puts back what it finds changed, so that one broken plugin doesn't spoil the checks of the next."""
    rows = [row[1] for row in BROKEN if row[0] in ("isolation", "global_state")]
    before = (nn.Module.__call__, nn.functional.relu, torch.get_num_threads(), random.getstate(), torch.get_rng_state())
    for modifier in rows:
        failed(zoo.testing.cases(modifiers=[modifier], archs=[ARCH])[:8])
    after = (nn.Module.__call__, nn.functional.relu, torch.get_num_threads(), random.getstate(), torch.get_rng_state())
    assert before[:4] == after[:4]
    assert torch.equal(before[4], after[4])
    assert not hasattr(nn.Sequential, "helper")
