"""The client against servers that are not ours, with tiny random models: llama.cpp's, and transformers'."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from objectives.judging import request_verdicts
from rag_opt.core.errors import ServerFailed
from rag_opt.models.event_loop import wait_for
from rag_opt.models.llm.client import LLMClient
from rag_opt.models.llm.settings import Judge, LanguageModel, Request
from rag_opt.models.llm.structured import ask_structured
from rag_opt.store.values import MemoryValues
from tests.tiny_llms import build_for_llama_cpp, build_for_transformers


@pytest.fixture(scope="module")
def llama_cpp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    import xllamacpp

    given = xllamacpp.CommonParams()
    given.model.path = str(build_for_llama_cpp(tmp_path_factory.mktemp("gguf") / "tiny.gguf"))
    given.hostnames, given.port, given.model_alias = ["127.0.0.1"], 0, ["tiny"]
    given.n_ctx, given.n_parallel = 4 * 2048, 4
    given.cpuparams.n_threads = given.cpuparams_batch.n_threads = 1
    given.offline, given.warmup, given.ui = True, False, False
    server = xllamacpp.Server(given)
    yield f"{server.listening_address}/v1"
    del server


@pytest.fixture(scope="module")
def transformers_serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    folder = build_for_transformers(tmp_path_factory.mktemp("transformers") / "tiny")
    (home := tmp_path_factory.mktemp("home") / "hub").mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(folder)]
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"],
        env={**os.environ, "HF_HOME": str(home.parent), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health").close()
                break
            except urllib.error.URLError:
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1", str(folder)
    finally:
        process.terminate()
        process.wait(30)


def requests(count: int) -> list[Request]:
    return [Request([{"role": "user", "content": f"What is number {number}?"}]) for number in range(count)]


def answered(settings: LanguageModel) -> None:
    """Many at once, each as when it is alone; counted; the second time from the store."""
    values = MemoryValues()
    llm_client = LLMClient(settings, values)
    found = llm_client.complete(requests(12))
    assert all(one.text and one.input_tokens > 10 and 0 < one.output_tokens <= 24 for one in found)
    assert {one.finish for one in found} <= {"stop", "length"} and len({one.text for one in found}) > 6
    assert llm_client.budget_tracker.total.output_tokens == sum(one.output_tokens for one in found)
    alone = LLMClient(settings, MemoryValues()).complete(requests(12)[3:4])
    assert alone[0].text == found[3].text
    again = LLMClient(settings, values)
    assert again.complete(requests(12)) == found and again.budget_tracker.total.calls == 0
    warm = [one._replace(temperature=1.0) for one in requests(3)]
    apart = [one._replace(attempt=attempt) for one in warm for attempt in (0, 1, 2)]
    assert len({one.text for one in llm_client.complete(apart)}) > 3, "repeats with a temperature are other answers"


def test_llama_cpp_answers(llama_cpp: str) -> None:
    answered(LanguageModel(kind="openai_compatible", base_url=llama_cpp, model="tiny", max_tokens=24))


@pytest.mark.integration  # it takes ten seconds to start; llama.cpp is the foreign server of every run
def test_transformers_serve_answers(transformers_serve: tuple[str, str]) -> None:
    url, model = transformers_serve
    answered(LanguageModel(kind="openai_compatible", base_url=url, model=model, max_tokens=24, concurrency=4))


class Verdict(BaseModel):
    verdict: bool


def test_llama_cpp_keeps_to_a_schema(llama_cpp: str) -> None:
    settings = Judge(
        kind="openai_compatible", base_url=llama_cpp, model="tiny", structured="json_schema", temperature=1.0
    )
    found = wait_for(ask_structured(LLMClient(settings, MemoryValues()), requests(1)[0].messages, Verdict))
    assert isinstance(found.verdict, bool)


def test_a_random_model_is_no_judge_and_gives_no_score(llama_cpp: str) -> None:
    sample = {"user_input": "Why?", "response": "So.", "retrieved_contexts": ["It is so."]}
    settings = Judge(kind="openai_compatible", base_url=llama_cpp, model="tiny", max_tokens=64, structured="none")
    found: Any = request_verdicts("Faithfulness", {}, [sample], judge=LLMClient(settings, MemoryValues()), encoder=None)
    assert found.scores.tolist() != [[0.0]] and found.failures[0]


def test_a_prompt_that_is_too_long_fails_alone(llama_cpp: str) -> None:
    settings = LanguageModel(kind="openai_compatible", base_url=llama_cpp, model="tiny", max_tokens=8)
    long = Request([{"role": "user", "content": "word " * 3000}])
    short, failed = LLMClient(settings, MemoryValues()).answers([*requests(1), long])
    assert not isinstance(short, ServerFailed) and isinstance(failed, ServerFailed)
    assert "context" in str(failed) and "refuses the request: 400" in str(failed)
