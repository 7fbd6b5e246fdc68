"""What a person sees of a study in MLflow: views, searched settings, progress, the data set, the report."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import orjson
import pytest

from rag_opt.core.questions import Dataset
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.study.trials import Trial
from rag_opt.tracking.places import tracking_uri
from rag_opt.tracking.prompts import register_prompt
from rag_opt.tracking.run_contents import Progress
from rag_opt.tracking.views import TAG, VIEWS
from rag_opt.tracking.worker import Delivery
from tests.tracking.test_tracking import SETTINGS, empty_database, make_study, pytestmark, with_database

__all__ = ["empty_database", "pytestmark", "with_database"]


@pytest.mark.usefixtures("with_database")
def test_a_study_has_its_views_its_data_and_how_far_it_got(
    tmp_path: Path,
    builder: PipelineBuilder,
    spec: PipelineSpec,
    dataset: Dataset,
    default_pipeline: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import mlflow

    space = {"chunker": {"recursive": {"size": [16, 32]}}, "reranker": {"none": {}, "mmr": {}}}
    composed = {"space": space, "pipeline": default_pipeline, "only": {}}
    monkeypatch.setitem(SETTINGS, "composed", composed)
    monkeypatch.setitem(SETTINGS, "report", {"trials": 4, "documents": 4, "direction": "maximize"})
    folder, outbox = make_study(tmp_path, builder, spec, dataset, default_pipeline)
    (folder.path / "report.html").write_text("<p>report</p>")
    outbox.result("KILLED")
    Delivery(folder).deliver_waiting()
    client = mlflow.MlflowClient(tracking_uri=tracking_uri({}, folder.path.parent))
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    views = {name: orjson.loads(value) for name, value in experiment.tags.items() if name.startswith(TAG)}
    assert sorted(view["name"] for view in views.values()) == ["mine: charts", "mine: trials by value"]
    states = {view["name"]: orjson.loads(view["state"]) for view in views.values()}
    table, charts = states["mine: trials by value"], states["mine: charts"]
    assert table["orderByKey"] == "metrics.`objective/value`" and table["orderByAsc"] is False
    assert "params.`chunker.recursive.size`" in table["selectedColumns"]
    assert charts["compareRunCharts"][0]["selectedParams"] == ["reranker"]
    addresses = orjson.loads((folder.path / VIEWS).read_bytes())
    key = addresses["table"].partition("viewStateShareKey=")[2].partition("&")[0]
    assert f"{TAG}{key}" in views and addresses["charts"].endswith("compareRunsMode=CHART")

    runs = {run.data.tags["rag_opt.role"]: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs["trial"].data.params) == {"chunker.recursive.size", "reranker"}
    parent = runs["study"]
    best = client.get_metric_history(parent.info.run_id, "search/best_value")
    assert [(one.step, one.value) for one in best] == [(0, 0.5), (1, 0.5), (2, 0.5)]
    assert parent.data.metrics["search/minutes"] == pytest.approx(0.1)
    (used,) = parent.inputs.dataset_inputs
    assert used.dataset.name == "tiny" and orjson.loads(used.dataset.profile) == {"documents": 4}
    assert "report.html" in [one.path for one in client.list_artifacts(parent.info.run_id)]


@pytest.mark.usefixtures("with_database")
def test_the_prompt_of_a_winner_is_registered_and_linked(tmp_path: Path) -> None:
    import mlflow

    uri = tracking_uri({}, tmp_path / "outputs")
    client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
    run = client.create_run(client.create_experiment("prompts"))
    spec = {"generator": {"llm": {"prompt": "concise"}}}
    prompts = {"concise": {"system": "Be brief.", "user": "{passages} {question}"}}
    register_prompt(client, run.info.run_id, "mine", spec, prompts)
    register_prompt(client, run.info.run_id, "mine", {"generator": {"extractive": {}}}, prompts)
    (version,) = client.search_prompt_versions("rag_opt-mine-concise")
    assert version.template[1] == {"role": "user", "content": "{{ passages }} {{ question }}"}
    assert "rag_opt-mine-concise" in client.get_run(run.info.run_id).data.tags.get("mlflow.linkedPrompts", "")


def test_progress_counts_what_may_win() -> None:
    trial = Trial(number=0, state="COMPLETE", spec={}, origin="sampler", value=0.5, seconds=60, coverage=1.0)
    better = dataclasses.replace(trial, number=1, value=0.7, outside={"coverage": 0.1})
    worse = dataclasses.replace(trial, number=2, value=0.4)
    after = Progress.after(2, [trial, better, worse], total=5, ascending=False).metrics()
    assert after["search/best_value"] == 0.5 and after["search/minutes_left"] == 2
    assert Progress.after(2, [trial, worse], total=None, ascending=True).metrics()["search/best_value"] == 0.4
