"""Edits of a model's structure, each beside the class that one would write by hand instead."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import zoo

CONV = "convnet(channels=4, depth=2)"

# --- written by hand ---------------------------------------------------------------------------------------------


class Hand(nn.Module):
    """`simple` with parts of one's own: whatever it's given runs in turn."""

    def __init__(self, **parts: nn.Module) -> None:
        super().__init__()
        own = {
            "layers1": nn.Sequential(nn.Linear(100, 100), nn.ReLU()),
            "layers2": nn.Sequential(nn.Linear(100, 70), nn.ReLU()),
            "layers3": nn.Sequential(nn.BatchNorm1d(70), nn.Linear(70, 2)),
        }
        for name, part in (own | parts).items():
            self.add_module(name, part)

    def forward(self, x: Tensor) -> Tensor:
        for part in self.children():
            x = part(x)
        return x


class HandConv(nn.Module):
    """`convnet(channels=4, depth=2)` with a norm behind its first block, and its head in a norm and a dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.extra = nn.BatchNorm2d(4)
        self.conv2, self.norm2 = nn.Conv2d(4, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.ln = nn.LayerNorm(8)
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.extra(F.relu(self.norm1(self.conv1(x))))
        x = F.relu(self.norm2(self.conv2(F.max_pool2d(x, 2))))
        return F.dropout(self.head(self.ln(x.mean((2, 3)))), 0.2, self.training)


def sequence(**elements: nn.Module) -> nn.Sequential:
    """A Sequential in this order, with keys of one's own: k0=, k1=, ..."""
    made = nn.Sequential()
    for name, element in elements.items():
        made.add_module(name.lstrip("k"), element)
    return made


# (base, modifiers, canonical modifiers, the class by hand, {key of the variant: key by hand} where they differ,
#  what of the base goes)
Row = tuple[str, str, str, Callable[[], nn.Module], dict[str, str], tuple[str, ...]]
ROWS: dict[str, Row] = {
    "append to a Sequential": (
        "simple",
        "append(layers3, Linear(2, 3))",
        "append(site=layers3, layer=Linear(2, 3))",
        lambda: Hand(layers3=nn.Sequential(nn.BatchNorm1d(70), nn.Linear(70, 2), nn.Linear(2, 3))),
        {},
        (),
    ),
    "append twice": (
        "simple",
        "append(layers3, Dropout(0.5)) + append(layers3, Linear(2, 3))",
        "append(site=layers3, layer=Dropout(0.5))+append(site=layers3, layer=Linear(2, 3))",
        lambda: Hand(layers3=nn.Sequential(nn.BatchNorm1d(70), nn.Linear(70, 2), nn.Dropout(0.5), nn.Linear(2, 3))),
        {},
        (),
    ),
    "append a named part": (
        "simple",
        "append(layers4=Sequential(BatchNorm1d(2), Linear(2, 1)))",
        "append(layers4=Sequential(BatchNorm1d(2), Linear(2, 1)))",
        lambda: Hand(layers4=nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 1))),
        {},
        (),
    ),
    "append two named parts, one by one": (
        "simple",
        "append(layers4=Linear(2, 5))+append(layers5=Sequential(Tanh(), Linear(5, 1)))",
        "append(layers4=Linear(2, 5))+append(layers5=Sequential(Tanh(), Linear(5, 1)))",
        lambda: Hand(layers4=nn.Linear(2, 5), layers5=nn.Sequential(nn.Tanh(), nn.Linear(5, 1))),
        {},
        (),
    ),
    "prepend to a Sequential": (
        "simple",
        "prepend(layers3, Linear(70, 70))",
        "prepend(site=layers3, layer=Linear(70, 70))",
        lambda: Hand(layers3=sequence(k2=nn.Linear(70, 70), k0=nn.BatchNorm1d(70), k1=nn.Linear(70, 2))),
        {},
        (),
    ),
    "wrap a Sequential": (
        "simple",
        "prepend(layers2, Dropout(0.3))+append(layers2, BatchNorm1d(70))",
        "prepend(site=layers2, layer=Dropout(0.3))+append(site=layers2, layer=BatchNorm1d(70))",
        lambda: Hand(layers2=sequence(k2=nn.Dropout(0.3), k0=nn.Linear(100, 70), k1=nn.ReLU(), k3=nn.BatchNorm1d(70))),
        {},
        (),
    ),
    "replace a Sequential": (
        "simple",
        "replace(layers2, Sequential(Linear(100, 70), Tanh(), Dropout(0.1)))",
        "replace(site=layers2, layer=Sequential(Linear(100, 70), Tanh(), Dropout(0.1)))",
        lambda: Hand(layers2=nn.Sequential(nn.Linear(100, 70), nn.Tanh(), nn.Dropout(0.1))),
        {},
        ("layers2",),
    ),
    "replace one element": (
        "simple",
        "replace(layers1.1, PReLU(100), keep_weights=False)",
        "replace(site=layers1.1, layer=PReLU(100))",
        lambda: Hand(layers1=nn.Sequential(nn.Linear(100, 100), nn.PReLU(100))),
        {},
        (),
    ),
    "replace an element by a pair": (
        "simple",
        "replace(layers2.1, Sequential(PReLU(70), Dropout(0.1)))",
        "replace(site=layers2.1, layer=Sequential(PReLU(70), Dropout(0.1)))",
        lambda: Hand(layers2=nn.Sequential(nn.Linear(100, 70), nn.Sequential(nn.PReLU(70), nn.Dropout(0.1)))),
        {},
        (),
    ),
    "remove a Sequential": (
        "simple",
        "remove(layers1)",
        "remove(site=layers1)",
        lambda: Hand(layers1=nn.Identity()),
        {},
        ("layers1",),
    ),
    "remove a Sequential, make the next one fit": (
        "simple",
        "remove(layers2)+replace(layers3, Sequential(BatchNorm1d(100), Linear(100, 2)))",
        "remove(site=layers2)+replace(site=layers3, layer=Sequential(BatchNorm1d(100), Linear(100, 2)))",
        lambda: Hand(layers2=nn.Identity(), layers3=nn.Sequential(nn.BatchNorm1d(100), nn.Linear(100, 2))),
        {},
        ("layers2", "layers3"),
    ),
    "remove one element": (
        "simple",
        "remove(layers3.0)",
        "remove(site=layers3.0)",
        lambda: Hand(layers3=sequence(k1=nn.Linear(70, 2))),
        {},
        ("layers3.0",),
    ),
    "append and prepend where there is no Sequential": (
        CONV,
        "append(blocks.0, BatchNorm2d(4))+prepend(head, LayerNorm(8))+append(head, Dropout(0.2))",
        "append(site=blocks.0, layer=BatchNorm2d(4))+prepend(site=head, layer=LayerNorm(8))"
        "+append(site=head, layer=Dropout(0.2))",
        HandConv,
        {
            "blocks.0.conv": "conv1",
            "blocks.0.norm": "norm1",
            "blocks.0.zoo_after.0": "extra",
            "blocks.1.conv": "conv2",
            "blocks.1.norm": "norm2",
            "head.zoo_before.0": "ln",
        },
        (),
    ),
    "append behind an element": (
        "simple",
        "append(layers2.0, BatchNorm1d(70))",
        "append(site=layers2.0, layer=BatchNorm1d(70))",
        lambda: Hand(layers2=sequence(k0=nn.Linear(100, 70), kbn=nn.BatchNorm1d(70), k1=nn.ReLU())),
        {"layers2.0.zoo_after.0": "layers2.bn"},
        (),
    ),
}


