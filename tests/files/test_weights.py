"""Weights from one variant into another, by name, with a report."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

import zoo


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("spec", ["simple+act(silu)+dropout(0.1)", "simple+bn(eps=1e-3)", "simple"])
def test_base_to_variant_and_back(spec: str) -> None:
    base = zoo.create("simple")
    variant = zoo.create(spec, weights=base)
    assert equal(variant.state_dict(), base.state_dict())
    assert variant.layers1[0].weight is not base.layers1[0].weight
    back = zoo.create("simple", weights=variant.state_dict())
    assert equal(back.state_dict(), base.state_dict())


def test_a_longer_variant_takes_what_there_is_and_says_what_is_missing() -> None:
    base = zoo.create("simple")
    spec = "simple+append(layers4=Sequential(BatchNorm1d(2), Linear(2, 1)))"
    with pytest.raises(zoo.CheckpointError) as raised:
        zoo.create(spec, weights=base)
    report = (
        "11 weights matched\n  7 missing from the source: layers4.0.weight, layers4.0.bias, layers4.0.running_mean, "
        "layers4.0.running_var, layers4.0.num_batches_tracked, … and 2 more"
    )
    assert str(raised.value) == f"these weights aren't this model's: {report}"
    with pytest.warns(UserWarning, match="7 missing from the source"):
        longer = zoo.create(spec, weights=base, strict=False)
    kept = {name: value for name, value in longer.state_dict().items() if not name.startswith("layers4")}
    assert equal(kept, base.state_dict())


def test_a_shorter_variant() -> None:
    base = zoo.create("simple")
    model = zoo.create("simple+remove(layers2)+remove(layers3)")
    report = zoo.carry(model, base, strict=False)
    assert report.matched == ("layers1.0.weight", "layers1.0.bias")
    assert len(report.unexpected) == 9
    assert report.missing == report.reshaped == ()


def test_shapes_and_kinds_are_compared_before_anything_is_touched() -> None:
    model = zoo.create("simple")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    source = zoo.create("simple").state_dict()
    source["layers3.1.weight"] = torch.zeros(5, 70)
    source["layers1.0.bias"] = torch.zeros(100, dtype=torch.int64)
    source["layers2.0.bias"] = torch.zeros(70, dtype=torch.complex64)
    with pytest.raises(zoo.CheckpointError):
        zoo.carry(model, source)
    assert equal(model.state_dict(), before)
    report = zoo.carry(model, source, strict=False)
    assert report.reshaped == (
        ("layers1.0.bias", "float32[100]", "int64[100]"),
        ("layers2.0.bias", "float32[70]", "complex64[70]"),
        ("layers3.1.weight", "float32[2, 70]", "float32[5, 70]"),
    )
    assert len(report.matched) == 8


def test_a_half_precision_source_is_taken() -> None:
    source = zoo.create("simple", dtype=torch.bfloat16)
    model = zoo.create("simple", weights=source)
    assert model.layers1[0].weight.dtype == torch.float32
    assert torch.equal(model.layers1[0].weight, source.layers1[0].weight.float())


def test_a_source_without_values_leaves_the_model_alone() -> None:
    model = zoo.create("simple")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    source = {name: value.to("meta") if "layers3" in name else value + 1 for name, value in before.items()}
    with pytest.raises(zoo.OptionError) as raised:
        zoo.carry(model, source)
    assert str(raised.value) == "'layers3.0.weight' in the source is on the meta device and has no values"
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_weights_go_into_a_model() -> None:
    with pytest.raises(zoo.OptionError) as raised:
        zoo.carry("simple", {})  # type: ignore[arg-type]
    assert str(raised.value) == "weights go into a live model, not 'simple'; zoo.create makes one from a spec"


@pytest.mark.parametrize(
    ("weights", "device", "text"),
    [
        (3, None, "weights are a model, a state dict of tensors or the path of a file, not int"),
        ({"a": 1}, None, "weights: 'a' is of type int; expected tensors"),
        (
            {"state_dict": {}},
            None,
            "weights: 'state_dict' is of type dict; expected tensors; give what is inside, ...['state_dict']",
        ),
        ({}, "meta", "a model on the meta device has no memory for weights; create it without device='meta'"),
    ],
)
def test_what_is_no_source(weights: object, device: str | None, text: str) -> None:
    with pytest.raises(zoo.OptionError) as raised:
        zoo.create("simple", weights=weights, device=device)
    assert str(raised.value) == text


@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_a_model_that_waits_for_its_sizes_takes_them_from_the_weights() -> None:
    source = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    model = nn.Sequential(nn.LazyLinear(3), nn.LazyBatchNorm1d())
    assert zoo.carry(model, source).exact
    again = nn.Sequential(nn.LazyLinear(3), nn.LazyBatchNorm1d())
    again.load_state_dict(source.state_dict())
    x = torch.randn(5, 4)
    torch.testing.assert_close(model(x), source(x), rtol=0, atol=0)
    torch.testing.assert_close(again(x), model(x), rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_what_waits_for_its_size_is_told_without_one() -> None:
    with pytest.raises(zoo.CheckpointError, match=r"of another shape or kind: 0\.weight \(wants float32\[\?\], "):
        zoo.carry(nn.Sequential(nn.LazyLinear(3)), {"0.weight": torch.ones(3, 4).long(), "0.bias": torch.ones(3)})


def _of_inference() -> nn.Module:
    with torch.inference_mode():
        return nn.Linear(2, 1)


def _expanded() -> nn.Module:
    model = nn.Linear(2, 1)
    model.register_buffer("scale", torch.ones(1).expand(3))
    return model


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (_of_inference, "'weight' was made in inference mode and takes no values outside of it"),
        (_expanded, "'scale' is one number shown several times, which takes no values; make it contiguous"),
    ],
)
def test_what_takes_no_values_is_found_before_anything_is_touched(make: Callable[[], nn.Module], text: str) -> None:
    model = make()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(zoo.CheckpointError) as raised:
        zoo.carry(model, {name: torch.full(tensor.shape, 7.0) for name, tensor in before.items()})
    assert str(raised.value) == text
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)
