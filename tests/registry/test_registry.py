"""Names and who owns them: the zoo's own, strangers', and what happens when they meet."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from types import ModuleType
from typing import Any

import click
import pytest
import torch
import zoo_archs
import zoo_modifiers
from torch import nn
from zoo_archs import timm_models

import zoo
from zoo.plan.lookup import find_base
from zoo.registry.commands import list_commands
from zoo.registry.plugins import Plugin
from zoo.registry.registry import Registry

OWN = [zoo_archs, timm_models, zoo_modifiers]


class Net(nn.Module):
    """A stranger's net, told from all others by its class."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x)  # type: ignore[no-any-return]


def net_named(name: str) -> zoo.Arch:
    return zoo.Arch(name, Net, {"head": "fc"}, (4,))


def tanh_named(name: str) -> zoo.Modifier:
    """A modifier that puts a Tanh in front of every Linear, so that one sees whose modifier was at work."""

    def apply(model: nn.Module, /, at: zoo.Where = "Linear") -> nn.Module:
        """Tanh in front of every Linear."""
        for path in zoo.select(model, at):
            zoo.insert_before(model, path, nn.Tanh())
        return model

    return zoo.modifier(name=name)(apply)


def module_of(owner: str, **hooks: Any) -> tuple[Plugin, ModuleType]:
    """A plugin in memory: `module_of("acme", zoo_archs=[...])` has a hook that returns that list."""
    module = ModuleType(f"plugin_of_{owner}".replace("-", "_"))
    for hook, result in hooks.items():
        setattr(module, hook, zoo.hookimpl(specname=hook)(returning(result)))
    distribution = "plugzoo" if owner == "zoo" else owner
    return Plugin(owner, distribution, "1.0", owner, module.__name__), module


def returning(result: Any) -> Callable[[], Any]:
    return lambda: result() if callable(result) else result


def registry_with(*strangers: tuple[Plugin, ModuleType]) -> Registry:
    own = [(Plugin(m.__name__, "plugzoo", "0.1.0", "zoo", m.__name__), m) for m in OWN]
    return Registry([*own, *strangers])


def statuses(registry: Registry) -> dict[str, str]:
    return {p.name: p.status for p in registry.plugins if p.distribution != "plugzoo"}


ACME = {
    "zoo_archs": [net_named("simple"), net_named("resnet18"), net_named("resnet50.a1_in1k"), net_named("anvil")],
    "zoo_modifiers": [tanh_named("dropout"), tanh_named("rocket")],
}


# -- a name that is the zoo's -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        ("simple", "Simple"),
        ("zoo/simple", "Simple"),
        ("zoo-acme/simple", "Net"),
        ("resnet18", "ResNet"),
        ("timm/resnet18", "ResNet"),
        ("zoo-acme/resnet18", "Net"),
        ("resnet50.a1_in1k", "ResNet"),
        ("zoo-acme/resnet50.a1_in1k", "Net"),
        ("anvil", "Net"),
        ("zoo-acme/anvil", "Net"),
    ],
)
@pytest.mark.parametrize("first", [False, True], ids=["zoo first", "stranger first"])
def test_a_stranger_cannot_take_over_an_arch(spec: str, kind: str, first: bool) -> None:
    registry = registry_with(module_of("zoo-acme", **ACME))
    if first:
        own = [(p, m) for p, m in zip(registry.plugins, OWN, strict=False)]
        registry = Registry([module_of("zoo-acme", **ACME), *own])
    model = zoo.create(spec, device="meta", registry=registry)
    assert type(model).__name__ == kind


@pytest.mark.parametrize(
    ("name", "kind"), [("dropout", "Dropout"), ("zoo/dropout", "Dropout"), ("acme/dropout", "Tanh")]
)
def test_a_stranger_cannot_take_over_a_modifier(name: str, kind: str) -> None:
    registry = registry_with(module_of("acme", **ACME))
    model = zoo.create(f"mlp+{name}", device="meta", registry=registry)
    assert kind in [type(module).__name__ for module in model.modules()]


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("zoo/simple+zoo/dropout", "simple+dropout"),
        ("acme/simple+acme/dropout", "acme/simple+acme/dropout"),
        ("acme/anvil+acme/rocket", "anvil+rocket"),
        ("timm/resnet18", "resnet18"),
        ("acme/resnet18", "acme/resnet18"),
        ("acme/resnet50.a1_in1k", "acme/resnet50.a1_in1k"),
    ],
)
def test_the_spec_of_a_model_names_the_same_owner_again(text: str, canonical: str) -> None:
    registry = registry_with(module_of("acme", **ACME))
    model = zoo.create(text, device="meta", registry=registry)
    assert str(zoo.spec_of(model)) == canonical
    again = zoo.create(zoo.spec_of(model), device="meta", registry=registry)
    assert repr(again) == repr(model)


