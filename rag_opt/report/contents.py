"""Everything that the report of a study shows, as plain data: read from the study's folder, and nothing else."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from rag_opt.core.arrays import FloatArray
from rag_opt.core.errors import BadInput, BadStudy, list_names
from rag_opt.core.strict import PlainDict, PlainMapping
from rag_opt.evaluation.detectable_gain import HIGH_CORRELATION, smallest_gain
from rag_opt.evaluation.growth import FACTORS, Growth, describe_growth, fit_growth
from rag_opt.evaluation.intervals import paired_gain
from rag_opt.evaluation.outcomes import Outcome, find_outcome
from rag_opt.report.advice import Advice, Findings, derive_advice
from rag_opt.report.effects import Effect, measure_effects
from rag_opt.report.study import Study
from rag_opt.study.evaluation import OBJECTIVE_COLUMN
from rag_opt.study.importance import measure_importance
from rag_opt.study.result import Result
from rag_opt.study.space.composed import read_space
from rag_opt.study.space.domains import Scalar
from rag_opt.study.space.space import Space
from rag_opt.study.trials import Trial, load_direction

# the reader of a pipeline, document, start, end -> what stands there; raises LookupError
Text = Callable[[PlainMapping, str, int, int], str]
_LIST_RANK, _OTHERS = "places/list_rank", "places/others_before"


class Contents:
    """What a study's folder says, as the report needs it. Everything is computed when it is first asked for."""

    def __init__(self, study: Study, compared: Sequence[int] = ()) -> None:
        self.study = study
        self.compared = list(compared)
        settings = study.settings
        self.facts: PlainMapping = settings.get("report", {})
        self.composed: PlainMapping = settings["composed"]
        self.sign = load_direction(study.path / "study.db", study.stored_name)
        self.objective = str(self.facts.get("objective", "objective"))
        self.all_rows = functools.cache(self._read_all_rows)  # of this object alone, so that it ends with it

    @functools.cached_property
    def result(self) -> Result | None:
        """The outcome of the search; None before it has ended."""
        return Result.from_dict(self.study.result) if self.study.result is not None else None

    @functools.cached_property
    def complete(self) -> list[Trial]:
        """Trials that were asked all search questions."""
        return [trial for trial in self.study.trials if trial.value is not None]

    @functools.cached_property
    def space(self) -> Space:
        """The search space, as it was composed."""
        return read_space(self.composed)

    @functools.cached_property
    def parameters(self) -> dict[int, dict[str, Scalar]]:
        """By trial what was chosen for it, by path; empty for one that is not of the space."""
        return {
            trial.number: {path: value for path, (value, _) in (self.space.parameters(trial.spec) or {}).items()}
            for trial in self.study.trials
        }

    @functools.cached_property
    def search_rows(self) -> list[PlainDict]:
        """Rows of the first complete trial on the search questions: which they are."""
        return self.study.rows(self.complete[0].number) if self.complete else []

    @functools.cached_property
    def question_ids(self) -> list[str]:
        """Ids of the search questions, in the order of every trial's rows."""
        return [str(row["question_id"]) for row in self.search_rows]

    @functools.cached_property
    def units(self) -> dict[str, str]:
        """Split unit by question id; a question of which none is known is its own."""
        known: Mapping[str, str] = self.facts.get("units", {})
        return {name: known.get(name, name) for name in self.question_ids}

    def column(self, trial: Trial, name: str) -> FloatArray:
        """Return a column of a trial's rows, NaN where there is none."""
        try:
            return self.study.column(trial.number, name)
        except (BadStudy, OSError, KeyError, ValueError):
            return np.full(len(self.question_ids), np.nan)

    @functools.cached_property
    def values(self) -> FloatArray:
        """The objective [complete trials, search questions], higher is better, NaN where it was not scored."""
        width = len(self.question_ids)
        columns = [self.column(trial, OBJECTIVE_COLUMN) for trial in self.complete]
        kept = [column if len(column) == width else np.full(width, np.nan) for column in columns]
        return self.sign * np.array(kept).reshape(len(kept), width)

    @functools.cached_property
    def effects(self) -> list[Effect]:
        """What each choice did."""
        of_space = [i for i, trial in enumerate(self.complete) if self.parameters[trial.number]]
        chosen = [self.parameters[self.complete[i].number] for i in of_space]
        clusters = [self.units[name] for name in self.question_ids]
        return measure_effects(chosen, self.values[of_space], clusters)

    @functools.cached_property
    def importance(self) -> dict[str, float]:
        """Share of each parameter in what sets good trials apart."""
        return measure_importance(self.study.path / "study.db", self.study.stored_name)

    @property
    def shown(self) -> list[int]:
        """Trials whose questions are in the report: those to compare, or winner, baseline and the other finalists."""
        if self.compared:
            return self.compared
        if self.result is None:
            best = max(self.complete, key=lambda trial: self.sign * (trial.value or 0.0), default=None)
            baseline = next((trial for trial in self.complete if trial.origin == "baseline"), None)
            return list(dict.fromkeys(trial.number for trial in (best, baseline) if trial is not None))
        first = [self.result.winner, *self._baseline_trials()]
        others = [number for number in self.result.held_out_means if number in self.by_number]
        return list(dict.fromkeys([*first, *others]))

    def _baseline_trials(self) -> list[int]:
        """Return the trial of the baseline; none where there is none, as of a log or a service."""
        known = self.result.baseline_trial if self.result is not None else None
        return [known] if known is not None else []

    def _read_all_rows(self, number: int) -> list[PlainDict]:
        """Return the rows of a trial on the search questions, and behind them those on the held-out ones."""
        rows = [{**row, "held_out": False} for row in self.study.rows(number)]
        try:
            return rows + [{**row, "held_out": True} for row in self.study.rows(number, held_out=True)]
        except (BadStudy, OSError):
            return rows

    def outcomes(self, trial: Trial) -> list[Outcome]:
        """Return what became of each question, in the order of `all_rows`."""
        ((_, retriever),) = trial.spec["retriever"].items()
        top_k = retriever.get("top_k")
        return [
            find_outcome(row, value=self.value_of(row), top_k=int(top_k) if top_k is not None else None)
            for row in self.all_rows(trial.number)
        ]

    def value_of(self, row: PlainMapping) -> float | None:
        """Return the objective's value of a row, higher is better."""
        value = row.get(OBJECTIVE_COLUMN)
        return None if value is None else self.sign * float(value)

    @functools.cached_property
    def by_number(self) -> dict[int, Trial]:
        """Trials by their numbers."""
        return {trial.number: trial for trial in self.study.trials}

    @functools.cached_property
    def found_by_any(self) -> dict[str, bool]:
        """By search question with evidence whether some trial's whole list has all of it."""
        if not self.complete:
            return {}
        shares = np.array([self.column(trial, "places/in_list") for trial in self.complete])
        known = ~np.isnan(shares).all(axis=0)
        best = np.nanmax(np.where(np.isnan(shares), -1.0, shares), axis=0)
        return {name: best[i] >= _ALL for i, name in enumerate(self.question_ids) if known[i]}

    @functools.cached_property
    def advice(self) -> list[Advice]:
        """What to do next."""
        if not self.shown:
            return []
        winner = self.result.winner if self.result is not None else self.shown[0]
        trial = self.by_number[winner]
        result, rows = self.result, self.all_rows(trial.number)
        ((kind, embedder),) = trial.spec["embedder"].items()
        model: PlainMapping = self.facts.get("models", {}).get(str(embedder.get("name")), {}) if kind != "none" else {}
        finite = result is not None and np.isfinite([result.gain.low, result.gain.high]).all()
        alike, smallest = self._models_alike()
        findings = Findings(
            spec=trial.spec,
            space=self.space,
            rows=rows,
            outcomes=self.outcomes(trial),
            found_by_any=self.found_by_any,
            effects=self.effects,
            mean=float(self.sign * (trial.value or 0.0)),
            interval_width=result.gain.high - result.gain.low if result is not None and finite else None,
            undecided=result is not None and result.verdict == "undecided",
            held_out=result.questions if result is not None and result.on_held_out else 0,
            smallest_gain=self._smallest_gain(rows),
            truncated=trial.truncated_chunks,
            reads_tokens=model.get("reads_tokens"),
            model_languages=model.get("languages", ()),
            language=self.facts.get("language"),
            models_alike=alike,
            smallest_model=smallest,
        )
        return derive_advice(findings)

    def _smallest_gain(self, rows: Sequence[PlainMapping]) -> float | None:
        """Return the smallest gain that the held-out questions can show between pipelines that are much alike."""
        known: Mapping[str, str] = self.facts.get("units", {})
        units = [known.get(str(row["question_id"]), str(row["question_id"])) for row in rows if row["held_out"]]
        if self.result is None or not units:
            return None
        return smallest_gain(units, correlation=HIGH_CORRELATION, finalists=max(self.result.finalists, 1))

    def best_by_model(self) -> dict[str, Trial]:
        """Return by embedding model the best trial that uses it."""
        best = dict[str, Trial]()
        for trial in self.complete:
            ((kind, settings),) = trial.spec["embedder"].items()
            name = str(settings.get("name", kind))
            if kind != "none" and (name not in best or self._better(trial, best[name])):
                best[name] = trial
        return best

    def _better(self, one: Trial, other: Trial) -> bool:
        return self.sign * (one.value or 0.0) > self.sign * (other.value or 0.0)

    def _models_alike(self) -> tuple[list[str], str]:
        """Return the models whose best trials cannot be told from the best of all, and the smallest of them."""
        best = self.best_by_model()
        if len(best) < _FEW_MODELS:
            return [], ""
        rows = {trial.number: i for i, trial in enumerate(self.complete)}
        first = max(best.values(), key=lambda trial: self.sign * (trial.value or 0.0))
        clusters = [self.units[name] for name in self.question_ids]
        alike = [
            name
            for name, trial in best.items()
            if trial is first
            or not paired_gain(self.values[rows[first.number]], self.values[rows[trial.number]], clusters).is_above_zero
        ]
        models: PlainMapping = self.facts.get("models", {})
        smallest = min(alike, key=lambda name: models.get(name, {}).get("parameters_millions") or np.inf)
        return (alike, smallest) if len(alike) > 1 else ([], "")

    def growth(self, number: int) -> Growth | None:
        """Return how a trial would fare among more documents; None where too little is known."""
        trial = self.by_number[number]
        ((_, retriever),) = trial.spec["retriever"].items()
        rank, others, whole = (self.column(trial, name) for name in (_LIST_RANK, _OTHERS, "places/in_list"))
        known = ~np.isnan(whole)
        in_list = known & (whole >= _ALL) & ~np.isnan(others)
        own = np.where(in_list, rank - 1 - others, np.nan)[known]
        top_k, depth = int(retriever.get("top_k") or 5), int(retriever.get("depth") or 50)
        return fit_growth(own, np.where(in_list, others, np.nan)[known], k=top_k, depth=depth)

    @functools.cached_property
    def grown(self) -> PlainDict | None:
        """Recall at top_k of the winner and the runner-up among 1, 3, 10 and 30 times the documents."""
        wanted = list(dict.fromkeys(self.compared or self.shown[:1] + self._runners_up() + self._baseline_trials()))
        models = {number: self.growth(number) for number in wanted}
        known = {number: model for number, model in models.items() if model is not None}
        if not known or wanted[0] not in known:
            return None
        curves = [
            {"trial": number, "k": model.k, "recall": [model.at(factor) for factor in FACTORS]}
            for number, model in known.items()
        ]
        names = [f"trial {number}" for number in known]
        said = describe_growth(names, list(known.values())) if len(known) > 1 else ""
        return {"factors": list(FACTORS), "curves": curves, "said": said}

    def _runners_up(self) -> list[int]:
        if self.result is None:
            return []
        means = self.result.pooled_means
        others = [number for number in means if number not in (self.result.winner, self.result.baseline)]
        return sorted(others, key=lambda number: -self.sign * means[number])[:1]


