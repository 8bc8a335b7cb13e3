"""What a call of a model chooses: for that call alone, and for what gradient checkpointing computes of it again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import zoo

X = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))

# -- with gradient checkpointing --------------------------------------------------------------------------------------

CHECKPOINTED = {
    "vit_tiny_patch16_224(img_size=32, depth=2)+switch_act(relu, sigmoid)": {"act_type": "sigmoid"},
    "test_resnet+switch_act(relu, sigmoid)": {"act_type": "sigmoid"},
    "test_resnet+switch(layer1.0.act1, a=ReLU(), b=Sigmoid())": {"choice": "b"},
}


def gradients(model: nn.Module, backward: Callable[[], Any]) -> list[Tensor]:
    model.zero_grad()
    backward()
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


def one_call(model: nn.Module, chosen: dict[str, Any]) -> None:
    model(X, **chosen).sum().backward()


def two_in_one_loss(model: nn.Module, chosen: dict[str, Any]) -> None:
    first, second = model(X, **chosen), model(X)
    (2 * first + second).sum().backward()


def the_other_way_round(model: nn.Module, chosen: dict[str, Any]) -> None:
    second, first = model(X), model(X, **chosen)
    (2 * first + second).sum().backward()


def first_in_first_out(model: nn.Module, chosen: dict[str, Any]) -> None:
    first, second = model(X, **chosen), model(X)
    first.sum().backward()
    second.sum().backward()
    model(X).sum().backward()


CALLS = [one_call, two_in_one_loss, the_other_way_round, first_in_first_out]


@pytest.mark.parametrize("calls", CALLS)
@pytest.mark.parametrize("spec", CHECKPOINTED)
def test_gradients_are_those_without_checkpointing(spec: str, calls: Callable[..., None]) -> None:
    model = zoo.create(spec).eval()
    found = []
    for on in (False, True):
        model.set_grad_checkpointing(on)
        found.append(gradients(model, lambda: calls(model, CHECKPOINTED[spec])))
    assert any(g.any() for g in found[0])
    torch.testing.assert_close(found[1], found[0])


class Checkpointed(nn.Module):
    """A trunk that is computed again in the backward, and a head that is too."""

    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(8, 8), nn.ReLU())
        self.fc = nn.Linear(8, 3)
        self.again = reentrant

    def forward(self, x: Tensor) -> Tensor:
        if self.again is None:
            return self.fc(self.trunk(x))  # type: ignore[no-any-return]
        x = checkpoint(self.trunk, x, use_reentrant=self.again)
        return checkpoint(self.fc, x, use_reentrant=self.again)  # type: ignore[no-any-return]


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize(
    "chosen", [{}, {"act_type": "tanh"}, {"act_type": "tanh", "task": "b"}, {"task": "b"}], ids=str
)
def test_by_either_way_of_checkpointing(reentrant: bool, chosen: dict[str, str]) -> None:
    model: Any = zoo.modify(Checkpointed(reentrant), "switch_act(relu, tanh)+heads(a=2, b=1)")
    x = torch.randn(4, 8, requires_grad=True)
    model(x, task="a", act_type="tanh")  # another call is open

    def backward() -> None:
        out = model(x, **chosen)
        outs = out.values() if isinstance(out, dict) else [out]
        sum(o.square().sum() for o in outs).backward()  # type: ignore[union-attr]

    found = gradients(model, backward)
    model.again = None
    torch.testing.assert_close(found, gradients(model, backward))


def test_a_whole_call_may_be_computed_again() -> None:
    model = zoo.modify(Checkpointed(None), "switch_act(relu, tanh)")  # type: ignore[arg-type]
    x = torch.randn(4, 8, requires_grad=True)
    expected = gradients(model, lambda: (model(x, act_type="tanh") + model(x)).sum().backward())
    for reentrant in (False, True):

        def again(reentrant: bool = reentrant) -> None:
            chose = checkpoint(lambda x: model(x, act_type="tanh"), x, use_reentrant=reentrant)
            (chose + checkpoint(model, x, use_reentrant=reentrant)).sum().backward()

        torch.testing.assert_close(gradients(model, again), expected)


def test_a_backward_that_comes_in_elsewhere_is_refused_and_not_wrong() -> None:
    model: Any = zoo.modify(Checkpointed(False), "switch_act(relu, tanh)")
    features: list[Tensor] = []
    model.fc.register_forward_pre_hook(lambda _, args: features.append(args[0]))
    x = torch.randn(4, 8, requires_grad=True)
    model(x)
    features.pop().sum().backward()  # nobody has chosen yet, so there's nothing to know
    model(x, act_type="tanh")
    with pytest.raises(zoo.NotApplicableError, match="this backward didn't come in by that call's outputs"):
        features.pop().sum().backward()


# -- what is no choice ------------------------------------------------------------------------------------------------

SWITCHED = "mlp(4, [5, 5], 3)+switch_act(relu, tanh, sigmoid)"
TWO = "mlp(4, [5, 5], 3)+switch(layers.1, a=ReLU(), b=Tanh())+switch(layers.3, c=ReLU(), d=Tanh())"
HEADS = "mlp(4, [5], 3)+heads(a=2, b=1)"
NO_CHOICES: list[tuple[str, dict[str, Any], str]] = [
    (SWITCHED, {"act_type": "silu"}, "there is no act_type='silu'; the choices: relu, tanh, sigmoid"),
    (SWITCHED, {"act_type": 3}, "there is no act_type=3; the choices: relu, tanh, sigmoid"),
    (SWITCHED, {"act_type": True}, "there is no act_type=True; the choices: relu, tanh, sigmoid"),
    (SWITCHED, {"act_type": ""}, "there is no act_type=''; the choices: relu, tanh, sigmoid"),
    (SWITCHED, {"act_type": b""}, "there is no act_type=b''; the choices: relu, tanh, sigmoid"),
    (SWITCHED, {"act_type": []}, "act_type=[] chooses nothing; the choices: relu, tanh, sigmoid"),
    (SWITCHED, {"act_type": [["relu"]]}, "there is no act_type=['relu']; the choices: relu, tanh, sigmoid"),
    (SWITCHED, {"act_type": {"relu": 1}}, "there is no act_type={'relu': 1}; the choices: relu, tanh, sigmoid"),
    (SWITCHED, {"act_type": "zoo_before"}, "there is no act_type='zoo_before'; the choices: relu, tanh, sigmoid"),
    (TWO, {"choice": ("b", None)}, "there is no choice=None; the choices: a, b, c, d"),
    (TWO, {"choice": ["b", "d", "a"]}, "choice=['b', 'd', 'a']: a and b are choices of one place; name one of them"),
    (HEADS, {"task": ["a"]}, "there is no head ['a']; the heads: a, b"),
    (HEADS, {"task": ""}, "there is no head ''; the heads: a, b"),
    (HEADS, {"task": 0}, "there is no head 0; the heads: a, b"),
    (HEADS, {"task": "zoo_before"}, "there is no head 'zoo_before'; the heads: a, b"),
]


@pytest.mark.parametrize(("spec", "options", "text"), NO_CHOICES, ids=[str(o) for _, o, _ in NO_CHOICES])
def test_what_is_no_choice_is_refused_and_chooses_nothing(spec: str, options: dict[str, Any], text: str) -> None:
    model, x = zoo.create(spec), torch.randn(2, 4)
    zoo.insert_before(model, "layers.1" if "switch" in spec else "layers.2", nn.Identity())
    before = model(x)
    with pytest.raises(zoo.OptionError) as caught:
        model(x, **options)
    assert str(caught.value) == text
    torch.testing.assert_close(model(x), before, rtol=0, atol=0)


def test_a_tuple_chooses_as_a_list_does() -> None:
    model, x = zoo.create(TWO), torch.randn(2, 4)
    assert torch.equal(model(x, choice=("b", "d")), model(x, choice=["d", "b"]))
    assert torch.equal(model(x, choice=["b"]), model(x, choice="b"))
