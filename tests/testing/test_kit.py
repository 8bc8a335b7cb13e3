"""The conformance kit: each of its checks catches the plugin that is broken in just that, and no other check does."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
import torch
from pydantic import AfterValidator
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

import zoo
import zoo.testing
from zoo.registry.loader import load_plugins
from zoo.testing import nets
from zoo.testing.kit import ARCHS, DECLARATIONS, PLUGINS, TRIALS

ARCH = "simple"


# -- broken modifiers -------------------------------------------------------------------------------------------------


class Output(zoo.Mixin):
    """Does something to the output of what becomes this."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.change(super().forward(*args, **kwargs))  # type: ignore[misc]


class NanInEval(Output):
    def change(self, x: Tensor) -> Tensor:
        return x if self.training else x * float("nan")  # type: ignore[attr-defined]


class AlwaysDrops(Output):
    def change(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x, 0.5, training=True)


class Detaches(Output):
    def change(self, x: Tensor) -> Tensor:
        return x.detach()


class Breaks(Output):
    def change(self, x: Tensor) -> Tensor:
        torch._dynamo.graph_break()
        return x * 2


class Remembers(Output):
    def change(self, x: Tensor) -> Tensor:
        self.zoo_last = x
        return x * 2


class Shifted(Output):
    def change(self, x: Tensor) -> Tensor:
        return x + self.zoo_shift  # type: ignore[attr-defined, no-any-return]


class HasExtraState(zoo.Mixin):
    def get_extra_state(self) -> int:
        return 3

    def set_extra_state(self, state: int) -> None:
        pass


class Starred(nets.Tangled):
    """Its forward no longer says what it takes."""

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        return super().forward(*args, **kwargs) * 2


class Scales:
    """A hook that holds a tensor that trains and that nobody knows of."""

    def __init__(self) -> None:
        self.scale = torch.ones((), device="cpu", requires_grad=True)

    def __call__(self, module: nn.Module, args: Any, output: Tensor) -> Tensor:
        return output * self.scale * 2


def seen(*_: Any) -> None:
    """A hook."""


Function = Callable[..., Any]
BROKEN: list[tuple[str, zoo.Modifier, str]] = []


def broken(check: str, on: str = ARCH, examples: tuple[str, ...] = ()) -> Callable[[Function], None]:
    """A modifier that this check has to catch, alone, on this arch."""

    def declare(function: Function) -> None:
        function.__doc__ = function.__doc__ or "Another eps, and something that no modifier may do."
        BROKEN.append((check, zoo.modifier(examples=examples)(function), on))

    return declare


