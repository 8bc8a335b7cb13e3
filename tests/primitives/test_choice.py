"""A choice belongs to the call that makes it: to its thread, to what is computed of it again, and to no copy."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import zoo

X = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
SWITCHED = "mlp(4, [5, 5], 3)+switch(layers.2, a=Linear(5, 5), b=Linear(5, 5))+switch_act(relu, silu)+heads(c=2, d=1)"
CALLS: list[dict[str, Any]] = [
    {"act_type": "silu"},
    {},
    {"choice": "b", "task": "d"},
    {"act_type": "relu", "choice": "a"},
    {"act_type": "silu", "choice": "b"},
]


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    return torch.equal(one, other)


def in_threads(works: list[Callable[[], None]]) -> None:
    """All at once; what one of them raises is raised here."""
    failed: list[BaseException] = []
    start = threading.Barrier(len(works))

    def run(work: Callable[[], None]) -> None:
        start.wait()
        try:
            work()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def test_each_thread_chooses_for_itself() -> None:
    model = zoo.create(SWITCHED).eval()
    expected = [model(X, **call) for call in CALLS]

    def work(call: dict[str, Any], wanted: Any) -> None:
        for _ in range(100):
            assert same(model(X, **call), wanted), call

    in_threads([lambda c=c, w=w: work(c, w) for c, w in zip(CALLS, expected, strict=True)])  # type: ignore[misc]


class Waits(nn.Module):
    """A trunk in which a call stands still, so that another one runs meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.act, self.fc = nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3)
        self.between: Callable[[], None] = lambda: None

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        self.between()
        return self.fc(self.act(x))  # type: ignore[no-any-return]


def test_a_call_in_the_middle_of_another_has_its_own_choice() -> None:
    model: Any = zoo.modify(Waits(), "switch_act(relu, silu)")
    plain, silu = model(X), model(X, act_type="silu")
    assert not torch.equal(plain, silu)
    found: list[Tensor] = []

    def other() -> None:
        model.between = lambda: None
        in_threads([lambda: found.append(model(X))])

    model.between = other
    assert torch.equal(model(X, act_type="silu"), silu)
    assert torch.equal(found[0], plain)


class Again(nn.Module):
    def __init__(self, again: bool) -> None:
        super().__init__()
        self.trunk, self.fc, self.again = nn.Sequential(nn.Linear(4, 4), nn.ReLU()), nn.Linear(4, 3), again

    def forward(self, x: Tensor) -> Tensor:
        x = checkpoint(self.trunk, x, use_reentrant=False) if self.again else self.trunk(x)
        return self.fc(x)  # type: ignore[no-any-return]


def test_backwards_in_several_threads_compute_again_what_each_call_chose() -> None:
    model: Any = zoo.modify(Again(True), "switch_act(relu, silu, tanh)")
    choices: list[Any] = ["silu", None, "tanh"]

    def gradient(choice: Any) -> Tensor:
        x = X.clone().requires_grad_()
        return torch.autograd.grad(model(x, act_type=choice).square().sum(), x)[0]

    model.again = False
    expected = [gradient(choice) for choice in choices]
    model.again = True

    def work(choice: Any, wanted: Tensor) -> None:
        for _ in range(30):
            torch.testing.assert_close(gradient(choice), wanted)

    in_threads([lambda c=c, w=w: work(c, w) for c, w in zip(choices, expected, strict=True)])  # type: ignore[misc]
    assert [switch._recalled for switch in model.modules() if isinstance(switch, zoo.Switch)] == [{}]


