"""Evidence found by a model or said by a person, and logs that know their bias."""

from __future__ import annotations

import io
import re
import threading
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import orjson
import pytest
from rich.console import Console

from rag_opt.core.documents import Span
from rag_opt.core.errors import BadInput
from rag_opt.core.questions import Dataset, Question
from rag_opt.data.datasets.logs import Logs
from rag_opt.data.quotes import QuoteResolver
from rag_opt.models.llm.client import LLMClient
from rag_opt.models.llm.settings import LanguageModel
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.store.values import MemoryValues
from rag_opt.testset.by_person import PageLabeller, TerminalLabeller
from rag_opt.testset.evidence import Decision, ModelLabeller, apply_decision
from rag_opt.testset.labelled_file import LabelledFile
from rag_opt.testset.pooling import PooledCandidates, pool_candidates
from tests.conftest import write_tiny
from tests.scripted_writer import written
from tests.servers import ChatModel, serving

BARE = ["How many eggs can a queen bee lay in a single day?", "Quarrelsome xylophones?"]


ASKED = [Question("0", BARE[0], "Up to two thousand.", other_answers=("2000",)), Question("1", BARE[1])]


def pooled(builder: PipelineBuilder, spec: PipelineSpec) -> PooledCandidates:
    return PooledCandidates(builder, spec, ASKED, at_once=5)


@pytest.fixture(scope="module")
def candidates(builder: PipelineBuilder, spec: PipelineSpec) -> list[list[Span]]:
    return pool_candidates(builder, spec, [Question(str(n), text) for n, text in enumerate(BARE)], depth=5)


def test_candidates_come_from_several_searches_each_once(
    candidates: list[list[Span]], builder: PipelineBuilder, spec: PipelineSpec
) -> None:
    assert all(0 < len(spans) <= 5 and len(set(spans)) == len(spans) for spans in candidates)
    assert "eggs" in builder.corpus.text(candidates[0][0])


def test_a_model_finds_evidence_by_quotes_that_stand_there(candidates: list[list[Span]], dataset: Dataset) -> None:
    decided: dict[int, Decision] = {}
    with serving(ChatModel(written)) as server:
        settings = LanguageModel(kind="openai_compatible", base_url=f"{server.url}/v1", model="finder")
        labeller = ModelLabeller(dataset.corpus, LLMClient(settings, MemoryValues()))
        labeller.label([Question(str(n), t) for n, t in enumerate(BARE)], candidates, decided.__setitem__)
    ((place,),) = decided[0] or ()
    assert isinstance(place, Span) and "two thousand eggs" in dataset.corpus.text(place)
    assert decided[1] == "not_shown" and labeller.who == "model finder"
    none = apply_decision(Question("1", BARE[1], "?"), decided[1], labeller.who)
    assert none.answerable and none.reference_answer == "?" and none.origin == "evidence not found (by model finder)"
    with serving(ChatModel(lambda m: '{"quotes": ["The moon is made of cheese."]}')) as liar:
        settings = LanguageModel(kind="openai_compatible", base_url=f"{liar.url}/v1", model="liar")
        ModelLabeller(dataset.corpus, LLMClient(settings, MemoryValues())).label(
            [Question("0", BARE[0])], candidates[:1], decided.__setitem__
        )
    assert decided[0] is None, "what is quoted and does not stand there decides nothing"


