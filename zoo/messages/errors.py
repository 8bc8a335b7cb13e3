"""Every error that the zoo raises on purpose. One base class, so that callers can catch them all.

Each says that it stands in `zoo`, where users catch it: so a traceback reads `zoo.ShapeError`, and a pickle names what
stays.
"""

from __future__ import annotations


class ZooError(Exception):
    """The base of all errors of the zoo. The message says what was met, what was expected and what to type instead."""

    __module__ = "zoo"


class SpecError(ZooError, ValueError):
    """The text of a spec can't be read; the message points at the column."""

    __module__ = "zoo"


class UnknownNameError(ZooError, LookupError):
    """No arch, modifier or layer of this name is installed; the message has the nearest names.

    owners: of a bare name that several plugins have, those.
    """

    __module__ = "zoo"
    owners: tuple[str, ...] = ()


class OptionError(ZooError, TypeError):
    """An option is unknown, missing, of a wrong type or out of range; the message has the signature."""

    __module__ = "zoo"


class NotApplicableError(ZooError):
    """The model has nothing that the modifier works on, or has it where no forward reaches."""

    __module__ = "zoo"


class NoEffectError(ZooError):
    """A term of a selector that the user wrote matched nothing, or a modifier changed nothing."""

    __module__ = "zoo"


class ShapeError(ZooError, ValueError):
    """Sizes that can't fit; the message names the site, both sizes and what would fit."""

    __module__ = "zoo"


class PluginError(ZooError):
    """A plugin declares the wrong thing, or a modifier broke one of the promises that all modifiers make.

    promise: in the latter case, the check of `zoo.testing` that holds the same promise.
    """

    __module__ = "zoo"
    promise: str = ""


class PluginWarning(UserWarning):
    """A plugin that was told of a built model failed; the model is well."""

    __module__ = "zoo"


class CheckpointError(ZooError):
    """A file of weights can't be read, or doesn't belong to the model."""

    __module__ = "zoo"


# An error is raised deep down, where nobody knows which part of which spec is being read; the place is known far up,
# where nobody knows what is wrong. So each border that knows a place catches the error and raises it again with the
# place behind its text. Borders lie inside each other (a variant's parts, a load that creates), and only the innermost
# may speak, or the user reads three places of which one is right: hence the mark. It's a new object, since the text of
# an exception is set when it's made; `vars` carries the fields over. How it can fail: an error class whose `__init__`
# takes more than a text can't be made again here, so none has one; and a border that knows better than the inner one
# (the name of a variant) must take the mark off first.
def locate(error: ZooError, where: str) -> ZooError:
    """The same error with the place it came from added once, at the border.

    So it is raised: `raise locate(error, "part 1") from None`.
    """
    if getattr(error, "_located", False):
        return error
    new = type(error)(f"{error}\n  in {where}")
    vars(new).update(vars(error))
    new._located = True  # type: ignore[attr-defined]
    return new
