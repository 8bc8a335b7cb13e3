"""`zoo.modify` on other people's models: Hugging Face transformers', torchvision's, a user's own; by hand beside it."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
import transformers as hf
from torch import Tensor, nn
from torch.nn import functional as F

import zoo

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}


def bert() -> nn.Module:
    return hf.BertModel(hf.BertConfig(vocab_size=32, max_position_embeddings=16, **SMALL))


def vit() -> nn.Module:
    return hf.ViTForImageClassification(hf.ViTConfig(image_size=16, patch_size=8, num_labels=3, **SMALL))


def gpt2() -> nn.Module:
    """The output layer's weight is the embedding's."""
    sizes = {"vocab_size": 32, "n_positions": 16, "n_embd": 16, "n_layer": 2, "n_head": 2}
    return hf.GPT2LMHeadModel(hf.GPT2Config(bos_token_id=0, eos_token_id=1, **sizes))


def resnet() -> nn.Module:
    sizes = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}
    return hf.ResNetForImageClassification(hf.ResNetConfig(num_labels=3, **sizes))


def words() -> Tensor:
    return torch.arange(12).view(2, 6)


def images() -> Tensor:
    return torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


INPUTS = {bert: words, vit: images, gpt2: words, resnet: images}


def tensors(output: Any) -> dict[str, Tensor]:
    """What transformers' models return, without the cache."""
    return {key: value for key, value in output.items() if isinstance(value, Tensor)}


# -- the same edit by hand --------------------------------------------------------------------------------------------


def put(*paths: str, layer: Callable[[], nn.Module]) -> Callable[[nn.Module], None]:
    """Assign a layer to each of these attributes."""

    def edit(model: nn.Module) -> None:
        for path in paths:
            holder, _, name = path.rpartition(".")
            setattr(model.get_submodule(holder), name, layer().train(model.training))

    return edit


def in_front(path: str, function: Callable[[Tensor, bool], Tensor]) -> Callable[[nn.Module], None]:
    def edit(model: nn.Module) -> None:
        module = model.get_submodule(path)
        module.register_forward_pre_hook(lambda m, args: (function(args[0], m.training), *args[1:]))

    return edit


def behind(path: str, function: Callable[[Tensor, bool], Tensor]) -> Callable[[nn.Module], None]:
    def edit(model: nn.Module) -> None:
        model.get_submodule(path).register_forward_hook(lambda m, args, out: function(out, m.training))

    return edit


def number(path: str, name: str, value: float) -> Callable[[nn.Module], None]:
    return lambda model: setattr(model.get_submodule(path), name, value)


def every(kind: type, name: str, value: float) -> Callable[[nn.Module], None]:
    def edit(model: nn.Module) -> None:
        for module in model.modules():
            if isinstance(module, kind):
                setattr(module, name, value)

    return edit


def tanh(x: Tensor, training: bool) -> Tensor:
    return x.tanh()


def dropped(x: Tensor, training: bool) -> Tensor:
    return F.dropout(x, 0.3, training)


@dataclass(frozen=True)
class Case:
    """A model, modifiers, what they do by hand, and how many places change."""

    build: Callable[[], nn.Module]
    mods: str
    by_hand: Callable[[nn.Module], None]
    places: int
    spec: str = field(default="")

    @property
    def id(self) -> str:
        return f"{self.build.__name__}-{self.mods}"


