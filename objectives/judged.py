"""ragas' metrics that a language model judges.

An answer that refuses is not judged: the worst score where the question has an answer, the best where it has none.
Where nothing was retrieved there is nothing to judge either: the worst.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from objectives.judged_scores import FED, LOWER_IS_BETTER, judged_scores, taken
from objectives.judging import construct, verdicts
from objectives.ragas_metrics import metric_class
from rag_opt.core.arrays import FloatArray
from rag_opt.core.errors import BadInput, Problem, among
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.evaluation.run import Run, Scores, ScoringResources
from rag_opt.models.event_loop import wait_for

Direction = Literal["maximize", "minimize"]
_NEEDS = {"reference": "reference_answers", "reference_contexts": "evidence"}
_OURS = {"self", "llm", "embeddings", "name", "kwargs", "base_kwargs"}  # what is not a person's to set
_ABOUT = {"Agent": "conversations of agents", "MultiModal": "images", "DataCompy": "tables"}  # by what their names say
_LIBRARIES = {"BleuScore": "sacrebleu", "CHRFScore": "sacrebleu"}


def _aggregates(*kinds: str) -> dict[str, tuple[str, ...]]:
    return {f"ragas/{kind}_failures": ("sum",) for kind in kinds}


class _Judged:
    """What the metrics share."""

    kind: ClassVar[str]
    metric: ClassVar[str]
    direction: ClassVar[Direction] = "maximize"
    stored: ClassVar[bool] = True
    libraries: ClassVar[tuple[str, ...]] = ("ragas",)

    def calls(self, passages: float) -> float:
        """About how often a judge is asked for one answer, with so many passages."""
        raise NotImplementedError

    @property
    def reads(self) -> list[str]:
        """What of a sample somebody could plant something in."""
        takes, _ = taken(metric_class(self.metric))
        return [name for name, of in (("answer", "response"), ("passage", "retrieved_contexts")) if of in takes]

    @property
    def required(self) -> tuple[str, ...]:
        """What a sample must hold, in ragas' words."""
        return taken(metric_class(self.metric))[1]

    def settings(self) -> dict[str, Any]:
        """Those of the metric itself."""
        plain = dataclasses.asdict(self)  # type: ignore[call-overload]  # every subclass is a dataclass
        return {name: value for name, value in plain.items() if name != "similarity_model"}

    def judged(
        self, samples: Sequence[Mapping[str, Any]], tools: ScoringResources, language: str
    ) -> tuple[FloatArray, list[str]]:
        """(score of each sample, mean over repeats; why there is none) of samples in ragas' own words."""
        model, takes = getattr(self, "similarity_model", None), taken(metric_class(self.metric))[0]
        found = verdicts(
            self.metric,
            self.settings(),
            [{name: value for name, value in sample.items() if name in takes} for sample in samples],
            judge=tools.judge,
            encoder=tools.encoder(model) if model is not None else None,
            language=language,
        )
        return found.scores.mean(axis=1), found.failures

    def score(self, run: Run, tools: ScoringResources) -> Scores:
        return wait_for(self.ascore(run, tools))

    async def ascore(self, run: Run, tools: ScoringResources) -> Scores:
        """As `score`, in the event loop, so that several objectives may ask at the same time."""
        model = getattr(self, "similarity_model", None)
        return await judged_scores(self.kind, self.metric, self.settings(), model, run, tools)


@register("objective", "faithfulness")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Faithfulness(_Judged):
    """Share of the answer's statements that follow from the passages it was given."""

    metric: ClassVar[str] = "Faithfulness"
    requires: ClassVar[frozenset[str]] = frozenset({"judge"})
    aggregates: ClassVar[Mapping[str, tuple[str, ...]]] = _aggregates("faithfulness")

    def calls(self, passages: float) -> float:
        return 2


@register("objective", "answer_relevancy")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class AnswerRelevancy(_Judged):
    """How near the questions that the answer would answer are to the one that was asked; `strictness` of them are
    written. Cosines by the card `similarity_model`.
    """

    strictness: Annotated[int, Ge(1), Le(10)] = 3
    similarity_model: str = "minilm"

    metric: ClassVar[str] = "AnswerRelevancy"
    requires: ClassVar[frozenset[str]] = frozenset({"judge"})
    aggregates: ClassVar[Mapping[str, tuple[str, ...]]] = _aggregates("answer_relevancy")

    def calls(self, passages: float) -> float:
        return self.strictness


@register("objective", "context_precision")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class ContextPrecision(_Judged):
    """Average precision of the passages, each judged useful or not for the reference answer."""

    metric: ClassVar[str] = "ContextPrecision"
    requires: ClassVar[frozenset[str]] = frozenset({"judge", "reference_answers"})
    aggregates: ClassVar[Mapping[str, tuple[str, ...]]] = _aggregates("context_precision")

    def calls(self, passages: float) -> float:
        return passages


@register("objective", "context_recall")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class ContextRecall(_Judged):
    """Share of the reference answer's statements that the passages support."""

    metric: ClassVar[str] = "ContextRecall"
    requires: ClassVar[frozenset[str]] = frozenset({"judge", "reference_answers"})
    aggregates: ClassVar[Mapping[str, tuple[str, ...]]] = _aggregates("context_recall")

    def calls(self, passages: float) -> float:
        return 1