def test_listings_give_each_under_the_name_that_reaches_it() -> None:
    registry = registry_with(module_of("acme", **ACME))
    archs = zoo.list_archs(registry=registry)
    assert {"simple", "acme/simple", "resnet18", "acme/resnet18", "acme/resnet50.a1_in1k", "anvil"} <= set(archs)
    assert "acme/anvil" not in archs
    modifiers = zoo.list_modifiers(registry=registry)
    assert {"dropout", "acme/dropout", "rocket"} <= set(modifiers)


@pytest.mark.parametrize("owner", ["zoo", "timm", "torchvision"])
def test_a_distribution_that_calls_itself_like_the_zoo_gains_nothing(owner: str) -> None:
    _, module = module_of("acme", **ACME)
    posing = Plugin("posing", owner, "6.6.6", owner, module.__name__)
    registry = registry_with((posing, module))
    for spec in ("simple", "zoo/simple", "resnet18", "timm/resnet18"):
        model = zoo.create(spec, device="meta", registry=registry)
        assert type(model) is not Net, spec


# -- a name that two strangers claim ----------------------------------------------------------------------------------


def families_of(owner: str) -> zoo.Family:
    def resolve(name: str, source: str | None) -> zoo.Arch | None:
        """Nets."""
        return net_named(name) if name == "blob" else None

    return zoo.family(f"{owner}-nets", names=lambda: ["blob"], bare=True)(resolve)


BOTH = ["zoo-acme", "zoo-bolt"]
CLAIMS = {
    "zoo_archs": lambda owner: [net_named("net")],
    "zoo_families": lambda owner: [families_of(owner)],
    "zoo_modifiers": lambda owner: [tanh_named("squash")],
    "zoo_variants": lambda owner: {"tiny": "simple+dropout"},
}


def rivals(order: Iterable[str] = BOTH) -> Registry:
    return registry_with(*(module_of(o, **{hook: claim(o) for hook, claim in CLAIMS.items()}) for o in order))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("net", "2 plugins have an arch 'net': zoo-acme, zoo-bolt; say which, as in 'zoo-acme/net'"),
        ("simple+squash", "2 plugins have a modifier 'squash': zoo-acme, zoo-bolt; say which, as in 'zoo-acme/squash'"),
        ("tiny", "2 plugins have a variant 'tiny': zoo-acme, zoo-bolt; say which, as in 'zoo-acme/tiny'"),
        ("blob", "2 plugins have an arch 'blob': zoo-acme, zoo-bolt; say which, as in 'zoo-acme/blob'"),
    ],
)
@pytest.mark.parametrize("order", [BOTH, BOTH[::-1]], ids=["ab", "ba"])
def test_a_bare_name_of_two_strangers_is_an_error_that_names_both(spec: str, message: str, order: list[str]) -> None:
    with pytest.raises(zoo.UnknownNameError) as caught:
        zoo.create(spec, registry=rivals(order))
    assert str(caught.value).split("\n")[0] == message


@pytest.mark.parametrize("owner", BOTH)
@pytest.mark.parametrize("text", ["{}/net", "simple+{}/squash", "{}/tiny", "{}/blob"])
def test_with_its_owner_each_of_them_works(text: str, owner: str) -> None:
    spec = text.format(owner)
    model = zoo.create(spec, device="meta", registry=rivals())
    if "tiny" not in spec:  # a variant is built as what it stands for
        assert str(zoo.spec_of(model)) == spec
    else:
        assert str(zoo.spec_of(model)) == "simple+dropout"


def test_the_order_of_plugins_changes_no_listing() -> None:
    one, other = rivals(BOTH), rivals(BOTH[::-1])
    for listing in (zoo.list_archs, zoo.list_modifiers, zoo.list_variants):
        assert listing(registry=one) == listing(registry=other)


