"""`zoo.modify` on live models: users' own, torch's, the zoo's; what stays, and that a failure leaves no trace."""

from __future__ import annotations

import copy
import types
from collections.abc import Callable
from typing import Any

import pytest
import torch
import zoo_archs
import zoo_archs.timm_models
import zoo_modifiers
from torch import Tensor, nn
from torch.nn import functional as F

import zoo
from tests.nets import compiled
from tests.pictures import Picture


class MyNet(nn.Module):
    """A user's own model."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.act = nn.ReLU(inplace=True)
        self.fc = nn.Linear(4, 3)
        self.names = ["cat", "dog", "cow"]

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.act(self.bn(self.conv(x))).mean((2, 3)))


def seen(*args: Any) -> None:
    """A user's hook."""


def trained() -> MyNet:
    """Weights that no seed gives, running statistics, a frozen layer, a hook."""
    model = MyNet()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.randn(8, 3, 6, 6) + 1).square().mean().backward()
        optimizer.step()
    model.conv.requires_grad_(False)
    return model


# --- a modifier that fails at its n-th edit ----------------------------------------------------------------------


class Plus(zoo.Mixin):
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return super().forward(*args, **kwargs)


class Sub(nn.Linear):
    """Another class for a Linear."""


def last(model: nn.Module, kind: Any = nn.Module) -> tuple[str, Any]:
    """The last module of a kind, one that came with the model."""
    return [(p, m) for p, m in model.named_modules() if isinstance(m, kind) and "zoo_" not in p][-1]


def parent(model: nn.Module, path: str) -> nn.Module:
    return model.get_submodule(path.rpartition(".")[0])


def weight_anew(model: nn.Module) -> None:
    module = last(model, nn.Linear)[1]
    module.weight = nn.Parameter(torch.zeros_like(module.weight))


def delete_a_child(model: nn.Module) -> None:
    path = last(model, nn.Linear)[0]
    delattr(parent(model, path), path.rpartition(".")[2])


def reorder(model: nn.Module) -> None:
    children = model._modules
    first = next(iter(children))
    children[first] = children.pop(first)


EDITS: dict[str, Callable[[nn.Module], Any]] = {
    "insert before": lambda m: zoo.insert_before(m, last(m, nn.Linear)[0], nn.Dropout(0.3)),
    "insert again": lambda m: zoo.insert_before(m, last(m, nn.Linear)[0], nn.Linear(2, 2)),
    "insert after": lambda m: zoo.insert_after(m, last(m, nn.Linear)[0], nn.Dropout(0.3)),
    "become": lambda m: zoo.become(m, "", Plus, zoo_plus=1),
    "become deeper": lambda m: zoo.become(m, last(m, nn.Linear)[0], Plus),
    "attribute": lambda m: setattr(last(m)[1], "extra", [1]),
    "attribute of the root": lambda m: setattr(m, "num_classes", -1),
    "private attribute": lambda m: setattr(m, "_private", {"a": 1}),
    "mode": lambda m: m.train(not m.training),
    "freeze": lambda m: m.requires_grad_(False),
    "thaw": lambda m: m.requires_grad_(True),
    "hook": lambda m: m.register_forward_hook(seen),
    "kwargs hook": lambda m: last(m)[1].register_forward_pre_hook(seen, with_kwargs=True),
    "backward hook": lambda m: last(m)[1].register_full_backward_hook(seen),
    "state dict hook": lambda m: m.register_state_dict_post_hook(seen),
    "hooks removed": lambda m: m._forward_pre_hooks.clear(),
    "buffer": lambda m: m.register_buffer("gain", torch.ones(2), persistent=False),
    "parameter": lambda m: setattr(m, "scale", nn.Parameter(torch.ones(2))),
    "parameter anew": weight_anew,
    "parameter removed": lambda m: setattr(last(m, nn.Linear)[1], "bias", None),
    "class": lambda m: setattr(last(m, nn.Linear)[1], "__class__", Sub),
    "weight norm": lambda m: nn.utils.parametrizations.weight_norm(last(m, nn.Linear)[1]),
    "replace": lambda m: zoo.replace(m, last(m, nn.Linear)[0], nn.Linear(2, 2)),
    "replace the first": lambda m: zoo.replace(m, next(iter(m._modules)), nn.Identity()),
    "add a child": lambda m: m.add_module("more", nn.Linear(2, 2)),
    "order": reorder,
    "delete a child": delete_a_child,
    "clear": lambda m: m._modules.clear(),
    "wrap and fail": lambda m: nn.Sequential(m),
}


