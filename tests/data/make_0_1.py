"""What 0.1 wrote, for `tests/test_earlier.py`: files of `zoo.save`, pickles of models, and texts.

Run once, on the tree of 0.1 before its files moved: `python tests/data/make_0_1.py`. A later tree would write itself
down and call it 0.1, so it refuses where the files are there already. It is kept to show what they hold.
"""

from __future__ import annotations

import importlib
import json
import pickle
import pickletools
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import zoo
from zoo import errors

HERE = Path(__file__).parent / "0.1"

MLP = "mlp(4, hidden=[8], num_classes=3)"
CONV = "convnet(channels=2, depth=2, num_classes=3, in_chans=1)"
CHAIN = "chain(1, 2, 3)"
SIMPLE = "simple+replace(layers1, Linear(100, 1))+replace(layers2, Linear(1, 70))"  # which has few weights then
SHAPES = {MLP: [5, 4], CONV: [2, 1, 8, 8], CHAIN: [1, 1, 4, 4], SIMPLE: [3, 100]}

# name: base, the same modifiers as people write them, calls besides the plain one.
FILES: dict[str, tuple[str, list[str], list[dict[str, Any]]]] = {
    "act": (CONV, ["act(silu)", "act(name=silu)", "act(swish)", "zoo/act(silu)"], []),
    "act-at": (CONV, ["act(prelu, at=blocks.1*)", 'act("prelu", at=["blocks.1*"])', "act(prelu, at=[blocks.1*])"], []),
    "bn": (CONV, ["bn(eps=1e-3, momentum=0.2)", "bn(eps=0.001,momentum=.2)"], []),
    "dropout": (MLP, ["dropout(0.2)", "dropout(p=0.2)", "dropout(0.2, at=head)", "dropout(at=head, p=2e-1)"], []),
    "dropout-default": (MLP, ["dropout", "dropout()", "dropout(0.5)"], []),
    "dropout-at": (CONV, ["dropout(0.1, at=[stem, head])", 'dropout(p=0.1, at=("stem", "head"))'], []),
    "heads": (
        CONV,
        ["heads(age=1, species=4)", "heads(species=4, age=1)"],
        [{"task": "age"}, {"task": "species"}, {"task": "*"}],
    ),
    "heads-own": (
        MLP,
        ["heads(cls=3, reg=Head(1, hidden=5, dropout=0.2), default=cls)"],
        [{"task": "reg"}, {"task": "*"}],
    ),
    "heads-hidden": (MLP, ["heads(hidden=5, dropout=0.1, a=2)+heads(b=1)"], [{"task": "b"}]),
    "drop_heads": (MLP, ["heads(a=2, b=1, c=3)+drop_heads(b)"], [{"task": "c"}]),
    "num_classes": (MLP, ["num_classes(5)", "num_classes(n=5)"], []),
    "num_classes-0": (CONV, ["num_classes(0)"], []),
    "in_chans": (CONV, ["in_chans(3)", "in_chans(n=3)"], []),
    "freeze": (CONV, ["freeze"], []),
    "freeze-at": (CONV, ["freeze(stem)", "freeze(at=stem)"], []),
    "freeze-bn": (CONV, ["freeze(blocks.0*, bn_stats=False)", "freeze(at=blocks.0*, bn_stats=False)"], []),
    "unfreeze": (CONV, ["freeze+unfreeze(blocks.1*)", "freeze()+unfreeze(at=blocks.1*)"], []),
    "reinit": (MLP, ["reinit(head)", "reinit(at=head)"], []),
    "reinit-scheme": (
        MLP,
        ["reinit(Linear, normal, std=0.02, bias=0.5)", "reinit(Linear, normal_, bias=0.5, std=2e-2)"],
        [],
    ),
    "append": (MLP, ["append(layers, Linear(3, 2))", "append(site=layers, layer=Linear(3, 2))"], []),
    "append-after": (CONV, ["append(blocks.0.norm, Dropout(0.5))", "append(blocks.0.norm, layer=Dropout(0.5))"], []),
    "append-name": (SIMPLE, ["append(layers4=Sequential(BatchNorm1d(2), Linear(2, 1)))"], []),
    "prepend": (CONV, ["prepend(head, Linear(4, 4))", "prepend(head, layer=Linear(4, 4))"], []),
    "remove": (CONV, ["remove(blocks.0.norm)", "remove(site=blocks.0.norm)"], []),
    "replace": (MLP, ["replace(layers.1, PReLU(8))", "replace(site=layers.1, layer=PReLU(8))"], []),
    "replace-keep": (MLP, ["replace(head, Linear(8, 3, bias=False), keep_weights=True)"], []),
    "set": (CONV, ["set(BatchNorm2d, eps=1e-2, momentum=None)", "set(BatchNorm2d, momentum=None, eps=0.01)"], []),
    "switch": (
        MLP,
        ["switch(layers.1, a=ReLU(), b=PReLU(8))", "switch(site=layers.1, b=PReLU(8), a=ReLU())"],
        [{"choice": "b"}],
    ),
    "switch-default": (
        MLP,
        ["switch(head, a=Linear(8, 3), b=Linear(8, 3, False), default=b, keep_weights=True)"],
        [{"choice": "a"}],
    ),
    "switch_act": (CONV, ["switch_act(silu, relu, sigmoid)", "switch_act(swish,relu,sigmoid)"], [{"act_type": "relu"}]),
    "grow": (CHAIN, ["grow(4)", "grow(channels=4)"], []),
    "grow-fade": (CHAIN, ["grow(4, fade=True)+grow(2, after=0, block=Conv2d(in, out, 1))"], []),
    "shrink": (CHAIN, ["shrink"], []),
    "shrink-block": ("chain(1, 2, 2, 2, block=Sequential(Conv2d(in, out, 1), GELU()))", ["shrink(1)"], []),
    "several": (CONV, ["act(mish)+dropout(0.1)+bn(eps=1e-4)+heads(a=2, b=1)+freeze(stem)"], [{"task": "b"}]),
}