def test_an_arch_and_a_variant_of_two_strangers_are_one_name_too() -> None:
    """Both would stand in the first place of a spec."""
    registry = registry_with(
        module_of("zoo-acme", zoo_archs=[net_named("tiny")]), module_of("zoo-bolt", zoo_variants={"tiny": "simple"})
    )
    with pytest.raises(zoo.UnknownNameError, match="zoo-acme, zoo-bolt"):
        zoo.create("tiny", registry=registry)
    assert type(zoo.create("zoo-acme/tiny", registry=registry)) is Net
    assert type(zoo.create("zoo-bolt/tiny", registry=registry)).__name__ == "Simple"


# -- named variants ---------------------------------------------------------------------------------------------------


def test_a_named_variant_is_created_extended_and_listed() -> None:
    registry = registry_with(module_of("acme", zoo_variants={"tiny": "mlp(64, hidden=[32])+dropout(0.1)"}))
    model = zoo.create("tiny+act(silu)", registry=registry)
    assert str(zoo.spec_of(model)) == "mlp(in_features=64, hidden=(32,))+dropout(p=0.1)+act(name=silu)"
    assert [(v.name, v.spec) for v in zoo.list_variants(registry=registry)] == [
        ("tiny", "mlp(64, hidden=[32])+dropout(0.1)")
    ]


def test_a_named_variant_takes_no_options() -> None:
    registry = registry_with(module_of("acme", zoo_variants={"tiny": "simple+dropout"}))
    with pytest.raises(zoo.OptionError, match=r"^'tiny' is a variant, 'simple\+dropout', and takes no options"):
        zoo.create("tiny(3)", registry=registry)


@pytest.mark.parametrize(
    ("variants", "way"),
    [({"loop": "loop+dropout"}, "loop → loop"), ({"loop": "turn+dropout", "turn": "loop"}, "loop → turn → loop")],
)
def test_a_named_variant_that_stands_for_itself_is_told(variants: dict[str, str], way: str) -> None:
    registry = registry_with(module_of("acme", zoo_variants=variants))
    with pytest.raises(zoo.PluginError, match=rf"^the variant 'loop' refers to itself: {way}"):
        zoo.create("loop+act(silu)", registry=registry)


@pytest.mark.parametrize("name", ["simple", "resnet18"])
def test_a_named_variant_cannot_take_over_an_arch(name: str) -> None:
    registry = registry_with(module_of("acme", zoo_variants={name: "mlp+act(gelu)"}))
    assert str(zoo.spec_of(zoo.create(name, device="meta", registry=registry))) == name
    assert str(zoo.spec_of(zoo.create(f"acme/{name}", registry=registry))) == "mlp+act(name=gelu)"
    assert [v.name for v in zoo.list_variants(registry=registry)] == [f"acme/{name}"]


def test_an_error_inside_a_variant_says_which_one() -> None:
    variants = {"dead": "nosucharch", "odd": "simple+dropout(9)"}
    registry = registry_with(module_of("acme", zoo_variants=variants))
    for name, text in variants.items():
        with pytest.raises(zoo.ZooError) as raised:
            zoo.create(f"{name}+act(silu)", registry=registry)
        assert str(raised.value).endswith(f"\n  in the variant '{name}' of acme, '{text}'")


def test_a_variant_of_itself_is_an_error_and_no_endless_loop() -> None:
    registry = registry_with(module_of("acme", zoo_variants={"a": "b+dropout", "b": "a+dropout", "c": "c"}))
    for name in ("a", "c"):
        assert outcome(name, registry) == "ZooError"


def outcome(name: str, registry: Registry) -> str:
    """Not `pytest.raises`: it would spend minutes on printing a thousand nested exceptions."""
    try:
        zoo.create(name, registry=registry)
    except zoo.ZooError:
        return "ZooError"
    except RecursionError:
        return "RecursionError"
    return "a model"


def opening(width: int, *prefixes: str) -> zoo.Family:
    """A family behind these prefixes, told from others by the width of what it builds."""

    def resolve(name: str, source: str | None) -> zoo.Arch | None:
        """Nets from elsewhere."""
        return zoo.Arch(name, lambda: nn.Linear(1, width)) if source else None

    return zoo.family(name=f"opening{width}", names=list, prefixes=prefixes)(resolve)


def test_a_prefix_that_two_have_is_an_error_that_names_both() -> None:
    plugins = [
        module_of(owner, zoo_families=[opening(width, "net", "hf-hub")])
        for owner, width in (("zoo-bolt", 3), ("zoo-acme", 2))
    ]
    for order in (plugins, plugins[::-1]):
        registry = registry_with(*order)
        with pytest.raises(zoo.UnknownNameError) as caught:
            zoo.create("net:x", registry=registry)
        assert str(caught.value) == (
            "2 plugins have a prefix 'net': zoo-acme, zoo-bolt; say which, as in 'zoo-acme/net'"
        )
        for owner, width in (("zoo-acme", 2), ("zoo-bolt", 3)):
            model = zoo.create(f"{owner}/net:x", registry=registry)
            assert model.out_features == width
            assert str(zoo.spec_of(model)) == f"{owner}/net:x"


