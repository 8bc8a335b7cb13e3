"""A model inside DistributedDataParallel, DataParallel or torch.compile; sharded ones are refused."""

from __future__ import annotations

import copy
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, multiprocessing, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.nn.parallel import DataParallel
from torch.nn.parallel import DistributedDataParallel as DDP

import zoo

SPEC = "convnet(channels=4, depth=2)"


@pytest.fixture(scope="module", autouse=True)
def _one_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    file = tmp_path_factory.mktemp("group") / "store"
    distributed.init_process_group("gloo", init_method=f"file://{file}", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def small() -> nn.Module:
    torch.manual_seed(0)
    return zoo.create(SPEC)


def batch(seed: int = 0) -> Tensor:
    return torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


def step(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor) -> float:
    loss = model(x).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


WRAPPERS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "DDP": DDP,
    "DDP of a compiled": lambda m: DDP(torch.compile(m, backend="eager")),
    "compiled DDP": lambda m: torch.compile(DDP(m), backend="eager"),
    "DataParallel": DataParallel,
}
FITTING = ["act(silu)", "dropout(0.3)", "set(BatchNorm2d, eps=0.1)", "bn(momentum=0.5)", "append(blocks.0, Tanh())"]


@pytest.mark.filterwarnings("ignore:Profiler record function")
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_an_edit_without_parameters_works_inside(wrapper: str) -> None:
    """And training goes on as it does without the wrapper."""
    torch._dynamo.reset()
    inside, plain = small(), small()
    wrapped = WRAPPERS[wrapper](inside)
    optimizers = [torch.optim.SGD(m.parameters(), 0.1, momentum=0.9) for m in (wrapped, plain)]
    mods = "+".join(FITTING)
    for number in range(4):
        if number == 2:
            assert zoo.modify(wrapped, mods, optimizer=optimizers[0]) is wrapped
            zoo.modify(plain, mods, optimizer=optimizers[1])
        losses = []
        for model, optimizer in zip((wrapped, plain), optimizers, strict=True):
            torch.manual_seed(number)
            losses.append(step(model, optimizer, batch(number)))
        assert losses[0] == losses[1]
    torch.testing.assert_close(inside.state_dict(), plain.state_dict(), rtol=0, atol=0)
    assert zoo.spec_of(wrapped) == zoo.spec_of(plain)
    assert zoo.changes(wrapped) == zoo.changes(plain)
    assert not zoo.diff(wrapped, plain)
    assert not zoo.verify(wrapped)


_WORDS = (
    "would come, go, freeze, thaw or get other values behind the back of DistributedDataParallel, which has noted what "
    "it keeps in step; "
    "modify the module inside, then wrap it again: DistributedDataParallel(zoo.modify(model.module, ...))"
)
_COUNT = "num_batches_tracked"
REFUSED = [
    ("append(blocks.0, BatchNorm2d(4))", f"'blocks.0.zoo_after.0.bias' and 4 more {_WORDS}"),
    (
        "append(blocks.0, BatchNorm2d(4, affine=False))",
        f"'blocks.0.zoo_after.0.{_COUNT}' and 2 more {_WORDS}",
    ),
    ("remove(blocks.0.norm)", f"'blocks.0.norm.bias' and 4 more {_WORDS}"),
    ("replace(head, Linear(8, 10))", f"'head.bias' and 1 more {_WORDS}"),
    ("act(silu)+heads(a=2)", f"'head.a.bias' and 3 more {_WORDS}"),
    ("act(prelu)", f"'blocks.0.act.weight' and 1 more {_WORDS}"),
    ("reinit(head, normal, std=0.1)", f"'head.weight' {_WORDS}"),
    ("reinit(head)", f"'head.bias' and 1 more {_WORDS}"),
]


