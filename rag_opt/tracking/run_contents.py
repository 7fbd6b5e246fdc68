"""What a run of a trial or a study says: params, metrics, times, notes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import orjson

from rag_opt.core.strict import PlainDict, PlainMapping
from rag_opt.study.descriptions import describe, embedding_work
from rag_opt.study.trials import Trial

HOW_TO_READ = (
    "A study; its trials are the runs with the tag `rag_opt.study` = `{study}`. Sort them by `objective/value`, or "
    "take the chart view. Each has its pipeline as `spec.json` and a table with a row per question."
)


def describe_result(study: str, result: PlainMapping) -> str:
    """Return winner and gain as the note of the study's run."""
    gain = result["gain"]
    ends = f"[{gain['low'] * 100:+.1f}, {gain['high'] * 100:+.1f}]" if gain.get("low") is not None else "unknown"
    gained = f"{gain['mean'] * 100:+.1f}" if gain["mean"] is not None else "unknown"
    baseline = result.get("running") or f"trial {result['baseline']}"
    return (
        f"**Winner: trial {result['winner']}**, {describe(result['spec'])}\n\n"
        f"{result['verdict']}: gain over the baseline ({baseline}) {gained} points on "
        f"{result['questions']} questions, 95 % interval {ends}, for {result['claim']}. Chosen: {result['why']}."
        f"\n\n{HOW_TO_READ.format(study=study)}"
    )


def table_cell(value: object, *, texts: bool = True) -> object:
    """Return nested values as text: MLflow's table shows them in one cell. `texts` False: without headings of hits."""
    if not texts and isinstance(value, list):
        value = [{**one, "headings": []} if isinstance(one, dict) and "headings" in one else one for one in value]
    return orjson.dumps(value).decode() if isinstance(value, (dict, list)) else value


@dataclass(frozen=True)
class Progress:
    """How far a search was when a trial was finished."""

    trial: int
    best: float | None
    done: int
    seconds: float
    usd: float
    coverage: float
    left_s: float | None

    @staticmethod
    def after(number: int, trials: Sequence[Trial], *, total: int | None, ascending: bool) -> Progress:
        """Return the progress after trial `number`. `total`: trials of the search, where it is known."""
        until = [trial for trial in trials if trial.number <= number]
        values = [trial.value for trial in until if trial.value is not None and not trial.outside]
        seconds = sum(trial.seconds for trial in until)
        own = next((trial for trial in until if trial.number == number), None)
        return Progress(
            trial=number,
            best=(min(values) if ascending else max(values)) if values else None,
            done=len(until),
            seconds=seconds,
            usd=sum(value for trial in until for name, value in trial.paid.items() if name.endswith("/usd")),
            coverage=own.coverage if own is not None else 0.0,
            left_s=max(total - len(until), 0) * seconds / len(until) if total and until else None,
        )

    def metrics(self) -> dict[str, float]:
        """Return it by the names of metrics; what is not known is left out."""
        known = {
            "search/best_value": self.best,
            "search/trials": float(self.done),
            "search/minutes": self.seconds / 60,
            "search/usd": self.usd,
            "search/coverage": self.coverage,
            "search/minutes_left": None if self.left_s is None else self.left_s / 60,
        }
        return {name: value for name, value in known.items() if value is not None}


def spec_params(trial: Trial, searched: Collection[str] | None) -> PlainDict:
    """Return the pipeline by Optuna's names: `chunker` is a kind, `chunker.recursive.size` its setting.

    `searched`: what the space leaves to choose; the rest stands in `spec.json`. None: all.
    """
    params: PlainDict = {}
    for slot, part in trial.spec.items():
        ((kind, settings),) = part.items()
        params[slot] = kind
        params |= {f"{slot}.{kind}.{name}": value for name, value in settings.items()}
    return params if searched is None else {path: value for path, value in params.items() if path in searched}


def trial_metrics(trial: Trial, held_out: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics of a trial: each by its key, with a prefix for where it was measured."""
    metrics = dict(trial.metrics)
    if trial.value is not None:
        metrics["objective/value"] = trial.value
        metrics["objective/coverage"] = trial.coverage
    if trial.error is not None:
        metrics["objective/standard_error"] = trial.error
    metrics["cost/seconds"] = trial.seconds
    encoded, known = embedding_work(trial)
    metrics["cost/inputs_encoded"], metrics["cost/share_reused"] = float(encoded), known
    for stage, (_, seconds) in trial.stages.items():  # by family: "embed", whatever the model
        name = f"seconds/{stage.partition(' ')[0]}"
        metrics[name] = metrics.get(name, 0.0) + seconds
    metrics |= {f"paid/{name}": value for name, value in trial.paid.items()}
    metrics |= {f"used/{name}": value for name, value in trial.used.items()}
    metrics["retrieval/truncated_chunks"] = float(trial.truncated_chunks)
    metrics["retrieval/approximate_indexes"] = float(trial.approximate_indexes)
    return metrics | {f"held_out/{name}": value for name, value in held_out.items()}


def trial_times(trial: Trial) -> tuple[int, int]:
    """Return when a trial began and ended, in milliseconds since 1970."""
    start = int(dt.datetime.fromisoformat(trial.started).timestamp() * 1000)
    return start, start + int(trial.seconds * 1000)