def inputs(shape: list[int]) -> Tensor:
    """The input of every call: a formula, so that it needn't be stored."""
    count = torch.Size(shape).numel()
    return torch.linspace(-1, 1, count).reshape(shape)


def plain(output: Any) -> Any:
    """An output as JSON, in as many digits as a comparison looks at."""
    if isinstance(output, Tensor):
        return plain(output.tolist())
    if isinstance(output, dict):
        return {key: plain(value) for key, value in output.items()}
    return [*map(plain, output)] if isinstance(output, list) else float(f"{output:.8g}")


def facts(model: nn.Module, shape: list[int], calls: list[dict[str, Any]]) -> dict[str, Any]:
    """What must be so again. Leaves the model as it was."""
    twin = deepcopy(model).eval()
    x = inputs(shape).to(next((p.dtype for p in model.parameters()), torch.float32))
    with torch.no_grad():
        outputs = [{"call": call, "output": plain(twin(x, **call))} for call in [{}, *calls]]
    return {
        "canonical": str(zoo.spec_of(model)),
        "shape": shape,
        "outputs": outputs,
        "keys": {name: list(value.shape) for name, value in model.state_dict().items()},
        "training": model.training,
        "modes": [path for path, module in model.named_modules() if module.training is not model.training],
        "frozen": [name for name, parameter in model.named_parameters() if not parameter.requires_grad],
        "changes": [[change.path, str(change.what)] for change in zoo.changes(model)],
    }


def lived(model: nn.Module, shape: list[int]) -> nn.Module:
    """With running statistics that aren't those of the start."""
    with torch.no_grad():
        for _ in range(3):
            model.train()(inputs(shape).to(next((p.dtype for p in model.parameters()), torch.float32)))
    return model


def made(base: str, mods: str) -> nn.Module:
    return lived(zoo.create(f"{base}+{mods}"), shape_of(base))


def shape_of(base: str) -> list[int]:
    return SHAPES.get(base, SHAPES[CHAIN])


def shape_behind(base: str, mods: str) -> list[int]:
    n, _, *rest = shape_of(base)
    return [n, 3, *rest] if "in_chans(3)" in mods else [n, _, *rest]


