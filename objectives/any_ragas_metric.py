"""Any metric of ragas' collections, by its name."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Annotated, ClassVar

from annotated_doc import Doc
from pydantic.dataclasses import dataclass

from objectives.judged_scores import LOWER_IS_BETTER, score_judged
from objectives.judging import build_idle_metric
from objectives.ragas_metrics import SAMPLE_FIELDS, find_metric_class, list_sample_fields, list_settings
from rag_opt.core.errors import BadInput, Problem, suggest_names
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT, PlainDict, PlainMapping
from rag_opt.evaluation.guards import Guard
from rag_opt.evaluation.interfaces import Aggregate, Direction, Requirement
from rag_opt.evaluation.run import Run, Scores, ScoringResources
from rag_opt.models.event_loop import wait_for

_CALLS_EACH = 3.0  # of the judge, about, for one answer
_REQUIREMENTS: Mapping[str, Requirement] = {"reference": "reference_answers", "reference_contexts": "evidence"}
_NOT_SETTINGS = {"self", "llm", "embeddings", "name", "kwargs", "base_kwargs"}
# metrics of something that questions and answers do not have, by the beginning of their names
_FOREIGN_SUBJECTS = {"Agent": "conversations of agents", "MultiModal": "images", "DataCompy": "tables"}
_LIBRARIES = {"BleuScore": "sacrebleu", "CHRFScore": "sacrebleu"}  # packages that ragas needs for them


@register("objective", "ragas")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class AnyRagasMetric:
    """Metrics of ragas' collections by their names. The first one is what is optimised."""

    metrics: Annotated[dict[str, PlainDict], Doc("Settings of each metric, by its name in ragas.")] = field(
        default_factory=dict
    )
    similarity_model: Annotated[str, Doc("Name of the card of the embedding model that compares texts.")] = "minilm"

    aggregates: ClassVar[Mapping[str, tuple[Aggregate, ...]]] = {}
    guards: ClassVar[Mapping[str, Guard]] = {}
    stored: ClassVar[bool] = True
    libraries: ClassVar[tuple[str, ...]] = ("ragas",)

    def check(self, where: str) -> None:
        """Raise BadInput for a metric that ragas does not have, that lacks data here, or that refuses its settings."""
        problems = [Problem(f"{where}.metrics", "names no metric")] if not self.metrics else []
        for name, settings in self.metrics.items():
            problems += _find_problems(name, settings, f"{where}.metrics.{name}")
        if problems:
            raise BadInput(problems)

    @property
    def direction(self) -> Direction:
        """Direction of the first metric."""
        return "minimize" if next(iter(self.metrics), "") in LOWER_IS_BETTER else "maximize"

    @property
    def requires(self) -> frozenset[Requirement]:
        """Everything that one of the metrics requires."""
        requirements = set[Requirement]()
        for name in self.metrics:
            if _asks_judge(name):
                requirements.add("judge")
            _, required = list_sample_fields(find_metric_class(name))
            requirements |= {_REQUIREMENTS[sample_field] for sample_field in required if sample_field in _REQUIREMENTS}
        return frozenset(requirements)

    @property
    def reads_answers(self) -> bool:
        """True where one of the metrics looks at the answer."""
        return any("response" in list_sample_fields(find_metric_class(name))[0] for name in self.metrics)

    def calls(self, passages: float) -> float:
        """Return about how often the judge is asked for one answer."""
        return _CALLS_EACH * sum(map(_asks_judge, self.metrics))

    def score(self, run: Run, resources: ScoringResources) -> Scores:
        """Return the columns of every metric (`judged_scores.score_judged`)."""
        return wait_for(self.ascore(run, resources))

    async def ascore(self, run: Run, resources: ScoringResources) -> Scores:
        """Return what `score` returns, in the event loop, so that several objectives can ask at the same time."""
        scores: Scores = {}
        for name, settings in self.metrics.items():
            compares = "embeddings" in list_settings(find_metric_class(name))
            model = self.similarity_model if compares else None
            scores |= await score_judged(_to_snake_case(name), name, settings, model, run, resources)
        return scores


def _asks_judge(name: str) -> bool:
    return "llm" in list_settings(find_metric_class(name))


def _find_problems(name: str, settings: PlainMapping, where: str) -> Iterator[Problem]:
    """Yield the problems of one metric with its settings."""
    try:
        metric = find_metric_class(name)
        known = [setting for setting in list_settings(metric) if setting not in _NOT_SETTINGS]
        for setting in settings:
            if setting not in known:
                yield Problem(f"{where}.{setting}", f"{name} has no such setting{suggest_names(setting, known)}")
        library = _LIBRARIES.get(name)
        if library is not None and importlib.util.find_spec(library) is None:
            yield Problem(where, f"needs the package {library}: pip install {library}")
        build_idle_metric(name, settings)
    except BadInput as error:
        for problem in error.problems:
            yield Problem(where, problem.what)
    except (TypeError, ValueError, ImportError) as error:
        yield Problem(where, str(error))
    else:
        _, required = list_sample_fields(metric)
        lacking = sorted(set(required) - set(SAMPLE_FIELDS))
        lacking += [subject for prefix, subject in _FOREIGN_SUBJECTS.items() if name.startswith(prefix)]
        if lacking:
            yield Problem(where, f"needs {' and '.join(lacking)}, which a data set here does not have")


def _to_snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
