"""Parts by slot and kind. A part registers itself; nothing else keeps a list of them."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from rag_opt.core.errors import BadInput, Problem, UnknownPart, among

Part = TypeVar("Part")
_parts: dict[tuple[str, str], type] = {}


def register(slot: str, kind: str) -> Callable[[type[Part]], type[Part]]:
    """Class decorator: make this part known as `kind` of `slot`. A name cannot be taken twice."""

    def enter(cls: type[Part]) -> type[Part]:
        taken = _parts.get((slot, kind))
        if taken is not None and (taken.__module__, taken.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ValueError(f"{slot} {kind!r} is registered twice: {taken.__module__} and {cls.__module__}")
        _parts[slot, kind] = cls
        cls.slot, cls.kind = slot, kind  # type: ignore[attr-defined]  # every part can say what it is
        return cls

    return enter


def kinds(slot: str) -> Mapping[str, type]:
    """All parts of a slot by kind, in alphabetical order."""
    return {kind: part for (its_slot, kind), part in sorted(_parts.items()) if its_slot == slot}


def lookup(slot: str, kind: str, *, where: str = "") -> type[Any]:
    """The part class. Raises UnknownPart with the nearest name and all that there are."""
    try:
        return _parts[slot, kind]
    except KeyError:
        known = kinds(slot)
        what = f"no {slot} is called {kind!r}{among(kind, known)}"
        raise UnknownPart([Problem(where or slot, what)]) from None


def import_tree(package: str) -> None:
    """Import a package and every module in it, so that its parts register. Raises BadInput if it is missing."""
    try:
        module = importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package.partition(".")[0]:
            raise
        raise BadInput([Problem("plugins", f"there is no importable package {package!r}")]) from None
    for found in pkgutil.walk_packages(getattr(module, "__path__", []), prefix=f"{package}."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)


def load_parts(plugins: Iterable[str] = ()) -> None:
    """Make the built-in parts and those of the named packages known."""
    import_tree("rag_opt.parts")
    for package in plugins:
        import_tree(package)


# The ground holds records and rules but computes nothing that a stage stores.
