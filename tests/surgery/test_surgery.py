"""The walker and its edits, each known trap of editing a live network by name."""

from __future__ import annotations

import copy
import inspect
import io
import pickle
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

import zoo

# --- nets and layers ---------------------------------------------------------------------------------------------


class Shift(nn.Module):
    """2x + by: visible in any output, and two of them show their order."""

    def __init__(self, by: float = 1.0) -> None:
        super().__init__()
        self.by = nn.Parameter(torch.tensor(by))

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x + self.by


class Net(nn.Module):
    """A convolution, an activation, a linear head whose `in_features` the forward reads."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.act = nn.ReLU()
        self.fc = nn.Linear(4, 2)

    def pooled(self, x: Tensor) -> Tensor:
        return self.act(self.conv(x)).mean((2, 3)).reshape(-1, self.fc.in_features)

    def forward(self, x: Tensor, scale: float = 1.0) -> Tensor:
        return self.fc(self.pooled(x)) * scale


class Negated(zoo.Mixin):
    """A become that shows."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return -super().forward(*args, **kwargs)


class Plus(zoo.Mixin):
    """A become with state."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return super().forward(*args, **kwargs) + self.zoo_plus


class Family(nn.Module):
    """One activation under two names here, and once more inside a child."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU()
        self.again = self.act
        self.inner = nn.Sequential(nn.Linear(3, 3), self.act)

    def forward(self, x: Tensor) -> Tensor:
        return self.again(self.inner(self.act(x)))


class Sliced(nn.Module):
    """Indexes, slices, counts and iterates its Sequential."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3))

    def forward(self, x: Tensor) -> Tensor:
        assert len(self.body) == 3
        assert [type(m).__name__ for m in self.body] == ["Linear", "Tanh", "Linear"]
        return self.body[-1](self.body[:2](x))


class Residual(nn.Sequential):
    """A Sequential with a forward of its own that runs all that is in it."""

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


class Each(nn.ModuleDict):
    """A ModuleDict that is called, and iterates itself."""

    def forward(self, x: Tensor) -> Tensor:
        return sum((m(x) for m in self.values()), torch.zeros(()))


class Listed(nn.ModuleList):
    """A ModuleList that is called, and iterates itself."""

    def forward(self, x: Tensor) -> Tensor:
        for m in self:
            x = m(x)
        return x


class Tied(nn.Module):
    """Input embedding and output layer share one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 4)
        self.mid = nn.Linear(4, 4)
        self.out = nn.Linear(4, 5, bias=False)
        self.out.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.mid(self.embed(x)))


