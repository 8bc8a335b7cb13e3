"""Known defects of other libraries that edit models, as tests that pass here.

Each was seen at first hand: mosaicml-composer 0.32.1, `composer/utils/module_surgery.py`, and peft 0.21.2.
"""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import zoo

# -- Composer ---------------------------------------------------------------------------------------------------------


def test_composer_a_module_with_two_names_in_one_parent_is_replaced_under_one() -> None:
    """`_add_children_recursive` walks `named_children`, which hides the second name of a shared module."""
    relu = nn.ReLU()
    model = nn.Sequential(nn.Linear(4, 4), relu, nn.Linear(4, 4), relu)
    x = torch.randn(3, 4)
    expected = F.silu(model[2](F.silu(model[0](x))))
    zoo.modify(model, "act(silu)")
    assert model[1] is model[3]
    torch.testing.assert_close(model(x), expected)
    (change,) = zoo.changes(model)
    assert (change.path, change.aliases) == ("1", ("3",))
    zoo.replace(model, "3", nn.Tanh())  # by its second name, by hand
    assert model[1] is model[3]


def test_composer_a_root_that_matches_itself_is_left_alone() -> None:
    """`replace_module_classes(nn.ReLU(), ...)` returns an empty dict: only children are looked at."""
    assert isinstance(zoo.modify(nn.ReLU(), "act(silu)"), nn.SiLU)
    linear = nn.Linear(4, 4)
    new = zoo.modify(linear, "replace(Linear, Linear(4, 3))")
    assert new(torch.randn(2, 4)).shape == (2, 3)
    assert str(zoo.spec_of(new)) == "?Linear+replace(site=Linear, layer=Linear(4, 3))"


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_composer_a_replacement_comes_in_train_mode_and_float32_and_without_hooks(dtype: torch.dtype) -> None:
    """Only `.to(device)` is done to what comes: a bfloat16 model in eval mode then fails, or drops at random."""
    model, fired = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)).to(dtype).eval(), []
    handle = model[0].register_forward_hook(lambda *_: fired.append("hook"))
    zoo.modify(model, "replace('0', Linear(4, 4))+replace('1', AlphaDropout(0.9))")
    x = torch.randn(2, 4, dtype=dtype)
    torch.testing.assert_close(model(x), model[0](x))  # in eval mode nothing is dropped
    assert {p.dtype for p in model.parameters()} == {dtype}
    assert not any(module.training for module in model.modules())
    handle.remove()
    model(x)
    assert fired == ["hook"] * 2


def test_composer_modules_that_share_a_parameter_are_untied() -> None:
    """Two layers with one weight come out with two, in silence, and each is trained by itself from then on."""
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.ReLU(), nn.Linear(4, 4, bias=False))
    model[2].weight = model[0].weight
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    zoo.modify(model, "replace(Linear, Linear(4, 4, bias=False))", optimizer=optimizer)
    assert model[2].weight is model[0].weight
    assert [id(p) for p in optimizer.param_groups[0]["params"]] == [id(model[0].weight)]
    weight = model[0].weight.detach().clone()
    zoo.modify(model, "replace(Linear, Linear(4, 4), keep_weights=True)", optimizer=optimizer)
    assert model[2].weight is model[0].weight
    assert torch.equal(model[0].weight, weight)
    assert model[2].bias is not model[0].bias


def test_composer_parameters_in_several_groups_fail_and_leave_half_an_edit() -> None:
    """`update_params_in_optimizer` raises where a layer's weight decays and its bias doesn't, after the surgery."""
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    decays, rest = [model[0].weight, model[2].weight], [model[0].bias, model[2].bias]
    optimizer = torch.optim.SGD([{"params": decays, "weight_decay": 0.1}, {"params": rest}], lr=0.1)
    zoo.modify(model, "replace('2', Linear(4, 3))", optimizer=optimizer)
    held = [[id(p) for p in group["params"]] for group in optimizer.param_groups]
    assert held == [[id(model[0].weight), id(model[2].weight)], [id(model[0].bias), id(model[2].bias)]]


def test_composer_a_norm_with_an_activation_inside_loses_it() -> None:
    """timm's BatchNormAct2d is a BatchNorm2d: replaced by its class, its activation goes along without a word.

    Here what a replaced module held inside is in the record, and an activation that is to change is found inside.
    """
    model = timm.create_model("resnetv2_18", num_classes=3)
    zoo.modify(model, "bn(eps=0.1)+act(silu)")
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(type(m).__name__ == "BatchNormAct2d" and m.eps == 0.1 for m in norms)
    assert {type(m.act) for m in norms} == {nn.SiLU}
    zoo.modify(model, "replace(stages.0.blocks.0.norm1, BatchNorm2d(64))")
    change = zoo.changes(model)[-1]
    assert (change.what, change.before[:14]) == ("replaced", "BatchNormAct2d")


# -- PEFT -------------------------------------------------------------------------------------------------------------


class Twice(nn.Module):
    """One Linear under two names, both called."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 4)
        self.b = self.a
        self.c = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.b(torch.relu(self.a(x))))


class LowRank(zoo.Mixin):
    """A low-rank update beside a Linear (Hu et al. 2021)."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return super().forward(*args, **kwargs) + self.zoo_up(self.zoo_down(args[0]))


PLACES = [["a"], ["b"], ["a", "b"], ["b", "a"]]


@pytest.mark.parametrize("at", PLACES, ids="".join)
def test_peft_of_two_names_of_one_linear_one_is_wrapped(at: list[str]) -> None:
    """`inject_adapter` wraps `a` and leaves `b` the bare Linear; `target_modules=["b"]` finds nothing at all.

    It also renames the base's weights (`a.base_layer.weight`), so that the base's checkpoint no longer loads.
    """
    model, x = Twice(), torch.randn(2, 4)
    bare = {name: value.clone() for name, value in model.state_dict().items()}
    for path in zoo.select(model, at):
        down, up = nn.Linear(4, 2, bias=False), nn.Linear(2, 4, bias=False)
        zoo.become(model, path, LowRank, zoo_down=down, zoo_up=up)
    assert model.a is model.b
    weight = model.a.weight + up.weight @ down.weight
    expected = model.c(F.linear(torch.relu(F.linear(x, weight, model.a.bias)), weight, model.a.bias))
    torch.testing.assert_close(model(x), expected)
    told = model.load_state_dict(bare, strict=False)
    assert not told.unexpected_keys
    assert all(".zoo_" in name for name in told.missing_keys)


@pytest.mark.parametrize("at", PLACES, ids="".join)
@pytest.mark.parametrize("mods", ["append({at}, Tanh())", "prepend({at}, Tanh())", "replace({at}, Tanh())"])
def test_peft_every_modifier_works_under_both_names_once(mods: str, at: list[str]) -> None:
    model, x = Twice(), torch.randn(2, 4)
    old = model.a
    zoo.modify(model, mods.format(at=f"[{', '.join(at)}]"))
    assert model.a is model.b
    edited = {
        "append": lambda x: F.linear(x, old.weight, old.bias).tanh(),
        "prepend": lambda x: F.linear(x.tanh(), old.weight, old.bias),
        "replace": torch.tanh,
    }[mods.partition("(")[0]]
    torch.testing.assert_close(model(x), model.c(edited(torch.relu(edited(x)))))
    assert len(zoo.changes(model)) == 1