@pytest.mark.parametrize(
    ("said", "decided"),
    [(["1 2", "n"], 2), (["x", "0", "99", "1", "s"], 1), (["q"], 0), (["s", "1"], 1), (["m", "6", "d"], 2)],
)
def test_a_person_says_it_in_the_terminal(
    said: list[str], decided: int, builder: PipelineBuilder, spec: PipelineSpec, dataset: Dataset
) -> None:
    answers, found = iter(said), dict[int, Decision]()
    console = Console(file=io.StringIO(), width=100)
    terminal = TerminalLabeller(dataset.corpus, "anna", console=console, ask=lambda _: next(answers))
    candidates = pooled(builder, spec)
    terminal.label(ASKED, candidates, found.__setitem__)
    assert len([one for one in found.values() if one is not None]) == decided
    shown = console.file.getvalue()
    assert "question 1 of 2" in shown and "answer: Up to two thousand. | 2000" in shown
    if said[0] == "1 2":
        assert found[0] == (tuple(candidates[0][:2]),) and found[1] == "not_shown"
        assert "question 2 of 2 · 1 with evidence" in shown
    if said[0] == "m":
        assert len(candidates[0]) > 5 and found[0] == ((candidates[0][5],),) and found[1] == "nowhere"
        assert len(set(candidates[0])) == len(candidates[0]), "what is shown later was not shown before"
    assert terminal.who == "anna" and next(answers, None) is None


def test_a_person_says_it_on_a_page_that_nobody_else_can_open(
    builder: PipelineBuilder, spec: PipelineSpec, dataset: Dataset
) -> None:
    candidates = pooled(builder, spec)
    told, found, ready = list[str](), dict[int, Decision](), threading.Event()

    def announce(text: str) -> None:
        told.append(text)
        ready.set()

    page = PageLabeller(dataset.corpus, "anna", port=0, announce=announce)
    questions = [Question("0", f"{BARE[0]} <b>"), Question("1", BARE[1])]
    running = threading.Thread(target=page.label, args=(questions, candidates, found.__setitem__), daemon=True)
    running.start()
    assert ready.wait(10)
    address = re.search(r"http://\S+", told[0])[0]  # type: ignore[index]
    shown = _get(address)
    assert "queen bee" in shown and "&lt;b&gt;" in shown and "<b>" not in shown
    for wrong in (address[:-1], address + "x"):
        with pytest.raises(urllib.error.HTTPError):
            _get(wrong)
    with pytest.raises(urllib.error.HTTPError):
        _get(address, headers={"Host": "evil.example"})
    assert shown.count("checkbox") == 5 + 1 and "question 1 of 2" in shown
    assert _post(address, row="0", say="more").count('type="checkbox"') > 5
    assert "queen bee" in _post(address, row="0", say="nonsense"), "what is no button decides nothing"
    assert "xylophones" in _post(address, row="0", say="these", span=["0", "1"])
    assert "1 with evidence" in _post(address, row="0", say="nowhere"), "what comes twice changes nothing"
    assert "can close this page" in _post(address, row="1", say="nowhere")
    running.join(10)
    assert not running.is_alive() and found == {0: (tuple(candidates[0][:2]),), 1: "nowhere"}


def test_nothing_that_a_person_wrote_is_ever_removed(tmp_path: Path, dataset: Dataset) -> None:
    asked, out, resolver = tmp_path / "asked.jsonl", tmp_path / "out.jsonl", QuoteResolver(dataset.corpus)
    lines = [
        {"question": "Who?", "answer": ["A queen", "Queens"], "kind": "bees", "author": "me", "year": 2024},
        {"id": "b", "question": "What?", "answer": "Nothing", "origin": "from the log"},
        {"id": "c", "question": "Which?", "answer": "That one"},
        {"id": "d", "question": "Where?", "evidence": ["A queen bee can lay two thousand eggs"]},
        {"id": "e", "question": "Later?"},
    ]
    asked.write_bytes(b"\n".join(map(orjson.dumps, lines)))
    file = LabelledFile(asked, out, resolver)
    assert file.undecided == [0, 1, 2, 4]
    place = Span("bees.md", 0, 20)
    for row, decision in enumerate([((place,),), "not_shown", "nowhere"]):
        file.decide(row, decision, "anna")
        written = [orjson.loads(line) for line in out.read_bytes().splitlines()]
        assert len(written) == 5, "all is saved after each"
        for before, after in zip(lines, written, strict=True):
            kept = {key: after[key] for key in before if key != "origin"}
            assert kept == {key: value for key, value in before.items() if key != "origin"}
    assert written[0]["evidence"] == [[{"document": "bees.md", "start": 0, "end": 20}]]
    assert written[0]["origin"] == "evidence by anna" and written[0]["id"] == "line-1"
    assert written[1]["origin"] == "from the log; evidence not found (by anna)" and "answerable" not in written[1]
    assert written[2]["answerable"] is False and written[2]["answer"] == "That one"
    lines[4]["answer"] = "found since"
    asked.write_bytes(b"\n".join(map(orjson.dumps, lines)))
    again = LabelledFile(asked, out, resolver)
    assert again.undecided == [4], "the same command goes on"
    again.write()
    last = orjson.loads(out.read_bytes().splitlines()[-1])
    assert last["answer"] == "found since", "what was added to the questions meanwhile is kept"


