"""A Protocol for every slot of a pipeline: what its parts are asked, and what they are handed.

A slot whose parts work in different ways has a Protocol for each way; a part follows one of them. What a part requires
of the rest of the system (a language model, a model's card, a limit of tokens) it says itself, through its Protocol.
Parts are frozen dataclasses: hashable, comparable, and valid once they exist.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol, Self, runtime_checkable

from rag_opt.core.arrays import FloatArray, IntArray, Vectors
from rag_opt.core.registry import declare_slot
from rag_opt.parts.open_indexes import ChunkIds, OpenTextIndex, OpenVectorIndex

if TYPE_CHECKING:
    from rag_opt.core.documents import Answer, Chunk, Document, Span
    from rag_opt.core.ranked_lists import ChunkColumns, RankedLists
    from rag_opt.models.cards import CardLibrary
    from rag_opt.models.embedder_cards import EmbedderCard
    from rag_opt.models.llm.prompts import Prompt
    from rag_opt.models.llm.settings import Request
    from rag_opt.models.reranker_cards import RerankerCard
    from rag_opt.models.reranker_resources import PairScorer, RerankerResources
    from rag_opt.parts.index_queries import IndexQuery
    from rag_opt.parts.packers.ranked import Packed
    from rag_opt.text.tokens import Tokenizer

EmbedTexts = Callable[[Sequence[str]], Vectors]
ChunkVectors = Callable[[ChunkIds], Vectors]


class Part(Protocol):
    """Anything that a slot can hold. Both names are set when it registers."""

    slot: ClassVar[str]
    kind: ClassVar[str]


# chunkers


class SizedChunker(Part, Protocol):
    """What all chunkers say. `libraries`: those whose versions determine the chunks."""

    libraries: ClassVar[tuple[str, ...]]

    @property
    def size(self) -> int:
        """Largest chunk, in tokens of the embedder."""
        ...

    @property
    def expected_overlap(self) -> float:
        """Share of a chunk, in [0, 1), that about the next one repeats."""
        ...

    @property
    def repeats_headers(self) -> bool:
        """Whether a piece of a cut table has its header before it, where it is embedded and where it is read."""
        ...


@runtime_checkable
class TextChunker(SizedChunker, Protocol):
    """A chunker that looks at the text alone."""

    def split(self, document: Document, *, tokenizer: Tokenizer) -> list[Chunk]:
        """Return the document's chunks in their order; every one is an exact span of its text."""
        ...


@runtime_checkable
class VectorChunker(SizedChunker, Protocol):
    """A chunker that compares vectors of pieces of the text."""

    def pieces(self, document: Document, *, tokenizer: Tokenizer) -> list[str]:
        """Return the texts whose vectors it will ask for."""
        ...

    def split_by_vectors(self, document: Document, *, tokenizer: Tokenizer, vectors: EmbedTexts) -> list[Chunk]:
        """Return the document's chunks. `vectors` of the pieces: [texts, dimensions], unit length."""
        ...


Chunker = TextChunker | VectorChunker


# contexts of chunks


class ChunkContext(Part, Protocol):
    """What stands before a chunk where it is embedded and indexed: nothing, unless the part follows one of those below.

    Answers and evidence are of the chunk's own span.
    """

    uses_llm: ClassVar[bool]

    @property
    def most_tokens(self) -> int:
        """About how many tokens it puts before a chunk at most."""
        ...


@runtime_checkable
class PlainChunks(ChunkContext, Protocol):
    """Nothing before a chunk."""


@runtime_checkable
class DescribedContext(ChunkContext, Protocol):
    """A context that the document alone gives."""

    def describe(self, document: Document) -> str:
        """Return what stands before each chunk of a document; empty where there is nothing."""
        ...


@runtime_checkable
class WrittenContext(ChunkContext, Protocol):
    """A context that a language model writes for each chunk."""

    def request(self, document: Document, start: int, end: int) -> Request:
        """Return what the language model is asked about the chunk from `start` to `end` of a document."""
        ...

    def read_line(self, reply: str) -> str:
        """Return what stands before the chunk; empty where the reply holds nothing of use."""
        ...


# embedders