class Broken(Exception):
    """What the failing modifier raises."""


@zoo.modifier
def clumsy(model: nn.Module, /, n: int = 1) -> nn.Module:
    """Make n edits, then raise."""
    for edit in list(EDITS.values())[:n]:
        edit(model)
    raise Broken


@zoo.modifier
def one_edit(model: nn.Module, /, n: int = 1) -> nn.Module:
    """Make the n-th edit alone, then raise."""
    list(EDITS.values())[n - 1](model)
    raise Broken


@zoo.modifier
def harmless(model: nn.Module, /, value: int = 1) -> nn.Module:
    """Edit a little, all of it allowed."""
    model.extra = value
    model.register_forward_hook(seen)
    model.register_buffer("gain", torch.ones(2))
    zoo.insert_before(model, last(model, nn.Linear)[0], nn.Dropout(0.1))
    return zoo.become(model, "", Plus)


@zoo.modifier
def halves(model: nn.Module, /) -> nn.Module:
    """Cast the whole model, which a modifier must not."""
    return model.half()


@zoo.modifier
def writes(model: nn.Module, /, value: float = 7.0) -> nn.Module:
    """Write weights in place."""
    nn.init.constant_(last(model, nn.Linear)[1].weight, value)
    return model


def _acme() -> types.ModuleType:
    module = types.ModuleType("zoo_acme")
    module.zoo_modifiers = zoo.hookimpl(lambda: [clumsy, one_edit, harmless, halves, writes])
    return module


REGISTRY = zoo.Registry.of(zoo_archs, zoo_archs.timm_models, zoo_modifiers, _acme(), owner="zoo-acme")


def modify(model: nn.Module, mods: str, **options: Any) -> nn.Module:
    return zoo.modify(model, mods, registry=REGISTRY, **options)


# --- users' own models and torch's -------------------------------------------------------------------------------


def test_a_users_own_class() -> None:
    model = trained().eval()
    plain, x = copy.deepcopy(model), torch.randn(2, 3, 6, 6)
    assert zoo.modify(model, "act(silu) + bn(eps=0.1) + dropout(0.5, at=fc)") is model
    assert isinstance(model, MyNet)
    assert model.names == ["cat", "dog", "cow"]
    assert isinstance(model.act, nn.SiLU)
    assert model.act.inplace
    assert str(zoo.spec_of(model)) == "?MyNet+act(name=silu)+bn(eps=0.1)+dropout(at=fc)"
    assert zoo.parse(str(zoo.spec_of(model))) == zoo.spec_of(model)
    assert [c.path for c in zoo.changes(model)] == ["act", "bn", "fc"]
    bn = plain.bn
    hidden = F.batch_norm(plain.conv(x), bn.running_mean, bn.running_var, bn.weight, bn.bias, False, 0.1, 0.1)
    torch.testing.assert_close(model(x), plain.fc(F.silu(hidden).mean((2, 3))))
    torch.manual_seed(1)
    dropped = F.dropout(model.act(model.bn(model.conv(x))).mean((2, 3)), 0.5)
    torch.manual_seed(1)
    torch.testing.assert_close(model.train().bn.eval() and model(x), plain.fc(dropped))


def test_an_unknown_base_prints_and_parses_but_cannot_be_built() -> None:
    spec = str(zoo.spec_of(zoo.modify(MyNet(), "act(silu)")))
    with pytest.raises(zoo.UnknownNameError, match=r"'\?MyNet' stands for a model that the zoo didn't make"):
        zoo.create(spec)


@pytest.mark.parametrize("text", ["dropout(0.2)", "simple", "resnet18+dropout(0.2)", "simple(in_features=8)+act(silu)"])
def test_an_arch_in_a_parsed_spec_is_not_passed_over(text: str) -> None:
    model = zoo.create("simple")
    spec = zoo.parse(text)
    with pytest.raises(zoo.OptionError) as raised:
        zoo.modify(model, spec)
    assert str(raised.value) == (
        f"modify takes modifiers, such as 'dropout(0.2)+act(silu)'; '{spec}' is a whole spec, of the arch "
        f"'{spec.base}', and this model's is 'simple'"
    )


def test_a_class_of_any_name_has_a_spec_that_reads_back() -> None:
    for name in ("Réseau", "Net[int]", "My+Net(1)", "1st"):
        made = type(name, (nn.Sequential,), {})
        spec = zoo.spec_of(zoo.modify(made(nn.ReLU()), "act(silu)"))
        assert zoo.parse(str(spec)) == spec
        assert zoo.parse(str(spec)).arch == spec.arch


