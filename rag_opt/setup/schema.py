"""Everything that can be set from outside, as frozen types: what `conf/` composes to."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le
from pydantic.dataclasses import dataclass

from rag_opt.core.strict import STRICT
from rag_opt.models.llm.budget import Budget
from rag_opt.models.llm.settings import Judge, LanguageModel


@dataclass(frozen=True, kw_only=True, config=STRICT)
class StudySettings:
    name: str | None = None
    trials: Annotated[int, Ge(1), Le(1_000_000)] = 40
    minutes: Annotated[float, Gt(0)] | None = None
    stop: Literal["trials", "auto"] = "trials"
    seed: Annotated[int, Ge(0)] = 0
    search_share: Annotated[float, Gt(0), Le(1)] = 0.6
    finalists: Annotated[int, Ge(1), Le(1000)] = 5
    min_coverage: Annotated[float, Ge(0), Le(1)] = 0.95
    racing: Literal["auto", "on", "off"] | bool = "auto"
    max_failures: Annotated[int, Ge(1)] = 5


@dataclass(frozen=True, kw_only=True, config=STRICT)
class OnlySettings:
    """Kinds to keep of each slot; null keeps all."""

    chunker: str | list[str] | None = None
    embedder: str | list[str] | None = None
    query: str | list[str] | None = None
    retriever: str | list[str] | None = None
    expander: str | list[str] | None = None
    reranker: str | list[str] | None = None
    packer: str | list[str] | None = None
    generator: str | list[str] | None = None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TrackingSettings:
    enabled: bool = True
    uri: str | None = None
    experiment: str | None = None
    artifact_location: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    content: Literal["auto", "full", "ids", "none"] = "auto"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ObjectiveSettings:
    """Objectives by kind with their settings. `optimise` names one; without it the first of `auto` that the data
    can feed is optimised. `against`: what is optimised beside it, each for its own sake.
    """

    optimise: dict[str, dict[str, Any]] | None = None
    against: dict[str, dict[str, Any]] = field(default_factory=dict)
    auto: dict[str, dict[str, Any]] = field(default_factory=dict)
    log: dict[str, dict[str, Any]] = field(default_factory=dict)
    finalists: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class EmbedderSettings:
    """What limits the embedding models of a space, and changes to their cards for this run.

    `max_parameters` in millions; `max_memory_gb` of the weights. `allow_code`: models whose custom code may run here,
    as `id@revision`.
    """

    max_parameters: Annotated[float, Gt(0)] | None = None
    max_memory_gb: Annotated[float, Gt(0)] | None = None
    allow_non_commercial: bool = True
    allow_code: list[str] = field(default_factory=list)
    cards: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RerankerSettings:
    """Changes to the cards of reranking models for this run."""

    cards: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class QuestionSettings:
    """Of `python -m rag_opt.questions`. `several`, `unanswerable`: shares of what is made. `candidates`: passages that
    are shown for a question. `person`: whose name is kept beside what was said.
    """

    out: str = "questions.jsonl"
    file: str | None = None
    by: Literal["auto", "model", "rule", "terminal", "page"] = "auto"
    count: Annotated[int, Ge(1), Le(1_000_000)] = 100
    several: Annotated[float, Ge(0), Le(1)] = 0.25
    unanswerable: Annotated[float, Ge(0), Le(1)] = 0.1
    passage_tokens: Annotated[int, Ge(32), Le(8192)] = 200
    candidates: Annotated[int, Ge(1), Le(100)] = 10
    person: str | None = None
    port: Annotated[int, Ge(0), Le(65535)] = 0
    seed: Annotated[int, Ge(0)] = 0


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Settings:
    dataset: dict[str, Any]
    space: dict[str, Any]
    pipeline: dict[str, Any]
    objective: ObjectiveSettings
    sampler: dict[str, Any]
    tracking: TrackingSettings
    study: StudySettings
    only: OnlySettings
    embedder: EmbedderSettings = field(default_factory=EmbedderSettings)
    reranker: RerankerSettings = field(default_factory=RerankerSettings)
    llm: LanguageModel = field(default_factory=LanguageModel)
    judge: Judge = field(default_factory=Judge)
    budget: Budget = field(default_factory=Budget)
    questions: QuestionSettings = field(default_factory=QuestionSettings)
    baseline: str | None = None
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    runtime: Literal["auto", "torch", "openvino"] = "auto"
    document_precision: Literal["auto", "float32", "bfloat16"] = "auto"
    plugins: list[str] = field(default_factory=lambda: ["objectives"])
    outputs: str = "outputs"