BERT_ACTS = [f"encoder.layer.{i}.intermediate.intermediate_act_fn" for i in (0, 1)]
CASES = [
    Case(bert, "act(silu)", put(*BERT_ACTS, "pooler.activation", layer=nn.SiLU), 3, "?BertModel+act(name=silu)"),
    Case(bert, "act(silu, at=encoder)", put(*BERT_ACTS, layer=nn.SiLU), 2),
    Case(bert, "dropout(0.3, at=pooler.dense)", in_front("pooler.dense", dropped), 1),
    Case(bert, "append(encoder.layer.1.output.dense, Tanh())", behind("encoder.layer.1.output.dense", tanh), 1),
    Case(bert, "remove(pooler.activation)", put("pooler.activation", layer=nn.Identity), 1),
    Case(bert, "set(LayerNorm, eps=0.1)", every(nn.LayerNorm, "eps", 0.1), 5),
    Case(vit, "act(relu)", put(*(f"vit.layers.{i}.mlp.activation_fn" for i in (0, 1)), layer=nn.ReLU), 2),
    Case(vit, "dropout(0.3, at=classifier)", in_front("classifier", dropped), 1),
    Case(vit, "set(vit.embeddings.dropout, p=0.3)", number("vit.embeddings.dropout", "p", 0.3), 1),
    Case(vit, "prepend(vit.layers.1.mlp.fc1, Tanh())", in_front("vit.layers.1.mlp.fc1", tanh), 1),
    Case(gpt2, "act(gelu)", put("transformer.h.0.mlp.act", "transformer.h.1.mlp.act", layer=nn.GELU), 2),
    Case(gpt2, "dropout(0.3, at=lm_head)", in_front("lm_head", dropped), 1),
    Case(gpt2, "append(transformer.wte, Tanh())", behind("transformer.wte", tanh), 1),
    Case(gpt2, "replace(transformer.drop, Dropout(0.3))", put("transformer.drop", layer=partial(nn.Dropout, 0.3)), 1),
    Case(resnet, "act(silu)", put(*[f"resnet.{path}.activation" for path in (
        "embedder.embedder", "encoder.stages.0.layers.0.layer.0", "encoder.stages.0.layers.0",
        "encoder.stages.1.layers.0.layer.0", "encoder.stages.1.layers.0")], layer=nn.SiLU), 5),
    Case(resnet, "bn(eps=0.1)", every(nn.BatchNorm2d, "eps", 0.1), 6),
    Case(resnet, "append(resnet.encoder.stages.1, Tanh())", behind("resnet.encoder.stages.1", tanh), 1),
    Case(resnet, "prepend(classifier, Tanh())", in_front("classifier.0", tanh), 1),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
@pytest.mark.parametrize("training", [False, True])
def test_an_edit_without_weights(case: Case, training: bool) -> None:
    model, x = case.build().train(training), INPUTS[case.build]()
    hand, bare = copy.deepcopy(model), copy.deepcopy(model)
    case.by_hand(hand)
    assert zoo.modify(model, case.mods) is model
    assert isinstance(model, type(bare))
    assert len(zoo.changes(model)) == case.places
    spec = str(zoo.spec_of(model))
    assert spec.startswith(f"?{type(bare).__name__}+")
    assert not case.spec or spec == case.spec
    results = []
    for one in (model, hand, pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        torch.manual_seed(1)
        results.append(tensors(one(x)))
    for other in results[1:]:
        torch.testing.assert_close(other, results[0])
    torch.manual_seed(1)
    same = all(torch.allclose(value, results[0][key]) for key, value in tensors(bare(x)).items())
    assert same == (not training and "0.3" in case.mods)  # dropout shows in training alone
    model.load_state_dict(bare.state_dict())  # strict: no name has changed
    bare.load_state_dict(model.state_dict())
    assert list(model.state_dict()) == list(bare.state_dict())


@pytest.mark.parametrize("build", INPUTS)
def test_a_checkpoint_goes_to_the_plain_class_and_back(build: Callable[[], Any], tmp_path: Path) -> None:
    """`save_pretrained` and `from_pretrained` find every weight under its name."""
    model, x = build().eval(), INPUTS[build]()
    plain = tensors(model(x))
    norm = "BatchNorm2d" if build is resnet else "LayerNorm"
    zoo.modify(model, f"act(silu)+dropout(0.3, at=Linear)+set({norm}, eps=0.1)")
    edited = tensors(model(x))
    model.save_pretrained(tmp_path)
    again, told = type(model).from_pretrained(tmp_path, output_loading_info=True)
    assert not any(told[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    torch.testing.assert_close(tensors(again.eval()(x)), plain)
    torch.testing.assert_close(tensors(zoo.modify(again, zoo.spec_of(model))(x)), edited)


@pytest.mark.parametrize("mods", ["act(silu)", "dropout(0.3, at=[lm_head, transformer.ln_f])", "set(LayerNorm, eps=1)"])
def test_tied_weights_stay_tied(mods: str) -> None:
    model = gpt2()
    weight = model.transformer.wte.weight
    for one in (zoo.modify(model, mods), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert one.lm_head.weight is one.transformer.wte.weight
    assert model.lm_head.weight is weight
    model(words(), labels=words()).loss.backward()
    assert weight.grad is not None


def test_a_tied_head_can_be_replaced_and_the_embedding_stays() -> None:
    model = gpt2().eval()
    weight, hidden = model.transformer.wte.weight, model.transformer(words()).last_hidden_state
    zoo.modify(model, "replace(lm_head, Linear(16, 5, bias=False))")
    assert model.transformer.wte.weight is weight
    torch.testing.assert_close(model(words()).logits, F.linear(hidden, model.lm_head.weight))
    assert [(c.path, c.added) for c in zoo.changes(model)] == [("lm_head", 80)]


HEADS = [(vit, "classifier", "logits"), (resnet, "classifier", "logits"), (gpt2, "lm_head", "logits")]
HEADS += [(bert, "pooler.dense", "")]


@pytest.mark.parametrize(("build", "site", "output"), HEADS)
def test_heads_on_a_trunk_of_transformers(build: Callable[[], Any], site: str, output: str) -> None:
    model, x, seen = build().eval(), INPUTS[build](), []
    linear = model.get_submodule("classifier.1" if build is resnet else site)
    handle = linear.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    model(x)
    handle.remove()
    zoo.modify(model, f"heads(a=2, b=3, at={site})")
    heads = model.get_submodule("classifier.1" if build is resnet else site)
    expected = {name: F.linear(seen[0], heads[name].weight, heads[name].bias) for name in ("a", "b")}
    if output:
        torch.testing.assert_close(model(x)[output], expected)
        torch.testing.assert_close(model(x, task="b")[output], expected["b"])
        torch.testing.assert_close(copy.deepcopy(model)(x)[output], expected)
    else:  # behind BERT's pooler comes a tanh
        torch.testing.assert_close(model(x)["pooler_output"], {k: v.tanh() for k, v in expected.items()})
    zoo.modify(model, f"dropout(0.5, at={site})")
    assert len(zoo.changes(model)) == 3


def test_new_weights_join_the_optimizer_and_train() -> None:
    model = vit()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    y = torch.tensor([0, 2])
    losses = []
    for step in range(8):
        if step == 3:
            zoo.modify(model, "append(vit.layernorm, Linear(16, 16))+act(silu)", optimizer=optimizer)
        loss = F.cross_entropy(model(images()).logits, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert {id(p) for p in model.parameters()} == {id(p) for p in optimizer.param_groups[0]["params"]}
    assert losses[-1] < losses[3]


def test_a_compiled_one_sees_the_edit() -> None:
    torch._dynamo.reset()
    model = bert().eval()
    hand = copy.deepcopy(model)
    put(*BERT_ACTS, "pooler.activation", layer=nn.SiLU)(hand)
    graphs = []

    def backend(graph: Any, example: Any) -> Any:
        graphs.append(graph)
        return graph

    wrapper = torch.compile(model, backend=backend)
    wrapper(words())
    met = len(graphs)
    wrapper(words())
    assert len(graphs) == met > 0
    assert zoo.modify(wrapper, "act(silu)") is wrapper
    torch.testing.assert_close(tensors(wrapper(words())), tensors(hand(words())))
    assert len(graphs) > met  # compiled anew, not run beside the graph


# -- torchvision ------------------------------------------------------------------------------------------------------


def test_torchvision_detection() -> None:
    torch.manual_seed(0)
    build = torchvision.models.detection.fasterrcnn_mobilenet_v3_large_320_fpn
    model = build(weights=None, weights_backbone=None, num_classes=3, min_size=64, max_size=64).eval()
    hand, x = copy.deepcopy(model), [torch.rand(3, 64, 64), torch.rand(3, 48, 64)]

    def by_hand(module: nn.Module) -> None:
        for name, child in module.named_children():
            if isinstance(child, (nn.Hardswish, nn.ReLU)):
                setattr(module, name, nn.SiLU(inplace=child.inplace))
            by_hand(child)

    by_hand(hand.backbone)
    hand.roi_heads.score_thresh = 0.0
    model.roi_heads.score_thresh = 0.0
    with pytest.raises(
        zoo.NotApplicableError, match=r"relu, which TwoMLPHead calls as a function at 'roi_heads.box_head'"
    ):
        zoo.modify(model, "act(silu)")
    zoo.modify(model, "act(silu, at=backbone)")
    assert str(zoo.spec_of(model)) == "?FasterRCNN+act(name=silu, at=backbone)"
    assert len(zoo.changes(model)) == 39
    torch.testing.assert_close(model(x), hand(x))
    assert list(model.state_dict()) == list(hand.state_dict())
    zoo.modify(model, "dropout(0.2, at=roi_heads.box_predictor)+set(BatchNorm2d, eps=0.01)")
    for module in hand.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 0.01
    torch.testing.assert_close(model(x), hand(x))


def test_torchvision_detection_trains_on() -> None:
    """In train mode it takes targets and returns losses, and an edit doesn't stand in the way."""
    build = torchvision.models.detection.ssdlite320_mobilenet_v3_large
    model = build(weights=None, weights_backbone=None, num_classes=3)
    zoo.modify(model, "act(silu, at=backbone)+set(BatchNorm2d, momentum=0.5)")
    target = {"boxes": torch.tensor([[5.0, 5.0, 30.0, 40.0]]), "labels": torch.tensor([1])}
    losses = model([torch.rand(3, 64, 64)] * 2, [target, target])
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in model.backbone.parameters())


def test_torchvision_segmentation() -> None:
    model = torchvision.models.segmentation.lraspp_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=3
    )
    hand, x = copy.deepcopy(model.eval()), torch.randn(1, 3, 32, 32)
    hand.classifier.cbr[2] = nn.SiLU()
    hand.classifier.high_classifier.register_forward_hook(lambda module, args, out: out.tanh())
    zoo.modify(model, "replace(classifier.cbr.2, SiLU())+append(classifier.high_classifier, Tanh())")
    torch.testing.assert_close(model(x)["out"], hand(x)["out"])


# -- a user's own class -----------------------------------------------------------------------------------------------


class Mixed(nn.Module):
    """Layers in a plain list, a function where others have a layer, a parameter of its own, several inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.enc = nn.Linear(4, 8)
        self.act = nn.ReLU()
        self.dec = nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 2)])
        self.scale = nn.Parameter(torch.ones(8))
        self.taps: list[Tensor] = []

    def forward(self, x: Tensor, mask: Tensor, *, add: float = 0.0) -> Tensor:
        x = self.act(self.enc(x) * self.scale) * mask + add
        return self.dec[1](F.dropout(F.gelu(self.dec[0](x)), 0.1, self.training))


MIXED = [
    ("act(silu, at=act)", put("act", layer=nn.SiLU)),
    ("append(enc, Tanh())", behind("enc", tanh)),
    ("prepend(dec.1, Tanh())", in_front("dec.1", tanh)),
    ("dropout(0.3, at=dec.0)", in_front("dec.0", dropped)),
    ("remove(act)", put("act", layer=nn.Identity)),
]


@pytest.mark.parametrize(("mods", "by_hand"), MIXED, ids=[mods for mods, _ in MIXED])
@pytest.mark.parametrize("training", [False, True])
def test_a_users_class_with_functions_and_several_inputs(mods: str, by_hand: Any, training: bool) -> None:
    model = Mixed().train(training)
    hand, x, mask = copy.deepcopy(model), torch.randn(3, 4), torch.rand(3, 8)
    by_hand(hand)
    zoo.modify(model, mods)
    outputs = []
    for one in (hand, model, pickle.loads(pickle.dumps(model))):
        torch.manual_seed(1)
        outputs.append(one(x, mask=mask, add=0.5))
    torch.testing.assert_close(outputs[1:], outputs[:1] * 2)
    assert str(zoo.spec_of(model)).startswith("?Mixed+")
    hand.load_state_dict(model.state_dict())


def test_what_a_users_class_calls_as_a_function_is_not_swapped_by_half() -> None:
    with pytest.raises(
        zoo.NotApplicableError, match=r"^act can't swap gelu, which Mixed calls as a function at the root"
    ):
        zoo.modify(Mixed(), "act(silu)")
