"""Judging 200 questions by five metrics, against an endpoint that takes 200 ms a call and 32 at once; then faults."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from rag_opt.cli.composing import conf_folder
from rag_opt.core.errors import ModelUnusable
from rag_opt.core.registry import lookup
from rag_opt.evaluation.run import Run, ScoringResources, ask
from rag_opt.evaluation.scoring import score, score_all
from rag_opt.models.embedder_cards import embedder_card_library
from rag_opt.models.llm.client import LLMClient
from rag_opt.models.llm.settings import Judge, Request
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.setup.builtins import load_built_in
from rag_opt.setup.datasets import read_dataset
from rag_opt.store.artifacts import Store
from rag_opt.store.values import MemoryValues
from tests.faulty_judge import CONNECTION, FAULTS, FaultyJudge
from tests.scripted_judge import judged
from tests.servers import serving

QUESTIONS, TAKES_S, AT_ONCE = 200, 0.2, 32
METRICS = ("faithfulness", "answer_relevancy", "context_precision", "context_recall", "factual_correctness")
SPEC = {
    "chunker": {"recursive": {"size": 128}},
    "embedder": {"model": {"name": "minilm"}},
    "retriever": {"dense": {"top_k": 3, "depth": 10}},
    "reranker": {"none": {}},
    "packer": {"ranked": {"context_tokens": 1500}},
    "generator": {"extractive": {"sentences": 2, "refuse_below": -1.0}},
}


def _serve(told: Any, seen: Any) -> None:
    """A server in a process of its own, so that it costs the client no time."""
    free = asyncio.Semaphore(AT_ONCE)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(Exception):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = (line.lower() for line in head.split(b"\r\n"))
                length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length"))
                body = orjson.loads(await reader.readexactly(length))
                with seen.get_lock():
                    seen.value += 1
                async with free:
                    due = time.monotonic() + TAKES_S
                    said = judged(body["messages"][-1]["content"])
                    await asyncio.sleep(due - time.monotonic())
                choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
                usage = {"prompt_tokens": 900, "completion_tokens": 100}
                raw = orjson.dumps({"choices": [choice], "model": "j", "usage": usage})
                head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(raw)
                writer.write(head + raw)
                await writer.drain()

    async def main() -> None:
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        told.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


@contextlib.contextmanager
def _slow_server() -> Iterator[tuple[str, Any]]:
    context = multiprocessing.get_context("spawn")
    told, seen = context.Queue(), context.Value("i", 0)
    process = context.Process(target=_serve, args=(told, seen), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{told.get()}/v1", seen
    finally:
        process.terminate()
        process.join()


def _run(folder: Path, url: str) -> tuple[Run, PipelineBuilder]:
    load_built_in(["objectives"])
    dataset = read_dataset({"format": "python_reference"})
    asked = [q for q in dataset.questions if q.answerable and q.reference_answer]
    more = [dataclasses.replace(q, id=f"{q.id}-again", text=f"Please say: {q.text}") for q in asked]
    questions = [*asked, *more][:QUESTIONS]
    judge = Judge(kind="openai_compatible", base_url=url, model="j", concurrency=AT_ONCE)
    builder = PipelineBuilder(
        dataset.corpus, Store(folder / "store"), embedder_card_library([conf_folder()]), judge=judge
    )
    return ask(builder.pipeline(PipelineSpec.from_dict(SPEC)), questions), builder


def _judged(run: Run, builder: PipelineBuilder) -> int:
    """How many scores there are."""
    tools, objectives = (
        ScoringResources(builder.encoder, builder.judge),
        [lookup("objective", kind)() for kind in METRICS],
    )
    found = score_all(objectives, run, tools, builder.store.values)
    return sum(int((~np.isnan(scores[f"ragas/{kind}"])).sum()) for kind, scores in zip(METRICS, found, strict=True))


def measure() -> list[tuple[str, str, str]]:
    rows = []
    with tempfile.TemporaryDirectory() as place, _slow_server() as (url, seen):
        folder = Path(place)
        run, builder = _run(folder, url)
        lookup("objective", "faithfulness")().score(
            run.select([]), ScoringResources(builder.encoder, builder.judge)
        )  # imports ragas
        cpu, started = time.process_time(), time.perf_counter()
        scores = _judged(run, builder)
        took_s, cpu_s, calls = time.perf_counter() - started, time.process_time() - cpu, seen.value
        ideal_s = calls * TAKES_S / AT_ONCE
        what = f"judging {len(run.questions)} questions by {len(METRICS)} metrics: {calls:,} calls, {scores:,} scores"
        rows.append((f"{what}; wall time", f"{took_s:.1f} s, {took_s / ideal_s:.2f} x calls x 0.2 / 32", "1.25 x"))
        rows.append(
            ("our own CPU of it, ragas and embedding included", f"{1000 * cpu_s / calls:.1f} ms a call", "5 ms")
        )
        for what, shelves in (("the same again", ()), ("again, without the stored scores", ("scores",))):
            builder.close()
            builder.store.close()
            for shelf in shelves:
                for path in (folder / "store").rglob(f"{shelf}.sqlite*"):
                    path.unlink()
            run, builder = _run(folder, url)
            before, started = seen.value, time.perf_counter()
            _judged(run, builder)
            rows.append((what, f"{seen.value - before} calls, {time.perf_counter() - started:.1f} s", "0 calls"))
        builder.close()
    return rows


def faults() -> list[tuple[str, str, str]]:
    """Every fault at 1, 10, 50 and 100 % of calls, 60 questions by two metrics."""
    rows = []
    with tempfile.TemporaryDirectory() as place:
        run, builder = _run(Path(place), "http://127.0.0.1:9/v1")
        run = run.select(list(range(60)))
        for fault in FAULTS:
            said = [_under(fault, percent, run, builder) for percent in (1, 10, 50, 100)]
            what = f"judge with {fault}, at 1 / 10 / 50 / 100 % of calls"
            rows.append((what, " · ".join(said), "in range; none asked again; stops at 100 %"))
        builder.close()
    return [*rows, *_dying()]


def _dying() -> list[tuple[str, str, str]]:
    """A server that answered, and then is killed or hangs, with the settings as they are when nobody says."""
    asked = [Request([{"role": "user", "content": f"{number}"}]) for number in range(100)]
    took = {}
    with _slow_server() as (url, _):
        llm_client = LLMClient(Judge(kind="openai_compatible", base_url=url, model="j"), MemoryValues())
        llm_client.complete(asked[:10])
    took["killed"] = _until_unusable(llm_client, asked)
    with serving(FaultyJudge("500", 0)) as server:
        llm_client = LLMClient(Judge(kind="openai_compatible", base_url=f"{server.url}/v1", model="j"), MemoryValues())
        llm_client.complete(asked[:10])
        server.plan = lambda number: 1000
        took["hangs"] = _until_unusable(llm_client, asked)
    said = ", ".join(f"{how}: {seconds:.0f} s" for how, seconds in took.items())
    return [("an endpoint that answered before is down: until the search stops", said, "at most 120 s")]


def _until_unusable(llm_client: LLMClient, asked: list[Request]) -> float:
    """Seconds."""
    started = time.perf_counter()
    try:
        llm_client.complete(asked)
    except ModelUnusable:
        return time.perf_counter() - started
    raise AssertionError("it went on answering")


def _under(fault: str, percent: int, run: Run, builder: PipelineBuilder) -> str:
    with serving(FaultyJudge(fault, percent)) as server:
        settings = Judge(
            kind="openai_compatible",
            base_url=f"{server.url}/v1",
            model="j",
            timeout_s=1.0 if fault == "hang" else 10.0,
            give_up_s=100.0 if percent < 100 else 10.0,
        )
        tools, started = (
            ScoringResources(builder.encoder, LLMClient(settings, MemoryValues(), who="judge")),
            time.perf_counter(),
        )
        accepted = applies = 0
        try:
            for kind in ("faithfulness", "context_precision"):
                scores = score(lookup("objective", kind)(), run, tools, MemoryValues())
                column, coverage = scores[f"ragas/{kind}"], scores[f"ragas/{kind}_coverage"]
                known = column[~np.isnan(column)]
                assert ((known >= 0) & (known <= 1)).all()
                accepted, applies = accepted + len(known), applies + int((~np.isnan(coverage)).sum())
        except ModelUnusable:
            return f"stopped after {time.perf_counter() - started:.0f} s"
        bodies = [orjson.dumps(body) for body in server.answered]
        again = len(bodies) - len(set(bodies)) if fault in CONNECTION else 0
        return f"{accepted}/{applies} scored, {again} asked again"
