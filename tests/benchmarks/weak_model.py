"""What a weak language model (SmolLM2-135M, `make models`) makes of every request that is not an answer.

HyDE's passages, rewordings, sub-questions, rankings, questions for a test set: how many can be used, and what is done
with the rest. RAG_OPT_BENCH_SHOW=1 prints what it wrote.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.answering_demo import smollm

COUNT = 12
_FACTS = (
    "The reading room closes at four on Fridays.",
    "Books are returned on the ground floor.",
    "The archive has a lift.",
    "Cameras are allowed without a flash.",
)
_FALSE = (
    "The reading room closes at nine on Fridays.",
    "Books are returned on the roof.",
    "The archive has a swimming pool.",
    "Dogs must wear hats.",
)
Row = tuple[str, str, str]


def measure() -> list[Row]:
    from rag_opt.core.registry import load_parts
    from rag_opt.data.datasets.python_reference import PythonReference
    from rag_opt.models.llm.client import LLMClient
    from rag_opt.models.llm.settings import LanguageModel
    from rag_opt.store.values import MemoryValues

    load_parts()
    dataset = PythonReference().read()
    questions = [question.text for question in dataset.questions[:: len(dataset.questions) // COUNT]][:COUNT]
    passages = [document.text[:400] for document in dataset.corpus.documents[:5]]
    with smollm() as address:
        settings = LanguageModel(
            kind="openai_compatible", base_url=address, model="smollm2-135m-instruct", max_tokens=120, concurrency=2
        )
        client = LLMClient(settings, MemoryValues())
        rows = [*_queries(client, questions), *_rankings(client, questions, passages), *_judging(client)]
        return [*rows, *_test_set(address)]


def _queries(client: Any, questions: Sequence[str]) -> list[Row]:
    from rag_opt.parts.queries.hyde import HypotheticalPassages
    from rag_opt.parts.queries.multi_query import Rewordings

    hyde, reworded = HypotheticalPassages(), Rewordings()
    passages = [completion.text for completion in client.complete([hyde.requests(q)[0] for q in questions])]
    repeating = sum(_repeats(text) for text in passages)
    replies = [completion.text for completion in client.complete([reworded.requests(q)[0] for q in questions])]
    read = [reworded.read_rewordings(q, reply) for q, reply in zip(questions, replies, strict=True)]
    labels = [line for lines in read for line in lines[1:] if re.match(r"(?i)(here|sure|question|reword)", line)]
    _show(zip(questions, passages, replies, read, strict=True))
    return [
        ("weak model: HyDE's passages", f"{len(passages)} written, {repeating} repeat themselves", ""),
        (
            "weak model: rewordings",
            f"{sum(len(one) - 1 for one in read)} of {3 * len(questions)} asked for, {len(labels)} of them labels",
            "0 labels",
        ),
    ]


def _rankings(client: Any, questions: Sequence[str], passages: Sequence[str]) -> list[Row]:
    from rag_opt.parts.rerankers.llm import ListwiseLLM

    part = ListwiseLLM(depth=5)
    replies = [one.text for one in client.complete([part.request(q, passages) for q in questions])]
    orders = [part.read_ranking(reply, len(passages)) for reply in replies]
    whole = sum(sorted(order) == list(range(len(passages))) for order in orders)
    moved = sum(order != list(range(len(passages))) for order in orders)
    _show(zip(questions, replies, orders, strict=True))
    said = f"{whole} of {len(orders)} hold every passage once; {moved} change the order"
    return [("weak model: rankings of five passages", said, "all hold every passage once")]


def _judging(client: Any) -> list[Row]:
    """Verdicts on statements that stand in a passage, and on as many that do not."""
    from pydantic import BaseModel

    from rag_opt.models.event_loop import wait_for
    from rag_opt.models.llm.structured import Unusable, ask_structured

    class Verdict(BaseModel):
        verdict: int
        reason: str

    async def judge(statement: str) -> int | None:
        ask = f"Passage: {' '.join(_FACTS)}\n\nDoes the passage say this: {statement} As JSON: verdict 1 or 0, reason."
        try:
            found = await ask_structured(client, [{"role": "user", "content": ask}], Verdict)
        except Unusable:
            return None
        return found.verdict

    verdicts = [wait_for(judge(one)) for one in (*_FACTS, *_FALSE)]
    right = sum(verdict == (place < len(_FACTS)) for place, verdict in enumerate(verdicts))
    said = f"{len([v for v in verdicts if v is not None])} of {len(verdicts)} in the form, {right} right: {verdicts}"
    return [("weak model: as a judge, half of the statements true", said, "chance is half")]


def _test_set(address: str) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "rag_opt.questions",
            "make",
            "llm=openai_compatible",
            f"llm.base_url={address}",
        ]
        command += ["llm.model=smollm2-135m-instruct", "llm.max_tokens=160", "llm.concurrency=2", f"outputs={folder}"]
        command += ["questions.count=4", "questions.by=model", f"questions.out={folder}/questions.jsonl"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        file = Path(folder) / "questions.jsonl"
        kept = len(file.read_text().splitlines()) if file.exists() else 0
        _show([(done.stdout[-3000:], done.stderr[-2000:])])
        words = " ".join((done.stdout + done.stderr).split())
        return [("weak model: questions make", f"exit {done.returncode}, {kept} kept: {words[-300:]}", "says why")]


def _repeats(text: str) -> bool:
    """Return whether a sentence of a text stands in it more than once."""
    sentences = [one.strip() for one in re.split(r"[.!?\n]", text) if len(one.strip()) > 20]
    return len(set(sentences)) < len(sentences)


def _show(rows: Any) -> None:
    if os.environ.get("RAG_OPT_BENCH_SHOW"):
        for row in rows:
            print(*map(str, row), sep="\n  → ", end="\n\n", file=sys.stderr)
