"""Tables of exhaustively evaluated grids, for replaying searches with a simulated clock.

python -m tests.benchmarks.replay_tables [folder]     about half an hour; what is there is not built again

Per data set: the value of every pipeline of SPACE for every question, and the seconds that each stage took here. Values
are evidence recall minus 0.05 per 1,000 context tokens (tokens of overlapping chunks count twice, as in a sweep; the
context ends before the first chunk that does not fit into 1,500).
"""

from __future__ import annotations

import dataclasses
import itertools
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import yaml

from rag_opt.cli.composing import conf_folder
from rag_opt.core import strict as config
from rag_opt.core.arrays import FloatArray
from rag_opt.core.documents import Corpus, Document, Span
from rag_opt.core.questions import Dataset, Question
from rag_opt.core.ranked_lists import RankedLists
from rag_opt.core.registry import load_parts
from rag_opt.data.datasets.csv_spans import CsvSpans
from rag_opt.data.datasets.python_reference import PythonReference
from rag_opt.data.datasets.squad import Squad
from rag_opt.data.splits import split
from rag_opt.metrics.candidates import CandidatePool, EvidenceFound
from rag_opt.metrics.evidence import build_document_gold, build_span_gold
from rag_opt.models.embedder_cards import EmbedderCards, embedder_card_library
from rag_opt.parts.interfaces import VectorReranker
from rag_opt.pipeline.ask import Pipeline
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.store.artifacts import Store
from rag_opt.study.sweep import token_counts

SHARED = Path(__file__).parents[3] / "shared" / "data"
FOLDER = Path("outputs") / "replay"
PRICE_PER_1000_TOKENS, BUDGET_TOKENS, DEPTH = 0.05, 1500, 50
CUTS = (1, 2, 3, 4, 5, 6, 8, 10)
SPACE: dict[str, Any] = {
    "chunker": {
        "recursive": {"size": [64, 128, 224], "overlap": [0.0, 0.2]},
        "sentence": {"size": [64, 128, 224]},
        "fixed": {"size": [64, 128, 224], "overlap": [0.0, 0.2]},
    },
    "embedder": {"model": {"name": ["minilm", "minilm_128", "static"]}},
    "retriever": {
        "dense": {"top_k": list(CUTS), "depth": DEPTH},
        "lexical": {"top_k": list(CUTS), "depth": DEPTH, "k1": [0.9, 1.2], "b": [0.4, 0.75]},
        "rrf": {"top_k": list(CUTS), "depth": DEPTH, "k": [10, 60]},
        "weighted": {"top_k": list(CUTS), "depth": DEPTH, "weight": [round(0.1 * i, 1) for i in range(1, 10)]},
    },
    "reranker": {"none": {}, "mmr": {"trade_off": [0.5, 0.8]}},
    "packer": {"ranked": {"context_tokens": BUDGET_TOKENS}},
    "generator": {"extractive": {}},
}


def products(slot: str) -> list[tuple[str, dict[str, Any]]]:
    """Every kind of a slot with every combination of its settings, in the order of the tables."""
    found = []
    for kind, parameters in SPACE[slot].items():
        values = [value if isinstance(value, list) else [value] for value in parameters.values()]
        found += [(kind, dict(zip(parameters, one, strict=True))) for one in itertools.product(*values)]
    return found


def rankings() -> list[tuple[str, dict[str, Any]]]:
    """Retrievers but for their cut, which a table has as an axis."""
    return [(kind, s) for kind, s in products("retriever") if s["top_k"] == CUTS[0]]


def datasets() -> dict[str, Callable[[], Dataset]]:
    """Fourteen corpora or disjoint parts of one."""
    made: dict[str, Callable[[], Dataset]] = {"python_reference": lambda: PythonReference().read()}
    chunking = SHARED / "chunking_evaluation"
    for name in ("chatlogs", "finance", "pubmed", "state_of_the_union", "wikitexts"):
        made[name] = lambda name=name: _some(_chunking(chunking), lambda d: d.startswith(name), 150)
    for part in range(4):
        made[f"squad_{part}"] = lambda part=part: _some(
            Squad(file=str(SHARED / "squad" / "dev-v2.0.json")).read(), _every_seventh(part), 150
        )
    made["privacy_qa"] = lambda: _legal("privacy_qa", lambda d: True)
    for part in range(3):
        made[f"contract_nli_{part}"] = lambda part=part: _legal("contractnli", _every_seventh(part))
    return made


