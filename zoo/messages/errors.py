"""Every error that the zoo raises on purpose. One base class, so that callers can catch them all."""

from __future__ import annotations


class ZooError(Exception):
    """The base of all errors of the zoo. The message says what was met, what was expected and what to type instead."""


class SpecError(ZooError, ValueError):
    """The text of a spec can't be read; the message points at the column."""


class UnknownNameError(ZooError, LookupError):
    """No arch, modifier or layer of this name is installed; the message has the nearest names.

    owners: of a bare name that several plugins have, those.
    """

    owners: tuple[str, ...] = ()


class OptionError(ZooError, TypeError):
    """An option is unknown, missing, of a wrong type or out of range; the message has the signature."""


class NotApplicableError(ZooError):
    """The model has nothing that the modifier works on, or has it where no forward reaches."""


class NoEffectError(ZooError):
    """A term of a selector that the user wrote matched nothing, or a modifier changed nothing."""


class ShapeError(ZooError, ValueError):
    """Sizes that can't fit; the message names the site, both sizes and what would fit."""


class PluginError(ZooError):
    """A plugin declares the wrong thing, or a modifier broke one of the promises that all modifiers make.

    promise: in the latter case, the check of `zoo.testing` that holds the same promise.
    """

    promise: str = ""


class PluginWarning(UserWarning):
    """A plugin that was told of a built model failed; the model is well."""


class CheckpointError(ZooError):
    """A file of weights can't be read, or doesn't belong to the model."""


def located(error: ZooError, where: str) -> ZooError:
    """The same error with the place it came from added once, at the border: `raise located(e, ...) from None`."""
    if getattr(error, "_located", False):
        return error
    new = type(error)(f"{error}\n  in {where}")
    vars(new).update(vars(error))
    new._located = True  # type: ignore[attr-defined]  # so that nested borders don't say it twice
    return new