def batch(base: str) -> Tensor:
    return torch.randn(6, 100) if base == "simple" else torch.randn(6, 3, 16, 16)


def trained(base: str) -> nn.Module:
    """Weights that no seed gives, and running statistics."""
    model = zoo.create(base)
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    for _ in range(3):
        optimizer.zero_grad()
        (model(batch(base)) - 1).square().mean().backward()
        optimizer.step()
    model.zero_grad()
    return model


def renamed(key: str, names: dict[str, str]) -> str:
    for old in sorted(names, key=len, reverse=True):
        if key.startswith(f"{old}."):
            return names[old] + key[len(old) :]
    return key


def assert_equal_runs(model: nn.Module, hand: nn.Module, x: Tensor) -> None:
    """In eval and in train, under one seed: outputs, gradients' sum, the statistics that the run leaves."""
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(x), hand.eval()(x), rtol=0, atol=1e-6)
    outputs = []
    for one in (model, hand):
        torch.manual_seed(7)
        outputs.append(one.train()(x))
        outputs[-1].square().sum().backward()
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-6)
    sizes = [sum(p.grad.double().norm() ** 2 for p in one.parameters()) for one in (model, hand)]
    torch.testing.assert_close(*sizes, rtol=1e-4, atol=1e-6)
    stats = [sum(b.double().sum() for b in one.buffers()) for one in (model, hand)]
    torch.testing.assert_close(*map(torch.as_tensor, stats), rtol=1e-5, atol=1e-6)


