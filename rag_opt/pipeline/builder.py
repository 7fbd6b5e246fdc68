"""From a specification to a pipeline that can be asked: every stage through the store, nothing opened before need."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import orjson

from rag_opt.core.corpus_readings import CorpusReading, CorpusReadings
from rag_opt.core.digests import item_key
from rag_opt.core.documents import Corpus
from rag_opt.core.registry import lookup
from rag_opt.models.cards import CardLibrary
from rag_opt.models.embedder_cards import EmbedderCards
from rag_opt.models.encoder import Encoder
from rag_opt.models.llm.budget import BudgetTracker
from rag_opt.models.llm.client import LLMClient
from rag_opt.models.llm.prompts import Prompt, prompt_library
from rag_opt.models.llm.settings import Judge, LanguageModel, resolve_judge
from rag_opt.models.no_encoder import NoEncoder
from rag_opt.models.reranker_cards import RerankerCard, reranker_card_library
from rag_opt.models.reranker_resources import PairScorer, RerankerResources
from rag_opt.models.runtimes import Machine
from rag_opt.parts.interfaces import (
    BoundIndex,
    DistillingEmbedder,
    EmbedderPart,
    Index,
    ModelIndex,
    PairReranker,
    ProjectingEmbedder,
    TextIndex,
    VectorIndex,
    WithoutVectors,
)
from rag_opt.parts.open_indexes import OpenIndex
from rag_opt.pipeline.ask import Pipeline
from rag_opt.pipeline.candidates import CandidateChecks
from rag_opt.pipeline.chunk_context import with_context
from rag_opt.pipeline.chunk_table import AT_ONCE, ChunkTable, cut_corpus
from rag_opt.pipeline.chunk_vectors import PROJECTION, chunk_vectors, open_index, project, projection
from rag_opt.pipeline.corpus_text import CorpusText
from rag_opt.pipeline.feasibility import check_pipeline, searches_vectors
from rag_opt.pipeline.keys import Keys, chunks_key, distilled_key, pipeline_keys
from rag_opt.pipeline.resources import build_reranker_resources, index_parts
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.pipeline.stage_timer import Spent, StageTimer
from rag_opt.store.artifacts import Store
from rag_opt.store.values import MemoryValues, Values

_OPEN_INDEXES = 4
_CHUNK_TABLES = 16
_CORPUS_SAMPLE_CHARACTERS = 100_000

Cached = TypeVar("Cached")


class PipelineBuilder:
    """Builds pipelines over one corpus. Shares encoders, chunk tables and open indexes between them.

    Several threads may build at the same time: what is shared is made once, under one lock.
    """

    def __init__(
        self,
        corpus: Corpus | CorpusReadings,
        store: Store,
        cards: EmbedderCards,
        *,
        rerankers: CardLibrary[RerankerCard] | None = None,
        machine: Machine = Machine(),
        language_model: LanguageModel | None = None,
        judge: Judge | None = None,
        prompts: CardLibrary[Prompt] | None = None,
        budget_tracker: BudgetTracker | None = None,
    ) -> None:
        self.readings = corpus if isinstance(corpus, CorpusReadings) else CorpusReadings(CorpusReading(corpus))
        self.store = store
        self.cards = cards
        self.rerankers = rerankers or reranker_card_library([])
        self.progress: Callable[[int, int], None] = lambda done, total: None
        self.machine = machine
        self.prompts = prompts or prompt_library([])
        self.budget_tracker = budget_tracker or BudgetTracker()
        generator = language_model or LanguageModel()
        self.llm_client = self._new_client(generator, "generator")
        self.judge = self._new_client(resolve_judge(judge or Judge(), generator), "judge")
        self.stage_timer = StageTimer()
        self._remarks: list[str] = []
        self._lock = threading.RLock()
        self._texts: dict[tuple[str, str, bool], CorpusText] = {}
        self._encoders: dict[EmbedderPart, Encoder] = {}
        self._scorers: dict[PairReranker, PairScorer] = {}
        self._bound: dict[ModelIndex, BoundIndex] = {}
        self._tokens_per_character: dict[str, float] = {}
        self._tables: OrderedDict[str, ChunkTable] = OrderedDict()
        self._open: OrderedDict[str, OpenIndex] = OrderedDict()
        self.candidates = CandidateChecks(self.check, self.readings, self.texts)

    def _new_client(self, model: LanguageModel, who: str) -> LLMClient | None:
        if not model.configured:
            return None
        return LLMClient(model, self.store.values, who=who, budget_tracker=self.budget_tracker)

    @property
    def corpus(self) -> Corpus:
        """The documents as the questions were resolved on them."""
        return self.readings.base.corpus

    def texts(self, spec: PipelineSpec) -> CorpusText:
        """Return the text that a pipeline works on, counted as it counts; the same object every time."""
        corpus, tokenizer = self.readings.corpus(spec.reader), spec.packer.tokenizer
        key = corpus.digest, tokenizer, spec.chunker.repeats_headers
        with self._lock:
            if key not in self._texts:
                self._texts[key] = CorpusText(corpus, tokenizer, repeats_headers=spec.chunker.repeats_headers)
            return self._texts[key]

    def encoder(self, embedder: EmbedderPart | str) -> Encoder:
        """Return the encoder of an embedder, or of a card by its name; the same object every time.

        Raises BadInput where there is no card, ImpossiblePipeline where the model cannot do what the part asks.
        """
        part: EmbedderPart = lookup("embedder", "model")(name=embedder) if isinstance(embedder, str) else embedder
        with self._lock:
            if part not in self._encoders:
                self._encoders[part] = self._new_encoder(part)
            return self._encoders[part]

    def _new_encoder(self, part: EmbedderPart) -> Encoder:
        if isinstance(part, WithoutVectors):
            return NoEncoder(part.tokenizer)
        card = part.adapt(self.cards.read(part.name))
        values, lock = self.store.values, self.store.lock
        if isinstance(part, DistillingEmbedder):
            identity, folder = self._distillation(part)
            encoder = Encoder(card, values=values, lock=lock, machine=self.machine, identity=identity, folder=folder)
        else:
            encoder = Encoder(card, values=values, lock=lock, machine=self.machine, budget_tracker=self.budget_tracker)
        encoder.progress = self._report_progress
        encoder.spend = self.stage_timer.add
        return encoder

    def _report_progress(self, done: int, total: int) -> None:
        self.progress(done, total)  # whoever watches now, not who watched when the encoder was made

    def _distillation(self, part: DistillingEmbedder) -> tuple[str, Callable[[], Path]]:
        """Return the key of the model that a part makes of another, and what makes it and says where it lies."""
        source = self.encoder(part.name)
        key = distilled_key(part, source)

        def make(folder: Path) -> None:
            with self.stage_timer.timed(f"distil {part.adapt(source.card).id}", 1):
                part.distil(source.card.folder, folder)

        return key, lambda: self.store.get_or_build("distilled", key, make)

    def scorer(self, reranker: PairReranker) -> PairScorer:
        """Return the model behind a reranker, the same object every time."""
        with self._lock:
            if reranker not in self._scorers:
                resources = self._reranker_resources(self.encoder, self.store.values)
                self._scorers[reranker] = reranker.scorer(resources)
            return self._scorers[reranker]

    def _reranker_resources(self, encoder: Callable[[str], Encoder], values: Values) -> RerankerResources:
        return build_reranker_resources(
            encoder,
            self.rerankers,
            values,
            self.machine,
            self.budget_tracker,
            embedders=self.cards,
            spend=self.stage_timer.add,
        )

    def take_remarks(self) -> list[str]:
        """Return what was found out of the servers of language models since this was asked last, in words."""
        remarks, self._remarks = self._remarks, []
        clients = [client for client in (self.llm_client, self.judge) if client is not None]
        return [*remarks, *(text for client in clients for text in client.take_remarks())]

    def encoded(self) -> int:
        """Return how many inputs all models have encoded so far."""
        return sum(encoder.encoded for encoder in self._encoders.values())

    def cut_by_servers(self) -> int:
        """Return of how many texts a server was given only the beginning, because it reads no more."""
        return sum(encoder.cut for encoder in self._encoders.values())

    def check(self, spec: PipelineSpec) -> None:
        """Raise ImpossiblePipeline for a pipeline that cannot exist, before anything is spent on it."""
        check_pipeline(
            spec,
            self.encoder(spec.embedder),
            has_llm=self.llm_client is not None,
            rerankers=self.rerankers,
            embedders=self.cards,
            prompts=self.prompts,
        )

    def pipeline(self, spec: PipelineSpec) -> Pipeline:
        """Return the pipeline, its chunks cut. Raises ImpossiblePipeline."""
        self.check(spec)
        return self._pipeline(spec, self.encoder(spec.embedder), self.store.values, self.scorer)

    def serving_pipeline(self, spec: PipelineSpec) -> Pipeline:
        """Return the pipeline as a bundle serves it: it works on every question anew, and remembers it in memory.

        Only its indexes are stored, and what a language model answered.
        """
        self.check(spec)
        values = MemoryValues()
        encoder = self.encoder(spec.embedder).with_values(values)
        resources = self._reranker_resources(lambda name: self.encoder(name).with_values(values), values)
        scorers: dict[PairReranker, PairScorer] = {}

        def scorer(reranker: PairReranker) -> PairScorer:
            if reranker not in scorers:
                scorers[reranker] = reranker.scorer(resources)
            return scorers[reranker]

        return self._pipeline(spec, encoder, values, scorer, resources)

    def _pipeline(
        self,
        spec: PipelineSpec,
        encoder: Encoder,
        values: Values,
        scorer: Callable[[PairReranker], PairScorer],
        resources: RerankerResources | None = None,
    ) -> Pipeline:
        """Return a pipeline; with `resources` the models of its indexes work on every question anew."""
        keys, corpus = self.keys(spec), self.readings.corpus(spec.reader)
        fresh = {} if resources is None else index_parts(spec, corpus.language, lambda part: part.bind(resources))

        def open_one(name: str) -> OpenIndex:
            index, (part, key) = fresh.get(name), keys.indexes[name]
            opened = self._index(part, key, spec, keys.chunks, encoder)
            return index.open(self.store.root / "indexes" / key) if isinstance(index, BoundIndex) else opened

        return Pipeline(
            spec=spec,
            texts=self.texts(spec),
            chunks=self._chunks(spec, keys.chunks, encoder),
            encoder=encoder,
            values=values,
            index_keys={name: key for name, (_, key) in keys.indexes.items()},
            index_parts={name: part for name, (part, _) in keys.indexes.items()},
            open_index=functools.cache(open_one),
            scorer=scorer,
            llm_client=self.llm_client,
            prompt=self.prompts.read,
            stage_timer=self.stage_timer,
        )

    def keys(self, spec: PipelineSpec) -> Keys:
        """Return the keys under which the artifacts of a pipeline are stored, built or not."""
        corpus = self.readings.corpus(spec.reader)
        return pipeline_keys(spec, self.encoder(spec.embedder), corpus, writer=self._writer, bind=self._bind)

    def _bind(self, part: ModelIndex) -> BoundIndex:
        """Return an index with the model that it encodes by, the same object every time."""
        with self._lock:
            if part not in self._bound:
                self._bound[part] = part.bind(self._reranker_resources(self.encoder, self.store.values))
            return self._bound[part]

    @property
    def _writer(self) -> list[object]:
        """What identifies the language model that may write contexts of chunks."""
        return [] if self.llm_client is None else self.llm_client.settings.identity

    def _chunks_key(self, spec: PipelineSpec, encoder: Encoder) -> str:
        return chunks_key(spec, encoder, self.readings.corpus(spec.reader), self._writer)

    def stored_chunks(self, spec: PipelineSpec) -> ChunkTable | None:
        """Return the chunk table of a pipeline if it is stored."""
        encoder = self.encoder(spec.embedder)
        key = self._chunks_key(spec, encoder)
        return self._chunks(spec, key, encoder) if self.store.has("chunks", key) else None

    def corpus_tokens(self, encoder: Encoder, corpus: Corpus | None = None) -> float:
        """Return about how many tokens a corpus (None: the base reading) has, by those of its first characters."""
        if encoder.tokenizer.identity not in self._tokens_per_character:
            sample, length = [], 0
            for document in (corpus or self.corpus).documents:
                sample.append(document.text[:_CORPUS_SAMPLE_CHARACTERS])
                length += len(sample[-1])
                if length >= _CORPUS_SAMPLE_CHARACTERS:
                    break
            tokens = encoder.tokenizer.lengths(sample) - encoder.tokenizer.special_tokens
            self._tokens_per_character[encoder.tokenizer.identity] = float(tokens.sum()) / max(length, 1)
        return self._tokens_per_character[encoder.tokenizer.identity] * (corpus or self.corpus).characters

    def truncated_chunks(self, spec: PipelineSpec) -> int:
        """Return how many chunks are longer than the model reads, the prompt before them included."""
        if not searches_vectors(spec):
            return 0
        encoder = self.encoder(spec.embedder)
        chunks = self._chunks(spec, self._chunks_key(spec, encoder), encoder)
        return int((chunks.tokens - encoder.tokenizer.special_tokens > encoder.document_tokens).sum())

    def approximate_indexes(self, spec: PipelineSpec) -> int:
        """Return how many of its indexes do not compare every vector with a query."""
        encoder = self.encoder(spec.embedder)
        count = len(self._chunks(spec, self._chunks_key(spec, encoder), encoder).tokens)
        parts = [part for part, _ in self.keys(spec).indexes.values()]
        return sum(isinstance(part, VectorIndex) and not part.compares_all(count) for part in parts)

    def index_recall(self, spec: PipelineSpec) -> float | None:
        """Return the share of the nearest vectors that its graph found when it was built; None where none is asked."""
        indexes, root = self.keys(spec).indexes.values(), self.store.root / "indexes"
        found = [part.recall(root / key) for part, key in indexes if isinstance(part, VectorIndex | BoundIndex)]
        return min((recall for recall in found if recall is not None), default=None)

    def folders(self, spec: PipelineSpec) -> dict[str, Path]:
        """Return where the artifacts of a pipeline lie, built if need be: `chunks` and `index/<name>`."""
        pipeline, encoder = self.pipeline(spec), self.encoder(spec.embedder)
        key = self._chunks_key(spec, encoder)
        folders = {
            "chunks": self.store.get_or_build("chunks", key, lambda folder: self._cut_into(folder, key, spec, encoder))
        }
        for name, index_key in pipeline.index_keys.items():
            pipeline.open_index(name)
            folders[f"index/{name}"] = self.store.root / "indexes" / index_key
        return folders

    def took(self, spec: PipelineSpec) -> Spent:
        """Return work and seconds of the stages that made a pipeline's chunks and indexes, whenever that was."""
        keys, stages = self.keys(spec), Spent()
        names = [item_key("took", key) for key in (keys.chunks, *(key for _, key in keys.indexes.values()))]
        for stored in self.store.values.get("took", names).values():
            stages |= {stage: (work, seconds) for stage, (work, seconds) in orjson.loads(stored).items()}
        return dict(sorted(stages.items()))

    def close(self) -> None:
        """Close all open indexes."""
        with self._lock:
            for index in self._open.values():
                index.close()
            self._open.clear()

    def _chunks(self, spec: PipelineSpec, key: str, encoder: Encoder) -> ChunkTable:
        with self._lock:
            if key not in self._tables:
                folder = self.store.get_or_build("chunks", key, lambda aside: self._cut_into(aside, key, spec, encoder))
                _keep(self._tables, key, ChunkTable.load(folder), most=_CHUNK_TABLES)
            return self._tables[key]

    @contextlib.contextmanager
    def _timed(self, key: str, stage: str, work: float) -> Iterator[None]:
        """Time the block; what it took when the artifact was first made is remembered."""
        before = dict(self.stage_timer.spent)
        with self.stage_timer.timed(stage, work):
            yield
        spent = {name: pair for name, pair in self.stage_timer.since(before).items() if not name.startswith("load ")}
        self.store.values.fill("took", [item_key("took", key)], lambda _: [orjson.dumps(spent)])

    def _cut_into(self, folder: Path, key: str, spec: PipelineSpec, encoder: Encoder) -> None:
        corpus = self.readings.corpus(spec.reader)
        with self._timed(key, f"chunk {spec.chunker.kind}", corpus.characters):
            table = cut_corpus(
                spec.chunker, corpus, encoder.tokenizer, vectors=lambda texts: encoder.vectors(texts, "document")
            )
            llm_client, remarks = self.llm_client, self._remarks
            with self.stage_timer.timed(f"context {spec.chunk_context.kind}", len(table)):
                table = with_context(
                    spec.chunk_context, table, corpus, encoder.tokenizer, llm_client=llm_client, report=remarks.append
                )
            table.save(folder)

    def _index(self, part: Index, key: str, spec: PipelineSpec, chunks: str, encoder: Encoder) -> OpenIndex:
        def build(folder: Path) -> None:
            table = self._chunks(spec, chunks, encoder)
            with self._timed(key, f"index {part.kind}", len(table)):
                self._build_index(part, folder, spec, table, encoder)

        with self._lock:
            if key not in self._open:
                folder = self.store.get_or_build("indexes", key, build)
                for oldest in _keep(self._open, key, open_index(part, folder), most=_OPEN_INDEXES):
                    oldest.close()
            return self._open[key]

    def _build_index(self, part: Index, folder: Path, spec: PipelineSpec, table: ChunkTable, encoder: Encoder) -> None:
        """Build an index; a projection of its vectors is written beside it."""
        corpus = self.readings.corpus(spec.reader)
        if isinstance(part, TextIndex):
            part.build_from_texts(folder, table.blocks(corpus, AT_ONCE), len(table))
            return
        blocks = chunk_vectors(spec.embedder, encoder, table, corpus)
        if isinstance(spec.embedder, ProjectingEmbedder):
            by = projection(spec.embedder, encoder, table, corpus)
            np.savez(folder / PROJECTION, mean=by["mean"], components=by["components"])
            blocks = (project(block, by) for block in blocks)
        part.build_from_vectors(folder, blocks, len(table))


def _keep(cache: OrderedDict[str, Cached], key: str, value: Cached, *, most: int) -> list[Cached]:
    """Put a value into a cache, and return what had to leave it."""
    cache[key] = value
    gone = []
    while len(cache) > most:
        gone.append(cache.popitem(last=False)[1])
    return gone
