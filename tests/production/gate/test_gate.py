"""The gate with real sides: bundles, a running service, logs of a pipeline that knows nothing of rag_opt."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import orjson
import pytest

import rag_opt
from rag_opt.core.arrays import FloatArray
from rag_opt.core.errors import BadBundle, BadInput
from rag_opt.core.questions import Dataset, Question, WholeDocument
from rag_opt.core.strict import PlainDict
from rag_opt.data.quotes import QuoteResolver
from rag_opt.evaluation.non_inferiority import compare_scores
from rag_opt.evaluation.run import ScoringResources
from rag_opt.evaluation.running_systems import SystemReply, build_run
from rag_opt.metrics.evidence import build_document_gold, score_documents
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.corpus_text import CorpusText
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.production.bundle_writing import BundleFacts
from rag_opt.production.gate.gate import GateResult, run_gate
from rag_opt.production.gate.reports import to_annotation, to_junit, to_line, to_markdown
from rag_opt.production.gate.verdict import GateVerdict, judge
from rag_opt.production.service.running import build_server
from rag_opt.production.service.settings import ServiceSettings
from rag_opt.production.stored_questions import question_line
from tests.conftest import TEXTS
from tests.production.bundles import write_asked
from tests.production.service.conftest import running
from tests.scripted_judge import judged
from tests.servers import ChatModel, serving

RECALL = {"objective": "evidence_recall", "direction": "maximize", "objective_settings": {"price_per_1000_tokens": 0.0}}


@pytest.fixture(scope="module")
def resources(builder: PipelineBuilder) -> ScoringResources:
    return ScoringResources(builder.encoder)


@pytest.fixture(scope="module")
def good(
    builder: PipelineBuilder, dataset: Dataset, spec: PipelineSpec, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("good") / "bundle"
    write_asked(folder, builder, spec, dataset.questions, BundleFacts(scores=RECALL))
    return folder


def ask_gate(new: object, against: object, resources: ScoringResources, **options: object) -> GateResult:
    return run_gate(str(new), str(against), resources, **{"margin": 0.03, **options})  # type: ignore[arg-type]  # options of any kind


def write_log(path: Path, lines: list[PlainDict]) -> Path:
    path.write_bytes(b"\n".join(orjson.dumps(line) for line in lines))
    return path


def log_of(folder: Path, path: Path, **changes: object) -> Path:
    """A log as any pipeline writes one: questions, answers, passages as plain texts."""
    bundle = rag_opt.load(folder)
    replies = [bundle.ask(one.line.question) for one in bundle.questions]
    lines: list[PlainDict] = [
        {"question": one.question, "answer": one.answer, "passages": [hit.text for hit in one.hits], **changes}
        for one in replies
    ]
    return write_log(path, lines)


def test_a_bundle_against_itself_passes_and_says_so(good: Path, resources: ScoringResources) -> None:
    asked = ask_gate(good, good, resources, asks=True)
    assert asked.judgement.verdict is GateVerdict.PASSES and asked.compared.comparison.questions == 8
    assert {"retrieval/evidence_recall", "quality/refused_unanswerable"} <= {one.name for one in asked.compared.metrics}
    for text in (to_markdown(asked), to_annotation(asked), to_junit(asked).decode()):
        assert "passes: not worse by more than 3 points" in text


def test_a_log_of_texts_counts_as_the_bundle_that_it_came_from(
    good: Path, resources: ScoringResources, tmp_path: Path
) -> None:
    found = ask_gate(log_of(good, tmp_path / "log.jsonl"), good, resources)
    assert found.judgement.verdict is GateVerdict.PASSES
    assert found.compared.comparison.gain.mean == 0.0 and found.compared.comparison.gain.error == 0.0


def test_a_worse_log_is_worse_and_what_it_lacks_is_said(
    good: Path, resources: ScoringResources, tmp_path: Path
) -> None:
    bundle = rag_opt.load(good)
    lines: list[PlainDict] = [
        {
            "question": one.line.question,
            "answer": "No idea.",
            "passages": ["This stands nowhere.", TEXTS["chess.md"][:40]],
        }
        for one in bundle.questions[1:]
    ]
    found = ask_gate(write_log(tmp_path / "log.jsonl", lines), good, resources)
    assert found.judgement.verdict is GateVerdict.WORSE and found.compared.comparison.gain.mean < -0.5
    notes = " ".join(found.compared.notes)
    assert "1 of 10 questions have no reply" in notes and "9 of 18 passages stand in no document" in notes
    summary, junit = to_markdown(found), ElementTree.fromstring(to_junit(found))
    assert "Questions that lost most" in summary and junit.get("failures") == "1"
    assert junit.find("testcase/failure") is not None and to_annotation(found).startswith("::error ")


def test_answers_without_passages_are_not_called_worse(good: Path, resources: ScoringResources, tmp_path: Path) -> None:
    bundle = rag_opt.load(good)
    lines: list[PlainDict] = [{"question": one.line.question, "answer": "Yes."} for one in bundle.questions]
    with pytest.raises(BadBundle, match="no question has a score"):
        ask_gate(write_log(tmp_path / "log.jsonl", lines), good, resources)


def test_a_log_of_odd_lines_is_refused_with_their_places_and_never_leaves_with_1(good: Path, tmp_path: Path) -> None:
    lines: list[PlainDict] = [
        {"question": "a", "passages": [5]},
        {"question": "b", "passages": [{"document": "bees.md", "start": "1", "end": "2", "text": "x"}]},
        {"question": "c", "passages": [{"score": 1.0}]},
    ]
    log = write_log(tmp_path / "log.jsonl", lines)
    command = [sys.executable, "-m", "rag_opt.gate", str(log), "--against", str(good)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "log.jsonl:1 passages[0]" in done.stderr and "log.jsonl:3" in done.stderr
    twice = write_log(tmp_path / "questions.jsonl", [{"id": "x", "question": text} for text in ("One?", "Two?")])
    done = subprocess.run(
        [*command[:3], str(good), "--against", str(good), "--questions", str(twice)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and "'x'" in done.stderr, "two questions of one id"


def test_a_passage_that_stands_nowhere_is_of_no_document(dataset: Dataset) -> None:
    asked = Question("q", "What?", evidence=((WholeDocument(dataset.corpus.ids[0]),),))
    replies = [SystemReply(({"text": "This stands nowhere."}, {"text": TEXTS["bees.md"][10:60]}))]
    run = build_run(replies, [asked], CorpusText(dataset.corpus), QuoteResolver(dataset.corpus)).run
    scores = score_documents(run.responses.hits, build_document_gold([asked], dataset.corpus), k=10)
    assert dataset.corpus.ids[0] == "bees.md" and scores.reciprocal_rank[0] == 0.5, "it keeps its rank"
    assert run.row_digests


def test_what_is_said_is_one_line_and_good_xml(good: Path, resources: ScoringResources, tmp_path: Path) -> None:
    found = ask_gate(log_of(good, tmp_path / "log.jsonl"), good, resources)
    evil = "a\n::error file=a.py::pwned \ufffe\x00 @team <b> https://x"
    found = dataclasses.replace(
        found, new=f"{evil}", compared=dataclasses.replace(found.compared, notes=[evil], objective="x")
    )
    assert "pwned" in ElementTree.fromstring(to_junit(found)).findtext("testcase/system-out", "")
    assert "::" not in to_line(evil) and "\n" not in to_line(evil)
    assert (
        to_annotation(found).count("\n") == 0 and "\\@team" in to_markdown(found) and "https\\://" in to_markdown(found)
    )


def test_a_running_service_is_asked_and_a_key_is_sent(
    good: Path, resources: ScoringResources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAG_OPT_SERVICE_KEY", "a-key-of-16-letters")
    settings = ServiceSettings(keys=("a-key-of-16-letters",))
    with running(build_server(rag_opt.load(good), settings, host="127.0.0.1", port=0)) as url:
        found = ask_gate(url, good, resources)
    assert found.judgement.verdict is GateVerdict.PASSES and found.compared.comparison.questions == 8


def test_questions_of_a_file_are_asked_of_both(
    good: Path, resources: ScoringResources, dataset: Dataset, tmp_path: Path
) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_bytes(b"\n".join(orjson.dumps(question_line(one, dataset.corpus)) for one in dataset.questions))
    documents = tmp_path / "docs"
    documents.mkdir()
    for name, text in TEXTS.items():
        (documents / name).write_text(text, encoding="utf-8")
    log = log_of(good, tmp_path / "log.jsonl")
    found = ask_gate(log, log, resources, questions=path, documents=str(documents))
    assert found.judgement.verdict is GateVerdict.PASSES and found.compared.objective == "evidence_recall"
    with pytest.raises(BadInput, match="--documents: is missing"):
        ask_gate(log, log, resources, questions=path)
    with pytest.raises(BadInput, match="--questions: is missing"):
        ask_gate(log, log, resources, documents=str(documents))


def test_a_judge_is_asked_only_where_one_is_named_and_within_its_cap(
    builder: PipelineBuilder, dataset: Dataset, spec: PipelineSpec, tmp_path: Path
) -> None:
    scores = {"objective": "faithfulness", "direction": "maximize", "objective_settings": {}}
    write_asked(tmp_path / "bundle", builder, spec, dataset.questions, BundleFacts(scores=scores))
    log, judge_file = log_of(tmp_path / "bundle", tmp_path / "log.jsonl"), tmp_path / "judge.yaml"
    command = [sys.executable, "-m", "rag_opt.gate", str(log), "--against", str(tmp_path / "bundle")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "faithfulness needs a judge (--judge): evidence_recall is compared" in done.stdout
    with serving(ChatModel(judged)) as server:
        judge_file.write_text(f"kind: openai_compatible\nmodel: scripted\nbase_url: {server.url}/v1\n")
        command += ["--judge", str(judge_file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0 and "faithfulness: passes" in done.stdout, done.stdout + done.stderr
        asked = len(server.seen)
        done = subprocess.run([*command, "--judge-calls", "3"], capture_output=True, text=True, check=False)
        assert done.returncode == 2 and len(server.seen) - asked == 3, done.stdout + done.stderr


@pytest.mark.parametrize("given", ["nothing/here", "README.md", "missing.jsonl"])
def test_what_is_no_side_is_refused(given: str, good: Path, resources: ScoringResources) -> None:
    with pytest.raises(BadInput, match=r"is no bundle|there is no file"):
        ask_gate(given, good, resources)


def test_the_command_leaves_with_the_verdict_and_writes_for_ci(good: Path, tmp_path: Path) -> None:
    job = tmp_path / "job.md"
    environment = {**os.environ, "GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(job)}
    command = [sys.executable, "-m", "rag_opt.gate", str(good), "--against", str(good)]
    reports = ["--summary", str(tmp_path / "summary.md"), "--junit", str(tmp_path / "gate.xml")]
    done = subprocess.run([*command, *reports], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "::notice title=rag_opt gate::" in done.stdout
    assert job.read_text() == (tmp_path / "summary.md").read_text() and (tmp_path / "gate.xml").exists()
    done = subprocess.run([*command, "--margin", "0"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "--margin" in done.stderr


def _draw(generator: np.random.Generator, questions: int) -> tuple[FloatArray, FloatArray, list[str]]:
    """Two equal pipelines: of each question they find most, or now and then nothing; three questions a cluster."""
    hard = generator.random(questions)
    scores = [(hard + 0.2 * generator.standard_normal(questions) > 0.3).astype(float) for _ in range(2)]
    return scores[0], scores[1], [str(number // 3) for number in range(questions)]


def test_equal_pipelines_are_rarely_called_worse_and_pass_with_the_questions_that_were_asked_for() -> None:
    generator, worse, passed, told = np.random.default_rng(0), 0, 0, 0
    for _ in range(200):
        first = judge(compare_scores(*_draw(generator, 150), margin=0.03))
        worse += first.verdict is GateVerdict.WORSE
        if first.questions_to_tell is not None:
            told += 1
            again = judge(compare_scores(*_draw(generator, first.questions_to_tell), margin=0.03))
            passed += again.verdict is GateVerdict.PASSES
    assert worse <= 10 and told >= 50 and passed >= 0.8 * told


def test_too_few_clusters_decide_nothing() -> None:
    same = np.ones(8)
    found = judge(compare_scores(same, same - 0.5, ["a"] * 4 + ["b"] * 4, margin=0.03))
    assert found.verdict is GateVerdict.UNDECIDED and "fewer than 5 clusters" in found.describe()
