"""Each check of archs is tested by an arch that is broken in just that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import pytest
import torch
from pydantic import AfterValidator
from torch import Tensor, nn

import zoo
import zoo.testing
from tests.nets import registry_of
from tests.testing.common import SLOW, failed
from zoo.testing.suite import ARCHS, DECLARATIONS

Function = Callable[..., Any]


class Small(nn.Module):
    """A net to break."""

    def __init__(self, change: Callable[[Tensor], Tensor] = torch.abs) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.head = nn.Linear(4, 2)
        self.spare = nn.Linear(4, 2)
        self.zoo_change = change

    def forward(self, x: Tensor) -> Tensor:
        return self.zoo_change(self.head(self.fc(x).relu()))


def nan_in_bfloat16(x: Tensor) -> Tensor:
    return x * float("nan") if x.dtype == torch.bfloat16 else x


def always_dropping(x: Tensor) -> Tensor:
    return nn.functional.dropout(x, 0.5, training=True)


def cut_off(x: Tensor) -> Tensor:
    return x.detach()


def other_when_compiled(x: Tensor) -> Tensor:
    return x * 2 if torch.compiler.is_dynamo_compiling() and type(x) is Tensor else x


def other_when_exported(x: Tensor) -> Tensor:
    return x * 2 if type(x) is not Tensor else x  # torch.export sends a tensor of its own through


BROKEN_ARCHS: list[tuple[str, zoo.Arch]] = []


def broken_arch(check: str, sample: Any = (4,), **sites: str) -> Callable[[Function], None]:
    """An arch that this check has to catch, alone."""

    def declare(build: Function) -> None:
        build.__doc__ = build.__doc__ or "A small net."
        examples = (f"{build.__name__}(0.4)",) if build.__name__ == "read_twice" else ()
        BROKEN_ARCHS.append((check, zoo.arch(sites=sites or {"head": "head"}, sample=sample, examples=examples)(build)))

    return declare


@broken_arch("declaration")
def arch_with_a_wrong_default(width: int = "wide"):
    return Small()


@broken_arch("options")
def arch_that_looks_up(name: Annotated[str, AfterValidator(lambda name: {"relu": 1}[name] and name)] = "relu"):
    return Small()


@broken_arch("builds")
def read_twice(rate: Annotated[float, AfterValidator(lambda value: value / 2)] = 0.5):
    return Small()


@broken_arch("sample", sample=(5,))
def wrong_sample():
    model = Small()
    return model


@broken_arch("sites", spare="spare")
def unreached_site():
    return Small()


@broken_arch("sites", head="classifier")
def missing_site():
    return Small()


@broken_arch("meta")
def other_on_meta():
    model = Small()
    if model.fc.weight.is_meta:
        model.head = nn.Linear(4, 3)
    return model


@broken_arch("bfloat16")
def not_finite_in_bfloat16():
    return Small(nan_in_bfloat16)


@broken_arch("deterministic")
def random_in_eval():
    return Small(always_dropping)


@broken_arch("seed")
def weights_by_itself():
    model, generator = Small(), torch.Generator()
    generator.seed()
    with torch.no_grad():
        model.fc.bias.copy_(torch.rand(4, generator=generator, device="cpu"))
    return model


@broken_arch("copies")
def unpicklable():
    return Small(lambda x: x)


@broken_arch("gradient")
def without_gradient():
    return Small(cut_off)


@broken_arch("compiles")
def another_when_compiled():
    return Small(other_when_compiled)


@broken_arch("exports")
def another_when_exported():
    return Small(other_when_exported)


@broken_arch("global_state")
def arch_that_seeds():
    model = Small()
    torch.manual_seed(0)
    return model


@pytest.mark.parametrize(("check", "arch"), BROKEN_ARCHS, ids=[f"{c}-{a.name}" for c, a in BROKEN_ARCHS])
def test_a_broken_arch_fails_in_that_check_alone(check: str, arch: zoo.Arch) -> None:
    (text,) = arch.examples or (arch,)
    cases = zoo.testing.cases(archs=[text], registry=registry_of(arch, owner="zoo-broken"))
    assert set(failed([case for case in cases if case.check not in SLOW or check in SLOW])) == {check}


def test_every_check_of_archs_has_one_that_is_broken() -> None:
    assert {check for check, _ in BROKEN_ARCHS} == {*DECLARATIONS, *ARCHS}
