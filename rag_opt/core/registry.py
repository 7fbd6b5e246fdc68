"""Parts by slot and kind. A part registers itself; nothing else keeps a list of them.

A slot is declared with the Protocols that its parts may follow, and a class is checked against them when it registers:
a part that lacks something is refused at import time, by name.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.machinery
import inspect
import pkgutil
import sys
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any, ClassVar, TypeVar

from annotated_doc import Doc

from rag_opt.core.errors import BadInput, Problem, UnknownPart, UnknownSlot, suggest_names

Part = TypeVar("Part")


@dataclasses.dataclass(frozen=True)
class Slot:
    """One place of a pipeline, or of what is around it, with the Protocols that its parts may follow."""

    name: str
    description: str
    protocols: tuple[type, ...]


_slots: dict[str, Slot] = {}
_parts: dict[tuple[str, str], type] = {}


def declare_slot(name: str, description: str, *protocols: type) -> None:
    """Make a slot known. Each of its parts must follow at least one of the Protocols."""
    _slots[name] = Slot(name, description, protocols)


def slots() -> Mapping[str, Slot]:
    """Return every declared slot by its name, in the order of declaration."""
    return dict(_slots)


def register(slot: str, kind: str) -> Callable[[type[Part]], type[Part]]:
    """Return a class decorator that makes a part known as `kind` of `slot`.

    Raises UnknownSlot for a slot that nobody declared, BadInput for a class that does not follow the slot's Protocol,
    and for a name that is taken.
    """
    if slot not in _slots:
        where = f"register({slot!r}, {kind!r})"
        raise UnknownSlot([Problem(where, f"there is no slot {slot!r}{suggest_names(slot, _slots)}")])

    def enter(cls: type[Part]) -> type[Part]:
        where = f"{slot} {kind!r} ({cls.__module__}.{cls.__qualname__})"
        taken = _parts.get((slot, kind))
        if taken is not None and (taken.__module__, taken.__qualname__) != (cls.__module__, cls.__qualname__):
            raise BadInput([Problem(where, f"the name is taken by {taken.__module__}.{taken.__qualname__}")])
        problems = [Problem(where, what) for what in find_deviations(cls, _slots[slot])]
        if problems:
            raise BadInput(problems)
        _parts[slot, kind] = cls
        cls.slot, cls.kind = slot, kind  # type: ignore[attr-defined]  # every part can say what it is
        return cls

    return enter


def find_deviations(cls: type, slot: Slot) -> list[str]:
    """Return what keeps a class from being a part of a slot, in words; by the Protocol that it is nearest to."""
    general = [*_undescribed(cls)]
    if not dataclasses.is_dataclass(cls):
        return ["should be a frozen dataclass whose fields are its settings", *general]
    by_protocol = [list(_lacks(cls, protocol)) for protocol in slot.protocols]
    return [*min(by_protocol, key=len, default=[]), *general]


def _undescribed(cls: type) -> Iterator[str]:
    """Yield the descriptions that are missing: of the class, and of each of its settings."""
    text = cls.__doc__ or ""
    if not text.strip() or text.startswith(f"{cls.__name__}("):  # the latter is what dataclasses write by themselves
        yield "needs a docstring that says what it does"
    if dataclasses.is_dataclass(cls):
        hints = typing.get_type_hints(cls, include_extras=True)
        for field in dataclasses.fields(cls):
            if not description(hints[field.name]):
                yield f'the setting {field.name!r} needs a description: {field.name}: Annotated[…, Doc("…")]'


def description(hint: object) -> str:
    """Return the text of the `Doc` in an annotation; empty where there is none."""
    found = [one.documentation for one in getattr(hint, "__metadata__", ()) if isinstance(one, Doc)]
    return found[0] if found else ""


def _lacks(cls: type, protocol: type) -> Iterator[str]:
    """Yield what a class lacks of a Protocol."""
    for name, wanted in _members(protocol):
        known = hasattr(cls, name) or name in {field.name for field in dataclasses.fields(cls)}
        if inspect.isfunction(wanted):
            signature = f"{name}{_without_self(wanted)}"
            if not callable(getattr(cls, name, None)):
                yield f"lacks the method {signature} of {protocol.__name__}"
            else:
                missing = _unaccepted(getattr(cls, name), wanted)
                if missing:
                    yield f"its method {name} does not take {', '.join(missing)}; should be {signature}"
        elif not known:
            kind = "class variable" if wanted is ClassVar else "setting or property"
            yield f"lacks the {kind} {name} of {protocol.__name__}"


def _members(protocol: type) -> Iterator[tuple[str, object]]:
    """Yield name and definition of everything that a Protocol asks for, `slot` and `kind` (set here) left out."""
    seen = {"slot", "kind"}
    for base in protocol.__mro__:
        if not getattr(base, "_is_protocol", False):
            continue
        for name, value in vars(base).items():
            if (
                not name.startswith("_")
                and name not in seen
                and (inspect.isfunction(value) or isinstance(value, property))
            ):
                seen.add(name)
                yield name, value
        for name, hint in vars(base).get("__annotations__", {}).items():
            if not name.startswith("_") and name not in seen:
                seen.add(name)
                yield name, ClassVar if str(hint).startswith("ClassVar") else None


def _without_self(function: Callable[..., object]) -> inspect.Signature:
    signature = inspect.signature(function)
    plain = [one.replace(annotation=one.empty) for one in list(signature.parameters.values())[1:]]
    return inspect.Signature(plain)


def _unaccepted(function: Callable[..., object], wanted: Callable[..., object]) -> list[str]:
    """Return the parameters of `wanted` that `function` does not take, and those that it wants beyond them."""
    taken, asked = inspect.signature(function).parameters, inspect.signature(wanted).parameters
    if any(one.kind is one.VAR_KEYWORD for one in taken.values()):
        return []
    missing = [name for name in asked if name not in taken and name != "self"]
    beyond = [n for n, p in taken.items() if n not in asked and n != "self" and p.default is p.empty]
    return [*missing, *(f"(without {name})" for name in beyond)]


def kinds(slot: str) -> Mapping[str, type]:
    """Return all parts of a slot by kind, in alphabetical order."""
    return {kind: part for (its_slot, kind), part in sorted(_parts.items()) if its_slot == slot}


def lookup(slot: str, kind: str, *, where: str = "") -> type[Any]:
    """Return the class of a part. Raises UnknownPart with the nearest name and all that there are."""
    try:
        return _parts[slot, kind]
    except KeyError:
        problem = Problem(where or slot, f"no {slot} is called {kind!r}{suggest_names(kind, kinds(slot))}")
        raise UnknownPart([problem]) from None


_OURS = "rag_opt.parts"


def import_tree(package: str) -> None:
    """Import a package and every module in it, so that its parts register.

    Raises BadInput, naming the place, where it is missing, or raises or leaves while it is imported.
    """
    if not all(step.isidentifier() for step in package.split(".")):
        what = f"{package!r} is not the name of a package (letters, digits and _, with dots between)"
        raise BadInput([Problem("plugins", what)])
    module = _import(package, package)
    folders = module.__spec__.submodule_search_locations if module.__spec__ else None  # None for a single file
    for found in pkgutil.walk_packages(folders, prefix=f"{package}.") if folders is not None else ():
        if not found.name.endswith("__main__"):
            _import(found.name, package)


def _import(name: str, package: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except BadInput:  # a part that does not fit its slot says what is missing
        raise
    except (Exception, SystemExit) as error:
        if package == _OURS:
            raise
        if isinstance(error, ModuleNotFoundError) and error.name == package.partition(".")[0]:
            looked = ", ".join(dict.fromkeys(place or "." for place in sys.path))
            what = f"there is no importable package {package!r}; it was looked for in {looked}"
        else:
            place = getattr(importlib.machinery.PathFinder.find_spec(package.partition(".")[0]), "origin", None)
            kind = "leaves the program" if isinstance(error, SystemExit) else f"{type(error).__name__}: {error}"
            what = f"{name!r} cannot be imported ({kind}); it was found in {place or 'a namespace package'}"
        raise BadInput([Problem("plugins", what)]) from error


def load_parts(plugins: Iterable[str] = ()) -> None:
    """Make the built-in parts and those of the named packages known. Raises BadInput for a package that is missing."""
    import_tree(_OURS)
    for package in plugins:
        import_tree(package)
