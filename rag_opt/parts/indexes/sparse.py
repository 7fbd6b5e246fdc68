"""Sparse vectors searched by the words that a model weighs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

import numpy as np
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
from rag_opt.models.sparse_model import SparseModel
from rag_opt.parts.defaults import IndexDefaults

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_NO_SETTINGS: Mapping[str, int] = MappingProxyType({})
_FILE = "sparse.npz"


@register("index", "sparse")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Sparse:
    """Search by learned weights of words (SPLADE, Formal et al., 2021), every chunk compared: the sum of products."""

    name: Annotated[str, Doc("Name of the model's card, its id on the hub, or a folder.")]

    libraries: ClassVar[tuple[str, ...]] = ("scipy",)

    def find_card(self, rerankers: CardLibrary[RerankerCard], embedders: CardLibrary[EmbedderCard]) -> EmbedderCard:
        """Return the card of its model. Raises BadInput for none, ImpossiblePipeline for one of dense vectors."""
        card = embedders.read(self.name)
        if card.vectors != "sparse":
            raise ImpossiblePipeline(f"{self.name} gives dense vectors: the slot for it is the embedder")
        if card.served:
            raise ImpossiblePipeline(f"{self.name} runs behind a server, which gives no weights of words")
        return card

    def bind(self, resources: RerankerResources) -> BoundSparse:
        """Return the index that encodes by its model."""
        return BoundSparse(self.find_card(resources.rerankers, resources.embedders), resources)


class BoundSparse(IndexDefaults):
    """An index of texts that a sparse model encodes (a `TextIndex`)."""

    slot: ClassVar[str] = "index"
    kind: ClassVar[str] = "sparse"
    libraries: ClassVar[tuple[str, ...]] = Sparse.libraries

    def __init__(self, card: EmbedderCard, resources: RerankerResources) -> None:
        self.card = card
        self._model = SparseModel(card, values=resources.values, machine=resources.machine, spend=resources.spend)
        self.key = digest([self.kind, self._model.key, source_digest(__name__)])

    def in_language(self, language: str) -> Self:
        """Return itself: the model decides what a word is."""
        return self

    def build_from_texts(self, folder: Path, blocks: Iterable[Sequence[str]], count: int) -> None:
        """Write the index of `count` texts: for each word the chunks that it weighs in."""
        from scipy.sparse import save_npz, vstack

        rows = [self._model.vectors(list(block), "document") for block in blocks]
        whole = vstack(rows, format="csc") if rows else self._model.vectors([], "document").tocsc()
        save_npz(folder / _FILE, whole)

    def recall(self, folder: Path) -> float | None:
        """Return None: every chunk is compared."""
        return None

    def open(self, folder: Path) -> OpenSparse:
        """Return the index that was written into the folder."""
        from scipy.sparse import csr_array, load_npz

        # words by chunks: a query adds up the rows of its words
        return OpenSparse(csr_array(load_npz(folder / _FILE).T), self._model)


class OpenSparse:
    """An index of sparse vectors, read into memory."""

    def __init__(self, by_word: csr_array, model: SparseModel) -> None:
        self._by_word, self._model = by_word, model

    def search(
        self,
        queries: Sequence[str],
        depth: int,
        *,
        allowed: NDArray[np.int32] | None = None,
        settings: Mapping[str, int] = _NO_SETTINGS,
    ) -> RankedLists:
        """Return the best chunks of each query; one that shares no weighed word with it is not one. No `settings`."""
        scores = (self._model.vectors(list(queries), "query") @ self._by_word).toarray().astype(np.float32)
        return RankedLists.of_scores(scores, depth, allowed=allowed)

    def close(self) -> None:
        """Nothing is held open."""
