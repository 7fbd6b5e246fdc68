"""Deleting a study from MLflow: its runs with their artifacts, and its traces."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

from rag_opt.core.errors import RagOptError
from rag_opt.study.folder import StudyFolder
from rag_opt.tracking.places import is_local, tracking_uri
from rag_opt.tracking.views import view_key

if TYPE_CHECKING:
    from mlflow import MlflowClient

_AT_ONCE = 100
_SQLITE = "sqlite:///"


class Forgotten(NamedTuple):
    """How many runs and traces were deleted; `left`: what could not be deleted for good, in words."""

    runs: int
    traces: int
    left: str


def forget_runs(folder: StudyFolder) -> Forgotten:
    """Delete the runs, artifacts and traces of a study for good. Raises RagOptError where MLflow refuses.

    On a server that is not ours runs are only marked as deleted: whoever runs it removes them by `mlflow gc`.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow

    bound = folder.settings()
    settings = bound["settings"]
    uri = tracking_uri(settings["tracking"], folder.path.parent)
    client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
    name = settings["tracking"].get("experiment") or str(settings["dataset_name"])
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return Forgotten(0, 0, "")
    # by the study's own id: others may bear its name on the same server
    parents = client.search_runs([experiment.experiment_id], f"tags.`rag_opt.study_uid` = '{bound['uid']}'")
    runs = list(parents)
    for parent in parents:
        children = f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
        runs += client.search_runs([experiment.experiment_id], children, max_results=50_000)
    ids = [str(run.info.run_id) for run in runs]
    traces = sum(
        _forget_traces(client, experiment.experiment_id, run.info.run_id)
        for run in runs
        if run.data.tags.get("rag_opt.role") == "evaluation"
    )
    key = view_key(bound["uid"])
    for tag, value in experiment.tags.items():  # the study's views, and the note that links them
        if key in tag or (tag == "mlflow.note.content" and key in value):
            client.delete_experiment_tag(experiment.experiment_id, tag)
    for run_id in ids:
        client.delete_run(run_id)
    if ids and is_local(uri):
        _remove_for_good(uri, ids)
        _shrink(uri)
        return Forgotten(len(ids), traces, "")
    left = f"{len(ids)} runs are marked as deleted on {uri}; `mlflow gc` there removes them for good" if ids else ""
    return Forgotten(len(ids), traces, left)


def _forget_traces(client: MlflowClient, experiment: str, run_id: str) -> int:
    found = client.search_traces(locations=[experiment], run_id=run_id, max_results=5000, include_spans=False)
    ids = [trace.info.trace_id for trace in found]
    for start in range(0, len(ids), _AT_ONCE):
        client.delete_traces(experiment, trace_ids=ids[start : start + _AT_ONCE])
    return len(ids)


def _shrink(uri: str) -> None:
    """Write a SQLite file anew: what was deleted stands in it until then."""
    if uri.startswith(_SQLITE):
        with contextlib.closing(sqlite3.connect(uri.removeprefix(_SQLITE).partition("?")[0], timeout=60)) as connection:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _remove_for_good(uri: str, ids: list[str]) -> None:
    command = [sys.executable, "-m", "mlflow", "gc", "--backend-store-uri", uri, "--run-ids", ",".join(ids)]
    variables = {**os.environ, "MLFLOW_TRACKING_URI": uri}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
    if done.returncode:
        raise RagOptError(f"mlflow gc could not remove {len(ids)} runs: {done.stderr.strip().splitlines()[-1:]}")