def test_modify_takes_a_parsed_spec() -> None:
    model = zoo.modify(MyNet(), zoo.spec_of(zoo.modify(MyNet(), "act(silu)+bn(eps=0.1)")))
    assert str(zoo.spec_of(model)) == "?MyNet+act(name=silu)+bn(eps=0.1)"


TORCHS: list[tuple[str, Callable[[], nn.Module], str, str, tuple[int, ...]]] = [
    ("Sequential", lambda: nn.Sequential(nn.Linear(4, 4), nn.ReLU()), "act(silu)", "1", (2, 4)),
    ("Sequential", lambda: nn.Sequential(nn.Linear(4, 4), nn.ReLU()), "dropout(at=Linear)", "0", (2, 4)),
    ("Linear", lambda: nn.Linear(4, 4), "dropout(at=Linear)", "", (2, 4)),
    ("Linear", lambda: nn.Linear(4, 4), "heads(a=2, b=3, at=Linear)", "", (2, 4)),
    ("BatchNorm1d", lambda: nn.BatchNorm1d(4), "bn(eps=0.1)", "", (2, 4)),
    ("ModuleList", lambda: nn.ModuleList([nn.ReLU()]), "act(silu)", "0", ()),
    ("ModuleDict", lambda: nn.ModuleDict({"a": nn.ReLU()}), "act(silu)", "a", ()),
    ("LSTM", lambda: nn.LSTM(4, 4, batch_first=True), "dropout(at=LSTM)", "", (2, 3, 4)),
    ("Transformer", lambda: nn.Transformer(4, 2, 1, 1, 4, batch_first=True), "dropout(at=encoder)", "encoder", ()),
]


@pytest.mark.parametrize(("name", "build", "mods", "path", "shape"), TORCHS, ids=[f"{t[0]}-{t[2]}" for t in TORCHS])
def test_a_model_of_torch(name: str, build: Any, mods: str, path: str, shape: tuple[int, ...]) -> None:
    model = zoo.modify(build(), mods)
    assert str(zoo.spec_of(model)).startswith(f"?{name}+{mods.partition('(')[0]}")
    assert path in {c.path for c in zoo.changes(model)}
    if shape:
        model(torch.randn(shape))


def test_the_root_is_the_match() -> None:
    relu = nn.ReLU(inplace=True).eval()
    model = zoo.modify(relu, "act(silu)")
    assert type(model) is nn.SiLU
    assert model.inplace
    assert not model.training
    assert str(zoo.spec_of(model)) == "?ReLU+act(name=silu)"
    assert [(c.path, c.what, c.before, c.after) for c in zoo.changes(model)] == [
        ("", "replaced", "ReLU(inplace=True)", "SiLU(inplace=True)")
    ]
    again = zoo.modify(model, "act(tanh)")
    assert type(again).__name__ == "Tanh"
    assert str(zoo.spec_of(again)) == "?ReLU+act(name=silu)+act(name=tanh)"
    assert len(zoo.changes(again)) == 2


def test_the_root_is_replaced_and_then_something_fails() -> None:
    relu = nn.ReLU()
    with pytest.raises(zoo.NotApplicableError):
        zoo.modify(relu, "act(silu)+bn(eps=0.1)")
    assert type(relu) is nn.ReLU
    assert zoo.changes(relu) == ()


NOTHING: list[tuple[str, type[Exception], str]] = [
    ("bn(eps=0.1)", zoo.NotApplicableError, "this Linear has no BatchNorm"),
    ("act(silu)", zoo.NotApplicableError, "this Linear has no activation that is a module"),
    ("dropout", zoo.NotApplicableError, "this Linear names no 'head'; say where"),
    ("dropout(at=fc)", zoo.NoEffectError, "at=fc matches nothing in this Linear"),
    ("dropot", zoo.UnknownNameError, "no modifier 'dropot'; did you mean 'dropout'?"),
    ("dropout(p=2)", zoo.OptionError, "dropout"),
    ("", zoo.SpecError, ""),
    ("dropout++dropout", zoo.SpecError, ""),
]


@pytest.mark.parametrize(("mods", "error", "text"), NOTHING)
def test_modify_on_what_has_nothing_for_it(mods: str, error: type[Exception], text: str) -> None:
    model = nn.Linear(4, 4)
    before = Picture(model)
    with pytest.raises(error) as caught:
        zoo.modify(model, mods)
    assert str(caught.value).startswith(text)
    before.assert_same(Picture(model))


