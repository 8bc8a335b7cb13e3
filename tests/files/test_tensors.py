"""Where tensors lie: one that is mapped computes what one in torch's own memory does, to the last bit."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import zoo
from tests.nets import run, same
from zoo.files.atomic import store
from zoo.files.tensors import DTYPES, open_tensors, order_names, writer

FILES = Path(__file__).parents[1] / "data"
SHAPES: list[tuple[int, ...]] = [(), (0, 3), (1,), (3,), (16,), (5, 5), (4, 16), (27, 1), (64,), (1001,)]
OFFSETS = range(0, 64, 4)


def header_of(content: bytes) -> tuple[dict[str, Any], int]:
    """The header of a file, and where the tensors begin; read by hand."""
    begin = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:begin]), begin


def shift(path: Path, offset: int) -> None:
    """Write the file anew, its tensors beginning `offset` bytes behind a multiple of 64, as anyone's may."""
    content = path.read_bytes()
    _, begin = header_of(content)
    spaces = (offset - begin) % 64
    path.write_bytes((begin - 8 + spaces).to_bytes(8, "little") + content[8:begin] + b" " * spaces + content[begin:])
    assert header_of(path.read_bytes())[1] % 64 == offset


def assorted() -> dict[str, Tensor]:
    """Tensors of every dtype and of even and odd sizes."""
    numbers = torch.Generator().manual_seed(0)
    return {
        f"{name}.{number}": torch.randint(0, 2, shape, generator=numbers).to(dtype)
        for name, dtype in DTYPES.items()
        for number, shape in enumerate(SHAPES)
    }


def write(tensors: Mapping[str, Tensor], path: Path) -> None:
    store(path, writer(tensors, {}))


@pytest.mark.parametrize("write", [write, save_file])
@pytest.mark.parametrize("mapped", [True, False])
def test_every_tensor_lies_as_torchs_own_do(write: Any, mapped: bool, path: Path) -> None:
    wanted = assorted()
    write(wanted, path)
    for offset in range(64):
        shift(path, offset)
        with open_tensors(path, mapped) as file:
            for name, value in wanted.items():
                found = file.tensor(name)
                assert found.data_ptr() % 64 == 0
                for tensor in (found, file.tensor(name, kept=False)):
                    assert (tensor.dtype, tensor.shape, tensor.stride()) == (value.dtype, value.shape, value.stride())
                    assert tensor.data_ptr() % tensor.element_size() == 0
                    assert torch.equal(tensor.reshape(-1).view(torch.uint8), value.reshape(-1).view(torch.uint8))


@pytest.mark.parametrize(
    "spec", ["resnet18+in_chans(1)+heads(a=3)", "ghostnet_050", "test_vit+heads(a=3)+dropout(0.1)"]
)
def test_nearly_all_of_a_file_lies_right_and_is_mapped(spec: str, path: Path) -> None:
    model = zoo.create(spec)
    zoo.save(model, path)
    described, begin = header_of(path.read_bytes())
    assert begin % 64 == 0
    del described["__metadata__"]
    assert list(described) == sorted(described), "names are listed by name, however the tensors lie"
    places = {name: begin + entry["data_offsets"][0] for name, entry in described.items()}
    values = model.state_dict()
    sizes = {name: value.numel() * value.element_size() for name, value in values.items()}
    right = [name for name, place in places.items() if place % 64 == 0]
    assert {name for name, size in sizes.items() if size % 64 == 0} <= set(right)
    assert sum(sizes[name] for name in right) > 0.98 * sum(sizes.values())
    assert all(places[name] % value.element_size() == 0 for name, value in values.items())
    with open_tensors(path) as file:
        starts = {file.tensor(name).data_ptr() - places[name] for name in right if sizes[name]}
    assert len(starts) == 1, "they lie to each other as in the file: it is mapped"


def test_what_is_only_copied_from_is_mapped_from_anyones_file(path: Path) -> None:
    """Else `zoo.carry` would hold it twice in memory, and a third time in the model."""
    values = {"a": torch.randn(33), "b": torch.randn(64, 3), "c": torch.randn(7)}
    save_file(values, path)
    shift(path, 20)
    described, _ = header_of(path.read_bytes())
    with open_tensors(path) as file:
        lent = {name: file.tensor(name, kept=False) for name in values}
    assert len({tensor.data_ptr() - described[name]["data_offsets"][0] for name, tensor in lent.items()}) == 1


@pytest.mark.parametrize("path", sorted(FILES.rglob("*.safetensors")), ids=lambda p: p.relative_to(FILES).as_posix())
def test_a_file_that_exists_already_is_loaded_exactly(path: Path) -> None:
    plain = load_file(path)
    for loaded in (zoo.load(path), zoo.load(path, mmap=False)):
        values = loaded.state_dict()
        assert all(torch.equal(values[name], value) for name, value in plain.items() if not name.startswith("zoo:"))
        assert all(value.data_ptr() % 64 == 0 for value in values.values())


