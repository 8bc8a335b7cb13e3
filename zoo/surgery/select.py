"""Finding places in a model: what `at=` means. The one place that decides what a selector matches."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from types import UnionType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from ..messages.errors import NoEffectError, OptionError, fill_fields
from .provenance import is_numbered, sites_of
from .slots import Slot
from .walk import below, join, parameters_of, parent_path, places
from .wrappers import inner_name

if TYPE_CHECKING:
    from torch import nn

M = TypeVar("M", bound="nn.Module")
Kind = type | tuple[type, ...] | Callable[[Any], bool]


@overload
def select(
    model: nn.Module, where: str | Sequence[str], kind: type[M], *, outermost: bool = False, inserted: bool = True
) -> dict[str, M]: ...
@overload
def select(
    model: nn.Module,
    where: str | Sequence[str] = "*",
    kind: Kind | None = None,
    *,
    outermost: bool = False,
    inserted: bool = True,
) -> dict[str, nn.Module]: ...
def select(
    model: nn.Module,
    where: str | Sequence[str] = "*",
    kind: Kind | None = None,
    *,
    outermost: bool = False,
    inserted: bool = True,
) -> Any:
    """The places that a selector names, each module once, in the model's own order.

    Args:
        model: a live model; to select in what a wrapper holds, give that.
        where: a site that the arch names (`head`), a glob over whole paths where `*` crosses dots (`layer4*.act2`), or
            a class name (`Linear`, subclasses count), in this order; or a list of these. `!` in front excludes, and
            what lies inside an excluded place too.
        kind: classes, or a test of a module. A container then means its contents of this kind.
        outermost: leave out what is inside another place that is selected: to edit one is to edit all that is in it.
        inserted: whether to look at what modifiers inserted before or after a place as well.

    Returns:
        Path to module. A module that stands in several places is there once, under its first path.

    Raises:
        NoEffectError: a term matches nothing, or the exclusions leave nothing.
        OptionError: this is no selector, no kind or no model.

    Example:
        >>> import zoo
        >>> list(zoo.select(zoo.create("simple"), ["layers1*", "head"], outermost=True))
        ['layers1', 'layers3']
    """
    from torch import nn

    if not isinstance(model, nn.Module):
        raise OptionError(f"select takes a live model, not {model!r}; zoo.create makes one from a spec")
    terms = _check_terms(where)
    if not terms:
        raise OptionError("at=[] names no place; write one, as in at=head, or leave it out")
    everything = {path: module for path, module in places(model) if inserted or not is_inserted(path)}
    included, hidden = _match_terms(model, everything, terms, _test_of(kind))
    found: dict[str, nn.Module] = {}
    seen = {id(everything[path]) for path in hidden}  # under none of its names: an edit changes a module in all places
    for path, module in everything.items():  # in the model's own order, whatever the order of the terms
        if path in included and id(module) not in seen:
            seen.add(id(module))
            found[path] = module
    if included and not found:
        shown = f"[{', '.join(terms)}]" if len(terms) > 1 else terms[0]
        raise NoEffectError(f"the exclusions leave nothing of at={shown}; exclude less", option="at")
    return _keep_outermost(found) if outermost else found


def is_inserted(path: str) -> bool:
    """Whether what stands at a path was inserted before or after a place: such names begin with `zoo_`."""
    return path.startswith("zoo_") or ".zoo_" in path


def _keep_outermost(found: dict[str, nn.Module]) -> dict[str, nn.Module]:
    """Those that aren't inside another; the model's order has what is inside a place right behind it."""
    tops: dict[str, nn.Module] = {}
    last: str | None = None
    for path, module in found.items():
        if last is None or not below(path, last):
            tops[path], last = module, path
    return tops


def _match_terms(
    model: nn.Module, everything: Mapping[str, nn.Module], terms: Sequence[str], wanted: Callable[[Any], bool] | None
) -> tuple[Collection[str], set[str]]:
    """The paths that the terms name, and those that they exclude with all that is inside."""
    included: dict[str, None] = {}
    excluded: set[str] = set()
    for term in terms:
        with fill_fields(name=term.removeprefix("!"), option="at"):
            paths = _find(model, everything, term.removeprefix("!"))
        if term.startswith("!"):
            excluded.update(paths)
            continue
        if wanted is not None:
            inside = [path for path in _list_within(everything, paths) if wanted(everything[path])]
            if paths and not inside and any(map(wanted, everything.values())):
                met = everything[paths[0]]
                what = f"'{paths[0]}' ({type(met).__name__}), which holds nothing to change"
                raise NoEffectError(f"at={term} matches {what}", name=term, option="at")
            paths = inside
        included.update(dict.fromkeys(paths))
    if all(term.startswith("!") for term in terms):
        included = {path: None for path, module in everything.items() if wanted is None or wanted(module)}
    return included, set(_list_within(everything, excluded))


def _check_terms(where: Any) -> list[str]:
    """The terms of a selector, checked; a class is what people try first."""
    terms: list[Any] = [where] if isinstance(where, (str, type)) or not isinstance(where, Iterable) else list(where)
    for term in terms:
        if not isinstance(term, str):
            said = f"'{term.__name__}'" if isinstance(term, type) else "'head', 'layer4*' or 'Linear'"
            raise OptionError(f"a selector is a text or a list of texts, not {term!r}; write {said}")
    return terms


def _test_of(kind: Any) -> Callable[[Any], bool] | None:
    """What `kind` asks of a module."""
    from torch import nn

    kinds = kind if isinstance(kind, tuple) else (kind,)
    if all(isinstance(one, (type, UnionType)) for one in kinds):
        return lambda module: isinstance(module, kinds)
    if kind is None or (callable(kind) and not isinstance(kind, nn.Module)):
        return kind
    raise OptionError(
        f"kind is a class, several as a tuple, or a test of a module, such as nn.Conv2d, not {kind!r}; "
        "the name of a class goes in front, as in zoo.select(model, 'Conv2d')"
    )


def _find(model: nn.Module, everything: Mapping[str, nn.Module], term: str) -> list[str]:
    """The paths that one term names: site before path before class."""
    sites, inside = sites_of(model), inner_name(model)
    if term in sites:
        if found := [path for path in sites[term] if path in everything]:
            return found
        if inside:
            raise _error_in_wrapper(model, term, inside)
        met = ", ".join(map(repr, sites[term]))
        why = (
            "a number that its forward reads, and no module"
            if any(Slot.parse(said).attribute for said in sites[term])
            else "which isn't there any more"
        )
        raise NoEffectError(f"at={term} is {met} in this {type(model).__name__}, {why}")
    if paths := [path for path in everything if fnmatchcase(path, term)]:
        return paths
    if paths := [p for p, m in everything.items() if any(c.__name__ == term for c in type(m).__mro__[:-2])]:
        return paths
    if inside:
        raise _error_in_wrapper(model, term, inside)
    if parts := [site for site in sites if site.startswith(f"{parent_path(term)}.") and is_numbered(site, sites)]:
        raise NoEffectError(f"at={term}: this {type(model).__name__} has {parts[0]} to {parts[-1]}")
    named = ", ".join(site for site in sites if not is_numbered(site, sites)) or "none"
    some = ", ".join(repr(path) for path in list(everything)[1:7])
    meant = _hint_at_parameter(everything, term)
    kind = type(model).__name__
    raise NoEffectError(f"at={term} matches nothing in this {kind}; sites: {named}; paths: {some} …{meant}")


def _hint_at_parameter(everything: Mapping[str, nn.Module], term: str) -> str:
    """What to say where a term names a parameter, which is no place; nothing where it names none."""
    names = (join(path, name) for path, module in everything.items() for name in parameters_of(module))
    name = next((name for name in names if fnmatchcase(name, term)), None)
    if name is None:
        return ""
    holder = parent_path(name)
    say = f", such as '{holder}', which holds it" if holder else ""
    return f"; '{name}' is a parameter, and at= takes modules{say}"


def _error_in_wrapper(model: nn.Module, term: str, inside: str) -> NoEffectError:
    kind = type(model).__name__
    return NoEffectError(
        f"at={term}: this {kind} is a wrapper, and places are named in what it holds; select in model.{inside}"
    )


def _list_within(everything: Mapping[str, nn.Module], roots: Sequence[str] | set[str]) -> list[str]:
    """The paths at or below any of these."""
    if "" in roots:
        return list(everything)
    tops, starts = set(roots), tuple(f"{root}." for root in roots)
    return [path for path in everything if path in tops or path.startswith(starts)] if tops else []
