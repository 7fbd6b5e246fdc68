from __future__ import annotations

import concurrent.futures
import socket
import threading
import time
from pathlib import Path

import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

import rag_opt
from rag_opt.core.documents import Span
from rag_opt.core.questions import Question
from rag_opt.data.datasets.logs import Logs
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.production.bundle import Bundle
from rag_opt.production.bundle_writing import BundleFacts, write_bundle
from tests.conftest import TEXTS
from tests.production.service.conftest import serve

DOUGH = "What makes dough rise?"
KEY = "a-key-of-sixteen-letters"


def test_it_answers_as_the_bundle_does(bundle: Bundle) -> None:
    expected = bundle.ask(DOUGH)
    with serve(bundle) as client:
        reply = client.post("/ask", json={"question": DOUGH}).json()
        assert reply["answer"] == expected.answer and not reply["refused"] and len(reply["id"]) == 16
        assert [(p["document"], p["start"], p["end"], p["text"]) for p in reply["passages"]] == [
            (hit.document, hit.start, hit.end, hit.text) for hit in expected.hits
        ]
        assert reply["passages"][0]["score"] == pytest.approx(expected.hits[0].score, abs=1e-6)
        cited = reply["cited"][0]
        assert TEXTS[cited["document"]][cited["start"] : cited["end"]] in expected.answer
        assert {"embed", "answer"} <= reply["latency_ms"].keys()
        found = client.post("/retrieve", json={"question": DOUGH, "filters": {"name": "bees.md"}}).json()
        assert {p["document"] for p in found["passages"]} == {"bees.md"} and "answer" not in found
        both = {"questions": [{"question": DOUGH}, {"question": "Why do meanders form?"}]}
        answered = client.post("/ask/batch", json=both).json()["replies"]
        assert [one["question"] for one in answered] == [DOUGH, "Why do meanders form?"]
        assert len(client.post("/retrieve/batch", json=both).json()["replies"]) == 2
        text = client.post("/document", json={"document": "bread.md"}).json()["text"]
        assert text == TEXTS["bread.md"]


def test_many_at_once_get_each_their_own_answer_in_micro_batches(bundle: Bundle) -> None:
    questions = [f"{DOUGH} {number}" for number in range(40)]
    with serve(bundle) as client:

        def ask(question: str) -> tuple[str, str]:
            path = "/ask" if question.endswith("1") else "/retrieve"
            reply = client.post(path, json={"question": question}).json()
            return question, reply["question"]

        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            assert all(asked == answered for asked, answered in pool.map(ask, questions))
        families = {one.name: one for one in text_string_to_metric_families(client.get("/metrics").text)}
        batches = {s.name: s.value for s in families["rag_opt_batch_questions"].samples if not s.labels}
        assert batches["rag_opt_batch_questions_sum"] == 40 > batches["rag_opt_batch_questions_count"]
        asked = {s.labels["path"]: s.value for s in families["rag_opt_requests"].samples if s.name.endswith("_total")}
        assert asked["/retrieve"] == 36 and asked["/ask"] == 4
        assert {s.labels["stage"] for s in families["rag_opt_stage_seconds"].samples} >= {"embed", "search_dense"}
        assert families["rag_opt_cache_bytes"].samples[0].value > 0


BAD = [
    (b'{"question": ""}', 422, "question: is empty"),
    (b'{"question": "  "}', 422, "question: is empty"),
    (b'{"question": 7}', 422, "valid string"),
    (b'{"question": null}', 422, "valid string"),
    (b'{"question": "a\\u0000b"}', 422, "control characters"),
    (b'{"question": "\\ud800"}', 422, "control characters"),
    (b'{"question": "a", "filters": {"size": 1}}', 422, "no document has 'size'"),
    (b'{"question": "a", "filters": {"nam": "x"}}', 422, "did you mean"),
    (b'{"question": "a", "filters": {"name": [1]}}', 422, "filters.name"),
    (b'{"question": "a", "filters": {"name": NaN}}', 422, "filters.name"),
    (b'{"question": "a", "filters": {"name": -Infinity}}', 422, "filters.name"),
    (b'{"question": "a", "filters": []}', 422, "filters"),
    (b'{"question": "a", "filters": {"name": "\\ud800"}}', 422, "control characters"),
    (b'{"question": "a", "filters": {"\\ud800": "x"}}', 422, "control characters"),
    (b'{"question": "a", "more": 1}', 422, "more"),
    (b'{"question": "' + b"a" * 4001 + b'"}', 422, "4001 characters; at most 4000"),
    (b"{", 400, "JSON"),
    (b"", 422, "required"),
    (b"[" * 100_000, 400, "parsing"),
    (b'{"question": "\xff"}', 400, "parsing"),
    (b'{"question": "' + b"a" * 1_000_001 + b'"}', 413, "at most 1000000 bytes"),
]


