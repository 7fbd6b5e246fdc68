"""Metrics of ragas that a language model judges, or that compare by an embedding model.

An answer that refuses is not judged: it has the worst score where the question has an answer, the best where it has
none. Where nothing was retrieved there is nothing to judge either: the worst.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import Annotated, ClassVar, Literal

from annotated_doc import Doc
from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from objectives.judged_scores import score_judged
from objectives.judging import request_verdicts
from objectives.ragas_metrics import find_metric_class, list_sample_fields
from rag_opt.core import strict
from rag_opt.core.arrays import FloatArray
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT, PlainDict
from rag_opt.evaluation.interfaces import (
    INJECTED_FIELDS,
    ComparesAnswers,
    Direction,
    InjectionPlace,
    ObjectiveDefaults,
    Requirement,
    Sample,
)
from rag_opt.evaluation.run import Run, Scores, ScoringResources
from rag_opt.models.event_loop import wait_for

SimilarityModel = Annotated[str, Doc("Name of the card of the embedding model that compares texts.")]
Beta = Annotated[float, Ge(0), Doc("Weight of recall against precision in the F-score.")]


class _Judged(ObjectiveDefaults):
    """Base of the metrics: one metric of ragas' collections each, named `metric`."""

    kind: ClassVar[str]
    metric: ClassVar[str]
    libraries: ClassVar[tuple[str, ...]] = ("ragas",)

    def calls(self, passages: float) -> float:
        """Return about how often the judge is asked for one answer with this many passages."""
        raise NotImplementedError

    @property
    def reads(self) -> list[InjectionPlace]:
        """Places of a sample that the judge reads and where somebody could plant an instruction."""
        fields, _ = list_sample_fields(find_metric_class(self.metric))
        return [place for place, name in INJECTED_FIELDS.items() if name in fields]

    @property
    def required(self) -> tuple[str, ...]:
        """Names of ragas' fields that a sample must have."""
        return list_sample_fields(find_metric_class(self.metric))[1]

    def _metric_settings(self) -> PlainDict:
        return {name: value for name, value in strict.dump(self).items() if name != "similarity_model"}

    def _similarity_model(self) -> str | None:
        return self.similarity_model if isinstance(self, ComparesAnswers) else None

    def judge_samples(
        self, samples: Sequence[Sample], resources: ScoringResources, language: str
    ) -> tuple[FloatArray, list[str]]:
        """Return a score for each sample (the mean over repeats), and the reason where there is none."""
        fields, _ = list_sample_fields(find_metric_class(self.metric))
        model = self._similarity_model()
        verdicts = request_verdicts(
            self.metric,
            self._metric_settings(),
            [{name: value for name, value in sample.items() if name in fields} for sample in samples],
            judge=resources.judge,
            encoder=resources.encoder(model) if model is not None else None,
            language=language,
        )
        return verdicts.scores.mean(axis=1), verdicts.failures

    def score(self, run: Run, resources: ScoringResources) -> Scores:
        """Return the columns of the metric (`judged_scores.score_judged`)."""
        return wait_for(self.ascore(run, resources))

    async def ascore(self, run: Run, resources: ScoringResources) -> Scores:
        """Return what `score` returns, in the event loop, so that several objectives can ask at the same time."""
        settings, model = self._metric_settings(), self._similarity_model()
        return await score_judged(self.kind, self.metric, settings, model, run, resources)


class _JudgedAgainstReference(_Judged):
    """Base of the metrics that a model judges by the reference answer."""

    requires: ClassVar[frozenset[Requirement]] = frozenset({"judge", "reference_answers"})


@register("objective", "faithfulness")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Faithfulness(_Judged):
    """Share of the answer's statements that follow from the passages it was given."""

    metric: ClassVar[str] = "Faithfulness"
    requires: ClassVar[frozenset[Requirement]] = frozenset({"judge"})

    def calls(self, passages: float) -> float:
        """Return 2: statements are found, then judged together."""
        return 2


@register("objective", "answer_relevancy")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class AnswerRelevancy(_Judged):
    """Cosine of the question and of questions that the judge writes for the answer."""

    strictness: Annotated[int, Ge(1), Le(10), Doc("How many questions are written for an answer.")] = 3
    similarity_model: SimilarityModel = "minilm"

    metric: ClassVar[str] = "AnswerRelevancy"
    requires: ClassVar[frozenset[Requirement]] = frozenset({"judge"})

    def calls(self, passages: float) -> float:
        """Return one for each question that is written."""
        return self.strictness


@register("objective", "context_precision")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class ContextPrecision(_JudgedAgainstReference):
    """Average precision of the passages, each judged useful or not for the reference answer."""

    metric: ClassVar[str] = "ContextPrecision"
    reads_answers: ClassVar[bool] = False

    def calls(self, passages: float) -> float:
        """Return one for each passage."""
        return passages


@register("objective", "context_recall")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class ContextRecall(_JudgedAgainstReference):
    """Share of the reference answer's statements that the passages support."""

    metric: ClassVar[str] = "ContextRecall"
    reads_answers: ClassVar[bool] = False

    def calls(self, passages: float) -> float:
        """Return 1."""
        return 1


@register("objective", "factual_correctness")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class FactualCorrectness(_JudgedAgainstReference):
    """Claims of the answer and of the reference, each checked against the other."""

    mode: Annotated[
        Literal["precision", "recall", "f1"],
        Doc("precision: claims of the answer that are right; recall: claims of the reference that are made; f1: both."),
    ] = "f1"
    beta: Beta = 1.0
    atomicity: Annotated[Literal["low", "high"], Doc("How finely sentences are cut into claims.")] = "low"
    coverage: Annotated[Literal["low", "high"], Doc("How much of the text the claims cover.")] = "low"

    metric: ClassVar[str] = "FactualCorrectness"

    def calls(self, passages: float) -> float:
        """Return 2 for the claims of one text, 4 for those of both."""
        return 2 if self.mode == "precision" else 4


@register("objective", "answer_correctness")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class AnswerCorrectness(_JudgedAgainstReference):
    """Statements of the answer against those of the reference, and the cosine of both texts, averaged by weight."""

    weights: Annotated[list[float], Doc("Weights of the statements and of the cosine.")] = field(
        default_factory=lambda: [0.75, 0.25]
    )
    beta: Beta = 1.0
    similarity_model: SimilarityModel = "minilm"

    metric: ClassVar[str] = "AnswerCorrectness"

    def calls(self, passages: float) -> float:
        """Return 3: statements of both texts, then their comparison."""
        return 3


@register("objective", "noise_sensitivity")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class NoiseSensitivity(_JudgedAgainstReference):
    """Share of the answer's statements that are wrong and come from the passages. Lower is better."""

    mode: Annotated[
        Literal["relevant", "irrelevant"], Doc("Whether passages that are to the point count, or the others.")
    ] = "relevant"

    metric: ClassVar[str] = "NoiseSensitivity"
    direction: ClassVar[Direction] = "minimize"

    def calls(self, passages: float) -> float:
        """Return 3 for the statements, and 2 for each passage."""
        return 3 + 2 * passages


@register("objective", "semantic_similarity")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class SemanticSimilarity(_Judged):
    """Cosine of answer and reference; no language model is asked."""

    similarity_model: SimilarityModel = "minilm"

    metric: ClassVar[str] = "SemanticSimilarity"
    requires: ClassVar[frozenset[Requirement]] = frozenset({"reference_answers"})

    def calls(self, passages: float) -> float:
        """Return 0."""
        return 0
