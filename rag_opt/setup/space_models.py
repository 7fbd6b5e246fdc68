"""The models that a search can use, found once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from rag_opt.core.errors import BadInput, ImpossiblePipeline
from rag_opt.evaluation.interfaces import ComparesAnswers
from rag_opt.models.cards import CardLibrary, ModelCard
from rag_opt.models.embedder_cards import EmbedderCards
from rag_opt.models.reranker_cards import RerankerCard
from rag_opt.parts.interfaces import ModelIndex, PairReranker
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.study.cost.forecaster import find_model_indexes, find_pair_rerankers, model_names
from rag_opt.study.evaluation import ObjectiveSet
from rag_opt.study.space.space import Space


@dataclass(frozen=True)
class SpaceModels:
    """The models of one search by the names of their cards.

    `embedders` of the space; `rerankers`: a part for each model that a reranker of the space can name, with the path of
    its setting; `compared`: models by which objectives compare answers, with the kind of the objective; `indexes`:
    one for each model that an index of a retriever can name, with the path of its setting.
    """

    embedders: tuple[str, ...]
    baseline_embedder: str | None
    rerankers: tuple[tuple[str, PairReranker], ...]
    compared: dict[str, str]
    indexes: tuple[tuple[str, ModelIndex], ...] = ()

    @property
    def document_embedders(self) -> tuple[str, ...]:
        """Models that encode documents: those of the space, and the baseline's."""
        return tuple(name for name in dict.fromkeys([*self.embedders, self.baseline_embedder]) if name is not None)

    @staticmethod
    def of(space: Space, baseline: PipelineSpec, objective_set: ObjectiveSet) -> SpaceModels:
        """Return the models that pipelines of a space, the baseline and the objectives use."""
        objectives = objective_set.objectives(finalist=True)
        compared = {one.similarity_model: one.kind for one in objectives if isinstance(one, ComparesAnswers)}
        return SpaceModels(
            tuple(model_names(space)),
            baseline.embedding_model,
            tuple(find_pair_rerankers(space)),
            compared,
            tuple(find_model_indexes(space)),
        )

    def cards(self, embedders: EmbedderCards, rerankers: CardLibrary[RerankerCard]) -> Iterator[ModelCard]:
        """Yield the card of every model; one that is not there is left out, since it is reported with all else."""
        for name in dict.fromkeys([*self.document_embedders, *self.compared]):
            with contextlib.suppress(BadInput):
                yield embedders.read(name)
        for _, part in (*self.rerankers, *self.indexes):
            with contextlib.suppress(BadInput, ImpossiblePipeline):
                yield part.find_card(rerankers, embedders)