def test_bad_input_is_refused_with_its_reason(bundle: Bundle) -> None:
    headers = {"content-type": "application/json"}
    with serve(bundle) as client:
        for body, status, said in BAD:
            for path in ("/ask", "/retrieve"):
                reply = client.post(path, content=body, headers=headers)
                told = reply.json().get("error", {}).get("message", "")
                assert (reply.status_code, said in told) == (status, True), (body[:60], reply.text)
        many = {"questions": [{"question": "a"}] * 65}
        assert "at most 64" in client.post("/ask/batch", json=many).json()["error"]["message"]
        assert client.post("/ask", content=b"{}", headers={"content-type": "text/plain"}).status_code == 415
        assert client.get("/ask").status_code == 405 and client.get("/nowhere").status_code == 404
        assert client.post("/document", json={"document": "x"}).status_code == 404
        assert client.post("/feedback", json={"id": "x", "thumb": "up"}).json()["error"]["type"] == "off"
        assert client.post("/ask", json={"question": DOUGH}).status_code == 200, "it goes on"
        stream = client.post("/ask", content=iter([b"a" * 600_000] * 2), headers=headers)
        assert stream.status_code == 413, "a body that does not say its size"


def test_without_a_key_nothing_is_said(bundle: Bundle) -> None:
    with serve(bundle, keys=("another-key-of-letters", KEY)) as client:
        for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/"):
            assert client.get(path).status_code == 200, path
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": KEY}, {"authorization": "Basic x"}):
            for path in ("/ask", "/v1/chat/completions", "/document", "/feedback"):
                refused = client.post(path, json={"question": DOUGH}, headers=headers)
                assert refused.status_code == 401 and refused.headers["www-authenticate"] == "Bearer"
        good = client.post("/ask", json={"question": DOUGH}, headers={"authorization": f"Bearer {KEY}"})
        assert good.status_code == 200
        preflight = client.options("/ask", headers={"origin": "https://a", "access-control-request-method": "POST"})
        assert "access-control-allow-origin" not in preflight.headers


def test_another_page_may_call_it_only_where_that_was_said(bundle: Bundle) -> None:
    with serve(bundle, origins=("https://a.example",)) as client:
        asked = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
        allowed = client.options("/ask", headers={"origin": "https://a.example", **asked})
        assert allowed.headers["access-control-allow-origin"] == "https://a.example"
        assert client.options("/ask", headers={"origin": "https://b.example", **asked}).status_code == 400


def test_a_required_filter_is_required_on_every_path(
    tmp_path: Path, builder: PipelineBuilder, spec: PipelineSpec
) -> None:
    write_bundle(tmp_path / "bundle", builder, spec, BundleFacts(requires_filter=["name"]))
    bundle = rag_opt.load(tmp_path / "bundle")
    with pytest.raises(rag_opt.RagOptError, match=r"filters\.name: is missing"):
        bundle.ask(DOUGH)
    with serve(bundle) as client:
        messages = [{"role": "user", "content": DOUGH}]
        for path, body in (
            ("/ask", {"question": DOUGH}),
            ("/retrieve", {"question": DOUGH}),
            ("/ask/batch", {"questions": [{"question": DOUGH}]}),
            ("/v1/chat/completions", {"messages": messages}),
            ("/document", {"document": "bread.md"}),
        ):
            refused = client.post(path, json=body)
            assert refused.status_code == 422 and "name: is missing" in refused.text, path
        filters = {"name": "bees.md"}
        assert client.post("/ask", json={"question": DOUGH, "filters": filters}).status_code == 200
        chat = client.post("/v1/chat/completions", json={"messages": messages, "filters": filters}).json()
        assert {one["document"] for one in chat["rag_opt"]["citations"]} <= {"bees.md"}
        assert client.post("/document", json={"document": "bread.md", "filters": filters}).status_code == 404
        assert client.post("/document", json={"document": "bees.md", "filters": filters}).status_code == 200


