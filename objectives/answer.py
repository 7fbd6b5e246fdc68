"""Scores of the answer against the reference, and of refusals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

import numpy as np
from annotated_doc import Doc
from annotated_types import Ge, Le
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from objectives.ragas_metrics import score_rouge_l, score_semantic_similarity
from rag_opt.core.arrays import FloatArray
from rag_opt.core.questions import PageOfDocument, Question
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.evaluation.guards import Guard
from rag_opt.evaluation.interfaces import ObjectiveDefaults, Requirement
from rag_opt.evaluation.run import Run, Scores, ScoringResources
from rag_opt.metrics.evidence import score_evidence_recall

_SIMILARITY = "ragas/semantic_similarity"
_LEAST_ATTAINABLE = 0.3  # similarity: where the evidence itself has less to do with the reference, it says nothing
_BEGINNING = 4000  # characters of a document that is evidence as a whole
ContextPrice = Annotated[float, Ge(0), Doc("Price of 1,000 tokens of context, in units of the score.")]
SimilarityModel = Annotated[str, Doc("Name of the card of the embedding model that compares answers.")]
RefusalWorth = Annotated[float, Ge(0), Le(1), Doc("Score of a right refusal; 0.5 is about that of an average answer.")]


@register("objective", "grounded_answer")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class GroundedAnswer(ObjectiveDefaults):
    """Answers from the right evidence: found and said as well as that evidence allows; refusals where there is none.

    Answerable: 0 for a refusal, else the mean of evidence recall and of the answer's similarity to the reference, as a
    share of the similarity that the evidence itself has to it: min(1, similarity / max(0.3, attainable)). Unanswerable:
    `refusal_worth` for a refusal, else 0. A price per 1,000 context tokens is subtracted from both: more context must
    earn its place. The similarity model belongs to the objective and is the same for all trials. Nobody wins by finding
    more and saying worse: a guard keeps the semantic similarity at the baseline's.
    """

    price_per_1000_tokens: ContextPrice = 0.05
    refusal_worth: RefusalWorth = 0.5
    similarity_model: SimilarityModel = "minilm"

    requires: ClassVar[frozenset[Requirement]] = frozenset({"evidence", "reference_answers"})
    guards: ClassVar[Mapping[str, Guard]] = {"semantic_similarity": Guard(fall=0.0)}
    libraries: ClassVar[tuple[str, ...]] = ("ragas",)

    def score(self, run: Run, resources: ScoringResources) -> Scores:
        """Return the value first, then the semantic similarity of the answer, and that of the evidence."""
        similarity = score_similarity(run, resources, self.similarity_model)
        attainable = score_attainable_similarity(run, resources, self.similarity_model)
        recall = score_evidence_recall(run.responses.hits, run.questions, run.corpus)
        share = np.minimum(similarity[_SIMILARITY] / np.maximum(attainable, _LEAST_ATTAINABLE), 1.0)
        refused = _refused(run)
        answered = np.where(refused > 0, 0.0, (recall + share) / 2)
        price = self.price_per_1000_tokens * run.responses.context_tokens / 1000
        value = np.where(_answerable(run), answered, self.refusal_worth * refused) - price
        return {"quality/grounded_answer": value, **similarity, "ragas/attainable_similarity": attainable}


@register("objective", "answer_similarity")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class AnswerSimilarity(ObjectiveDefaults):
    """Semantic similarity to the reference, 0 for a wrong refusal, the worth of a right one; minus a price."""

    price_per_1000_tokens: ContextPrice = 0.05
    refusal_worth: RefusalWorth = 0.5
    similarity_model: SimilarityModel = "minilm"

    requires: ClassVar[frozenset[Requirement]] = frozenset({"reference_answers"})
    libraries: ClassVar[tuple[str, ...]] = ("ragas",)

    def score(self, run: Run, resources: ScoringResources) -> Scores:
        """Return the value first, then the semantic similarity."""
        similarity = score_similarity(run, resources, self.similarity_model)
        price = self.price_per_1000_tokens * run.responses.context_tokens / 1000
        value = np.where(_answerable(run), similarity[_SIMILARITY], self.refusal_worth * _refused(run)) - price
        return {"quality/answer_similarity_after_price": value, **similarity}


@register("objective", "refusals")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Refusals(ObjectiveDefaults):
    """Share of refusals: of answerable questions (wrong ones) and of unanswerable questions (right ones)."""

    stored: ClassVar[bool] = False

    def score(self, run: Run, resources: ScoringResources) -> Scores:
        """Return 1 for a refusal, else 0: of unanswerable questions first, then of answerable ones."""
        refused, answerable = _refused(run), _answerable(run)
        return {
            "quality/refused_unanswerable": np.where(answerable, np.nan, refused),
            "quality/refused_answerable": np.where(answerable, refused, np.nan),
        }


@register("objective", "rouge")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Rouge(ObjectiveDefaults):
    """ROUGE-L F-measure (ragas) of the answer against the reference; 0 for a refusal. Slow: for finalists."""

    requires: ClassVar[frozenset[Requirement]] = frozenset({"reference_answers"})
    libraries: ClassVar[tuple[str, ...]] = ("ragas", "rouge-score")

    def score(self, run: Run, resources: ScoringResources) -> Scores:
        """Return ROUGE-L, NaN without a reference."""
        refused, rows, pairs = _pair_with_references(run)
        return {"ragas/rouge_l": _best_of(refused, rows, score_rouge_l(pairs))}


def score_similarity(run: Run, resources: ScoringResources, model: str) -> Scores:
    """Return ragas' semantic similarity of each answer to its reference; 0 for a refusal, NaN without a reference.

    Of several references the nearest counts. Beside it, 1 where answer or reference is longer than the similarity model
    (a card's name) reads, else 0.
    """
    refused, rows, pairs = _pair_with_references(run)
    encoder, cut = resources.encoder(model), np.full(len(run.questions), np.nan)
    similarity = _best_of(refused, rows, score_semantic_similarity(pairs, encoder))
    if pairs:
        references_cut, answers_cut = (
            encoder.longer_than_read(texts, "document") for texts in zip(*pairs, strict=True)
        )
        cut = _best_of(cut, rows, np.logical_or(references_cut, answers_cut).astype(float))
    return {_SIMILARITY: similarity, "ragas/semantic_similarity_cut": cut}


def score_attainable_similarity(run: Run, resources: ScoringResources, model: str) -> FloatArray:
    """Return ragas' semantic similarity of each question's evidence to its reference; NaN where one of them is missing.

    The evidence is the first alternative of every need, in order; of whole documents their beginning, as far as the
    similarity model reads.
    """
    rows, pairs = list[int](), list[tuple[str, str]]()
    for row, question in enumerate(run.questions):
        if question.answerable and question.right_answers and question.evidence:
            evidence = _read_evidence(question, run)
            rows += [row] * len(question.right_answers)
            pairs += [(answer, evidence) for answer in question.right_answers]
    nothing = np.full(len(run.questions), np.nan)
    return _best_of(nothing, rows, score_semantic_similarity(pairs, resources.encoder(model)))


def _best_of(column: FloatArray, rows: Sequence[int], scores: FloatArray) -> FloatArray:
    """Return the column with the best of the scores of each row that has any."""
    best = np.full(len(column), -np.inf)
    np.maximum.at(best, np.asarray(rows, int), scores)
    return np.where(np.isfinite(best), best, column)


def _read_evidence(question: Question, run: Run) -> str:
    texts = list[str]()
    for need in question.evidence or ():
        passage = run.texts.passage_of(need[0])
        if passage is None:
            first, whole = need[0], run.corpus[need[0].document_id].text
            passage = whole[first.start : first.end] if isinstance(first, PageOfDocument) else whole[:_BEGINNING]
        texts.append(passage)
    return " ".join(texts)


def _pair_with_references(run: Run) -> tuple[FloatArray, list[int], list[tuple[str, str]]]:
    """Return a column (0 where there is a reference, else NaN), the rows to score, and their (reference, answer).

    The rows are those that have a reference and were not refused; one with several references stands several times.
    """
    column, rows, pairs = np.full(len(run.questions), np.nan), list[int](), list[tuple[str, str]]()
    for row, (question, answer) in enumerate(zip(run.questions, run.responses.answers, strict=True)):
        if not question.answerable or not question.right_answers:
            continue
        column[row] = 0.0
        if not answer.refused:
            rows += [row] * len(question.right_answers)
            pairs += [(reference, answer.text) for reference in question.right_answers]
    return column, rows, pairs


def _refused(run: Run) -> FloatArray:
    return np.array([answer.refused for answer in run.responses.answers], float)


def _answerable(run: Run) -> NDArray[np.bool_]:
    return np.array([question.answerable for question in run.questions], bool)