def _chunking(folder: Path) -> Dataset:
    return CsvSpans(documents=str(folder / "corpora"), questions=str(folder / "questions.csv")).read()


def _every_seventh(part: int) -> Callable[[str], bool]:
    return lambda document: sum(document.encode()) % 7 == part


def _some(dataset: Dataset, keeps: Callable[[str], bool], most: int) -> Dataset:
    """The documents that are kept, and the answerable questions about them alone, evenly thinned to `most`."""
    documents = tuple(document for document in dataset.corpus.documents if keeps(document.id))
    names = {document.id for document in documents}
    asked = [q for q in dataset.questions if q.answerable and q.evidence and q.document_ids <= names]
    thinned = [asked[i] for i in np.unique(np.linspace(0, len(asked) - 1, most).astype(int))]
    return Dataset(dataset.name, Corpus(documents), tuple(thinned))


def _legal(name: str, keeps: Callable[[str], bool]) -> Dataset:
    return _some(read_legal_bench(name), keeps, 150)


def read_legal_bench(name: str) -> Dataset:
    """Return a part of LegalBench-RAG: documents and questions with the spans that answer them."""
    folder = SHARED / "legalbench"
    tests = orjson.loads((folder / f"{name}.json").read_bytes())["tests"]
    paths = sorted({snippet["file_path"] for test in tests for snippet in test["snippets"]})
    documents = tuple(Document(path, (folder / "corpus" / path).read_bytes().decode()) for path in paths)
    questions = [
        Question(
            id=f"{name}-{number}",
            text=test["query"],
            evidence=tuple((Span(s["file_path"], *s["span"]),) for s in test["snippets"]),
        )
        for number, test in enumerate(tests)
    ]
    return Dataset(name, Corpus(documents), tuple(questions))


@dataclass(frozen=True)
class Table:
    """`values` [chunkers, embedders, rankings, rerankers, cuts, questions], float16; `seconds` by stage.

    seconds: chunk [chunkers]; embed [chunkers, models], vectors [chunkers, embedders] and words [chunkers, BM25s] to
    build indexes; ask_vectors and ask_words to search them for all questions; setting: fusing, reranking and scoring
    one pipeline. `searched`: which questions a search sees; the others are held out.
    """

    values: np.ndarray[Any, np.dtype[np.float16]]
    seconds: dict[str, FloatArray]
    searched: np.ndarray[Any, np.dtype[np.bool_]]

    def save(self, path: Path) -> None:
        np.savez_compressed(path, values=self.values, searched=self.searched, **self.seconds)

    @staticmethod
    def load(path: Path) -> Table:
        with np.load(path) as arrays:
            found = {name: arrays[name] for name in arrays.files}
        return Table(found.pop("values"), searched=found.pop("searched"), seconds=found)


def build(dataset: Dataset, builder: PipelineBuilder) -> Table:
    chunkers, names = products("chunker"), SPACE["embedder"]["model"]["name"]
    shape = len(chunkers), len(names), len(rankings()), len(products("reranker")), len(CUTS), len(dataset.questions)
    values = np.zeros(shape, np.float16)
    words = sorted({(s["k1"], s["b"]) for kind, s in rankings() if kind == "lexical"})
    columns = {"chunk": 1, "embed": len(names), "vectors": len(names), "ask_vectors": len(names)}
    columns |= {"words": len(words), "ask_words": len(words), "setting": len(names)}
    seconds = {name: np.zeros((len(chunkers), width)) for name, width in columns.items()}
    for row, chunker in enumerate(chunkers):
        for column, name in enumerate(names):
            index = _Index(dataset, builder, chunker, name)
            started = time.perf_counter()
            values[row, column] = index.scored()
            seconds["setting"][row, column] = (time.perf_counter() - started) / np.prod(shape[2:5])
            for stage, at, took in index.seconds(words):
                seconds[stage][row, at if at is not None else column] = took
    parts = split(dataset.questions, search_share=0.6)
    searched = np.isin(np.arange(len(dataset.questions)), parts.search)
    return Table(values, seconds, searched)


