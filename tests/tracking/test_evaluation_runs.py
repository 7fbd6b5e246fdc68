"""Finalists as evaluation runs: a trace for each question, with its stages, scores and expectations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
import pytest

from rag_opt.core.questions import Dataset
from rag_opt.evaluation.run import ask
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.tracking.places import tracking_uri
from rag_opt.tracking.worker import Delivery
from tests.tracking.test_tracking import empty_database, make_study, pytestmark, with_database

__all__ = ["empty_database", "pytestmark", "with_database"]


@pytest.mark.parametrize("content", ["full", "ids"])
@pytest.mark.usefixtures("with_database")
def test_every_question_of_a_finalist_is_a_trace(
    tmp_path: Path,
    builder: PipelineBuilder,
    spec: PipelineSpec,
    dataset: Dataset,
    default_pipeline: dict[str, object],
    content: str,
) -> None:
    import mlflow

    folder, outbox = make_study(tmp_path, builder, spec, dataset, default_pipeline, content=content)
    run = ask(builder.pipeline(spec), dataset.questions)
    folder.save_rows(0, run, {"places/in_context": np.ones(len(dataset.questions))})
    rows = folder.load_rows(0)
    hit = rows[0]["hits"][0]
    text = builder.readings.base.corpus.documents[builder.readings.base.corpus.position[hit["document"]]].text
    folder.save_passages({orjson.dumps(spec.to_dict()["reader"]).decode(): {hit["document"]: [[0, text]]}})
    for _ in range(2):  # written again, it is there once
        outbox.evaluation(0, "winner")
        Delivery(folder).deliver_waiting()
    uri = tracking_uri({}, folder.path.parent)
    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    (written,) = client.search_runs([experiment.experiment_id], "tags.`rag_opt.role` = 'evaluation'")
    assert written.data.tags["mlflow.runType"] == "genai_evaluate" and written.data.metrics["in_context"] == 1
    found = client.search_traces(locations=[experiment.experiment_id], run_id=written.info.run_id, max_results=100)
    assert len(found) == len(rows)
    asked = orjson.dumps({"question": rows[0]["question"] if content == "full" else rows[0]["question_id"]}).decode()
    (trace,) = [one for one in found if one.data.spans[0].inputs == orjson.loads(asked)]
    assert [span.name for span in trace.data.spans] == [
        "pipeline",
        "retriever: rrf",
        "packer: ranked",
        "generator: extractive",
    ]
    first = trace.data.spans[1].outputs[0]
    assert (
        first["metadata"]["score"] == hit["score"] and first["id"] == f"{hit['document']}:{hit['start']}-{hit['end']}"
    )
    told = orjson.dumps([span.to_dict() for one in found for span in one.data.spans]).decode()
    assert (text[hit["start"] : hit["end"]] == first["page_content"]) == (content == "full")
    assert ("honey bees tell others" in told) == (content == "full")
    expected = {one.name for one in trace.info.assessments or ()}
    assert ("expected_response" in expected) == (content == "full") and "in_context" in expected