@runtime_checkable
class Embedder(Part, Protocol):
    """What turns texts into vectors: a model, by the name of its card, used in some way."""

    @property
    def name(self) -> str:
        """Name of the model's card, its id on the hub, or a folder."""
        ...

    def adapt(self, card: EmbedderCard) -> EmbedderCard:
        """Return the card as this part uses it. Raises ImpossiblePipeline for a model that cannot do what it asks."""
        ...


@runtime_checkable
class LateChunkingEmbedder(Embedder, Protocol):
    """An embedder that reads windows of whole documents and pools its chunks from their tokens."""

    @property
    def window(self) -> int | None:
        """Tokens read at once; None: all that the model reads."""
        ...

    @property
    def overlap(self) -> float:
        """Share of a window that the next one reads again."""
        ...


@runtime_checkable
class ProjectingEmbedder(Embedder, Protocol):
    """An embedder whose vectors are projected on principal components of the chunks' vectors."""

    @property
    def project_to(self) -> int:
        """Dimensions that are kept."""
        ...


@runtime_checkable
class DistillingEmbedder(Embedder, Protocol):
    """An embedder that makes a model of its own from the one it names. `libraries`: those that determine it."""

    libraries: ClassVar[tuple[str, ...]]

    def distil(self, source: Path, folder: Path) -> None:
        """Write the model made of the one in `source` into `folder`."""
        ...


@runtime_checkable
class WithoutVectors(Part, Protocol):
    """The place of an embedder in a pipeline that reads no vector. `tokenizer`: name of the one that counts chunks."""

    tokenizer: ClassVar[str]


EmbedderPart = Embedder | WithoutVectors

# query


@runtime_checkable
class Query(Part, Protocol):
    """What is searched for: the question as it was asked, unless the part follows one of the Protocols below."""

    uses_llm: ClassVar[bool]


@runtime_checkable
class FeedbackQuery(Query, Protocol):
    """A query that moves the question's vector by the first chunks found."""

    @property
    def feedback(self) -> int:
        """How many chunks it looks at."""
        ...

    def refine_by_chunks(self, vector: Vectors, found: Vectors) -> Vectors:
        """Return the new vector of unit length. `vector` [dimensions], `found` [chunks, dimensions]."""
        ...


@runtime_checkable
class WrittenQuery(Query, Protocol):
    """A query that searches for passages which a language model writes."""

    def requests(self, question: str) -> list[Request]:
        """Return what the language model is asked."""
        ...

    def refine_by_passages(self, vector: Vectors, written: Vectors) -> Vectors:
        """Return the new vector of unit length. `vector` [dimensions], `written` [passages, dimensions]."""
        ...


@runtime_checkable
class RewordingQuery(Query, Protocol):
    """A query that searches for the question and for rewordings of it by a language model."""

    def requests(self, question: str) -> list[Request]:
        """Return what the language model is asked."""
        ...

    def read_rewordings(self, question: str, reply: str) -> list[str]:
        """Return the question and its rewordings, each once."""
        ...

    def is_answered_by(self, question: str, reply: str) -> bool:
        """Return whether a reply is of use, be it that nothing should be reworded."""
        ...


@runtime_checkable
class RoutingQuery(Query, Protocol):
    """A query that searches only some of the lists, as a language model says for each question."""

    def request(self, question: str) -> Request:
        """Return what the language model is asked."""
        ...

    def read_route(self, reply: str) -> frozenset[str]:
        """Return the names of the lists that are searched; empty where the reply names none."""
        ...


# indexes and retrievers


@runtime_checkable
class TextIndex(Part, Protocol):
    """An index of texts. `libraries`: those whose versions determine it."""

    libraries: ClassVar[tuple[str, ...]]

    def in_language(self, language: str) -> Self:
        """Return the index for documents in a language (ISO 639-1, or empty where nobody knows)."""
        ...

    def build_from_texts(self, folder: Path, blocks: Iterable[Sequence[str]], count: int) -> None:
        """Write an index of `count` texts, given in blocks, into the folder."""
        ...

    def open(self, folder: Path) -> OpenTextIndex:
        """Return the index that was written into the folder."""
        ...

    def write_for_serving(self, stored: Path, folder: Path) -> None:
        """Write what an exported pipeline opens, made of the index in `stored`, into a new folder; no pickle."""
        ...


