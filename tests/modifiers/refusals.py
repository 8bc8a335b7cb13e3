"""How each modifier's refusals are held: by class, text and place, and nothing was touched."""

from __future__ import annotations

import pytest

import zoo

OPTION, NOWHERE, NOTHING = zoo.OptionError, zoo.NoEffectError, zoo.NotApplicableError
Row = tuple[str, type[zoo.ZooError], str]


def assert_refused(spec: str, kind: type[zoo.ZooError], text: str) -> None:
    """The last modifier of a spec raises just this, by create and by modify, and the model stays as it was."""
    with pytest.raises(kind) as caught:
        zoo.create(spec)
    assert type(caught.value) is kind
    assert str(caught.value).startswith(text)
    assert f"\n  in part {spec.count('+')}, '" in str(caught.value)
    model = zoo.create(spec.split("+")[0])
    before = [(path, type(m)) for path, m in model.named_modules()]
    with pytest.raises(kind):
        zoo.modify(model, spec.partition("+")[2])
    assert [(path, type(m)) for path, m in model.named_modules()] == before
    assert not zoo.changes(model)