class SelfTied(nn.Module):
    """A layer whose two parts share one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
        self.b.weight = self.a.weight
        self.register_buffer("steps", torch.zeros(2, dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x))


@zoo.arch(sites={"fc": "body.0", "ends": ("body.0", "body.2"), "nowhere": "gone"}, sample=(3,))
def sited() -> nn.Module:
    """A net whose site `fc` and path `fc` differ, and which has a path called as a class."""
    net = nn.Module()
    net.body = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
    net.fc = nn.Linear(3, 2)
    net.ReLU = nn.Tanh()
    return net


@zoo.hookimpl
def zoo_archs() -> list[zoo.Arch]:
    return [sited]


def x4(n: int = 2) -> Tensor:
    return torch.randn(n, 3, 6, 6)


def keys(model: nn.Module) -> tuple[list[str], list[str]]:
    return list(model.state_dict()), [name for name, _ in model.named_parameters(remove_duplicate=False)]


def paths(model: nn.Module, *args: Any, **kwargs: Any) -> list[str]:
    return list(zoo.select(model, *args, **kwargs))


# --- select ------------------------------------------------------------------------------------------------------

CONVNET = "convnet(channels=4, depth=2)"
BLOCK_1 = ["blocks.1", "blocks.1.conv", "blocks.1.norm", "blocks.1.act"]
BLOCKS = ["blocks.0", "blocks.0.conv", "blocks.0.norm", "blocks.0.act", *BLOCK_1]
REST = ["", "down", "pool", "head"]

SELECTIONS: list[tuple[str, Any, Any, list[str]]] = [
    ("a site", "head", None, ["head"]),
    ("a site that is another path", "stem", None, ["blocks.0.conv"]),
    ("a path", "blocks.1.act", None, ["blocks.1.act"]),
    ("a glob crosses dots", "b*act", None, ["blocks.0.act", "blocks.1.act"]),
    ("a glob of one character", "blocks.?.act", None, ["blocks.0.act", "blocks.1.act"]),
    ("a glob takes contents along", "blocks.*", None, BLOCKS),
    ("a star takes the root too", "*", None, ["", "blocks", *BLOCKS, "down", "pool", "head"]),
    ("a class", "Conv2d", None, ["blocks.0.conv", "blocks.1.conv"]),
    ("a base class", "_BatchNorm", None, ["blocks.0.norm", "blocks.1.norm"]),
    ("the class of the root", "ConvNet", None, [""]),
    ("a container is itself", "blocks", None, ["blocks"]),
    ("a list, in the model's order", ["head", "stem"], None, ["blocks.0.conv", "head"]),
    ("a tuple", ("head", "pool"), None, ["pool", "head"]),
    ("a term twice", ["head", "head", "Linear"], None, ["head"]),
    ("excluded with its contents", ["*", "!blocks"], None, REST),
    ("excluded first", ["!blocks", "*"], None, REST),
    ("only exclusions", "!blocks", None, REST),
    ("excluded class", ["blocks*", "!Block"], None, ["blocks"]),
    ("excluded site", ["Conv2d", "!stem"], None, ["blocks.1.conv"]),
    ("excluded glob", ["*.act", "!*1*"], None, ["blocks.0.act"]),
    ("a container means its contents of a kind", "blocks", nn.ReLU, ["blocks.0.act", "blocks.1.act"]),
    ("a part means its contents of a kind", "blocks.1", nn.ReLU, ["blocks.1.act"]),
    ("a glob of containers and a kind", "blocks.?", nn.Conv2d, ["blocks.0.conv", "blocks.1.conv"]),
    ("everything of a kind", "*", nn.Linear, ["head"]),
    ("kinds", "*", (nn.Linear, nn.MaxPool2d), ["down", "head"]),
    ("a test as kind", "*", lambda m: getattr(m, "kernel_size", None) == (3, 3), ["blocks.0.conv", "blocks.1.conv"]),
    ("exclusions and a kind", "!blocks.0", nn.ReLU, ["blocks.1.act"]),
    ("a union of kinds", "*", nn.Linear | nn.MaxPool2d, ["down", "head"]),
    ("a kind that the model lacks", "*", nn.LSTM, []),
    ("a kind that the model lacks, excluded", ["*", "!head"], nn.LSTM, []),
]


@pytest.mark.parametrize(("where", "kind", "expected"), [s[1:] for s in SELECTIONS], ids=[s[0] for s in SELECTIONS])
def test_select(where: Any, kind: Any, expected: list[str]) -> None:
    model = zoo.create(CONVNET, device="meta")
    found = zoo.select(model, where, kind) if kind else zoo.select(model, where)
    assert list(found) == expected
    assert all(found[path] is model.get_submodule(path) for path in expected)


NOTHING: list[tuple[Any, Any, str]] = [
    (
        "blocks.7",
        None,
        "at=blocks.7 matches nothing in this ConvNet; sites: stem, head; paths: 'blocks', 'blocks.0', "
        "'blocks.0.conv', 'blocks.0.norm', 'blocks.0.act', 'blocks.1' …",
    ),
    (["head", "LSTM"], None, "at=LSTM matches nothing in this ConvNet"),
    (["head", "!LSTM"], None, "at=LSTM matches nothing in this ConvNet"),
    ("Head", None, "at=Head matches nothing in this ConvNet"),
    ("blocks.1.norm", nn.ReLU, "at=blocks.1.norm matches 'blocks.1.norm' (BatchNorm2d), which holds nothing to change"),
    (["blocks.*", "!Block"], None, "the exclusions leave nothing of at=[blocks.*, !Block]; exclude less"),
    (["head", "!head"], None, "the exclusions leave nothing of at=[head, !head]; exclude less"),
    ("!*", None, "the exclusions leave nothing of at=!*; exclude less"),
    ("!blocks", nn.ReLU, "the exclusions leave nothing of at=!blocks; exclude less"),
]


@pytest.mark.parametrize(("where", "kind", "text"), NOTHING)
def test_each_term_must_match(where: Any, kind: Any, text: str) -> None:
    model = zoo.create(CONVNET, device="meta")
    with pytest.raises(zoo.NoEffectError) as caught:
        zoo.select(model, where, kind)
    assert str(caught.value).startswith(text)


def test_select_a_site_before_a_path_before_a_class() -> None:
    here = sys.modules[__name__]
    model = zoo.create("sited", registry=zoo.Registry.of(here))
    assert paths(model, "fc") == ["body.0"]
    assert paths(model, "ends") == ["body.0", "body.2"]
    assert paths(model, "ReLU") == ["ReLU"]  # a path of that name, so not the class
    assert paths(model, ["ends", "!fc"]) == ["body.2"]
    assert paths(model, "Tanh") == ["ReLU"]


def test_select_names_a_shared_module_once() -> None:
    assert paths(Family(), "*", nn.ReLU) == ["act"]
    assert paths(Family(), "ReLU") == ["act"]
    assert paths(Family(), ["inner.1", "again"]) in (["act"], ["again"])
    assert paths(Family(), "inner.1") == ["inner.1"], "the second name works too"


def test_select_finds_a_root_that_matches() -> None:
    relu = nn.ReLU()
    assert zoo.select(relu, "*", nn.ReLU) == {"": relu}
    assert zoo.select(relu, "ReLU") == {"": relu}


def test_select_finds_matches_inside_matches() -> None:
    model = nn.Sequential(nn.Sequential(nn.Sequential(nn.ReLU())), nn.ReLU())
    assert paths(model, "Sequential") == ["", "0", "0.0"]
    assert paths(model, "*", nn.Sequential) == ["", "0", "0.0"]


# --- replace and remove ------------------------------------------------------------------------------------------


def test_replace_an_alias_under_one_parent_and_under_two() -> None:
    for path in ("act", "again", "inner.1"):
        model, new = Family(), nn.SiLU()
        assert zoo.replace(model, path, new) is model
        assert model.act is new
        assert model.again is new
        assert model.inner[1] is new


def test_replace_under_a_parent_that_is_shared_itself() -> None:
    block = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    model = nn.ModuleDict({"a": block, "b": nn.Sequential(block)})
    zoo.replace(model, "b.0.1", nn.SiLU())
    assert model["a"] is model["b"][0] is block
    assert isinstance(block[1], nn.SiLU)


def test_replace_the_root() -> None:
    old, new = nn.ReLU().eval(), nn.SiLU()
    assert zoo.replace(old, "", new) is new
    assert not new.training


def test_replace_while_iterating_a_selection() -> None:
    model = nn.Sequential(nn.ReLU(), nn.Sequential(nn.ReLU(), nn.ReLU()))
    for path in zoo.select(model, "ReLU"):
        zoo.replace(model, path, nn.SiLU())
    assert not any(isinstance(m, nn.ReLU) for m in model.modules())
    assert sum(isinstance(m, nn.SiLU) for m in model.modules()) == 3


def test_replace_nested_matches_takes_the_outer_one() -> None:
    model = zoo.modify(nn.ModuleDict({"a": nn.Sequential(nn.Sequential(nn.ReLU()))}), "replace(Sequential, Tanh())")
    assert repr(model) == repr(nn.ModuleDict({"a": nn.Tanh()}))


class Wrapped(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return -self.inner(x)


def test_replace_by_a_layer_that_wraps_the_old_one() -> None:
    model = Family()
    x, old = torch.randn(2, 3), model.act
    wrapped = Wrapped(old)
    zoo.replace(model, "act", wrapped)
    assert wrapped.inner is old, "it goes on holding the old one, and not itself"
    assert model.act is model.again is model.inner[1] is wrapped
    torch.testing.assert_close(model(x), -F.relu(-F.relu(model.inner[0](-F.relu(x)))))


def test_wrapping_leaves_the_mode_of_what_is_wrapped() -> None:
    model = nn.ModuleDict({"norm": nn.BatchNorm1d(3).eval()}).train()
    model["norm"].eval()
    inner = model["norm"]
    zoo.replace(model, "norm", Wrapped(inner))
    assert not inner.training
    assert not model["norm"].training


def test_replace_keeps_other_ties() -> None:
    model = Tied()
    zoo.replace(model, "mid", nn.Linear(4, 4))
    zoo.insert_before(model, "out", Shift())
    zoo.insert_after(model, "embed", Shift())
    zoo.become(model, "out", Negated)
    assert model.out.weight is model.embed.weight
    assert copy.deepcopy(model).out.weight.requires_grad
    twin = copy.deepcopy(model)
    assert twin.out.weight is twin.embed.weight


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_new_layer_keeps_its_own_ties_and_integers(dtype: torch.dtype, device: str) -> None:
    model = Tied().to(device, dtype)
    new = SelfTied()
    zoo.replace(model, "mid", new)
    assert new.a.weight is new.b.weight
    assert new.steps.dtype is torch.int64
    assert new.steps.device.type == device


def test_a_new_layer_that_shares_a_weight_with_the_model_goes_on_sharing() -> None:
    model = Tied().to(torch.bfloat16)
    new = nn.Linear(4, 5, bias=True)
    new.weight = model.embed.weight
    zoo.replace(model, "out", new)
    assert new.weight is model.embed.weight
    assert new.bias.dtype is torch.bfloat16


PUTS: dict[str, Callable[[nn.Module, nn.Module], Any]] = {
    "replace": lambda m, layer: zoo.replace(m, "fc", layer),
    "replace what has no weights": lambda m, layer: zoo.replace(m, "act", layer),
    "insert_before": lambda m, layer: zoo.insert_before(m, "fc", layer),
    "insert_after": lambda m, layer: zoo.insert_after(m, "act", layer),
    "become": lambda m, layer: zoo.become(m, "fc", Plus, zoo_plus=0, extra=layer),
}


@pytest.mark.parametrize("put", PUTS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_what_comes_new_has_the_device_and_dtype_of_its_place(put: str, dtype: torch.dtype, device: str) -> None:
    model, layer = Net().to(device, dtype), nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    PUTS[put](model, layer)
    tensors = [t for t in [*layer.parameters(), *layer.buffers()] if t.is_floating_point()]
    assert {(t.device.type, t.dtype) for t in tensors} == {(device, dtype)}
    assert layer[1].num_batches_tracked.dtype is torch.int64
    assert {(t.device.type, t.dtype) for t in model.parameters()} == {(device, dtype)}


@pytest.mark.parametrize("put", PUTS)
@pytest.mark.parametrize("training", [False, True])
def test_what_comes_new_has_the_mode_of_its_place(put: str, training: bool) -> None:
    model, layer = Net().train(training), nn.Sequential(nn.Dropout(), nn.Sequential(nn.Dropout()))
    layer.train(not training)
    PUTS[put](model, layer)
    assert {m.training for m in model.modules()} == {training}


def test_a_place_in_another_mode_than_the_model() -> None:
    model = Net()
    model.fc.eval()
    zoo.insert_before(model, "fc", nn.Dropout())
    assert model.training
    assert {m.training for m in model.fc.modules()} == {False}
    model.train()
    assert all(m.training for m in model.modules()), "train() reaches what was inserted"


@pytest.mark.parametrize("put", PUTS)
def test_frozen_parameters_stay_frozen_and_new_ones_as_they_came(put: str) -> None:
    model, layer = Net().requires_grad_(False), nn.Linear(4, 4)
    PUTS[put](model, layer)
    mine = {id(p) for p in layer.parameters()}
    assert all(p.requires_grad == (id(p) in mine) for p in model.parameters())


def test_remove_moves_no_name_and_no_number() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3)).eval()
    before = keys(model)
    zoo.remove(model, "1")
    assert keys(model) == before
    assert isinstance(model[1], nn.Identity)
    assert not model[1].training
    assert isinstance(zoo.remove(nn.ReLU(), ""), nn.Identity)


def test_remove_in_all_places() -> None:
    model = zoo.remove(Family(), "inner.1")
    assert model.act is model.again is model.inner[1]
    assert isinstance(model.act, nn.Identity)


@pytest.mark.parametrize("edit", [zoo.replace, zoo.insert_before, zoo.insert_after])
def test_an_edit_of_no_place(edit: Any) -> None:
    with pytest.raises(zoo.NoEffectError, match=r"^there is no module at 'fc\.nope'; in 'fc' there is: nothing$"):
        edit(Net(), "fc.nope", Shift())
    with pytest.raises(zoo.NoEffectError, match=r"^there is no module at 'nope'; in this Net there is: conv, act, fc$"):
        edit(Net(), "nope", Shift())


# --- users' hooks ------------------------------------------------------------------------------------------------


class Log(list[str]):
    def pre(self, module: nn.Module, args: Any) -> None:
        self.append("pre")

    def pre_kw(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        self.append("pre_kw")

    def post(self, module: nn.Module, args: Any, out: Any) -> None:
        self.append("post")

    def post_kw(self, module: nn.Module, args: Any, kwargs: Any, out: Any) -> None:
        self.append("post_kw")

    def back_pre(self, module: nn.Module, grads: Any) -> None:
        self.append("back_pre")

    def back(self, module: nn.Module, grad_in: Any, grad_out: Any) -> None:
        self.append("back")


def hook_all(module: nn.Module, log: Log) -> list[Any]:
    return [
        module.register_forward_pre_hook(log.pre),
        module.register_forward_pre_hook(log.pre_kw, with_kwargs=True),
        module.register_forward_hook(log.post),
        module.register_forward_hook(log.post_kw, with_kwargs=True, always_call=True),
        module.register_full_backward_pre_hook(log.back_pre),
        module.register_full_backward_hook(log.back),
    ]


ALL_HOOKS = ["pre", "pre_kw", "post", "post_kw", "back_pre", "back"]
AT_FC: dict[str, Callable[[nn.Module], Any]] = {
    "replace": lambda m: zoo.replace(m, "fc", nn.Linear(4, 2)),
    "insert_before": lambda m: zoo.insert_before(m, "fc", Shift()),
    "insert_after": lambda m: zoo.insert_after(m, "fc", Shift()),
    "become": lambda m: zoo.become(m, "fc", Negated),
}


@pytest.mark.parametrize("edit", AT_FC)
def test_users_hooks_still_fire_and_their_handles_still_remove_them(edit: str) -> None:
    model, log = Net(), Log()
    handles = hook_all(model.fc, log)
    AT_FC[edit](model)
    model(x4()).sum().backward()
    assert log == ALL_HOOKS
    for handle in handles:
        handle.remove()
    model(x4()).sum().backward()
    assert log == ALL_HOOKS, "none fires after handle.remove()"


@pytest.mark.parametrize("edit", AT_FC)
def test_a_hook_that_is_added_later_works(edit: str) -> None:
    model, log = Net(), Log()
    AT_FC[edit](model)
    handles = hook_all(model.fc, log)
    model(x4()).sum().backward()
    for handle in handles:
        handle.remove()
    model(x4()).sum().backward()
    assert log == ALL_HOOKS


def test_a_replacement_keeps_its_own_hooks() -> None:
    model, old_log, new_log = Net(), Log(), Log()
    handle = model.fc.register_forward_hook(old_log.post)
    new = nn.Linear(4, 2)
    new.register_forward_hook(new_log.post)
    zoo.replace(model, "fc", new)
    model(x4())
    assert (old_log, new_log) == (["post"], ["post"])
    handle.remove()
    model(x4())
    assert (old_log, new_log) == (["post"], ["post", "post"])


def test_the_hook_of_a_spectral_norm_stays_with_its_weights_and_the_users_moves() -> None:
    model, log = Net(), Log()
    nn.utils.spectral_norm(model.fc)  # a forward-pre-hook of torch's own
    handle = model.fc.register_forward_pre_hook(log.pre)
    zoo.replace(model, "fc", nn.Linear(4, 2))
    model(x4())
    assert log == ["pre"]
    handle.remove()
    model(x4())
    assert log == ["pre"]


# --- inserting ---------------------------------------------------------------------------------------------------

Edit = Callable[[Any], Any]
Hand = Callable[[Net, Tensor], Tensor]
S = (Shift(1.0), Shift(-3.0))
EDITS: dict[str, tuple[Edit, Hand]] = {
    "before": (
        lambda m: zoo.insert_before(m, "fc", Shift(1.0)),
        lambda o, x: o.fc(S[0](o.pooled(x))),
    ),
    "after": (
        lambda m: zoo.insert_after(m, "fc", Shift(1.0)),
        lambda o, x: S[0](o.fc(o.pooled(x))),
    ),
    "two before": (
        lambda m: zoo.insert_before(zoo.insert_before(m, "fc", Shift(1.0)), "fc", Shift(-3.0)),
        lambda o, x: o.fc(S[0](S[1](o.pooled(x)))),
    ),
    "two after": (
        lambda m: zoo.insert_after(zoo.insert_after(m, "fc", Shift(1.0)), "fc", Shift(-3.0)),
        lambda o, x: S[1](S[0](o.fc(o.pooled(x)))),
    ),
    "before and after": (
        lambda m: zoo.insert_after(zoo.insert_before(m, "fc", Shift(1.0)), "fc", Shift(-3.0)),
        lambda o, x: S[1](o.fc(S[0](o.pooled(x)))),
    ),
    "before the root": (
        lambda m: zoo.insert_before(m, "", Shift(1.0)),
        lambda o, x: o(S[0](x)),
    ),
    "after the root": (
        lambda m: zoo.insert_after(m, "", Shift(1.0)),
        lambda o, x: S[0](o(x)),
    ),
    "become": (
        lambda m: zoo.become(m, "conv", Negated),
        lambda o, x: o.fc(F.relu(-o.conv(x)).mean((2, 3))),
    ),
    "two mixins on the root": (
        lambda m: zoo.become(zoo.become(m, "", Plus, zoo_plus=5.0), "", Negated),
        lambda o, x: -(o(x) + 5),
    ),
    "mixins of both kinds": (
        lambda m: zoo.insert_before(zoo.become(m, "fc", Plus, zoo_plus=5.0), "fc", Shift(1.0)),
        lambda o, x: o.fc(S[0](o.pooled(x))) + 5,
    ),
    "replace": (
        lambda m: zoo.replace(m, "act", nn.SiLU()),
        lambda o, x: o.fc(F.silu(o.conv(x)).mean((2, 3))),
    ),
    "remove": (
        lambda m: zoo.remove(m, "act"),
        lambda o, x: o.fc(o.conv(x).mean((2, 3))),
    ),
}


def pickled(model: nn.Module) -> Any:
    return pickle.loads(pickle.dumps(model))


def saved(model: nn.Module) -> Any:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def compiled(model: nn.Module) -> Any:
    torch._dynamo.reset()
    return torch.compile(model, fullgraph=True, backend="eager")


def exported(strict: bool) -> Callable[[nn.Module], Any]:
    def export(model: nn.Module) -> Any:
        batch = torch.export.Dim("batch", min=2, max=64)
        shapes = {"x": {0: batch}, "scale": None}
        return torch.export.export(model, (x4(4), 1.0), dynamic_shapes=shapes, strict=strict).module()

    return export


WAYS: dict[str, Callable[[nn.Module], Any]] = {
    "itself": lambda m: m,
    "deepcopy": copy.deepcopy,
    "pickle": pickled,
    "torch.save": saved,
    "twice": lambda m: copy.deepcopy(pickled(copy.deepcopy(m))),
    "compile": compiled,
    "export strict": exported(True),
    "export": exported(False),
}


@pytest.fixture(scope="module", params=EDITS)
def edited(request: pytest.FixtureRequest) -> tuple[Net, nn.Module, Hand]:
    torch.manual_seed(0)
    edit, hand = EDITS[request.param]
    original = Net()
    return original, edit(copy.deepcopy(original)), hand


@pytest.mark.parametrize("way", WAYS)
def test_an_edit_gives_what_the_hand_written_forward_gives(edited: tuple[Net, nn.Module, Hand], way: str) -> None:
    original, model, hand = edited
    result = WAYS[way](model)
    x = x4(4)
    torch.testing.assert_close(result(x, 1.0), hand(original, x))
    if "export" in way:
        torch.testing.assert_close(result(x4(7), 1.0).shape, (7, 2), msg="the batch is dynamic")


def test_an_edit_leaves_names_signature_and_class(edited: tuple[Net, nn.Module, Hand]) -> None:
    original, model, _ = edited
    assert type(model).__name__ == "Net"
    assert isinstance(model, Net)
    assert inspect.signature(model.forward) == inspect.signature(original.forward)
    for path, module in original.named_modules():
        if path != "act":
            there = model.get_submodule(path)
            assert isinstance(there, type(module))
            assert inspect.signature(there.forward) == inspect.signature(module.forward)
    state, new = original.state_dict(), model.state_dict()
    assert [key for key in new if key in state] == list(state), "no key is renamed, none changes its place"
    assert all(torch.equal(new[key], state[key]) for key in state)
    assert model.load_state_dict(state, strict=False).unexpected_keys == []


def test_a_copy_of_an_edited_model_is_independent(edited: tuple[Net, nn.Module, Hand]) -> None:
    _, model, _ = edited
    for twin in (copy.deepcopy(model), pickled(model), saved(model)):
        ours, theirs = {id(m) for m in model.modules()}, {id(m) for m in twin.modules()}
        assert not ours & theirs
        assert not {id(p) for p in model.parameters()} & {id(p) for p in twin.parameters()}
        assert type(twin) is type(model)
        assert list(twin.state_dict()) == list(model.state_dict())


def test_inductor_compiles_two_insertions() -> None:
    torch._dynamo.reset()
    model, x = nn.Sequential(nn.Linear(4, 4)), torch.randn(2, 4)
    expected = S[1](F.linear(S[0](x), model[0].weight, model[0].bias))
    zoo.insert_after(zoo.insert_before(model, "0", Shift(1.0)), "0", Shift(-3.0))
    with torch.no_grad():
        torch.testing.assert_close(torch.compile(model, fullgraph=True)(x), expected)


def test_keyword_calls_reach_an_insertion() -> None:
    model, x = Net(), x4()
    expected = model(S[0](x), 2.0)
    zoo.insert_before(model, "", Shift(1.0))
    torch.testing.assert_close(model(x=x, scale=2.0), expected)
    torch.testing.assert_close(model(scale=2.0, x=x), expected, msg="the input is the first of the signature")


def test_keys_of_what_is_inserted() -> None:
    model = zoo.insert_before(Net(), "fc", Shift())
    before = list(model.state_dict())
    assert before == ["conv.weight", "conv.bias", "fc.weight", "fc.bias", "fc.zoo_before.0.by"]
    zoo.insert_before(model, "fc", Shift(-3.0))
    zoo.insert_after(model, "act", Shift())
    assert set(model.state_dict()) == {*before, "fc.zoo_before.1.by", "act.zoo_after.0.by"}
    assert model.state_dict()["fc.zoo_before.0.by"] == 1, "a later insertion renames no earlier one"


def own_forward(model: nn.Module) -> nn.Module:
    """As `accelerator.prepare` does for mixed precision."""
    model.forward = torch.autocast("cpu", dtype=torch.bfloat16)(model.forward)
    return model


def a_net_with_a_forward_of_its_own(at: str) -> nn.Module:
    model = Net()
    own_forward(model.get_submodule(at))
    return model


PAST = (
    " has a forward of its own, set on the instance, which goes past what is put there; modify the model before its "
    "forward is replaced (before accelerator.prepare, say), or name another place"
)
GOES_PAST: list[tuple[str, str, Callable[[nn.Module], Any], str]] = [
    ("insert before", "fc", lambda m: zoo.insert_before(m, "fc", Shift()), "'fc' (Linear)"),
    ("insert after", "fc", lambda m: zoo.insert_after(m, "fc", Shift()), "'fc' (Linear)"),
    ("become", "", lambda m: zoo.become(m, "", Negated), "the model itself (Net)"),
    ("dropout", "", lambda m: zoo.modify(m, "dropout(0.9, at='')"), "the model itself (Net)"),
    ("heads", "", lambda m: zoo.modify(m, "heads(a=1, b=2)"), "the model itself (Net)"),
    ("a tail", "", lambda m: zoo.modify(m, "append(more=Linear(2, 5))"), "the model itself (Net)"),
    ("a choice", "", lambda m: zoo.modify(m, "switch_act(relu, silu)"), "the model itself (Net)"),
]


@pytest.mark.parametrize(("at", "edit", "place"), [row[1:] for row in GOES_PAST], ids=[row[0] for row in GOES_PAST])
def test_what_an_instances_own_forward_would_go_past_is_refused(at: str, edit: Any, place: str) -> None:
    model = a_net_with_a_forward_of_its_own(at)
    before, classes = keys(model), [type(module) for module in model.modules()]
    with pytest.raises(zoo.NotApplicableError) as caught:
        edit(model)
    assert str(caught.value).partition("\n")[0] == place + PAST
    assert (keys(model), [type(module) for module in model.modules()]) == (before, classes)


def test_around_an_instances_own_forward_all_else_works() -> None:
    model = zoo.modify(a_net_with_a_forward_of_its_own(""), "freeze+act(silu)+dropout(1.0, at=fc)").train()
    torch.testing.assert_close(model(x4()).float(), model.fc.bias.expand(2, 2), atol=1e-2, rtol=0)
    model = own_forward(zoo.modify(Net(), "dropout(0.5, at=fc)"))
    zoo.modify(model, "dropout(1.0, at=fc)")  # the one that is there
    torch.testing.assert_close(model(x4()).float(), model.fc.bias.expand(2, 2), atol=1e-2, rtol=0)


LATER = (
    "gets its sizes in its first forward, which makes it a {} and would lose this; run a forward first, then zoo.modify"
)


@pytest.mark.parametrize(
    ("build", "mods", "place", "becomes"),
    [
        (lambda: nn.Sequential(nn.LazyLinear(3)), "dropout(0.1, at='0')", "'0' (LazyLinear)", "Linear"),
        (lambda: nn.ModuleDict({"fc": nn.LazyLinear(3)}), "dropout(0.1, at=fc)", "'fc' (LazyLinear)", "Linear"),
        (lambda: nn.Sequential(nn.LazyBatchNorm1d()), "freeze", "'0' (LazyBatchNorm1d)", "BatchNorm1d"),
    ],
)
def test_what_a_first_forward_would_undo_is_refused(build: Any, mods: str, place: str, becomes: str) -> None:
    model = build()
    with pytest.raises(zoo.NotApplicableError) as caught:
        zoo.modify(model, mods)
    assert str(caught.value).partition("\n")[0] == f"{place} {LATER.format(becomes)}"
    inner = next(model.children())
    inner(torch.randn(4, 5))
    assert type(inner).__name__ == becomes
    assert zoo.changes(zoo.modify(model, mods))


def test_layers_without_sizes_yet_can_be_frozen_and_come_anywhere() -> None:
    model = zoo.modify(nn.Sequential(nn.LazyLinear(3)), "freeze")
    assert model(torch.randn(2, 4)).shape == (2, 3)
    assert [p.requires_grad for p in model.parameters()] == [False, False]
    assert model[0].weight.abs().sum() > 0, "it drew its weights all the same"
    zoo.modify(model, "unfreeze")
    assert [p.requires_grad for p in model.parameters()] == [True, True]
    model = zoo.modify(
        nn.Sequential(nn.Linear(4, 4)).double(), "append('', LazyLinear(3))+append('', LazyBatchNorm1d())"
    )
    assert model(torch.randn(2, 4, dtype=torch.float64)).dtype == torch.float64
    with pytest.raises(zoo.NotApplicableError) as caught:
        zoo.create("simple+append(x=LazyLinear(3))+prepend(x, Tanh())")
    assert str(caught.value).partition("\n")[0] == f"'x' (LazyLinear) {LATER.format('Linear')}"


def test_a_failure_thaws_and_freezes_layers_without_sizes_again() -> None:
    model = nn.Sequential(nn.LazyLinear(3))
    with pytest.raises(zoo.NotApplicableError, match="has no BatchNorm"):
        zoo.modify(model, "freeze+bn(eps=1)")
    assert [p.requires_grad for p in model.parameters()] == [True, True]


CYCLES: list[tuple[str, Callable[[nn.Module], Any], str]] = [
    (
        "behind a part of itself",
        lambda m: zoo.insert_after(m, "body.0", m.body),
        "this Sequential is or holds 'body.0'",
    ),
    ("before itself", lambda m: zoo.insert_before(m, "body.1", m.body[1]), "this Tanh is or holds 'body.1'"),
    ("in the place of a part", lambda m: zoo.replace(m, "body.0", m.body), "this Sequential is or holds 'body.0'"),
    (
        "in the place of a part, wrapped",
        lambda m: zoo.replace(m, "body", Wrapped(m)),
        "this Wrapped is or holds 'body'",
    ),
    ("as its own child", lambda m: zoo.add(m, "body", "3", m), "this Sliced is or holds 'body'"),
    ("as the root's child", lambda m: zoo.add(m, "", "x", m), "this Sliced is or holds the model itself"),
    ("as state", lambda m: zoo.become(m, "body.0", Negated, zoo_all=m), "this Sliced is or holds 'body.0'"),
]


@pytest.mark.parametrize(("edit", "text"), [row[1:] for row in CYCLES], ids=[row[0] for row in CYCLES])
def test_a_layer_can_not_come_into_itself(edit: Any, text: str) -> None:
    model = Sliced()
    classes = [type(module) for module in model.modules()]
    with pytest.raises(zoo.OptionError) as caught:
        edit(model)
    assert str(caught.value) == (
        f"{text}, and can't be put into itself; give a new layer, or a copy.deepcopy of this one"
    )
    assert [type(module) for module in model.modules()] == classes
    assert model(torch.randn(2, 3)).shape == (2, 3)


DOT = "a dot stands between a module and what is in it"
UNDER = "what is inserted at a place stands under such names"
NAMES: list[tuple[Any, str]] = [
    ("a.b", f"a new part can't be called 'a.b': {DOT}; call it 'a_b', say"),
    ("\x1b[1m.", f"a new part can't be called '\\x1b[1m.': {DOT}; call it '1m', say"),
    (".", f"a new part can't be called '.': {DOT}; call it 'extra', say"),
    (
        "zoo_x",
        f"a new part can't be called 'zoo_x': {UNDER}; call it 'x', say",
    ),
    ("", "a new part needs a name, such as 'extra', not ''"),
    (3, "a new part needs a name, such as 'extra', not 3"),
]


@pytest.mark.parametrize(("name", "text"), NAMES)
def test_what_a_new_part_can_not_be_called(name: Any, text: str) -> None:
    model = Net()
    with pytest.raises(zoo.OptionError) as caught:
        zoo.add(model, "", name, nn.ReLU())
    assert str(caught.value) == text
    assert list(model._modules) == ["conv", "act", "fc"]


def test_texts_about_the_root_say_so() -> None:
    with pytest.raises(zoo.NotApplicableError) as caught:
        zoo.insert_before(nn.ModuleList(), "", nn.ReLU())
    assert str(caught.value) == "the model itself is a ModuleList, which is never called; name one of its elements"
    with pytest.raises(zoo.NotApplicableError, match=r"^the model itself \(Net\) never became Negated$"):
        zoo.unbecome(Net(), "", Negated)


def test_names_of_modules_do_not_steer_a_terminal() -> None:
    model = Net()
    model.add_module("\x1b[31mred", nn.ReLU())
    with pytest.raises(zoo.NoEffectError) as caught:
        zoo.remove(model, "\x1b]0;x")
    assert str(caught.value) == ("there is no module at '\\x1b]0;x'; in this Net there is: conv, act, fc, \\x1b[31mred")


def test_become_keeps_the_object_and_isinstance() -> None:
    model = Net()
    fc, weight = model.fc, model.fc.weight
    zoo.become(model, "fc", Negated)
    assert model.fc is fc
    assert fc.weight is weight
    assert isinstance(fc, nn.Linear)
    assert isinstance(fc, Negated)
    zoo.become(model, "fc", Negated)
    x = torch.randn(2, 4)
    torch.testing.assert_close(fc(x), -F.linear(x, fc.weight, fc.bias), msg="the same mixin once")


@pytest.mark.parametrize("bad", [nn.Linear, Shift, 3, "Negated", Negated()])
def test_become_takes_a_plain_class(bad: Any) -> None:
    with pytest.raises(zoo.OptionError, match=r"^become takes a class that isn't an nn.Module itself, not "):
        zoo.become(Net(), "fc", bad)


# --- Sequentials and other containers ----------------------------------------------------------------------------


def test_a_sequential_that_its_owner_slices_and_counts() -> None:
    for path in ("body", "body.0", "body.1", "body.2"):
        model = Sliced()
        plain, x = copy.deepcopy(model.body), torch.randn(2, 3)
        elements, before = list(model.body), keys(model)
        zoo.insert_before(model, path, nn.Dropout(0.0))
        zoo.insert_after(model, path, nn.Dropout(0.0))
        assert [m for m, old in zip(model.body, elements, strict=True) if m is not old] == []
        assert keys(model) == before
        torch.testing.assert_close(model(x), plain(x))


@pytest.mark.parametrize(
    ("edit", "hand"),
    [
        (zoo.insert_before, lambda o, x: o.body(S[0](x))),
        (zoo.insert_after, lambda o, x: S[0](o.body(x))),
    ],
)
@pytest.mark.parametrize("way", ["itself", "deepcopy", "pickle", "compile"])
def test_at_a_sequential(edit: Any, hand: Any, way: str) -> None:
    model = Sliced()
    original, x = copy.deepcopy(model), torch.randn(2, 3)
    edit(model, "body", Shift(1.0))
    torch.testing.assert_close(WAYS[way](model)(x), hand(original, x))


def test_at_a_sequential_inside_a_sequential() -> None:
    model = nn.Sequential(nn.Sequential(nn.Sequential(nn.Linear(3, 3), nn.ReLU())))
    original, x = copy.deepcopy(model), torch.randn(2, 3)
    zoo.insert_before(model, "", Shift(1.0))
    zoo.insert_after(model, "0", Shift(-3.0))
    torch.testing.assert_close(model(x), S[1](original(S[0](x))))


CONTAINERS: dict[str, nn.Module] = {
    "an empty Sequential": nn.Sequential(),
    "a Sequential with its own forward": Residual(nn.Linear(3, 3), nn.ReLU()),
    "an empty one with its own forward": Residual(),
    "a ModuleList that is called": Listed([nn.Linear(3, 3), nn.ReLU()]),
    "a ModuleDict that is called": Each({"a": nn.Linear(3, 3), "b": nn.ReLU()}),
    "a Sequential that ends as it starts": (lambda act: nn.Sequential(act, nn.Linear(3, 3), act))(nn.ReLU()),
    "a Sequential of one thing twice": (lambda fc: nn.Sequential(fc, fc))(nn.Linear(3, 3)),
}


@pytest.mark.parametrize("way", ["itself", "pickle", "compile"])
@pytest.mark.parametrize("edit", [zoo.insert_before, zoo.insert_after])
@pytest.mark.parametrize("name", CONTAINERS)
def test_what_is_inserted_at_a_container_runs_once(name: str, edit: Any, way: str) -> None:
    original, x = CONTAINERS[name], torch.randn(2, 3)
    model = nn.ModuleDict({"body": copy.deepcopy(original)})
    length, before = len(model["body"]), keys(model)
    try:
        edit(model, "body", Shift(1.0))
    except zoo.NotApplicableError:
        assert [type(m) for m in model.modules()] == [nn.ModuleDict, *(type(m) for m in original.modules())]
        assert keys(model) == before
        return
    body = WAYS[way](model["body"])
    torch.testing.assert_close(body(x), original(S[0](x)) if edit is zoo.insert_before else S[0](original(x)))
    assert len(model["body"]) == length


@pytest.mark.parametrize("cls", [nn.ModuleList, nn.ModuleDict])
def test_a_container_that_is_never_called_takes_no_insertion(cls: Any) -> None:
    model = nn.ModuleDict({"body": cls()})
    text = f"'body' is a {cls.__name__}, which is never called; name one of its elements"
    for edit in (zoo.insert_before, zoo.insert_after):
        with pytest.raises(zoo.NotApplicableError) as caught:
            edit(model, "body", Shift())
        assert str(caught.value) == text


def test_iterating_a_module_list_stays_as_it_was() -> None:
    model = zoo.create(CONVNET).eval()
    blocks = list(model.blocks)
    zoo.insert_before(model, "blocks.0", Shift())
    zoo.insert_after(model, "blocks.1", Shift())
    assert len(model.blocks) == 2
    assert all(a is b for a, b in zip(model.blocks, blocks, strict=True))
    assert model(torch.randn(2, 3, 8, 8)).shape == (2, 10)


# --- layers that do more than one thing --------------------------------------------------------------------------


def fused(cls: str) -> tuple[nn.Module, nn.Module]:
    from timm import layers

    norm = layers.GroupNormAct(8, num_groups=4) if cls == "GroupNormAct" else layers.BatchNormAct2d(8)
    norm.eval()
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.uniform_(-1, 1)
        if hasattr(norm, "running_mean"):
            norm.running_mean.uniform_(-1, 1)
            norm.running_var.uniform_(0.5, 2)
    return norm, nn.Sequential(nn.Conv2d(3, 8, 1), norm).eval()


def norm_alone(norm: Any, x: Tensor, eps: float) -> Tensor:
    if hasattr(norm, "running_mean"):
        return F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.1, eps)
    return F.group_norm(x, norm.num_groups, norm.weight, norm.bias, eps)


@pytest.mark.parametrize("cls", ["BatchNormAct2d", "GroupNormAct"])
def test_a_fused_norm_keeps_its_norm_when_the_activation_is_swapped(cls: str) -> None:
    norm, model = fused(cls)
    zoo.modify(model, "act(silu)")
    x = torch.randn(2, 3, 4, 4)
    assert model[1] is norm
    torch.testing.assert_close(model(x), F.silu(norm_alone(norm, model[0](x), norm.eps)))


def test_a_fused_norm_keeps_its_activation_when_the_norm_is_changed() -> None:
    norm, model = fused("BatchNormAct2d")
    zoo.modify(model, "bn(eps=0.5)")
    zoo.insert_before(model, "1", Shift(1.0))
    x = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(model(x), F.relu(norm_alone(norm, S[0](model[0](x)), 0.5)))
    zoo.become(model, "1", Negated)
    torch.testing.assert_close(model(x), -F.relu(norm_alone(norm, S[0](model[0](x)), 0.5)))


def weight_normed() -> nn.Module:
    model = Net()
    nn.utils.parametrizations.weight_norm(model.fc)
    return model


@pytest.mark.parametrize("edit", ["insert_before", "insert_after", "become"])
def test_a_weight_normed_layer_keeps_its_keys(edit: str) -> None:
    model = weight_normed()
    before, parameters = keys(model), list(model.fc.parameters())
    original, x = copy.deepcopy(model), x4()
    AT_FC[edit](model)
    assert [key for key in model.state_dict() if "zoo_" not in key] == before[0]
    assert [p for p, old in zip(model.fc.parameters(), parameters, strict=False) if p is not old] == []
    hand = {
        "insert_before": original.fc(S[0](original.pooled(x))),
        "insert_after": S[0](original(x)),
        "become": -original(x),
    }[edit]
    torch.testing.assert_close(model(x), hand)
    torch.testing.assert_close(copy.deepcopy(model)(x), hand)
    with torch.no_grad():
        model.fc.parametrizations.weight.original0.mul_(2)
    assert not torch.allclose(model(x), hand), "the norm still is a parameter of the forward"


def test_a_weight_norm_that_comes_after_an_insertion() -> None:
    model = zoo.insert_before(Net(), "fc", Shift(1.0))
    nn.utils.parametrizations.weight_norm(model.fc)
    expected = model(x := x4())
    try:
        zoo.insert_after(model, "fc", Shift(-3.0))
    except zoo.NotApplicableError:
        torch.testing.assert_close(model(x), expected)
        return
    assert parametrize.is_parametrized(model.fc)
    torch.testing.assert_close(model(x), S[1](expected))


def encoder_layer(**options: Any) -> nn.Module:
    return nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True, **options)


ATTENTIONS: dict[str, tuple[Callable[[], nn.Module], list[str]]] = {
    "TransformerEncoderLayer": (
        encoder_layer,
        ["", "self_attn", "self_attn.out_proj", "linear1", "dropout", "linear2", "norm1", "norm2", "dropout1"],
    ),
    "an activation that is a module": (lambda: encoder_layer(activation=nn.ReLU()), ["activation"]),
    "norm_first": (lambda: encoder_layer(norm_first=True), ["", "linear1", "norm1"]),
    "TransformerEncoder": (
        lambda: nn.TransformerEncoder(encoder_layer(), 2),
        ["", "layers.0", "layers.1", "layers.0.linear1", "layers.1.norm2"],
    ),
    "inside a model": (lambda: nn.Sequential(encoder_layer(), nn.Linear(8, 8)), ["0", "0.linear1", "0.self_attn"]),
    "MultiheadAttention": (lambda: SelfAttention(), ["", "attn", "attn.out_proj"]),
    "TransformerDecoderLayer": (lambda: Decoder(), ["layer", "layer.linear1", "layer.norm3", "layer.self_attn"]),
}


class SelfAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.attn(x, x, x, need_weights=False)[0]


class Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerDecoderLayer(8, 2, 16, dropout=0.0, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x, x)


class Squared(zoo.Mixin):
    """Works on tensors, and on the tuples of an attention layer."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        out = super().forward(*args, **kwargs)
        return (out[0] ** 2 + 1, *out[1:]) if isinstance(out, tuple) else out**2 + 1