@pytest.mark.parametrize("again", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_starts_without_choices(again: Callable[[Any], Any]) -> None:
    model = zoo.modify(Again(True), "switch_act(relu, silu)")
    plain = model(X)
    model(X, act_type="silu").sum().backward()
    model.zero_grad()
    copies: list[Any] = []
    switch: Any = model.get_submodule("trunk.1")
    zoo.call_with(model, [(switch, "silu")], lambda: copies.append(again(model)))  # in the middle of a call
    copied = copies[0]
    assert torch.equal(copied(X), plain)
    assert not torch.equal(copied(X, act_type="silu"), plain)
    assert not [word for word in (b"_Call", b"_recalled") if word in pickle.dumps(model)]


def test_what_0_1_kept_of_a_call_is_dropped() -> None:
    """`choice` stood on the module itself, and the note of a backward as one pair."""
    switch = zoo.Switch({"a": nn.Identity(), "b": nn.Tanh()}, "choice")
    switch.__setstate__({**switch.__getstate__(), "choice": "b", "_recalled": (3, "b")})
    assert torch.equal(switch(X), X)
    assert "choice" not in vars(switch)


def test_replicas_for_data_parallel_take_the_choice_into_their_threads() -> None:
    """torch makes them in the thread of the call, and runs each in one of its own."""
    switch = zoo.Switch({"a": nn.Identity(), "b": nn.Tanh()}, "choice")
    found: list[Tensor] = []

    def replicated() -> None:
        replica = switch._replicate_for_data_parallel()
        replica._modules = switch._modules  # as torch's `replicate` fills them in
        in_threads([lambda: found.append(replica(X))])

    zoo.call_with(nn.Identity(), [(switch, "b")], replicated)
    zoo.call_with(nn.Identity(), [(switch, None)], replicated)
    assert torch.equal(found[0], X.tanh())
    assert torch.equal(found[1], X)


class Noisy(zoo.Choice, nn.Linear):
    """Another kind of place: a layer that adds what the call says."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + (1 if self.chosen() == "on" else 0)


class Loud(zoo.Mixin):
    options = ("noise",)

    def forward(self, *args: Any, noise: str | None = None, **kwargs: Any) -> Any:
        run: Any = super().forward  # type: ignore[misc]
        places = [(place, noise) for place in self.modules() if isinstance(place, Noisy)]  # type: ignore[attr-defined]
        return zoo.call_with(self, places, lambda: run(*args, **kwargs))


def loud() -> nn.Module:
    return zoo.become(nn.Sequential(Noisy(4, 4), nn.Identity()), "", Loud)


def test_a_place_may_be_of_any_class() -> None:
    model = loud()
    plain = model(X)
    assert torch.equal(model(X, noise="on"), plain + 1)
    assert torch.equal(model(X), plain)
    with pytest.raises(RuntimeError):
        model(torch.randn(2, 3), noise="on")
    assert torch.equal(model(X), plain)


@pytest.mark.parametrize("chosen", [None, "on"])
def test_a_choice_compiles_whole_and_exports(chosen: str | None) -> None:
    model = loud()
    expected = model(X, noise=chosen)
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(X, noise=chosen), expected)
    torch.testing.assert_close(compiled(X), model(X))
    exported = torch.export.export(model, (X,), {"noise": chosen}).module()
    torch.testing.assert_close(exported(X, noise=chosen), expected)


NAMES = [
    ("keys", "nn.ModuleDict has an attribute of that name; call it 'keys_layer', say"),
    ("training", "nn.ModuleDict has an attribute of that name; call it 'training_layer', say"),
    ("option", "nn.ModuleDict has an attribute of that name; call it 'option_layer', say"),
    ("zoo_x", "what is inserted at a place stands under such names; call it 'x_layer', say"),
    ("class", "Python can't take it for a name; call it 'class_layer', say"),
    ("a-b", "Python can't take it for a name; call it 'a_b', say"),
]


@pytest.mark.parametrize(("name", "reason"), NAMES)
def test_a_name_that_no_layer_can_have(name: str, reason: str) -> None:
    with pytest.raises(zoo.OptionError) as caught:
        zoo.check_names("switch", "layer", ["fine", name], zoo.Switch)
    assert str(caught.value) == f"switch: a layer can't be called '{name}': {reason}"