def write_files() -> dict[str, Any]:
    index = {}
    for number, (name, (base, texts, calls)) in enumerate(FILES.items()):
        shape = shape_behind(base, texts[0])
        model = lived(zoo.create(f"{base}+{texts[0]}"), shape).train(number % 3 != 0)
        specs = {str(zoo.spec_of(zoo.create(f"{base}+{text}"))) for text in texts}
        assert specs == {str(zoo.spec_of(model))}, specs
        zoo.save(model, HERE / f"{name}.safetensors", step=number)
        written = [f"{base}+{text}" for text in texts]
        index[name] = {"file": f"{name}.safetensors", "texts": written, "step": number, **facts(model, shape, calls)}
    for name, (model, shape) in stood().items():
        zoo.save(model, HERE / f"{name}.safetensors")
        texts = [str(zoo.spec_of(model))]
        index[name] = {"file": f"{name}.safetensors", "texts": texts, "step": None, **facts(model, shape, [])}
    model = made(MLP, "dropout(0.2)")
    zoo.save(model, f"{HERE}/folder/")
    index["folder"] = {"file": "folder", "texts": [f"{MLP}+dropout(0.2)"], "step": None, **facts(model, [5, 4], [])}
    return index


def stood() -> dict[str, tuple[nn.Module, list[int]]]:
    """How a model stood, besides what its spec says: dtype, memory format, modes, ties, what is frozen."""
    bare: Any = lived(zoo.create(CONV), SHAPES[CONV])
    double: Any = lived(zoo.create(f"{CONV}+act(silu)"), SHAPES[CONV]).double().to(memory_format=torch.channels_last)
    double.head.weight.requires_grad_(False)
    double.blocks[1].norm.eval()
    tied: Any = zoo.create("mlp(4, hidden=[4, 4], num_classes=4)")
    tied.layers[2].weight = tied.layers[0].weight
    return {"bare": (bare, SHAPES[CONV]), "double": (double, SHAPES[CONV]), "tied": (tied, [5, 4])}


def training(model: Any) -> tuple[list[Any], list[Any]]:
    """Two optimizers, of which one has two groups, with a scheduler each. The test makes the same."""
    first, last = model.layers[0], model.layers[2]
    groups = [{"params": [first.weight]}, {"params": [first.bias], "weight_decay": 0.0}]
    optimizers: list[Any] = [torch.optim.AdamW(groups, lr=0.05), torch.optim.SGD(last.parameters(), 0.1, momentum=0.9)]
    schedulers = [
        torch.optim.lr_scheduler.StepLR(optimizers[0], 2, gamma=0.5),
        torch.optim.lr_scheduler.CosineAnnealingLR(optimizers[1], 10),
    ]
    return optimizers, schedulers


def train(model: nn.Module, optimizers: list[Any], schedulers: list[Any], steps: int) -> None:
    for _ in range(steps):
        model.zero_grad()
        model(inputs([5, 4])).square().mean().backward()
        for one in [*optimizers, *schedulers]:
            one.step()


def write_training() -> dict[str, Any]:
    model = zoo.create(f"{MLP}+act(silu)")
    optimizers, schedulers = training(model)
    train(model, optimizers, schedulers, 3)
    zoo.save(model, HERE / "training.safetensors", optimizer=optimizers, scheduler=schedulers, step=3)
    now = facts(model, [5, 4], [])
    rates = [group["lr"] for one in optimizers for group in one.param_groups]
    drawn = torch.rand(3).tolist()
    train(model, optimizers, schedulers, 2)
    later = {"later": facts(model, [5, 4], [])["outputs"], "rates": rates, "drawn": drawn}
    return {"file": "training.safetensors", "texts": [f"{MLP}+act(silu)"], "step": 3, **now, **later}


def after_a_call(model: Any, **call: Any) -> nn.Module:
    """One that chose, and of which autograd computed something: it leaves traces on the model."""
    model(inputs([5, 4]), **call).sum().backward()
    model.zero_grad()
    return model  # type: ignore[no-any-return]


