"""From a spec to a pipeline that can be asked: every stage through the store, nothing opened before it is needed."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson

from rag_opt.core import strict as config
from rag_opt.core.digests import digest, item_key, versions
from rag_opt.core.documents import Corpus
from rag_opt.core.errors import BadInput, ImpossiblePipeline
from rag_opt.core.registry import lookup
from rag_opt.core.source_digest import source_digest
from rag_opt.models.cards import CardLibrary
from rag_opt.models.embedder_cards import EmbedderCards
from rag_opt.models.encoder import Encoder
from rag_opt.models.llm.budget import BudgetTracker
from rag_opt.models.llm.client import LLMClient
from rag_opt.models.llm.prompts import Prompt, prompt_library
from rag_opt.models.llm.settings import Judge, LanguageModel, resolved
from rag_opt.models.reranker_cards import reranker_card_library
from rag_opt.models.runtimes import Machine
from rag_opt.pipeline.ask import Pipeline
from rag_opt.pipeline.chunk_table import AT_ONCE, ChunkTable, cut
from rag_opt.pipeline.chunk_vectors import PROJECTION, chunk_vectors, opened, project, projection
from rag_opt.pipeline.corpus_text import CorpusText
from rag_opt.pipeline.reranking import PairScorer
from rag_opt.pipeline.resources import build_reranker_resources, index_parts
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.pipeline.stage_timer import StageTimer
from rag_opt.store.artifacts import Store

_OPEN_INDEXES = 4
_CHUNK_TABLES = 16
_WHYS = 20_000


class Keys(NamedTuple):
    """`indexes` by name: the part that builds the index, and its key."""

    chunks: str
    indexes: dict[str, tuple[Any, str]]


class PipelineBuilder:
    """Builds pipelines over one corpus. Shares encoders, chunk tables and open indexes between them."""

    def __init__(
        self,
        corpus: Corpus,
        store: Store,
        cards: EmbedderCards,
        *,
        rerankers: CardLibrary[Any] | None = None,
        machine: Machine = Machine(),
        language_model: LanguageModel | None = None,
        judge: Judge | None = None,
        prompts: CardLibrary[Prompt] | None = None,
        budget_tracker: BudgetTracker | None = None,
    ) -> None:
        self.corpus = corpus
        self.store = store
        self.cards = cards
        self.rerankers = rerankers or reranker_card_library([])
        self.texts = CorpusText(corpus)
        self.progress: Callable[[int, int], None] = lambda done, total: None
        self.machine = machine
        self.prompts = prompts or prompt_library([])
        self.budget_tracker = budget_tracker or BudgetTracker()
        generator = language_model or LanguageModel()
        self.llm_client = self._llm_client(generator, "generator")
        self.judge = self._llm_client(resolved(judge or Judge(), generator), "judge")
        self._encoders: dict[Any, Encoder] = {}
        self._scorers: dict[Any, PairScorer] = {}
        self._why_not: dict[str, str] = {}
        self.stage_timer = StageTimer()
        self._tokens_per_character: dict[str, float] = {}
        self._tables: OrderedDict[str, ChunkTable] = OrderedDict()
        self._open: OrderedDict[str, Any] = OrderedDict()

    def _llm_client(self, model: LanguageModel, who: str) -> LLMClient | None:
        if model.kind != "openai_compatible":
            return None
        return LLMClient(model, self.store.values, who=who, budget_tracker=self.budget_tracker)

    def encoder(self, embedder: Any) -> Encoder:
        """The encoder of an embedder, or of a card by its name; the same object every time.

        Raises BadInput where there is no card, ImpossiblePipeline where the model cannot do what the part asks.
        """
        part = lookup("embedder", "model")(name=embedder) if isinstance(embedder, str) else embedder
        if part not in self._encoders:
            card = part.adapt(self.cards.read(part.name))
            made = self._distilled(part) if hasattr(part, "distil") else {}
            encoder = Encoder(card, values=self.store.values, lock=self.store.lock, machine=self.machine, **made)
            encoder.progress = self._tell_progress
            encoder.spend = self.stage_timer.add
            self._encoders[part] = encoder
        return self._encoders[part]

    def _distilled(self, part: Any) -> dict[str, Any]:
        """Where the model that a part makes of another will lie, and what determines it."""
        source = self.encoder(part.name)
        facts = [part.kind, config.dump(part), source_digest(type(part).__module__), source.files_digest]
        identity = digest([*facts, versions(*part.libraries)])

        def make(folder: Path) -> None:
            with self.stage_timer.timed(f"distil {part.adapt(source.card).id}", 1):
                part.distil(source.card.folder, folder)

        return {"identity": identity, "folder": lambda: self.store.entry("distilled", identity, make)}

    def scorer(self, reranker: Any) -> PairScorer:
        """The model behind a reranker, the same object every time."""
        if reranker not in self._scorers:
            self._scorers[reranker] = reranker.scorer(
                build_reranker_resources(self.encoder, self.rerankers, self.store.values, self.machine)
            )
        return self._scorers[reranker]

    def _tell_progress(self, done: int, total: int) -> None:
        self.progress(done, total)  # whoever watches now, not who watched when the encoder was made

    def encoded(self) -> int:
        """Model inputs run so far, all encoders together."""
        return sum(encoder.encoded for encoder in self._encoders.values())

    def cut_by_servers(self) -> int:
        """Texts of which a server was given only the beginning, because it reads no more."""
        return sum(encoder.cut for encoder in self._encoders.values())

    def check(self, spec: PipelineSpec) -> None:
        """Raise ImpossiblePipeline for a spec that cannot exist, before anything is spent on it."""
        size = getattr(spec.chunker, "size", 0)
        encoder = self.encoder(spec.embedder)
        readable = min(getattr(spec.embedder, "window", None) or encoder.document_tokens, encoder.document_tokens)
        if size > readable:
            name = spec.embedder.name
            raise ImpossiblePipeline(
                f"chunks of {size} tokens are longer than {name} reads ({readable} tokens of text)"
            )
        if spec.query.requires & {"feedback", "written_vectors"} and "dense" not in spec.retriever.index_queries():
            raise ImpossiblePipeline(f"{spec.query.kind} refines vectors, but {spec.retriever.kind} searches none")
        for part in (spec.query, spec.reranker, spec.generator):
            if "model" in part.requires and self.llm_client is None:
                raise ImpossiblePipeline(
                    f"{part.slot} {part.kind} needs a language model; llm=openai_compatible names one"
                )
        if hasattr(spec.reranker, "check"):
            spec.reranker.check(self.rerankers, self.cards)
        if "model" in spec.generator.requires:
            spec.generator.check(self.prompts)

    def why_not(self, spec: dict[str, Any]) -> str:
        """Why a pipeline cannot exist, in words; empty when it can, or is none. Looked at once for each."""
        written = repr(spec)
        if written not in self._why_not:
            if len(self._why_not) > _WHYS:  # a long study over continuous settings
                self._why_not.clear()
            self._why_not[written] = ""
            try:
                self.check(PipelineSpec.from_dict(spec))
            except ImpossiblePipeline as error:
                self._why_not[written] = str(error)
            except BadInput:  # what is wrong with it is said where it is built
                pass
        return self._why_not[written]

    def pipeline(self, spec: PipelineSpec) -> Pipeline:
        self.check(spec)
        encoder, keys = self.encoder(spec.embedder), self.keys(spec)
        return Pipeline(
            spec=spec,
            texts=self.texts,
            chunks=self._chunks(spec, keys.chunks, encoder),
            encoder=encoder,
            values=self.store.values,
            index_keys={name: key for name, (_, key) in keys.indexes.items()},
            index_parts={name: part for name, (part, _) in keys.indexes.items()},
            open_index=lambda name: self._index(*keys.indexes[name], spec, keys.chunks, encoder),
            scorer=self.scorer,
            llm_client=self.llm_client,
            prompt=self.prompts.read,
            stage_timer=self.stage_timer,
        )

    def keys(self, spec: PipelineSpec) -> Keys:
        """Under what the artifacts of a pipeline are stored, built or not."""
        encoder = self.encoder(spec.embedder)
        chunks_key = self._chunks_key(spec, encoder)
        parts = index_parts(spec, self.corpus.language)
        indexes = {name: (part, self._index_key(part, chunks_key, spec, encoder)) for name, part in parts.items()}
        return Keys(chunks_key, indexes)

    def stored_chunks(self, spec: PipelineSpec) -> ChunkTable | None:
        """The chunk table of a pipeline if it is stored."""
        encoder = self.encoder(spec.embedder)
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
        encoder = self.encoder(spec.embedder)
        chunks = self._chunks(spec, self._chunks_key(spec, encoder), encoder)
        return int((chunks.tokens - encoder.tokenizer.special_tokens > encoder.document_tokens).sum())

    def folders(self, spec: PipelineSpec) -> dict[str, Path]:
        """Where the artifacts of a pipeline lie, built if need be: `chunks` and one `index/<name>` per index."""
        pipeline, encoder = self.pipeline(spec), self.encoder(spec.embedder)
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
        if "vectors" in getattr(part, "needs", ()):
            facts.append(encoder.vectors_key)
        return digest([*facts, versions("tokenizers", *getattr(part, "libraries", ()))])

    def _index_key(self, part: Any, chunks_key: str, spec: PipelineSpec, encoder: Encoder) -> str:
        reads: Any = encoder.vectors_key if part.reads == "vectors" else "texts"
        if part.reads == "vectors" and getattr(spec.embedder, "shapes_documents", False):
            reads = [reads, spec.embedder.kind, config.dump(spec.embedder), source_digest("rag_opt.pipeline.chunk_vectors")]
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
        before = dict(self.stage_timer.spent)
        with self.stage_timer.timed(stage, work):
            yield
        spent = {name: pair for name, pair in self.stage_timer.since(before).items() if not name.startswith("load ")}
        self.store.values.fill("took", [item_key("took", key)], lambda _: [orjson.dumps(spent)])

    def _cut_into(self, folder: Path, key: str, spec: PipelineSpec, encoder: Encoder) -> None:
        with self._timed(key, f"chunk {spec.chunker.kind}", self.corpus.characters):
            table = cut(
                spec.chunker, self.corpus, encoder.tokenizer, vectors=lambda texts: encoder.vectors(texts, "document")
            )
            table.save(folder)

    def _index(self, part: Any, key: str, spec: PipelineSpec, chunks_key: str, encoder: Encoder) -> Any:
        if key not in self._open:

            def build(folder: Path) -> None:
                table = self._chunks(spec, chunks_key, encoder)
                with self._timed(key, f"index {part.kind}", len(table)):
                    part.build(folder, self._blocks(part, spec, table, encoder, folder), len(table))

            folder = self.store.entry("indexes", key, build)
            _keep(self._open, key, opened(part, folder), most=_OPEN_INDEXES)
        return self._open[key]

    def _blocks(
        self, part: Any, spec: PipelineSpec, table: ChunkTable, encoder: Encoder, folder: Path
    ) -> Iterator[Any]:
        """What an index is built of; a projection of the vectors is written beside it."""
        if part.reads != "vectors":
            return table.blocks(self.corpus, AT_ONCE)
        blocks = chunk_vectors(spec.embedder, encoder, table, self.corpus)
        if not hasattr(spec.embedder, "project_to"):
            return blocks
        by = projection(spec.embedder, encoder, table, self.corpus)
        np.savez(folder / PROJECTION, **by)  # type: ignore[arg-type]
        return (project(block, by) for block in blocks)


def _keep(cache: OrderedDict[str, Any], key: str, value: Any, *, most: int) -> None:
    cache[key] = value
    while len(cache) > most:
        _, oldest = cache.popitem(last=False)
        if hasattr(oldest, "close"):
            oldest.close()
