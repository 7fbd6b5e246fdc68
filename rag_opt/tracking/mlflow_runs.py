"""MLflow runs: a parent run per study, a child per trial, each written once. Nothing else talks to MLflow."""

from __future__ import annotations

import datetime as dt
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from rag_opt.core.digests import digest
from rag_opt.core.errors import RagOptError
from rag_opt.core.strict import PlainDict, PlainMapping, flatten
from rag_opt.store.artifacts import write_atomically
from rag_opt.study.descriptions import describe, short_name
from rag_opt.study.folder import StudyFolder
from rag_opt.study.space.composed import read_space, searched_paths
from rag_opt.study.trials import Trial
from rag_opt.tracking.database import ensure_database
from rag_opt.tracking.evaluation_runs import EvaluationRuns
from rag_opt.tracking.names import legal_metrics, legal_name
from rag_opt.tracking.places import allowed_content, is_local, tracking_uri
from rag_opt.tracking.prompts import register_prompt
from rag_opt.tracking.run_contents import (
    HOW_TO_READ,
    Progress,
    describe_result,
    spec_params,
    table_cell,
    trial_metrics,
    trial_times,
)
from rag_opt.tracking.views import VIEWS, Views, view_key

if TYPE_CHECKING:
    from mlflow.entities import Run

_STATUS = {"COMPLETE": "FINISHED", "FAIL": "FAILED", "PRUNED": "KILLED"}
_TABLES = {"rows": "search_questions.json", "held_out": "held_out_questions.json"}
_TEXTS = ("question", "reference_answer", "answer")
_MOST_PARAM_CHARACTERS = 6000
_REFUSAL_AUC = ("refusals/auc", "refusals/auc_low", "refusals/auc_high")