def whole_models() -> dict[str, tuple[Callable[[], nn.Module], list[int], list[dict[str, Any]], str]]:
    """Name: model, shape, calls, and what is done to it once it's read."""
    mlp, conv, chain = SHAPES[MLP], SHAPES[CONV], SHAPES[CHAIN]
    in_between = "dropout(0.1, at=layers.1)+append(layers.1, Linear(8, 8))"
    return {
        "bare-mlp": (lambda: zoo.create(MLP), mlp, [], "num_classes(2)"),
        "simple": (lambda: made(SIMPLE, "append(layers4=Linear(2, 1))"), SHAPES[SIMPLE], [], "append(l5=Linear(1, 2))"),
        "before-after": (lambda: made(MLP, in_between), mlp, [], "dropout(0.3, at=layers.1)"),
        "freeze": (lambda: made(CONV, "freeze"), conv, [], "unfreeze"),
        "fixed": (fixed, mlp, [], "unfreeze"),
        "cut": (lambda: made(CONV, "num_classes(0)"), conv, [], "num_classes(5)"),
        "heads": (
            lambda: made(MLP, "heads(a=2, b=Head(1, hidden=5, dropout=0.1), default=a)"),
            mlp,
            [{"task": "b"}, {"task": "*"}],
            "heads(c=1)+drop_heads(b)",
        ),
        "heads-called": (
            lambda: after_a_call(made(MLP, "heads(a=2, b=1)"), task="a"),
            mlp,
            [{"task": "b"}],
            "num_classes(2)",
        ),
        "switch": (
            lambda: made(MLP, "switch(layers.1, a=ReLU(), b=PReLU(8), default=b)+switch_act(silu, selu)"),
            mlp,
            [{"choice": "a"}, {"act_type": "selu"}],
            "dropout",
        ),
        "switch_act": (
            lambda: after_a_call(made(MLP, "switch_act(relu, silu)"), act_type="silu"),
            mlp,
            [{"act_type": "silu"}, {"act_type": "relu"}],
            "act(selu)",
        ),
        "chain": (lambda: made(CHAIN, "grow(4, fade=True)"), chain, [], "shrink(2)+grow(2, fade=False)"),
        "chain-template": (
            lambda: made("chain(1, 2, block=Sequential(Conv2d(in, out, 1), GELU()))", "grow(3)"),
            chain,
            [],
            "grow(4)",
        ),
        "several": (
            lambda: made(CONV, "act(silu)+dropout(0.1)+append(head, Tanh())+heads(a=2, b=1)+freeze(stem)+reinit(head)"),
            conv,
            [{"task": "b"}],
            "freeze",
        ),
        "foreign": (foreign, mlp, [], "bn(eps=1e-3)"),
        "encoder": (encoder, [2, 3, 4], [], "dropout(0.1, at=linear1)"),
        "edited": (edited, mlp, [], "dropout(0.1)"),
    }


def fixed() -> nn.Module:
    """With a parameter that wasn't trained before `freeze` came either."""
    model: Any = zoo.create(MLP)
    model.layers[0].bias.requires_grad_(False)
    return zoo.modify(model, "freeze")


def foreign() -> nn.Module:
    """One that the zoo didn't make."""
    return lived(zoo.modify(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), 'dropout(0.2, at=["0", "1"])'), [5, 4])


def encoder() -> nn.Module:
    """With a hook that keeps torch from its fast path."""
    layer = nn.TransformerEncoderLayer(4, 2, 6, batch_first=True)
    return zoo.modify(layer, "append(linear2, Linear(4, 4))")


def edited() -> nn.Module:
    """Edited by hand, with the walker's edits."""
    model = zoo.create(MLP)
    zoo.insert_before(model, "layers.2", nn.Linear(8, 8))
    return zoo.insert_after(model, "layers.0", nn.Tanh())


def write_pickles() -> dict[str, Any]:
    index = {}
    for name, (make, shape, calls, then) in whole_models().items():
        model = make()
        data = pickle.dumps(model, protocol=4)
        (HERE / f"{name}.pickle").write_bytes(data)
        with_state = {"file": f"{name}.pickle", "globals": named_in(data), **facts(model, shape, calls)}
        if name in ("heads", "switch", "before-after"):
            torch.save(model, HERE / f"{name}.pt")
            with_state["torch"] = f"{name}.pt"
        again = zoo.modify(model, then)
        behind = {key: list(value.shape) for key, value in again.state_dict().items()}
        frozen = [key for key, parameter in again.named_parameters() if not parameter.requires_grad]
        index[name] = {**with_state, "then": then, "then_keys": behind, "then_frozen": frozen}
    return index


