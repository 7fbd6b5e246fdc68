"""Parts by slot and kind. A part registers itself; nothing else keeps a list of them."""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.machinery
import importlib.util
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from rag_opt.errors import BadInput, Problem, UnknownPart, among

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
_NOT_PART_OF_A_RESULT = {"rag_opt.records", "rag_opt.errors", "rag_opt.registry", "rag_opt.config"}


@functools.cache
def source_digest(module: str) -> str:
    """Hash of a module's source and, transitively, of what it imports from its own package and from this one.

    Part of every stage key: a changed chunker never meets chunks that the old one made.
    """
    from rag_opt.store.keys import digest

    tops, seen, todo = {module.partition(".")[0], "rag_opt"}, dict[str, str](), [module]
    while todo:
        name = todo.pop()
        if name in seen or name in _NOT_PART_OF_A_RESULT:
            continue
        spec = _module_spec(name)
        if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
            continue
        text = Path(spec.origin).read_text(encoding="utf-8")
        seen[name] = digest(text)
        package = name if spec.submodule_search_locations is not None else name.rpartition(".")[0]
        todo += [other for other in _imported(text, package) if other.partition(".")[0] in tops]
    return digest(sorted(seen.items()))


def _imported(text: str, package: str) -> list[str]:
    """Every module that a source may import: `import a.b`, `from a import b` (a, and a.b), `from . import c`."""
    names: list[str] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            names += [origin, *(f"{origin}.{alias.name}" for alias in node.names)]
    return names


def _module_spec(name: str) -> importlib.machinery.ModuleSpec | None:
    try:
        return importlib.util.find_spec(name)
    except ModuleNotFoundError:  # a name inside a module, not a module
        return None