def assert_as_by_hand(model: nn.Module, row: Row) -> None:
    base, _, _, by_hand, names, _ = row
    hand = by_hand()
    hand.load_state_dict({renamed(k, names): v for k, v in model.state_dict().items()})  # strict: keys are equal too
    assert_equal_runs(model, hand, batch(base))


def staying(base: nn.Module, gone: tuple[str, ...]) -> dict[str, Tensor]:
    return {k: v for k, v in base.state_dict().items() if not k.startswith(tuple(f"{g}." for g in gone))}


def assert_holds(model: nn.Module, expected: dict[str, Tensor]) -> None:
    """Every one of these keys is there with these values."""
    state = model.state_dict()
    assert expected.keys() <= state.keys()
    assert [k for k, v in expected.items() if not torch.equal(v, state[k])] == []


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_created_is_the_class_by_hand(row: Row) -> None:
    base, mods, _, _, _, gone = row
    torch.manual_seed(3)
    plain = zoo.create(base)
    torch.manual_seed(3)
    model = zoo.create(f"{base}+{mods}")
    assert isinstance(model, type(plain))
    assert_holds(model, staying(plain, gone))
    assert_as_by_hand(model, row)


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_modified_is_the_class_by_hand(row: Row) -> None:
    base, mods, _, _, _, gone = row
    model = trained(base).eval()
    before = copy.deepcopy(staying(model, gone))
    kept = {n: p for n, p in model.named_parameters() if n in before}
    assert zoo.modify(model, mods) is model
    assert not any(module.training for module in model.modules())
    assert all(dict(model.named_parameters())[n] is p for n, p in kept.items())
    assert_holds(model, before)
    assert_as_by_hand(model, row)


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_specs_go_round(row: Row) -> None:
    base, mods, canonical, *_ = row
    created = zoo.create(f"{base}+{mods}")
    spec = zoo.spec_of(created)
    assert str(spec) == f"{base}+{canonical}"
    assert zoo.parse(str(spec)) == spec
    again = zoo.create(str(spec))
    assert zoo.spec_of(again) == spec == zoo.spec_of(zoo.modify(zoo.create(base), mods))
    assert list(again.state_dict()) == list(created.state_dict())


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_each_part_is_in_the_changes(row: Row) -> None:
    base, mods, canonical, *_ = row
    parts = [str(part) for part in zoo.parse(f"{base}+{canonical}").parts]
    assert list(dict.fromkeys(change.part for change in zoo.changes(zoo.create(f"{base}+{mods}")))) == parts


def test_a_removed_element_leaves_the_numbers_of_the_others() -> None:
    model = zoo.create("mlp(8, hidden=[6, 6], num_classes=3)+remove(layers.2)")
    assert [type(layer) for layer in model.layers] == [nn.Linear, nn.ReLU, nn.Identity, nn.ReLU, nn.Linear]


def test_a_selector_names_several_sites() -> None:
    model = zoo.create("simple+append([layers1, layers2], Dropout(0.5))+replace(ReLU, PReLU())")
    assert [type(m).__name__ for m in model.layers1] == ["Linear", "PReLU", "Dropout"]
    assert [type(m).__name__ for m in model.layers2] == ["Linear", "PReLU", "Dropout"]
    assert model.layers1[1] is not model.layers2[1]  # each gets a fresh one


