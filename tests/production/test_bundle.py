from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

import rag_opt
from rag_opt.core.errors import BadBundle
from rag_opt.core.questions import Dataset
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.production.bundle_writing import BundleFacts, write_bundle
from rag_opt.production.parity import find_differences
from tests.production.bundles import write_asked

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
    stored = write_asked(tmp_path / "bundle", builder, spec, dataset.questions, BundleFacts(trial=7))
    bundle = rag_opt.load(tmp_path / "bundle")
    assert bundle.spec == spec and bundle.manifest.trial == 7
    assert bundle.questions == tuple(stored) and find_differences(bundle, stored) == []
    one, two = stored[0].seen, stored[1].seen
    stored[0] = dataclasses.replace(stored[0], seen=dataclasses.replace(one, hits=one.hits[::-1]))
    stored[1] = dataclasses.replace(stored[1], seen=dataclasses.replace(two, answer="something else"))
    assert len(find_differences(bundle, stored)) == 2, "the check can fail"
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
    write_bundle(tmp_path / "bundle", builder, spec, BundleFacts())
    done = subprocess.run(
        [sys.executable, "-c", _FORBIDDEN, str(tmp_path / "bundle")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.stdout.strip() == "Yeast makes dough rise by giving off carbon dioxide. []", done.stderr


def test_a_bundle_that_was_touched_is_refused(tmp_path: Path, builder: PipelineBuilder, spec: PipelineSpec) -> None:
    write_bundle(tmp_path / "bundle", builder, spec, BundleFacts())
    with pytest.raises(BadBundle, match="not empty"):
        write_bundle(tmp_path / "bundle", builder, spec, BundleFacts())
    documents = tmp_path / "bundle" / "documents.jsonl"
    documents.write_text(documents.read_text().replace("Danube", "Rhine."))
    with pytest.raises(BadBundle, match=r"documents\.jsonl has changed"):
        rag_opt.load(tmp_path / "bundle")
    with pytest.raises(BadBundle, match="is not a bundle"):
        rag_opt.load(tmp_path)


def test_every_file_of_a_bundle_is_accounted_for(tmp_path: Path, builder: PipelineBuilder, spec: PipelineSpec) -> None:
    def refused(harm: Callable[[Path], object], said: str, **options: bool) -> None:
        bundle = tmp_path / "harmed"
        shutil.rmtree(bundle, ignore_errors=True)
        shutil.copytree(tmp_path / "bundle", bundle)
        harm(bundle)
        with pytest.raises(BadBundle, match=said):
            rag_opt.load(bundle, **options)

    def with_manifest(**changes: object) -> Callable[[Path], object]:
        def change(bundle: Path) -> None:
            manifest = orjson.loads((bundle / "manifest.json").read_bytes())
            (bundle / "manifest.json").write_bytes(orjson.dumps({**manifest, **changes}))

        return change

    def link(bundle: Path) -> None:
        (bundle / "spec.json").replace(tmp_path / "elsewhere.json")
        (bundle / "spec.json").symlink_to(tmp_path / "elsewhere.json")

    write_bundle(tmp_path / "bundle", builder, spec, BundleFacts())
    refused(lambda bundle: (bundle / "extra.py").write_text("print()"), r"extra\.py is not in manifest\.json")
    refused(lambda bundle: (bundle / "index" / "x").symlink_to("/etc"), r"index/x is not in manifest\.json")
    refused(with_manifest(files={}), r"is not in manifest\.json")
    refused(with_manifest(files={"../x": {"bytes": 1, "blake2b": "0"}}), r"\.\./x is missing")
    refused(with_manifest(files=7), r"no readable manifest\.json")
    refused(link, r"spec\.json is a link")
    refused(with_manifest(format=9), r"manifest\.json cannot be read: format 9")
    for name in ("spec.json", "card.json", "documents.jsonl", "manifest.json"):
        refused(lambda bundle, name=name: (bundle / name).write_bytes(b"{\xff"), name.replace(".", r"\."), check=False)  # type: ignore[misc]
    refused(lambda bundle: shutil.rmtree(bundle / "chunks"), "chunks", check=False)


def test_loading_imports_nothing_that_the_caller_did_not_allow(
    tmp_path: Path, builder: PipelineBuilder, spec: PipelineSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "planted.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w').close()")
    monkeypatch.syspath_prepend(tmp_path)
    write_bundle(tmp_path / "bundle", builder, spec, BundleFacts())
    manifest = orjson.loads((tmp_path / "bundle" / "manifest.json").read_bytes())
    (tmp_path / "bundle" / "manifest.json").write_bytes(orjson.dumps({**manifest, "plugins": ["planted"]}))
    with pytest.raises(BadBundle, match=r"the plugin 'planted', which would be imported.*plugins=\['planted'\]"):
        rag_opt.load(tmp_path / "bundle")
    assert not (tmp_path / "mark").exists()
    (tmp_path / "outer").mkdir()
    (tmp_path / "outer" / "__init__.py").write_text("")
    (tmp_path / "outer" / "parts.py").write_text("")
    (tmp_path / "bundle" / "manifest.json").write_bytes(orjson.dumps({**manifest, "plugins": ["outer"]}))
    rag_opt.load(tmp_path / "bundle", plugins=["outer.parts"])  # a part of the package was allowed, and is all it needs
    (tmp_path / "bundle" / "manifest.json").write_bytes(orjson.dumps({**manifest, "plugins": ["planted"]}))
    assert not (tmp_path / "mark").exists()
    rag_opt.load(tmp_path / "bundle", plugins=["planted"])
    assert (tmp_path / "mark").exists()
