"""What a file says about its model besides the weights: how it's built again, and how it stood. Sorted JSON.

Nothing in it is evaluated, imported, opened or fetched: names are looked up among what is installed, and nowhere else.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from typing import Annotated, Any

from pydantic import ConfigDict, PlainValidator, TypeAdapter, ValidationError

from ..messages.errors import CheckpointError, SpecError
from ..messages.text import escape, printable, quote
from ..registry.plugins import OWN
from ..spec.parser import MAX_CHARACTERS, MAX_PARTS, read_mods, read_spec
from ..spec.spec import Spec
from ..surgery.changes import Change
from .header import Header, file_of, make_read_error, read_header, strict_json

FORMAT = 1  # the newest that is known here; files of every older one can be read
KEY = "zoo"  # of the manifest among a file's metadata
RESERVED = "zoo:"  # what tensors that aren't the model's own are called


def _read_spec(value: Any) -> Spec:
    """A spec out of its text, or out of the texts of its parts where a program made it longer than a text may be."""
    if isinstance(value, list) and value and all(isinstance(part, str) for part in value):
        return spec_of_parts(value)
    if not isinstance(value, (str, Spec)):
        raise ValueError("expected the text of a spec")
    return value if isinstance(value, Spec) else Spec(*read_spec(value, most=None))


def spec_of_parts(texts: Sequence[str]) -> Spec:
    """A spec out of a text for its arch and one for each modifier, of any length: a program wrote them."""
    arch, behind = read_spec(texts[0], most=None)
    if behind:
        raise SpecError(f"'{texts[0]}' is more than an arch")
    parts = [read_mods(text, most=None) for text in texts[1:]]
    if odd := [text for text, calls in zip(texts[1:], parts, strict=True) if len(calls) != 1]:
        raise SpecError(f"'{odd[0]}' is more than a modifier")
    return Spec(arch, tuple(call for calls in parts for call in calls))


@dataclass(frozen=True)
class Owner:
    """Whose a part of a spec is: the owner's name, and the distribution with the version it had."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    owner: str
    distribution: str
    version: str


@dataclass(frozen=True)
class Manifest:
    """What a file says about its model.

    spec: canonical. parts: the arch and each modifier as a text of its own, with every option, defaults too.
    owners: of each part. recipe: how an arch is built whose name points outside. versions: of the libraries used.
    changes: what the modifiers did. training: the model's mode, and `modes` of modules that differ from it.
    frozen: parameters without gradient. dtype: of floating weights and buffers; `dtypes` of those that differ.
    channels_last: weights in that memory format. tied, shared: second names of tensors, and of memory, to the first.
    step: what `save` was given. state: of optimizers and schedulers, packed.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    spec: Annotated[Spec, PlainValidator(_read_spec)]
    parts: tuple[str, ...]
    owners: tuple[Owner, ...]
    recipe: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    training: bool = True
    modes: Mapping[str, bool] = field(default_factory=dict)
    frozen: tuple[str, ...] = ()
    dtype: str | None = None
    dtypes: Mapping[str, str] = field(default_factory=dict)
    channels_last: tuple[str, ...] = ()
    tied: Mapping[str, str] = field(default_factory=dict)
    shared: Mapping[str, str] = field(default_factory=dict)
    step: int | None = None
    state: Mapping[str, Any] | None = None
    format: int = FORMAT

    def dump(self) -> str:
        """As sorted JSON: the same text for the same manifest."""
        data = {name: getattr(self, name) for name in _FIELDS}
        long = len(str(self.spec)) > MAX_CHARACTERS or len(self.spec.parts) >= MAX_PARTS
        data["spec"] = [str(self.spec.arch), *map(str, self.spec.parts)] if long else str(self.spec)
        data["owners"] = [asdict(owner) for owner in self.owners]
        data["changes"] = [asdict(change) for change in self.changes]
        return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)

    def __str__(self) -> str:
        """For people: what can be said in a few lines, with anything odd made visible."""
        libraries = [(name, version) for name, version in self.versions.items() if name != OWN]
        known = [*((owner.distribution, owner.version) for owner in self.owners), *libraries]
        needs = dict.fromkeys(f"{name} {version}" for name, version in known)
        lines = [
            f"spec        {escape(str(self.spec), 4096)}",
            f"format      {self.format}",
            f"needs       {escape(', '.join(needs), 1000)}",
            f"mode        {'train' if self.training else 'eval'}"
            + (f", {len(self.modes)} differ" if self.modes else ""),
        ]
        if self.frozen:
            lines.append(f"frozen      {len(self.frozen)} parameters")
        if self.tied or self.shared:
            lines.append(f"tied        {len(self.tied) + len(self.shared)} names")
        if self.state is not None:
            lines.append(f"training    {'step ' + str(self.step) if self.step is not None else 'state'}")
        return "\n".join(lines)


_FIELDS = tuple(one.name for one in fields(Manifest))


def parse_manifest(header: Header, name: str) -> Manifest:
    """The manifest of a file whose header was read; CheckpointError where there is none, or one that can't be meant."""
    if KEY not in header.metadata:
        raise CheckpointError(
            f"{quote(name)} has no manifest: it holds weights, but not whose; "
            f"zoo.create(SPEC, weights={name!r}) puts them into a variant"
        )
    try:
        return _parse(header.metadata[KEY])
    except CheckpointError as error:
        raise CheckpointError(f"{quote(name)}: {error}") from None