@runtime_checkable
class VectorIndex(Part, Protocol):
    """An index of vectors. `libraries`: those whose versions determine it."""

    libraries: ClassVar[tuple[str, ...]]

    def build_from_vectors(self, folder: Path, blocks: Iterable[Vectors], count: int) -> None:
        """Write an index of `count` vectors, given in blocks of [rows, dimensions], into the folder."""
        ...

    def compares_all(self, count: int) -> bool:
        """Return whether a search compares each of `count` vectors: then its lists are the same in every build."""
        ...

    def recall(self, folder: Path) -> float | None:
        """Return the share of the nearest vectors that the index in the folder finds; None where it compares all."""
        ...

    def open(self, folder: Path) -> OpenVectorIndex:
        """Return the index that was written into the folder."""
        ...

    def write_for_serving(self, stored: Path, folder: Path) -> None:
        """Write what an exported pipeline opens, made of the index in `stored`, into a new folder; no pickle."""
        ...


Index = TextIndex | VectorIndex


@runtime_checkable
class ModelPart(Part, Protocol):
    """A part with a model of its own."""

    @property
    def name(self) -> str:
        """Name of the model's card, its id on the hub, or a folder."""
        ...

    def find_card(
        self, rerankers: CardLibrary[RerankerCard], embedders: CardLibrary[EmbedderCard]
    ) -> RerankerCard | EmbedderCard:
        """Return the card of its model. Raises BadInput for none, ImpossiblePipeline for one that is of no use here."""
        ...


@runtime_checkable
class ModelIndex(ModelPart, Protocol):
    """An index of texts that a model of its own encodes."""

    def bind(self, resources: RerankerResources) -> BoundIndex:
        """Return the index that encodes by its model; none is loaded yet."""
        ...


@runtime_checkable
class BoundIndex(TextIndex, Protocol):
    """An index of texts with its model. `key`: hash of everything that determines what the model gives."""

    key: str
    card: RerankerCard | EmbedderCard

    def recall(self, folder: Path) -> float | None:
        """Return the share of the right hits that the index in the folder finds; None where it compares all."""
        ...


@runtime_checkable
class Retriever(Part, Protocol):
    """Which ranked lists are asked for, and how they become one."""

    @property
    def top_k(self) -> int:
        """Hits in the end."""
        ...

    @property
    def depth(self) -> int:
        """Length of the fused list."""
        ...

    @property
    def per_document(self) -> int | None:
        """Most hits of one document; None: no limit."""
        ...

    def index_queries(self) -> dict[str, IndexQuery]:
        """Return the lists that it needs, by name: `dense` for vectors, `lexical` for words."""
        ...

    def fuse(self, lists: Mapping[str, RankedLists]) -> RankedLists:
        """Return one list per question, made of the named ones."""
        ...


@runtime_checkable
class SweepableRetriever(Retriever, Protocol):
    """A retriever that orders chunks by the sum of what each list gives to them."""

    def gains(self, lists: Mapping[str, RankedLists]) -> dict[str, FloatArray]:
        """Return [questions, depth] by list: what each place gives to its chunk, never growing down a list."""
        ...


@runtime_checkable
class SimplifiableRetriever(Retriever, Protocol):
    """A retriever with settings that change nothing beside its others, or over some documents."""

    def simplified(self, *, language: str, compares_all: bool) -> Retriever:
        """Return the retriever that does the same, with such settings as they are by default.

        `language` of the documents (ISO 639-1, or empty); `compares_all`: an index compares all of their vectors.
        """
        ...


# expanders, rerankers, packers


@runtime_checkable
class Expander(Part, Protocol):
    """What a hit returns: its chunk, or a wider span around it."""

    def expand(self, chunks: ChunkColumns) -> tuple[IntArray, IntArray]:
        """Return start and end of what each chunk returns."""
        ...


@runtime_checkable
class ListReranker(Part, Protocol):
    """A reranker that looks at nothing but the lists."""

    uses_llm: ClassVar[bool]

    def rerank(self, candidates: RankedLists) -> RankedLists:
        """Return the lists in their new order."""
        ...


@runtime_checkable
class VectorReranker(Part, Protocol):
    """A reranker that compares the vectors of chunks."""

    uses_llm: ClassVar[bool]

    def rerank_by_vectors(self, candidates: RankedLists, *, chunk_vectors: ChunkVectors) -> RankedLists:
        """Return the lists in their new order. `chunk_vectors` gives [chunks, dimensions] of some chunks."""
        ...


