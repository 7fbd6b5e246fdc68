"""Nearest neighbours in an embedded Chroma database: exact while they are few, then by its graph."""

from __future__ import annotations

import functools
import math
import os
import pickle
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, NoReturn

import numpy as np
import orjson
from annotated_doc import Doc
from annotated_types import Ge, Le
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from rag_opt.core.copies import Copies, DistinctRows, distinct_rows
from rag_opt.core.errors import ImpossiblePipeline
from rag_opt.core.forking import abandon
from rag_opt.core.graph_recall import measure_recall
from rag_opt.core.nearest import VectorsInMemory
from rag_opt.core.processes import is_alive
from rag_opt.core.ranked_lists import RankedLists
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT, PlainDict
from rag_opt.parts.defaults import IndexDefaults
from rag_opt.parts.index_queries import DEFAULT_EF_SEARCH

_COLLECTION, _FIRSTS = "chunks", "vector_of_chunk.npy"
_PREFIX = "rag_opt_chroma_"
_DEFAULT_SEARCH: Mapping[str, int] = MappingProxyType({})
_RECALL = "recall.json"
_VECTORS = "vectors.npy"  # of an exported index that compares all
_METADATA = "index_metadata.pickle"
_MORE_NEIGHBOURS = (1, 2, 4)  # times the settings, one after another until a graph finds enough


@register("index", "chroma")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Chroma(IndexDefaults):
    """Nearest neighbours by cosine among the vectors of an embedded Chroma database.

    Equal vectors enter the graph once, and stand for all their chunks: many copies of a text would hide what is beside
    them. Up to `exact_up_to` vectors every one of the collection is compared: that is as fast as its graph (HNSW),
    which is another one each time it is built, whatever its settings. Beyond, the graph answers, approximately, if it
    finds enough of what exact search finds; else it is built again with more neighbours, and in the end refused.
    One index is one folder, written once. Chroma writes into a folder even when it only reads it, so an
    index is opened in a private copy: the stored one stays as its checksum says.
    """

    ef_construction: Annotated[int, Ge(10), Le(2000), Doc("Neighbours looked at while the graph is built.")] = 100
    max_neighbors: Annotated[int, Ge(4), Le(128), Doc("Most links of a vector in the graph.")] = 16
    exact_up_to: Annotated[int, Ge(0), Doc("Vectors up to which all are compared; the graph is not asked.")] = 100_000
    least_recall: Annotated[
        float, Ge(0), Le(1), Doc("Share of the 10 nearest of some vectors that a graph must find.")
    ] = 0.99

    libraries: ClassVar[tuple[str, ...]] = ("chromadb",)

    def build_from_vectors(self, folder: Path, blocks: Iterable[NDArray[np.float32]], count: int) -> None:
        """Write the index. `blocks` of vectors, [rows, dimensions] each, `count` rows together."""
        folder.mkdir(parents=True, exist_ok=True)
        with distinct_rows(blocks, folder / _FIRSTS) as distinct:
            if self.compares_all(count):
                self._build(folder, distinct, 1)
                return
            for more in _MORE_NEIGHBOURS:
                self._build(folder, distinct, more)
                index = OpenChroma(folder)
                recall = measure_recall(index.find_vectors, distinct)
                index.close()
                (folder / _RECALL).write_bytes(orjson.dumps({"recall": recall, "more_neighbours": more}))
                if recall >= self.least_recall:
                    return
                _empty(folder, but=(_FIRSTS, _RECALL))

    def _build(self, folder: Path, vectors: DistinctRows, more: int) -> None:
        """Write the collection; its graph with so many times the neighbours."""
        count = len(vectors)
        client = _client(folder)
        sizes = part_sizes(count, client.get_max_batch_size())
        threshold = max(min(sizes, default=2), 2)
        hnsw = {
            "space": "cosine",
            "ef_construction": self.ef_construction * more,
            "max_neighbors": self.max_neighbors * more,
            "num_threads": 1,  # several threads insert in any order: the same vectors, another graph
            # what was inserted since the last threshold waits in memory and in a log, and every opening inserts it
            # anew, into another graph each time: so each part reaches the threshold, and nothing is left of the last
            "batch_size": threshold,
            "sync_threshold": threshold,
        }
        collection = client.create_collection(_COLLECTION, embedding_function=None, configuration={"hnsw": hnsw})
        done = 0
        for part in in_parts(vectors.blocks(), sizes):
            collection.upsert(ids=[str(done + i) for i in range(len(part))], embeddings=part)
            done += len(part)
        client.close()

    def compares_all(self, count: int) -> bool:
        """Return whether so many vectors are compared one by one."""
        return count <= self.exact_up_to

    def open(self, folder: Path) -> OpenChroma | VectorsInMemory:
        """Return the index: its vectors in memory while they are few, else a private copy.

        Raises ImpossiblePipeline where no graph found enough.
        """
        recall = self.recall(folder)
        if recall is not None and recall < self.least_recall:
            found = f"Chroma's graph finds {recall:.1%} of the nearest vectors, with {_MORE_NEIGHBOURS[-1]} times its"
            what = f"{found} usual neighbours too; {self.least_recall:.0%} are wanted: retriever exact compares all"
            raise ImpossiblePipeline(what)
        if (folder / _VECTORS).exists():
            return VectorsInMemory(np.load(folder / _VECTORS, mmap_mode="r"))
        index = OpenChroma(folder)
        if not self.compares_all(len(index)):
            return index
        vectors = index.vectors(np.arange(len(index), dtype=np.int32))
        index.close()
        return VectorsInMemory(vectors)

    def write_for_serving(self, stored: Path, folder: Path) -> None:
        """Write the vectors alone where all are compared, else a copy whose pickle is turned into JSON."""
        index = self.open(stored)
        if isinstance(index, VectorsInMemory):
            folder.mkdir(parents=True)
            np.save(folder / _VECTORS, index.all_vectors, allow_pickle=False)
            return
        index.close()
        shutil.copytree(stored, folder)
        for pickled in folder.rglob(_METADATA):
            pickled.with_suffix(".json").write_bytes(
                orjson.dumps(read_metadata(pickled), option=orjson.OPT_NON_STR_KEYS)
            )
            pickled.unlink()

    def recall(self, folder: Path) -> float | None:
        """Return the share of the nearest vectors that its graph found when built; None where it is not asked."""
        path = folder / _RECALL
        return float(orjson.loads(path.read_bytes())["recall"]) if path.exists() else None


