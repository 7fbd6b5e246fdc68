"""Vectors of tokens, searched by MaxSim in a LanceDB table."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import orjson
from annotated_doc import Doc
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from rag_opt.core.digests import digest
from rag_opt.core.errors import ImpossiblePipeline
from rag_opt.core.ranked_lists import RankedLists
from rag_opt.core.registry import register
from rag_opt.core.source_digest import source_digest
from rag_opt.core.strict import STRICT
from rag_opt.models.cards import CardLibrary
from rag_opt.models.embedder_cards import EmbedderCard
from rag_opt.models.reranker_cards import RerankerCard
from rag_opt.models.reranker_resources import RerankerResources
from rag_opt.models.token_models import TokenModel, Tokens, find_token_card, open_token_model
from rag_opt.parts.defaults import IndexDefaults

_EXTRA = "the extra `lancedb` of rag_opt's wheel or checkout has it: pip install '.[lancedb]'"
_NO_SETTINGS: Mapping[str, int] = MappingProxyType({})
_TABLE, _FACTS = "tokens", "facts.json"
_TEXTS_AT_ONCE = 256
_REFINED = 10  # times the hits that are asked for are compared by whole vectors again
_PROBES, _PROBED_HITS = 50, 10  # texts by which the recall of a compressed index is measured
_LEAST_TOKENS = 5_000  # fewer need no compression, and a code book cannot be learned of them


@register("index", "late_interaction")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class TokenIndex:
    """Search by MaxSim over the vectors of all tokens (Khattab & Zaharia, 2020), in a LanceDB table."""

    name: Annotated[str, Doc("Name of the model's card, its id on the hub, or a folder.")]
    compressed: Annotated[
        bool, Doc("Whether tokens are found by product quantization; their share of the right hits is measured.")
    ] = False

    libraries: ClassVar[tuple[str, ...]] = ("lancedb",)

    def find_card(
        self, rerankers: CardLibrary[RerankerCard], embedders: CardLibrary[EmbedderCard]
    ) -> RerankerCard | EmbedderCard:
        """Return the card of its model. Raises BadInput and ImpossiblePipeline where it is of no use here."""
        if importlib.util.find_spec("lancedb") is None:
            raise ImpossiblePipeline(f"index late_interaction: lancedb is not installed; {_EXTRA}")
        return find_token_card(self.name, rerankers, embedders)

    def bind(self, resources: RerankerResources) -> BoundTokenIndex:
        """Return the index that encodes by its model."""
        card = self.find_card(resources.rerankers, resources.embedders)
        return BoundTokenIndex(card, open_token_model(self.name, resources), compressed=self.compressed)


class BoundTokenIndex(IndexDefaults):
    """An index of texts by the vectors that a model gives to their tokens (a `TextIndex`)."""

    slot: ClassVar[str] = "index"
    kind: ClassVar[str] = "late_interaction"
    libraries: ClassVar[tuple[str, ...]] = TokenIndex.libraries

    def __init__(self, card: RerankerCard | EmbedderCard, model: TokenModel, *, compressed: bool) -> None:
        self.card, self._model, self._compressed = card, model, compressed
        self.key = digest([self.kind, model.key, compressed, source_digest(__name__)])

    def in_language(self, language: str) -> Self:
        """Return itself: the model decides what a token is."""
        return self

    def build_from_texts(self, folder: Path, blocks: Iterable[Sequence[str]], count: int) -> None:
        """Write the table of the tokens of `count` texts."""
        facts: dict[str, Any] = {"texts": count, "recall": None}
        table, tokens, probes = None, 0, list[Tokens]()
        for rows, vectors in self._encode(blocks):
            tokens += sum(map(len, vectors))
            probes += vectors[:1] if len(probes) < _PROBES else []
            data = _to_arrow(rows, vectors)
            if table is None:
                table = _connect(folder).create_table(_TABLE, data=data)
            else:
                table.add(data)
        if self._compressed and table is not None and tokens >= _LEAST_TOKENS:
            exact = [_search(table, one, _PROBED_HITS, None, exact=True)[0] for one in probes]
            _compress(table, tokens)
            found = [_search(table, one, _PROBED_HITS, None, exact=False)[0] for one in probes]
            shares = [np.isin(right, near).mean() for right, near in zip(exact, found, strict=True)]
            facts["recall"] = float(np.mean(shares))
        (folder / _FACTS).write_bytes(orjson.dumps(facts))

    def _encode(self, blocks: Iterable[Sequence[str]]) -> Iterator[tuple[list[int], list[Tokens]]]:
        """Yield rows of texts and the vectors of their tokens; a text without a token has no row."""
        numbered = enumerate(text for block in blocks for text in block)
        while some := list(itertools.islice(numbered, _TEXTS_AT_ONCE)):
            found = self._model.tokens({text for _, text in some}, "document")
            kept = [(row, found[text]) for row, text in some if len(found[text])]
            if kept:
                yield [row for row, _ in kept], [vectors for _, vectors in kept]

    def recall(self, folder: Path) -> float | None:
        """Return the share of the right hits that a compressed index finds; None where it compares all."""
        recall: float | None = orjson.loads((folder / _FACTS).read_bytes())["recall"]
        return recall

    def open(self, folder: Path) -> OpenTokenIndex:
        """Return the index that was written into the folder."""
        return OpenTokenIndex(folder, self._model, exact=self.recall(folder) is None)


class OpenTokenIndex:
    """A table of tokens, searched on disk."""

    def __init__(self, folder: Path, model: TokenModel, *, exact: bool) -> None:
        database = _connect(folder)
        self._table = database.open_table(_TABLE) if (folder / f"{_TABLE}.lance").exists() else None
        self._model, self._exact = model, exact

    def search(
        self,
        queries: Sequence[str],
        depth: int,
        *,
        allowed: NDArray[np.int32] | None = None,
        settings: Mapping[str, int] = _NO_SETTINGS,
    ) -> RankedLists:
        """Return the best chunks of each query by the mean of cosines, in [-1, 1]. No `settings`."""
        tokens = self._model.tokens(set(queries), "query")
        nothing = np.zeros(0, np.int32), np.zeros(0, np.float32)
        rows = [
            nothing
            if self._table is None or not len(tokens[query]) or (allowed is not None and not len(allowed))
            else _search(self._table, tokens[query], depth, allowed, exact=self._exact)
            for query in queries
        ]
        return RankedLists.stack(rows, depth)

    def close(self) -> None:
        """Nothing is held open."""


def _connect(folder: Path) -> Any:
    import lancedb

    return lancedb.connect(str(folder))


def _to_arrow(rows: Sequence[int], vectors: Sequence[Tokens]) -> Any:
    """Return a table of chunks, each with the vectors of its tokens."""
    import pyarrow as pa

    width = vectors[0].shape[1]
    flat = pa.FixedSizeListArray.from_arrays(pa.array(np.concatenate(vectors).ravel(), pa.float32()), width)
    ends = pa.array(np.cumsum([0, *map(len, vectors)]), pa.int32())
    return pa.table({"chunk": pa.array(rows, pa.int32()), "vector": pa.ListArray.from_arrays(ends, flat)})


def _compress(table: Any, tokens: int) -> None:
    from lancedb.index import IvfPq

    partitions = max(int(np.sqrt(tokens)) // 4, 1)
    table.create_index("vector", config=IvfPq(distance_type="cosine", num_partitions=partitions))


def _search(
    table: Any, query: Tokens, depth: int, allowed: NDArray[np.int32] | None, *, exact: bool
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the chunks of the largest MaxSim and the mean of their cosines, best first."""
    search = table.search(query).distance_type("cosine").limit(depth).select(["chunk", "_distance"])
    if allowed is not None:
        search = search.where(f"chunk IN ({', '.join(map(str, allowed.tolist()))})", prefilter=True)
    search = search.bypass_vector_index() if exact else search.refine_factor(_REFINED)
    found = search.to_arrow()
    chunks = found["chunk"].to_numpy().astype(np.int32)
    scores = (1 - found["_distance"].to_numpy() / len(query)).astype(np.float32)  # the sum of 1 - cosine
    order = np.lexsort((chunks, -scores))
    return chunks[order], scores[order]