def eps(model: nn.Module) -> nn.Module:
    """An honest edit, so that there is one."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.eps = 0.01
    return model


@broken("declaration")
def first_line_goes_on(model):
    """Another eps for
    every norm."""
    return eps(model)


@broken("declaration", examples=("foreign_example", "eps"))
def foreign_example(model):
    return eps(model)


@broken("declaration", examples=("unreadable_example", "unreadable_example(1"))
def unreadable_example(model, size: int = 1):
    return eps(model)


@broken("declaration", examples=("mistyped_example", "mistyped_example(large)"))
def mistyped_example(model, size: int = 1):
    return eps(model)


@broken("declaration", examples=("applies_nowhere",))
def applies_nowhere(model):
    """Works on recurrent layers."""
    raise zoo.NotApplicableError(f"this {type(model).__name__} has no recurrent layer")


@broken("declaration")
def default_of_another_type(model, value: float = "much"):
    return eps(model)


@broken("options")
def wide_type(model, p: float = 0.5):
    return zoo.insert_before(eps(model), "layers3", nn.Dropout(p))


@broken("options", examples=("key_error(relu)",))
def key_error(model, name: str):
    return zoo.insert_after(eps(model), "layers1", {"relu": nn.ReLU, "gelu": nn.GELU}[name]())


@broken("round_trip", examples=("halves(0.4)",))
def halves(model, value: Annotated[float, AfterValidator(lambda value: value / 2)]):
    model.layers3[0].eps = value
    return model


@broken("applies")
def dead_layer(model):
    model.spare = nn.Dropout(0.3)
    return model


@broken("applies")
def explodes(model):
    raise RuntimeError("boom")


@broken("applies")
def gives_nothing(model):
    eps(model)


@broken("again")
def only_once(model):
    if hasattr(model, "was_here"):
        raise KeyError("was_here")
    model.was_here = True
    return eps(model)


@broken("isolation")
def patches_a_class(model):
    type(model.layers3).helper = lambda self: 0
    return eps(model)


@broken("isolation")
def patches_the_arch(model):
    plain = type(model).forward
    type(model).forward = lambda self, x: plain(self, x)
    return eps(model)


@broken("global_state")
def seeds_torch(model):
    torch.manual_seed(0)
    return eps(model)


@broken("global_state")
def seeds_python(model):
    random.seed(0)
    return eps(model)


@broken("global_state")
def sets_threads(model):
    torch.set_num_threads(torch.get_num_threads() + 1)
    return eps(model)


@broken("global_state")
def leaves_a_global_hook(model):
    register_module_forward_hook(seen)
    return eps(model)


@broken("global_state")
def patches_a_function(model):
    plain = nn.functional.relu
    nn.functional.relu = lambda *args, **kwargs: plain(*args, **kwargs)
    return eps(model)


@broken("global_state")
def patches_every_module(model):
    plain = nn.Module.__call__
    nn.Module.__call__ = lambda self, *args, **kwargs: plain(self, *args, **kwargs)
    return eps(model)


@broken("weights")
def writes_through_data(model):
    model.layers1[0].weight.data.mul_(2)
    return eps(model)


@broken("weights")
def writes_through_numpy(model):
    bias = model.layers1[0].bias
    if bias.device.type == "cpu" and bias.dtype == torch.float32:
        bias.detach().numpy()[0] += 1
    return eps(model)


@broken("names")
def other_order(model):
    model._modules["layers1"] = model._modules.pop("layers1")
    return eps(model)


@broken("names")
def wraps(model):
    model.layers3[1] = nn.Sequential(model.layers3[1], nn.Dropout())
    return model


@broken("sharing", "kit-tangled")
def replaces_one_of_two(model):
    model.body[0][1] = nn.SiLU()
    return model


@broken("sharing", "kit-tangled")
def unties(model):
    model.tied.weight = nn.Parameter(model.tied.weight.detach().clone())
    return model


@broken("strict_load")
def has_extra_state(model):
    return zoo.become(eps(model), "layers3.0", HasExtraState)


@broken("state")
def leaves_eval(model):
    return eps(model).eval()


@broken("state")
def drops_hooks(model):
    for module in model.modules():
        module._forward_hooks.clear()
    return eps(model)


@broken("state", "kit-tangled")
def forgets_its_signature(model):
    model.__class__ = Starred
    return model


@broken("copies")
def cannot_be_pickled(model):
    model.rule = lambda x: x
    return eps(model)


@broken("copies")
def hides_a_tensor(model):
    model.register_forward_hook(Scales())
    return model


@broken("device")
def always_float32_on_cpu(model):
    zoo.become(model, "layers3.1", Shifted)
    model.layers3[1].register_buffer("zoo_shift", torch.zeros(2))
    return model


@broken("no_nan")
def nan_in_eval(model):
    return zoo.become(model, "layers3.1", NanInEval)


@broken("deterministic")
def always_drops(model):
    return zoo.become(model, "layers3.1", AlwaysDrops)


@broken("seed")
def draws_by_itself(model):
    layer, generator = nn.Linear(2, 2), torch.Generator()
    generator.seed()
    with torch.no_grad():
        layer.weight.copy_(torch.rand(2, 2, generator=generator, device="cpu"))
    return zoo.insert_after(model, "layers3.1", layer)


@broken("gradient")
def detaches(model):
    return zoo.become(model, "layers3.0", Detaches)


@broken("gradient")
def unused_parameter(model):
    model.layers3[0].spare = nn.Parameter(torch.ones(3).to(model.layers3[0].weight))
    return eps(model)


@broken("compiles")
def breaks_the_graph(model):
    return zoo.become(model, "layers3.1", Breaks)


@broken("exports")
def remembers_its_output(model):
    return zoo.become(model, "layers3.1", Remembers)


SLOW = {"compiles", "exports"}


def failed(cases: list[zoo.testing.Case]) -> dict[str, str]:
    """The checks that failed, with the first reason of each."""
    found: dict[str, str] = {}
    for case in cases:
        result = case.result()
        if result.status == "failed":
            found.setdefault(result.check, result.reason)
    return found


@pytest.mark.parametrize(("check", "modifier", "arch"), BROKEN, ids=[f"{c}-{m.name}" for c, m, _ in BROKEN])
def test_a_broken_modifier_fails_in_that_check_alone(check: str, modifier: zoo.Modifier, arch: str) -> None:
    cases = zoo.testing.cases(modifiers=[modifier], archs=[arch])
    assert set(failed([case for case in cases if case.check not in SLOW or check in SLOW])) == {check}


def test_every_check_of_modifiers_has_one_that_is_broken() -> None:
    assert {check for check, *_ in BROKEN} == {*DECLARATIONS, *TRIALS}
    assert 15 <= len({*DECLARATIONS, *TRIALS}) <= 20


def test_what_was_broken_is_whole_again() -> None:
    """The kit puts back what it finds changed, so that one broken plugin doesn't spoil the checks of the next."""
    rows = [row[1] for row in BROKEN if row[0] in ("isolation", "global_state")]
    before = (nn.Module.__call__, nn.functional.relu, torch.get_num_threads(), random.getstate(), torch.get_rng_state())
    for modifier in rows:
        failed(zoo.testing.cases(modifiers=[modifier], archs=[ARCH])[:8])
    after = (nn.Module.__call__, nn.functional.relu, torch.get_num_threads(), random.getstate(), torch.get_rng_state())
    assert before[:4] == after[:4]
    assert torch.equal(before[4], after[4])
    assert not hasattr(nn.Sequential, "helper")