class _PlainUnpickler(pickle.Unpickler):
    """Reads dicts, texts and numbers; whatever would import or run something is refused."""

    def find_class(self, module: str, name: str) -> NoReturn:
        """Refuse it. Raises UnpicklingError."""
        raise pickle.UnpicklingError(f"{_METADATA} names {module}.{name}")


def read_metadata(pickled: Path) -> PlainDict:
    """Return what Chroma's pickle of an index holds: which record is which vector of the graph."""
    with pickled.open("rb") as file:
        found: PlainDict = _PlainUnpickler(file).load()
    return found


def write_metadata(pickled: Path, found: PlainDict) -> None:
    """Write the pickle that Chroma reads of what `read_metadata` returned, after a way through JSON."""
    labels = {int(label): record for label, record in found["label_to_id"].items()}
    pickled.write_bytes(pickle.dumps({**found, "label_to_id": labels}, protocol=3))


def _empty(folder: Path, but: Sequence[str]) -> None:
    """Remove everything in a folder except some names."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in but:
            path.unlink()


def part_sizes(count: int, most: int) -> list[int]:
    """Return the sizes of parts of `count` rows, each at most `most`, that differ by one at most."""
    parts = math.ceil(count / most)
    return [count // parts + (number < count % parts) for number in range(parts)]


def in_parts(blocks: Iterable[NDArray[np.float32]], sizes: Iterable[int]) -> Iterator[NDArray[np.float32]]:
    """Yield the rows of all blocks, in parts of these sizes."""
    rest, some = iter(blocks), list[NDArray[np.float32]]()
    for size in sizes:
        while sum(map(len, some)) < size:
            some.append(next(rest))
        rows = np.concatenate(some) if len(some) > 1 else some[0]
        yield rows[:size]
        some = [rows[size:]]


class OpenChroma:
    """A private copy of a Chroma index, removed when it is closed or forgotten.

    A forked process opens a copy of its own: the threads of Chroma did not survive the fork.
    """

    def __init__(self, folder: Path) -> None:
        _sweep_copies()
        self._folder, self._copies = folder, Copies(folder / _FIRSTS)
        self._open_copy()

    def _open_copy(self) -> None:
        self._process = os.getpid()
        self._copy = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}_"))
        shutil.copytree(self._folder, self._copy, dirs_exist_ok=True)
        for exported in self._copy.rglob(Path(_METADATA).with_suffix(".json").name):
            write_metadata(exported.with_suffix(".pickle"), orjson.loads(exported.read_bytes()))
        self._clients: list[Any] = []
        self._ef_search = DEFAULT_EF_SEARCH
        self._reopen(DEFAULT_EF_SEARCH)
        self.close = weakref.finalize(self, _discard, self._clients, self._copy, self._process)

    def __len__(self) -> int:
        return len(self._copies)

    def _open_own_copy(self) -> None:
        """Open a copy of its own in a process that was forked since the last one was opened."""
        if self._process != os.getpid():
            abandon((self._clients, self._collection))
            self._open_copy()

    def _reopen(self, ef_search: int) -> None:
        """Chroma takes another `ef_search` only before an index is first looked at."""
        if self._clients:
            self._clients.pop().close()
        self._clients.append(_client(self._copy))
        self._collection: Any = self._clients[0].get_collection(_COLLECTION, embedding_function=None)
        if ef_search != DEFAULT_EF_SEARCH or self._ef_search != ef_search:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of Chroma, about its own writing
                self._collection.modify(configuration={"hnsw": {"ef_search": ef_search}})
        self._ef_search = ef_search

    def search(
        self,
        queries: NDArray[np.float32],
        depth: int,
        *,
        allowed: NDArray[np.int32] | None = None,
        settings: Mapping[str, int] = _DEFAULT_SEARCH,
    ) -> RankedLists:
        """Return the nearest chunks of each row of `queries`; score = cosine similarity. `allowed`: only these chunks.

        `settings`: `ef_search`, how many neighbours are looked at; never fewer than `depth`.
        """
        some = None if allowed is None else self._copies.distinct(allowed)
        rows = []
        ef_search = settings.get("ef_search", DEFAULT_EF_SEARCH)
        for vectors, similar in self.find_vectors(queries, depth, some=some, ef_search=ef_search):
            chunks, scores = self._copies.chunks_of(vectors, similar, allowed)
            order = np.lexsort((chunks, -scores))[:depth]  # equal scores: the earlier chunk first
            rows.append((chunks[order], scores[order]))
        return RankedLists.stack(rows, depth)

    def find_vectors(
        self,
        queries: NDArray[np.float32],
        depth: int,
        *,
        some: NDArray[np.int32] | None = None,
        ef_search: int = DEFAULT_EF_SEARCH,
    ) -> list[tuple[NDArray[np.int32], NDArray[np.float32]]]:
        """Return the numbers of the nearest distinct vectors of each query, and their cosines. `some`: only these."""
        self._open_own_copy()
        if ef_search != self._ef_search:
            self._reopen(ef_search)
        size = self._collection.count() if some is None else len(some)
        if size == 0 or len(queries) == 0:
            return [(np.empty(0, np.int32), np.empty(0, np.float32))] * len(queries)
        found = self._collection.query(
            query_embeddings=queries,
            n_results=min(depth, size),
            include=["distances"],
            **({} if some is None else {"ids": [str(i) for i in some]}),
        )
        return [
            (np.array(ids, np.int32), 1 - np.array(distances, np.float32))
            for ids, distances in zip(found["ids"], found["distances"], strict=True)
        ]

    def vectors(self, chunks: NDArray[np.int32]) -> NDArray[np.float32]:
        """Return the stored vectors of some chunks, one row each, in the order asked."""
        ids = [str(i) for i in self._copies.vector_of(chunks)]
        if not ids:  # Chroma refuses to get nothing
            return np.zeros((0, 1), np.float32)
        self._open_own_copy()
        known: dict[str, NDArray[np.float32]] = {}
        step, wanted = self._clients[0].get_max_batch_size(), list(dict.fromkeys(ids))
        for start in range(0, len(wanted), step):
            found = self._collection.get(ids=wanted[start : start + step], include=["embeddings"])
            known |= dict(zip(found["ids"], np.asarray(found["embeddings"], np.float32), strict=True))
        return np.stack([known[i] for i in ids])


@functools.cache  # once a process is enough
def _sweep_copies() -> None:
    """Remove what processes that were killed left behind."""
    for copy in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        owner = copy.name.removeprefix(_PREFIX).partition("_")[0]
        if owner.isdigit() and not is_alive(int(owner)):
            shutil.rmtree(copy, ignore_errors=True)


def _client(folder: Path) -> Any:
    import chromadb
    from chromadb.config import Settings

    return chromadb.PersistentClient(str(folder), settings=Settings(anonymized_telemetry=False))


def _discard(clients: list[Any], copy: Path, process: int) -> None:
    if process != os.getpid():  # they belong to the process that this one was forked from
        return
    for client in clients:
        client.close()
    shutil.rmtree(copy, ignore_errors=True)