@register("objective", "factual_correctness")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class FactualCorrectness(_Judged):
    """Claims of the answer and of the reference, each checked against the other."""

    mode: Literal["precision", "recall", "f1"] = "f1"
    beta: Annotated[float, Ge(0)] = 1.0
    atomicity: Literal["low", "high"] = "low"
    coverage: Literal["low", "high"] = "low"

    metric: ClassVar[str] = "FactualCorrectness"
    requires: ClassVar[frozenset[str]] = frozenset({"judge", "reference_answers"})
    aggregates: ClassVar[Mapping[str, tuple[str, ...]]] = _aggregates("factual_correctness")

    def calls(self, passages: float) -> float:
        return 2 if self.mode == "precision" else 4


@register("objective", "answer_correctness")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class AnswerCorrectness(_Judged):
    """Statements of the answer against those of the reference, and their similarity, by `weights`."""

    weights: list[float] = field(default_factory=lambda: [0.75, 0.25])
    beta: Annotated[float, Ge(0)] = 1.0
    similarity_model: str = "minilm"

    metric: ClassVar[str] = "AnswerCorrectness"
    requires: ClassVar[frozenset[str]] = frozenset({"judge", "reference_answers"})
    aggregates: ClassVar[Mapping[str, tuple[str, ...]]] = _aggregates("answer_correctness")

    def calls(self, passages: float) -> float:
        return 3


@register("objective", "noise_sensitivity")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class NoiseSensitivity(_Judged):
    """Share of the answer's statements that are wrong and come from passages that are (`relevant`) or are not
    (`irrelevant`) to the point. Lower is better.
    """

    mode: Literal["relevant", "irrelevant"] = "relevant"

    metric: ClassVar[str] = "NoiseSensitivity"
    direction: ClassVar[Direction] = "minimize"
    requires: ClassVar[frozenset[str]] = frozenset({"judge", "reference_answers"})
    aggregates: ClassVar[Mapping[str, tuple[str, ...]]] = _aggregates("noise_sensitivity")

    def calls(self, passages: float) -> float:
        return 3 + 2 * passages


@register("objective", "semantic_similarity")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class SemanticSimilarity(_Judged):
    """Cosine of answer and reference by the card `similarity_model`; no language model is asked."""

    similarity_model: str = "minilm"

    metric: ClassVar[str] = "SemanticSimilarity"
    requires: ClassVar[frozenset[str]] = frozenset({"reference_answers"})
    aggregates: ClassVar[Mapping[str, tuple[str, ...]]] = _aggregates("semantic_similarity")

    def calls(self, passages: float) -> float:
        return 0


@register("objective", "ragas")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class AnyOfRagas:
    """Other metrics of ragas' collections by their names, each with its settings. The first is what is optimised."""

    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    similarity_model: str = "minilm"

    stored: ClassVar[bool] = True
    libraries: ClassVar[tuple[str, ...]] = ("ragas",)

    def check(self, where: str) -> None:
        """Raises BadInput for a metric that ragas has not, that nothing here can feed, or that refuses its settings."""
        problems = [Problem(f"{where}.metrics", "names no metric")] if not self.metrics else []
        for name, settings in self.metrics.items():
            place = f"{where}.metrics.{name}"
            try:
                known = list(inspect.signature(metric_class(name).__init__).parameters)
                known = [one for one in known if one not in _OURS]
                problems += [
                    Problem(f"{place}.{one}", f"{name} has no such setting{among(one, known)}")
                    for one in settings
                    if one not in known
                ]
                unfed = sorted(set(taken(metric_class(name))[1]) - set(FED))
                unfed += [what for word, what in _ABOUT.items() if name.startswith(word)]
                library = _LIBRARIES.get(name)
                if library is not None and importlib.util.find_spec(library) is None:
                    problems.append(Problem(place, f"needs the package {library}: pip install {library}"))
                construct(name, settings, judge=None, encoder=None, checking=True)
            except BadInput as error:
                problems += [Problem(place, problem.what) for problem in error.problems]
            except (TypeError, ValueError, ImportError) as error:
                problems.append(Problem(place, str(error)))
            else:
                if unfed:
                    what = f"needs {' and '.join(unfed)}, which a data set here does not have"
                    problems.append(Problem(place, what))
        if problems:
            raise BadInput(problems)

    @property
    def direction(self) -> Direction:
        return "minimize" if next(iter(self.metrics), "") in LOWER_IS_BETTER else "maximize"

    @property
    def requires(self) -> frozenset[str]:
        found = set[str]()
        for name in self.metrics:
            cls = metric_class(name)
            found |= {"judge"} if "llm" in inspect.signature(cls.__init__).parameters else set()
            found |= {_NEEDS[one] for one in taken(cls)[1] if one in _NEEDS}
        return frozenset(found)

    @property
    def aggregates(self) -> Mapping[str, tuple[str, ...]]:
        return _aggregates(*map(_snake, self.metrics))

    def calls(self, passages: float) -> float:
        return 3.0 * sum("llm" in inspect.signature(metric_class(n).__init__).parameters for n in self.metrics)

    def score(self, run: Run, tools: ScoringResources) -> Scores:
        return wait_for(self.ascore(run, tools))

    async def ascore(self, run: Run, tools: ScoringResources) -> Scores:
        scores: Scores = {}
        for name, settings in self.metrics.items():
            cls = metric_class(name)
            model = self.similarity_model if "embeddings" in inspect.signature(cls.__init__).parameters else None
            scores |= await judged_scores(_snake(name), name, settings, model, run, tools)
        return scores


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
