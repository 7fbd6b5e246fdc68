"""People's labels of judged answers: what a judge is held against."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from annotated_doc import Doc
from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from rag_opt.core import strict
from rag_opt.core.errors import BadInput, Problem
from rag_opt.core.registry import lookup
from rag_opt.core.strict import STRICT
from rag_opt.data.reading import Problems, read_json_lines
from rag_opt.evaluation.interfaces import JudgedObjective, Sample
from rag_opt.evaluation.prediction_powered import Labels

_RAGAS_NAMES = {
    "question": "user_input",
    "answer": "response",
    "passages": "retrieved_contexts",
    "reference": "reference",
}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Label:
    """One line of labels: a score that a person gave."""

    score: Annotated[float, Ge(0), Le(1), Doc("Score in [0, 1], of what the metric measures.")]
    metric: Annotated[str, Doc("Kind of the judged objective.")] = "faithfulness"
    question: Annotated[str, Doc("The question.")] = ""
    answer: Annotated[str, Doc("The answer that was judged.")] = ""
    passages: Annotated[list[str] | None, Doc("The passages that it was given from.")] = None
    reference: Annotated[str, Doc("The reference answer.")] = ""

    def to_sample(self) -> Sample:
        """Return the label as ragas names its fields, empty ones left out."""
        return {name: value for ours, name in _RAGAS_NAMES.items() if (value := getattr(self, ours))}


def read_labels(path: Path, *, where: str) -> list[tuple[str, Label]]:
    """Return labels with their places (`file:line`). Raises BadInput. `where`: what named the file."""
    if not path.is_file():
        raise BadInput([Problem(where, f"there is no file {str(path)!r}")])
    problems, placed = Problems(), list[tuple[str, Label]]()
    for line, data in read_json_lines(path, problems):
        try:
            placed.append((line, strict.load(Label, data, path=line)))
        except BadInput as error:
            problems.collected += error.problems
    problems.raise_if_any()
    return placed


def group_by_metric(placed: Sequence[tuple[str, Label]]) -> dict[str, list[Label]]:
    """Return the labels of each metric. Raises BadInput for one that is not judged, or lacks what its metric needs."""
    groups: dict[str, list[Label]] = {}
    for where, label in placed:
        objective = lookup("objective", label.metric, where=f"{where} metric")()
        if not isinstance(objective, JudgedObjective):
            raise BadInput([Problem(f"{where} metric", f"{label.metric} is not judged by a model")])
        sample = label.to_sample()
        lacks = [ours for ours, name in _RAGAS_NAMES.items() if name in objective.required and name not in sample]
        if lacks:
            raise BadInput([Problem(where, f"{label.metric} needs {' and '.join(lacks)}")])
        groups.setdefault(label.metric, []).append(label)
    return groups


def read_labels_of(path: Path, metric: str, *, where: str) -> Labels:
    """Return people's scores of one metric by question, answer and passages. Raises BadInput where there are none."""
    by_metric = group_by_metric(read_labels(path, where=where))
    if metric not in by_metric:
        found = ", ".join(sorted(by_metric)) or "nothing"
        raise BadInput([Problem(where, f"{path} labels {found}; what is optimised is {metric}")])
    return {(one.question, one.answer, tuple(one.passages or ())): one.score for one in by_metric[metric]}
