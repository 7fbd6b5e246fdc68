"""Filling a collection with the chunks of a bundle."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from rag_opt.core.errors import BadBundle, BadInput, Problem, ServerFailed
from rag_opt.core.filters import read_conditions
from rag_opt.core.graph_recall import measure_share_found
from rag_opt.parts.open_indexes import OpenVectorIndex
from rag_opt.production.bundle import Bundle
from rag_opt.production.bundle_reading import load_bundle
from rag_opt.production.parity import find_differences_of_passages, select_checked
from rag_opt.production.stored_questions import StoredQuestion
from rag_opt.production.vector_stores.addresses import CollectionAddress, blaming, open_store, read_address
from rag_opt.production.vector_stores.collection_index import CollectionIndex
from rag_opt.production.vector_stores.interfaces import CollectionShape, VectorStore
from rag_opt.production.vector_stores.opening import name_collection
from rag_opt.production.vector_stores.records import build_records, metadata_types

_LARGEST_BATCH = 500
_BATCH_BYTES = 4_000_000  # of vectors; as JSON they are about three times as large
_ROWS_AT_ONCE = 8192
LEAST_RECALL = 0.99
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Pushed:
    """What came of a push. `written`: chunks that were not there before; `recall`: None where all are compared."""

    address: CollectionAddress
    collection: str
    before: str | None
    written: int
    chunks: int
    recall: float | None
    same: int
    asked: int
    older: tuple[str, ...]

    def describe(self, source: Path) -> str:
        """Return it in words, with the command that serves from it."""
        how = (
            "every vector is compared"
            if self.recall is None
            else f"approximate: {self.recall:.1%} of the nearest found"
        )
        lines = [
            f"{self.collection}: {self.written:,} of {self.chunks:,} chunks written; {how}",
            f"{self.same} of {self.asked} questions return the passages that the search saw",
            f"{self.address.name} stands for it" + (f", before for {self.before}" if self._moved else ""),
        ]
        if self.older:
            lines.append(f"older, not removed (--drop-older): {', '.join(self.older)}")
        command = f"python -m rag_opt.serve {source} --collection '{self.address}'"
        return "\n  ".join([*lines, f"{command} (with the user and password of the address, if it has any)"])

    @property
    def _moved(self) -> bool:
        return self.before is not None and self.before != self.collection


def push_bundle(
    folder: Path,
    given: str,
    *,
    every: bool = False,
    drop_older: bool = False,
    plugins: Sequence[str] = (),
    allow_code: Sequence[str] = (),
    at_once: int = _LARGEST_BATCH,
    progress: Progress = lambda done, count: None,
) -> Pushed:
    """Fill a collection beside the one in use, hold it against the bundle, and let the alias stand for it.

    `given`: the address; `every`: all stored questions are asked, not 50; `drop_older`: where the alias moves, other
    collections that were filled under it are removed, but for the one that was in use; `at_once`: most chunks of a
    batch. Stored questions whose filters the store cannot ask for are not asked. Raises BadBundle where the collection
    does not return what the search saw (of a store that compares all vectors), or finds too few of the nearest (of
    another), BadInput where the alias would take the place of something else: it then stands where it stood.
    """
    bundle = load_bundle(folder, plugins=plugins, allow_code=allow_code)
    address, collection = name_collection(bundle, read_address(given, where="--push"))
    store = open_store(address)
    try:
        with blaming(address):
            before = store.target(address.name)
            _refuse_taken(store, address, before)
        written = _fill(bundle, store, address, collection, at_once, progress)
        recall = None if store.exact else _measure_recall(bundle, store, address, collection)

        def open_pushed(of: Bundle) -> CollectionIndex:
            return CollectionIndex(store, address, collection, of.pipeline.chunks, of.pipeline.corpus)

        opened = load_bundle(folder, check=False, plugins=plugins, allow_code=allow_code, collection=open_pushed)
        asked = [one for one in select_checked(opened, every=every) if not _refused(opened, one)]
        try:
            different = find_differences_of_passages(opened, asked)
            _refuse_others(address, recall, different, len(asked))
        except BadBundle:
            if written and collection != before:  # of no use to anybody; what was there and in use stays
                with blaming(address):
                    store.drop(collection)
            raise
        with blaming(address):
            older = _move_alias(store, address, collection, before, drop_older=drop_older)
    finally:
        store.close()
    count, same = len(bundle.pipeline.chunks), len(asked) - len(different)
    return Pushed(address, collection, before, written, count, recall, same, len(asked), older)


def _move_alias(
    store: VectorStore, address: CollectionAddress, collection: str, before: str | None, *, drop_older: bool
) -> tuple[str, ...]:
    """Let the alias stand for a collection, and return the older ones that are left."""
    store.switch(address.name, collection)
    older = sorted(name for name in store.names() if _is_ours(name, address) and name != collection)
    moved = before is not None and before != collection
    dropped = [name for name in older if drop_older and moved and name != before]
    for name in dropped:
        store.drop(name)
    return tuple(name for name in older if name not in dropped)


def _is_ours(name: str, address: CollectionAddress) -> bool:
    """Return whether a collection was filled under an alias: by its name."""
    return re.fullmatch(rf"{re.escape(address.name)}__[0-9a-f]{{12}}", name) is not None


def _refuse_taken(store: VectorStore, address: CollectionAddress, before: str | None) -> None:
    """Raise BadInput where the alias would take the place of something that is not ours."""
    taken = address.name in store.names() if before is None else not _is_ours(before, address)
    if taken:
        what = f"{address.name} is there already and was not made by a push; another name: {address.kind}=…#name"
        raise BadInput([Problem(str(address), what)])


def _refused(bundle: Bundle, one: StoredQuestion) -> bool:
    """Return whether the store cannot ask for a stored question's filters."""
    assert bundle.collection is not None
    return bool(bundle.collection.refusals(read_conditions(one.question.filters)))