@pytest.mark.parametrize(("mods", "text"), REFUSED, ids=[mods for mods, _ in REFUSED])
def test_what_ddp_can_not_follow_is_refused_and_nothing_has_happened(mods: str, text: str) -> None:
    inside = small()
    wrapped = DDP(inside)
    optimizer = torch.optim.AdamW(wrapped.parameters(), 0.1)
    step(wrapped, optimizer, batch())
    before = [(n, id(m), type(m)) for n, m in inside.named_modules()]
    tensors = {n: (id(t), t.clone()) for n, t in inside.state_dict(keep_vars=True).items()}
    groups, state = [list(map(id, g["params"])) for g in optimizer.param_groups], copy.deepcopy(optimizer.state_dict())
    with pytest.raises(zoo.NotApplicableError) as caught:
        zoo.modify(wrapped, mods, optimizer=optimizer)
    assert str(caught.value) == text
    assert [(n, id(m), type(m)) for n, m in inside.named_modules()] == before
    assert all(
        id(t) == tensors[n][0] and torch.equal(t, tensors[n][1]) for n, t in inside.state_dict(keep_vars=True).items()
    )
    assert [list(map(id, g["params"])) for g in optimizer.param_groups] == groups
    torch.testing.assert_close(optimizer.state_dict(), state, rtol=0, atol=0)
    assert not zoo.changes(wrapped)
    step(wrapped, optimizer, batch())
    # What the message says to do instead.
    again = DDP(zoo.modify(wrapped.module, mods, optimizer=optimizer))
    zoo.modify(again, "dropout(0.1)")
    assert str(zoo.spec_of(again)).endswith("+dropout(p=0.1)")


def test_freezing_behind_its_back_is_refused() -> None:
    @zoo.modifier
    def frozen(model: nn.Module, /) -> nn.Module:
        """Freeze the first block."""
        model.blocks[0].requires_grad_(False)
        return model

    module = types.ModuleType("own")
    module.zoo_modifiers = zoo.hookimpl(specname="zoo_modifiers")(lambda: [frozen])
    wrapped = DDP(small())
    with pytest.raises(
        zoo.NotApplicableError, match=r"^'blocks\.0\.conv\.weight' and 2 more would come, go, freeze, thaw or "
    ):
        zoo.modify(wrapped, "frozen", registry=zoo.Registry.of(module))
    assert all(p.requires_grad for p in wrapped.parameters())


def test_a_wrapper_deep_inside_a_users_model_counts_too() -> None:
    class Trainer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = DDP(small())

    trainer = Trainer()
    zoo.modify(trainer, "act(silu)")
    with pytest.raises(zoo.NotApplicableError, match=r"behind the back of DistributedDataParallel"):
        zoo.modify(trainer, "replace(net.module.head, Linear(8, 2))")


def test_a_copy_is_one_of_what_is_inside() -> None:
    wrapped = DDP(small())
    other = zoo.modify(wrapped, "heads(a=2)", copy=True)
    assert type(other) is not DDP
    assert str(zoo.spec_of(other)) == "convnet(channels=4, depth=2)+heads(a=2)"
    assert not zoo.changes(wrapped)


def test_a_root_that_is_replaced_inside_a_wrapper_is_refused() -> None:
    wrapped = DataParallel(nn.ReLU())
    with pytest.raises(zoo.NotApplicableError) as caught:
        zoo.modify(wrapped, "act(silu)")
    assert str(caught.value) == (
        "this replaces the root that DataParallel holds; modify the module inside, then wrap it again: "
        "DataParallel(zoo.modify(model.module, ...))"
    )
    assert type(wrapped.module) is nn.ReLU


def test_sharded_models_are_refused() -> None:
    sharded = fully_shard(small(), mesh=init_device_mesh("cpu", (1,)))
    with pytest.raises(zoo.NotApplicableError) as caught:
        zoo.modify(sharded, "act(silu)")
    assert str(caught.value) == (
        "'blocks.0.conv.weight' is a DTensor, spread over processes; modify the bare model, then shard it: "
        "fully_shard(zoo.modify(model, ...))"
    )
    assert isinstance(sharded.blocks[0].act, nn.ReLU)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that nobody shards on a CPU
        flat = FullyShardedDataParallel(small(), device_id=torch.device("cpu"))
    with pytest.raises(zoo.NotApplicableError) as caught:
        zoo.modify(flat, "act(silu)")
    assert str(caught.value) == (
        "FullyShardedDataParallel made flat pieces of this model's parameters; modify the bare model, then wrap it: "
        "FullyShardedDataParallel(zoo.modify(model, ...))"
    )


def bare() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 2), nn.ReLU())