# -- broken archs -----------------------------------------------------------------------------------------------------


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
    return x * 2 if torch.compiler.is_dynamo_compiling() and not torch.compiler.is_exporting() else x


def other_when_exported(x: Tensor) -> Tensor:
    return x * 2 if torch.compiler.is_exporting() else x


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
    cases = zoo.testing.cases(archs=[text], registry=registry_of(arch))
    assert set(failed([case for case in cases if case.check not in SLOW or check in SLOW])) == {check}


def registry_of(*declarations: Any) -> zoo.Registry:
    module = types.ModuleType("broken")
    module.zoo_archs = zoo.hookimpl(specname="zoo_archs")(  # type: ignore[attr-defined]
        lambda: [d for d in declarations if isinstance(d, zoo.Arch)]
    )
    module.zoo_modifiers = zoo.hookimpl(specname="zoo_modifiers")(  # type: ignore[attr-defined]
        lambda: [d for d in declarations if isinstance(d, zoo.Modifier)]
    )
    return zoo.Registry.of(module, owner="zoo-broken")


def test_every_check_of_archs_has_one_that_is_broken() -> None:
    assert {check for check, _ in BROKEN_ARCHS} == {*DECLARATIONS, *ARCHS}


# -- broken plugins ---------------------------------------------------------------------------------------------------