class _Index:
    """Everything that can be asked of one chunking in one embedder's vectors."""

    def __init__(
        self, dataset: Dataset, builder: PipelineBuilder, chunker: tuple[str, dict[str, Any]], name: str
    ) -> None:
        self._builder, self._questions = builder, dataset.questions
        self._base = {"chunker": {chunker[0]: chunker[1]}, "embedder": {"model": {"name": name}}}
        self._base |= {slot: SPACE[slot] for slot in ("packer", "generator")}
        default = self._pipeline("weighted", {}, "mmr")
        chunks = default.chunks.texts(dataset.corpus)
        self.encoder = builder.encoder(name)
        vectors, took_ms = self.encoder.timed_vectors(chunks, "document")
        self.embed_seconds = float(took_ms.sum() / 1000)
        self.pipelines = {
            repr((kind, settings)): self._pipeline(kind, settings, "none") for kind, settings in rankings()
        }
        self.lists = {key: pipeline.lists(self._questions) for key, pipeline in self.pipelines.items()}
        self.vectors = lambda rows: vectors[rows]  # chroma's own, without asking it for each ranking
        self.default = default

    def _pipeline(self, kind: str, settings: dict[str, Any], reranker: str) -> Pipeline:
        full = {**self._base, "retriever": {kind: {**settings, "top_k": max(CUTS)}}, "reranker": {reranker: {}}}
        return self._builder.pipeline(PipelineSpec.from_dict(full))

    def scored(self) -> FloatArray:
        """[rankings, rerankers, cuts, questions]"""
        corpus, chunks = self.default.corpus, self.default.chunks
        everything = {f"{key} {name}": one for key, found in self.lists.items() for name, one in found.items()}
        pool = CandidatePool.from_lists(everything)
        gold = {
            "spans": build_span_gold(self._questions, corpus),
            "documents": build_document_gold(self._questions, corpus),
        }
        coverage = EvidenceFound.from_pool(pool, chunks.document, chunks.start, chunks.end, **gold)
        sizes = token_counts(pool, self.default)
        found = []
        for key, pipeline in self.pipelines.items():
            fused = pipeline.spec.retriever.fuse(self.lists[key])
            for one in self._reranked(fused):
                found.append(_valued(_places(pool, one.cut(max(CUTS))), coverage, sizes))
        return np.array(found).reshape(len(self.pipelines), -1, len(CUTS), len(self._questions))

    def _reranked(self, fused: RankedLists) -> Iterator[RankedLists]:
        for kind, settings in products("reranker"):
            part = dataclasses.replace(_part("reranker", kind), **settings)
            yield (
                part.rerank_by_vectors(fused, chunk_vectors=self.vectors)
                if isinstance(part, VectorReranker)
                else part.rerank(fused)
            )

    def seconds(self, words: Sequence[tuple[float, float]]) -> Iterator[tuple[str, int | None, float]]:
        """(stage, column or None for the embedder's, seconds)"""
        root = self._builder.store.root
        chunks = self._builder.folders(self.default.spec)["chunks"]
        yield "chunk", 0, _took(chunks)
        yield "embed", None, self.embed_seconds
        for key, pipeline in self.pipelines.items():
            kind, settings = next((k, s) for k, s in rankings() if repr((k, s)) == key)
            if kind not in ("dense", "lexical"):
                continue
            took = _took(root / "indexes" / next(iter(pipeline.index_keys.values())))
            asked = sum(ms.sum() for ms in pipeline.timed_lists(self._questions)[1].values()) / 1000
            at = None if kind == "dense" else words.index((settings["k1"], settings["b"]))
            yield ("vectors" if kind == "dense" else "words"), at, took
            yield ("ask_vectors" if kind == "dense" else "ask_words"), at, float(asked)


