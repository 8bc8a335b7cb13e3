"""`zoo.changes`: what it says that each modifier cost, and how it prints."""

from __future__ import annotations

import io

import pytest
import torch
from rich.console import Console
from syrupy.assertion import SnapshotAssertion
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import zoo
from zoo.messages.render import MOST_SHOWN, Branch, as_html, as_rich, as_text, cap

SPEC = "resnet18+act(silu)+dropout(0.2)+heads(species=200, age=1)+bn(eps=1e-5)"


def counted(model: nn.Module, *shape: int) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(torch.zeros(1, *shape, device=next(model.parameters()).device))
    return counter.get_total_flops()


@pytest.mark.parametrize(
    ("arch", "mods"),
    [
        ("resnet18", "heads(a=3)"),
        ("resnet18", "heads(a=3)+append(head, Dropout(0.1))+replace(conv1, Conv2d(3, 64, 3, padding=1))"),
        ("simple", "append(layers1, Linear(100, 100))+append(layers4=Linear(2, 7))"),
        ("convnet", 'remove("blocks.2.conv")+replace(head, Linear(64, 10))+replace("blocks.2.norm", Identity())'),
        ("simple", "prepend(head, Linear(70, 70))+prepend(stem, Linear(100, 100))"),
        ("vit_tiny_patch16_224", "act(silu)+heads(a=3, b=2)+dropout(0.1)"),
    ],
)
def test_the_flops_of_the_changes_add_up(arch: str, mods: str) -> None:
    model = zoo.create(f"{arch}+{mods}", device="meta")
    shape = {"simple": (100,), "convnet": (3, 16, 16)}.get(arch, (3, 224, 224))
    more = counted(model, *shape) - counted(zoo.create(arch, device="meta"), *shape)
    changes = zoo.changes(model)
    if "conv1" in mods:  # its stride is felt behind it, and a change counts what happens in its own place
        more = sum(
            counted(zoo.create(spec, device="meta").get_submodule(path), *inner) * sign
            for spec, path, inner, sign in [
                (f"{arch}+{mods}", "conv1", (3, 224, 224), 1),
                (arch, "conv1", (3, 224, 224), -1),
                (f"{arch}+{mods}", "fc", (512,), 1),
                (arch, "fc", (512,), -1),
            ]
        )
    assert sum(change.flops or 0 for change in changes) == more


def test_flops_are_found_for_a_live_model_too() -> None:
    model = zoo.modify(zoo.create("simple+act(silu)"), "append(layers1, Linear(100, 100))")
    assert [change.flops for change in zoo.changes(model)] == [0, 0, 20_000]


@pytest.mark.parametrize(
    "model",
    [
        lambda: zoo.modify(nn.Sequential(nn.Linear(2, 2)), 'append("0", Linear(2, 2))'),
        lambda: zoo.modify(zoo.create("resnet18", norm_layer=nn.InstanceNorm2d), "heads(a=1)"),
    ],
)
def test_flops_of_what_can_not_be_rebuilt_are_unknown(model: object) -> None:
    assert {change.flops for change in zoo.changes(model())} == {None}  # type: ignore[operator]


def test_asking_leaves_the_arch_as_it_was() -> None:
    model = zoo.create(SPEC, device="meta")
    first = zoo.changes(model)
    assert zoo.changes(zoo.create(SPEC, device="meta")) == first
    assert not zoo.verify(model)
    other = zoo.create("resnet18+heads(z=3)", device="meta")
    state = torch.random.get_rng_state()
    assert zoo.changes(other)[0].flops
    assert torch.equal(state, torch.random.get_rng_state())


def test_no_changes() -> None:
    assert str(zoo.changes(zoo.create("simple"))) == str(zoo.changes(nn.ReLU())) == "no changes"


def test_a_text_has_no_changes_to_tell() -> None:
    with pytest.raises(zoo.OptionError) as caught:
        zoo.changes("resnet18+act(silu)")  # type: ignore[arg-type]
    assert str(caught.value) == (
        "changes takes a live model, not 'resnet18+act(silu)'; zoo.create makes one from a spec"
    )


# -- how it prints ----------------------------------------------------------------------------------------------------


def in_a_terminal(thing: object, width: int = 120) -> str:
    screen = io.StringIO()
    Console(file=screen, force_terminal=True, color_system="standard", width=width, highlight=False).print(thing)
    return screen.getvalue()


RENDERED = {
    "changes": lambda: zoo.changes(zoo.create(SPEC, device="meta")),
    "structure": lambda: zoo.changes(
        zoo.create('convnet+append(more=Linear(10, 2))+remove("blocks.0.act")+set(BatchNorm2d, eps=1e-3)')
    ),
    "nothing changed": lambda: zoo.changes(zoo.create("simple")),
    "one arch": lambda: zoo.diff("resnet18", SPEC),
    "two archs": lambda: zoo.diff("simple", "mlp"),
    "no difference": lambda: zoo.diff("simple", "simple"),
}


@pytest.mark.parametrize("name", RENDERED)
def test_how_it_looks(name: str, snapshot: SnapshotAssertion) -> None:
    thing = RENDERED[name]()
    assert str(thing) == snapshot(name="text")
    assert in_a_terminal(thing) == snapshot(name="terminal")
    assert thing._repr_html_() == snapshot(name="html")


def test_markup_and_escape_codes_are_shown_and_not_obeyed() -> None:
    branch = Branch("[red]head[/red] \x1b[31m<script>", "green", (Branch("[bold]x\x07"),))
    assert as_text(branch) == "[red]head[/red] \\x1b[31m<script>\n  [bold]x\\x07"
    assert "[red]head[/red] \\x1b[31m<script>" in in_a_terminal(as_rich(branch))
    assert "<script>" not in as_html(branch)


def test_long_lists_are_cut() -> None:
    rows = cap([Branch(str(i)) for i in range(MOST_SHOWN + 7)])
    assert len(rows) == MOST_SHOWN + 1
    assert rows[-1].text == "… and 7 more"
    assert len(cap(rows[:MOST_SHOWN])) == MOST_SHOWN