GOOD = """
import zoo

@zoo.modifier(examples=["{name}", "{name}(0.2)"])
def {name}(model, /, slope: float = 0.01, at: zoo.Where = "*"):
    '''Swap every ReLU for a LeakyReLU of this slope.'''
    from torch import nn
    for path in zoo.select(model, at, kind=nn.ReLU):
        model = zoo.replace(model, path, nn.LeakyReLU(slope))
    return model

@zoo.hookimpl
def zoo_modifiers():
    return [{name}]
"""
LEAKY = GOOD.format(name="leaky")
FAMILY = """
@zoo.family(names=lambda: ["one"])
def things(name, source):
    '''Things.'''
    return zoo.Arch(name, lambda: None)

@zoo.hookimpl
def zoo_families():
    return [things]
"""
BROKEN_PLUGINS = [
    ("loads", LEAKY.replace("def zoo_modifiers", "def zoo_modifierz"), "unknown hook 'zoo_modifierz'"),
    ("loads", "raise RuntimeError('no licence')", "plugin 'main' failed: RuntimeError: no licence"),
    ("loads", LEAKY.replace("@zoo.hookimpl\n", ""), "write @zoo.hookimpl above zoo_modifiers()"),
    ("contributes", "import zoo\n", "it declares nothing"),
    ("imports_light", "import torch\n" + LEAKY, "imports 'torch'; do that inside the functions"),
    ("imports_quick", "print('welcome')\n" + LEAKY, "prints 'welcome'"),
    ("imports_quick", "import time; time.sleep(1.1)\n" + LEAKY, "importing zoo_broken takes "),
    ("own_names", GOOD.format(name="dropout"), "'zoo-broken/dropout': the bare name is someone else's"),
    ("families", LEAKY + FAMILY, "to a name that it can't know"),
    ("variants", LEAKY + "@zoo.hookimpl\ndef zoo_variants():\n    return {'mine': 'simple+nothing'}\n", "'nothing'"),
]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], zoo.Registry]]:
    """Installs a distribution with one module, which is its plugin."""

    def put(name: str, code: str) -> zoo.Registry:
        module = name.replace("-", "_")
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[zoo]\nmain = {module}\n")
        (tmp_path / f"{module}.py").write_text(code)
        monkeypatch.syspath_prepend(str(tmp_path))
        return zoo.Registry(load_plugins(""))

    yield put
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.parametrize(("check", "code", "reason"), BROKEN_PLUGINS, ids=[f"{r[0]}-{r[2]}" for r in BROKEN_PLUGINS])
def test_a_broken_plugin_fails_in_that_check_alone(
    check: str, code: str, reason: str, install: Callable[[str, str], zoo.Registry]
) -> None:
    cases = zoo.testing.cases("Zoo_Broken", registry=install("zoo-broken", code))
    found = failed([case for case in cases if case.check in PLUGINS])
    assert set(found) == {check}
    assert reason in found[check]


def test_every_check_of_plugins_has_one_that_is_broken() -> None:
    assert {row[0] for row in BROKEN_PLUGINS} == set(PLUGINS)


def test_a_distribution_that_is_not_installed() -> None:
    with pytest.raises(AssertionError, match="no plugin of a distribution 'zoo-nobody' is installed; those: plugzoo"):
        zoo.testing.check_plugin("zoo-nobody")


# -- what an author calls ---------------------------------------------------------------------------------------------


@zoo.modifier(examples=["leaky", "leaky(0.2)"])
def leaky(model, /, slope: float = 0.01, at: zoo.Where = "*"):
    """Swap every ReLU for a LeakyReLU of this slope."""
    for path in zoo.select(model, at, kind=nn.ReLU):
        model = zoo.replace(model, path, nn.LeakyReLU(slope))
    return model


@zoo.modifier
def doubles(model, /):
    """Write into weights, without a word."""
    model.layers1[0].weight.data.mul_(2)
    return eps(model)


def test_a_sound_modifier_passes() -> None:
    """On the kit's own nets, where the registry has none of the zoo's."""
    report = zoo.testing.check_modifier("leaky(0.2)", registry=registry_of(leaky), raises=False)
    assert report, str(report)
    assert {r.check for r in report.results} == {*DECLARATIONS, *TRIALS}
    assert {r.arch for r in report.results} == {"", "kit-tangled", "kit-fused", "kit-tokens"}
    assert {r.arch for r in report.results if r.status == "skipped"} == {"kit-tokens"}  # which has no ReLU
    assert report.summary == f"{2 + 2 * 18 + 1} passed, 17 skipped"


def test_each_example_is_tried_on_each_default_arch() -> None:
    tried = {(case.subject, case.arch) for case in zoo.testing.cases(modifiers=[leaky]) if case.arch}
    archs = ["simple", "mlp(16, hidden=[12])", "convnet(channels=4, depth=2)", "kit-tangled", "kit-fused", "kit-tokens"]
    assert tried == {(example, arch) for example in ("leaky", "leaky(0.2)") for arch in archs}


