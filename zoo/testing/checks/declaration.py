"""Checks of what is declared: documentation, examples, options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...factory.rehearsal import preview
from ...messages.errors import OptionError, PluginError, SpecError, ZooError
from ...plan.bind import bind
from ...plan.check import check
from ...plan.options import EMPTY, Option, options_of, signature, takes_where
from ...plan.resolve import plan_of
from ...registry.declarations import Arch, Modifier
from ...registry.registry import Registry
from ...spec.parser import read_mods
from ...spec.spec import Spec, parse
from ...spec.values import Call, format_value, from_python
from ..results import Skip
from ..subjects import Trial
from ..tools import brief

NO_SUCH = "zoo_testing_no_such_word"


@dataclass(frozen=True)
class Declared:
    """A declaration under the name that reaches it, and for a modifier its trials."""

    name: str
    value: Arch | Modifier
    registry: Registry
    trials: tuple[Trial, ...] = ()

    @property
    def function(self) -> Callable[..., Any]:
        return self.value.apply if isinstance(self.value, Modifier) else self.value.build

    @property
    def skip(self) -> int:
        """How many parameters in front are no options."""
        return int(isinstance(self.value, Modifier))

    @property
    def classes(self) -> list[type]:
        return list({cls: None for trial in self.trials for cls in trial.classes})

    @property
    def options(self) -> tuple[Option, ...]:
        return options_of(self.function, self.skip)


def declaration(declared: Declared) -> None:
    """The docstring's first line stands alone, options have types that their defaults pass, examples are of its own."""
    first, _, rest = declared.value.doc.partition("\n")
    assert first.strip(), "there is no docstring; zoo.describe shows it"
    assert not rest.partition("\n")[0].strip(), f"the docstring's first line doesn't stand alone: {first!r}"
    for option in declared.options:
        parameter = inspect.signature(declared.function).parameters[option.name]
        assert parameter.annotation is not EMPTY, f"option '{option.name}' has no type"
        _check_default(declared, option)
    for example in declared.value.examples:
        _check_example(declared, example)


def _check_default(declared: Declared, option: Option) -> None:
    """A default that its own type refuses can't be written in a spec, and would be no default there."""
    if option.default is EMPTY or option.variadic:
        return
    shown = signature(declared.name, declared.function, declared.skip)
    try:
        check(declared.name, option.name, from_python(option.default), option, declared.registry, shown)
    except SpecError:
        return  # what no spec can hold: only Python gives it
    except ZooError as error:
        raise AssertionError(f"the default of '{option.name}' is not of its own type: {brief(error)}") from error


def fault(declared: Declared, example: str) -> str:
    """What is wrong with the text of an example; empty where nothing is."""
    own = declared.name.rpartition("/")[2]
    try:
        calls = read_mods(example) if declared.skip else (parse(example).arch,)
        if [call.name.rpartition("/")[2] for call in calls] != [own]:
            return f"the example '{example}' isn't one call of {own}"
        _bind(declared, calls[0])
    except ZooError as error:
        return f"the example '{example}' is wrong: {brief(error)}"
    return ""


def _bind(declared: Declared, call: Call) -> Call:
    """The call with every option by name."""
    return bind(call, declared.function, declared.skip, declared.registry).call


def _check_example(declared: Declared, example: str) -> None:
    assert not fault(declared, example), fault(declared, example)
    tried = [trial for trial in declared.trials if trial.mod == example]
    if tried and all(trial.declined for trial in tried):
        reasons = "; ".join(f"{trial.ground.arch}: {trial.declined}" for trial in tried)
        raise AssertionError(f"the example '{example}' applies to no arch that it was tried on: {reasons}")


def options(declared: Declared) -> str | None:
    """An option that isn't there, a value of a wrong type or out of range: each is an OptionError that names it."""
    if not declared.options:
        return "it has no options"
    tried = 0
    for call in _calls(declared):
        if not any(option.variadic for option in declared.options):
            _expect_named(declared, _with(call, "zoo_testing_option", 1), "zoo_testing_option")
        for option in declared.options:
            for value in () if option.variadic else _doubtful(option):
                _refuses_or_takes(declared, _with(call, option.name, value), option.name)
                tried += 1
    return f"{tried} values tried"


def _calls(declared: Declared) -> Iterator[Call]:
    """The examples, on an arch that each applies to."""
    if isinstance(declared.value, Arch):
        yield Call(declared.name)
        return
    for example in dict.fromkeys(trial.mod for trial in declared.trials):
        if any(not trial.declined for trial in declared.trials if trial.mod == example):
            yield _bind(declared, read_mods(example)[0])


def _with(call: Call, key: str, value: Any) -> Call:
    """The call with another value for one option."""
    return replace(call, args=(*((k, v) for k, v in call.args if k != key), (key, value)))


def _doubtful(option: Option) -> Sequence[Any]:
    """Values that a careless declaration lets through: of every type, at the edges, and a word that means nothing."""
    return (True, None, -1, 0, -1.0, 0.0, 1e30, NO_SUCH) if not takes_where(option) else (True, 1, NO_SUCH)


def _try_out(declared: Declared, call: Call) -> None:
    """Bind it and apply it to a blueprint; raises what a user would get."""
    if isinstance(declared.value, Arch):
        plan_of(Spec(call), declared.registry)
        return
    own = [t for t in declared.trials if read_mods(t.mod)[0].args != call.args and not t.declined]
    trial = next((t for t in own if read_mods(t.mod)[0].name == call.name), None)
    if trial is None:
        raise Skip("the modifier applies to none of the archs")
    spec = Spec(trial.ground.plan.spec.arch, (call,))
    plan_of(spec, declared.registry)
    preview(spec, registry=declared.registry)


def _expect_named(declared: Declared, call: Call, key: str) -> None:
    try:
        _try_out(declared, call)
    except OptionError as error:
        _must_name(error, call, key)
    else:
        raise AssertionError(f"'{call}' is taken, although there is no option '{key}'")


def _must_name(error: OptionError, call: Call, key: str) -> None:
    if key not in str(error):
        raise AssertionError(f"'{call}' is refused without naming '{key}': {brief(error)}") from error


def _refuses_or_takes(declared: Declared, call: Call, key: str) -> None:
    """Any error of the zoo but a PluginError is a clear word; that one hides what the modifier let through."""
    try:
        _try_out(declared, call)
    except PluginError as error:
        value = format_value(dict(call.args)[key])
        raise AssertionError(
            f"{key}={value} got past the signature: {brief(error)}; give the option a narrower type, such as "
            "Annotated[float, Ge(0)], or raise zoo.OptionError"
        ) from error
    except OptionError as error:
        _must_name(error, call, key)
    except ZooError:
        pass
