"""A search whose baseline is what runs today: a log, or a service. Gains are over it, and nothing is asked twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

import rag_opt
from rag_opt.core.questions import Dataset
from rag_opt.core.strict import PlainDict
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.production.service.running import build_server
from rag_opt.production.service.settings import ServiceSettings
from rag_opt.study.running_baseline import RUNNING
from tests.cli.conftest import Command
from tests.production.bundles import write_asked
from tests.production.service.conftest import running


@pytest.fixture(scope="module")
def poor(
    builder: PipelineBuilder, dataset: Dataset, default_pipeline: PlainDict, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A bundle of a pipeline that finds little: BM25 alone, one passage, and it refuses nearly always."""
    changed = {
        **default_pipeline,
        "retriever": {"lexical": {"top_k": 1}},
        "generator": {"extractive": {"refuse_below": 0.9}},
    }
    folder = tmp_path_factory.mktemp("poor") / "bundle"
    write_asked(folder, builder, PipelineSpec.from_dict(changed), dataset.questions)
    return folder


@pytest.fixture
def service(poor: Path) -> Iterator[tuple[str, list[str]]]:
    """Address of a service of the poor bundle, and the paths that it was asked on."""
    server, paths = build_server(rag_opt.load(poor), ServiceSettings(), host="127.0.0.1", port=0), list[str]()
    inner = server.config.app

    async def counting(scope: PlainDict, receive: object, send: object) -> None:
        if scope["type"] == "http":
            paths.append(scope["path"])
        await inner(scope, receive, send)  # type: ignore[operator]  # an ASGI application

    server.config.app = counting
    with running(server) as url:
        yield url, paths


def result_of(workplace: Path, name: str) -> PlainDict:
    found: PlainDict = orjson.loads((workplace / "outputs" / name / "result.json").read_bytes())
    return found


def test_a_gain_is_over_the_log_of_what_runs_today(
    command: Command, workplace: Path, tiny: list[str], poor: Path
) -> None:
    bundle = rag_opt.load(poor)
    replies = [bundle.ask(one.line.question) for one in bundle.questions]
    lines = [{"question": r.question, "answer": r.answer, "passages": [hit.text for hit in r.hits]} for r in replies]
    (workplace / "today.jsonl").write_bytes(b"\n".join(map(orjson.dumps, lines)))
    asked = [*tiny, "study.name=over_log", "study.trials=3", "baseline=today.jsonl"]
    done = command("search", *asked)
    assert done.returncode == 0 and "baseline today.jsonl: grounded_answer" in done.stdout, done.stdout + done.stderr
    assert "could not be written" not in done.stdout
    result = result_of(workplace, "over_log")
    assert result["baseline"] == RUNNING and result["running"] == "today.jsonl" and result["winner"] >= 0
    better = result["held_out_means"][str(result["winner"])] - result["held_out_means"][str(RUNNING)]
    assert result["gain"]["mean"] == pytest.approx(better) and better > 0
    assert "what runs today" in done.stdout and "--trial -1" not in done.stdout
    page = (workplace / "outputs" / "over_log" / "report.html").read_text(encoding="utf-8")
    assert "against the baseline: today.jsonl" in page
    changed = (workplace / "today.jsonl").read_bytes().replace(b"Yeast", b"Flour", 1)
    (workplace / "today.jsonl").write_bytes(changed)
    again = command("search", *asked)
    assert again.returncode != 0 and "baseline" in again.stdout + again.stderr, "it is another baseline now"


def test_a_running_service_is_asked_once_and_the_search_resumes(
    command: Command, workplace: Path, tiny: list[str], service: tuple[str, list[str]]
) -> None:
    url, paths = service
    asked = [*tiny, "study.name=over_service", f"baseline={url}"]
    first = command("search", *asked, "study.trials=2")
    assert first.returncode == 0 and f"baseline {url}" in first.stdout, first.stdout + first.stderr
    once = len(paths)
    assert once >= 2 and set(paths) == {"/ask/batch"}
    replies = workplace / "outputs" / "over_service" / "running_baseline.jsonl"
    assert len(replies.read_bytes().splitlines()) == 10
    replies.write_bytes(replies.read_bytes() + b'{"question": "half a line that a kill le')
    second = command("search", *asked, "study.trials=4")
    assert second.returncode == 0 and len(paths) == once, "nothing is asked twice"
    assert result_of(workplace, "over_service")["running"] == url


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([{"question": "Something else?", "answer": "Yes."}], "has no reply that counts to any of"),
        ([{"question": "What makes dough rise?", "passages": ["Yeast makes dough rise by giving off carbon dioxide."]},
          {"question": "How many eggs can a queen bee lay in a day?"}, {"question": "Why do meanders form?"},
          {"question": "May a player castle while in check?"}], "gives passages and no answers"),
    ],
)  # fmt: skip
def test_a_log_that_cannot_be_compared_is_refused(
    command: Command, workplace: Path, tiny: list[str], lines: list[PlainDict], said: str
) -> None:
    (workplace / "poor.jsonl").write_bytes(b"\n".join(map(orjson.dumps, lines)))
    done = command("search", *tiny, f"study.name=refused_{len(lines)}", "study.trials=2", "baseline=poor.jsonl")
    assert done.returncode == 2 and said in done.stderr, done.stdout + done.stderr
