"""Both sides of a gate asked the same questions, scored by the same objectives, and compared question by question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rag_opt.core import strict
from rag_opt.core.arrays import FloatArray
from rag_opt.core.documents import Corpus
from rag_opt.core.errors import BadBundle, BadInput, Problem
from rag_opt.core.questions import Question
from rag_opt.core.registry import lookup
from rag_opt.data.question_lines import QuestionLine, read_questions
from rag_opt.data.quotes import QuoteResolver
from rag_opt.data.reading import Problems, check_questions
from rag_opt.data.splits import split
from rag_opt.evaluation.interfaces import Objective
from rag_opt.evaluation.intervals import MIN_CLUSTERS
from rag_opt.evaluation.non_inferiority import NonInferiority, compare_scores
from rag_opt.evaluation.requirements import can_feed
from rag_opt.evaluation.run import ScoringResources
from rag_opt.evaluation.running_systems import UNKNOWN, Located, build_run, describe_missing
from rag_opt.evaluation.scoring import keep_fed, score_all
from rag_opt.pipeline.corpus_text import CorpusText
from rag_opt.production.comparing import MIN_SHARED, ComparedMetric, ComparedQuestion, compare_metric
from rag_opt.production.gate.sides import BundleSide, Side
from rag_opt.production.measured_scores import read_logged_objectives, read_objective
from rag_opt.production.stored_questions import HELD_OUT, find_again, question_line
from rag_opt.store.values import Values

_WITHOUT_JUDGE = ("evidence_recall", "ndcg")  # what is compared instead, the first that the questions can feed


@dataclass(frozen=True)
class Asked:
    """The questions of a gate. `units`: cluster by the id of a question. `said`: which they are, in words."""

    lines: Sequence[QuestionLine]
    units: Mapping[str, str]
    said: str


@dataclass(frozen=True)
class Compared:
    """What both sides scored. `notes`: what a person should know of it, in sentences."""

    objective: str
    comparison: NonInferiority
    metrics: Sequence[ComparedMetric]
    questions: Sequence[ComparedQuestion]
    notes: Sequence[str] = field(default_factory=tuple)


def choose_questions(new: Side, against: Side, questions: Path | None, corpus: Corpus) -> Asked:
    """Return what both sides are asked: the file's questions, else those that a bundle stores, the champion's first.

    Of stored ones only those count that were held out wherever they are stored, if they are in enough clusters: a
    search flatters itself on the questions it chose by. Raises BadInput where there are none.
    """
    if questions is not None:
        return _read_file(questions, corpus)
    bundles = [side for side in (against, new) if isinstance(side, BundleSide)]
    owner = next((side for side in bundles if side.stored), None)
    if owner is None:
        raise BadInput([Problem("--questions", "is missing: neither side is a bundle that stores questions")])
    by_search = {one.line.question for side in bundles for one in side.stored if one.seen.part != HELD_OUT}
    held_out = [one for one in owner.stored if one.line.question not in by_search]
    enough = len({one.seen.unit or one.seen.id for one in held_out}) >= MIN_CLUSTERS and len(held_out) >= MIN_SHARED
    chosen = held_out if enough else owner.stored
    said = "held out from every search here" if enough else "all that are stored, also those that a search chose by"
    units = {one.seen.id: one.seen.unit or one.seen.id for one in chosen}
    return Asked([one.line for one in chosen], units, f"questions of {owner.name}: {said}")


def _read_file(path: Path, corpus: Corpus) -> Asked:
    if not path.is_file():
        raise BadInput([Problem("--questions", f"there is no file {path}")])
    problems = Problems()
    located = read_questions(path, QuoteResolver(corpus), problems)
    check_questions(located, corpus, problems)
    problems.raise_if_any()
    found = [question for _, question in located]
    units = split(found, search_share=0.5).units
    lines = [_as_line(question, corpus) for question in found]
    return Asked(lines, dict(zip((one.id for one in found), units, strict=True)), f"questions of {path}")


def _as_line(question: Question, corpus: Corpus) -> QuestionLine:
    return strict.load(QuestionLine, question_line(question, corpus), path=question.id)


def compare_sides(
    new: Side,
    against: Side,
    asked: Asked,
    resources: ScoringResources,
    values: Values,
    *,
    margin: float,
    documents: CorpusText,
) -> Compared:
    """Ask both sides, score them, and return how they compare. `margin`: in units of the objective.

    `documents`: what the passages of a side that brings none stand in.

    Raises BadBundle where they cannot be compared: nothing in common, or nothing that an objective can score.
    """
    sides = [_AskedSide.of(side, documents, asked) for side in (new, against)]
    shared = [name for name in sides[0].position if name in sides[1].position]
    if len(shared) < MIN_SHARED:
        raise BadBundle(f"{len(shared)} questions have a place in the documents of both sides; at least {MIN_SHARED}")
    runs = [side.select(shared) for side in sides]
    objective, why = _choose_objective(new, against, runs, resources)
    objectives = [objective, *read_logged_objectives()]
    scored = [_score(objectives, located, resources, values) for located in runs]
    name = next(iter(scored[0]))
    sign = -1.0 if objective.direction == "minimize" else 1.0
    ours, theirs = (sign * columns[name] for columns in scored)
    ours = _with_failures(ours, theirs, runs[0])
    scored[0][name] = sign * ours
    units = [asked.units.get(one, one) for one in shared]
    comparison = compare_scores(ours, theirs, units, margin=margin, asked=asked.said)
    if not comparison.questions:
        raise BadBundle(f"no question has a score of `{objective.kind}` from both sides")
    metrics = [compare_metric(one, scored[0][one], scored[1][one], units) for one in scored[0] if one in scored[1]]
    texts = [question.text for question in runs[0].run.questions]
    questions = [
        ComparedQuestion(one, text, sign * float(a), sign * float(b))
        for one, text, a, b in zip(shared, texts, ours, theirs, strict=True)
        if not np.isnan(a - b)
    ]
    notes = [*([why] if why else []), *(f"{side.side.name}: {said}" for side in sides for said in side.said())]
    return Compared(objective.kind, comparison, [m for m in metrics if m is not None], questions, notes)


@dataclass(frozen=True)
class _AskedSide:
    side: Side
    located: Located
    position: Mapping[str, int]  # of a question in the run, by its id
    lost: int

    @staticmethod
    def of(side: Side, known: CorpusText, asked: Asked) -> _AskedSide:
        texts = side.texts if isinstance(side, BundleSide) else known
        resolver = QuoteResolver(texts.corpus)
        questions, lost = find_again(asked.lines, resolver)
        located = build_run(side.ask(questions), questions, texts, resolver)
        return _AskedSide(side, located, {one.id: row for row, one in enumerate(questions)}, len(lost))

    def select(self, shared: Sequence[str]) -> Located:
        rows = [self.position[name] for name in shared]
        one = self.located
        return Located(one.run.select(rows), one.passages, one.not_found, one.answered)

    def said(self) -> list[str]:
        found = describe_missing(self.located, len(self.position))
        if self.lost:
            found.append(f"the evidence of {self.lost} questions stands in none of its documents: they are left out")
        if isinstance(self.side, BundleSide) and self.side.asked:
            found.append(f"{self.side.asked} questions were asked now")
        return found


def _choose_objective(
    new: Side, against: Side, runs: Sequence[Located], resources: ScoringResources
) -> tuple[Objective, str]:
    """Return what is compared: the study's objective of a bundle, else the first that the questions can feed."""
    owner = next((side for side in (against, new) if isinstance(side, BundleSide)), None)
    objective, why = read_objective(owner.manifest) if owner is not None else None, ""
    if objective is not None:
        silent = next((side.name for side, run in zip((new, against), runs, strict=True) if not run.answered), None)
        if "judge" in objective.requires and resources.judge is None:
            why = f"{objective.kind} needs a judge (--judge)"
        elif objective.reads_answers and silent is not None:
            why = f"{objective.kind} reads answers, and {silent} has none"
        else:
            return objective, ""
    for name in _WITHOUT_JUDGE:
        instead: Objective = lookup("objective", name)()
        if any(can_feed(question, instead.requires) for question in runs[0].run.questions):
            return instead, f"{why}: {name} is compared" if why else ""
    raise BadBundle("no question has evidence, and nothing else can be compared" + (f": {why}" if why else ""))


def _score(
    objectives: Sequence[Objective], located: Located, resources: ScoringResources, values: Values
) -> dict[str, FloatArray]:
    """Return the columns of all objectives, the optimised one's first."""
    columns: dict[str, FloatArray] = {}
    for objective, found in zip(objectives, score_all(objectives, located.run, resources, values), strict=True):
        if located.answered or not objective.reads_answers:
            columns = {**columns, **keep_fed(objective, found, located.run.questions)}
    return columns


def _with_failures(ours: FloatArray, theirs: FloatArray, located: Located) -> FloatArray:
    """Return the scores of who is new; one for a question that it could not answer is the worst there is."""
    failed = [bool(reason) and reason not in UNKNOWN for reason in located.run.responses.usage.failed]
    known = np.concatenate([ours[~np.isnan(ours)], theirs[~np.isnan(theirs)], [0.0]])
    return np.where(np.array(failed, bool) & ~np.isnan(theirs), known.min(), ours)