def family_of(resolve: Callable[[str, str | None], Any], names: Callable[[], Any] = list) -> zoo.Family:
    return zoo.Family("acme", resolve, names, bare=True)


def refused(name: str, source: str | None) -> zoo.Arch | None:
    raise zoo.OptionError(f"'{name}' was withdrawn")


@pytest.mark.parametrize(
    ("family", "reason"),
    [
        (family_of(lambda name, source: 3), "family 'acme' gave 3 for 'net'; expected a zoo.Arch or None"),
        (family_of(lambda name, source: len), f"family 'acme' gave {len!r} for 'net'; expected a zoo.Arch"),
        (family_of(lambda name, source: 1 / 0), "ZeroDivisionError: division by zero"),
        (family_of(lambda name, source: exit(3)), "SystemExit: 3"),
        (family_of(lambda name, source: None, lambda: ["net", 3]), "family 'acme' lists 3, which is no name"),
        (family_of(lambda name, source: None, lambda: 1 / 0), "ZeroDivisionError: division by zero"),
    ],
)
def test_a_family_that_gives_the_wrong_thing_takes_nothing_down(family: zoo.Family, reason: str) -> None:
    registry = registry_with(module_of("acme", zoo_families=[family]))
    with pytest.raises(zoo.UnknownNameError, match="no arch 'net'"):
        zoo.create("net", registry=registry)
    failed = registry.plugins[-1]
    assert (failed.name, failed.status) == ("acme", "failed")
    assert failed.reason.startswith(reason)
    assert "resnet18" in zoo.list_archs(registry=registry)


def test_a_familys_own_word_on_a_name_is_heard() -> None:
    registry = registry_with(module_of("acme", zoo_families=[family_of(refused)]))
    with pytest.raises(zoo.OptionError, match="'net' was withdrawn"):
        zoo.create("net", registry=registry)
    assert registry.plugins[-1].status == "ok"


def test_a_command_that_one_owner_declares_twice_is_a_failed_plugin() -> None:
    plugins = []
    for name in ("first", "second"):
        plugin, module = module_of("acme", zoo_commands=[click.Command("greet")])
        plugins.append((replace(plugin, name=name, module=name), module))
    registry = registry_with(*plugins)
    assert list(list_commands(registry)) == ["greet"]
    assert [p.reason for p in registry.plugins[-2:]] == ["", "acme declares the command 'greet' twice"]


def test_the_prefixes_of_the_zoo_are_not_taken_over() -> None:
    registry = registry_with(module_of("zoo-acme", zoo_families=[opening(2, "net", "hf-hub")]))
    assert find_base(zoo.parse("hf-hub:timm/resnet18").arch, registry).owner == "zoo"
    assert zoo.create("zoo-acme/hf-hub:x", registry=registry).out_features == 2
    for name in ("net:x", "zoo-acme/net:x"):
        assert str(zoo.spec_of(zoo.create(name, registry=registry))) == "net:x"
    with pytest.raises(zoo.UnknownNameError, match="no prefix 'zoo-bolt/net'"):
        zoo.create("zoo-bolt/net:x", registry=registry)


# -- what a plugin declares wrongly -----------------------------------------------------------------------------------

WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("a number", {"zoo_modifiers": 3}, "zoo_modifiers() returned int; expected a list of Modifiers"),
    ("nothing", {"zoo_archs": None}, "zoo_archs() returned NoneType; expected a list of Archs"),
    ("a text", {"zoo_archs": "simple"}, "zoo_archs() returned str; expected a list of Archs"),
    ("a dict", {"zoo_families": {}}, "zoo_families() returned dict; expected a list of Families"),
    ("a function", {"zoo_modifiers": [len]}, f"zoo_modifiers() returned {len!r}; expected what @zoo.modifier makes"),
    (
        "an arch",
        {"zoo_modifiers": [net_named("x")]},
        f"zoo_modifiers() returned {net_named('x')!r}; expected what @zoo.modifier makes",
    ),
    ("pairs", {"zoo_variants": [("a", "b")]}, "zoo_variants() returned list; expected a dict of name and spec"),
    (
        "one twice",
        {"zoo_modifiers": [tanh_named("x"), tanh_named("x")]},
        "acme declares the name 'x' twice",
    ),
    ("an exit", {"zoo_archs": lambda: exit(3)}, "SystemExit: 3"),
    ("an error", {"zoo_archs": lambda: 1 / 0}, "ZeroDivisionError: division by zero"),
]