def differs_from(plain: nn.Module, model: nn.Module) -> None:
    """The edit shows in eval, with and without gradients, and in train, and is the same in all."""
    x = torch.randn(2, 5, 8)
    with torch.no_grad():
        fast, before = model.eval()(x), plain.eval()(x)
    slow, train = model(x), model.train()(x)
    torch.testing.assert_close(fast, train.detach(), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(slow, train, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(fast, before, atol=1e-3)


ATTENTION_CASES = [(name, path) for name, (_, at) in ATTENTIONS.items() for path in at]
ATTENTION_EDITS: dict[str, Callable[[nn.Module, str], Any]] = {
    "insert_before": lambda m, path: zoo.insert_before(m, path, nn.Sequential(nn.Tanh(), Shift(0.3))),
    "become": lambda m, path: zoo.become(m, path, Squared),
}


@pytest.mark.parametrize("edit", ATTENTION_EDITS)
@pytest.mark.parametrize(("name", "path"), ATTENTION_CASES)
def test_attention_is_edited_in_eval_and_in_train_or_refused(name: str, path: str, edit: str) -> None:
    model = ATTENTIONS[name][0]()
    plain = copy.deepcopy(model)
    try:
        ATTENTION_EDITS[edit](model, path)
    except zoo.NotApplicableError:
        assert repr(model) == repr(plain)
        assert [type(m) for m in model.modules()] == [type(m) for m in plain.modules()]
        return
    differs_from(plain, model)


@pytest.mark.parametrize(
    ("path", "layer"),
    [("activation", nn.Tanh()), ("linear1", nn.Sequential(nn.Linear(8, 16), Shift(0.3))), ("linear2", Shift(0.3))],
)
def test_a_replacement_in_an_encoder_layer_works_in_both_modes_or_is_refused(path: str, layer: nn.Module) -> None:
    model = encoder_layer(activation=nn.ReLU())
    if path == "linear2":
        layer = nn.Sequential(nn.Linear(16, 8), layer)
    plain = copy.deepcopy(model)
    try:
        zoo.replace(model, path, copy.deepcopy(layer))
    except zoo.NotApplicableError:
        assert repr(model) == repr(plain)
        return
    differs_from(plain, model)


@pytest.mark.parametrize("training", [False, True])
def test_an_insertion_inside_an_encoder_layer_runs_in_both_modes(training: bool) -> None:
    layer = encoder_layer().train(training)
    runs: list[bool] = []
    spy = nn.Identity()
    zoo.insert_before(layer, "linear1", spy)
    spy.register_forward_hook(lambda *_: runs.append(True))
    layer(torch.randn(2, 3, layer.linear1.in_features))
    assert runs == [True]


def test_the_refusal_inside_attention_says_what_to_do() -> None:
    with pytest.raises(zoo.NotApplicableError) as caught:
        zoo.insert_before(encoder_layer(), "self_attn.out_proj", nn.Dropout())
    assert str(caught.value) == (
        "'self_attn.out_proj' is inside a MultiheadAttention, which reads its weights without calling it; "
        "insert before or after the attention itself"
    )


# --- weights that are read past their module ---------------------------------------------------------------------

BYPASSED = [
    ("beit_base_patch16_224", "blocks.0.attn.qkv", "Linear(768, 2304, bias=False)"),
    ("swinv2_tiny_window8_256", "layers.0.blocks.0.attn.qkv", "Linear(96, 288, bias=False)"),
]


@pytest.mark.parametrize(("arch", "path", "like"), BYPASSED)
def test_an_insertion_at_a_module_that_is_never_called_is_refused(arch: str, path: str, like: str) -> None:
    part = f"dropout(0.1, at={path})"
    text = f"dropout would change '{path}', which no forward of the model reaches"
    model = zoo.create(arch, device="meta")
    before = [type(m) for m in model.modules()]
    for attempt in (lambda: zoo.create(f"{arch}+{part}"), lambda: zoo.modify(model, part)):
        with pytest.raises(zoo.NotApplicableError) as caught:
            attempt()
        assert str(caught.value).splitlines()[0] == text
    assert [type(m) for m in model.modules()] == before
    assert zoo.changes(zoo.modify(model, f"replace({path}, {like})"))[0].live, "its weight is read, though"