def test_a_decision_stays_with_the_text_that_it_was_made_for(tmp_path: Path, dataset: Dataset) -> None:
    asked, out, resolver = tmp_path / "asked.jsonl", tmp_path / "out.jsonl", QuoteResolver(dataset.corpus)
    lines: list[dict[str, Any]] = [{"id": None, "question": "First?"}, {"question": "Second?", "origin": "mail (2024)"}]
    asked.write_bytes(b"\n" + b"\n".join(map(orjson.dumps, lines)))
    file = LabelledFile(asked, out, resolver)
    assert file.undecided == [0, 1], "an origin of one's own is no decision"
    file.decide(0, ((Span("bees.md", 0, 20),),), "anna")
    assert LabelledFile(asked, out, resolver).undecided == [1]
    asked.write_bytes(b"\n".join(map(orjson.dumps, [{"question": "New?"}, {"question": "Newer?"}, *lines])))
    moved = LabelledFile(asked, out, resolver)
    assert [one.text for one in moved.questions] == ["New?", "Newer?", "First?", "Second?"]
    assert [one.text for one in moved.questions if one.evidence] == ["First?"], "wherever its line is now"
    lines[0] = {"question": "First, reworded?"}
    asked.write_bytes(b"\n" + b"\n".join(map(orjson.dumps, lines)))
    assert LabelledFile(asked, out, resolver).undecided == [0, 1], "another text is another question"


def _get(url: str, headers: dict[str, str] | None = None) -> str:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {})) as reply:
        return str(reply.read().decode())


def _post(url: str, **form: Any) -> str:
    data = urllib.parse.urlencode(form, doseq=True).encode()
    with urllib.request.urlopen(url, data=data) as reply:
        return str(reply.read().decode())


LOG = [
    {"question": "How many eggs?", "answer": "2,000.", "passages": ["two thousand eggs"], "thumb": "up"},
    {"question": "Which sea?", "answer": "The Red Sea.", "passages": [{"document": "rivers.md"}], "thumb": "down"},
    {"question": "What rises?", "answer": "Dough.", "passages": ["a text that is gone"], "thumb": 1},
    {"question": "Which draw?", "answer": "Stalemate.", "passages": [{"document": "chess.md"}], "thumb": True},
]  # fmt: skip


def test_a_log_is_read_with_its_bias_said(tmp_path: Path) -> None:
    write_tiny(tmp_path)
    log = tmp_path / "log.jsonl"
    log.write_bytes(b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in LOG))
    documents = str(tmp_path / "docs")
    read = Logs(documents=documents, log=str(log)).read()
    assert [question.text for question in read.questions] == ["How many eggs?", "What rises?", "Which draw?"]
    assert [question.evidence is not None for question in read.questions] == [True, False, True]
    assert all(question.origin == "log, thumb up" for question in read.questions)
    said = " ".join(read.notes)
    assert "score better than they should" in said and "1 questions of the log have no thumb up" in said
    assert "1 questions of the log name passages that stand in no document now" in said
    more = Logs(documents=documents, log=str(log), others="without_evidence").read()
    assert [q.evidence for q in more.questions if q.text == "Which sea?"] == [None]
    log.write_text('{"query": "x"}\n')
    with pytest.raises(BadInput, match="question"):
        Logs(documents=documents, log=str(log)).read()
