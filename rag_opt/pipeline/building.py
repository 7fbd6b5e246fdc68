"""From a spec to a pipeline that can be asked: every stage through the store, nothing opened before it is needed."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from rag_opt import config
from rag_opt.errors import ImpossiblePipeline
from rag_opt.parts.embedders.cards import Cards
from rag_opt.parts.embedders.encoder import Encoder
from rag_opt.parts.embedders.runtimes import Machine
from rag_opt.pipeline.asking import Pipeline
from rag_opt.pipeline.planning import Ledger
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.pipeline.texts import Texts
from rag_opt.records import Corpus
from rag_opt.registry import lookup, source_digest
from rag_opt.store import Store
from rag_opt.store.keys import digest, item_key, versions

_OPEN_INDEXES = 4
_CHUNK_TABLES = 16
_CHUNKS_AT_ONCE = 8192


class Keys(NamedTuple):
    """`indexes` by name: the part that builds the index, and its key."""

    chunks: str
    indexes: dict[str, tuple[Any, str]]


@dataclass(frozen=True)
class ChunkTable:
    """All chunks of a corpus as arrays: row of the document, start, end, and tokens as the embedder counts them.

    `embed_texts` holds what is embedded only where it differs from the content.
    """

    document: NDArray[np.int32]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    tokens: NDArray[np.int64]
    embed_texts: dict[int, str]

    def __len__(self) -> int:
        return len(self.document)

    @functools.cached_property
    def digest(self) -> str:
        return digest([self.document, self.start, self.end, {str(k): v for k, v in self.embed_texts.items()}])

    def texts(self, corpus: Corpus) -> list[str]:
        """What is embedded and indexed, one text a chunk."""
        return [text for block in self.blocks(corpus, _CHUNKS_AT_ONCE) for text in block]

    def blocks(self, corpus: Corpus, size: int) -> Iterator[list[str]]:
        """The same in blocks of so many chunks, so that not all need to be there at once."""
        for first in range(0, len(self), size):
            rows = slice(first, first + size)
            columns = (self.document[rows].tolist(), self.start[rows].tolist(), self.end[rows].tolist())
            contents = (
                corpus.documents[document].text[start:end] for document, start, end in zip(*columns, strict=True)
            )
            yield [self.embed_texts.get(first + number, content) for number, content in enumerate(contents)]

    def save(self, folder: Path) -> None:
        np.savez(folder / "chunks.npz", document=self.document, start=self.start, end=self.end, tokens=self.tokens)
        (folder / "embed_texts.json").write_bytes(orjson.dumps({str(k): v for k, v in self.embed_texts.items()}))

    @staticmethod
    def load(folder: Path) -> ChunkTable:
        with np.load(folder / "chunks.npz") as arrays:
            document, start, end, tokens = (arrays[name] for name in ("document", "start", "end", "tokens"))
        other = orjson.loads((folder / "embed_texts.json").read_bytes())
        return ChunkTable(document, start, end, tokens, {int(k): v for k, v in other.items()})


class Workshop:
    """Builds pipelines over one corpus. Shares encoders, chunk tables and open indexes between them."""

    def __init__(self, corpus: Corpus, store: Store, cards: Cards, *, machine: Machine = Machine()) -> None:
        self.corpus = corpus
        self.store = store
        self.cards = cards
        self.texts = Texts(corpus)
        self.progress: Callable[[int, int], None] = lambda done, total: None
        self.machine = machine
        self._encoders: dict[str, Encoder] = {}
        self.ledger = Ledger()
        self._tokens_per_character: dict[str, float] = {}
        self._tables: OrderedDict[str, ChunkTable] = OrderedDict()
        self._open: OrderedDict[str, Any] = OrderedDict()

    def encoder(self, name: str) -> Encoder:
        """The encoder of a card, the same object every time."""
        if name not in self._encoders:
            card = self.cards.read(name)
            encoder = Encoder(card, values=self.store.values, lock=self.store.lock, machine=self.machine)
            encoder.progress = self._tell_progress
            encoder.spend = self.ledger.add
            self._encoders[name] = encoder
        return self._encoders[name]

    def _tell_progress(self, done: int, total: int) -> None:
        self.progress(done, total)  # whoever watches now, not who watched when the encoder was made

    def encoded(self) -> int:
        """Model inputs run so far, all encoders together."""
        return sum(encoder.encoded for encoder in self._encoders.values())

    def check(self, spec: PipelineSpec) -> None:
        """Raise ImpossiblePipeline for a spec that cannot exist, before anything is spent on it."""
        size = getattr(spec.chunker, "size", 0)
        encoder = self.encoder(spec.embedder.name)
        if size > encoder.document_tokens:
            name, readable = spec.embedder.name, encoder.document_tokens
            raise ImpossiblePipeline(
                f"chunks of {size} tokens are longer than {name} reads ({readable} tokens of text)"
            )

    def pipeline(self, spec: PipelineSpec) -> Pipeline:
        self.check(spec)
        encoder, keys = self.encoder(spec.embedder.name), self.keys(spec)
        return Pipeline(
            spec=spec,
            texts=self.texts,
            chunks=self._chunks(spec, keys.chunks, encoder),
            encoder=encoder,
            values=self.store.values,
            index_keys={name: key for name, (_, key) in keys.indexes.items()},
            index_parts={name: part for name, (part, _) in keys.indexes.items()},
            open_index=lambda name: self._index(*keys.indexes[name], spec, keys.chunks, encoder),
            ledger=self.ledger,
        )

    def keys(self, spec: PipelineSpec) -> Keys:
        """Under what the artifacts of a pipeline are stored, built or not."""
        encoder = self.encoder(spec.embedder.name)
        chunks_key = self._chunks_key(spec, encoder)
        wanted = dict(spec.retriever.indexes())
        if "chunk_vectors" in spec.reranker.needs:
            wanted.setdefault("dense", ("chroma", {}))
        parts = {name: lookup("index", kind)(**settings) for name, (kind, settings) in wanted.items()}
        indexes = {name: (part, self._index_key(part, chunks_key, encoder)) for name, part in parts.items()}
        return Keys(chunks_key, indexes)

    def stored_chunks(self, spec: PipelineSpec) -> ChunkTable | None:
        """The chunk table of a pipeline if it is stored."""
        encoder = self.encoder(spec.embedder.name)
        key = self._chunks_key(spec, encoder)
        return self._chunks(spec, key, encoder) if self.store.has("chunks", key) else None

    def corpus_tokens(self, encoder: Encoder, *, most_characters: int = 100_000) -> float:
        """About how many tokens the corpus has, by those of its first characters."""
        if encoder.tokenizer.identity not in self._tokens_per_character:
            sample, length = [], 0
            for document in self.corpus.documents:
                sample.append(document.text[:most_characters])
                length += len(sample[-1])
                if length >= most_characters:
                    break
            tokens = encoder.tokenizer.lengths(sample) - encoder.tokenizer.special_tokens
            self._tokens_per_character[encoder.tokenizer.identity] = float(tokens.sum()) / max(length, 1)
        return self._tokens_per_character[encoder.tokenizer.identity] * self.corpus.characters

    def truncated_chunks(self, spec: PipelineSpec) -> int:
        """How many chunks are longer than the model reads, the prompt before them included."""
        encoder = self.encoder(spec.embedder.name)
        chunks = self._chunks(spec, self._chunks_key(spec, encoder), encoder)
        return int((chunks.tokens - encoder.tokenizer.special_tokens > encoder.document_tokens).sum())

    def folders(self, spec: PipelineSpec) -> dict[str, Path]:
        """Where the artifacts of a pipeline lie, built if need be: `chunks` and one `index/<name>` per index."""
        pipeline, encoder = self.pipeline(spec), self.encoder(spec.embedder.name)
        key = self._chunks_key(spec, encoder)
        folders = {"chunks": self.store.entry("chunks", key, lambda folder: self._cut_into(folder, key, spec, encoder))}
        for name, index_key in pipeline.index_keys.items():
            pipeline.open_index(name)
            folders[f"index/{name}"] = self.store.root / "indexes" / index_key
        return folders

    def close(self) -> None:
        for index in self._open.values():
            index.close()
        self._open.clear()

    def _chunks_key(self, spec: PipelineSpec, encoder: Encoder) -> str:
        part = spec.chunker
        tokenizer = encoder.tokenizer.identity
        facts = [part.kind, config.dump(part), source_digest(part.__module__), tokenizer, self.corpus.digest]
        return digest([*facts, versions("tokenizers")])

    def _index_key(self, part: Any, chunks_key: str, encoder: Encoder) -> str:
        reads = encoder.vectors_key if part.reads == "vectors" else "texts"
        facts = [part.kind, config.dump(part), source_digest(part.__module__), chunks_key, reads]
        return digest([*facts, versions(*part.libraries)])

    def _chunks(self, spec: PipelineSpec, key: str, encoder: Encoder) -> ChunkTable:
        if key not in self._tables:
            folder = self.store.entry("chunks", key, lambda aside: self._cut_into(aside, key, spec, encoder))
            _keep(self._tables, key, ChunkTable.load(folder), most=_CHUNK_TABLES)
        return self._tables[key]

    def took(self, spec: PipelineSpec) -> dict[str, tuple[float, float]]:
        """Work and seconds of the stages that made a pipeline's chunks and indexes, whenever that was."""
        keys, found = self.keys(spec), dict[str, tuple[float, float]]()
        names = [item_key("took", key) for key in (keys.chunks, *(key for _, key in keys.indexes.values()))]
        for stored in self.store.values.get("took", names).values():
            found |= {stage: (work, seconds) for stage, (work, seconds) in orjson.loads(stored).items()}
        return dict(sorted(found.items()))

    @contextlib.contextmanager
    def _timed(self, key: str, stage: str, work: float) -> Iterator[None]:
        """Books what the block takes; what it took when the artifact was first made is remembered."""
        before = dict(self.ledger.spent)
        with self.ledger.timed(stage, work):
            yield
        spent = {name: pair for name, pair in self.ledger.since(before).items() if not name.startswith("load ")}
        self.store.values.fill("took", [item_key("took", key)], lambda _: [orjson.dumps(spent)])

    def _cut_into(self, folder: Path, key: str, spec: PipelineSpec, encoder: Encoder) -> None:
        with self._timed(key, f"chunk {spec.chunker.kind}", self.corpus.characters):
            self._cut(spec, encoder).save(folder)

    def _cut(self, spec: PipelineSpec, encoder: Encoder) -> ChunkTable:
        rows = array("q")
        embed_texts: dict[int, str] = {}
        for number, document in enumerate(self.corpus.documents):
            for chunk in spec.chunker.split(document, tokenizer=encoder.tokenizer):
                if chunk.embed_text is not None:
                    embed_texts[len(rows) // 3] = chunk.embed_text
                rows.extend((number, chunk.start, chunk.end))
        columns = np.array(rows, np.int64).reshape(-1, 3).T
        table = ChunkTable(
            columns[0].astype(np.int32), columns[1], columns[2], np.zeros(len(rows) // 3, np.int64), embed_texts
        )
        lengths = [encoder.tokenizer.lengths(block) for block in table.blocks(self.corpus, _CHUNKS_AT_ONCE)]
        return dataclasses.replace(table, tokens=np.concatenate(lengths) if lengths else table.tokens)

    def _index(self, part: Any, key: str, spec: PipelineSpec, chunks_key: str, encoder: Encoder) -> Any:
        if key not in self._open:

            def build(folder: Path) -> None:
                table = self._chunks(spec, chunks_key, encoder)
                texts = table.blocks(self.corpus, _CHUNKS_AT_ONCE)
                blocks = (encoder.vectors(some, "document") for some in texts) if part.reads == "vectors" else texts
                with self._timed(key, f"index {part.kind}", len(table)):
                    part.build(folder, blocks, len(table))

            folder = self.store.entry("indexes", key, build)
            _keep(self._open, key, part.open(folder), most=_OPEN_INDEXES)
        return self._open[key]


def _keep(cache: OrderedDict[str, Any], key: str, value: Any, *, most: int) -> None:
    cache[key] = value
    while len(cache) > most:
        _, oldest = cache.popitem(last=False)
        if hasattr(oldest, "close"):
            oldest.close()