def test_limits_of_rate_time_and_waiting(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(bundle, per_minute=3) as client:
        assert [client.post("/ask", json={"question": DOUGH}).status_code for _ in range(3)] == [200] * 3
        late = client.post("/ask", json={"question": DOUGH})
        assert late.status_code == 429 and 1 <= int(late.headers["retry-after"]) <= 20
        again = client.post("/ask", json={"question": DOUGH}, headers={"authorization": "Bearer another"})
        assert again.status_code == 429, "a header that nobody asked for makes no new caller"
    with serve(bundle, per_minute=1, keys=(KEY, "another-key-of-letters")) as client:
        for key, status in ((KEY, 200), (KEY, 429), ("another-key-of-letters", 200)):
            asked_by = client.post("/ask", json={"question": DOUGH}, headers={"authorization": f"Bearer {key}"})
            assert asked_by.status_code == status, "each key has its own"
    free = threading.Event()
    asked = bundle.try_questions
    monkeypatch.setattr(bundle, "try_questions", lambda questions: (free.wait(20), asked(questions))[1])
    with serve(bundle, ready=False, timeout_s=0.3, max_waiting=2) as client:
        free.set()
        while client.get("/readyz").status_code != 200:
            time.sleep(0.02)
        free.clear()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            statuses = [
                one.status_code for one in pool.map(lambda _: client.post("/ask", json={"question": DOUGH}), range(8))
            ]
        free.set()
        assert set(statuses) == {503, 504} and statuses.count(504) >= 2
        assert client.post("/ask", json={"question": DOUGH}).status_code == 200


def test_a_body_that_does_not_come_is_not_waited_for(bundle: Bundle) -> None:
    with (
        serve(bundle, body_timeout_s=0.2) as client,
        socket.create_connection((client.base_url.host, client.base_url.port or 0)) as slow,
    ):
        slow.sendall(b"POST /ask HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{")
        slow.settimeout(5)
        assert b"408" in slow.recv(100)


def test_it_is_ready_only_when_the_golden_question_is_answered_as_seen(bundle_folder: Path) -> None:
    bundle = rag_opt.load(bundle_folder)
    hit = bundle.questions[0].seen.hits[0]
    object.__setattr__(hit, "start", hit.start + 1)  # as if the search had seen something else
    with serve(bundle, ready=False, retry_s=0.1) as client:
        deadline = time.monotonic() + 20
        while "other hits" not in (told := client.get("/readyz")).text and time.monotonic() < deadline:
            time.sleep(0.05)
        assert told.status_code == 503 and "other hits or another order" in told.json()["reason"]
        assert client.get("/healthz").status_code == 200
        assert client.post("/ask", json={"question": DOUGH}).json()["error"]["type"] == "not_ready"
        assert "rag_opt_ready 0.0" in client.get("/metrics").text
        object.__setattr__(hit, "start", hit.start - 1)  # mended: it is asked again, and again
        while client.get("/readyz").status_code != 200:
            assert time.monotonic() < deadline + 20
            time.sleep(0.05)


def test_a_fault_shows_no_trace_to_the_client(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with serve(bundle) as client:

        def fail(questions: object) -> None:
            raise RuntimeError("secret place")

        monkeypatch.setattr(bundle, "try_questions", fail)
        reply = client.post("/ask", json={"question": DOUGH})
        assert reply.status_code == 500 and "secret" not in reply.text and reply.json()["error"]["type"] == "fault"
    assert "secret place" in capfd.readouterr().err


def test_one_question_that_fails_is_not_the_fault_of_the_others(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    retrieve = bundle.try_retrieval

    def fails(questions: list[Question]) -> object:
        if any("bad" in question.text for question in questions):
            raise SystemError("of a library")
        return retrieve(questions)

    with serve(bundle) as client:
        monkeypatch.setattr(bundle, "try_retrieval", fails)
        asked = [f"{'bad' if number % 5 == 0 else DOUGH} {number}" for number in range(20)]
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            found = pool.map(lambda text: client.post("/retrieve", json={"question": text}).status_code, asked)
            assert list(found) == [500 if "bad" in text else 200 for text in asked]


def test_feedback_becomes_the_next_questions(bundle: Bundle, tmp_path: Path) -> None:
    log = tmp_path / "feedback.jsonl"
    with serve(bundle, feedback=log) as client:
        first = client.post("/ask", json={"question": DOUGH, "filters": {"name": "bread.md"}}).json()
        assert client.post("/feedback", json={"id": first["id"], "thumb": "up"}).json() == {
            "id": first["id"],
            "taken": True,
        }
        second = client.post("/ask", json={"question": "Where does the Danube end?"}).json()
        start = TEXTS["rivers.md"].index("It ends")
        right = {"document": "rivers.md", "start": start, "end": start + 26}
        said = {"id": second["id"], "thumb": "down", "right_passage": right, "comment": "not this one"}
        assert client.post("/feedback", json=said).status_code == 200
        assert client.post("/feedback", json={"id": "unknown", "thumb": "up"}).status_code == 404
        assert client.post("/feedback", json={"id": "unknown", "thumb": "down", "question": "Why?"}).status_code == 200
        assert client.post("/feedback", json={"id": first["id"]}).status_code == 422
        nowhere = {"id": first["id"], "right_passage": {"document": "nowhere.md"}}
        assert client.post("/feedback", json=nowhere).status_code == 422
        hidden = {"id": first["id"], "right_passage": {"document": "bees.md"}}
        assert client.post("/feedback", json=hidden).json() == client.post("/feedback", json=nowhere).json()
        backwards = {"id": first["id"], "right_passage": {"document": "bread.md", "start": 5, "end": 3}}
        assert client.post("/feedback", json=backwards).status_code == 422
        assert client.post("/feedback", json={"id": "x", "thumb": "up", "question": "a" * 4001}).status_code == 422
        assert client.post("/feedback", json={"id": second["id"], "comment": "and this"}).status_code == 200
    lines = [orjson.loads(line) for line in log.read_text().splitlines()]
    assert [line.get("thumb") for line in lines] == ["up", "down", "down", None] and log.stat().st_mode & 0o777 == 0o600
    documents = tmp_path / "documents"
    documents.mkdir()
    for name, text in TEXTS.items():
        (documents / name).write_text(text)
    read = Logs(documents=str(documents), log=str(log)).read()
    up, down = read.questions
    assert up.reference_answer == first["answer"] and up.filters == {"name": "bread.md"} and up.evidence
    assert down.reference_answer is None and down.evidence == ((Span("rivers.md", start, start + 26),),)


def test_what_is_remembered_for_feedback_is_bounded(bundle: Bundle, tmp_path: Path) -> None:
    with serve(bundle, feedback=tmp_path / "log.jsonl", remembered_bytes=2000) as client:
        ids = [client.post("/ask", json={"question": DOUGH}).json()["id"] for _ in range(5)]
        assert client.post("/feedback", json={"id": ids[0], "thumb": "up"}).status_code == 404
        assert client.post("/feedback", json={"id": ids[-1], "thumb": "up"}).status_code == 200


def test_the_page_lets_nothing_else_in(bundle: Bundle) -> None:
    with serve(bundle) as client:
        for path in ("/", "/page.js", "/page.css"):
            page = client.get(path)
            assert page.status_code == 200 and "default-src 'none'" in page.headers["content-security-policy"]
            assert "http://" not in page.text.replace("http://www.w3.org", "") and "https://" not in page.text
        script = client.get("/page.js").text
        assert not any(danger in script for danger in ("innerHTML", "insertAdjacentHTML", "document.write", "eval("))