def test_remove_takes_the_outermost() -> None:
    model = zoo.create("simple+remove(layers1*)")
    assert isinstance(model.layers1, nn.Identity)


BROUGHT = {
    # what an earlier part brought, and an edit of it: (mods, the modules by hand, in the model's order)
    "added to a Sequential": ("append(layers3, ReLU())+act(silu, at=layers3.2)", "layers3.2", nn.SiLU()),
    "a new part": ("append(layers4=Linear(2, 2))+replace(layers4, Linear(2, 3))", "layers4", nn.Linear(2, 3)),
    "a new part, out again": ("append(layers4=Linear(2, 2))+remove(layers4)", "layers4", nn.Identity()),
    "a head": ("heads(a=3)+replace(layers3.1.a, Linear(70, 3, bias=False))", "layers3.1.a", nn.Linear(70, 3, False)),
    "in an activation's place": (
        "replace(layers1.1, Sequential(Linear(100, 100), ReLU()))+act(silu, at=layers1)",
        "layers1.1.1",
        nn.SiLU(),
    ),
}


@pytest.mark.parametrize(("mods", "path", "wanted"), BROUGHT.values(), ids=BROUGHT.keys())
def test_what_a_part_brought_is_edited_by_the_next(mods: str, path: str, wanted: nn.Module) -> None:
    model = zoo.create(f"simple+{mods}")
    assert repr(model.get_submodule(path)) == repr(wanted)
    assert all(change.live is not False for change in zoo.changes(model))
    assert repr(zoo.modify(zoo.create("simple"), mods)) == repr(model)


class Named(nn.Sequential):
    """A Sequential that goes by another name."""


@pytest.mark.parametrize("kind", [nn.Sequential, Named])
def test_a_part_of_a_sequential_runs_once(kind: type[nn.Sequential]) -> None:
    model = kind(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3))
    by_hand = [*model]
    zoo.modify(model, "append(first=Tanh())+act(silu)+append(second=Linear(3, 2))")
    assert list(dict(model.named_children())) == ["0", "1", "2", "first", "second"]
    x = torch.randn(5, 4)
    torch.testing.assert_close(model(x), model.second(F.silu(by_hand[2](F.silu(by_hand[0](x))))))
    assert [(c.path, c.what) for c in zoo.changes(model)][:1] == [("first", "added")]


def test_a_part_of_a_sequential_with_several_heads_runs_once() -> None:
    model = zoo.modify(nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3)), "heads(a=2, b=1, at='1')+append(more=Tanh())")
    x = torch.randn(5, 4)
    for name, head in model[1].items():
        torch.testing.assert_close(model(x)[name], head(model[0](x)).tanh())
        torch.testing.assert_close(model(x, task=name), head(model[0](x)).tanh())