def test_the_order_is_the_same_whichever_way_the_tensors_come() -> None:
    sizes = {f"{n}": n for n in (0, 4, 8, 12, 36, 64, 96, 128, 160, 4000)} | {"again": 12}
    order = order_names(sizes)
    assert order_names(dict(reversed(sizes.items()))) == order
    powers = [math.gcd(sizes[name], 64) for name in order]
    assert powers == sorted(powers, reverse=True)
    assert order[-4:] == ["36", "12", "again", "4"], "then the larger, then by name"


@pytest.mark.parametrize(
    ("spec", "size"),
    [
        ("resnet18+in_chans(1)+heads(a=3)", (1, 1, 32, 32)),
        ("test_resnet(num_classes=5, in_chans=1)", (1, 1, 64, 64)),
        ("test_efficientnet+heads(a=7, b=1)", (1, 3, 64, 64)),
        ("test_vit+act(silu)+heads(a=3)", (1, 3, 160, 160)),
        ("convnet+in_chans(1)+num_classes(13)", (2, 1, 32, 32)),
        ("mlp(in_features=63, hidden=[31, 17], num_classes=5)", (3, 63)),
    ],
)
def test_a_file_computes_what_the_model_did_wherever_its_tensors_lie(
    spec: str, size: tuple[int, ...], path: Path
) -> None:
    model, live = zoo.create(spec).eval(), zoo.create(spec)
    x = torch.randn(size)
    wanted = run(model, x)
    zoo.save(model, path)
    differ = []
    for offset in OFFSETS:
        shift(path, offset)
        found = [zoo.load(path), zoo.load(path, into=live)]
        assert all(value.data_ptr() % 64 == 0 for one in found for value in one.state_dict().values())
        if not all(same(run(one, x), wanted) for one in found):
            differ.append(offset)
    assert not differ
    for one in (zoo.load(path, mmap=False), zoo.create(spec, weights=path)):
        assert same(run(one, x), wanted)


SGD, AdamW, Cosine = torch.optim.SGD, torch.optim.AdamW, torch.optim.lr_scheduler.CosineAnnealingLR


@pytest.mark.parametrize("kind", [SGD, AdamW])
@pytest.mark.parametrize(
    ("spec", "size"),
    [
        ("simple+dropout(0.1)", (8, 100)),
        ("convnet+in_chans(1)+num_classes(3)+dropout(0.1)", (4, 1, 16, 16)),
        ("test_resnet(num_classes=5, in_chans=1)+dropout(0.1)", (1, 1, 64, 64)),
    ],
)
def test_a_training_goes_on_bit_for_bit_wherever_its_tensors_lie(
    spec: str, size: tuple[int, ...], kind: Any, path: Path
) -> None:
    """The README's own recipe, against a training that never stopped."""
    images = [torch.randn(size) for _ in range(4)]
    model = zoo.create(spec).train()
    optimizer = kind(model.parameters(), lr=1e-2)
    schedule = Cosine(optimizer, 100)
    train(model, optimizer, schedule, images[:1])
    zoo.save(model, path, optimizer=optimizer, scheduler=schedule, step=1)
    wanted = train(model, optimizer, schedule, images[1:])
    differ = []
    for offset in OFFSETS:
        shift(path, offset)
        again = zoo.load(path)
        other = kind(again.parameters(), lr=1.0)
        later = Cosine(other, 100)
        zoo.load(path, into=again, optimizer=other, scheduler=later)
        losses = train(again, other, later, images[1:])
        if losses != wanted or not same(again.state_dict(), model.state_dict()):
            differ.append(offset)
    assert not differ


def train(model: nn.Module, optimizer: Any, schedule: Any, images: list[Tensor]) -> list[float]:
    losses = []
    for x in images:
        optimizer.zero_grad()
        loss = model(x).square().sum()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
    return losses


def test_a_file_that_is_cut_off_while_it_is_read(path: Path) -> None:
    store(path, writer({"a": torch.ones(4), "b": torch.ones(4000)}, {}))
    with open_tensors(path, mapped=False) as file:
        with open(path, "r+b") as other:
            other.truncate(1000)
        with pytest.raises(zoo.CheckpointError) as raised:
            file.tensor("b")
    assert str(raised.value) == f"'{path}' became shorter while it was read"


def test_a_header_that_nobody_would_read_again_is_not_written() -> None:
    """An entry is its name, and 52 characters around it; the header ends at a multiple of 64."""
    with pytest.raises(zoo.CheckpointError) as raised:
        writer({"x" * 9_000_000: torch.ones(1)}, {})
    written = int(str(raised.value).split()[4].replace(",", ""))
    assert str(raised.value) == f"the header would take {written:,} bytes; at most 8,388,608 are read again"
    assert 9_000_000 < written < 9_000_200
