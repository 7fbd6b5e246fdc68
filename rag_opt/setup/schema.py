"""Everything that can be set from outside, as frozen types: the schema of what `conf/` composes to."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Literal

from annotated_doc import Doc
from annotated_types import Ge, Gt, Le
from pydantic.dataclasses import dataclass

from rag_opt.core.strict import STRICT, PlainDict
from rag_opt.evaluation.guards import Guard
from rag_opt.models.llm.budget import Budget
from rag_opt.models.llm.settings import Judge, LanguageModel

Kinds = Annotated[str | list[str] | None, Doc("Kinds of this slot that are kept; null keeps all.")]
Positive = Annotated[float, Gt(0)]
ByName = dict[str, PlainDict]  # objectives or cards by name, with settings


@dataclass(frozen=True, kw_only=True, config=STRICT)
class StudySettings:
    """How many pipelines are tried, on which questions, and when the search ends."""

    name: Annotated[str | None, Doc("Name of the study and its folder; null: the name of the data set.")] = None
    trials: Annotated[int, Ge(1), Le(1_000_000), Doc("Distinct pipelines to try, the baseline included.")] = 40
    minutes: Annotated[Positive | None, Doc("Minutes of trials after which no other begins; null: no limit.")] = None
    stop: Annotated[
        Literal["trials", "auto"],
        Doc("auto ends also when the best expected improvement is less than the questions can tell (cost_aware)."),
    ] = "trials"
    seed: Annotated[int, Ge(0), Doc("Seed of everything that is drawn.")] = 0
    search_share: Annotated[float, Gt(0), Le(1), Doc("Share of the questions to search on.")] = 0.6
    finalists: Annotated[int, Ge(1), Le(1000), Doc("Pipelines that are asked the held-out questions.")] = 5
    racing: Annotated[
        Literal["auto", "on", "off"] | bool,
        Doc("Stop asking a pipeline that surely loses; auto: where answering calls a language model."),
    ] = "auto"
    max_failures: Annotated[int, Ge(1), Doc("Crashed trials in a row that stop the search.")] = 5
    retry_failed: Annotated[bool, Doc("Try the crashed trials of an earlier run again.")] = False
    learn_from: Annotated[
        str,
        Doc(
            "Earlier studies of this objective whose best pipelines are tried first, and which tell cost_aware what to "
            "expect: none, same (of this data), all, or the name of a study in outputs."
        ),
    ] = "none"
    enqueue: Annotated[list[str], Doc("Pipelines tried after the baseline: YAML or JSON files.")] = field(
        default_factory=list
    )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class OnlySettings:
    """Kinds of each slot that are kept."""

    reader: Kinds = None
    chunker: Kinds = None
    embedder: Kinds = None
    query: Kinds = None
    retriever: Kinds = None
    expander: Kinds = None
    chunk_context: Kinds = None
    reranker: Kinds = None
    packer: Kinds = None
    generator: Kinds = None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TrackingSettings:
    """Where MLflow records the study, and how much of its texts."""

    enabled: Annotated[bool, Doc("Whether anything is tracked.")] = True
    uri: Annotated[str | None, Doc("Address of MLflow; null: MLFLOW_TRACKING_URI, or in outputs.")] = None
    experiment: Annotated[str | None, Doc("Name of the MLflow experiment; null: the data set's.")] = None
    artifact_location: Annotated[str | None, Doc("Where a new experiment keeps files; null: MLflow's own.")] = None
    tags: Annotated[dict[str, str], Doc("Tags of every run.")] = field(default_factory=dict)
    content: Annotated[
        Literal["auto", "full", "ids", "none"],
        Doc("What tables hold of questions and passages; auto: everything on this machine, ids elsewhere."),
    ] = "auto"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ObjectiveSettings:
    """What is optimised, what against it, and what is only logged: objectives by kind, with their settings."""

    optimise: Annotated[ByName | None, Doc("The one objective; null: the first of auto that the data can feed.")] = None
    against: Annotated[ByName, Doc("Objectives optimised beside it, which makes a Pareto front.")] = field(
        default_factory=dict
    )
    auto: Annotated[ByName, Doc("Objectives to choose from, in order of preference.")] = field(default_factory=dict)
    log: Annotated[ByName, Doc("Objectives that are logged for every trial.")] = field(default_factory=dict)
    finalists: Annotated[ByName, Doc("Objectives that are logged for finalists alone.")] = field(default_factory=dict)
    min_share: Annotated[
        float, Gt(0), Le(1), Doc("Least share of the answerable questions that must feed what is optimised.")
    ] = 0.5
    guards: Annotated[
        dict[str, Guard | None], Doc("How much worse than the baseline a winner may be, by metric; null removes one.")
    ] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class EmbedderSettings:
    """Limits on the embedding models of a space, and changes to their cards for this run."""

    max_parameters: Annotated[Positive | None, Doc("Millions of parameters at most; null: no limit.")] = None
    max_memory_gb: Annotated[Positive | None, Doc("Gigabytes of weights at most; null: no limit.")] = None
    allow_non_commercial: Annotated[bool, Doc("Whether models not for commercial use may take part.")] = True
    allow_code: Annotated[list[str], Doc("Models whose own code may run here, as id@revision.")] = field(
        default_factory=list
    )
    cards: Annotated[ByName, Doc("Changes to cards for this run, by the card's name.")] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RerankerSettings:
    """Changes to the cards of reranking models for this run."""

    cards: Annotated[ByName, Doc("Changes to cards for this run, by the card's name.")] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class QuestionSettings:
    """Settings of `python -m rag_opt.questions`."""

    out: Annotated[str, Doc("File that is written, JSON lines.")] = "questions.jsonl"
    file: Annotated[str | None, Doc("label: file of questions whose evidence is missing.")] = None
    by: Annotated[
        Literal["auto", "model", "rule", "terminal", "page"],
        Doc("make: model or rule; label: model, or a person (terminal, page); auto: model where llm has one."),
    ] = "auto"
    count: Annotated[int, Ge(1), Le(1_000_000), Doc("make: questions that are wanted.")] = 100
    several: Annotated[float, Ge(0), Le(1), Doc("make: share that needs two passages.")] = 0.25
    unanswerable: Annotated[float, Ge(0), Le(1), Doc("make: share that the documents do not answer.")] = 0.1
    passage_tokens: Annotated[int, Ge(32), Le(8192), Doc("Size of a passage, in tokens.")] = 200
    candidates: Annotated[int, Ge(1), Le(100), Doc("Passages that are shown for a question.")] = 10
    person: Annotated[str | None, Doc("label: name that is kept with a person's decisions; null: the user's.")] = None
    port: Annotated[int, Ge(0), Le(65535), Doc("label by page: port of the page; 0: any free one.")] = 0
    seed: Annotated[int, Ge(0), Doc("Seed of the passages that are drawn.")] = 0


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Settings:
    """All of a composed config."""

    dataset: Annotated[PlainDict, Doc("The data set: its format and where it lies.")]
    space: Annotated[PlainDict, Doc("The search space: slot -> kind -> parameter -> choices or range.")]
    pipeline: Annotated[PlainDict, Doc("The default pipeline: trial 0, and slots that the space leaves out.")]
    objective: Annotated[ObjectiveSettings, Doc("The objectives.")]
    sampler: Annotated[PlainDict, Doc("The sampler with its settings, and whether lists are swept.")]
    tracking: Annotated[TrackingSettings, Doc("MLflow.")]
    study: Annotated[StudySettings, Doc("The study.")]
    only: Annotated[OnlySettings, Doc("Kinds of each slot that are kept.")]
    embedder: Annotated[EmbedderSettings, Doc("Limits on embedding models.")] = field(default_factory=EmbedderSettings)
    reranker: Annotated[RerankerSettings, Doc("Changes to reranking models.")] = field(default_factory=RerankerSettings)
    llm: Annotated[LanguageModel, Doc("The language model that answers.")] = field(default_factory=LanguageModel)
    judge: Annotated[Judge, Doc("The language model that judges.")] = field(default_factory=Judge)
    budget: Annotated[Budget, Doc("Hard limits of the whole study.")] = field(default_factory=Budget)
    questions: Annotated[QuestionSettings, Doc("Making and labelling questions.")] = field(
        default_factory=QuestionSettings
    )
    baseline: Annotated[
        str | None, Doc("What gains are over: a name in pipeline/, a file of one, a log (.jsonl), a service (http…).")
    ] = None
    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], Doc("Where models run; auto: a GPU with room.")] = "auto"
    runtime: Annotated[Literal["auto", "torch", "openvino"], Doc("What runs models on the CPU.")] = "auto"
    document_precision: Annotated[
        Literal["auto", "float32", "bfloat16"],
        Doc("Of documents' vectors; auto: what this machine is fast in."),
    ] = "auto"
    plugins: Annotated[list[str], Doc("Packages whose parts and objectives are known.")] = field(
        default_factory=lambda: ["objectives"]
    )
    outputs: Annotated[str, Doc("Folder of everything that a run writes.")] = "outputs"
