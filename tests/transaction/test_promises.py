"""Promises that a modifier breaks: each is refused by name, and the model is as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import zoo_archs
import zoo_modifiers
from torch import Tensor, nn

import zoo
from tests.nets import Mixed, registry_of


class Holding(nn.Module):
    """Calls a layer through a plain attribute."""

    def __init__(self, hold: Callable[[nn.Module], Any]) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.held = hold(self.fc)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)


Function = Callable[[Any], Any]
BAD: list[tuple[zoo.Modifier, type[Exception], str]] = []
OTHER: list[zoo.Modifier] = []


def declared(function: Function) -> zoo.Modifier:
    function.__doc__ = "An edit by hand."
    return zoo.modifier(function)


def bad(error: type[Exception], text: str) -> Callable[[Function], None]:
    """A modifier that must raise this; a text that ends in … is the start of the message."""
    return lambda function: BAD.append((declared(function), error, text))


def other(function: Function) -> zoo.Modifier:
    OTHER.append(declared(function))
    return OTHER[-1]


@bad(zoo.PluginError, "modifier 'gives_nothing' returned NoneType; it must return the model")
def gives_nothing(model):
    model.rate = 0.1


@bad(zoo.PluginError, "modifier 'gives_a_number' returned int; it must return the model")
def gives_a_number(model):
    return 3


@bad(zoo.PluginError, "modifier 'gives_a_class' returned type; it must return the model")
def gives_a_class(model):
    return type(model)


@bad(zoo.PluginError, "modifier 'gives_another' returned a Linear for a Mixed; a variant stays of its base's class")
def gives_another(model):
    return nn.Linear(4, 2)


@bad(zoo.PluginError, "modifier 'turns_the_root' …")
def turns_the_root(model):
    model.__class__ = Holding
    return model


RENAMED = (
    "so that checkpoints of the base no longer fit; "
    "zoo.insert_before, zoo.insert_after and zoo.become leave every name as it is"
)


@bad(zoo.PluginError, f"modifier 'wraps_a_layer' renamed 'head.1.weight' to 'head.1.0.weight', {RENAMED}")
def wraps_a_layer(model):
    model.head[1] = nn.Sequential(model.head[1], nn.Dropout())
    return model


@bad(zoo.PluginError, f"modifier 'wraps_a_norm' renamed 'norm.weight' to 'norm.0.weight', {RENAMED}")
def wraps_a_norm(model):
    model.norm = nn.Sequential(model.norm)
    return model


@bad(zoo.PluginError, f"modifier 'wraps_the_root' renamed 'a.weight' to '0.a.weight', {RENAMED}")
def wraps_the_root(model):
    return nn.Sequential(model)


@bad(zoo.PluginError, f"modifier 'moves_a_layer' renamed 'norm.weight' to 'norm2.weight', {RENAMED}")
def moves_a_layer(model):
    model.norm2 = model.norm
    del model.norm
    return model


@bad(zoo.PluginError, f"modifier 'shifts_indices' renamed 'head.1.weight' to 'head.0.weight', {RENAMED}")
def shifts_indices(model):
    del model.head[0]
    return model


@bad(zoo.PluginError, f"modifier 'renames_a_parameter' renamed 'norm.weight' to 'norm.gain', {RENAMED}")
def renames_a_parameter(model):
    weight = model.norm.weight
    del model.norm.weight
    model.norm.gain = weight
    return model


@bad(zoo.PluginError, f"modifier 'renames_a_buffer' renamed 'norm.running_mean' to 'norm.mean', {RENAMED}")
def renames_a_buffer(model):
    model.norm.register_buffer("mean", model.norm.running_mean)
    del model.norm.running_mean
    return model


@bad(zoo.PluginError, "modifier 'leaves_eval' left the model in eval mode; it was in train mode")
def leaves_eval(model):
    model.rate = 0.1
    return model.eval()


@bad(zoo.PluginError, "modifier 'leaves_one_in_eval' left 'norm' in eval mode; it was in train mode")
def leaves_one_in_eval(model):
    model.norm.eval()
    return model


@bad(zoo.PluginError, "modifier 'removes_hook' removed the hook 'seen' from 'a'")
def removes_hook(model):
    model.a._forward_pre_hooks.clear()
    return model


@bad(zoo.PluginError, "modifier 'removes_tensor_hook' removed the hook 'watched' from 'weight' of 'a'")
def removes_tensor_hook(model):
    model.a.weight._backward_hooks.clear()
    return model


@bad(
    zoo.PluginError,
    "modifier 'hides_a_buffer' took 'norm.running_var' out of the state dict, so that checkpoints of the base no "
    "longer fit",
)
def hides_a_buffer(model):
    model.norm._non_persistent_buffers_set.add("running_var")
    return model


@bad(
    zoo.PluginError,
    "modifier 'shows_a_buffer' put 'norm.steps' into the state dict, so that checkpoints of the base no longer fit",
)
def shows_a_buffer(model):
    model.norm.register_buffer("steps", torch.ones(1))
    return model


@bad(zoo.PluginError, "modifier 'unties' untied 'a.weight' and 'b.weight', which were one tensor")
def unties(model):
    model.b.weight = nn.Parameter(model.b.weight.detach().clone())
    return model


@bad(
    zoo.PluginError,
    "modifier 'half_shared' replaced a shared module in one of its places only: act, again; use zoo.replace",
)
def half_shared(model):
    model.act = nn.SiLU()
    return model


@bad(
    zoo.PluginError,
    "modifier 'casts' moved 'weight' of 'a' from torch.float32 on cpu to torch.float16 on cpu",
)
def casts(model):
    return model.half()


@bad(
    zoo.PluginError,
    "modifier 'casts_a_buffer' moved 'running_mean' of 'norm' from torch.float32 on cpu to torch.float64 on cpu",
)
def casts_a_buffer(model):
    model.norm.running_mean.data = model.norm.running_mean.double()
    return model


@bad(
    zoo.NotApplicableError,
    "idles changed nothing: it found nothing to work on in this Mixed",
)
def idles(model):
    return model


@bad(
    zoo.NotApplicableError,
    "looks changed nothing: it found nothing to work on in this Mixed",
)
def looks(model):
    for m in model.modules():
        if isinstance(m, nn.LSTM):
            m.hidden_size = 3
    return model


@bad(zoo.PluginError, "modifier 'explodes' of zoo-acme raised RuntimeError: boom")
def explodes(model):
    model.rate = 0.1
    raise RuntimeError("boom")


@bad(zoo.PluginError, "modifier 'mistypes' of zoo-acme raised AttributeError: 'Mixed' object has no attribute 'fc'")
def mistypes(model):
    model.fc.p = 1
    return model


@bad(zoo.NotApplicableError, "this needs a recurrent layer")
def declines(model):
    raise zoo.NotApplicableError("this needs a recurrent layer")


@bad(
    zoo.NotApplicableError,
    "there is no module at 'fc'; in this Mixed there is: a, act, again, b, norm, head; "
    "say where, as in misses(..., at=...)",
)
def misses(model):
    return zoo.replace(model, "fc", nn.Identity())


@other
def replaces_fc(model):
    model.fc = nn.Linear(4, 4)
    return model


@other
def replaces_fc_with_zoo(model):
    return zoo.replace(model, "fc", nn.Linear(4, 4))


@other
def moves_to_meta(model):
    return model.to("meta")


@other
def sets_eps(model):
    model.norm.eps = 1e-3
    return model


@other
def stops(model):
    model.rate = 0.1
    raise KeyboardInterrupt


REGISTRY = registry_of(*(row[0] for row in BAD), *OTHER, beside=(zoo_archs, zoo_modifiers), owner="zoo-acme")


def modify(model: nn.Module, mods: str) -> nn.Module:
    return zoo.modify(model, mods, registry=REGISTRY)


def names(table: list[Any]) -> list[str]:
    return [row[0].name for row in table]


@pytest.mark.parametrize(("modifier", "error", "text"), BAD, ids=names(BAD))
def test_a_bad_modifier_is_refused_by_name(modifier: zoo.Modifier, error: type[Exception], text: str) -> None:
    model = Mixed()
    shown, kept = repr(model), list(model.state_dict())
    with pytest.raises(error) as caught:
        modify(model, modifier.name)
    message = str(caught.value)
    assert type(caught.value) is error
    assert message.endswith(f"\n  in part 1, '{modifier.name}', of '{modifier.name}'")
    assert message.startswith(text[:-1]) if text.endswith("…") else message.partition("\n")[0] == text
    assert repr(model) == shown
    assert list(model.state_dict()) == kept
    assert model.rate == 0.5
    assert zoo.changes(model) == ()
    with pytest.raises(zoo.ZooError, match=r"has no spec$"):
        zoo.spec_of(model)


@pytest.mark.parametrize(("name", "cause"), [("explodes", RuntimeError), ("mistypes", AttributeError)])
def test_an_exception_of_the_modifier_is_the_cause(name: str, cause: type[Exception]) -> None:
    with pytest.raises(zoo.PluginError) as caught:
        modify(Mixed(), name)
    assert type(caught.value.__cause__) is cause


def test_the_part_that_broke_a_promise_is_named_in_a_chain() -> None:
    with pytest.raises(zoo.PluginError, match=r"in part 2, 'leaves_eval', of 'sets_eps\+leaves_eval'$"):
        modify(model := Mixed(), "sets_eps+leaves_eval")
    assert model.norm.eps == 1e-5
    assert model.training


def test_an_interrupt_passes_through_and_leaves_nothing() -> None:
    model = Mixed()
    with pytest.raises(KeyboardInterrupt):
        modify(model, "sets_eps+stops")
    assert (model.rate, model.norm.eps) == (0.5, 1e-5)
    assert zoo.changes(model) == ()


HOLDS: dict[str, Callable[[nn.Module], Any]] = {
    "a list": lambda fc: [fc],
    "a tuple": lambda fc: (fc,),
    "a dict": lambda fc: {"first": fc},
    "a list in a list": lambda fc: [[fc]],
    "a list in a dict": lambda fc: {"all": [fc]},
}


@pytest.mark.parametrize("name", ["replaces_fc", "replaces_fc_with_zoo"])
@pytest.mark.parametrize("hold", HOLDS)
def test_a_replaced_module_that_a_plain_container_still_holds(hold: str, name: str) -> None:
    model = Holding(HOLDS[hold])
    fc = model.fc
    with pytest.raises(zoo.PluginError) as caught:
        modify(model, name)
    assert str(caught.value).partition("\n")[0] == (
        f"modifier '{name}' replaced a module that the attribute 'held' of 'Holding' still holds "
        "outside the module tree, so that a forward would go on using the old one"
    )
    assert model.fc is fc


def test_moving_to_another_device() -> None:
    model = zoo.create("simple")
    with pytest.raises(zoo.PluginError, match=r"^modifier 'moves_to_meta' moved 'weight' of 'layers1\.0' from "):
        modify(model, "moves_to_meta")
    assert {p.device.type for p in model.parameters()} == {"cpu"}


def test_create_refuses_a_bad_modifier_before_it_builds(monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    init = torch.nn.Linear.reset_parameters

    def noting(self: nn.Linear) -> None:
        built.append(self.weight.device.type)
        init(self)

    monkeypatch.setattr(torch.nn.Linear, "reset_parameters", noting)
    for name in ("leaves_eval", "gives_nothing", "idles"):
        with pytest.raises(zoo.ZooError, match=name):
            zoo.create(f"simple+{name}", registry=REGISTRY)
    assert set(built) <= {"meta"}
