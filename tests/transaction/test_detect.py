"""What the engine notices by itself: promises that a modifier breaks, and hand edits that it doesn't tell of."""

from __future__ import annotations

import copy
import pickle
import types
from collections.abc import Callable
from typing import Any

import pytest
import torch
import zoo_archs
import zoo_modifiers
from torch import Tensor, nn

import zoo


class Doubled(zoo.Mixin):
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return super().forward(*args, **kwargs) * 2


class MyLinear(nn.Linear):
    """Another class with the same insides."""


def seen(module: nn.Module, args: Any) -> None:
    """A user's hook."""


def watched(grad: Tensor) -> None:
    """A user's hook on a parameter."""


class Net(nn.Module):
    """Something of everything that a modifier can spoil."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 4)
        self.act = nn.ReLU()
        self.again = self.act
        self.b = nn.Linear(4, 4)
        self.b.weight = self.a.weight
        self.norm = nn.BatchNorm1d(4)
        self.head = nn.Sequential(nn.Dropout(0.1), nn.Linear(4, 2))
        self.rate = 0.5
        self.sizes = [1, 2]
        self.table = {"x": [1]}
        self.a.register_forward_pre_hook(seen)
        self.a.weight.register_hook(watched)
        self.norm.register_buffer("steps", torch.zeros(1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.again(self.b(self.act(self.a(x))))))


class Holding(nn.Module):
    """Calls a layer through a plain attribute."""

    def __init__(self, hold: Callable[[nn.Module], Any]) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.held = hold(self.fc)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)


class Spare(nn.Module):
    """Of two activations and two layers, a forward reaches one."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 2)
        self.act = nn.ReLU()
        self.unused_act = nn.ReLU()
        self.unused = nn.Linear(4, 2)
        self.rest = nn.ModuleList([nn.ReLU(), nn.Tanh()])
        self.width = 4

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.fc(x))


@zoo.arch(sites={"head": "fc"}, sample=(4,))
def spare() -> nn.Module:
    """A net with parts that nothing calls."""
    return Spare()


Function = Callable[[Any], Any]
BAD: list[tuple[zoo.Modifier, type[Exception], str]] = []
GOOD: list[tuple[zoo.Modifier, list[tuple[Any, ...]]]] = []
ALREADY: list[tuple[zoo.Modifier, str, str]] = []
OTHER: list[zoo.Modifier] = []


def declared(function: Function) -> zoo.Modifier:
    function.__doc__ = "An edit by hand."
    return zoo.modifier(function)


def bad(error: type[Exception], text: str) -> Callable[[Function], None]:
    """A modifier that must raise this; a text that ends in … is the start of the message."""
    return lambda function: BAD.append((declared(function), error, text))


def good(*expected: tuple[Any, ...]) -> Callable[[Function], None]:
    """A modifier whose changes must be these: path, what, before, after, added, removed, aliases."""
    return lambda function: GOOD.append((declared(function), list(expected)))


def already(path: str, value: str) -> Callable[[Function], None]:
    """A modifier that sets what is so."""
    return lambda function: ALREADY.append((declared(function), path, value))


def other(function: Function) -> zoo.Modifier:
    OTHER.append(declared(function))
    return OTHER[-1]


# --- bad modifiers -----------------------------------------------------------------------------------------------


@bad(zoo.PluginError, "modifier 'gives_nothing' returned NoneType; it must return the model")
def gives_nothing(model):
    model.rate = 0.1


@bad(zoo.PluginError, "modifier 'gives_a_number' returned int; it must return the model")
def gives_a_number(model):
    return 3


@bad(zoo.PluginError, "modifier 'gives_a_class' returned type; it must return the model")
def gives_a_class(model):
    return type(model)


@bad(zoo.PluginError, "modifier 'gives_another' returned a Linear for a Net; a variant stays of its base's class")
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
    "idles changed nothing: it found nothing to work on in this Net",
)
def idles(model):
    return model


