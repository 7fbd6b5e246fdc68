"""Hash of the source that computes a result: a part of every stage's key.

A module is followed into those that it computes with, and into no others: what only types need (annotations, imports
under `TYPE_CHECKING`), what packages drag in by their `__init__`, and the ground that computes nothing is left out.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from rag_opt.core.digests import digest

# The ground holds records and rules, but computes nothing that a stage stores.
_GROUND = {f"rag_opt.core.{name}" for name in ("arrays", "digests", "documents", "errors", "questions", "registry")}
_GROUND |= {
    "rag_opt.core.forking",
    "rag_opt.evaluation.interfaces",
    "rag_opt.parts.defaults",
    "rag_opt.parts.interfaces",
    "rag_opt.parts.open_indexes",
    "rag_opt.core.strict",
    "rag_opt.core.source_digest",
    "rag_opt.store.values",
}
_ANNOTATIONS = ("annotation", "returns")


@functools.cache
def source_digest(module: str) -> str:
    """Return a hash of the source of a module and of the modules that it computes with.

    A changed chunker never meets chunks that the old one made. Raises ModuleNotFoundError for an unknown name.
    """
    return digest([[name, digest(_source(name))] for name in computing_modules(module)])


@functools.cache
def computing_modules(module: str) -> tuple[str, ...]:
    """Return the names of a module and of those of its own package and of this one that it computes with, sorted.

    Raises ModuleNotFoundError for a name that is no module with Python source.
    """
    tops = frozenset({module.partition(".")[0], "rag_opt"})
    found, waiting = set[str](), [module]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        waiting += _computes_with(name, tops)
    return tuple(sorted(found))


def _source(module: str) -> str:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise ModuleNotFoundError(f"a key names the module {module!r}, which has no source", name=module)
    return Path(spec.origin).read_text(encoding="utf-8")


@functools.cache  # most kinds share most of their modules
def _computes_with(module: str, tops: frozenset[str]) -> tuple[str, ...]:
    """Return every module of the packages `tops` of which a name is used outside annotations, less the ground."""
    return tuple(other for other in _imports(module, tops) if other not in _GROUND)


def _imports(module: str, tops: frozenset[str]) -> Iterator[str]:
    tree = ast.parse(_source(module))
    spec = importlib.util.find_spec(module)
    is_package = spec is not None and spec.submodule_search_locations is not None
    package = module if is_package else module.rpartition(".")[0]
    used = _names_used(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if (alias.asname or alias.name.partition(".")[0]) in used]
            yield from (name for name in names if name.partition(".")[0] in tops)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names if origin.partition(".")[0] in tops else ():
                if (alias.asname or alias.name) in used:
                    yield f"{origin}.{alias.name}" if _is_module(f"{origin}.{alias.name}") else origin


def _names_used(tree: ast.AST) -> set[str]:
    """Return the names that are read anywhere but in annotations."""
    names, waiting = set[str](), [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            names.add(node.id)
        for field, value in ast.iter_fields(node):
            if field not in _ANNOTATIONS:
                inside = value if isinstance(value, list) else [value]
                waiting += [one for one in inside if isinstance(one, ast.AST)]
    return names


@functools.cache
def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # a name inside a module
        return False