# --- copies ------------------------------------------------------------------------------------------------------


def test_a_copy_leaves_the_original_alone() -> None:
    model = trained()
    before, x = Picture(model), torch.randn(2, 3, 6, 6)
    was = {name: t.clone() for name, t in model.state_dict().items()}
    other = zoo.modify(model, "act(silu)+dropout(0.5, at=fc)+bn(eps=0.1)", copy=True)
    before.assert_same(Picture(model))
    assert zoo.changes(model) == ()
    assert other is not model
    assert isinstance(other, MyNet)
    assert not {id(m) for m in model.modules()} & {id(m) for m in other.modules()}
    assert not {p.data_ptr() for p in model.parameters()} & {p.data_ptr() for p in other.parameters()}
    other(x).sum().backward()
    nn.init.zeros_(other.fc.weight)
    assert all(torch.equal(t, was[name]) for name, t in model.state_dict().items())


def test_a_copy_of_a_root_that_is_replaced() -> None:
    relu = nn.ReLU()
    assert isinstance(zoo.modify(relu, "act(silu)", copy=True), nn.SiLU)
    assert zoo.changes(relu) == ()


def test_a_copy_of_a_copy_can_be_told_apart() -> None:
    first = zoo.modify(MyNet(), "act(silu)")
    second = zoo.modify(first, "act(gelu)", copy=True)
    assert str(zoo.spec_of(first)) == "?MyNet+act(name=silu)"
    assert str(zoo.spec_of(second)) == "?MyNet+act(name=silu)+act(name=gelu)"


# --- what stays --------------------------------------------------------------------------------------------------

MODS = ["act(silu)", "bn(eps=0.1, momentum=0.2)", "dropout(0.5, at=fc)", "heads(a=2, b=3, at=fc)"]


@pytest.mark.parametrize("mods", [*MODS, "+".join(MODS[:3])])
@pytest.mark.parametrize("training", [True, False])
def test_trained_weights_mode_hooks_and_frozen_layers_stay(mods: str, training: bool) -> None:
    model, fired = trained().train(training), []
    handle = model.act.register_forward_hook(lambda *_: fired.append("act"))
    model.bn.eval()
    modes = {path: m.training for path, m in model.named_modules()}
    values = {name: (id(t), t.detach().clone()) for name, t in model.state_dict(keep_vars=True).items()}
    grads = {name: p.grad for name, p in model.named_parameters()}
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    zoo.modify(model, mods)
    heads = mods.startswith("heads")
    state = model.state_dict(keep_vars=True)
    for name, (number, value) in values.items():
        if not (heads and name.startswith("fc.")):
            assert id(state[name]) == number
            assert torch.equal(state[name], value)
    assert heads or list(state) == list(values)
    assert all(m.training == modes.get(path, model.fc.training) for path, m in model.named_modules())
    assert {name for name, p in model.named_parameters() if not p.requires_grad} == frozen
    assert all(p.grad is grads[name] for name, p in model.named_parameters() if name in grads and not heads)
    model(torch.randn(2, 3, 6, 6))
    handle.remove()
    model(torch.randn(2, 3, 6, 6))
    assert fired == ["act"]