class Residual(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


class Apart(nn.ModuleDict):
    """A ModuleDict that calls its parts by name."""

    zoo_walks = False

    def forward(self, x: Tensor) -> Tensor:
        return self["a"](x)


@pytest.mark.parametrize(
    ("model", "site"),
    [
        (Residual(nn.Linear(4, 4)), '"0"'),
        (nn.ModuleList([nn.Linear(4, 4), nn.ReLU()]), '"1"'),
        (nn.ModuleDict({"body": nn.Linear(4, 4)}), "body"),
        (nn.ModuleList(), "site"),
        (timm.create_model("resnet18", features_only=True), "layer4"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_a_container_that_would_run_a_new_part_as_one_of_its_own(model: nn.Module, site: str) -> None:
    names = list(model._modules)
    with pytest.raises(zoo.NotApplicableError) as caught:
        zoo.modify(model, "append(x=Tanh())")
    assert str(caught.value).partition("\n")[0] == (
        f"this {type(model).__name__} goes over all that is in it, and would take a new part for one of those; "
        f"name a place inside, as in append({site}, Tanh())"
    )
    assert list(model._modules) == names


def test_a_container_that_says_that_it_does_not_walk() -> None:
    model = Apart({"a": nn.Linear(4, 4)})
    x = torch.randn(2, 4)
    torch.testing.assert_close(zoo.modify(model, "append(x=Tanh())")(x), model["a"](x).tanh())


def test_a_part_behind_several_heads() -> None:
    model = zoo.create("simple+heads(a=3)+append(last=Identity())")
    assert {name: tuple(y.shape) for name, y in model(torch.randn(2, 100)).items()} == {"a": (2, 3)}
    assert not zoo.verify(copy.deepcopy(model))


# --- keep_weights ------------------------------------------------------------------------------------------------

KEEP = [
    # (site, layer, what of the old one is in the new one, what isn't)
    ("layers2.0", "Linear(100, 70)", {"weight", "bias"}, set()),
    ("layers2.0", "Linear(100, 70, bias=False)", {"weight"}, set()),
    ("layers3.0", "BatchNorm1d(70, eps=0.01)", {"weight", "bias", "running_mean", "num_batches_tracked"}, set()),
    ("layers3", "Sequential(BatchNorm1d(70), Linear(70, 5))", {"0.weight", "0.running_var"}, {"1.weight", "1.bias"}),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("site", "layer", "kept", "fresh"), KEEP)
def test_keep_weights_copies_what_fits(
    site: str, layer: str, kept: set[str], fresh: set[str], dtype: torch.dtype
) -> None:
    model = trained("simple").to(dtype)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1e-12 * torch.randn_like(p))  # more digits than a float32 holds
    old = copy.deepcopy(model.get_submodule(site).state_dict())
    zoo.modify(model, f"replace({site}, {layer}, keep_weights=True)")
    new = model.get_submodule(site).state_dict()
    assert {n for n in kept if not torch.equal(old[n], new[n])} == set()
    assert {n for n in fresh if old[n].shape == new[n].shape} == set()
    assert all(v.dtype == dtype for v in new.values() if v.is_floating_point())


def test_keep_weights_leaves_what_does_not_fit_fresh() -> None:
    """The weight is of another shape, the bias isn't."""
    model = nn.Sequential(nn.Linear(4, 3))
    old = copy.deepcopy(model[0].state_dict())
    zoo.modify(model, "replace('0', Linear(5, 3), keep_weights=True)")
    assert torch.equal(model[0].bias, old["bias"])
    assert model[0].weight.shape == (3, 5)


def test_without_keep_weights_they_are_fresh() -> None:
    model = trained("simple")
    old = model.layers2[0].weight.detach().clone()
    zoo.modify(model, "replace(layers2.0, Linear(100, 70))")
    assert not torch.equal(old, model.layers2[0].weight)


# --- set ---------------------------------------------------------------------------------------------------------

SET = [
    # (spec, path, {attribute: value})
    ("simple+set(layers3.0, eps=1e-3)", "layers3.0", {"eps": 1e-3, "momentum": 0.1}),
    ("simple+set(layers3.0, momentum=0.3, eps=1)", "layers3.0", {"eps": 1, "momentum": 0.3}),
    ("simple+set(layers3.0, momentum=None)", "layers3.0", {"momentum": None}),
    ("simple+append(layers3, Dropout(0.5))+set(Dropout, p=0.1)", "layers3.2", {"p": 0.1}),
    ("simple+replace(ReLU, LeakyReLU())+set(LeakyReLU, negative_slope=-0.2)", "layers2.1", {"negative_slope": -0.2}),
    ("simple+set(ReLU, inplace=True)", "layers1.1", {"inplace": True}),
    (f"{CONV}+set(BatchNorm2d, eps=0.1)", "blocks.1.norm", {"eps": 0.1}),
]


@pytest.mark.parametrize(("spec", "path", "values"), SET)
def test_set(spec: str, path: str, values: dict[str, object]) -> None:
    model = zoo.create(spec)
    module = model.get_submodule(path)
    assert {name: getattr(module, name) for name in values} == values
    assert zoo.parse(str(zoo.spec_of(model))) == zoo.spec_of(model)
    assert zoo.changes(model)


def test_set_changes_what_is_computed() -> None:
    model = trained("simple").eval()
    x = torch.randn(4, 70)
    norm = model.layers3[0]
    zoo.modify(model, "set(layers3.0, eps=0.5)")
    assert model.layers3[0] is norm
    by_hand = (x - norm.running_mean) / (norm.running_var + 0.5).sqrt() * norm.weight + norm.bias
    torch.testing.assert_close(norm(x), by_hand)


def test_set_what_is_so_already() -> None:
    model = zoo.create("simple+set(layers3.0, eps=1e-5)")
    assert [(c.path, c.what) for c in zoo.changes(model)] == [("layers3.0", "already")]


def test_set_changes_all_or_none() -> None:
    model = zoo.create("simple")
    with pytest.raises(zoo.NotApplicableError, match=r"'layers1\.1' \(ReLU\) has no 'eps' to set"):
        zoo.modify(model, "set([layers3.0, layers1.1], eps=0.1)")
    assert model.layers3[0].eps == 1e-5


# --- what is refused ---------------------------------------------------------------------------------------------

_ONLY = (
    "since weights or structure may hang on it; it takes eps, momentum, p, negative_slope, inplace; "
    "for others write replace(site, layer)"
)
_APPEND = "append takes a site and a layer, or name=layer, as in append(head, Dropout(0.5))"
REFUSED = [
    # (one part, the error, the first line of the message)
    ("set(layers3.0)", zoo.OptionError, "set needs at least one option=value, as in set(bn1, eps=1e-3)"),
    ("set(layers3.0, num_features=3)", zoo.OptionError, f"set can't change 'num_features' in place, {_ONLY}"),
    ("set(layers3.0, training=False)", zoo.OptionError, f"set can't change 'training' in place, {_ONLY}"),
    ("set(layers3.0, forward=None)", zoo.OptionError, f"set can't change 'forward' in place, {_ONLY}"),
    ("set(layers3.0, p=0.5)", zoo.NotApplicableError, "'layers3.0' (BatchNorm1d) has no 'p' to set"),
    ("set(*, p=0.5)", zoo.NotApplicableError, "the model itself (Simple) has no 'p' to set"),
    ("set(layers1.1, momentum=0.1)", zoo.NotApplicableError, "'layers1.1' (ReLU) has no 'momentum' to set"),
    (
        "replace(layers2.0, Linear(100, 71), keep_weights=True)",
        zoo.ShapeError,
        "keep_weights: nothing of 'layers2.0' (Linear) fits into Linear",
    ),
    (
        "replace(layers2.1, PReLU(70), keep_weights=True)",
        zoo.ShapeError,
        "keep_weights: nothing of 'layers2.1' (ReLU) fits into PReLU",
    ),
    (
        "append(layers9=Linear(2, 8), layers10=Linear(8, 1))",
        zoo.OptionError,
        "append takes one new part, since names have no order; write them in turn: "
        "append(layers9=Linear(2, 8))+append(layers10=Linear(8, 1))",
    ),
    (
        "append(layers1.2=ReLU())",
        zoo.OptionError,
        "a new part can't be called 'layers1.2': a dot stands between a module and what is in it; "
        "call it 'layers1_2', say",
    ),
    (
        "append(zoo_tail=ReLU())",
        zoo.OptionError,
        "a new part can't be called 'zoo_tail': what is inserted at a place stands under such names; "
        "call it 'tail', say",
    ),
    ("append", zoo.OptionError, _APPEND),
    ("append(layers3)", zoo.OptionError, _APPEND),
    ("append(layer=ReLU())", zoo.OptionError, _APPEND),
    ("append(head, ReLU)", zoo.OptionError, "append: layer=ReLU is a word, not a layer; write ReLU()"),
    ("remove", zoo.OptionError, "remove needs 'site'; its options: remove(site: Where)"),
    (
        "replace(head)",
        zoo.OptionError,
        "replace needs 'layer'; its options: replace(site: Where, layer: Layer, keep_weights: bool = False)",
    ),
]


@pytest.mark.parametrize(("part", "error", "text"), REFUSED)
def test_refused_with_the_reason(part: str, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        zoo.create(f"simple+{part}")
    assert str(caught.value) == f"{text}\n  in part 1, '{part}', of 'simple+{part}'"


OUT_OF_RANGE = [
    "eps=0",
    "eps=-1e-5",
    "eps=True",
    "eps=None",
    "momentum=2",
    "momentum=-0.1",
    "momentum=True",
    "p=1.5",
    "p=-0.1",
    "p=None",
    "p=False",
    "negative_slope=None",
    "negative_slope=True",
    "inplace=1",
    "inplace=None",
]


@pytest.mark.parametrize("option", OUT_OF_RANGE)
def test_set_out_of_range(option: str) -> None:
    """Refused whatever the site is, before anything is touched."""
    model = zoo.create("simple")
    with pytest.raises(zoo.OptionError, match=rf"^set: {option.split('=')[0]}=.* is out of range"):
        zoo.modify(model, f"set([layers3.0, ReLU], {option})")
    assert model.layers3[0].eps == 1e-5


@pytest.mark.parametrize("part", ["append(layers9=ReLU())+append(forward=ReLU())", "append(layers1=ReLU())"])
def test_a_new_part_takes_no_name_that_is_taken(part: str) -> None:
    model = zoo.create("simple")
    before = list(model.named_modules())
    with pytest.raises(zoo.OptionError, match=r"has a '(forward|layers1)' already"):
        zoo.modify(model, part)
    assert list(model.named_modules()) == before


@pytest.mark.parametrize("site", ["layers9", "layers3.7", "layers*.5", "BatchNorm2d"])
@pytest.mark.parametrize("part", ["append({}, ReLU())", "prepend({}, ReLU())", "replace({}, ReLU())", "remove({})"])
def test_a_site_must_exist(part: str, site: str) -> None:
    quoted = f"'{site}'" if "*" in site else site
    with pytest.raises(zoo.NoEffectError) as caught:
        zoo.create(f"simple+{part.format(quoted)}")
    assert f"{site} matches nothing in this Simple; sites: stem, head; paths: 'layers1', " in str(caught.value)


SHAPES = [
    # (base, canonical modifiers, what the message says of the place)
    (
        "simple",
        "append(site=layers3, layer=Linear(3, 4))",
        "'layers3.2' (Linear) wants in_features=3, but 2 arrive ([2, 2]); a Linear with in_features=2 would fit",
    ),
    (
        "simple",
        "append(layers4=Sequential(Linear(3, 1)))",
        "'layers4.0' (Linear) wants in_features=3, but 2 arrive ([2, 2]); a Linear with in_features=2 would fit",
    ),
    (
        "simple",
        "prepend(site=layers3, layer=BatchNorm1d(71))",
        "'layers3.2' (BatchNorm1d) wants num_features=71, but 70 arrive ([2, 70]); "
        "a BatchNorm1d with num_features=70 would fit",
    ),
    (
        "simple",
        "replace(site=layers2.0, layer=Linear(100, 71))",
        "'layers3.0' (BatchNorm1d) wants num_features=70, but 71 arrive ([2, 71]); "
        "a BatchNorm1d with num_features=71 would fit",
    ),
    (
        "simple",
        "replace(site=layers2.0, layer=Linear(99, 70))",
        "'layers2.0' (Linear) wants in_features=99, but 100 arrive ([2, 100]); a Linear with in_features=100 would fit",
    ),
    (
        "simple",
        "remove(site=layers2)",
        "'layers3.0' (BatchNorm1d) wants num_features=70, but 100 arrive ([2, 100]); "
        "a BatchNorm1d with num_features=100 would fit",
    ),
    (
        CONV,
        "append(site=blocks.0, layer=Conv2d(5, 4, 1))",
        "'blocks.0.zoo_after.0' (Conv2d) wants in_channels=5, but 4 arrive ([2, 4, 16, 16]); "
        "a Conv2d with in_channels=4 would fit",
    ),
    (
        CONV,
        "prepend(site=head, layer=Linear(9, 8))",
        "'head.zoo_before.0' (Linear) wants in_features=9, but 8 arrive ([2, 8]); "
        "a Linear with in_features=8 would fit",
    ),
    (
        CONV,
        "append(site=blocks.0, layer=GroupNorm(1, 6))",
        "'blocks.0.zoo_after.0' (GroupNorm) wants num_channels=6, but 4 arrive ([2, 4, 16, 16]); "
        "a GroupNorm with num_channels=4 would fit",
    ),
]


@pytest.mark.parametrize(("base", "mods", "text"), SHAPES)
def test_sizes_that_do_not_fit(base: str, mods: str, text: str) -> None:
    with pytest.raises(zoo.ShapeError) as caught:
        zoo.create(f"{base}+{mods}")
    assert str(caught.value) == f"{base}+{mods}: {text}"
    assert isinstance(caught.value, ValueError)


def test_what_would_fit_fits() -> None:
    with pytest.raises(zoo.ShapeError, match="a Linear with in_features=70 would fit"):
        zoo.create("simple+append(layers2, Linear(9, 70))")
    assert zoo.create("simple+append(layers2, Linear(70, 70))").eval()(torch.randn(2, 100)).shape == (2, 2)


_TOGETHER = "; edits that only fit together go into one call, joined by '+'"


@pytest.mark.parametrize(("base", "mods", "text"), SHAPES)
def test_modify_finds_sizes_that_do_not_fit(base: str, mods: str, text: str) -> None:
    """On a live model too, where its arch has a sample input; the model and its optimizer are as they were."""
    model = zoo.create(base)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    shown, state, held = repr(model), model.state_dict(keep_vars=True), list(optimizer.param_groups[0]["params"])
    with pytest.raises(zoo.ShapeError) as caught:
        zoo.modify(model, mods, optimizer=optimizer)
    assert str(caught.value).endswith(f": {text}{'' if '+' in mods else _TOGETHER}")
    assert repr(model) == shown
    assert all(tensor is state[name] for name, tensor in model.state_dict(keep_vars=True).items())
    assert all(a is b for a, b in zip(held, optimizer.param_groups[0]["params"], strict=True))
    assert not zoo.changes(model)


def test_looking_for_sizes_neither_moves_statistics_nor_calls_hooks() -> None:
    model, fired = zoo.create(CONV), []
    model.register_forward_hook(lambda *_: fired.append("hook"))
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    zoo.modify(model, "append(blocks.0, BatchNorm2d(4))")
    with pytest.raises(zoo.ShapeError):
        zoo.modify(model, "append(blocks.0, BatchNorm2d(5))")
    assert not fired
    assert model.training
    assert all(torch.equal(buffers[name], b) for name, b in model.named_buffers() if name in buffers)
    model(torch.randn(2, 3, 16, 16))
    assert fired == ["hook"]


def test_what_fits_together_goes_in_one_call() -> None:
    model = zoo.create("simple")
    with pytest.raises(zoo.ShapeError, match=r"would fit$"):  # it is one already
        zoo.modify(model, "act(silu)+append(layers2, Linear(9, 70))")
    zoo.modify(model, "replace(layers1.0, Linear(100, 50))+replace(layers2.0, Linear(50, 70))")
    assert model(torch.randn(2, 100)).shape == (2, 2)


def test_a_model_that_its_sample_does_not_fit_can_be_modified() -> None:
    """Edited by hand to take another input, it is a model of which the sample says nothing."""
    model = zoo.create("simple")
    model.layers1[0] = nn.Linear(9, 100)
    zoo.modify(model, "append(layers1, Linear(100, 100))")
    assert model(torch.randn(2, 9)).shape == (2, 2)


@pytest.mark.parametrize(("layer", "wants", "fits"), [
    ("LayerNorm(5)", "normalized_shape=[5], but [16] arrive", "a LayerNorm with normalized_shape=[16]"),
    ("PReLU(5)", "num_parameters=5, but 4 arrive", "a PReLU with num_parameters=4"),
])  # fmt: skip
def test_norms_and_activations_with_sizes(layer: str, wants: str, fits: str) -> None:
    with pytest.raises(zoo.ShapeError, match=re.escape(wants)) as caught:
        zoo.create(f"{CONV}+append(blocks.0, {layer})")
    assert str(caught.value).endswith(f"{fits} would fit")
