"""Comparing two bundles by what each scored on the questions that both store: nothing is asked, no model is loaded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import orjson

from rag_opt.core.arrays import FloatArray
from rag_opt.core.errors import BadBundle, BadInput
from rag_opt.data.question_lines import QuestionLine
from rag_opt.evaluation.intervals import MIN_CLUSTERS, Interval, paired_gain
from rag_opt.evaluation.non_inferiority import MARGIN, NonInferiority, compare_scores
from rag_opt.production.manifest import Manifest, read_manifest
from rag_opt.production.stored_questions import HELD_OUT, OBJECTIVE, StoredQuestion, load_questions

MIN_SHARED = 5  # questions; what fewer say is chance

Pair = tuple[StoredQuestion, StoredQuestion]  # the same question as the challenger and as the champion store it


class Scored(NamedTuple):
    """Manifest of a bundle, and its questions with their scores; of one that stands in it twice, the first."""

    manifest: Manifest
    questions: Mapping[bytes, StoredQuestion]

    @staticmethod
    def of(manifest: Manifest, stored: Sequence[StoredQuestion]) -> Scored:
        """Return the questions by what makes them the same in two bundles."""
        by_key: dict[bytes, StoredQuestion] = {}
        for one in stored:
            by_key.setdefault(_find_key(one.line), one)
        return Scored(manifest, by_key)


@dataclass(frozen=True)
class ComparedMetric:
    """A metric of both on the questions that both have a score for: means, and the paired difference."""

    name: str
    new: float
    against: float
    difference: Interval
    questions: int


@dataclass(frozen=True)
class ComparedQuestion:
    """One question with the objective's values of both."""

    id: str
    text: str
    new: float
    against: float


@dataclass(frozen=True)
class StoredComparison:
    """What two bundles scored. `objective`: its kind."""

    objective: str
    comparison: NonInferiority
    metrics: Sequence[ComparedMetric]
    questions: Sequence[ComparedQuestion]


def compare_metric(name: str, ours: FloatArray, theirs: FloatArray, clusters: Sequence[str]) -> ComparedMetric | None:
    """Return a metric of both; None where no question has a score from both. NaN: no score."""
    both = ~np.isnan(ours - theirs)
    if not both.any():
        return None
    difference = paired_gain(ours, theirs, clusters)
    return ComparedMetric(name, float(ours[both].mean()), float(theirs[both].mean()), difference, int(both.sum()))


def compare_bundles(challenger: Path, champion: Path, *, margin: float = MARGIN) -> StoredComparison:
    """Return whether a bundle is not worse than another by more than a margin, on the questions that both store.

    Questions are the same when text, filters, answers and evidence are; evidence by its quote, since offsets move when
    a document changes. Compared is the optimised objective. Where there are enough clusters of them, only questions
    count that were held out for both: each flatters itself on those that it was chosen by. Raises BadBundle where the
    two cannot be compared: other objectives, or too few questions in common.
    """
    return compare_stored(read_scored(challenger), read_scored(champion), margin=margin)


def compare_stored(ours: Scored, theirs: Scored, *, margin: float = MARGIN) -> StoredComparison:
    """Return how two bundles that were read compare, as `compare_bundles`."""
    kind, direction = _find_objective(ours.manifest, theirs.manifest)
    pairs = [(ours.questions[key], theirs.questions[key]) for key in ours.questions if key in theirs.questions]
    if len(pairs) < MIN_SHARED:
        raise BadBundle(
            f"the two bundles have {len(pairs)} questions in common (the challenger stores {len(ours.questions)}, the "
            f"champion {len(theirs.questions)}); at least {MIN_SHARED} are needed to compare them"
        )
    chosen, asked = _choose_pairs(pairs)
    sign, clusters = -1.0 if direction == "minimize" else 1.0, _find_clusters(chosen)
    scores = [np.array([_score(pair[side], OBJECTIVE) for pair in chosen]) for side in (0, 1)]
    if not np.isfinite(scores[0] - scores[1]).any():
        raise BadBundle(f"none of the {len(chosen)} questions in common has a score of `{kind}` from both bundles")
    comparison = compare_scores(sign * scores[0], sign * scores[1], clusters, margin=margin, asked=asked)
    questions = [
        ComparedQuestion(ours.seen.id, ours.line.question, float(a), float(b))
        for (ours, _), a, b in zip(chosen, *scores, strict=True)
        if math.isfinite(a - b)
    ]
    return StoredComparison(kind, comparison, _compare_metrics(chosen, clusters), questions)


