"""python -m rag_opt.check --judge labels.jsonl [--injections] [key=value ...]: the judge against people's labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from rag_opt.core import strict as config
from rag_opt.core.errors import BadInput, Problem
from rag_opt.core.strict import STRICT

if TYPE_CHECKING:
    from rag_opt.evaluation.run import ScoringResources

_OF_RAGAS = {
    "question": "user_input",
    "answer": "response",
    "passages": "retrieved_contexts",
    "reference": "reference",
}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Label:
    """One line. `score` in [0, 1] as a person gave it, of what the objective `metric` measures."""

    score: Annotated[float, Ge(0), Le(1)]
    metric: str = "faithfulness"
    question: str = ""
    answer: str = ""
    passages: list[str] | None = None
    reference: str = ""


def judge_check(labels: Path, *, injections: bool, composed: Mapping[str, Any], conf_folders: Sequence[Path]) -> None:
    """Prints how far the configured judge agrees with the labels. Raises BadInput, and what asking raises."""
    from rag_opt.evaluation.run import ScoringResources
    from rag_opt.report.live_display import in_words
    from rag_opt.setup.inputs import models_alone

    builder, language = models_alone(composed, conf_folders=conf_folders)
    if builder.judge is None:
        what = (
            "there is no judge: llm@judge=openai_compatible judge.base_url=…, or llm=openai_compatible llm.base_url=…"
        )
        raise BadInput([Problem("judge", what)])
    read = _read(labels)
    print(f"judge     {builder.judge.settings.model}, {len(read)} labels of {labels}")
    tools = ScoringResources(builder.encoder, builder.judge)
    for metric, some in _by_metric(read).items():
        _compared(metric, some, tools, language, injections=injections)
    print(f"model     {in_words(builder.budget_tracker.total, builder.budget_tracker.budget)}")


def _read(path: Path) -> list[tuple[str, Label]]:
    from rag_opt.data.reading import Problems, json_lines

    problems, found = Problems(), list[tuple[str, Label]]()
    if not path.is_file():
        raise BadInput([Problem("--judge", f"there is no file {str(path)!r}")])
    for where, data in json_lines(path, problems):
        try:
            found.append((where, config.load(Label, data, path=where)))
        except BadInput as error:
            problems.found += error.problems
    problems.refuse_if_any()
    return found


def _fed(where: str, label: Label, objective: Any) -> None:
    lacks = [ours for ours, of in _OF_RAGAS.items() if of in objective.required and not getattr(label, ours)]
    if lacks:
        raise BadInput([Problem(where, f"{label.metric} needs {' and '.join(lacks)}")])


def _by_metric(read: Sequence[tuple[str, Label]]) -> dict[str, list[Label]]:
    from rag_opt.core.registry import lookup

    found: dict[str, list[Label]] = {}
    for where, label in read:
        if not hasattr(lookup("objective", label.metric, where=f"{where} metric"), "judged"):
            raise BadInput([Problem(f"{where} metric", f"{label.metric} is not judged by a model")])
        _fed(where, label, lookup("objective", label.metric)())
        found.setdefault(label.metric, []).append(label)
    return found


def _compared(
    metric: str, labels: Sequence[Label], tools: ScoringResources, language: str, *, injections: bool
) -> None:
    from rag_opt.core.registry import lookup
    from rag_opt.evaluation.agreement import INJECTIONS, agreement, movement, planted

    objective = lookup("objective", metric)()
    samples = [{of: getattr(one, ours) for ours, of in _OF_RAGAS.items() if getattr(one, ours)} for one in labels]
    scores, failures = objective.judged(samples, tools, language)
    found = agreement(scores, np.array([one.score for one in labels], float))
    print(f"\n{metric}: {found.items} of {len(labels)} judged")
    for why in dict.fromkeys(filter(None, failures)):
        print(f"  not judged     {why}")
    print(f"  Spearman       {found.spearman}\n  Cohen's kappa  {found.kappa} (yes from 0.5 on)")
    if not injections:
        return
    print("  planted instructions move its scores towards the better by (points of 100):")
    sign = 1 if objective.direction == "maximize" else -1
    for guard in (True, False):
        judge = tools.judge
        assert judge is not None
        settings = dataclasses.replace(judge.as_judge, guard=guard)
        using = dataclasses.replace(tools, judge=judge.with_settings(settings))
        plain, _ = objective.judged(samples, using, language)
        for where in objective.reads:
            rows, texts = list[int](), list[dict[str, Any]]()
            for injection in INJECTIONS:
                for row, sample in enumerate(samples):
                    text = planted(sample, injection, where)
                    if text is not None:
                        rows.append(row)
                        texts.append(text)
            after, _ = objective.judged(texts, using, language)
            print(f"    {where:<8} {'guarded' if guard else 'without':<8} {movement(plain[rows], after, sign=sign)}")
