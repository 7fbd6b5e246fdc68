"""Addresses of collections: `kind=address#name`, as `qdrant=http://127.0.0.1:6333#handbook`."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from rag_opt.core.errors import BadInput, Problem, RagOptError, ServerFailed, suggest_names
from rag_opt.production.vector_stores.interfaces import VectorStore

_HERE = "rag_opt.production.vector_stores"
# kind -> its file, the package that it needs, and an address as an example
_KINDS = {
    "chroma": ("chroma_collections", "chromadb", "http://127.0.0.1:8000"),
    "qdrant": ("qdrant_collections", "qdrant-client", "http://127.0.0.1:6333"),
    "pgvector": ("pgvector_tables", "psycopg[binary]", "postgresql://user@127.0.0.1/database"),
    "milvus": ("milvus_collections", "pymilvus", "http://127.0.0.1:19530"),
    "lancedb": ("lancedb_tables", "lancedb", "folder/of/tables"),
}
_NAME = re.compile(r"[a-z][a-z0-9_]{2,39}")


@dataclass(frozen=True)
class CollectionAddress:
    """Where a collection is. `name`: the alias that stands for it; empty: the bundle's own name for it."""

    kind: str
    address: str
    name: str = ""

    def __str__(self) -> str:
        """Return it without the password that the address may have."""
        parts = urlsplit(self.address)
        shown = self.address.replace(f":{parts.password}@", ":…@") if parts.password else self.address
        return f"{self.kind}={shown}" + (f"#{self.name}" if self.name else "")


def read_address(given: str, *, where: str) -> CollectionAddress:
    """Return the address of a collection. Raises BadInput for one that is none."""
    kind, equals, rest = given.partition("=")
    if not equals or kind not in _KINDS or not rest.partition("#")[0]:
        examples = ", ".join(f"{name}={example}" for name, (_, _, example) in _KINDS.items())
        near = "" if kind in _KINDS else suggest_names(kind, _KINDS)
        what = f"is no address of a collection{near}" if near else "is no address of a collection."
        raise BadInput(
            [Problem(where, f"{kind!r} {what} Each has one of these forms, and may end in #name: {examples}")]
        )
    address, _, name = rest.partition("#")
    if name and not _NAME.fullmatch(name):
        what = f"{name!r} cannot name a collection: 3 to 40 of a-z, 0-9 and _, a letter first"
        raise BadInput([Problem(where, what)])
    return CollectionAddress(kind, address, name)


def name_of(study: str) -> str:
    """Return the name for a study's collections: its own, of the characters that every store takes."""
    plain = re.sub(r"[^a-z0-9]+", "_", study.lower()).strip("_")
    name = plain if plain[:1].isalpha() else f"study_{plain}"
    return name[:40].rstrip("_") if plain and len(name) > 2 else "rag_opt"


def open_store(address: CollectionAddress) -> VectorStore:
    """Return the store at an address. Raises BadInput without its package, ServerFailed where it does not answer."""
    file, package, _ = _KINDS[address.kind]
    try:
        module = importlib.import_module(f"{_HERE}.{file}")
        with blaming(address):
            store: VectorStore = module.open_store(address.address)
            return store
    except ModuleNotFoundError as error:
        what = f"needs {error.name}, which is not installed: pip install '{package}'"
        raise BadInput([Problem(str(address), what)]) from None


@contextmanager
def blaming(address: CollectionAddress) -> Iterator[None]:
    """Turn whatever a store's library raises into ServerFailed that names the store."""
    try:
        yield
    except (RagOptError, ModuleNotFoundError):
        raise
    except Exception as error:  # each library has exceptions of its own
        said = " ".join(str(error).split())[:300]
        raise ServerFailed(f"{address}: {type(error).__name__}: {said}") from error