def write_values() -> dict[str, Any]:
    """Values that people keep beside models: specs, what was changed, and what went wrong."""
    model = zoo.create(f"{MLP}+dropout(0.2)+heads(a=2, b=1)")
    spec = zoo.parse(
        'hf-hub:"a/b"+act(silu, at=[a, "b c"])+set(x, eps=1e-3, p=None)+switch(h, a=Dropout(0.1), b=(1, 2))'
    )
    values = {"spec": spec, "spec_of": zoo.spec_of(model), "changes": zoo.changes(model)}
    (HERE / "values.pickle").write_bytes(data := pickle.dumps(values, protocol=4))
    kinds = [one for one in vars(errors).values() if isinstance(one, type) and one.__module__ == "zoo.errors"]
    met = []
    for text in ("mlp(", "mlq", "mlp(x=1)", "mlp+bn(eps=1e-3)", "mlp+dropout(0.1, at=nowhere)"):
        try:
            zoo.create(text)
        except zoo.ZooError as error:
            met.append(error)
    assert len(met) == 5
    raised = [*met, *(kind(f"a {kind.__name__}") for kind in kinds)]
    (HERE / "errors.pickle").write_bytes(more := pickle.dumps(raised, protocol=4))
    return {
        "values": {"spec": str(spec), "spec_of": str(zoo.spec_of(model)), "changes": len(zoo.changes(model))},
        "errors": [[type(one).__name__, str(one)] for one in raised],
        "globals": sorted({*named_in(data), *named_in(more)}),
    }


def named_in(data: bytes) -> list[str]:
    """What a pickle of protocol 4 names by path, of the zoo and its plugins."""
    found, texts, memo = set(), [], []
    for code, value, _ in pickletools.genops(data):
        if code.name in ("SHORT_BINUNICODE", "BINUNICODE"):
            texts.append(value)
        elif code.name == "MEMOIZE":
            memo.append(texts[-1] if texts else None)
        elif code.name in ("BINGET", "LONG_BINGET"):
            texts.append(memo[value])
        elif code.name == "STACK_GLOBAL":
            found.add(f"{texts[-2]}.{texts[-1]}")
    return sorted(name for name in found if name.startswith("zoo"))


def all_mixins(cls: type = zoo.Mixin) -> set[str]:
    """Every mixin that exists, once the modules that hold them are imported."""
    for home in ("zoo.edits", *(f"zoo_modifiers.{name}" for name in ("_tail", "_heads", "_switch", "_freeze"))):
        importlib.import_module(home)
    own = [one for one in cls.__subclasses__() if "_zoo_parts" not in vars(one)]
    return {f"{one.__module__}.{one.__qualname__}" for one in own}


def one_a_line(index: dict[str, Any]) -> str:
    """JSON with a line for each file, so that it's small and can be read."""
    dump = partial(json.dumps, separators=(",", ":"))
    parts = []
    for part, found in index.items():
        several = isinstance(found, dict) and part != "training"
        rows = (f"  {dump(key)}: {dump(value)}" for key, value in found.items()) if several else ()
        parts.append(f"{dump(part)}: " + ("{\n" + ",\n".join(rows) + "\n}" if several else dump(found)))
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main() -> None:
    if HERE.exists():
        raise SystemExit(f"{HERE.name} is there already: what an earlier version wrote isn't written again")
    HERE.mkdir()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    index = {
        "files": write_files(),
        "training": write_training(),
        "models": write_pickles(),
        **write_values(),
    }
    covered = {name for one in index["models"].values() for name in one["globals"]}
    if missing := all_mixins() - covered:
        raise SystemExit(f"no pickle has {', '.join(sorted(missing))}")
    (HERE / "index.json").write_text(one_a_line(index))
    print("\n".join(sorted({*covered, *index["globals"]})))


if __name__ == "__main__":
    main()
