"""A process that was forked, and threads that share: nothing hangs, is loaded twice or counted wrong."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest

import rag_opt
from rag_opt.models import loaded_models
from rag_opt.models.embedder_cards import EmbedderCard, EmbedderCards
from rag_opt.models.encoder import Encoder
from rag_opt.models.event_loop import wait_for
from rag_opt.models.http_client import HttpClient
from rag_opt.models.llm.budget import Budget, BudgetTracker
from rag_opt.models.llm.client import LLMClient
from rag_opt.models.llm.settings import LanguageModel, Request
from rag_opt.models.runtimes import Machine
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.production.bundle_writing import BundleFacts, write_bundle
from rag_opt.store.values import MemoryValues, SqliteValues, Values
from tests.servers import ChatModel, OpenAI, serving
from tests.tiny_models import DIMENSIONS, READS_TOKENS, build

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing is forked here")
MACHINE = Machine(device="cpu", runtime="torch", document_precision="float32")
TEXTS = [f"The waggle dance number {number} points to the flowers." for number in range(40)]
THREADS, HANGING_S = 8, 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("model"), "bert", "mean")


def local_encoder(folder: Path, values: Values | None = None, *, machine: Machine = MACHINE) -> Encoder:
    card = EmbedderCard(id="tiny", path=str(folder), dimensions=DIMENSIONS, reads_tokens=READS_TOKENS, pooling="mean")
    return Encoder(card, values=MemoryValues() if values is None else values, machine=machine)


def chat_client(url: str, values: Values, tracker: BudgetTracker | None = None) -> LLMClient:
    settings = LanguageModel(kind="openai_compatible", base_url=f"{url}/v1", model="m")
    return LLMClient(settings, values, budget_tracker=tracker)


def request(text: str) -> Request:
    return Request([{"role": "user", "content": text}])


def fork(work: Callable[[], None]) -> int:
    """Run `work` in a forked process, and return its exit code: 0 where nothing was raised."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            faulthandler.dump_traceback_later(HANGING_S, exit=True)
            work()
            gc.collect()  # what came from the parent and is not used must end quietly
            code = 0
        except BaseException as error:
            print(f"in the forked process: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@needs_fork
def test_a_forked_process_asks_a_server_and_embeds(tmp_path: Path, folder: Path) -> None:
    values = SqliteValues(tmp_path / "values", set_aside=tmp_path / "damaged", report=print)
    encoder = local_encoder(folder, values)
    with serving(ChatModel(lambda text: f"heard {text}")) as server:
        tracker = BudgetTracker(Budget(usd=1.0, calls=10))
        tracker.open(tmp_path / "spending.db")
        client = chat_client(server.url, values, tracker)
        assert client.complete([request("one")])[0].text == "heard one"
        before = encoder.vectors(TEXTS, "query")

        def work() -> None:
            assert client.complete([request("one"), request("two")])[1].text == "heard two"
            assert tracker.total.calls == 2
            np.testing.assert_array_equal(encoder.vectors(TEXTS, "query"), before)
            again = local_encoder(folder)  # nothing is stored for it: the model runs
            np.testing.assert_allclose(again.vectors(TEXTS, "query"), before, atol=1e-6)
            assert again.encoded == len(TEXTS)

        assert fork(work) == 0
        assert client.complete([request("two"), request("three")])[0].text == "heard two"
        assert len(server.seen) == 3, "what the child was answered is stored for its parent"
    tracker.close()
    resumed = BudgetTracker()
    resumed.open(tmp_path / "spending.db")
    assert resumed.total.calls == 3, "calls of both processes are written down"
    resumed.close()
    values.close()


@needs_fork
def test_a_request_in_flight_at_the_fork_is_the_parents_alone() -> None:
    with serving(ChatModel(lambda text: text)) as server:
        server.delay_s = 0.5
        client = chat_client(server.url, MemoryValues())
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(client.complete, [request("slow")])
            while not server.seen:
                wait_for(asyncio.sleep(0.01))

            def work() -> None:
                assert client.complete([request("slow")])[0].text == "slow"

            assert fork(work) == 0
            assert answer.result()[0].text == "slow", "the child has not touched the parent's connection"


@needs_fork
def test_a_forked_process_may_embed_in_another_thread_before_its_first(cards: EmbedderCards) -> None:
    card = cards.read("minilm")  # large enough for torch to use every core
    before = Encoder(card, values=MemoryValues(), machine=MACHINE).vectors(TEXTS, "query")

    def work() -> None:
        with ThreadPoolExecutor(1) as pool:
            again = Encoder(card, values=MemoryValues(), machine=MACHINE)
            np.testing.assert_allclose(pool.submit(again.vectors, TEXTS, "query").result(), before, atol=1e-6)
        here = Encoder(card, values=MemoryValues(), machine=MACHINE)
        np.testing.assert_allclose(here.vectors(TEXTS, "query"), before, atol=1e-6)

    assert fork(work) == 0


@needs_fork
def test_a_forked_process_compiles_its_own_model(folder: Path) -> None:
    pytest.importorskip("openvino")
    machine = Machine(device="cpu", runtime="openvino", document_precision="float32")
    before = local_encoder(folder, machine=machine).vectors(TEXTS, "document")

    def work() -> None:
        after = local_encoder(folder, machine=machine).vectors(TEXTS, "document")
        np.testing.assert_allclose(after, before, atol=1e-5)

    assert fork(work) == 0


@needs_fork
def test_a_bundle_loaded_before_the_fork_answers_after_it(
    tmp_path: Path, builder: PipelineBuilder, spec: PipelineSpec
) -> None:
    write_bundle(tmp_path / "bundle", builder, spec, BundleFacts())
    bundle = rag_opt.load(tmp_path / "bundle")
    expected = bundle.ask("What makes dough rise?")

    def work() -> None:
        for question in ("What makes dough rise?", "How do bees tell others where nectar is?"):
            assert bundle.ask(question).hits
        assert bundle.ask("What makes dough rise?").answer == expected.answer

    assert fork(work) == 0
    assert bundle.ask("What makes dough rise?").answer == expected.answer


def in_threads(work: Callable[[int], object]) -> list[object]:
    """Return what `work` gives for each number of a thread; all begin at once."""
    barrier = Barrier(THREADS)

    def run(number: int) -> object:
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


def test_threads_load_a_model_once_and_encode_each_text_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[object] = []
    load = loaded_models._load_embedder

    def counted(files: object, runtime: object) -> object:
        loads.append(files)
        return load(files, runtime)  # type: ignore[arg-type]

    monkeypatch.setattr(loaded_models, "_load_embedder", counted)
    monkeypatch.setattr(loaded_models, "_LOADED", type(loaded_models._LOADED)())
    expected = local_encoder(folder).vectors(TEXTS, "query")
    loaded_models._LOADED.clear()
    loads.clear()
    values = MemoryValues()
    shared = local_encoder(folder, values)
    for vectors in in_threads(lambda _: shared.vectors(TEXTS, "query")):
        np.testing.assert_array_equal(vectors, expected)
    assert len(loads) == 1 and shared.encoded == len(TEXTS)
    # encoders of their own share the model in memory
    encoders = [local_encoder(folder) for _ in range(THREADS)]
    for vectors in in_threads(lambda number: encoders[number].vectors(TEXTS, "query")):
        np.testing.assert_array_equal(vectors, expected)
    assert len(loads) == 1 and {encoder.encoded for encoder in encoders} == {len(TEXTS)}


def test_threads_count_exactly_what_a_server_was_asked() -> None:
    rows = np.eye(8, dtype=np.float32)

    def embed(texts: object) -> np.ndarray:
        return np.stack([rows[len(text) % 8] for text in texts])  # type: ignore[attr-defined]

    with serving(OpenAI(embed, lambda text: len(text.split()))) as server:
        client = HttpClient(f"{server.url}/v1")
        body = {"model": "m", "input": ["a text"]}
        server.plan = lambda number: (503, {"error": "busy"}, {}) if number in (3, 7, 11) else "no"
        in_threads(lambda _: [client.post("/embeddings", body) for _ in range(5)])
        assert (client.requests, client.retries) == (5 * THREADS + 3, 3)
        assert len(server.seen) == client.requests


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_threads_count_values_exactly(kind: str, tmp_path: Path) -> None:
    values: MemoryValues | SqliteValues = MemoryValues()
    if kind == "sqlite":
        values = SqliteValues(tmp_path / "values", set_aside=tmp_path / "damaged", report=print)
    keys = [[f"{thread} {number}".encode() for number in range(100)] for thread in range(THREADS)]

    def work(thread: int) -> None:
        for _ in range(2):
            for key in keys[thread]:
                assert values.fill("table", [key], lambda _: [b"value"]) == [b"value"]

    in_threads(work)
    assert values.computed == values.reused == {"table": 100 * THREADS}
    if isinstance(values, SqliteValues):
        values.close()


def test_memory_that_is_full_makes_room_for_every_thread() -> None:
    values = MemoryValues(capacity_bytes=10 * 308)

    def work(thread: int) -> None:
        for number in range(300):
            key = f"{thread} {number}".encode()
            values.put("table", {key: b"12345678"})
            values.get("table", [key])

    in_threads(work)
    assert values.held_bytes == 10 * 308 and len(values._values) == 10