@bad(
    zoo.NotApplicableError,
    "looks changed nothing: it found nothing to work on in this Net",
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


@bad(zoo.PluginError, "modifier 'mistypes' of zoo-acme raised AttributeError: 'Net' object has no attribute 'fc'")
def mistypes(model):
    model.fc.p = 1
    return model


@bad(zoo.NotApplicableError, "this needs a recurrent layer")
def declines(model):
    raise zoo.NotApplicableError("this needs a recurrent layer")


@bad(
    zoo.NotApplicableError,
    "there is no module at 'fc'; in this Net there is: a, act, again, b, norm, head; "
    "say where, as in misses(..., at=...)",
)
def misses(model):
    return zoo.replace(model, "fc", nn.Identity())


# --- good ones ---------------------------------------------------------------------------------------------------


@good(("norm", "eps", "1e-05", "0.001"))
def sets_attribute(model):
    model.norm.eps = 1e-3
    return model


@good(("", "rate", "0.5", "0.1"))
def sets_root_attribute(model):
    model.rate = 0.1
    return model


@good(("norm", "extra", "unset", "3"))
def adds_attribute(model):
    model.norm.extra = 3
    return model


@good(("", "rate", "0.5", "unset"))
def deletes_attribute(model):
    del model.rate
    return model


@good(("", "sizes", "[1, 2]", "[1, 2, 3]"))
def appends_to_a_list(model):
    model.sizes.append(3)
    return model


@good(("", "table", "{'x': [1]}", "{'x': [1, 2]}"))
def appends_deeper(model):
    model.table["x"].append(2)
    return model


@good(("head.0", "replaced", "Dropout(p=0.1, inplace=False)", "Dropout(p=0.3, inplace=False)"))
def sets_item(model):
    model.head[0] = nn.Dropout(0.3)
    return model


LINEAR = "Linear(in_features=4, out_features={}, bias=True)"


@good(("head.1", "replaced", LINEAR.format(2), LINEAR.format(3), 15, 10))
def sets_item_with_weights(model):
    model.head[1] = nn.Linear(4, 3)
    return model


@good(("head.1", "replaced", LINEAR.format(2), LINEAR.format(2), 10, 10))
def draws_weights_again(model):
    model.head[1] = nn.Linear(4, 2)
    return model


@good(("head.2", "added", "", "Linear(in_features=2, out_features=2, bias=True)", 6))
def appends_layer(model):
    model.head.append(nn.Linear(2, 2))
    return model


@good(("head", "replaced", "Sequential(0: Dropout, 1: Linear)", "Sequential(0: Linear)", 10, 10))
def replaces_container(model):
    model.head = nn.Sequential(nn.Linear(4, 2))
    return model


@good(("norm", "removed", repr(nn.BatchNorm1d(4)), "", 0, 8))
def deletes_layer(model):
    del model.norm
    return model


@good(("norm.weight", "requires_grad", "True", "False"))
def freezes(model):
    model.norm.weight.requires_grad = False
    return model


@good(
    ("head.1.weight", "requires_grad", "True", "False"),
    ("head.1.bias", "requires_grad", "True", "False"),
)
def freezes_layer(model):
    model.head[1].requires_grad_(False)
    return model


@good(("norm.weight", "values", "float32[4]", "float32[4]"))
def writes_weights(model):
    nn.init.constant_(model.norm.weight, 2)
    return model


@good(("norm.running_mean", "values", "float32[4]", "float32[4]"))
def writes_buffer(model):
    model.norm.running_mean += 1
    return model


@good(("norm", "hook added", "", "seen"))
def adds_hook(model):
    model.norm.register_forward_pre_hook(seen)
    return model


@good(("norm.weight", "hook added", "", "watched"), ("norm.bias", "hook added", "", "watched"))
def adds_tensor_hooks(model):
    model.norm.weight.register_hook(watched)
    model.norm.bias.register_post_accumulate_grad_hook(watched)
    return model


@good(("head", "order", "0, 1", "1, 0"))
def reorders(model):
    model.head._modules["0"] = model.head._modules.pop("0")
    return model


@good(("head.2", "added", "", "ReLU()"))
def adds_in_front(model):
    return zoo.add(model, "head", "2", nn.ReLU(), first=True)


@good(("norm.bias", "replaced", "float32[4]", "float32[4]", 0, 4))
def ties(model):
    model.norm.bias = model.norm.weight
    return model


@good(
    ("norm.weight", "replaced", "float32[4]", "float32[4]", 4, 4),
    ("norm.bias", "replaced", "float32[4]", "float32[4]", 0, 4),
)
def ties_anew(model):
    model.norm.weight = model.norm.bias = nn.Parameter(torch.ones(4))
    return model


@good(
    ("head.2", "added", "", "Linear(in_features=2, out_features=2, bias=True)", 6),
    ("head.3", "added", "", "Linear(in_features=2, out_features=2, bias=True)", 2),
)
def adds_two_that_are_tied(model):
    model.head.extend([nn.Linear(2, 2), nn.Linear(2, 2)])
    model.head[3].weight = model.head[2].weight
    return model


@good(("scale", "added", "", "float32[3]", 3))
def adds_parameter(model):
    model.scale = nn.Parameter(torch.ones(3))
    return model


@good(("head.1.gain", "added", "", "float32[2]"))
def adds_buffer(model):
    model.head[1].register_buffer("gain", torch.ones(2))
    return model


@good(("norm.weight", "replaced", "float32[4]", "float32[4]", 4, 4))
def replaces_parameter(model):
    model.norm.weight = nn.Parameter(torch.ones(4))
    return model


@good(("norm.weight", "removed", "float32[4]", "", 0, 4))
def removes_parameter(model):
    model.norm.weight = None
    return model


@good(("head.1", "class", "Linear", "MyLinear"))
def swaps_class(model):
    model.head[1].__class__ = MyLinear
    return model


@good(("norm", "became", "BatchNorm1d", "Doubled(BatchNorm1d)"))
def becomes(model):
    return zoo.become(model, "norm", Doubled)


@good(("act", "replaced", "ReLU()", "SiLU()", 0, 0, ("again",)))
def replaces_shared(model):
    return zoo.replace(model, "again", nn.SiLU())


@good(("act", "replaced", "ReLU()", "SiLU()", 0, 0, ("again",)))
def replaces_shared_by_hand(model):
    model.act = model.again = nn.SiLU()
    return model


@good(("norm", "inserted before", "", "Linear(in_features=4, out_features=4, bias=True)", 20))
def inserts(model):
    return zoo.insert_before(model, "norm", nn.Linear(4, 4))


@other
def inserts_twice(model):
    return zoo.insert_before(zoo.insert_before(model, "norm", nn.Dropout(0.1)), "norm", nn.Linear(4, 4))


@good(("a", "eps", "unset", "1"), ("norm", "eps", "1e-05", "1"), ("head.0", "p", "0.1", "0.2"))
def sets_several(model):
    model.head[0].p = 0.2
    model.norm.eps = 1
    model.a.eps = 1
    return model


# --- what was already so -----------------------------------------------------------------------------------------


@already("norm", "eps=1e-05")
def sets_same_eps(model):
    model.norm.eps = 1e-5
    return model


@already("", "rate=0.5")
def sets_same_rate(model):
    setattr(model, "rate", 0.5)  # noqa: B010
    return model


@already("head.0", "Dropout(p=0.1, inplace=False)")
def sets_equal_item(model):
    model.head[0] = nn.Dropout(0.1)
    return model


@already("head.0", "Dropout(p=0.1, inplace=False)")
def sets_same_item(model):
    model.head[0] = model.head[0]
    return model


@already("norm.weight", "requires_grad=True")
def thaws_what_is_thawed(model):
    model.norm.weight.requires_grad_(True)
    return model


@already("norm.weight", "requires_grad=True")
def thaws_by_attribute(model):
    model.norm.weight.requires_grad = True
    return model


# --- others, for single tests ------------------------------------------------------------------------------------


@other
def replaces_fc(model):
    model.fc = nn.Linear(4, 4)
    return model


@other
def replaces_fc_with_zoo(model):
    return zoo.replace(model, "fc", nn.Linear(4, 4))


@other
def turns_round(model, /, at: zoo.Where = "*"):
    for module in zoo.select(model, at).values():
        first = next(iter(module._modules))
        module._modules[first] = module._modules.pop(first)
    return model


@other
def hooks_the_head(model):
    model.head[1].weight.register_hook(lambda grad: 1 / 0)
    return model


@other
def moves_to_meta(model):
    return model.to("meta")


@other
def sets_private(model):
    model._secret = 1
    return model


@other
def stops(model):
    model.rate = 0.1
    raise KeyboardInterrupt


@other
def swaps_unused_act(model):
    model.unused_act = nn.SiLU()
    return model


@other
def writes_unused_weights(model):
    nn.init.zeros_(model.unused.weight)
    return model


@other
def freezes_unused(model):
    model.unused.requires_grad_(False)
    return model


@other
def sets_width(model):
    model.width = 5
    return model


@other
def inserts_at_unused(model):
    return zoo.insert_before(model, "unused", nn.Dropout())


@other
def swaps_both_acts(model):
    model.act, model.unused_act = nn.SiLU(), nn.SiLU()
    return model


@other
def replaces_tied(model):
    return zoo.replace(model, "1", nn.Linear(4, 4))


def _acme() -> types.ModuleType:
    """A third party's plugin with all of these."""
    module = types.ModuleType("zoo_acme")
    module.zoo_archs = zoo.hookimpl(lambda: [spare])
    module.zoo_modifiers = zoo.hookimpl(lambda: [m for m, *_ in [*BAD, *GOOD, *ALREADY]] + OTHER)
    return module


REGISTRY = zoo.Registry.of(zoo_archs, zoo_modifiers, _acme(), owner="zoo-acme")


def modify(model: nn.Module, mods: str) -> nn.Module:
    return zoo.modify(model, mods, registry=REGISTRY)


def test_the_plugin_loads() -> None:
    assert [p.reason for p in REGISTRY.plugins] == ["", "", ""]


# --- tests -------------------------------------------------------------------------------------------------------


def names(table: list[Any]) -> list[str]:
    return [row[0].name for row in table]


@pytest.mark.parametrize(("modifier", "error", "text"), BAD, ids=names(BAD))
def test_a_bad_modifier_is_refused_by_name(modifier: zoo.Modifier, error: type[Exception], text: str) -> None:
    model = Net()
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
        modify(Net(), name)
    assert type(caught.value.__cause__) is cause


def test_the_part_that_broke_a_promise_is_named_in_a_chain() -> None:
    with pytest.raises(zoo.PluginError, match=r"in part 2, 'leaves_eval', of 'sets_attribute\+leaves_eval'$"):
        modify(model := Net(), "sets_attribute+leaves_eval")
    assert model.norm.eps == 1e-5
    assert model.training


def test_an_interrupt_passes_through_and_leaves_nothing() -> None:
    model = Net()
    with pytest.raises(KeyboardInterrupt):
        modify(model, "sets_attribute+stops")
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


DEAD = [
    ("swaps_unused_act", "'unused_act'"),
    ("writes_unused_weights", "'unused.weight'"),
    ("freezes_unused", "'unused.weight', 'unused.bias'"),
    ("sets_width", "the model itself"),
    ("inserts_at_unused", "'unused'"),
]


ATTEMPTS: dict[str, Function] = {
    "create": lambda name: zoo.create(f"spare+{name}", registry=REGISTRY),
    "modify": lambda name: modify(zoo.create("spare", registry=REGISTRY), name),
}


@pytest.mark.parametrize("attempt", ATTEMPTS)
@pytest.mark.parametrize(("name", "sites"), DEAD)
def test_a_change_that_no_forward_reaches(name: str, sites: str, attempt: str) -> None:
    with pytest.raises(zoo.NotApplicableError) as caught:
        ATTEMPTS[attempt](name)
    text = f"{name} would change {sites}, which no forward of the model reaches"
    assert str(caught.value).partition("\n")[0] == text


def test_each_of_two_insertions_at_one_place_is_recorded() -> None:
    rows = {(c.path, c.what, c.after, c.added) for c in zoo.changes(modify(Net(), "inserts_twice"))}
    linear = ("norm", "inserted before", "Linear(in_features=4, out_features=4, bias=True)", 20)
    assert rows == {("norm", "inserted before", "Dropout(p=0.1, inplace=False)", 0), linear}


def test_live_is_told_of_each_place() -> None:
    model = zoo.create("spare+swaps_both_acts", registry=REGISTRY)
    assert [(c.path, c.live) for c in zoo.changes(model)] == [("act", True), ("unused_act", False)]
    assert str(zoo.changes(model)) == (
        "swaps_both_acts\n"
        "  act: replaced ReLU() → SiLU()\n"
        "  unused_act: replaced ReLU() → SiLU(), not reached by a forward"
    )


def test_a_new_order_is_live_as_its_container_is() -> None:
    for spec, path in (("convnet(channels=4, depth=2)", "blocks"), ("simple", "layers1")):
        model = zoo.create(f"{spec}+turns_round({path})", registry=REGISTRY)
        (change,) = zoo.changes(model)
        assert (change.path, change.what, change.before, change.after) == (path, "order", "0, 1", "1, 0")
        assert change.live is True
        assert list(model.get_submodule(path)._modules) == ["1", "0"]
    with pytest.raises(zoo.NotApplicableError) as caught:
        zoo.create("spare+turns_round(rest)", registry=REGISTRY)
    assert str(caught.value).startswith("turns_round would change 'rest', which no forward of the model reaches")


def test_what_has_no_order_has_none_to_tell_of() -> None:
    """Only containers run their children in the order in which they are registered."""
    with pytest.raises(zoo.NoEffectError, match=r"^turns_round changed nothing"):
        modify(Net(), "turns_round('')")


def test_a_refused_hook_on_a_parameter_is_taken_back() -> None:
    model, fired = Net(), []
    users = model.head[1].weight.register_hook(lambda grad: fired.append("user"))
    with pytest.raises(zoo.PluginError):
        modify(model, "adds_tensor_hooks+hooks_the_head+explodes")
    assert [p._backward_hooks for p in model.norm.parameters()] == [None, None]
    assert [p._post_accumulate_grad_hooks for p in model.norm.parameters()] == [None, None]
    model(torch.randn(3, 4)).sum().backward()
    assert fired == ["user"]
    users.remove()
    model(torch.randn(3, 4)).sum().backward()
    assert fired == ["user"], "the handle still removes it"


def test_live_is_unknown_for_a_model_that_the_zoo_has_no_arch_for() -> None:
    assert [c.live for c in zoo.changes(modify(Net(), "sets_several"))] == [None] * 3


@pytest.mark.parametrize(("modifier", "expected"), GOOD, ids=names(GOOD))
def test_a_hand_edit_is_recorded(modifier: zoo.Modifier, expected: list[tuple[Any, ...]]) -> None:
    model = Net()
    assert modify(model, modifier.name) is model
    rows = [(*row, *(0, 0, ())[len(row) - 4 :]) for row in expected]
    found = zoo.changes(model)
    assert [(c.path, c.what, c.before, c.after, c.added, c.removed, c.aliases) for c in found] == rows
    assert {c.part for c in found} == {modifier.name}
    assert str(zoo.spec_of(model)) == f"?Net+{modifier.name}"


@pytest.mark.parametrize(("modifier", "path", "value"), ALREADY, ids=names(ALREADY))
def test_what_was_already_so_is_recorded_and_no_error(modifier: zoo.Modifier, path: str, value: str) -> None:
    found = zoo.changes(modify(Net(), modifier.name))
    assert [(c.path, c.what, c.before, c.after) for c in found] == [(path, "already", value, value)]


def test_a_private_attribute_is_not_told_as_already_so() -> None:
    model = Net()
    try:
        modify(model, "sets_private")
    except zoo.NotApplicableError:
        assert not hasattr(model, "_secret")
    else:
        assert [c.what for c in zoo.changes(model)] != ["already"]


def test_already_in_a_chain_on_an_arch() -> None:
    model = zoo.create("simple+bn(eps=1e-3)+bn(eps=1e-3)")
    first, second = zoo.changes(model)
    assert (first.what, first.before, first.after, first.live) == ("eps", "1e-05", "0.001", True)
    assert (second.what, second.before, second.live) == ("already", "eps=0.001", True)


def test_the_parameters_added_and_removed_add_up() -> None:
    total = lambda m: sum(p.numel() for p in m.parameters())  # noqa: E731
    for modifier, _ in GOOD:
        model = Net()
        before = total(model)
        found = zoo.changes(modify(model, modifier.name))
        assert total(model) - before == sum(c.added - c.removed for c in found), modifier.name


def test_a_tied_weight_that_stays_is_not_counted_as_removed() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    (change,) = zoo.changes(modify(model, "replaces_tied"))
    assert (change.added, change.removed) == (20, 4)


def test_changes_add_up_over_calls_and_print_as_a_tree() -> None:
    model = Net()
    assert not zoo.changes(model)
    assert str(zoo.changes(model)) == "no changes"
    modify(modify(model, "sets_attribute"), "adds_parameter+sets_same_rate")
    assert str(zoo.changes(model)) == (
        "sets_attribute\n"
        "  norm: eps 1e-05 → 0.001\n"
        "adds_parameter\n"
        "  scale: added float32[3], +3 parameters\n"
        "sets_same_rate\n"
        "  (root): already rate=0.5 → rate=0.5"
    )
    assert str(zoo.spec_of(model)) == "?Net+sets_attribute+adds_parameter+sets_same_rate"


def test_changes_are_plain_values() -> None:
    model = modify(Net(), "sets_several+adds_parameter+replaces_shared")
    found = zoo.changes(model)
    assert pickle.loads(pickle.dumps(found)) == found
    assert copy.deepcopy(found) == found
    assert len({hash(c) for c in found}) == len(found)
    assert zoo.changes(copy.deepcopy(model)) == found
    assert zoo.changes(pickle.loads(pickle.dumps(model))) == found


def test_the_record_adds_no_key() -> None:
    model = modify(Net(), "sets_attribute")
    assert list(model.state_dict()) == list(Net().state_dict())


@pytest.mark.parametrize("name", ["sets_item_with_weights", "appends_layer", "replaces_container"])
def test_what_is_put_in_by_hand_takes_the_mode_of_its_place(name: str) -> None:
    model = Net().eval()
    assert {m.training for m in modify(model, name).modules()} == {False}


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


def test_the_record_sees_writes_on_meta() -> None:
    model = modify(Net().to_empty(device="meta"), "writes_weights+freezes+sets_item_with_weights")
    assert [c.what for c in zoo.changes(model)] == ["values", "requires_grad", "replaced"]


def test_inference_tensors_have_no_version_and_are_no_error() -> None:
    with torch.inference_mode():
        model = Net()
    assert [c.what for c in zoo.changes(modify(model, "sets_attribute"))] == ["eps"]