def read(path: str | os.PathLike[str]) -> tuple[Manifest, Header]:
    """The manifest and the header of a file, or of the one in a folder of Hugging Face's layout."""
    name = file_of(path)
    try:
        with open(name, "rb", buffering=0) as file:
            header = read_header(file, name)
    except OSError as error:
        raise make_read_error(name, error) from error
    return parse_manifest(header, name), header


def _parse(text: str) -> Manifest:
    data = strict_json(text, "the manifest")
    if not isinstance(data, dict):
        raise CheckpointError(f"the manifest is a {type(data).__name__}; expected an object")
    number = data.get("format")
    if type(number) is not int or number < 1:
        raise CheckpointError(f"the manifest's format is {quote(str(number))}; expected a number from 1 to {FORMAT}")
    if number > FORMAT:
        written = quote(str((data.get("versions") or {}).get(OWN, "?")) if isinstance(data, dict) else "?")
        raise CheckpointError(
            f"the manifest is of format {number}, and this zoo knows those to {FORMAT}; "
            f"it was written by {OWN} {written[1:-1]}: pip install --upgrade {OWN}"
        )
    if odd := sorted(data.keys() ^ _FIELDS):
        raise CheckpointError(f"the manifest {'has' if odd[0] in data else 'lacks'} {quote(odd[0])}")
    try:
        manifest = _adapter().validate_json(text, strict=True)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        said = problem["msg"].removeprefix("Value error, ")
        raise CheckpointError(f"the manifest's {escape(place)}: {printable(said)}") from None
    if len(manifest.owners) != len(manifest.parts) or len(manifest.parts) != 1 + len(manifest.spec.parts):
        raise CheckpointError("the manifest doesn't say of each part of the spec how it's built and whose it is")
    if not _is_training_state(manifest.state):
        raise CheckpointError("the manifest's state: the training state isn't one that the zoo wrote")
    return manifest


def check_parts(manifest: Manifest, told: Spec) -> None:
    """Raise CheckpointError where the spec says something else than the parts that the model is built of.

    Compared are names and what the spec writes: what it leaves out was the default of that time, not always today's.
    """
    pairs = zip((manifest.spec.arch, *manifest.spec.parts), (told.arch, *told.parts), manifest.owners, strict=True)
    for said, built, owner in pairs:
        names = {said.name, built.name}
        named = len(names) == 1 or names == {
            said.name.rpartition("/")[2],
            f"{owner.owner}/{built.name.rpartition('/')[2]}",
        }
        options = [[v for k, v in call.args if k is None] for call in (said, built)]
        whole = dict(built.args)
        written = all(k is None or (k in whole and _mean_the_same(v, whole[k])) for k, v in said.args)
        if not named or said.source != built.source or not _mean_the_same(*options) or not written:
            raise CheckpointError(
                f"the manifest contradicts itself: the spec says {quote(str(said))}, and the model is built of "
                f"{quote(str(built))}"
            )


def _mean_the_same(a: Any, b: Any) -> bool:
    """Whether two values mean the same in a spec: 1 and 1.0 do, 1 and True don't."""
    return bool(a == b) and isinstance(a, bool) is isinstance(b, bool)


def _is_training_state(state: Mapping[str, Any] | None) -> bool:
    """Whether it's nothing, or lists of optimizers and schedulers that say of which class they are."""
    if state is None:
        return True
    several = [state.get("optimizers"), state.get("schedulers")]
    return len(state) == 2 and all(
        isinstance(some, list) and all(isinstance(one, Mapping) and isinstance(one.get("class"), str) for one in some)
        for some in several
    )


@cache
def _adapter() -> TypeAdapter[Manifest]:
    return TypeAdapter(Manifest)


@cache
def version_of(distribution: str) -> str | None:
    """The version of an installed distribution; None if it isn't installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def installable(name: str) -> str:
    """A name that someone may paste into a shell: nothing but what names and versions are made of."""
    return re.sub(r"[^\w.+!-]", "?", name[:80], flags=re.ASCII)


def list_other_versions(manifest: Manifest) -> str:
    """What to install to have what the model was saved with; empty where that is what's installed."""
    known = {owner.distribution: owner.version for owner in manifest.owners} | dict(manifest.versions)
    lines = [
        f"\n  saved with {installable(name)} {installable(version)}, and {version_of(name) or 'none'} is installed: "
        f"pip install {installable(name)}=={installable(version)}"
        for name, version in sorted(known.items())
        if version_of(name) != version
    ]
    return "".join(lines)
