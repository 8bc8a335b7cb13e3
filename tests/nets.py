"""The little networks that several test files share, and what they do with networks: run, compare, copy."""

from __future__ import annotations

import copy
import io
import pickle
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import zoo

# -- networks and layers ----------------------------------------------------------------------------------------------


def without_memory(name: str) -> str:
    """The meta device; the CPU for models that need torch.unique or autocast, which torch 2.9 hasn't on meta."""
    return "cpu" if name.startswith(("regnety_", "efficientvit_b")) else "meta"


class Net(nn.Module):
    """A convolution, an activation, a linear head whose `in_features` the forward reads."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.act = nn.ReLU()
        self.fc = nn.Linear(4, 2)

    def pooled(self, x: Tensor) -> Tensor:
        return self.act(self.conv(x)).mean((2, 3)).reshape(-1, self.fc.in_features)

    def forward(self, x: Tensor, scale: float = 1.0) -> Tensor:
        return self.fc(self.pooled(x)) * scale


class Family(nn.Module):
    """One activation under two names here, and once more inside a child."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU()
        self.again = self.act
        self.inner = nn.Sequential(nn.Linear(3, 3), self.act)

    def forward(self, x: Tensor) -> Tensor:
        return self.again(self.inner(self.act(x)))


class Sliced(nn.Module):
    """Indexes, slices, counts and iterates its Sequential."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3))

    def forward(self, x: Tensor) -> Tensor:
        assert len(self.body) == 3
        assert [type(m).__name__ for m in self.body] == ["Linear", "Tanh", "Linear"]
        return self.body[-1](self.body[:2](x))


class Tied(nn.Module):
    """Input embedding and output layer share one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 4)
        self.mid = nn.Linear(4, 4)
        self.out = nn.Linear(4, 5, bias=False)
        self.out.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.mid(self.embed(x)))


def seen(module: nn.Module, args: Any) -> None:
    """A user's hook."""


def watched(grad: Tensor) -> None:
    """A user's hook on a parameter."""


class Mixed(nn.Module):
    """Something of everything that a modifier can spoil: tied, shared, hooked, nested, configured."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 4)
        self.act = nn.ReLU()
        self.again = self.act
        self.b = nn.Linear(4, 4)
        self.b.weight = self.a.weight
        self.norm = nn.BatchNorm1d(4)
        self.head = nn.Sequential(nn.Dropout(0.1), nn.Linear(4, 2))
        self.rate = 0.5
        self.sizes = [1, 2]
        self.table = {"x": [1]}
        self.a.register_forward_pre_hook(seen)
        self.a.weight.register_hook(watched)
        self.norm.register_buffer("steps", torch.zeros(1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.again(self.b(self.act(self.a(x))))))


class Wrapped(nn.Module):
    """Minus what is in it."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return -self.inner(x)


class Shift(nn.Module):
    """2x + by: visible in any output, and two of them show their order."""

    def __init__(self, by: float = 1.0) -> None:
        super().__init__()
        self.by = nn.Parameter(torch.tensor(by))

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x + self.by


class Negated(zoo.Mixin):
    """A become that shows."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return -super().forward(*args, **kwargs)


class Plus(zoo.Mixin):
    """A become with state."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return super().forward(*args, **kwargs) + self.zoo_plus


# -- what they take and give ------------------------------------------------------------------------------------------


def images(n: int = 2, side: int = 6, channels: int = 3) -> Tensor:
    return torch.randn(n, channels, side, side, generator=torch.Generator().manual_seed(1))


def tensors(output: Any) -> list[Tensor]:
    """Every tensor of an output, in its order, whatever holds them."""
    if isinstance(output, Tensor):
        return [output]
    return [t for value in (output.values() if isinstance(output, dict) else output) for t in tensors(value)]


def same(a: Any, b: Any) -> bool:
    """Whether two outputs hold equal tensors, to the last bit."""
    return all(torch.equal(x, y) for x, y in zip(tensors(a), tensors(b), strict=True))


def run(model: Any, *args: Any, training: bool | None = False, **kwargs: Any) -> Any:
    """One forward in this mode (None: as it stands), without gradients, and under one seed, for what dropout draws."""
    if training is not None:
        model.train(training)
    torch.manual_seed(2)
    with torch.no_grad():
        return model(*args, **kwargs)


def same_outputs(a: nn.Module, b: nn.Module, x: Tensor, modes: tuple[bool, ...] = (False, True)) -> bool:
    return all(same(run(a, x, training=mode), run(b, x, training=mode)) for mode in modes)


def gradients(model: nn.Module, loss: Tensor) -> list[Tensor]:
    """What this loss alone leaves in the parameters."""
    model.zero_grad()
    loss.backward()
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


def there(model: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers, those outside of the state dict too."""
    pairs = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    return dict(pairs)


def ties(model: nn.Module) -> set[tuple[str, ...]]:
    names: dict[int, tuple[str, ...]] = {}
    for name, tensor in there(model).items():
        names[id(tensor)] = (*names.get(id(tensor), ()), name)
    return set(names.values())


def frozen(model: nn.Module) -> set[str]:
    return {name for name, p in model.named_parameters() if not p.requires_grad}


def keys(model: nn.Module) -> tuple[list[str], list[str]]:
    return list(model.state_dict()), [name for name, _ in model.named_parameters(remove_duplicate=False)]


def changed(spec: str) -> dict[str, str]:
    """What a spec's modifiers did: path to what."""
    return {change.path: change.what for change in zoo.changes(zoo.create(spec))}


# -- copies, and registries -------------------------------------------------------------------------------------------


def pickled(model: nn.Module) -> Any:
    return pickle.loads(pickle.dumps(model))


def saved(model: nn.Module) -> Any:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def back(model: nn.Module, path: Path, **options: Any) -> nn.Module:
    zoo.save(model, path)
    return zoo.load(path, **options)


def compiled(model: nn.Module) -> Any:
    torch._dynamo.reset()
    return torch.compile(model, fullgraph=True, backend="eager")


# Ways to have a model again that must not change what it computes.
WAYS: dict[str, Callable[[nn.Module], Any]] = {
    "itself": lambda m: m,
    "deepcopy": copy.deepcopy,
    "pickle": pickled,
    "torch.save": saved,
    "twice": lambda m: copy.deepcopy(pickled(copy.deepcopy(m))),
    "compile": compiled,
}


def registry_of(*declarations: Any, beside: tuple[Any, ...] = (), owner: str = "") -> zoo.Registry:
    """A registry of one plugin with these modifiers and archs, beside other plugins."""
    plugin = types.ModuleType("acme")
    for hook, kind in (("zoo_modifiers", zoo.Modifier), ("zoo_archs", zoo.Arch)):
        mine = [d for d in declarations if isinstance(d, kind)]
        setattr(plugin, hook, zoo.hookimpl(specname=hook)(lambda mine=mine: mine))
    return zoo.Registry.of(*beside, plugin, **({"owner": owner} if owner else {}))
