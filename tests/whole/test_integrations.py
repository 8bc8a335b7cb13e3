"""A variant is an ordinary module: trained, spread out, quantized and exported by the tools that others use.

Each test takes a net with two heads and a trunk that was changed, and compares with what it does by itself.
"""

from __future__ import annotations

import copy
import os
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import zoo
from tests.digits import digits

SPEC = (
    "convnet(channels=8, depth=2, in_chans=1)+act(silu)+append(blocks.0, Conv2d(8, 8, 1))"
    "+dropout(0.0)+heads(digit=10, ink=1)"
)


def digits_and_ink(count: int = 256) -> tuple[Tensor, Tensor, Tensor]:
    """Images, the digit (N,), and the share of dark pixels (N, 1)."""
    x, labels = digits(count)
    return x, labels, x.flatten(1).mean(1, keepdim=True)


def loss_of(out: dict[str, Tensor], digit: Tensor, ink: Tensor) -> Tensor:
    return nn.functional.cross_entropy(out["digit"], digit) + nn.functional.mse_loss(out["ink"], ink)


@torch.no_grad()
def evaluated(model: nn.Module) -> float:
    x, digit, ink = digits_and_ink()
    return loss_of(copy.deepcopy(model).eval()(x), digit, ink).item()


# -- training ---------------------------------------------------------------------------------------------------------


def test_timms_optimizers_and_schedulers() -> None:
    from timm.optim import create_optimizer_v2
    from timm.scheduler import create_scheduler_v2

    model = zoo.create(SPEC)
    groups = zoo.param_groups(model, {"head": {"lr": 0.1}, ":1d": {"weight_decay": 0.0}}, lr=0.05)
    optimizer = create_optimizer_v2(groups, opt="adamw", lr=0.05, weight_decay=0.05)
    scheduler, epochs = create_scheduler_v2(optimizer, sched="cosine", num_epochs=10, min_lr=0.0)
    before, rates = evaluated(model), []
    for epoch in range(epochs):
        for x, digit, ink in DataLoader(TensorDataset(*digits_and_ink()), batch_size=64, shuffle=True):
            optimizer.zero_grad()
            loss_of(model.train()(x), digit, ink).backward()
            optimizer.step()
        rates.append([group["lr"] for group in optimizer.param_groups])
        scheduler.step(epoch + 1)
    assert evaluated(model) < before / 2
    half = [rate / 2 for rate in rates[0]]
    assert rates[0] == [0.1, 0.05, 0.05]
    assert rates[5] == pytest.approx(half), "half a cosine down, each group from its own rate"


