"""Files that are broken or mean harm: one table of what is in them and the exact message. Nothing is believed."""

from __future__ import annotations

import builtins
import io
import json
import pickle
import socket
import struct
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import zoo
from zoo.cli.main import main

DTYPES = (
    "BOOL, U8, I8, F8_E4M3, F8_E4M3FNUZ, F8_E5M2, F8_E5M2FNUZ, U16, I16, F16, BF16, U32, I32, F32, U64, I64, F64, C64"
)
FLOATS = (
    "float64, float32, float16, bfloat16, float8_e4m3fn, float8_e4m3fnuz, float8_e5m2, float8_e5m2fnuz, complex64, "
    "complex128"
)
ONE = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
TWO = {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}


def raw(header: Any, data: bytes = b"") -> bytes:
    """A file with this header, as JSON or as it is, and this data."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def zipped() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps({}))
    return made.getvalue()


# (content, what the message says behind the file's name)
BROKEN: dict[str, tuple[bytes, str]] = {
    "0 bytes": (b"", "the file is empty; expected safetensors"),
    "7 bytes": (b"\x10" * 7, "the file ends after 7 bytes; expected safetensors, which starts with 8"),
    "8 bytes": (
        struct.pack("<Q", 64),
        "a header of 64 bytes is announced, and 0 follow; the file is cut off",
    ),
    "2^63": (
        struct.pack("<Q", 2**63) + b"{}",
        "a header of 9,223,372,036,854,775,808 bytes is announced; at most 8,388,608 are read. "
        "Is it a safetensors file?",
    ),
    "a pickle": (
        pickle.dumps({"weight": [1.0]}),
        "this is a pickle, which can run code when it's read, so the zoo doesn't; "
        "convert it once: zoo convert FILE SPEC",
    ),
    "a zip": (
        zipped(),
        "this is a zip archive, as torch.save writes them, with a pickle inside, which can run code when it's read, "
        "so the zoo doesn't; convert it once: zoo convert FILE SPEC",
    ),
    "no JSON": (
        raw(b"{'a': 1}"),
        "the header isn't JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
    ),
    "no UTF-8": (
        raw(b'{"\xff": 1}'),
        "the header isn't JSON: 'utf-8' codec can't decode byte 0xff in position 2: invalid start byte",
    ),
    "a list": (raw([]), "the header is a list; expected an object"),
    "deep": (raw(b"[" * 200_000), "the header is nested too deeply"),
    "long number": (
        raw(b'{"a": ' + b"9" * 5000 + b"}"),
        "the header isn't JSON: Exceeds the limit (4300 digits) for integer string conversion: value has 5000 digits; "
        "use sys.set_int_max_str_digits() t",
    ),
    "NaN": (raw(b'{"a": NaN}'), "the header holds NaN, which is no JSON"),
    "twice": (
        raw(b'{"a": %b, "a": %b}' % (json.dumps(ONE).encode(), json.dumps(ONE).encode()), bytes(8)),
        "the header has the name 'a' twice",
    ),
    "short": (raw({"a": ONE}, bytes(5)), "3 bytes are missing at the end; the file is cut off"),
    "long": (raw({"a": ONE}, bytes(9)), "1 bytes too many at the end"),
    "overlap": (
        raw({"a": ONE, "b": {**TWO, "data_offsets": [4, 12]}}, bytes(12)),
        "the tensors 'a' and 'b' overlap",
    ),
    "hole": (
        raw({"a": ONE, "b": {**TWO, "data_offsets": [12, 20]}}, bytes(20)),
        "there is a hole of 4 bytes in front of 'b'",
    ),
    "dtype": (
        raw({"a": {**ONE, "dtype": "F128"}}, bytes(8)),
        f"the tensor 'a' is of the dtype 'F128'; expected one of {DTYPES}",
    ),
    "no dtype": (raw({"a": {"shape": [2]}}), "the tensor 'a' isn't described by dtype, shape and data_offsets"),
    "size": (raw({"a": {**ONE, "shape": [3]}}, bytes(8)), "the tensor 'a' is F32[3], 12 bytes, and has 8"),
    "negative": (
        raw({"a": {**ONE, "shape": [-2]}}, bytes(8)),
        "the tensor 'a' has the shape '[-2]'; expected a list of sizes",
    ),
    "a size that is True": (
        raw({"a": {**ONE, "shape": [True, 2]}}, bytes(8)),
        "the tensor 'a' has the shape '[True, 2]'; expected a list of sizes",
    ),
    "backwards": (
        raw({"a": {**ONE, "data_offsets": [8, 0]}}, bytes(8)),
        "the tensor 'a' has the data_offsets '[8, 0]'; expected where it starts and ends",
    ),
    "no name": (raw({"": ONE}, bytes(8)), "a tensor has no name"),
    "ESC in a name": (
        raw({"a\x1b[2J": ONE}, bytes(8)),
        "the name 'a\\x1b[2J' holds the control character U+001B",
    ),
    "a right-to-left name": (
        raw({"a\u202e": ONE}, bytes(8)),
        "the name 'a\\x202e' holds the bidirectional control character U+202E",
    ),
    "a tensor called __metadata__": (
        raw({"__metadata__": ONE}, bytes(8)),
        "__metadata__ isn't an object of texts; a tensor can't be called that",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_says_what_is_wrong(case: str, tmp_path: Path) -> None:
    content, text = BROKEN[case]
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    text = text.replace("FILE", f"{path} {path}")
    for use in (zoo.load, zoo.read_manifest, lambda p: zoo.create("simple", weights=p), zoo.verify):
        with pytest.raises(zoo.CheckpointError) as raised:
            use(path)
        assert str(raised.value) == f"'{path}': {text}"


def test_a_huge_header_is_refused_before_it_is_read(tmp_path: Path, look: float) -> None:
    path = tmp_path / "a.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 92 * 10**6))
        file.write(b"{" + b" " * (92 * 10**6 - 2) + b"}")
    with pytest.raises(zoo.CheckpointError, match="92,000,000 bytes is announced; at most 8,388,608"):
        zoo.read_manifest(path)
    times = []
    for _ in range(5):
        start = time.process_time()
        with pytest.raises(zoo.CheckpointError):
            zoo.load(path)
        times.append(time.process_time() - start)
    assert min(times) < path.stat().st_size * look / 10


# -- a sound file with a manifest that isn't --------------------------------------------------------------------------


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    path = tmp_path / "sound.safetensors"
    zoo.save(zoo.create("simple+dropout(0.2)"), path)
    return path


def rewritten(
    path: Path, change: Callable[[dict[str, Any]], Any], tensors: dict[str, torch.Tensor] | None = None
) -> Path:
    """The file with another manifest, or other tensors, written by the library itself."""
    data = json.loads(zoo.read_manifest(path).dump())
    made = change(data)
    text = made if isinstance(made, str) else json.dumps(data)
    new = path.with_name("hostile.safetensors")
    save_file(load_file(path) if tensors is None else tensors, new, {"zoo": text})
    return new


def put(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda data: data.update(values)


def arch(text: str, **values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda data: data.update(parts=[text, *data["parts"][1:]], **values)


def whole(text: str, **values: Any) -> Callable[[dict[str, Any]], None]:
    """An arch, in the spec and in the parts."""
    return lambda data: data.update(parts=[text], spec=text, owners=data["owners"][:1], **values)


def modifier(text: str, **owner: str) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        data.update(parts=[data["parts"][0], text], owners=[data["owners"][0], data["owners"][1] | owner])

    return change


def contradiction(said: str, built: str) -> str:
    return f"the manifest contradicts itself: the spec says '{said}', and the model is built of '{built}'"


# (change of the manifest, message behind the file's name)
MANIFESTS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no JSON": (lambda data: "spec: simple", "the manifest isn't JSON: Expecting value: line 1 column 1 (char 0)"),
    "a name twice": (lambda data: '{"spec": "simple", "spec": "mlp"}', "the manifest has the name 'spec' twice"),
    "a list": (lambda data: "[]", "the manifest is a list; expected an object"),
    "the future": (
        put(format=2, versions={"plugzoo": "9.0"}, more=1),
        "the manifest is of format 2, and this zoo knows those to 1; it was written by plugzoo 9.0: "
        "pip install --upgrade plugzoo",
    ),
    "no number": (put(format="1"), "the manifest's format is '1'; expected a number from 1 to 1"),
    "a field too many": (put(code="print(1)"), "the manifest has 'code'"),
    "a field missing": (lambda data: data.pop("owners") and None, "the manifest lacks 'owners'"),
    "a wrong type": (put(training="yes"), "the manifest's training: Input should be a valid boolean"),
    "no owner": (
        put(owners=[]),
        "the manifest doesn't say of each part of the spec how it's built and whose it is",
    ),
    "ESC in the spec": (
        put(spec="simple\x1b[2J+dropout"),
        "the manifest's spec: column 7: unexpected U+001B; expected '+' or '(' or ':' or the end\n"
        "  simple·[2J+dropout\n        ^",
    ),
    "an unknown modifier": (
        modifier("leaky(slope=0.1)", owner="zoo-acme", distribution="zoo-acme", version="1.2.0"),
        "the file needs the modifier 'leaky' of zoo-acme, which isn't installed; it was saved with zoo-acme 1.2.0: "
        "pip install zoo-acme==1.2.0",
    ),
    "a distribution for a shell": (
        modifier("leaky()", owner="a b", distribution="x; rm -rf /", version="$(id)"),
        "the file needs the modifier 'leaky' of a?b, which isn't installed; it was saved with x??rm?-rf?? ??id?: "
        "pip install x??rm?-rf??==??id?",
    ),
    "an unknown arch": (
        arch("resnet17_of_mine"),
        "the file needs the arch 'resnet17_of_mine' of zoo, which isn't installed; it was saved with plugzoo 0.1.0: "
        "pip install plugzoo==0.1.0",
    ),
    "someone else's arch": (
        lambda data: data["owners"][0].update(owner="zoo-acme", distribution="zoo-acme", version="1.0"),
        "the file needs the arch 'simple' of zoo-acme, which isn't installed; it was saved with zoo-acme 1.0: "
        "pip install zoo-acme==1.0",
    ),
    "an option that isn't one": (
        modifier("dropout(path=x)"),
        "dropout has no option 'path'; did you mean 'at'?; its options: "
        "dropout(p: float ≥ 0 ≤ 1 = 0.5, at: Where = 'head')\n"
        "  in part 1, 'zoo/dropout(path=x)', of 'simple+zoo/dropout(path=x)'",
    ),
    "a checkpoint to read": (
        arch('resnet18(checkpoint_path="/etc/passwd")'),
        "resnet18: 'checkpoint_path' can't stand in a spec; write zoo.create(spec, checkpoint_path=...)\n"
        "  in the arch of 'resnet18(checkpoint_path=/etc/passwd)+zoo/dropout(p=0.2, at=head)'",
    ),
    "hf-hub": (
        arch("hf-hub:someone/model"),
        "'hf-hub:someone/model' points outside of the file, which no file is followed to, and the file has no "
        "recipe to build it from; zoo.create(SPEC, weights=FILE) opens it in the open",
    ),
    "local-dir": (
        arch('local-dir:"/etc"'),
        "'local-dir:/etc' points outside of the file, which no file is followed to, and the file has no recipe "
        "to build it from; zoo.create(SPEC, weights=FILE) opens it in the open",
    ),
    "a prefix of nobody's": (
        arch('cfg:"/etc/passwd"', recipe="{}"),
        "no family that is installed rebuilds 'cfg:'; it was saved with plugzoo 0.1.0: pip install plugzoo==0.1.0",
    ),
    "a recipe that points elsewhere": (
        arch(
            "hf-hub:someone/model",
            recipe=json.dumps({"architecture": "hf-hub:someone/other", "options": {}, "cfg": {}}),
        ),
        "the recipe isn't one of timm's",
    ),
    "a recipe with weights": (
        arch(
            'local-dir:"/etc"',
            recipe=json.dumps({"architecture": "resnet18", "options": {"checkpoint_path": "/etc/passwd"}, "cfg": {}}),
        ),
        "the recipe isn't one of timm's",
    ),
    "a recipe with a file": (
        arch(
            'local-dir:"/etc"',
            recipe=json.dumps({"architecture": "resnet18", "options": {}, "cfg": {"file": "/etc/passwd"}}),
        ),
        "the recipe isn't one of timm's",
    ),
    "an option that crashes timm": (
        whole(
            'local-dir:"/etc"',
            recipe=json.dumps({"architecture": "resnet18", "options": {"act_layer": "os.system"}, "cfg": {}}),
        ),
        "local-dir:/etc: KeyError: ",
    ),
    "a configuration that crashes timm": (
        whole(
            'local-dir:"/etc"',
            recipe=json.dumps({"architecture": "resnet18", "options": {}, "cfg": {"input_size": [1]}}),
        ),
        "local-dir:/etc: AssertionError: ",
    ),
    "a dtype of nobody's": (put(dtype="evil"), f"the manifest's dtype: 'evil'; expected one of {FLOATS}"),
    "a dtype without gradients": (put(dtype="int8"), f"the manifest's dtype: 'int8'; expected one of {FLOATS}"),
    "a dtype for one weight": (
        put(dtypes={"layers1.0.weight": "int32"}),
        f"the manifest's dtype: 'int32'; expected one of {FLOATS}",
    ),
    "a complex dtype": (
        put(dtype="complex64"),
        "the manifest's dtype: complex64 for 'layers1.0.weight', which is float32[100, 100]",
    ),
    "two dimensions in channels_last": (
        put(channels_last=["layers1.0.weight"]),
        "the manifest's channels_last: 'layers1.0.weight' has 2 dimensions; expected 4 or 5",
    ),
    "channels_last of nothing": (put(channels_last=["x"]), "the manifest's channels_last: the model has no 'x'"),
    "modes of nothing": (put(modes={"a\x1b": True}), "the manifest's modes: the model has no 'a\\x1b'"),
    "frozen of nothing": (put(frozen=["layers1.0"]), "the manifest's frozen: the model has no 'layers1.0'"),
    "no optimizers": (
        put(state={"optimizers": 3}),
        "the manifest's state: the training state isn't one that the zoo wrote",
    ),
    "an optimizer without a class": (
        put(state={"optimizers": [{"class": 3}], "schedulers": []}),
        "the manifest's state: the training state isn't one that the zoo wrote",
    ),
    "another arch than the spec's": (arch("mlp"), contradiction("simple", "mlp")),
    "another family's arch": (
        lambda data: data.update(
            spec="resnet18", parts=["torchvision/resnet18(num_classes=1000)"], owners=data["owners"][:1]
        ),
        contradiction("resnet18", "torchvision/resnet18(num_classes=1000)"),
    ),
    "another modifier than the spec's": (modifier("act(name=silu)"), contradiction("dropout(p=0.2)", "act(name=silu)")),
    "another option than the spec's": (
        modifier("dropout(p=0.9, at=head)"),
        contradiction("dropout(p=0.2)", "dropout(p=0.9, at=head)"),
    ),
    "an option that the spec alone has": (modifier("dropout"), contradiction("dropout(p=0.2)", "dropout")),
    "a number for a word": (
        lambda data: data.update(
            spec="mlp(hidden=(8,), num_classes=1)",
            parts=["mlp(hidden=(8,), num_classes=2)"],
            owners=data["owners"][:1],
        ),
        contradiction("mlp(hidden=(8,), num_classes=1)", "mlp(hidden=(8,), num_classes=2)"),
    ),
    "names in another order": (
        lambda data: data.update(
            spec="simple+heads(a=1, b=2)+drop_heads(a, b)",
            parts=["simple", "heads(a=1, b=2)", "drop_heads(b, a)"],
            owners=[data["owners"][0]] * 3,
        ),
        contradiction("drop_heads(a, b)", "drop_heads(b, a)"),
    ),
    "an arch that is two parts": (
        lambda data: data.update(parts=["simple+dropout", *data["parts"][1:]]),
        "a part of the spec can't be read: 'simple+dropout' is more than an arch",
    ),
    "a part that is two": (
        modifier("act(silu)+dropout"),
        "a part of the spec can't be read: 'act(silu)+dropout' is more than a modifier",
    ),
    "a tie to nothing": (put(tied={"x": "y"}), "'x' can't be tied to 'y'"),
    "an unknown model": (
        arch("?Mine"),
        "the file needs the arch '?Mine' of zoo, which isn't installed; it was saved with plugzoo 0.1.0: "
        "pip install plugzoo==0.1.0",
    ),
    "more than there is memory for": (
        whole("mlp(in_features=9000000000000000, hidden=(9000000000000000,))"),
        "mlp(in_features=9000000000000000, hidden=(9000000000000000,)): RuntimeError: ",
    ),
}


@pytest.mark.parametrize("case", MANIFESTS)
def test_a_hostile_manifest_says_what_is_wrong(case: str, sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change, text = MANIFESTS[case]
    path = rewritten(sound, change)
    zoo.list_archs()  # reads the lists of names that the zoo keeps
    zoo.create("test_resnet", device="meta")  # what timm opens when it is imported is no fault of the file
    seen = watched(monkeypatch)
    with pytest.raises(zoo.CheckpointError) as raised:
        zoo.load(path)
    message = str(raised.value)
    assert (message[: len(text) + len(str(path)) + 4] if text.endswith(": ") else message) == f"'{path}': {text}"
    assert seen <= {str(path)}, "nothing but the file itself is opened"


def watched(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The files outside of Python's own installation that are opened from here on; the network is gone.

    Python looks for installed packages in each entry of its path, and opens those that are no folders: they may be
    archives, and an editable installation has an entry that is neither.
    """
    seen: set[str] = set()
    own = (sys.prefix, sys.base_prefix)
    plain = builtins.open

    def noted(file: Any, *args: Any, **kwargs: Any) -> Any:
        if not str(file).startswith(own) and str(file) not in sys.path:
            seen.add(str(file))
        return plain(file, *args, **kwargs)

    def refused(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a file reaches for the network")

    monkeypatch.setattr(builtins, "open", noted)
    monkeypatch.setattr(io, "open", noted)
    monkeypatch.setattr(socket.socket, "connect", refused)
    return seen


def test_a_file_without_a_manifest_says_how_to_use_it(tmp_path: Path) -> None:
    path = tmp_path / "plain.safetensors"
    model = zoo.create("simple")
    save_file(model.state_dict(), path)
    with pytest.raises(zoo.CheckpointError) as raised:
        zoo.load(path)
    assert str(raised.value) == (
        f"'{path}' has no manifest: it holds weights, but not whose; zoo.create(SPEC, weights='{path}') puts them into "
        "a variant"
    )
    taken = zoo.create("simple+act(silu)", weights=path)
    assert torch.equal(taken.layers1[0].weight, model.layers1[0].weight)


def test_tensors_that_disagree_with_the_spec(sound: Path) -> None:
    tensors = load_file(sound)
    del tensors["layers1.0.bias"]
    tensors["layers1.0.weight"] = torch.zeros(3, 100)
    tensors["layers2.0.weight"] = tensors["layers2.0.weight"].to(torch.int32)
    tensors["layers3.0.running_mean"] = torch.zeros(71)
    tensors["layers3.0.num_batches_tracked"] = torch.zeros((), dtype=torch.float32)
    tensors["extra"] = torch.zeros(1)
    path = rewritten(sound, put(), tensors)
    with pytest.raises(zoo.CheckpointError) as raised:
        zoo.load(path)
    assert str(raised.value) == (
        f"'{path}': the weights aren't those of 'simple+dropout(p=0.2)', 6 differences:\n"
        "  layers1.0.weight: float32[100, 100] by the spec, float32[3, 100] in the file\n"
        "  layers1.0.bias: float32[100] by the spec, nothing in the file\n"
        "  layers2.0.weight: float32[70, 100] by the spec, int32[70, 100] in the file\n"
        "  layers3.0.running_mean: float32[70] by the spec, float32[71] in the file\n"
        "  layers3.0.num_batches_tracked: int64[] by the spec, float32[] in the file\n"
        "  … and 1 more"
    )
    assert len(zoo.verify(path)) == 6


def test_other_versions_are_named_when_something_fails(sound: Path) -> None:
    tensors = load_file(sound) | {"extra": torch.zeros(1)}
    path = rewritten(sound, put(versions={"plugzoo": "0.1.0", "torch": "1.0", "timm": "99.1"}), tensors)
    with pytest.raises(zoo.CheckpointError) as raised:
        zoo.load(path)
    timm, torchs = (__import__(name).__version__ for name in ("timm", "torch"))
    assert str(raised.value).endswith(
        f"\n  extra: nothing by the spec, float32[1] in the file"
        f"\n  saved with timm 99.1, and {timm} is installed: pip install timm==99.1"
        f"\n  saved with torch 1.0, and {torchs.partition('+')[0]} is installed: pip install torch==1.0"
    )


def test_what_a_manifest_says_is_shown_escaped(sound: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = "\x1b[31m<script>alert(1)</script>"

    def change(data: dict[str, Any]) -> None:
        data["versions"] = {"torch": bad, bad: "1"}
        data["changes"][0].update(before=bad, after=bad, path=bad)

    path = rewritten(sound, change)
    assert "\x1b" not in str(zoo.read_manifest(path))
    with pytest.raises(SystemExit):
        main(["show", str(path)])
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\\x1b[31m<script>" in shown
    assert "<script>" not in zoo.diff(path, "simple")._repr_html_()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "no.safetensors", "No such file or directory"), (tmp_path, "")):
        with pytest.raises(zoo.FetchError) as raised:
            zoo.load(path)
        name = path / "model.safetensors" if path == tmp_path else path
        assert str(raised.value) == f"can't read '{name}': {reason or 'No such file or directory'}"
