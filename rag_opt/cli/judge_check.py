"""The command `check --judge`: how far the judge agrees with people's labels, and can be talked round."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rag_opt.core.errors import BadInput, Problem
from rag_opt.core.registry import lookup
from rag_opt.core.strict import PlainMapping
from rag_opt.evaluation.agreement import INJECTIONS, measure_agreement, measure_shift, plant_injection
from rag_opt.evaluation.interfaces import JudgedObjective, Sample
from rag_opt.evaluation.labels import Label, group_by_metric, read_labels
from rag_opt.evaluation.run import ScoringResources
from rag_opt.report.live_display import describe_usage
from rag_opt.setup.builders import open_models


def check_judge(labels: Path, *, injections: bool, composed: PlainMapping, conf_folders: Sequence[Path]) -> None:
    """Print how far the configured judge agrees with the labels. Raises BadInput, and what asking raises."""
    builder, language = open_models(composed, conf_folders=conf_folders)
    if builder.judge is None:
        ways = "llm@judge=openai_compatible judge.base_url=…, or llm=openai_compatible llm.base_url=…"
        raise BadInput([Problem("judge", f"there is no judge: {ways}")])
    placed = read_labels(labels, where="--judge")
    print(f"judge     {builder.judge.settings.model}, {len(placed)} labels of {labels}")
    resources = ScoringResources(builder.encoder, builder.judge)
    for metric, some in group_by_metric(placed).items():
        _print_agreement(metric, some, resources, language, injections=injections)
    print(f"model     {describe_usage(builder.budget_tracker.total, builder.budget_tracker.budget)}")


def _print_agreement(
    metric: str, labels: Sequence[Label], resources: ScoringResources, language: str, *, injections: bool
) -> None:
    objective: JudgedObjective = lookup("objective", metric)()
    samples = [label.to_sample() for label in labels]
    scores, failures = objective.judge_samples(samples, resources, language)
    agreement = measure_agreement(scores, np.array([label.score for label in labels], float))
    print(f"\n{metric}: {agreement.items} of {len(labels)} judged")
    for reason in dict.fromkeys(filter(None, failures)):
        print(f"  not judged     {reason}")
    print(f"  Spearman       {agreement.spearman}\n  Cohen's kappa  {agreement.kappa} (yes from 0.5 on)")
    if injections:
        _print_shifts(objective, samples, resources, language)


def _print_shifts(
    objective: JudgedObjective, samples: Sequence[Sample], resources: ScoringResources, language: str
) -> None:
    """Print how far planted instructions move the scores, by the place where they stand, with the guard and without."""
    print("  planted instructions move its scores towards the better by (points of 100):")
    sign = 1 if objective.direction == "maximize" else -1
    judge = resources.judge
    assert judge is not None
    for guard in (True, False):
        settings = dataclasses.replace(judge.as_judge, guard=guard)
        guarded = dataclasses.replace(resources, judge=judge.with_settings(settings))
        plain, _ = objective.judge_samples(samples, guarded, language)
        for where in objective.reads:
            rows, planted = list[int](), list[Sample]()
            for injection in INJECTIONS:
                for row, sample in enumerate(samples):
                    changed = plant_injection(sample, injection, where)
                    if changed is not None:
                        rows.append(row)
                        planted.append(changed)
            after, _ = objective.judge_samples(planted, guarded, language)
            shift = measure_shift(plain[rows].tolist(), after.tolist(), sign=sign)
            print(f"    {where:<8} {'guarded' if guard else 'without':<8} {shift}")
