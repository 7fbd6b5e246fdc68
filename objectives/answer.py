"""Whether the answer is right, and whether it was right to refuse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge
from pydantic.dataclasses import dataclass

from objectives.ragas_metrics import rouge_scores, semantic_similarities
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.evaluation.run import Run, Scores, ScoringResources
from rag_opt.metrics.evidence import covered

_SIMILARITY = "ragas/semantic_similarity"


def similarities(run: Run, tools: ScoringResources, model: str) -> Scores:
    """ragas semantic similarity of each answer to its reference; 0 for a refusal, NaN without a reference.

    Beside it the share of answers or references that are longer than the similarity model reads.
    """
    said, cut = np.full(len(run.questions), np.nan), np.full(len(run.questions), np.nan)
    rows = []
    for row, (question, answer) in enumerate(zip(run.questions, run.responses.answers, strict=True)):
        if question.answerable and question.reference_answer:
            said[row] = 0.0
            if not answer.refused:
                rows.append(row)
    pairs = [(run.questions[row].reference_answer or "", run.responses.answers[row].text) for row in rows]
    said[rows] = semantic_similarities(pairs, tools.encoder(model))
    if pairs:
        longer = [tools.encoder(model).longer_than_read(texts, "document") for texts in zip(*pairs, strict=True)]
        cut[rows] = np.logical_or(*longer)
    return {_SIMILARITY: said, "ragas/semantic_similarity_cut": cut}


@register("objective", "grounded_answer")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class GroundedAnswer:
    """Answerable: the mean of evidence recall and answer similarity. Unanswerable: 1 for a refusal, else 0.

    From both a price per 1,000 context tokens is taken: more context must earn its place. The similarity
    model belongs to the objective and is the same for all trials.
    """

    price_per_1000_tokens: Annotated[float, Ge(0)] = 0.05
    similarity_model: str = "minilm"

    direction: ClassVar[Literal["maximize", "minimize"]] = "maximize"
    requires: ClassVar[frozenset[str]] = frozenset({"evidence", "reference_answers"})
    aggregates: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    stored: ClassVar[bool] = True
    libraries: ClassVar[tuple[str, ...]] = ("ragas",)

    def score(self, run: Run, tools: ScoringResources) -> Scores:
        similar = similarities(run, tools, self.similarity_model)
        answered = (covered(run.responses.hits, run.questions, run.corpus) + similar[_SIMILARITY]) / 2
        refused = np.array([answer.refused for answer in run.responses.answers], float)
        answerable = np.array([question.answerable for question in run.questions], bool)
        price = self.price_per_1000_tokens * run.responses.context_tokens / 1000
        return {
            "quality/grounded_answer": np.where(answerable, answered, refused) - price,
            **similar,
        }


@register("objective", "answer_similarity")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class AnswerSimilarity:
    """ragas semantic similarity to the reference (0 for a refusal), or 1 for a right refusal, minus the price."""

    price_per_1000_tokens: Annotated[float, Ge(0)] = 0.05
    similarity_model: str = "minilm"

    direction: ClassVar[Literal["maximize", "minimize"]] = "maximize"
    requires: ClassVar[frozenset[str]] = frozenset({"reference_answers"})
    aggregates: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    stored: ClassVar[bool] = True
    libraries: ClassVar[tuple[str, ...]] = ("ragas",)

    def score(self, run: Run, tools: ScoringResources) -> Scores:
        similar = similarities(run, tools, self.similarity_model)
        refused = np.array([answer.refused for answer in run.responses.answers], float)
        answerable = np.array([question.answerable for question in run.questions], bool)
        price = self.price_per_1000_tokens * run.responses.context_tokens / 1000
        return {
            "quality/answer_similarity_after_price": np.where(answerable, similar[_SIMILARITY], refused) - price,
            **similar,
        }


@register("objective", "refusals")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Refusals:
    """How often it refused: wrongly (answerable questions) and rightly (unanswerable ones)."""

    direction: ClassVar[Literal["maximize", "minimize"]] = "maximize"
    requires: ClassVar[frozenset[str]] = frozenset()
    aggregates: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    stored: ClassVar[bool] = False
    libraries: ClassVar[tuple[str, ...]] = ()

    def score(self, run: Run, tools: ScoringResources) -> Scores:
        refused = np.array([answer.refused for answer in run.responses.answers], float)
        answerable = np.array([question.answerable for question in run.questions], bool)
        return {
            "quality/refused_unanswerable": np.where(answerable, np.nan, refused),
            "quality/refused_answerable": np.where(answerable, refused, np.nan),
        }


@register("objective", "rouge")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Rouge:
    """ragas ROUGE-L F-measure of the answer against the reference; 0 for a refusal. Slow: for finalists."""

    direction: ClassVar[Literal["maximize", "minimize"]] = "maximize"
    requires: ClassVar[frozenset[str]] = frozenset({"reference_answers"})
    aggregates: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    stored: ClassVar[bool] = True
    libraries: ClassVar[tuple[str, ...]] = ("ragas", "rouge-score")

    def score(self, run: Run, tools: ScoringResources) -> Scores:
        scores = np.full(len(run.questions), np.nan)
        rows = [i for i, q in enumerate(run.questions) if q.answerable and q.reference_answer]
        scores[rows] = 0.0
        answered = [i for i in rows if not run.responses.answers[i].refused]
        pairs = [(run.questions[i].reference_answer or "", run.responses.answers[i].text) for i in answered]
        scores[answered] = rouge_scores(pairs)
        return {"ragas/rouge_l": scores}
