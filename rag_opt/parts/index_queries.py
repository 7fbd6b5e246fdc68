"""Queries of indexes, and the settings that all retrievers of the same lists share."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass as plain_dataclass
from dataclasses import field
from typing import Annotated, Any, Literal, Self

from annotated_doc import Doc
from annotated_types import Ge, Le
from pydantic import model_validator
from pydantic.dataclasses import dataclass

from rag_opt.core.strict import STRICT

BM25Method = Literal["lucene", "robertson", "atire", "bm25l", "bm25+"]
# as bm25s and Snowball name them; `corpus` is the language of the documents
StopWords = Literal[
    "corpus", "none", "english", "german", "dutch", "french", "spanish", "portuguese", "italian", "russian",
    "swedish", "norwegian", "chinese", "turkish", "korean", "danish",
]  # fmt: skip
Stemmer = Literal[
    "corpus", "none", "arabic", "armenian", "basque", "catalan", "czech", "danish", "dutch", "english", "esperanto",
    "estonian", "persian", "polish", "finnish", "french", "german", "greek", "hindi", "hungarian", "indonesian",
    "irish", "italian", "lithuanian", "nepali", "norwegian", "portuguese", "romanian", "russian", "serbian",
    "spanish", "swedish", "tamil", "turkish", "yiddish",
]  # fmt: skip
# ISO 639-1 -> the names that bm25s knows stop words by, and Snowball its stemmers
STOP_WORDS: dict[str, StopWords] = {
    "en": "english", "de": "german", "nl": "dutch", "fr": "french", "es": "spanish", "pt": "portuguese",
    "it": "italian", "ru": "russian", "sv": "swedish", "no": "norwegian", "zh": "chinese", "tr": "turkish",
    "ko": "korean", "da": "danish",
}  # fmt: skip
STEMMERS: dict[str, Stemmer] = {
    "ar": "arabic", "hy": "armenian", "eu": "basque", "ca": "catalan", "cs": "czech", "da": "danish", "nl": "dutch",
    "en": "english", "eo": "esperanto", "et": "estonian", "fa": "persian", "pl": "polish", "fi": "finnish",
    "fr": "french", "de": "german", "el": "greek", "hi": "hindi", "hu": "hungarian", "id": "indonesian",
    "ga": "irish", "it": "italian", "lt": "lithuanian", "ne": "nepali", "no": "norwegian", "pt": "portuguese",
    "ro": "romanian", "ru": "russian", "sr": "serbian", "es": "spanish", "sv": "swedish", "ta": "tamil",
    "tr": "turkish", "yi": "yiddish",
}  # fmt: skip
Depth = Annotated[int, Ge(1), Le(1000)]
DEFAULT_EF_SEARCH = 100
BM25 = "bm25"


@plain_dataclass(frozen=True)
class IndexQuery:
    """A list of the best `depth` chunks of an index, named by its kind.

    Other `build` settings make another index, other `search` settings only another list of the same index.
    """

    index: str
    depth: int
    build: Mapping[str, str | float] = field(default_factory=dict)
    search: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RetrievalLimits:
    """How many chunks are fetched and kept."""

    top_k: Annotated[int, Ge(1), Le(200), Doc("Hits in the end.")] = 5
    depth: Annotated[Depth, Doc("Chunks that each list is fetched with.")] = 50
    per_document: Annotated[
        Annotated[int, Ge(1), Le(200)] | None, Doc("Most hits of one document; null: no limit.")
    ] = None

    @model_validator(mode="after")
    def _refuse_hits_that_no_list_holds(self) -> Self:
        if self.top_k > self.depth:
            raise ValueError(f"top_k={self.top_k} is more than depth={self.depth}, the chunks that are fetched")
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BM25Parameters:
    """Okapi BM25 and its variants."""

    k1: Annotated[float, Ge(0), Le(5), Doc("How soon a word's frequency stops to matter.")] = 1.2
    b: Annotated[float, Ge(0), Le(1), Doc("How much long chunks are held back.")] = 0.75
    method: Annotated[BM25Method, Doc("Variant of BM25, as bm25s names it.")] = "lucene"
    stop_words: Annotated[StopWords, Doc("Words left out: of the corpus's language, of a named one, or none.")] = (
        "corpus"
    )
    stemmer: Annotated[Stemmer, Doc("Endings cut: of the corpus's language, of a named one, or none.")] = "none"

    def in_language(self, language: str) -> Self:
        """Return the same with what `corpus` stands for. `language`: ISO 639-1, or empty."""
        none: Literal["none"] = "none"
        stop_words = STOP_WORDS.get(language, none) if self.stop_words == "corpus" else self.stop_words
        stemmer = STEMMERS.get(language, none) if self.stemmer == "corpus" else self.stemmer
        return dataclasses.replace(self, stop_words=stop_words, stemmer=stemmer)

    def bm25_query(self, depth: int) -> IndexQuery:
        """Return the query of a BM25 index with these parameters."""
        build: dict[str, str | float] = {"k1": self.k1, "b": self.b, "method": self.method}
        return IndexQuery("bm25", depth, {**build, "stop_words": self.stop_words, "stemmer": self.stemmer})


@dataclass(frozen=True, kw_only=True, config=STRICT)
class HybridParameters(RetrievalLimits, BM25Parameters):
    """A dense and a lexical list."""

    vectors: Annotated[Literal["chroma", "exact"], Doc("Index of the vectors.")] = "chroma"
    ef_search: Annotated[int, Ge(10), Le(2000), Doc("Neighbours that a graph looks at; never fewer than depth.")] = (
        DEFAULT_EF_SEARCH
    )
    lexical_depth: Annotated[Depth | None, Doc("Chunks of the lexical list; null: depth.")] = None
    words: Annotated[str, Doc("How words are searched: bm25, or by the card of a sparse model.")] = BM25

    def index_queries(self) -> dict[str, IndexQuery]:
        """Return the queries of both lists."""
        search = {"ef_search": self.ef_search} if self.vectors == "chroma" else {}
        dense = IndexQuery(self.vectors, self.depth, {}, search)
        depth = self.lexical_depth or self.depth
        sparse = IndexQuery("sparse", depth, {"name": self.words})
        return {"dense": dense, "lexical": self.bm25_query(depth) if self.words == BM25 else sparse}

    def simplified(self, *, language: str, compares_all: bool) -> Self:
        """Return the part that does the same over such documents."""
        same_depth = self.lexical_depth in (None, self.depth)
        usual: dict[str, Any] = {} if self.words == BM25 else dataclasses.asdict(BM25Parameters())  # nothing reads them
        return dataclasses.replace(
            self.in_language(language),
            **usual,
            ef_search=DEFAULT_EF_SEARCH if compares_all or self.vectors == "exact" else self.ef_search,
            lexical_depth=None if same_depth else self.lexical_depth,
        )