SCRIPTED: dict[str, Callable[[nn.Module], nn.Module]] = {
    "RecursiveScriptModule": torch.jit.script,
    "TopLevelTracedModule": lambda model: torch.jit.trace(model, torch.ones(1, 2)),
}


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
@pytest.mark.parametrize("kind", SCRIPTED)
def test_scripted_models_are_refused(kind: str) -> None:
    with pytest.raises(zoo.NotApplicableError) as caught:
        zoo.modify(SCRIPTED[kind](bare()), "act(silu)")
    assert str(caught.value) == (
        f"this {kind} was scripted or traced, and its layers can't be changed any more; modify the bare model, then "
        "script it: torch.jit.script(zoo.modify(model, ...))"
    )
    x = torch.randn(3, 2)
    model = zoo.modify(bare(), "act(silu)")
    torch.testing.assert_close(SCRIPTED[kind](model)(x), model(x))


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
@pytest.mark.parametrize("kind", SCRIPTED)
def test_a_scripted_part_of_a_model(kind: str) -> None:
    part = SCRIPTED[kind](bare())
    model = nn.Sequential(part, nn.ReLU())
    shown = type(part).__name__
    with pytest.raises(zoo.NotApplicableError) as caught:
        zoo.modify(model, "act(silu)")
    assert str(caught.value).partition("\n")[0] == (
        f"act can't swap what this {shown}, which was scripted, holds at '0', and swaps no model by half"
    )
    with pytest.raises(zoo.NotApplicableError) as caught:
        zoo.modify(model, "dropout(0.1, at='0')")
    assert str(caught.value).partition("\n")[0] == (
        f"'0' ({shown}) was scripted; modify the module that it was made of first"
    )
    x = torch.randn(3, 2)
    torch.testing.assert_close(zoo.modify(model, "act(tanh, at='1')")(x), part(x).tanh())
    torch.testing.assert_close(zoo.modify(model, "replace('0', Identity())")(x), x.tanh())


@pytest.mark.parametrize(("wrapper", "inside"), [("compile", "_orig_mod"), ("ddp", "module"), ("parallel", "module")])
@pytest.mark.parametrize("term", ["head", "no.such*", "blocks.0.act"])
def test_places_are_named_in_what_a_wrapper_holds(wrapper: str, inside: str, term: str) -> None:
    wrap = {"compile": torch.compile, "ddp": DDP, "parallel": DataParallel}[wrapper]
    wrapped = wrap(small())
    with pytest.raises(zoo.NoEffectError) as caught:
        zoo.select(wrapped, term)
    assert str(caught.value) == (
        f"at={term}: this {type(wrapped).__name__} is a wrapper, and places are named in what it holds; "
        f"select in model.{inside}"
    )
    assert list(zoo.select(getattr(wrapped, inside), "head")) == ["head"]


def train(rank: int, file: str, out: str) -> None:
    """One of two processes: its half of each batch, an edit in the middle."""
    distributed.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    torch.set_num_threads(1)
    model = DDP(zoo.modify(small(), "remove(BatchNorm2d)"))  # its statistics would differ from half to half
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    for number in range(4):
        if number == 2:
            zoo.modify(model, "act(silu)", optimizer=optimizer)
            refused = None
            try:
                zoo.modify(model, "replace(head, Linear(8, 10))", optimizer=optimizer)
            except zoo.NotApplicableError as error:
                refused = str(error)
            assert refused is not None
        step(model, optimizer, batch(number).chunk(2)[rank])
    torch.save({k: v.clone() for k, v in model.module.state_dict().items()}, f"{out}/{rank}.pt")
    distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_stay_in_step(tmp_path: Path) -> None:
    """With an edit in the middle, both end with the weights that one process gets from the whole batch."""
    multiprocessing.start_processes(train, (str(tmp_path / "store"), str(tmp_path)), nprocs=2, start_method="spawn")
    one, two = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    torch.testing.assert_close(one, two, rtol=0, atol=0)
    model: Any = zoo.modify(small(), "remove(BatchNorm2d)")
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    for number in range(4):
        if number == 2:
            zoo.modify(model, "act(silu)", optimizer=optimizer)
        step(model, optimizer, batch(number))
    torch.testing.assert_close(dict(model.state_dict()), one)
