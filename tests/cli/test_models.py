"""Searches whose answers and scores come from a language model, as a person runs them."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

import rag_opt
from rag_opt.study.trials import load_trials
from tests.cli.conftest import Command
from tests.scripted_writer import written
from tests.servers import ChatModel, serving

PRICE = 1000.0  # dollars a million input tokens; tests/servers.py counts 10 a call
SECRET, OTHER_SECRET = "sk-planted-secret-1", "planted-secret-2"


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    with serving(ChatModel(written)) as running:
        yield running


@pytest.fixture(scope="module")
def asking(tiny: list[str], server: Any) -> list[str]:
    """Overrides: the tiny data set answered and judged by the scripted model."""
    return [
        "experiment=answering",
        *(one for one in tiny if one not in ("space.embedder.model.dimensions=null", "only.chunker=recursive")),
        "only.chunker=recursive",
        "space.generator.chat.prompt=[grounded, answer_or_refuse]",
        "space.generator.chat.examples=0",
        "objective.finalists={faithfulness: {}}",
        f"llm.base_url={server.url}/v1",
        "llm.model=scripted",
        f"llm.usd_per_million_input_tokens={PRICE}",
        "study.trials=4",
    ]


@pytest.fixture(scope="module")
def finished(command: Command, asking: list[str], workplace: Path, server: Any) -> Path:
    done = command("search", *asking, "study.name=answered")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "closed book" in done.stdout and "gold context" in done.stdout and "of the whole study" in done.stdout
    return workplace / "outputs" / "answered"


def test_what_was_paid_is_what_the_server_saw(finished: Path, server: Any) -> None:
    rows = sqlite3.connect(finished / "spending.sqlite").execute("SELECT who, state, usd FROM call").fetchall()
    assert {who for who, _, _ in rows} == {"generator", "judge"} and {state for _, state, _ in rows} == {"200"}
    bodies = [orjson.dumps(body) for _, body in server.seen]
    assert len(rows) == len(bodies) == len(set(bodies)), "every request once, whoever asked"
    result = orjson.loads((finished / "result.json").read_bytes())
    spent = sum(value for name, value in result["spent"].items() if name.endswith("/usd"))
    assert spent == pytest.approx(len(rows) * 10 * PRICE / 1e6) == pytest.approx(sum(usd for _, _, usd in rows))
    trials = load_trials(finished / "study.db", "answered")
    paid = sum(value for trial in trials for name, value in trial.paid.items() if name.endswith("/calls"))
    assert 0 < paid < len(rows), "the rest is the end of the search"
    assert set(result["bounds"]) == {"closed book", "gold context"}
    assert trials[0].metrics["cost/usd"] == pytest.approx(10 * PRICE / 1e6), "of one question"
    assert trials[0].metrics["ragas/answer_correctness_coverage"] == 1


def test_the_same_again_asks_nothing(finished: Path, command: Command, asking: list[str], server: Any) -> None:
    asked = len(server.seen)
    again = command("search", *asking, "study.name=answered")
    other = command("search", *asking, "study.name=answered-too")
    assert again.returncode == other.returncode == 0, other.stdout + other.stderr
    assert len(server.seen) == asked, "neither the same study nor another with the same seed"


def test_a_killed_search_pays_for_nothing_twice(command: Command, asking: list[str], server: Any) -> None:
    arguments = [*asking, "study.name=killed-asking", "llm.revision=killed"]
    before, kept = len(server.seen), {orjson.dumps(body) for body in server.answered}
    server.delay_s = 0.05
    for _ in range(2):
        process = command.start("search", *arguments)
        while len(server.seen) - before < 25 and process.is_running:
            time.sleep(0.02)
        process.kill()
        before = len(server.seen)
    server.delay_s = 0.0
    done = command("search", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    asked = [orjson.dumps(body) for _, body in server.seen[len(kept) :]]
    repeated = len(asked) - len(set(asked))
    assert repeated <= 2 * 16, "only what was in flight when it was killed"


@pytest.mark.parametrize(("cap", "most"), [("budget.usd=0.305", 31)])
def test_a_cap_holds_over_all_runs_of_a_study(
    cap: str, most: int, command: Command, asking: list[str], workplace: Path, server: Any
) -> None:
    name = f"capped-{most}"
    for _ in range(2):
        asked = len(server.seen)
        done = command("search", *asking, f"study.name={name}", f"llm.revision={name}", cap)
        assert "a higher cap goes on from here" in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
    path = workplace / "outputs" / name / "spending.sqlite"
    assert sqlite3.connect(path).execute("SELECT COUNT(*) FROM call").fetchone()[0] <= most
    assert len(server.seen) == asked, "the second run had nothing left to spend"


def test_a_server_that_is_not_there_stops_the_search_and_says_what_to_do(command: Command, asking: list[str]) -> None:
    more = ["study.name=down", "llm.base_url=http://127.0.0.1:9/v1", "llm.revision=down"]
    more += ["llm.give_up_s=1", "llm.timeout_s=1"]
    started = time.monotonic()
    done = command("search", *asking, *more)
    assert done.returncode == 2 and time.monotonic() - started < 60
    assert "is a server running there?" in done.stderr and "the same command goes on" in done.stderr
    assert "Error executing job" not in done.stderr and "FAIL" not in done.stdout


def test_the_winner_is_exported_and_answers(finished: Path, command: Command, workplace: Path, server: Any) -> None:
    asked = len(server.seen)
    done = command("export", "outputs/answered", "--out", "answering-bundle")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(server.seen) == asked, "held against the answers of the search"
    bundle = rag_opt.load(workplace / "answering-bundle")
    reply = bundle.ask("How many eggs can a queen bee lay in a day?")
    assert "two thousand eggs" in reply.answer
    assert bundle.ask("Quarrelsome xylophones?").refused
    kept = {path.name for path in (workplace / "answering-bundle").rglob("*")}
    assert {"llm.json", "prompt"} <= kept


def test_an_estimate_counts_calls_and_asks_nobody(command: Command, asking: list[str], server: Any) -> None:
    asked = len(server.seen)
    done = command("estimate", *asking, "study.name=estimated")
    assert done.returncode == 0, done.stderr
    assert "to answer and" in done.stdout and "at most about $" in done.stdout
    assert len(server.seen) == asked


def test_what_cannot_be_asked_is_refused_before_anything(command: Command, tiny: list[str], workplace: Path) -> None:
    done = command("search", *tiny, "llm=openai_compatible", "study.name=refused")
    assert done.returncode == 2 and "llm.base_url: must be given" in done.stderr, done.stderr
    assert not (workplace / "outputs" / "refused").exists()


def test_a_prompt_that_does_not_exist_is_named(command: Command, asking: list[str]) -> None:
    done = command("search", *asking, "study.name=refused", "space.generator.chat.prompt=[groundet]")
    assert done.returncode == 2 and "did you mean 'grounded'" in done.stderr


PLACES = {
    "llm.key_variable": SECRET,
    "llm.base_url": f"http://user:{SECRET}@127.0.0.1:9/v1",
    "+llm.headers.Authorization": SECRET,
    "+llm.headers.X-Api-Key": SECRET,
    "+llm.headers.X-Team": f"'Bearer {SECRET}'",
    "+judge.headers.X-Trace": f"sk-{SECRET}",
    "+llm.extra_body.api_key": SECRET,
    "+llm.extra_body.tools": f"[{{secret: {SECRET}}}]",
    "+llm.header_variables.X-Tenant": SECRET,
    "judge.key_variable": SECRET,
    "judge.base_url": f"'http://127.0.0.1:9/v1?key={SECRET}'",
    "+judge.headers.Cookie": SECRET,
    "tracking.uri": f"'postgresql://127.0.0.1:9/mlflow?user=me&password={SECRET}'",
    "+embedder.cards.minilm.url": f"http://user:{SECRET}@127.0.0.1:9",
}


def test_secrets_in_wrong_places_are_refused_and_not_repeated(
    command: Command, asking: list[str], workplace: Path
) -> None:
    own = ["llm@judge=openai_compatible", "judge.model=j", "tracking=mlflow", "study.name=secret"]
    given = [one for one in asking if not one.startswith(("tracking", "llm.base_url"))]
    card = "+embedder.cards.minilm.url"  # looked at where the others are in order
    for places in (PLACES.keys() - {card}, {card}):
        wrong = [f"{place}={PLACES[place]}" for place in sorted(places)]
        more = (
            own if len(places) > 1 else [*own, "judge.base_url=http://127.0.0.1:9", "llm.base_url=http://127.0.0.1:9"]
        )
        done = command("search", *given, *more, *wrong)
        assert done.returncode == 2, done.stdout
        assert SECRET not in done.stdout + done.stderr
        for place in places:
            assert place.removeprefix("+") in done.stderr, place
        assert not (workplace / "outputs" / "secret").exists()
    ignored = command("search", *[one for one in asking if one != "x"], "+judge.model=mine", "study.name=secret")
    assert ignored.returncode == 2 and "judge.model: has no effect while judge is same" in ignored.stderr


def test_secrets_are_in_nothing_that_was_written(
    command: Command, asking: list[str], workplace: Path, server: Any
) -> None:
    server.faults.extend([(500, {"error": {"message": f"your key {SECRET} and {OTHER_SECRET} broke us"}}, {})] * 2)
    server.faults.append((400, {"error": {"message": f"bad request of {SECRET} from {OTHER_SECRET}"}}, {}))
    given = [one for one in asking if not one.startswith("tracking")]
    more = [
        "tracking=mlflow",
        "outputs=secretive",
        "llm.key_variable=PLANTED_KEY",
        "+llm.header_variables.X-Tenant=PLANTED_TENANT",
        "study.name=secretive",
        "study.trials=3",
    ]
    variables = {"PLANTED_KEY": SECRET, "PLANTED_TENANT": OTHER_SECRET}
    done = command("search", *given, *more, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    assert server.headers[-1]["Authorization"] == f"Bearer {SECRET}" and server.headers[-1]["X-Tenant"] == OTHER_SECRET
    exported = command("export", "secretive/secretive", "--out", "secretive/bundle", **variables)
    assert exported.returncode == 0, exported.stderr
    said = done.stdout + done.stderr + exported.stdout + exported.stderr
    files = [path for path in (workplace / "secretive").rglob("*") if path.is_file()]
    assert len(files) > 20 and any(path.name == "mlflow.db" for path in files)
    for secret in (SECRET, OTHER_SECRET):
        assert secret not in said
        assert [path for path in files if secret.encode() in path.read_bytes()] == []


@pytest.mark.parametrize(
    "uri",
    [
        f"http://me:{SECRET}@127.0.0.1:9/",
        f"postgresql://127.0.0.1:9/mlflow?user=me&password={SECRET}",
    ],
)
def test_the_password_of_a_tracking_server_is_in_nothing_that_was_written_or_printed(
    command: Command, tiny: list[str], workplace: Path, uri: str
) -> None:
    given = [one for one in tiny if not one.startswith("tracking")]
    variables = {"MLFLOW_TRACKING_URI": uri, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "RAG_OPT_TRACKING_PATIENCE_S": "6"}
    more = ["tracking=mlflow", "study.trials=3", f"study.name=tracked-{len(uri)}"]
    done = command("search", *given, *more, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    study = workplace / "outputs" / f"tracked-{len(uri)}"
    tracked = command("track", str(study), **variables)
    assert tracked.returncode == 1, "nobody answers there"
    for text in (done.stdout, done.stderr, tracked.stdout, tracked.stderr):
        assert SECRET not in text
    assert [path for path in study.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()] == []
