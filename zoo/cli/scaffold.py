"""`zoo new-plugin`: a package that installs, loads and passes its tests, for an author to start from."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import keyword
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from string import Template

from ..messages.errors import OptionError, UnknownNameError
from ..plan.lookup import find_base, find_modifier
from ..registry.plugins import OWN, RESERVED_OWNERS, normalise
from ..registry.registry import Registry, default_registry
from ..spec.values import Call

TEMPLATES = Path(__file__).parent / "templates"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_.][A-Za-z0-9]+)*")


def new_plugin(
    name: str, into: Path, *, arch: bool = False, modifier: bool = False, registry: Registry | None = None
) -> Path:
    """Write a plugin package into the folder `into/NAME`, whole or not at all. Returns that folder.

    name: the distribution's, `zoo-acme`; the arch or the modifier in it is then called `acme`. Without `arch` and
    `modifier` it holds a modifier. Raises OptionError for a name that can't be used, and for a folder that is there.
    """
    modifier = modifier or not arch
    names = _make_names(name)
    _check_free(names, arch, modifier, registry or default_registry())
    target = into / names["distribution"]
    if not into.is_dir():
        raise OptionError(f"'{into}' is no folder; make it first, or name another one with --into")
    if target.exists() or target.is_symlink():
        raise OptionError(f"'{target}' is there already; remove it, or take another name")
    staged = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=into))
    try:
        for path, text in _fill_templates(names, arch, modifier).items():
            (staged / path).parent.mkdir(parents=True, exist_ok=True)
            (staged / path).write_text(text, encoding="utf-8")
        staged.chmod(0o755)  # mkdtemp's folders are for their owner alone
        staged.rename(target)
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    return target


def _make_names(name: str) -> dict[str, str]:
    """The names that a plugin goes by, from that of its distribution."""
    if not _NAME.fullmatch(name):
        raise OptionError(
            f"'{name}' can't name a plugin: it takes ASCII letters and digits, with single hyphens between them, "
            "starting with a letter, such as 'zoo-acme'"
        )
    distribution = normalise(name)
    if distribution in (OWN, *RESERVED_OWNERS):
        raise OptionError(f"'{distribution}' is a name of the zoo's own; take another, such as 'zoo-acme'")
    short = distribution.removeprefix("zoo-").replace("-", "_")
    if not short.isidentifier() or keyword.iskeyword(short) or short in RESERVED_OWNERS:
        raise OptionError(f"'{distribution}' would hold something called '{short}', which can't be a name in Python")
    return {"distribution": distribution, "module": distribution.replace("-", "_"), "short": short}


def _check_free(names: Mapping[str, str], arch: bool, modifier: bool, registry: Registry) -> None:
    """Raise OptionError for names that someone has."""
    short, module, distribution = names["short"], names["module"], names["distribution"]
    for kind, wanted in (("arch", arch), ("modifier", modifier)):
        try:
            found = find_base(Call(short), registry) if kind == "arch" else find_modifier(short, registry)
        except UnknownNameError:
            continue
        if wanted:
            raise OptionError(f"there is '{short}' already, from {found.owner}; take another name for a new {kind}")
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        if importlib.util.find_spec(module) is not None:
            raise OptionError(f"there is a module '{module}' already; take another name") from None
    else:
        raise OptionError(f"'{distribution}' is installed already; take another name, or uninstall it")


def _fill_templates(names: Mapping[str, str], arch: bool, modifier: bool) -> dict[str, str]:
    """Every file of the package: path to text."""
    kinds = [kind for kind, wanted in (("arch", arch), ("modifier", modifier)) if wanted]
    short, module = names["short"], names["module"]
    values = {
        **names,
        "version": importlib.metadata.version(OWN),
        "summary": " and ".join(f"the {kind} {short}" for kind in kinds),
        "example": "+".join([short if arch else "simple"] + [short] * modifier),
        "imports": "import torch\nimport zoo\nimport zoo.testing" + "\nfrom torch import nn" * modifier,
    }

    def fill(*templates: str) -> str:
        texts = [(TEMPLATES / f"{one}.tmpl").read_text(encoding="utf-8") for one in templates]
        return Template("".join(texts)).substitute(values)

    return {
        "pyproject.toml": fill("pyproject.toml"),
        f"{module}.py": fill("module.py", *(f"{kind}.py" for kind in kinds)),
        f"tests/test_{short}.py": fill("test.py", *(f"test_{kind}.py" for kind in kinds)),
        "README.md": fill("README.md"),
        ".gitignore": fill("gitignore"),
        ".github/workflows/test.yml": fill("ci.yml"),
    }
