"""The search as a person runs it: results, resuming, refusing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from rag_opt.models.runtimes import DocumentRuntime
from rag_opt.pipeline.spec import spec_digest
from rag_opt.report.study import Study
from rag_opt.study.folder import StudyFolder
from tests.cli.conftest import Command, trials_of

BFLOAT16: DocumentRuntime = {"library": "torch", "precision": "bfloat16"}


def test_what_a_search_leaves(finished: Path) -> None:
    trials = trials_of(finished)
    assert [t.number for t in trials] == list(range(8))
    assert [t.origin for t in trials[:4]] == ["baseline", "BM25 alone", "dense alone", "sweep"]
    assert "sampler" in {t.origin for t in trials}
    table = orjson.loads((finished / "sweeps" / "0000.json").read_bytes())
    assert table["columns"][0] == "retriever" and len(table["data"]) > 10
    assert {t.state for t in trials} == {"COMPLETE"}
    assert len({spec_digest(t.spec) for t in trials}) == 8
    result = orjson.loads((finished / "result.json").read_bytes())
    assert result["winner"] in range(8) and result["baseline"] == 0
    for trial in trials:
        rows = StudyFolder(finished).load_rows(trial.number)
        mean = sum(row["quality/grounded_answer"] for row in rows) / len(rows)
        assert trial.value == pytest.approx(mean)
        assert trial.metrics["quality/grounded_answer"] == pytest.approx(mean)


def test_the_same_seed_finds_the_same_and_embeds_nothing(finished: Path, command: Command, tiny: list[str]) -> None:
    done = command("search", *tiny, "study.name=second", "study.trials=8")
    assert done.returncode == 0, done.stderr
    again = trials_of(finished.parent / "second")
    assert [(t.spec, t.value) for t in again] == [(t.spec, t.value) for t in trials_of(finished)]
    assert sum(t.computed.get("inputs encoded", 0) for t in again) == 0
    assert len([line for line in done.stdout.splitlines() if " s         0    100%  " in line]) == 8


def test_the_same_command_resumes(finished: Path, command: Command, tiny: list[str]) -> None:
    first = command("search", *tiny, "study.name=more", "study.trials=4")
    before = trials_of(finished.parent / "more")
    done = command("search", *tiny, "study.name=more", "study.trials=6")
    assert first.returncode == done.returncode == 0, done.stderr
    assert "resuming: 4 of 6 pipelines are already done" in done.stdout
    after = trials_of(finished.parent / "more")
    assert after[:4] == before and len(after) == 6
    assert [t.spec for t in after] == [t.spec for t in trials_of(finished)[:6]], "where it was cut does not matter"
    # with another seed and sampler, and without sweeps: from here on, and said
    plain = [one for one in tiny if "sampler" not in one]
    done = command("search", *plain, "study.name=more", "study.trials=8", "study.seed=5", "sampler=random")
    assert "note: from here on study.seed was 0, is 5" in done.stdout, done.stdout
    assert "note: from here on sampler.tpe.startup_trials was 2, is None" in done.stdout, done.stdout
    assert {t.origin for t in trials_of(finished.parent / "more")[6:]} == {"sampler"}


def test_a_study_keeps_the_precision_that_it_began_with(finished: Path, command: Command, tiny: list[str]) -> None:
    """As if it had begun on a machine that is fast in bfloat16."""
    study = finished.parent / "elsewhere"
    shutil.copytree(finished, study)
    folder = StudyFolder(study)
    bound = folder.settings()
    folder.bind(bound["digests"], bound["settings"], dict.fromkeys(bound["runtimes"], BFLOAT16))
    mixed = command("search", *tiny, "study.name=elsewhere", "study.trials=9", "document_precision=float32")
    assert mixed.returncode == 2 and "document_precision=float32 would mix two kinds of vectors" in mixed.stderr
    kept = command("search", *tiny, "study.name=elsewhere", "study.trials=20")
    assert kept.returncode == 0, kept.stderr
    assert list(folder.settings()["runtimes"].values()) == [BFLOAT16]
    encoded = [trial.computed.get("inputs encoded", 0) for trial in Study(study).trials[8:]]
    assert sum(encoded) > 0, "documents again, in that precision"


def test_a_reference_pipeline_that_the_space_leaves_out_cannot_win(
    finished: Path, command: Command, tiny: list[str]
) -> None:
    outside = ["only.retriever=dense", "space.retriever.dense.top_k=1", "space.retriever.dense.depth=1"]
    done = command("search", *tiny, *outside, "study.name=left-out", "study.trials=2", "study.finalists=5")
    assert done.returncode == 0, done.stderr
    assert (
        "trial 1 (BM25 alone) is outside the space: it is compared with, is not one of the 2, cannot win" in done.stdout
    )
    study = finished.parent / "left-out"
    assert [trial.number for trial in trials_of(study) if trial.in_space] == [3, 4], "the three before do not count"
    result = orjson.loads((finished.parent / "left-out" / "result.json").read_bytes())
    assert {"0"} < set(result["metrics"]) <= {"0", "3", "4"}, "BM25 alone and dense alone are only compared with"


@pytest.mark.parametrize(
    ("override", "differs"),
    [
        ("space.retriever.dense.top_k=1..3", "space"),
        ("objective=evidence_recall", "objective"),
        ("dataset=python_reference", "corpus"),
    ],
)
def test_another_space_objective_or_corpus_is_refused(
    finished: Path, command: Command, tiny: list[str], override: str, differs: str
) -> None:
    kept = [one for one in tiny if not (override.startswith("dataset=") and one.startswith("dataset"))]
    done = command("search", *kept, "study.name=first", override)
    assert done.returncode == 2
    assert f"was made with another {differs}" in done.stderr and "study.name=first-2" in done.stderr


def test_problems_go_to_stderr_and_exit_2(command: Command) -> None:
    done = command("search", "study.trails=3", "space=smal", "only.chunkr=x")
    assert done.returncode == 2
    for expected in (
        "study.trails: there is no setting 'trails'; did you mean 'trials'?",
        "space: there is no space called 'smal'; did you mean 'small'?",
        "only.chunkr: there is no setting 'chunkr'; did you mean 'chunker'?",
    ):
        assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_a_card_is_not_a_setting(command: Command) -> None:
    done = command("search", "embedder=minilm")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "embedder: is a folder of cards that the space names; write space.embedder.model.name=" in done.stderr


def test_hydra_users_find_what_they_expect(command: Command, tiny: list[str]) -> None:
    done = command("search", "--cfg", "job", "study.trials=3")
    assert done.returncode == 0 and "trials: 3" in done.stdout
    assert "study" in command("search", "--help").stdout


def test_multirun_gives_every_job_its_own_study(finished: Path, command: Command, tiny: list[str]) -> None:
    done = command("search", *tiny, "study.seed=1,2", "-m", "study.trials=3")  # a flag may stand anywhere
    assert done.returncode == 0, done.stderr
    names = {path.name for path in finished.parent.iterdir() if path.name.startswith("tiny-")}
    assert len(names) == 2 and all("study.seed=" in name for name in names), names
    assert "2 studies" in done.stdout and "different winners" in done.stdout


def test_an_exhausted_space_ends_the_search(finished: Path, command: Command, tiny: list[str]) -> None:
    small = ["only.retriever=dense", "space.retriever.dense.top_k=2", "only.reranker=none", "sampler=grid"]
    small += ["space.generator.extractive={sentences: 1, refuse_below: 0.4}", "study.name=all", "study.trials=50"]
    done = command("search", *(one for one in tiny if "sampler" not in one), *small)
    assert done.returncode == 0, done.stderr
    trials = trials_of(finished.parent / "all")
    assert len(trials) == 5, "three reference pipelines and the two of the space"
    assert "every pipeline of the space was tried" in done.stdout


def test_forbidden_pipelines_are_pruned_with_their_reason(finished: Path, command: Command, tiny: list[str]) -> None:
    done = command("search", *tiny, "space.forbid=[{reranker: mmr}]", "study.name=forbid", "study.trials=6")
    assert done.returncode == 0, done.stderr
    trials = trials_of(finished.parent / "forbid")
    pruned = [t for t in trials if t.state == "PRUNED"]
    assert sum(t.state == "COMPLETE" for t in trials) == 6
    assert all("the space forbids" in t.reason and "mmr" in t.spec["reranker"] for t in pruned)


def test_a_study_is_bound_to_its_models(finished: Path, command: Command, tiny: list[str]) -> None:
    done = command("search", *tiny, "study.name=first", "+embedder.cards.minilm.query_prompt='find: '")
    assert done.returncode == 2 and "set of models" in done.stderr, done.stderr
    speaks = "+embedder.cards.minilm.languages=[multilingual]"
    done = command("search", *tiny, "study.name=first", "dataset.language=de", speaks)
    assert done.returncode == 2 and "language of the documents" in done.stderr, done.stderr


def test_a_bad_endpoint_of_tracking_never_fails_a_search(finished: Path, command: Command, tiny: list[str]) -> None:
    done = command("search", *tiny[:-1], "tracking.uri=http://127.0.0.1:9", "study.name=untracked", "study.trials=3",
                   MLFLOW_HTTP_REQUEST_MAX_RETRIES="0", RAG_OPT_TRACKING_PATIENCE_S="1")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "not all was delivered; python -m rag_opt.track" in done.stdout
    assert len(list((finished.parent / "untracked" / "outbox").glob("*.json"))) == 6


def test_check_looks_at_everything_without_searching(finished: Path, command: Command, tiny: list[str]) -> None:
    done = command("check", *tiny, "study.name=never")
    assert done.returncode == 0, done.stderr
    for expected in ("dataset tiny: 4 documents, 10 questions", "disk:", "device:", "tracking: off", "space:"):
        assert expected in done.stdout
    assert not (finished.parent / "never").exists()
    done = command("check", *tiny, "dataset.documents=nowhere", "tracking=mlflow", "tracking.uri=http://127.0.0.1:9")
    assert done.returncode == 2
    assert (
        "PROBLEM" in done.stdout
        and "there is no file or folder 'nowhere'" in done.stdout
        and "does not answer" in done.stdout
    )


def test_the_commands_are_listed() -> None:
    done = subprocess.run([sys.executable, "-m", "rag_opt"], capture_output=True, text=True, check=True)
    for name in ("search", "check", "export", "track"):
        assert f"python -m rag_opt.{name}" in done.stdout