def _compare_metrics(pairs: Sequence[Pair], clusters: Sequence[str]) -> list[ComparedMetric]:
    names = dict.fromkeys(name for pair in pairs for one in pair for name in one.seen.scores)
    found = []
    for name in names:
        ours, theirs = (np.array([_score(pair[side], name) for pair in pairs]) for side in (0, 1))
        metric = compare_metric(name, ours, theirs, clusters)
        if metric is not None:
            found.append(metric)
    return found


def read_scored(folder: Path) -> Scored:
    """Return what a bundle says of itself, its files held against the manifest. Raises BadBundle."""
    manifest = read_manifest(folder, check=True)
    try:
        stored = load_questions(folder)
    except (OSError, ValueError, BadInput) as error:
        raise BadBundle(f"{folder}: its questions cannot be read: {error}") from error
    return Scored.of(manifest, stored)


def _find_objective(ours: Manifest, theirs: Manifest) -> tuple[str, str]:
    """Return kind and direction of the objective. Raises BadBundle where the two were not optimised for the same."""
    kinds = [manifest.scores.get("objective") for manifest in (ours, theirs)]
    if None in kinds:
        raise BadBundle("a bundle does not say which objective it was optimised for: export it again")
    if kinds[0] != kinds[1]:
        raise BadBundle(
            f"the challenger was optimised for `{kinds[0]}` and the champion for `{kinds[1]}`: their scores cannot be "
            "compared"
        )
    directions = [manifest.scores.get("direction", "maximize") for manifest in (ours, theirs)]
    if directions[0] != directions[1]:
        raise BadBundle(f"the objective `{kinds[0]}` is maximised in one bundle and minimised in the other")
    settings = [manifest.scores.get("objective_settings") for manifest in (ours, theirs)]
    if settings[0] != settings[1]:
        raise BadBundle(f"the objective `{kinds[0]}` has other settings in either bundle: {settings[0]}, {settings[1]}")
    return str(kinds[0]), str(directions[0])


def _find_key(line: QuestionLine) -> bytes:
    """Return what makes a question the same one in two bundles; its id does not, nor do offsets of its evidence."""
    needs = [need if isinstance(need, list) else [need] for need in line.evidence or []]
    content = {
        "question": line.question,
        "filters": dict(line.filters or {}),
        "exclude": sorted(line.exclude or ()),
        "answers": list(line.answer or ()),
        "answerable": line.answerable,
        "evidence": sorted(sorted(map(_without_offsets, need)) for need in needs),
    }
    return orjson.dumps(content, option=orjson.OPT_SORT_KEYS)


def _without_offsets(place: object) -> str:
    """Return a place of evidence as text, without its offsets where its quote says the same."""
    if isinstance(place, dict) and "quote" in place:
        place = {name: value for name, value in place.items() if name not in ("start", "end")}
    return orjson.dumps(place, option=orjson.OPT_SORT_KEYS).decode()


def _choose_pairs(pairs: Sequence[Pair]) -> tuple[list[Pair], str]:
    """Return the pairs that count, and in words which they are."""
    held_out = [pair for pair in pairs if all(one.seen.part == HELD_OUT for one in pair)]
    clusters = len(set(_find_clusters(held_out)))
    if clusters >= MIN_CLUSTERS and len(held_out) >= MIN_SHARED:
        return held_out, "held out from both searches"
    few = (
        f"{len(held_out)} in {clusters} clusters were held out from both" if held_out else "none was held out from both"
    )
    return list(pairs), f"all in common, also those that a search chose by, which flatter it: {few}"


def _find_clusters(pairs: Sequence[Pair]) -> list[str]:
    """Return the split unit of each question, by the bundle that has fewer of them: fewer clusters claim less."""
    sides: tuple[Literal[0, 1], ...] = (0, 1)
    units = [[pair[side].seen.unit or pair[side].seen.id for pair in pairs] for side in sides]
    return min(units, key=lambda names: len(set(names)))


def _score(one: StoredQuestion, metric: str) -> float:
    return one.seen.scores.get(metric, math.nan)