@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")  # Lightning's own call of torch
def test_lightnings_trainer(tmp_path: Path) -> None:
    import lightning

    class Lit(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = zoo.create(SPEC)

        def training_step(self, batch: Any, at: int) -> Tensor:
            x, digit, ink = batch
            return loss_of(self.model(x), digit, ink)

        def configure_optimizers(self) -> Any:
            groups = zoo.param_groups(self.model, {"head": {"lr": 0.1}}, lr=0.05)
            optimizer = torch.optim.AdamW(groups)
            return [optimizer], [torch.optim.lr_scheduler.MultiStepLR(optimizer, [7], gamma=0.1)]

    lit = Lit()
    before = evaluated(lit.model)
    loader = DataLoader(TensorDataset(*digits_and_ink()), batch_size=64, shuffle=True)
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = lightning.Trainer(max_epochs=8, accelerator="cpu", default_root_dir=tmp_path, **quiet)
    trainer.fit(lit, loader)
    assert evaluated(lit.model) < before / 2
    assert [group["lr"] for group in trainer.optimizers[0].param_groups] == pytest.approx([0.01, 0.005])
    trainer.save_checkpoint(tmp_path / "last.ckpt", weights_only=True)
    again = Lit.load_from_checkpoint(tmp_path / "last.ckpt").model
    assert all(torch.equal(t, again.state_dict()[name]) for name, t in lit.model.state_dict().items())


class WithLoss(zoo.Mixin):
    """On the root: with labels, the outputs and their loss, as Hugging Face's Trainer wants them."""

    options = ("digit", "ink")

    def forward(self, *args: Any, digit: Any = None, ink: Any = None, **kwargs: Any) -> Any:
        out = super().forward(*args, **kwargs)  # type: ignore[misc]
        return out if digit is None else {"loss": loss_of(out, digit, ink), "logits": out["digit"]}


def test_hugging_faces_trainer(tmp_path: Path) -> None:
    from transformers import Trainer, TrainingArguments

    model = zoo.become(zoo.create(SPEC), "", WithLoss)
    before = evaluated(model)
    x, digit, ink = digits_and_ink()
    rows = [{"x": x[i], "digit": digit[i], "ink": ink[i], "unknown": 1} for i in range(len(x))]
    settings = TrainingArguments(
        output_dir=str(tmp_path),
        num_train_epochs=20,
        per_device_train_batch_size=64,
        learning_rate=0.05,
        label_names=["digit"],
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
    )
    groups = zoo.param_groups(model, {":1d": {"weight_decay": 0.0}}, lr=0.05)
    trainer = Trainer(model, settings, train_dataset=rows, optimizers=(torch.optim.AdamW(groups), None))
    trainer.train()
    assert evaluated(model) < before / 2
    predicted = trainer.predict(rows)
    assert predicted.predictions.shape == (256, 10)
    assert (torch.tensor(predicted.predictions).argmax(1) == digit).float().mean() > 0.8


# -- many processes ---------------------------------------------------------------------------------------------------


def _worker(rank: int, port: int, folder: str) -> None:
    """One of two processes: a step under DistributedDataParallel, then a forward and a step under FSDP2."""
    import torch.distributed as dist
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, set_model_state_dict
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from torch.nn.parallel import DistributedDataParallel

    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=2)
    torch.set_num_threads(1)
    weights, batch = torch.load(f"{folder}/given.pt")
    mine = [part[rank::2] for part in batch]

    model = zoo.create(SPEC, weights=weights).eval()  # with BatchNorm's running statistics, halves add up to the whole
    ddp = DistributedDataParallel(model)
    loss_of(ddp(mine[0]), *mine[1:]).backward()
    found = {"ddp": {name: p.grad for name, p in model.named_parameters()}}

    sharded = zoo.create(SPEC, device="meta").eval()
    mesh = init_device_mesh("cpu", (2,))
    for block in sharded.blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(sharded, mesh=mesh)
    sharded.to_empty(device="cpu")
    set_model_state_dict(sharded, weights, options=StateDictOptions(full_state_dict=True))
    optimizer = torch.optim.SGD(zoo.param_groups(sharded, {"head": {"lr": 0.2}}, lr=0.1))
    out = sharded(mine[0])
    loss_of(out, *mine[1:]).backward()
    optimizer.step()
    found["shards"] = {name: p.to_local().clone() for name, p in sharded.named_parameters()}
    found["fsdp"] = get_model_state_dict(sharded, options=StateDictOptions(full_state_dict=True))
    found["out"] = {name: y.detach() for name, y in out.items()}
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, list[dict[str, Any]]]:
    """The model by itself, and what each of two processes has found."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("processes")
    model = zoo.create(SPEC).eval()
    torch.save((model.state_dict(), digits_and_ink(8)), folder / "given.pt")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(_worker, (port, str(folder)), nprocs=2)
    return model, [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.slow  # two more processes import torch
def test_distributed_data_parallel(two_processes: tuple[nn.Module, list[dict[str, Any]]]) -> None:
    model, found = copy.deepcopy(two_processes[0]), two_processes[1]
    x, digit, ink = digits_and_ink(8)
    loss_of(model(x), digit, ink).backward()
    for name, parameter in model.named_parameters():
        for one in found:
            torch.testing.assert_close(one["ddp"][name], parameter.grad)


@pytest.mark.slow  # two more processes import torch
def test_fully_sharded_from_meta(two_processes: tuple[nn.Module, list[dict[str, Any]]]) -> None:
    model, found = copy.deepcopy(two_processes[0]), two_processes[1]
    x, digit, ink = digits_and_ink(8)
    out = model(x)
    for rank, one in enumerate(found):
        torch.testing.assert_close(one["out"], {name: y[rank::2] for name, y in out.items()})
    optimizer = torch.optim.SGD(zoo.param_groups(model, {"head": {"lr": 0.2}}, lr=0.1))
    loss_of(out, digit, ink).backward()
    optimizer.step()
    torch.testing.assert_close(found[0]["fsdp"], dict(model.state_dict()))
    shards = sum(p.numel() for p in found[0]["shards"].values())
    assert shards < 0.6 * sum(p.numel() for p in model.parameters()), "each process holds its half"


# -- smaller, and elsewhere -------------------------------------------------------------------------------------------


def test_torchaos_quantize() -> None:
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    model = zoo.create("mlp(64, hidden=[64, 64])+act(gelu)+append(layers.1, Linear(64, 64))+heads(digit=10, ink=1)")
    x = digits_and_ink(32)[0]
    before = model.eval()(x)
    quantize_(model, Int8WeightOnlyConfig())
    after = model(x)
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            assert type(module.weight).__module__.startswith("torchao"), name
    for name, y in before.items():
        assert not torch.equal(after[name], y)
        torch.testing.assert_close(after[name], y, atol=0.02, rtol=0.05)
    assert torch.equal(model(x, task="ink"), after["ink"])


def test_onnx(tmp_path: Path) -> None:
    import onnxruntime

    model = zoo.create(SPEC.replace("digit=10, ink=1", "species=20, age=1")).eval()
    x = digits_and_ink(3)[0]
    batch = {"x": {0: torch.export.Dim("batch")}}
    names = list(model(x))  # by name, whatever the order in the spec
    assert names == ["age", "species"]
    torch.onnx.export(model, (x,), tmp_path / "net.onnx", dynamo=True, dynamic_shapes=batch, output_names=names)
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    more = digits_and_ink(7)[0]
    found = session.run(names, {session.get_inputs()[0].name: more.numpy()})
    for y, wanted in zip(found, model(more).values(), strict=True):
        torch.testing.assert_close(torch.tensor(y), wanted)
