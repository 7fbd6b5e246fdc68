"""Tracking against a real MLflow database, and against servers that misbehave on purpose."""

from __future__ import annotations

import contextlib
import http.server
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
import typer

from rag_opt.core.questions import Dataset
from rag_opt.core.secrets import mask
from rag_opt.evaluation.run import ask
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.study.folder import StudyFolder
from rag_opt.study.space.space import Space
from rag_opt.study.trials import Trial, TrialLog
from rag_opt.tracking.database import ensure_database
from rag_opt.tracking.outbox import Outbox
from rag_opt.tracking.places import allowed_content, is_local, tracking_uri
from rag_opt.tracking.worker import Delivery, follow

# MLflow's own: it warns of itself and leaves connections to the collector
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning",
    "ignore::ResourceWarning",
    "ignore::FutureWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)

SETTINGS = {
    "composed": {"study": {"trials": 3}},
    "dataset_name": "tiny",
    "tracking": {
        "enabled": True,
        "uri": None,
        "experiment": None,
        "artifact_location": None,
        "tags": {"team": "a"},
        "content": "auto",
    },
}


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as MLflow makes it, which takes two seconds each time."""
    import mlflow

    database = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    mlflow.MlflowClient(tracking_uri=f"sqlite:///{database}").search_experiments()
    return database


@pytest.fixture
def with_database(tmp_path: Path, empty_database: Path) -> None:
    (tmp_path / "outputs").mkdir()
    shutil.copy(empty_database, tmp_path / "outputs" / "mlflow.db")


def make_study(
    tmp_path: Path,
    builder: PipelineBuilder,
    spec: PipelineSpec,
    dataset: Dataset,
    default_pipeline: dict[str, object],
    **tracking: object,
) -> tuple[StudyFolder, Outbox]:
    """Three finished trials, one of each state, waiting in the outbox."""
    folder = StudyFolder(tmp_path / "outputs" / "mine")
    folder.path.mkdir(parents=True)
    folder.bind({"corpus": "x"}, {**SETTINGS, "tracking": {**SETTINGS["tracking"], **tracking}})  # type: ignore[dict-item]
    space = Space.from_dict({}, rest=default_pipeline, only={})
    log, outbox = TrialLog(folder.database, folder.name, space, directions=["maximize"]), Outbox(folder)
    run = ask(builder.pipeline(spec), dataset.questions)
    folder.save_rows(0, run, {})
    started = "2026-01-01T00:00:00.000+00:00"
    for number, state in enumerate(("COMPLETE", "FAIL", "PRUNED")):
        value = 0.5 if state == "COMPLETE" else None
        reason = "" if value else "because"
        facts = {"value": value, "error": 0.1, "metrics": {"retrieval/mrr": 0.25}, "started": started, "seconds": 2.0}
        facts |= {"stages": {"embed one": (9.0, 0.5), "embed two": (9.0, 0.25), "rest": (9.0, 1.25)}}
        facts |= {"computed": {"vectors": 1, "inputs encoded": 1}, "reused": {"vectors": 3}}
        facts |= {"paid": {"judge/usd": 0.5}, "used": {"usd": 0.75}}
        trial = Trial(number=number, state=state, spec=spec.to_dict(), origin="sampler", reason=reason, **facts)
        log.commit(trial, None)
        outbox.trial_finished(trial, number)
    return folder, outbox


def test_runs_nest_tell_the_truth_and_are_delivered_once(
    tmp_path: Path, builder: PipelineBuilder, spec: PipelineSpec, dataset: Dataset, default_pipeline: dict[str, object]
) -> None:
    import mlflow

    folder, outbox = make_study(tmp_path, builder, spec, dataset, default_pipeline)
    folder.save_sweep(1, {"columns": ["retriever"], "data": [["dense"]]})
    assert Delivery(folder).deliver_waiting() == 3
    assert outbox.waiting() == 0 and Delivery(folder).deliver_waiting() == 0
    # a courier that died between writing a run and removing its note writes it again: nothing is doubled
    outbox.trial_finished(Trial(number=0, state="COMPLETE", spec={}, origin=""), 1)
    Delivery(folder).deliver_waiting()

    client = mlflow.MlflowClient(tracking_uri=tracking_uri({}, folder.path.parent))
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    first, second, third = (
        f"t000{n} recursive-32 minilm rrf k2 · {v}" for n, v in enumerate(("0.500", "fail", "pruned"))
    )
    assert set(runs) == {"mine", first, second, third}
    states = {name: run.info.status for name, run in runs.items()}
    assert (states[first], states[second], states[third]) == ("FINISHED", "FAILED", "KILLED")
    done = runs[first]
    assert done.data.tags["mlflow.parentRunId"] == runs["mine"].info.run_id
    assert done.data.params["chunker"] == "recursive" and done.data.params["chunker.recursive.size"] == "32"
    assert done.data.metrics["objective/value"] == 0.5 and done.data.metrics["retrieval/mrr"] == 0.25
    assert done.data.metrics["seconds/embed"] == 0.75 and done.data.metrics["seconds/rest"] == 1.25
    assert done.data.metrics["paid/judge/usd"] == 0.5 and done.data.metrics["used/usd"] == 0.75
    assert done.data.metrics["cost/share_reused"] == 0.75 and done.data.metrics["cost/inputs_encoded"] == 1
    assert runs[third].data.tags["rag_opt.reason"] == "because"
    assert runs["mine"].data.tags["team"] == "a"
    assert [a.path for a in client.list_artifacts(runs[second].info.run_id)] == ["spec.json", "sweep.json"]
    assert {a.path for a in client.list_artifacts(done.info.run_id)} == {"spec.json", "search_questions.json"}
    assert [t["path"] for t in orjson.loads(done.data.tags["mlflow.loggedArtifacts"])] == ["search_questions.json"]
    assert done.info.end_time - done.info.start_time == 2000

    result = {
        "winner": 0,
        "baseline": 0,
        "questions": 9,
        "gain": {"mean": 0.0, "error": None},
        "expected_gain": 0.0,
        "verdict": "baseline stands",
        "why": "best mean",
        "claim": "these documents",
        "metrics": {"0": {"retrieval/mrr": 0.75}},
        "spent": {"judge/usd": 1.5},
        "spec": {},
        "front": [0],
    }
    (folder.path / "result.json").write_bytes(orjson.dumps(result))
    folder.save_rows(0, ask(builder.pipeline(spec), dataset.questions[:2]), {}, part="held_out")
    outbox.held_out(0)
    outbox.result("FINISHED")
    Delivery(folder).deliver_waiting()
    shown = client.get_run(done.info.run_id).data.tags["mlflow.loggedArtifacts"]
    assert client.get_run(done.info.run_id).data.tags["rag_opt.front"] == "yes"
    assert [table["path"] for table in orjson.loads(shown)] == ["search_questions.json", "held_out_questions.json"]
    parent = client.get_run(runs["mine"].info.run_id)
    assert parent.info.status == "FINISHED" and parent.data.metrics["held_out/retrieval/mrr"] == 0.75
    assert parent.data.metrics["spent/judge/usd"] == 1.5
    assert parent.data.tags["rag_opt.winner"] == "t0000"


@pytest.mark.parametrize(("content", "texts"), [("full", True), ("ids", False), ("none", False)])
@pytest.mark.usefixtures("with_database")
def test_how_much_text_is_written(
    tmp_path: Path,
    builder: PipelineBuilder,
    spec: PipelineSpec,
    dataset: Dataset,
    default_pipeline: dict[str, object],
    content: str,
    texts: bool,
) -> None:
    folder, _ = make_study(tmp_path, builder, spec, dataset, default_pipeline, content=content)
    Delivery(folder).deliver_waiting()
    written = b"".join(path.read_bytes() for path in (tmp_path / "outputs" / "mlartifacts").rglob("*questions.json"))
    assert (b"How do honey bees tell others" in written) == texts
    assert (b"bees-1" in written) == (content != "none")
    assert (b'\\"headings\\":[\\"Bees\\"]' in written) == texts  # they are words of the documents


def test_where_and_how_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri({}, tmp_path) == f"sqlite:///{tmp_path.as_posix()}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://elsewhere")
    assert tracking_uri({}, tmp_path) == "https://elsewhere"
    assert tracking_uri({"uri": "http://here"}, tmp_path) == "http://here"
    assert (
        is_local("sqlite:///x")
        and is_local("./mlruns")
        and not is_local("https://elsewhere")
        and not is_local("postgresql://db/x")
    )
    assert allowed_content({"content": "auto"}, "https://elsewhere") == "ids"
    assert allowed_content({"content": "auto"}, "databricks") == "ids"
    assert allowed_content({"content": "auto", "artifact_location": "s3://bucket"}, "sqlite:///x") == "ids"
    assert mask("http://me:secret@host/x") == "http://…@host/x"
    assert (
        allowed_content({"content": "auto"}, "sqlite:///x")
        == allowed_content({"content": "full"}, "https://elsewhere")
        == "full"
    )


class Unhelpful(http.server.BaseHTTPRequestHandler):
    requests = 0

    def do_GET(self) -> None:
        type(self).requests += 1
        self.send_response(500)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"oops")

    do_POST = do_GET  # noqa: N815  # the name that http.server looks for

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def unhelpful() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Unhelpful)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_server_that_fails_keeps_the_notes_and_ends_in_time(
    tmp_path: Path, builder: PipelineBuilder, spec: PipelineSpec, dataset: Dataset, default_pipeline: dict[str, object],
    unhelpful: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    folder, outbox = make_study(tmp_path, builder, spec, dataset, default_pipeline, uri=unhelpful)
    assert follow(folder, lambda: False, patience_s=0.5) == 3
    assert outbox.waiting() == 3 and Unhelpful.requests > 0
    assert "not delivered, will try again" in capsys.readouterr().err


@pytest.mark.usefixtures("with_database")
def test_what_a_kill_kept_from_the_outbox_is_put_back(
    tmp_path: Path, builder: PipelineBuilder, spec: PipelineSpec, dataset: Dataset, default_pipeline: dict[str, object]
) -> None:
    from rag_opt.study.trials import load_trials

    folder, outbox = make_study(tmp_path, builder, spec, dataset, default_pipeline)
    Delivery(folder).deliver_waiting()
    (folder.path / "delivered").write_text("0\n2\n")
    outbox.restore(load_trials(folder.database, folder.name), folder.path / "delivered")
    assert [path.name for path in folder.outbox.iterdir()] == ["trial-00001.json"]


@pytest.mark.usefixtures("with_database")
def test_a_search_that_died_is_not_left_running(
    tmp_path: Path, builder: PipelineBuilder, spec: PipelineSpec, dataset: Dataset, default_pipeline: dict[str, object]
) -> None:
    import mlflow

    folder, _ = make_study(tmp_path, builder, spec, dataset, default_pipeline)
    assert follow(folder, lambda: False) == 0
    client = mlflow.MlflowClient(tracking_uri=tracking_uri({}, folder.path.parent))
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    (study,) = client.search_runs([experiment.experiment_id], "tags.`rag_opt.role` = 'study'")
    assert study.info.status == "KILLED"


@pytest.mark.usefixtures("with_database")
def test_track_knows_whether_a_search_still_lives(
    tmp_path: Path, builder: PipelineBuilder, spec: PipelineSpec, dataset: Dataset, default_pipeline: dict[str, object]
) -> None:
    import mlflow

    from rag_opt.cli.track_command import track_command

    folder, _ = make_study(tmp_path, builder, spec, dataset, default_pipeline)
    Delivery(folder, live=True).deliver_waiting()
    client = mlflow.MlflowClient(tracking_uri=tracking_uri({}, folder.path.parent))
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None

    def status() -> str:
        (study,) = client.search_runs([experiment.experiment_id], "tags.`rag_opt.role` = 'study'")
        return str(study.info.status)

    def track() -> None:
        with pytest.raises(typer.Exit) as left:
            track_command(folder.path)
        assert left.value.exit_code == 0

    with folder.lock():
        track()
        assert status() == "RUNNING"
    track()
    assert status() == "KILLED", "both the search and its courier are gone"


@pytest.mark.usefixtures("with_database")
def test_a_database_that_was_half_made_is_set_aside_and_everything_is_delivered_again(
    tmp_path: Path, builder: PipelineBuilder, spec: PipelineSpec, dataset: Dataset, default_pipeline: dict[str, object]
) -> None:
    """A kill between two migrations leaves columns that the next one adds again: "duplicate column name"."""
    import mlflow

    folder, outbox = make_study(tmp_path, builder, spec, dataset, default_pipeline)
    (folder.path / "delivered").write_text("0\n1\n")
    (folder.outbox / "trial-00000.json").unlink()
    database = folder.path.parent / "mlflow.db"
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '90e64c465722'")
    assert Delivery(folder).deliver_waiting() == 3 and outbox.waiting() == 0
    client = mlflow.MlflowClient(tracking_uri=tracking_uri({}, folder.path.parent))
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None and len(client.search_runs([experiment.experiment_id])) == 4
    assert list(database.parent.glob("mlflow.db.half-made-*"))
    made = database.stat().st_ino
    assert ensure_database(f"sqlite:///{database}") is False and database.stat().st_ino == made, "it has runs"


@pytest.mark.usefixtures("with_database")
def test_one_bad_number_or_name_keeps_nothing_else_from_mlflow(
    tmp_path: Path, builder: PipelineBuilder, spec: PipelineSpec, dataset: Dataset, default_pipeline: dict[str, object]
) -> None:
    import mlflow

    folder, outbox = make_study(tmp_path, builder, spec, dataset, default_pipeline)
    log = TrialLog(
        folder.database, folder.name, Space.from_dict({}, rest=default_pipeline, only={}), directions=["maximize"]
    )
    metrics = {
        "quality/my score?": 0.5,
        "quality//é%": 0.25,
        "bad": float("inf"),
        "worse": float("nan"),
        "x" * 400: 1.0,
    }
    trial = Trial(3, "COMPLETE", spec.to_dict(), "sampler", value=0.5, metrics=metrics, started=log.trials[0].started)
    log.commit(trial, None)
    outbox.trial_finished(trial, 4)
    folder.rows_path(0).write_bytes(b"PAR1")  # cut: only its own trial waits for the search to mend it
    with pytest.raises(Exception, match=r"[Pp]arquet"):
        Delivery(folder).deliver_waiting()
    assert [note.name for note in folder.outbox.glob("*.json")] == ["trial-00000.json"]
    client = mlflow.MlflowClient(tracking_uri=tracking_uri({}, folder.path.parent))
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id], "tags.mlflow.runName LIKE 't0003%'")
    written = run.data.metrics
    assert written["quality/my score_"] == 0.5 and written["quality/é_"] == 0.25 and written["x" * 250] == 1.0
    assert written["tracking/not_finite"] == 2 and not {"bad", "worse"} & set(written)