_ALL, _FEW_MODELS = 0.999, 2


def open_contents(path: Path, compared: Sequence[int] = ()) -> Contents:
    """Return the contents of a study's folder; with `compared` trials instead of its finalists.

    Raises BadInput where it is none, or has no such trial.
    """
    contents = Contents(Study(path), compared)
    if not contents.study.trials:
        raise BadInput(f"{path} has no finished trial yet")
    known = {trial.number for trial in contents.complete}
    for number in compared:
        if number not in known:
            there = list_names([str(one) for one in sorted(known)])
            raise BadInput(f"--compare: there is no complete trial {number}; there are {there}")
    return contents


def spent_by_stage(trials: Sequence[Trial]) -> list[tuple[str, float, float]]:
    """Return (stage, seconds spent, seconds that the store saved) over all trials, the longest first."""
    spent, whole = dict[str, float](), dict[str, float]()
    for trial in trials:
        for stage, (_, seconds) in trial.stages.items():
            spent[stage] = spent.get(stage, 0.0) + seconds
        for stage, (_, seconds) in trial.made.items():
            whole[stage] = whole.get(stage, 0.0) + seconds
    rows = [
        (stage, spent.get(stage, 0.0), max(whole.get(stage, 0.0) - spent.get(stage, 0.0), 0.0))
        for stage in {**spent, **whole}
    ]
    return sorted(rows, key=lambda row: -(row[1] + row[2]))