@pytest.mark.parametrize(("hooks", "reason"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_a_wrong_declaration_is_a_failed_plugin(hooks: dict[str, Any], reason: str) -> None:
    good = {"zoo_modifiers": [tanh_named("fine")]}
    registry = registry_with(module_of("acme", **hooks), module_of("bolt", **good))
    assert statuses(registry) == {"acme": "failed", "bolt": "ok"}
    found = next(p for p in registry.plugins if p.name == "acme")
    assert found.reason == reason
    assert "fine" in zoo.list_modifiers(registry=registry)


def test_a_plugin_that_fails_leaves_nothing_behind() -> None:
    hooks = {"zoo_archs": [net_named("half")], "zoo_modifiers": [tanh_named("half"), 3]}
    registry = registry_with(module_of("acme", **hooks))
    assert statuses(registry) == {"acme": "failed"}
    assert "half" not in zoo.list_archs(registry=registry)
    assert "half" not in zoo.list_modifiers(registry=registry)


def test_a_misspelt_hook_is_a_failed_plugin() -> None:
    registry = registry_with(module_of("acme", zoo_modifers=[tanh_named("x")]), module_of("bolt", zoo_archs=[]))
    assert statuses(registry) == {"acme": "failed", "bolt": "ok"}
    assert "zoo_modifers" in next(p.reason for p in registry.plugins if p.name == "acme")


def test_names_that_no_spec_can_say_are_refused() -> None:
    for variants in ({"two words": "simple"}, {"acme/x": "simple"}, {"1x": "simple"}, {"": "simple"}, {3: "simple"}):
        registry = registry_with(module_of("acme", zoo_variants=variants))
        assert statuses(registry) == {"acme": "failed"}, variants


def test_a_variant_that_cannot_be_read_is_a_failed_plugin() -> None:
    registry = registry_with(module_of("acme", zoo_variants={"tiny": "simple++dropout"}))
    assert statuses(registry) == {"acme": "failed"}
    assert registry.plugins[-1].reason.startswith("zoo_variants() gives no spec for 'tiny': column 8: unexpected '+'")


# -- unknown names ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("resnet19", "no arch 'resnet19'; did you mean "),
        ("simpel", "no arch 'simpel'; did you mean 'simple'"),
        ("qqqqqqq", "no arch 'qqqqqqq'; see `zoo list archs`"),
        ("simple+dropot", "no modifier 'dropot'; did you mean 'dropout'"),
        ("simple+qqqqqqq", "no modifier 'qqqqqqq'; see `zoo list modifiers`"),
        ("acme/anvl", "no arch 'acme/anvl'"),
        ("nobody/simple", "no arch 'nobody/simple'; did you mean "),
        ("simple+nobody/rocket", "no modifier 'nobody/rocket'"),
    ],
)
def test_an_unknown_name_comes_with_its_neighbours(spec: str, message: str) -> None:
    with pytest.raises(zoo.UnknownNameError) as caught:
        zoo.create(spec, registry=registry_with(module_of("acme", **ACME)))
    assert str(caught.value).startswith(message)


def test_an_unknown_name_names_the_plugins_that_failed() -> None:
    registry = registry_with(module_of("acme", zoo_archs=lambda: 1 / 0))
    for spec in ("anvil", "simple+rocket"):
        with pytest.raises(zoo.UnknownNameError) as caught:
            zoo.create(spec, registry=registry)
        assert "\n  plugin 'acme' of acme failed: ZeroDivisionError: division by zero" in str(caught.value)


def test_an_owner_alone_can_be_asked_for_its_archs() -> None:
    registry = registry_with(module_of("acme", **ACME))
    assert zoo.list_archs("acme/*", registry=registry) == ["acme/resnet18", "acme/resnet50.a1_in1k", "acme/simple"]


def test_registries_are_separate_objects() -> None:
    one, other = registry_with(module_of("acme", **ACME)), registry_with()
    assert "rocket" in zoo.list_modifiers(registry=one)
    assert "rocket" not in zoo.list_modifiers(registry=other)
    assert "rocket" not in zoo.list_modifiers()