def _fill(
    bundle: Bundle, store: VectorStore, address: CollectionAddress, collection: str, at_once: int, progress: Progress
) -> int:
    """Write what a collection does not hold yet, in batches, and return how many chunks that were.

    Given again after it was stopped, it goes on; given again when all is there, it writes nothing.
    """
    pipeline, index = bundle.pipeline, cast(OpenVectorIndex, bundle.pipeline.open_index("dense"))
    count = len(pipeline.chunks)
    dimensions = index.vectors(np.zeros(1, np.int32)).shape[1]
    with blaming(address):
        if collection not in store.names():
            store.create(collection, CollectionShape(dimensions, metadata_types(pipeline.corpus)))
        missing = np.setdiff1d(np.arange(count), store.stored(collection))
        size = max(1, min(at_once, _BATCH_BYTES // (dimensions * 4)))
        for first in range(0, len(missing), size):
            chunks = missing[first : first + size]
            store.write(collection, build_records(pipeline, chunks, index.vectors(chunks.astype(np.int32))))
            progress(count - len(missing) + first + len(chunks), count)
        stored = store.stored(collection)
    if len(stored) != count or len(np.unique(stored)) != count:
        raise ServerFailed(f"{address}: {collection} holds {len(stored)} records, where the bundle has {count} chunks")
    return len(missing)


class _IndexRows:
    """The vectors of an open index, by the numbers of their chunks."""

    def __init__(self, index: OpenVectorIndex, count: int) -> None:
        self._index, self._count = index, count

    def __len__(self) -> int:
        return self._count

    def at(self, numbers: Iterable[int]) -> NDArray[np.float32]:
        return self._index.vectors(np.array(list(numbers), np.int32))

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        for first in range(0, self._count, _ROWS_AT_ONCE):
            yield self.at(range(first, min(first + _ROWS_AT_ONCE, self._count)))


def _measure_recall(bundle: Bundle, store: VectorStore, address: CollectionAddress, collection: str) -> float:
    """Return the share of the 10 nearest vectors that a collection finds, for vectors half moved away."""

    def find(queries: NDArray[np.float32], nearest: int) -> list[tuple[NDArray[np.int32], NDArray[np.float32]]]:
        found = store.search(collection, queries, nearest, ())
        return [
            (chunks[chunks >= 0], scores[chunks >= 0])
            for chunks, scores in zip(found.chunks, found.scores, strict=True)
        ]

    index = cast(OpenVectorIndex, bundle.pipeline.open_index("dense"))
    with blaming(address):
        return measure_share_found(find, _IndexRows(index, len(bundle.pipeline.chunks)))


def _refuse_others(address: CollectionAddress, recall: float | None, different: Sequence[str], asked: int) -> None:
    """Raise BadBundle for a collection that does not find what the bundle's own index finds."""
    kept = f"{address.name} stands where it stood"
    if recall is not None and recall < LEAST_RECALL:
        wanted = f"where {LEAST_RECALL:.0%} are wanted: take a store that compares all vectors (qdrant, pgvector)"
        raise BadBundle(f"{address}: finds {recall:.1%} of the nearest vectors, {wanted}; {kept}")
    if recall is None and different:
        listed = "\n  ".join(different[:10])
        what = f"does not return what the search saw ({len(different)} of {asked} questions)"
        raise BadBundle(f"{address}: {what}; {kept}:\n  {listed}")
