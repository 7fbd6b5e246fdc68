"""What a retriever fetches: lists of an index, and the settings that all retrievers of the same lists share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass as plain_dataclass
from dataclasses import field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le
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
Depth = Annotated[int, Ge(1), Le(1000)]


@plain_dataclass(frozen=True)
class IndexQuery:
    """A list of the best `depth` chunks of an index, by its kind. `build` settings make another index, `search`
    settings only another list of the same index.
    """

    index: str
    depth: int
    build: Mapping[str, Any] = field(default_factory=dict)
    search: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RetrievalLimits:
    """`depth`: how long a list is fetched; `per_document`: hits of one document at most; `top_k`: hits in the end."""

    top_k: Annotated[int, Ge(1), Le(200)] = 5
    depth: Depth = 50
    per_document: Annotated[int, Ge(1), Le(200)] | None = None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BM25Parameters:
    """Okapi BM25 and its variants. `stop_words` and `stemmer`: of the corpus's language, of a named one, or none."""

    k1: Annotated[float, Ge(0), Le(5)] = 1.2
    b: Annotated[float, Ge(0), Le(1)] = 0.75
    method: BM25Method = "lucene"
    stop_words: StopWords = "corpus"
    stemmer: Stemmer = "none"

    def bm25_query(self, depth: int) -> IndexQuery:
        build = {"k1": self.k1, "b": self.b, "method": self.method}
        return IndexQuery("bm25", depth, {**build, "stop_words": self.stop_words, "stemmer": self.stemmer})


@dataclass(frozen=True, kw_only=True, config=STRICT)
class HybridParameters(RetrievalLimits, BM25Parameters):
    """A dense and a lexical list. `lexical_depth`: of the lexical one, where it is not `depth`."""

    vectors: Literal["chroma", "exact"] = "chroma"
    ef_search: Annotated[int, Ge(10), Le(2000)] = 100
    lexical_depth: Depth | None = None

    def index_queries(self) -> dict[str, IndexQuery]:
        search = {"ef_search": self.ef_search} if self.vectors == "chroma" else {}
        dense = IndexQuery(self.vectors, self.depth, {}, search)
        return {"dense": dense, "lexical": self.bm25_query(self.lexical_depth or self.depth)}
