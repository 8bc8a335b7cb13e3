"""Edits in attention and encoder layers, which read weights past their modules, in eval and in train."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zoo
from tests.nets import Shift

# -- layers that do more than one thing -------------------------------------------------------------------------------


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


# -- weights that are read past their module --------------------------------------------------------------------------

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
