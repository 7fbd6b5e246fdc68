"""A language model behind an endpoint: what is asked, stored, counted, capped, and said when it does not answer."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import ssl
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from rag_opt.core.errors import BadStudy, BudgetSpent, ModelUnusable, ServerFailed
from rag_opt.models.llm.budget import Budget, BudgetTracker
from rag_opt.models.llm.client import LLMClient, NoMessage
from rag_opt.models.llm.settings import LanguageModel, Request
from rag_opt.models.llm.structured import parse_answer
from rag_opt.store.values import MemoryValues
from tests.servers import ChatModel, serving

TOKENS = (10, 5)  # what tests/servers.py says of every answer


def request(text: str, attempt: int = 0) -> Request:
    return Request([{"role": "user", "content": text}], attempt)


def settings(url: str, **more: Any) -> LanguageModel:
    return LanguageModel(**{"kind": "openai_compatible", "base_url": f"{url}/v1", "model": "scripted", **more})


def test_each_request_is_sent_once_whoever_asks() -> None:
    values = MemoryValues()
    with serving(ChatModel(str.upper)) as server:
        llm_client = LLMClient(settings(server.url), values)
        first = llm_client.complete([request("a"), request("b"), request("a"), request("a", attempt=1)])
        assert [one.text for one in first] == ["A", "B", "A", "A"] and all(one.took_ms > 0 for one in first)
        assert LLMClient(settings(server.url), values, who="judge").complete([request("b")]) == first[1:2]
        assert len(server.seen) == 3, "a, b, and a again because it was asked for"
        LLMClient(settings(server.url, temperature=0.5), values).complete([request("b")])
        assert len(server.seen) == 4, "another temperature is another request"
        LLMClient(settings(server.url, revision="2"), values).complete([request("b")])
        assert len(server.seen) == 5, "and another revision"
    with serving(ChatModel(str.lower)) as elsewhere:
        assert LLMClient(settings(elsewhere.url), values).complete([request("b")]) == first[1:2], (
            "wherever it is served"
        )
        assert not elsewhere.seen


def test_all_that_was_answered_before_a_failure_is_kept() -> None:
    values = MemoryValues()
    with serving(ChatModel(str.upper)) as server:
        wanted = [request(f"text {number}") for number in range(100)]
        server.faults.extend(["no"] * 70 + [(401, {"error": {"message": "no more credit"}}, {})] * 30)
        with pytest.raises(ModelUnusable, match="no more credit"):
            LLMClient(settings(server.url, concurrency=1), values).complete(wanted)
        assert len(server.answered) == 70
        server.faults.clear()
        assert len(LLMClient(settings(server.url), values).complete(wanted)) == 100
        assert len(server.answered) == 100, "what was answered is not asked again"


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ((200, {"choices": []}, {}), "answered no message"),
        ((200, {"choices": [{"message": {"content": " "}}]}, {}), "an empty message"),
        ((200, {"choices": [{"message": {"content": None}}]}, {}), "an empty message"),
        ((400, {"error": {"message": "context too long"}}, {}), "refuses the request: 400: context too long"),
        ((403, {"error": {"message": "not you"}}, {}), "answered 403: not you"),
    ],
)
def test_nothing_is_taken_for_an_answer_that_is_none(fault: Any, said: str) -> None:
    values = MemoryValues()
    with serving(ChatModel(str.upper)) as server:
        llm_client = LLMClient(settings(server.url), values)
        server.faults.extend([fault] * 2)
        with pytest.raises(ServerFailed, match=said):
            llm_client.complete([request("a")])
        assert not values.find_known("replies", llm_client.keys([request("a")]))
        server.faults.clear()
        assert llm_client.complete([request("a")])[0].text == "A", "it may be asked again"


def test_one_that_fails_does_not_take_the_others_with_it() -> None:
    with serving(ChatModel(str.upper)) as server:
        server.plan = lambda number: (400, {"error": {"message": "too long"}}, {}) if number == 2 else "no"
        found = LLMClient(settings(server.url, concurrency=1), MemoryValues()).answers([request(c) for c in "abcd"])
    assert [isinstance(one, ServerFailed) for one in found] == [False, False, True, False]


def test_an_answer_takes_as_long_as_the_server_does_whoever_waits_before_it() -> None:
    with serving(ChatModel(str.upper)) as server:
        server.delay_s = 0.05
        found = LLMClient(settings(server.url, concurrency=2), MemoryValues()).complete(
            [request(f"{n}") for n in range(20)]
        )
    assert all(50 <= one.took_ms < 250 for one in found), "the last one waited for half a second"


def test_a_model_that_hangs_is_given_up() -> None:
    with serving(ChatModel(str.upper)) as server:
        llm_client = LLMClient(settings(server.url, timeout_s=1.0, give_up_s=1.0), MemoryValues())
        llm_client.complete([request("a")])
        server.plan = lambda number: 30
        started = time.monotonic()
        with pytest.raises(ModelUnusable, match=r"answers nothing for [12] seconds .it answered before"):
            llm_client.complete([request(f"b{number}") for number in range(40)])
        assert time.monotonic() - started < 4, "those that wait for others are told too"


def test_tokens_and_dollars_are_those_of_the_answers(tmp_path: Path) -> None:
    prices = {"usd_per_million_input_tokens": 1000.0, "usd_per_million_output_tokens": 2000.0}
    values, path = MemoryValues(), tmp_path / "spending.sqlite"
    with serving(ChatModel(str.upper)) as server:
        server.faults.append((500, {}, {}))
        for asked in (3, 5):  # three of them are stored by the second time
            budget_tracker = BudgetTracker()
            budget_tracker.open(path)
            llm_client = LLMClient(settings(server.url, **prices), values, budget_tracker=budget_tracker)
            llm_client.complete([request(f"text {number}") for number in range(asked)])
            budget_tracker.close()
    again = BudgetTracker()
    again.open(path)
    spent = again.by_who["generator"]
    assert (spent.calls, spent.input_tokens, spent.output_tokens) == (6, 5 * TOKENS[0], 5 * TOKENS[1])
    assert spent.usd == pytest.approx(5 * 0.02)
    again.close()
    columns = {row[1] for row in sqlite3.connect(path).execute("PRAGMA table_info(call)")}
    known = {"id", "at", "who", "model", "state", "input_tokens", "output_tokens", "usd", "checksum"}
    assert columns == known, "and no text"


@pytest.mark.parametrize("concurrency", [1, 7])
@pytest.mark.parametrize("cap", [1, 5, 23])
def test_a_cap_on_calls_is_never_passed_and_what_was_answered_is_kept(cap: int, concurrency: int) -> None:
    values, wanted = MemoryValues(), [request(f"text {number}") for number in range(40)]
    with serving(ChatModel(str.upper)) as server:
        for round_number in range(3):
            budget_tracker = BudgetTracker(Budget(calls=cap))
            enough = (round_number + 1) * cap >= 40
            with contextlib.nullcontext() if enough else pytest.raises(BudgetSpent, match=f"budget.calls={cap}"):
                LLMClient(
                    settings(server.url, concurrency=concurrency), values, budget_tracker=budget_tracker
                ).complete(wanted)
            assert len(server.seen) == min((round_number + 1) * cap, 40)


@pytest.mark.parametrize("concurrency", [1, 16])
def test_a_cap_on_dollars_is_passed_by_no_more_than_one_call(concurrency: int) -> None:
    each, cap = 0.01, 0.095
    more = {"usd_per_million_input_tokens": each * 1e6 / TOKENS[0], "max_tokens": 5, "concurrency": concurrency}
    with serving(ChatModel(str.upper)) as server:
        server.delay_s = 0.02
        budget_tracker = BudgetTracker(Budget(usd=cap))
        with pytest.raises(BudgetSpent, match=r"budget.usd=0.095"):
            LLMClient(settings(server.url, **more), MemoryValues(), budget_tracker=budget_tracker).complete(
                [request(f"text {number}") for number in range(60)]
            )
        assert len(server.seen) * each <= cap + each
        assert len(server.seen) == 10, "and it is used up"


def test_secrets_stand_in_variables_and_are_taken_out_of_what_a_server_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", "sk-very-secret")
    monkeypatch.setenv("THE_TENANT", "tenant-secret")
    with serving(ChatModel(str.upper)) as server:
        server.key = "sk-very-secret"
        llm_client = LLMClient(
            settings(server.url, key_variable="THE_KEY", header_variables={"X-Tenant": "THE_TENANT"}), MemoryValues()
        )
        assert llm_client.complete([request("a")])[0].text == "A"
        assert server.headers[-1]["X-Tenant"] == "tenant-secret"
        server.faults.append((401, {"error": {"message": "Incorrect API key: sk-very-secret"}}, {}))
        with pytest.raises(ModelUnusable) as refused:
            llm_client.complete([request("b")])
    assert "Incorrect API key: $THE_KEY" in str(refused.value) and "sk-very" not in str(refused.value)


def test_what_a_server_needs_beside_is_sent(tmp_path: Path) -> None:
    with serving(ChatModel(str.upper)) as server:
        more = {"headers": {"X-Team": "search"}, "extra_body": {"top_k": 1}, "temperature": None, "max_tokens": None}
        LLMClient(settings(server.url, **more), MemoryValues()).complete([request("a")])
        ((_, body),) = server.seen
        assert body == {"model": "scripted", "messages": request("a").messages, "stream": False, "top_k": 1}
        assert server.headers[0]["X-Team"] == "search"
        schema = {"title": "T", "type": "object"}
        for form, sent in (
            ("none", None),
            ("json_object", {"type": "json_object"}),
            ("json_schema", {"type": "json_schema", "json_schema": {"name": "T", "schema": schema}}),
        ):
            wanted = request("b")._replace(schema=schema)
            LLMClient(settings(server.url, structured=form), MemoryValues()).complete([wanted])
            assert server.seen[-1][1].get("response_format") == sent


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes the certificate")
def test_a_server_with_a_certificate_of_its_own_is_trusted_only_when_told(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2", "-nodes"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-keyout", str(key), "-out", str(certificate), *names]
    subprocess.run(made, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serving(ChatModel(str.upper), tls=context) as server:
        trusting = LLMClient(settings(server.url, ca_bundle=str(certificate)), MemoryValues())
        assert trusting.complete([request("a")])[0].text == "A"
        with pytest.raises(ModelUnusable, match="CERTIFICATE_VERIFY_FAILED"):
            LLMClient(settings(server.url, give_up_s=1.0, timeout_s=1.0), MemoryValues()).complete([request("a")])


def test_one_slow_answer_is_no_dead_server() -> None:
    with serving(ChatModel(str.upper)) as server:
        server.plan = lambda number: 30 if number == 0 else "no"
        server.delay_s = 0.05
        llm_client = LLMClient(settings(server.url, timeout_s=1.0, give_up_s=1.0, concurrency=2), MemoryValues())
        found = llm_client.answers([request(f"{number}") for number in range(40)])
    assert all(not isinstance(one, ServerFailed) for one in found), "the slow one was asked again"


def test_waiting_for_its_turn_is_nobodys_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(ChatModel(str.upper)) as server:
        server.delay_s = 0.1
        server.plan = lambda number: (503, {"error": "busy"}, {}) if number == 18 else "no"
        llm_client = LLMClient(settings(server.url, concurrency=1), MemoryValues())
        llm_client._http_client._patience_s = 1.0  # much less than they wait for one another
        found = llm_client.answers([request(f"{number}") for number in range(20)])
    assert all(not isinstance(one, ServerFailed) for one in found)


def test_a_server_that_asks_for_hours_is_not_waited_for() -> None:
    with serving(ChatModel(str.upper)) as server:
        server.plan = lambda number: (429, {"error": "quota"}, {"Retry-After": "3600"})
        started = time.monotonic()
        with pytest.raises(ModelUnusable, match=r"Retry-After: 3600 seconds"):
            LLMClient(settings(server.url), MemoryValues()).complete([request(f"{number}") for number in range(30)])
        assert time.monotonic() - started < 10


def test_after_it_was_given_up_nothing_more_is_sent() -> None:
    """The twentieth failure ends it; of four requests at once three may fail before that is said."""
    with serving(ChatModel(str.upper)) as server:
        server.plan = lambda number: (501, {"error": "no such thing"}, {})
        with pytest.raises(ModelUnusable, match=r"2[0-3] times in a row"):
            LLMClient(settings(server.url, concurrency=4), MemoryValues()).complete(
                [request(f"{n}") for n in range(200)]
            )
        assert len(server.seen) < 30
        server.plan = lambda number: "no"
        assert LLMClient(settings(server.url), MemoryValues()).complete([request("a")])[0].text == "A"


def test_what_a_model_refuses_as_too_long_is_a_matter_of_that_request_alone() -> None:
    with serving(ChatModel(str.upper)) as server:
        server.plan = lambda number: (400, {"error": {"message": "too long"}}, {}) if number < 30 else "no"
        found = LLMClient(settings(server.url, concurrency=1), MemoryValues()).answers(
            [request(f"{n}") for n in range(31)]
        )
    assert [isinstance(one, ServerFailed) for one in found] == [True] * 30 + [False]


def test_a_call_without_an_answer_may_be_billed_and_is_booked() -> None:
    prices = {"usd_per_million_output_tokens": 1e6, "max_tokens": 3, "timeout_s": 0.2, "give_up_s": 0.2}
    with serving(ChatModel(str.upper)) as server:
        server.plan = lambda number: 30
        budget_tracker = BudgetTracker()
        with pytest.raises(ModelUnusable):
            LLMClient(settings(server.url, **prices), MemoryValues(), budget_tracker=budget_tracker).complete(
                [request("a")]
            )
    assert budget_tracker.total.usd >= 3 and budget_tracker.total.output_tokens == 0
    nothing = BudgetTracker()
    with pytest.raises(ModelUnusable):
        LLMClient(settings("http://127.0.0.1:9", **prices), MemoryValues(), budget_tracker=nothing).complete(
            [request("a")]
        )
    assert nothing.total.usd == 0, "what was never sent costs nothing"


@pytest.mark.parametrize("bad", ["sk-secret\n", "sk-sécret", " sk-secret"])
def test_a_key_that_no_header_can_hold_is_refused_without_being_shown(
    bad: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_KEY", bad)
    with (
        serving(ChatModel(str.upper)) as server,
        pytest.raises(ModelUnusable, match="THE_KEY holds characters") as said,
    ):
        LLMClient(settings(server.url, key_variable="THE_KEY"), MemoryValues()).complete([request("a")])
    assert "secret" not in str(said.value)


def test_a_damaged_record_of_what_was_spent_is_refused(tmp_path: Path) -> None:
    tracker = BudgetTracker()
    tracker.open(tmp_path / "spending.sqlite")
    tracker.close()
    content = bytearray((tmp_path / "spending.sqlite").read_bytes())
    content[100:140] = b"\xff" * 40
    (tmp_path / "spending.sqlite").write_bytes(content)
    with pytest.raises(BadStudy, match=r"is damaged .* what was spent is not known"):
        BudgetTracker().open(tmp_path / "spending.sqlite")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('```json\n{"verdict": 1, "reason": "so"}\n``` } and more {', 1),
        ('{"verdict": 1, "reason": "so"} {"verdict": 1, "reason": "so"}', 1),
        ('I think {maybe} that {"verdict": 0, "reason": "no"}', 0),
        ('{"other": 3} {"verdict": 1, "reason": "so"}', 1),
        ('{"verdict": 1, "reason": "so"} {"verdict": 0, "reason": "no"}', "2 answers that differ"),
        ("{" * 100_000, "not JSON"),
        ('{"a": ' * 5000, "not JSON"),
    ],
)
def test_the_first_whole_object_of_the_form_is_the_answer(text: str, said: object) -> None:
    if isinstance(said, int):
        assert parse_answer(text, Verdict).verdict == said
    else:
        with pytest.raises(ValueError, match=str(said)):
            parse_answer(text, Verdict)


class Verdict(BaseModel):
    verdict: int
    reason: str


def test_what_a_server_refuses_is_left_out_from_then_on(tmp_path: Path) -> None:
    refusals = ["json_schema", "json_object", "seed"]

    def refuse(body: dict[str, Any]) -> str:
        form = body.get("response_format", {}).get("type")
        return form if form in refusals else "seed" if "seed" in body else ""

    class Picky(ChatModel):
        def answer(self, path: str, body: Any) -> Any:
            refused = refuse(body)
            named = f"response_format.type {refused} is not supported" if refused != "seed" else "unknown field seed"
            return (400, {"error": {"message": named}}, {}) if refused else super().answer(path, body)

    with serving(Picky(lambda question: "yes")) as server:
        model = LanguageModel(kind="openai_compatible", base_url=f"{server.url}/v1", model="m")
        client = LLMClient(model, MemoryValues())
        asked = [
            Request([{"role": "user", "content": str(n)}], 1, schema=Verdict.model_json_schema()) for n in range(3)
        ]
        first = client.complete(asked[:1])
        assert [completion.text for completion in [*first, *client.complete(asked[1:])]] == ["yes"] * 3
        assert len(server.seen) == 4 + 2, "each refusal was met once"
        assert "response_format" not in server.seen[-1][1] and "seed" not in server.seen[-1][1]
        again = LLMClient(model, client._values)
        assert again.complete(asked)[0].text == "yes" and len(server.seen) == 6, "stored, whatever was left out"


def test_a_field_of_ones_own_that_is_refused_is_not_sent_for_ever(tmp_path: Path) -> None:
    class Picky(ChatModel):
        def answer(self, path: str, body: Any) -> Any:
            return 400, {"error": {"message": "seed and response_format json_schema are not supported"}}, {}

    with serving(Picky(lambda question: "yes")) as server:
        own = {"seed": 7, "response_format": {"type": "json_schema"}}
        model = LanguageModel(kind="openai_compatible", base_url=f"{server.url}/v1", model="m", extra_body=own)
        request = Request([{"role": "user", "content": "so?"}], 1, schema=Verdict.model_json_schema())
        with pytest.raises(ServerFailed, match="refuses the request"):
            LLMClient(model, MemoryValues()).complete([request])
        assert len(server.seen) == 1


def test_a_placeholder_for_a_key_changes_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_KEY", "none")
    with serving(ChatModel(lambda question: "none of them")) as server:
        model = LanguageModel(
            kind="openai_compatible", base_url=f"{server.url}/v1", model="m", key_variable="LOCAL_KEY"
        )
        (answer,) = LLMClient(model, MemoryValues()).complete([Request([{"role": "user", "content": "which?"}])])
        assert answer.text == "none of them"


def test_an_error_inside_a_200_is_no_sign_of_life() -> None:
    with serving(ChatModel(lambda question: "")) as server:
        model = LanguageModel(kind="openai_compatible", base_url=f"{server.url}/v1", model="m")
        with pytest.raises(NoMessage):
            LLMClient(model, MemoryValues()).complete([Request([{"role": "user", "content": "thinking"}])])
        server.faults.extend([(200, {"error": {"message": "no credits"}}, {})] * 2)
        with pytest.raises(ServerFailed, match="no credits") as raised:
            LLMClient(model, MemoryValues()).complete([Request([{"role": "user", "content": "other"}])])
        assert not isinstance(raised.value, NoMessage)