def _part(slot: str, kind: str) -> Any:
    from rag_opt.core.registry import lookup

    return lookup(slot, kind)()


def _took(folder: Path) -> float:
    return float(orjson.loads((folder / "manifest.json").read_bytes())["seconds"])


def _places(pool: CandidatePool, one: RankedLists) -> np.ndarray[Any, np.dtype[np.int64]]:
    """[1, questions, ranks]: where in the pool each chunk of a ranking stands."""
    width = np.iinfo(np.int32).max
    row = np.arange(len(pool.chunks), dtype=np.int64)[:, None]
    line = ((row << 32) + np.where(pool.chunks < 0, width, pool.chunks)).ravel()
    at = np.searchsorted(line, ((row << 32) + np.maximum(one.chunks, 0)).ravel()).reshape(one.chunks.shape)
    return np.where(one.chunks >= 0, at - row * pool.chunks.shape[1], -1)[None]


def _valued(order: np.ndarray[Any, np.dtype[np.int64]], coverage: EvidenceFound, sizes: FloatArray) -> FloatArray:
    """[cuts, questions]"""
    tokens = np.where(order >= 0, np.take_along_axis(sizes[None], np.maximum(order, 0), 2), 0).cumsum(axis=2)
    fits = tokens <= BUDGET_TOKENS
    recall = coverage.recall(np.where(fits, order, -1))[0]
    packed = np.maximum.accumulate(np.where(fits, tokens, 0), axis=2)[0]
    at = np.array(CUTS) - 1
    return (recall - PRICE_PER_1000_TOKENS * packed / 1000)[:, at].T


def distil(folder: Path, cards: EmbedderCards) -> None:
    """A static model: MiniLM's vector of each word piece, its 256 principal directions, rare pieces weighted up.

    After model2vec (Tulkens & van Dongen, 2024): weights by Zipf's law, log(1 + rank).
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    source = cards.read("minilm").folder
    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    pieces = [tokenizer.id_to_token(number).removeprefix("##") for number in range(tokenizer.get_vocab_size())]
    teacher = SentenceTransformer(str(source), device="cpu")
    vectors = teacher.encode(pieces, batch_size=256, show_progress_bar=False)
    vectors = vectors - vectors.mean(axis=0)
    _, _, directions = np.linalg.svd(vectors, full_matrices=False)
    weights = np.log(1 + np.arange(1, len(pieces) + 1))
    small = (vectors @ directions[:256].T) * weights[:, None]
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=small.astype(np.float32))])
    model.save_pretrained(str(folder))
    (folder / "tokenizer.json").write_bytes((source / "tokenizer.json").read_bytes())


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    (folder / "embedder").mkdir(parents=True, exist_ok=True)
    load_parts()
    cards = embedder_card_library([conf_folder(), folder])
    model = folder / "models" / "static"
    if not (model / "tokenizer.json").exists():
        distil(model, cards)
    card = {"id": "static", "path": str(model.resolve()), "dimensions": 256, "reads_tokens": 256}
    (folder / "embedder" / "static.yaml").write_text(yaml.safe_dump(card))
    cut = {**config.dump(cards.read("minilm")), "truncate_dimensions": 128, "prior_quality": None}
    (folder / "embedder" / "minilm_128.yaml").write_text(yaml.safe_dump(cut))
    store = Store(folder / "store")
    for name, read in datasets().items():
        path = folder / f"{name}.npz"
        if path.exists():
            continue
        started = time.perf_counter()
        dataset = read()
        builder = PipelineBuilder(dataset.corpus, store, embedder_card_library([conf_folder(), folder]))
        table = build(dataset, builder)
        builder.close()
        table.save(path)
        best = table.values.astype(float).mean(axis=-1).max()
        size = sum(len(document.text) for document in dataset.corpus.documents)
        print(
            f"{name}: {len(dataset.questions)} questions, {size:,} characters, {table.values[..., 0].size:,} pipelines,"
            f" best {best:.3f}, {time.perf_counter() - started:.0f} s",
            flush=True,
        )
    store.close()


if __name__ == "__main__":
    main()