@runtime_checkable
class PairReranker(ModelPart, Protocol):
    """A reranker whose model scores pairs of question and text."""

    uses_llm: ClassVar[bool]

    @property
    def depth(self) -> int:
        """How many of the first hits it scores."""
        ...

    def scorer(self, resources: RerankerResources) -> PairScorer:
        """Return the model that scores pairs."""
        ...


@runtime_checkable
class LLMReranker(Part, Protocol):
    """A reranker that shows a language model the first hits together."""

    uses_llm: ClassVar[bool]

    @property
    def depth(self) -> int:
        """How many of the first hits it shows."""
        ...

    def request(self, question: str, texts: Sequence[str]) -> Request:
        """Return what the language model is asked."""
        ...

    def read_ranking(self, reply: str, count: int) -> list[int]:
        """Return the places of `count` texts, from 0, in their new order, every one once; none where it names none."""
        ...


Reranker = ListReranker | VectorReranker | PairReranker | LLMReranker


@runtime_checkable
class Packer(Part, Protocol):
    """What of the hits reaches the context."""

    @property
    def context_tokens(self) -> int:
        """Most tokens of a context."""
        ...

    @property
    def tokenizer(self) -> str:
        """Name of the tokenizer that counts them (`rag_opt.text.tokenizer_names`)."""
        ...

    def pack(self, hits: Sequence[Span], *, count: Callable[[Span], int]) -> Packed:
        """Return the passages of the context. `hits` best first; `count` gives the tokens of a span."""
        ...


# generators


@runtime_checkable
class ExtractiveGenerator(Part, Protocol):
    """A generator that answers with sentences of the context."""

    uses_llm: ClassVar[bool]

    def answer(
        self,
        question_vectors: Vectors,
        contexts: Sequence[Sequence[Span]],
        *,
        sentences: Callable[[Span], list[Span]],
        text: Callable[[Span], str],
        vectors: EmbedTexts,
    ) -> list[Answer]:
        """Return an answer for each question. `question_vectors`: [questions, dimensions], unit length."""
        ...


@runtime_checkable
class LLMGenerator(Part, Protocol):
    """A generator that has a language model answer from the context."""

    uses_llm: ClassVar[bool]

    @property
    def prompt(self) -> str:
        """Name of its prompt."""
        ...

    def check(self, prompts: CardLibrary[Prompt]) -> None:
        """Raise BadInput where its prompt is missing, ImpossiblePipeline where it is of no use."""
        ...

    def arrange(self, passages: Sequence[Span]) -> list[Span]:
        """Return the passages, given best first, in the order in which they are read."""
        ...

    def request(self, question: str, passages: Sequence[str], prompt: Prompt) -> Request:
        """Return what the language model is asked; `passages` as they are read."""
        ...

    def read_answer(self, reply: str, passages: Sequence[Span], prompt: Prompt) -> Answer:
        """Return the answer that a reply holds; `passages` as they were read."""
        ...

    def closed_book(self) -> LLMGenerator:
        """Return the generator that answers without any passage."""
        ...


@runtime_checkable
class PassagesOnly(Part, Protocol):
    """A generator that answers nothing: the passages are the result. `answers`: False."""

    uses_llm: ClassVar[bool]
    answers: ClassVar[bool]


Generator = ExtractiveGenerator | LLMGenerator | PassagesOnly

declare_slot("chunker", "how documents are cut", TextChunker, VectorChunker)
declare_slot(
    "chunk_context", "what stands before a chunk where it is searched", DescribedContext, WrittenContext, PlainChunks
)
declare_slot("embedder", "what turns texts into vectors", Embedder, WithoutVectors)
declare_slot("query", "what is searched for", Query)
declare_slot("retriever", "which lists are fetched, and how they become one", Retriever)
declare_slot("expander", "what a hit returns: its chunk, or a wider span around it", Expander)
declare_slot("reranker", "what reorders the hits", ListReranker, VectorReranker, PairReranker, LLMReranker)
declare_slot("packer", "what of the hits reaches the context", Packer)
declare_slot("generator", "what answers from the context", ExtractiveGenerator, LLMGenerator, PassagesOnly)
declare_slot("index", "what finds candidates; retrievers choose it", TextIndex, VectorIndex, ModelIndex)
