"""Protocols of objectives: what all of them must do, and what some of them can do beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

from rag_opt.core.arrays import FloatArray
from rag_opt.core.registry import declare_slot
from rag_opt.evaluation.guards import Guard

if TYPE_CHECKING:
    from rag_opt.evaluation.run import Run, Scores, ScoringResources

Direction = Literal["maximize", "minimize"]
Requirement = Literal["evidence", "document_evidence", "reference_answers", "judge"]
Aggregate = Literal["mean", "sum", "p50", "p95"]
Sample = Mapping[str, str | list[str]]  # ragas' fields of one answer, by name
InjectionPlace = Literal["answer", "passage"]
INJECTED_FIELDS: Mapping[InjectionPlace, str] = {"answer": "response", "passage": "retrieved_contexts"}


class ObjectiveDefaults:
    """Class variables of an objective, with the values that most of them have."""

    direction: ClassVar[Direction] = "maximize"
    requires: ClassVar[frozenset[Requirement]] = frozenset()
    aggregates: ClassVar[Mapping[str, tuple[Aggregate, ...]]] = {}
    guards: ClassVar[Mapping[str, Guard]] = {}
    stored: ClassVar[bool] = True
    libraries: ClassVar[tuple[str, ...]] = ()
    reads_answers: ClassVar[bool] = True


@runtime_checkable
class Objective(Protocol):
    """Scores a run. The first metric of `score` is the objective's value when it is optimised.

    A metric is one number per question: NaN where it does not apply, or where scoring failed. After a failure a metric
    whose name ends in `_failures` is above 0, and that question's scores are not stored. A question that was not
    answered because a language model failed is not scored at all.

    `direction` of the first metric. `requires`: what a question must have to be scored (`evaluation.requirements`).
    `aggregates`: how a metric becomes one number, where that is not the mean (of failures: the sum). `stored`: False
    where reading the scores off the run is cheaper than storing them. `libraries`: those whose versions determine the
    scores. `guards`: where it is optimised, metrics that no winner may buy its value with, beside those of every search
    (`evaluation.guards`). `reads_answers`: False where it scores what was retrieved alone; then nothing need answer.
    """

    slot: ClassVar[str]
    kind: ClassVar[str]
    direction: ClassVar[Direction]
    requires: ClassVar[frozenset[Requirement]]
    aggregates: ClassVar[Mapping[str, tuple[Aggregate, ...]]]
    guards: ClassVar[Mapping[str, Guard]]
    stored: ClassVar[bool]
    libraries: ClassVar[tuple[str, ...]]
    reads_answers: ClassVar[bool]

    def score(self, run: Run, resources: ScoringResources) -> Scores:
        """Return the metrics, each a number per question of the run."""
        ...


@runtime_checkable
class AsyncObjective(Objective, Protocol):
    """An objective that can be scored at the same time as others, because it waits for the judge."""

    async def ascore(self, run: Run, resources: ScoringResources) -> Scores:
        """Return the metrics that `score` returns."""
        ...


@runtime_checkable
class ComparesAnswers(Objective, Protocol):
    """An objective whose scores depend on the vectors of answers."""

    @property
    def similarity_model(self) -> str:
        """Name of the embedding model's card."""
        ...


@runtime_checkable
class PricesContext(Objective, Protocol):
    """An objective that subtracts a price for the tokens of the context."""

    @property
    def price_per_1000_tokens(self) -> float:
        """Price of 1,000 tokens, in units of the score."""
        ...


@runtime_checkable
class PricesAnswers(Objective, Protocol):
    """An objective that counts what answers cost, whatever they say: where it is optimised, they are given.

    `prices_answers`: True.
    """

    prices_answers: ClassVar[bool]


@runtime_checkable
class CallsJudge(Objective, Protocol):
    """An objective that knows how often it asks the judge."""

    def calls(self, passages: float) -> float:
        """Return about how often the judge is asked for one answer with this many passages."""
        ...


@runtime_checkable
class JudgedObjective(CallsJudge, Protocol):
    """An objective that can judge samples apart from a run, as `check --judge` does to compare it with people."""

    @property
    def required(self) -> Sequence[str]:
        """Names of ragas' fields that a sample must have."""
        ...

    @property
    def reads(self) -> Sequence[InjectionPlace]:
        """Places of a sample that the judge reads and where somebody could plant an instruction."""
        ...

    def judge_samples(
        self, samples: Sequence[Sample], resources: ScoringResources, language: str
    ) -> tuple[FloatArray, list[str]]:
        """Return a score for each sample (NaN where there is none), and the reason why there is none (else empty).

        `samples`: ragas' fields by name. `language`: ISO 639-1 code of the samples, or empty.
        """
        ...


@runtime_checkable
class ChecksSettings(Protocol):
    """An objective whose settings depend on each other, or on what is installed."""

    def check(self, where: str) -> None:
        """Raise BadInput for settings that cannot be used. `where`: dotted path of the objective's settings."""
        ...


declare_slot("objective", "what a pipeline is scored by", Objective)