@pytest.mark.parametrize("mods", [*MODS, "+".join(MODS)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_device_and_dtype_stay(mods: str, dtype: torch.dtype, device: str) -> None:
    model = zoo.modify(MyNet().to(device, dtype), mods)
    tensors = [t for t in model.state_dict().values() if t.is_floating_point()]
    assert {(t.device.type, t.dtype) for t in tensors} == {(device, dtype)}
    out = model(torch.randn(2, 3, 6, 6, device=device, dtype=dtype))
    assert {t.dtype for t in (out.values() if isinstance(out, dict) else [out])} == {dtype}


def test_a_model_of_the_zoo_keeps_its_spec() -> None:
    model = zoo.create("simple+act(gelu)")
    zoo.modify(zoo.modify(model, "dropout"), "bn(eps=0.1)")
    assert str(zoo.spec_of(model)) == "simple+act(name=gelu)+dropout+bn(eps=0.1)"
    assert [c.path for c in zoo.changes(model)] == ["layers1.1", "layers2.1", "layers3.0", "layers3.0"]
    assert zoo.spec_of(zoo.create(str(zoo.spec_of(model)))) == zoo.spec_of(model)


def test_modify_gives_what_create_gives() -> None:
    parts = "act(silu)+dropout(0.2)+bn(eps=1e-4)"
    torch.manual_seed(0)
    created = zoo.create(f"convnet+{parts}").eval()
    torch.manual_seed(0)
    modified = zoo.modify(zoo.create("convnet"), parts).eval()
    x = torch.randn(2, 3, 16, 16)
    assert torch.equal(created(x), modified(x))
    assert zoo.changes(created) == zoo.changes(modified)
    assert zoo.spec_of(created) == zoo.spec_of(modified)


# --- compiled models ---------------------------------------------------------------------------------------------


SHOWS = ["replace(act, Tanh())", "dropout(1.0, at=fc)", "bn(eps=9.0)", "act(silu)+dropout(1.0, at=fc)"]


@pytest.mark.parametrize("mods", SHOWS)
@pytest.mark.parametrize("before", [True, False])
def test_a_compiled_model_sees_the_edit(mods: str, before: bool) -> None:
    model, x = trained(), torch.randn(2, 3, 6, 6)
    model.bn.eval()
    expected = zoo.modify(copy.deepcopy(model), mods)(x)
    wrapper = compiled(model)
    if before:
        assert not torch.allclose(wrapper(x), expected)
    result = zoo.modify(wrapper, mods)
    for one in (wrapper, model, result):
        torch.testing.assert_close(one(x), expected)
    assert str(zoo.spec_of(wrapper)) == str(zoo.spec_of(model))
    assert zoo.changes(wrapper) == zoo.changes(model) != ()
    assert [c.path for c in zoo.changes(wrapper) if c.path.startswith("_orig_mod")] == []


def test_modify_returns_the_compiled_model_that_it_was_given() -> None:
    wrapper = compiled(MyNet())
    assert zoo.modify(wrapper, "act(silu)") is wrapper


@pytest.mark.parametrize("mods", SHOWS)
def test_a_module_that_compiled_itself_sees_the_edit(mods: str) -> None:
    model, x = trained(), torch.randn(2, 3, 6, 6)
    model.bn.eval()
    expected = zoo.modify(copy.deepcopy(model), mods)(x)
    torch._dynamo.reset()
    model.compile(backend="eager", fullgraph=True)
    assert not torch.allclose(model(x), expected)
    torch.testing.assert_close(zoo.modify(model, mods)(x), expected)


# --- all or nothing ----------------------------------------------------------------------------------------------


def tied() -> nn.Module:
    model = nn.ModuleDict({"a": nn.Linear(4, 4), "act": nn.ReLU(), "b": nn.Linear(4, 4)})
    model["b"].weight = model["a"].weight
    model["again"] = model["act"]
    return model


TIMM = [
    "resnet18",
    "vit_tiny_patch16_224(depth=2)",
    "convnext_atto(depths=[1, 1, 1, 1])",
    "efficientnet_b0",
    "mobilenetv3_small_050",
    "swin_tiny_patch4_window7_224(depths=[1, 1, 1, 1])",
]
MODELS: dict[str, Callable[[], nn.Module]] = {
    "MyNet": trained,
    "tied": tied,
    "simple": lambda: zoo.create("simple", registry=REGISTRY),
    "simple+dropout": lambda: zoo.create("simple+dropout+bn(eps=0.1)", registry=REGISTRY),
    "mlp": lambda: zoo.create("mlp(8, hidden=[8])", registry=REGISTRY),
    "convnet": lambda: zoo.create("convnet(channels=4, depth=1)", registry=REGISTRY),
    "resnet18, real": lambda: zoo.create("resnet18", registry=REGISTRY),
} | {name: lambda name=name: zoo.create(name, registry=REGISTRY, device="meta") for name in TIMM}


def prepared(name: str) -> nn.Module:
    """A model with a frozen part, a part in eval mode, and hooks."""
    model = MODELS[name]()
    next(model.parameters()).requires_grad_(False)
    last(model)[1].eval()
    model.register_forward_pre_hook(seen)
    last(model, nn.Linear)[1].register_forward_hook(seen, with_kwargs=True)
    return model


@pytest.mark.parametrize("name", MODELS)
def test_a_modifier_that_fails_at_any_edit_leaves_no_trace(name: str) -> None:
    model = prepared(name)
    before = Picture(model)
    told = zoo.changes(model)
    small = name not in [*TIMM, "resnet18, real"]
    chains = ["harmless+clumsy({n})", "one_edit({n})", "clumsy({n})"][: 3 if small else 1]
    for number in range(1, len(EDITS) + 1):
        for mods in (chain.format(n=number) for chain in chains):
            with pytest.raises(zoo.PluginError, match="of zoo-acme raised Broken"):
                modify(model, mods)
            before.assert_same(Picture(model, bits=False))
    before.assert_same(Picture(model))
    assert zoo.changes(model) == told


@pytest.mark.parametrize("name", ["MyNet", "simple+dropout", "resnet18, real"])
def test_a_promise_that_is_broken_late_leaves_no_trace(name: str) -> None:
    model = prepared(name)
    before = Picture(model)
    with pytest.raises(zoo.PluginError, match=r"^modifier 'halves' moved "):
        modify(model, "harmless+halves")
    before.assert_same(Picture(model))


@pytest.mark.parametrize("name", ["MyNet", "simple+dropout"])
def test_a_selector_that_matches_nothing_leaves_no_trace(name: str) -> None:
    model = prepared(name)
    before = Picture(model)
    with pytest.raises(zoo.NoEffectError, match="in part 2"):
        modify(model, "harmless+dropout(at=[Linear, nowhere])")
    before.assert_same(Picture(model))


def test_after_a_failure_the_same_model_can_be_modified() -> None:
    model, x = trained().eval(), torch.randn(2, 3, 6, 6)
    expected = zoo.modify(model, "act(silu)", copy=True)(x)
    with pytest.raises(zoo.PluginError):
        modify(model, "act(gelu)+clumsy(20)")
    torch.testing.assert_close(zoo.modify(model, "act(silu)")(x), expected)
    assert len(zoo.changes(model)) == 1


def test_a_handle_that_was_taken_before_a_failure_still_removes_its_hook() -> None:
    model, fired = MyNet().eval(), []
    handles = [
        model.fc.register_forward_hook(lambda *_: fired.append("post")),
        model.act.register_forward_pre_hook(lambda *_: fired.append("pre")),
    ]
    with pytest.raises(zoo.PluginError):
        modify(model, "replace(act, Tanh())+replace(fc, Linear(4, 2))+clumsy(3)")
    model(torch.randn(1, 3, 6, 6))
    assert fired == ["pre", "post"]
    for handle in handles:
        handle.remove()
    model(torch.randn(1, 3, 6, 6))
    assert fired == ["pre", "post"]


def test_what_was_written_in_place_is_told() -> None:
    model = modify(MyNet(), "writes(3.0)")
    assert [(c.path, c.what) for c in zoo.changes(model)] == [("fc.weight", "values")]
    assert model.fc.weight.eq(3).all()


def test_a_failed_copy_leaves_the_original() -> None:
    model = prepared("MyNet")
    before = Picture(model)
    with pytest.raises(zoo.PluginError):
        modify(model, "harmless+clumsy(5)", copy=True)
    before.assert_same(Picture(model))


class Named(nn.Module):
    def __init__(self, name: str, others: int = 0) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 16), nn.ReLU())
        self.add_module(name, nn.Linear(16, 3))
        for other in ("fc", "heads")[:others]:
            self.add_module(other, nn.Linear(3, 3))
        self.name = name

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.get_submodule(self.name)(self.body(x))  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", ["head", "fc", "classifier", "heads"])
def test_a_users_class_has_a_head_where_its_name_says_so(name: str) -> None:
    model = zoo.modify(Named(name), "dropout(0.2)+heads(a=3, b=1)")
    assert str(zoo.spec_of(model)) == "?Named+dropout(p=0.2)+heads(a=3, b=1)"
    assert list(zoo.select(model, "head")) == [name]
    assert {key: tuple(value.shape) for key, value in model(torch.zeros(2, 8)).items()} == {"a": (2, 3), "b": (2, 1)}


@pytest.mark.parametrize("model", [Named("out"), Named("classifier", others=1)])
def test_a_head_is_not_guessed_where_it_is_not_clear(model: nn.Module) -> None:
    with pytest.raises(zoo.NotApplicableError, match="names no 'head'; say where, as in dropout"):
        zoo.modify(model, "dropout(0.2)")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"group": 0}, "group= says where an optimizer's new parameters go; give the optimizer too"),
        ({"optimizer": 3}, "optimizer=3; expected a torch.optim.Optimizer, or a list of them"),
    ],
)
def test_what_does_not_go_with_an_optimizer(options: dict[str, Any], text: str) -> None:
    model = zoo.create("simple")
    with pytest.raises(zoo.OptionError) as raised:
        zoo.modify(model, "dropout(0.2)", **options)
    assert str(raised.value) == text
    assert not zoo.changes(model)