class MlflowStudy:
    """The runs of one study. Everything is found by tags, so writing it again finds what is there.

    `is_new`: there was no database of runs yet.
    """

    def __init__(self, folder: StudyFolder) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        import mlflow

        self._folder = folder
        bound = folder.settings()
        self._settings: PlainDict = bound["settings"]
        self._runtimes = bound.get("runtimes", {})
        tracking = self._settings["tracking"]
        outputs = folder.path.parent
        self.uri = tracking_uri(tracking, outputs)
        self.is_new = ensure_database(self.uri)
        self.content = allowed_content(tracking, self.uri)
        self._uid = str(bound["uid"])
        self._client = mlflow.MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
        name = tracking.get("experiment") or str(self._settings["dataset_name"])
        self._experiment = self._experiment_id(name, tracking.get("artifact_location"), outputs)
        self.parent = self._parent_run(tracking.get("tags") or {})
        self._searched, slots = self._read_searched()
        lower = self._settings.get("report", {}).get("direction") == "minimize"
        self._views = Views(view_key(self._uid), folder.name, self._searched or (), slots, ascending=lower)
        self._write_views()
        self.evaluations = EvaluationRuns(self._client, self._experiment, self.parent, self._uid, folder, self.uri)

    def _read_searched(self) -> tuple[list[str] | None, list[str]]:
        """Return the paths of what was searched, and the slots among them; None where it is not known here."""
        try:
            space = read_space(self._settings["composed"])
        except (RagOptError, KeyError):  # parts of a plug-in, or settings of an older version
            return None, []
        paths = searched_paths(space)
        return paths, [path for path in paths if "." not in path]

    def _write_views(self) -> None:
        """Keep the study's views with the experiment, and their addresses in its folder, once."""
        place = self._folder.path / VIEWS
        known = self._client.get_experiment(self._experiment).tags
        for name, value in self._views.tags().items():
            if name not in known:
                self._client.set_experiment_tag(self._experiment, name, value)
        if not place.exists():
            write_atomically(place, orjson.dumps(self._views.addresses(self._experiment)))

    def _experiment_id(self, name: str, location: str | None, outputs: Path) -> str:
        known = self._client.get_experiment_by_name(name)
        if known is not None:
            return str(known.experiment_id)
        if location is None and is_local(self.uri):
            location = (outputs / "mlartifacts").resolve().as_uri()
        return str(self._client.create_experiment(name, artifact_location=location))

    def _find(self, tag: str, value: str) -> Run | None:
        found = self._client.search_runs([self._experiment], f"tags.`{tag}` = '{value}'", max_results=1)
        return found[0] if found else None

    def _parent_run(self, tags: Mapping[str, str]) -> str:
        known = self._find("rag_opt.study_uid", self._uid)
        if known is not None:
            return str(known.info.run_id)
        named = {
            "rag_opt.study_uid": self._uid,
            "rag_opt.study": self._folder.name,
            "rag_opt.role": "study",
            "mlflow.source.name": "rag_opt.search",
            "mlflow.note.content": HOW_TO_READ.format(study=self._folder.name),
            **({"rag_opt.questions": "; ".join(made)} if (made := self._settings.get("questions")) else {}),
            **tags,
        }
        bound_at = int((self._folder.path / "study.json").stat().st_mtime * 1000)
        run = self._client.create_run(self._experiment, start_time=bound_at, tags=named, run_name=self._folder.name)
        composed = self._settings["composed"]
        ran = {model: f"{one['precision']} by {one['library']}" for model, one in self._runtimes.items()}
        self._log(run.info.run_id, params={**flatten(composed), **flatten({"document_runtime": ran})})
        self._artifact(run.info.run_id, "settings.json", composed)
        self._log_dataset(run.info.run_id)
        return str(run.info.run_id)

    def _log_dataset(self, run_id: str) -> None:
        """Log which documents and questions were searched on, by the digest of both."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        facts, digests = self._settings.get("report", {}), self._folder.settings()["digests"]
        counts = {name: facts[name] for name in ("documents", "characters", "search_questions") if name in facts}
        dataset = Dataset(
            name=str(self._settings["dataset_name"]),
            digest=digest([digests.get("corpus", ""), digests.get("set of questions", "")])[:16],
            source_type="rag_opt",
            source=orjson.dumps({name: digests.get(name, "") for name in ("corpus", "set of questions")}).decode(),
            profile=orjson.dumps(counts).decode(),
        )
        self._client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "search")])])

    def mark_running(self) -> None:
        """Mark the study's run as running: its search goes on."""
        self._client.update_run(self.parent, status="RUNNING")

    def is_running(self) -> bool:
        """Return whether the study's run is marked as running."""
        return bool(self._client.get_run(self.parent).info.status == "RUNNING")

    def write_progress(self, progress: Progress) -> None:
        """Write how far the search was after a trial, as metrics of the study's run with the trial for a step."""
        from mlflow.entities import Metric

        now = int(dt.datetime.now(dt.UTC).timestamp() * 1000)
        numbers = [Metric(name, value, now, progress.trial) for name, value in progress.metrics().items()]
        self._client.log_batch(self.parent, metrics=numbers)

    def write_trial(self, trial: Trial, held_out: Mapping[str, float]) -> None:
        """Write a trial's run, whole; a run that a crash left half-written is completed, not doubled."""
        name = f"{self._uid}/{trial.number}"
        known = self._find("rag_opt.trial_uid", name)
        start, end = trial_times(trial)
        if known is None:
            tags = {
                "mlflow.parentRunId": self.parent,
                "rag_opt.trial_uid": name,
                "rag_opt.study": self._folder.name,
                "rag_opt.role": "trial",
                "rag_opt.origin": trial.origin,
                "rag_opt.state": trial.state,
                "mlflow.source.name": "rag_opt.search",
                "mlflow.note.content": f"{trial.origin}: {describe(trial.spec)}",
            }
            if trial.failures:
                tags["rag_opt.failures"] = "; ".join(f"{n} x {why}" for why, n in trial.failures.items())[:5000]
            if trial.outside:
                tags["rag_opt.outside_guards"] = ", ".join(sorted(trial.outside))
            if not trial.in_space:
                tags["rag_opt.outside_space"] = "true"
            if trial.damage:
                tags["rag_opt.damage"] = "; ".join(trial.damage)[:5000]
            if trial.reason:
                tags["rag_opt.reason"] = trial.reason[:5000]
            known = self._client.create_run(self._experiment, start_time=start, tags=tags, run_name=short_name(trial))
        run_id = known.info.run_id
        self._log(run_id, params=spec_params(trial, self._searched), metrics=trial_metrics(trial, held_out))
        self._artifact(run_id, "spec.json", trial.spec)
        tables = self._tables(run_id, trial.number)
        if tables:
            shown = [{"path": name, "type": "table"} for name in tables]
            self._client.set_tag(run_id, "mlflow.loggedArtifacts", orjson.dumps(shown).decode())
        self._client.set_terminated(run_id, status=_STATUS[trial.state], end_time=end)

    def _tables(self, run_id: str, number: int) -> list[str]:
        """Write the tables of a trial that may be written, and say which."""
        there = [part for part in _TABLES if self._folder.rows_path(number, part).exists() and self.content != "none"]
        for part in there:
            self._table(run_id, _TABLES[part], number, part)
        swept = self._folder.sweep_path(number)
        if swept.exists():
            self._artifact(run_id, "sweep.json", orjson.loads(swept.read_bytes()))
        return [*(_TABLES[part] for part in there), *(["sweep.json"] if swept.exists() else [])]

    def write_result(self, status: str, result: PlainMapping | None) -> None:
        """Write the study's own run: its state, and when it is finished the winner and the gain."""
        if result is not None and status == "FINISHED":
            gain = {f"gain/{key}": value for key, value in result["gain"].items() if value is not None}
            if result["expected_gain"] is not None:
                gain["gain/expected"] = result["expected_gain"]
            winner = result["metrics"][str(result["winner"])]
            metrics = {**gain, **{f"held_out/{name}": value for name, value in winner.items()}}
            metrics |= {f"bounds/{name.replace(' ', '_')}": value for name, value in result.get("bounds", {}).items()}
            if result.get("refusal_auc"):
                metrics |= dict(zip(_REFUSAL_AUC, result["refusal_auc"], strict=True))
            metrics |= {f"spent/{name}": value for name, value in result.get("spent", {}).items()}
            self._log(self.parent, metrics=metrics)
            if result.get("running"):
                self._client.set_tag(self.parent, "rag_opt.baseline", result["running"])
            for key in ("winner",) if result.get("running") else ("winner", "baseline"):
                if result[key] is not None:
                    self._client.set_tag(self.parent, f"rag_opt.{key}", f"t{result[key]:04d}")
            for key in ("verdict", "why", "claim"):
                self._client.set_tag(self.parent, f"rag_opt.{key}", result[key])
            if result.get("damage"):
                self._client.set_tag(self.parent, "rag_opt.damage", "; ".join(result["damage"])[:5000])
            self._mark_front(result.get("front", ()))
            note = describe_result(self._folder.name, result)
            self._client.set_tag(self.parent, "mlflow.note.content", note)
            addresses = {**self._views.addresses(self._experiment), **self.evaluations.comparison(result)}
            write_atomically(self._folder.path / VIEWS, orjson.dumps(addresses))
            links = " · ".join(f"[{name}]({place})" for name, place in addresses.items())
            self._client.set_experiment_tag(self._experiment, "mlflow.note.content", f"{note}\n\n{links}")
            self._artifact(self.parent, "result.json", result)
            self._artifact(self.parent, "winner.json", result["spec"])
            prompts = self._settings.get("report", {}).get("prompts", {})
            register_prompt(self._client, self.parent, self._folder.name, result["spec"], prompts)
        self._log_report()
        self._client.set_terminated(self.parent, status=status)

    def _log_report(self) -> None:
        """Log the report, where texts in it may be written there."""
        report = self._folder.path / "report.html"
        if report.exists() and self.content == "full":
            self._client.log_artifact(self.parent, str(report))

    def _mark_front(self, numbers: Iterable[int]) -> None:
        """Tag the trials that no other beats in all objectives; of an earlier end of the search, none but these."""
        wanted = {f"{self._uid}/{number}" for number in numbers}
        if not wanted:
            return
        for run in self._client.search_runs(
            [self._experiment], f"tags.`mlflow.parentRunId` = '{self.parent}'", max_results=50_000
        ):
            here, tagged = run.data.tags.get("rag_opt.trial_uid") in wanted, "rag_opt.front" in run.data.tags
            if here and not tagged:
                self._client.set_tag(run.info.run_id, "rag_opt.front", "yes")
            elif tagged and not here:
                self._client.delete_tag(run.info.run_id, "rag_opt.front")

    def _log(
        self,
        run_id: str,
        *,
        params: PlainMapping | None = None,
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        from mlflow.entities import Metric, Param

        now = int(dt.datetime.now(dt.UTC).timestamp() * 1000)
        legal = {legal_name(name): str(value)[:_MOST_PARAM_CHARACTERS] for name, value in (params or {}).items()}
        written = [Param(name, value) for name, value in legal.items()]
        numbers = [Metric(name, value, now, 0) for name, value in legal_metrics(metrics or {}).items()]
        for start in range(0, max(len(written), 1), 100):  # the REST API takes at most 100 params a call
            batch = numbers if start == 0 else []
            self._client.log_batch(run_id, metrics=batch, params=written[start : start + 100])

    def _artifact(self, run_id: str, name: str, content: object) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2))
            self._client.log_artifact(run_id, str(path))

    def _table(self, run_id: str, name: str, number: int, part: str) -> None:
        """Write the per-question table in the shape that MLflow's page shows as one; texts only where they may go."""
        rows = self._folder.load_rows(number, part)
        dropped = () if self.content == "full" else _TEXTS
        columns = [column for column in rows[0] if column not in dropped] if rows else []
        data = [[table_cell(row[column], texts=self.content == "full") for column in columns] for row in rows]
        self._artifact(run_id, name, {"columns": columns, "data": data})
