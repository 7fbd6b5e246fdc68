"""Addresses of collections: `kind=address#name`, as `qdrant=http://127.0.0.1:6333#handbook`."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from rag_opt.core.errors import BadInput, Problem, RagOptError, ServerFailed, suggest_names
from rag_opt.core.secrets import mask
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
        """Return it as it may be printed: without user, password and parameters."""
        scheme, mark, rest = self.address.partition("://")
        place = f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}" if mark else self.address
        return f"{self.kind}={place}" + (f"#{self.name}" if self.name else "")

    def without_secrets(self, text: str) -> str:
        """Return a text of the store's library without what the address holds beside its place."""
        parts, user = urlsplit(self.address), self.address.partition("://")[2].rpartition("@")[0]
        password = user.partition(":")[2]
        hidden = [user, password, unquote(password), parts.query]
        for secret in filter(None, [self.address, *hidden]):
            text = text.replace(secret, "…")
        return mask(text)


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
    address, _, name = rest.rpartition("#") if "#" in rest else (rest, "", "")
    if "#" in rest and not is_name(name):
        what = "what follows # cannot name a collection: 3 to 40 of a-z, 0-9 and single _, a letter first"
        raise BadInput([Problem(where, what)])
    _refuse_address(kind, address, where)
    return CollectionAddress(kind, address, name)


def is_name(text: str) -> bool:
    """Return whether a text can name a collection; `__` is kept for what follows the name."""
    return _NAME.fullmatch(text) is not None and "__" not in text


def _refuse_address(kind: str, address: str, where: str) -> None:
    """Raise BadInput for an address that cannot be one, without repeating it: it may hold a password."""
    try:
        scheme = urlsplit(address).scheme
    except ValueError:
        raise BadInput([Problem(where, f"the address of {kind} cannot be read")]) from None
    wanted = {"chroma": ("http", "https"), "pgvector": ("postgresql", "postgres")}.get(kind)
    if wanted is not None and scheme not in wanted:
        raise BadInput([Problem(where, f"the address of {kind} begins with {wanted[0]}://, as {_KINDS[kind][2]}")])


def name_of(study: str) -> str:
    """Return the name for a study's collections: its own, of the characters that every store takes."""
    plain = re.sub(r"[^a-z0-9]+", "_", study.lower()).strip("_")
    plain = re.sub(r"_+", "_", plain)
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
        said = " ".join(address.without_secrets(str(error)).split())[:300]
        raise ServerFailed(f"{address}: {type(error).__name__}: {said}") from None