def test_a_broken_modifier_raises_with_every_failure() -> None:
    with pytest.raises(AssertionError) as caught:
        zoo.testing.check_modifier(doubles, archs=["simple"])
    summary, *rows = str(caught.value).split("\n")
    assert summary == "19 passed, 1 failed"
    (row,) = rows
    told = "under one seed 'layers1.0.weight' of variant and base differ, which no change tells"
    assert row == f"failed     simple+doubles, weights: {told}"


def test_the_report_prints_as_a_table() -> None:
    report = zoo.testing.check_modifier("bn(eps=1e-4)", archs=["simple", "kit-tokens"], raises=False)
    table = str(report).split("\n\n")[1].split("\n")
    assert table[0].split() == ["bn(eps=1e-4)", "simple", "kit-tokens"]
    assert [row.split() for row in table[1:]] == [[c, "ok", "ok" if c == "applies" else "-"] for c in TRIALS]
    why = "not applicable: NotApplicableError: this Tokens has no BatchNorm"
    assert f"skipped    kit-tokens+bn(eps=1e-4), round_trip, again, isolation …: {why}" in str(report)
    assert str(report).endswith("\n\n21 passed, 17 skipped")


def only(check: str, **options: Any) -> list[zoo.testing.Result]:
    return [case.result() for case in zoo.testing.cases(**options) if case.check == check]


@pytest.mark.parametrize("key", ["weights", "weights[simple]", "weights[doubles]", "weights[simple+doubles]"])
def test_what_is_expected_to_fail_is_no_failure(key: str) -> None:
    (row,) = only("weights", modifiers=[doubles], archs=["simple"], expected_failures={key: "it doubles"})
    assert row.status == "expected"
    assert row.reason.startswith("it doubles (under one seed ")
    assert zoo.testing.Report((row,)).raise_if_failed()


