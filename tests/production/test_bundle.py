from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import rag_opt
from rag_opt.core.errors import BadBundle
from rag_opt.core.questions import Dataset
from rag_opt.evaluation.run import ask
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.production.bundle_files import write_bundle
from rag_opt.production.parity import find_differences
from rag_opt.study.folder import StudyFolder

PIPELINES = {
    "hybrid": {},
    "lexical with mmr": {"retriever": {"lexical": {"top_k": 3, "depth": 10}}, "reranker": {"mmr": {"trade_off": 0.5}}},
    "cut vectors": {
        "retriever": {"weighted": {"top_k": 2, "depth": 10}},
        "embedder": {"model": {"name": "minilm", "dimensions": 128}},
    },
}


@pytest.mark.parametrize("name", PIPELINES)
def test_a_bundle_returns_what_the_search_saw(
    tmp_path: Path, builder: PipelineBuilder, dataset: Dataset, default_pipeline: dict[str, object], name: str
) -> None:
    spec = PipelineSpec.from_dict({**default_pipeline, **PIPELINES[name]})
    study = StudyFolder(tmp_path / "study")
    study.path.mkdir()
    study.save_rows(0, ask(builder.pipeline(spec), dataset.questions), {})
    rows = study.load_rows(0)
    write_bundle(tmp_path / "bundle", builder, spec, {"trial": 7})
    bundle = rag_opt.load(tmp_path / "bundle")
    assert bundle.spec == spec and bundle.manifest["trial"] == 7
    assert find_differences(bundle, rows, [{}] * len(rows)) == []
    rows[0]["hits"] = rows[0]["hits"][::-1]
    rows[1]["answer"] = "something else"
    assert len(find_differences(bundle, rows, [{}] * len(rows))) == 2, "the check can fail"
    reply = bundle.ask("What makes dough rise?")
    assert reply.answer == "Yeast makes dough rise by giving off carbon dioxide." and not reply.refused
    assert reply.hits[0].document == "bread.md" and "Yeast" in reply.hits[0].text
    filtered = bundle.ask("What makes dough rise?", filters={"name": "bees.md"})
    assert {hit.document for hit in filtered.hits} <= {"bees.md"}


_FORBIDDEN = """
import os, sys, rag_opt
reply = rag_opt.load(sys.argv[1]).ask("What makes dough rise?")
loaded = {name.partition(".")[0] for name in sys.modules}
print(reply.answer, sorted(loaded & {"hydra", "omegaconf", "optuna", "mlflow", "ragas", "objectives"}), flush=True)
os._exit(0)  # Python would take apart for seconds what was imported
"""


def test_it_answers_with_nothing_of_the_search_imported(
    tmp_path: Path, builder: PipelineBuilder, spec: PipelineSpec
) -> None:
    write_bundle(tmp_path / "bundle", builder, spec, {})
    done = subprocess.run(
        [sys.executable, "-c", _FORBIDDEN, str(tmp_path / "bundle")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.stdout.strip() == "Yeast makes dough rise by giving off carbon dioxide. []", done.stderr


def test_a_bundle_that_was_touched_is_refused(tmp_path: Path, builder: PipelineBuilder, spec: PipelineSpec) -> None:
    write_bundle(tmp_path / "bundle", builder, spec, {})
    with pytest.raises(BadBundle, match="not empty"):
        write_bundle(tmp_path / "bundle", builder, spec, {})
    documents = tmp_path / "bundle" / "documents.jsonl"
    documents.write_text(documents.read_text().replace("Danube", "Rhine."))
    with pytest.raises(BadBundle, match=r"documents\.jsonl has changed"):
        rag_opt.load(tmp_path / "bundle")
    with pytest.raises(BadBundle, match="is not a bundle"):
        rag_opt.load(tmp_path)