def test_what_is_expected_to_fail_and_passes_is_a_failure() -> None:
    with pytest.raises(AssertionError) as caught:
        zoo.testing.check_modifier("bn(eps=1e-4)", archs=["simple"], expected_failures={"names": "who knows"})
    reason = "it passed, but was expected to fail: who knows"
    assert str(caught.value) == f"19 passed, 1 unexpected\nunexpected simple+bn(eps=1e-4), names: {reason}"


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: zoo.testing.check_modifier("bn", expected_failures={"nmes": "x"}),
            ValueError,
            "expected_failures names 'nmes', which is no check that runs here; those: declaration, options, applies, ",
        ),
        (lambda: zoo.testing.check_modifier("bnn"), zoo.UnknownNameError, "no modifier 'bnn'; did you mean 'bn'?"),
        (lambda: zoo.testing.check_modifier("bn", archs=["simpel"]), zoo.UnknownNameError, "no arch 'simpel'; did"),
        (lambda: zoo.testing.check_modifier("bn", archs=[]), ValueError, "a modifier is checked on an arch, and archs"),
        (
            lambda: zoo.testing.check_modifier("bn(eps=1)+dropout"),
            zoo.OptionError,
            "the checks are of one modifier, and 'bn(eps=1)+dropout' has 2",
        ),
    ],
)
def test_wrong_use_is_told(call: Callable[[], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value).startswith(text)


def test_the_arguments_reach_the_options() -> None:
    (result,) = only("again", modifiers=["append(head, Dropout(0.1))"], archs=["simple"])
    assert (result.spec, result.status, result.reason) == (
        "simple+append(head, Dropout(0.1))",
        "passed",
        "it stacks",
    )
    (result,) = only("again", modifiers=["heads(a=3)"], archs=["simple"])
    assert result.reason == "declined: OptionError: heads: there is a head 'a' already"
    (result,) = only("again", modifiers=["dropout(0.3)"], archs=["simple"])
    assert result.reason == "already so"


def test_a_plugins_whole_test_file(install: Callable[[str, str], zoo.Registry], tmp_path: Path) -> None:
    """As an author writes it: every check is a test, what doesn't apply is skipped, what is known to fail an xfail."""
    install("zoo-leaky", LEAKY.replace("[leaky]", "[leaky, doubles]") + DOUBLES)
    (tmp_path / "test_plugin.py").write_text(TEST_FILE)
    command = [sys.executable, "-m", "pytest", "-q", "-rsxf", "-p", "no:cacheprovider", "test_plugin.py"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1, done.stdout
    last = done.stdout.strip().split("\n")[-1]
    assert last.startswith("1 failed, "), done.stdout
    assert "1 xfailed" in last
    assert "test_plugin.py::test_broken[simple+doubles-weights]" in done.stdout
    assert "XFAIL test_plugin.py::test_known[simple+doubles-weights]" in done.stdout
    assert "SKIPPED" in done.stdout
    assert "test_conforms" not in "".join(line for line in done.stdout.split("\n") if line.startswith("FAILED"))


DOUBLES = """
@zoo.modifier
def doubles(model):
    '''Write into weights, without a word.'''
    model.layers1[0].weight.data.mul_(2)
    model.layers3[0].eps = 0.1
    return model
"""
TEST_FILE = """
import pytest
import zoo.testing

@zoo.testing.parametrize("zoo-leaky", archs=["simple", "kit-tokens"], expected_failures=dict(contributes="no reason"))
def test_nothing_is_run_at_collection(check):
    pass

@zoo.testing.parametrize(modifiers=["leaky(0.2)"], archs=["simple", "kit-tokens"])
def test_conforms(check):
    check()

@zoo.testing.parametrize(modifiers=["doubles"], archs=["simple"], expected_failures={"weights": "known"})
def test_known(check):
    check()

@zoo.testing.parametrize(modifiers=["doubles"], archs=["simple"])
def test_broken(check):
    check()
"""


def test_a_distribution_with_everything(install: Callable[[str, str], zoo.Registry]) -> None:
    """Its own archs are checked, and are among those that its modifiers are tried on."""
    code = LEAKY + "@zoo.arch(sites={'head': '1'}, sample=(6,), examples=['pair', 'pair(3)'])\n" + PAIR
    registry = install("zoo-pair", code)
    cases = zoo.testing.cases("zoo-pair", registry=registry)
    assert {case.subject for case in cases} == {"zoo-pair", "pair", "pair(3)", "leaky", "leaky(0.2)"}
    assert {case.arch for case in cases if case.arch} >= {"simple", "kit-fused", "pair", "pair(3)"}
    few = [case for case in cases if case.check not in SLOW and (not case.arch or case.arch == "pair(3)")]
    assert failed(few) == {}
    found = zoo.testing.check_plugin("zoo-pair", archs=["pair"], registry=registry)
    assert {result.arch for result in found.results} == {"", "pair"}


PAIR = """def pair(width: int = 4):
    '''Two layers.'''
    from torch import nn
    return nn.Sequential(nn.Linear(6, width), nn.Linear(width, 2), nn.ReLU())

@zoo.hookimpl
def zoo_archs():
    return [pair]
"""


def test_the_kit_imports_pytest_only_when_it_is_needed() -> None:
    code = "import sys, zoo.testing; zoo.testing.cases(modifiers=['bn']); print('pytest' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "False\n", done.stderr


def test_assertions_that_are_switched_off_are_no_checks() -> None:
    source = Path(zoo.testing.kit.__file__).read_text(encoding="utf-8")
    namespace: dict[str, Any] = {"__name__": "zoo.testing.optimised", "__package__": "zoo.testing"}
    exec(compile(source, "optimised", "exec", optimize=1), namespace)
    with pytest.raises(zoo.ZooError, match="the checks are assertions, which python -O switches off"):
        namespace["check_modifier"]("bn")


@pytest.mark.parametrize("thing", [3, lambda model: model, nn.Linear(1, 1)])
def test_what_is_no_modifier_or_arch_is_told(thing: object) -> None:
    with pytest.raises(
        zoo.OptionError, match=r"^the checks take the name of a modifier, or what @zoo.modifier makes, not "
    ):
        zoo.testing.check_modifier(thing)  # type: ignore[arg-type]
    with pytest.raises(zoo.OptionError, match=r"^the checks take the name of an arch, or what @zoo.arch makes, not "):
        zoo.testing.check_arch(thing)  # type: ignore[arg-type]


def test_one_arch_needs_no_list() -> None:
    assert zoo.testing.check_modifier("dropout(0.1)", archs="simple", raises=False)
