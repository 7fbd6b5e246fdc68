"""Strange replies of a language model, through the real command: no raw exception, nothing usable asked again."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import orjson

from rag_opt.study.trials import load_trials
from tests.cli.conftest import Command
from tests.cli.fork_server import connect
from tests.conftest import write_tiny
from tests.faults.outcome import Outcome
from tests.scripted_writer import written
from tests.servers import ChatModel, serving

SHARES = (0.01, 0.1, 1.0)
KEY = "sk-planted-in-the-environment"
_EVENT = {"choices": [{"delta": {"content": "so it is"}}]}
_RAW = re.compile(r"Traceback|^\s*(?:[a-z_]+\.)*[A-Z]\w+(?:Error|Exception|Warning): ", re.MULTILINE)


def said(text: object, **more: object) -> dict[str, object]:
    return {"choices": [{"message": {"content": text}}], **more}


def with_usage(prompt: object, completion: object) -> dict[str, object]:
    return said("so it is", usage={"prompt_tokens": prompt, "completion_tokens": completion})


def kinds() -> dict[str, Any]:
    """Replies by name: (status, body, headers), None to break the connection."""
    fine, deep = json.dumps(said("so it is")).encode(), 200_000
    return {
        "gzip that is none": (200, b"not gzip at all", {"Content-Encoding": "gzip"}),
        "gzip cut in half": (200, gzip.compress(fine * 50)[:60], {"Content-Encoding": "gzip"}),
        "gzip of 300 MB": (200, gzip.compress(b" " * 300_000_000), {"Content-Encoding": "gzip"}),
        "deflate that is none": (200, b"\x00\x01\x02", {"Content-Encoding": "deflate"}),
        "unknown encoding": (200, fine, {"Content-Encoding": "zstd-of-tomorrow"}),
        "30 MB": (200, json.dumps(said("x" * 30_000_000)), {}),
        "half a character": (200, b'{"choices": [{"message": {"content": "so \\ud800 it is"}}]}', {}),
        "bytes that are no text": (200, b'{"choices": [{"message": {"content": "\xff\xfe"}}]}', {}),
        "a NUL": (200, json.dumps(said("so\x00it is")), {}),
        "nested 200,000 deep": (200, b"[" * deep + b"]" * deep, {}),
        "nested inside": (
            200,
            b'{"choices": [{"message": {"content": "so", "x": ' + b"[" * deep + b"]" * deep + b"}}]}",
            {},
        ),
        "usage of 10^30": (200, with_usage(10**30, 1), {}),
        "usage of NaN": (200, with_usage(float("nan"), 1), {}),
        "usage below zero": (200, with_usage(-5, -7), {}),
        "usage as text": (200, with_usage("many", "few"), {}),
        "usage as a list": (200, said("so it is", usage=[1, 2]), {}),
        "usage true": (200, with_usage(True, True), {}),
        "no usage": (200, said("so it is"), {}),
        "429, wait nan": (429, {"error": "busy"}, {"Retry-After": "nan"}),
        "429, wait inf": (429, {"error": "busy"}, {"Retry-After": "inf"}),
        "429, wait -1": (429, {"error": "busy"}, {"Retry-After": "-1"}),
        "429, wait a past date": (429, {"error": "busy"}, {"Retry-After": "Mon, 01 Jan 2001 00:00:00 GMT"}),
        "429, wait nonsense": (429, {"error": "busy"}, {"Retry-After": "soon"}),
        "echoed key": (200, said(f"your key is {KEY}"), {}),
        "echoed key in an error": (400, {"error": {"message": f"bad key {KEY}"}}, {}),
        "no JSON": (200, b"<html>502 Bad Gateway</html>", {}),
        "empty body": (200, b"", {}),
        "null": (200, b"null", {}),
        "a number": (200, b"17", {}),
        "a list": (200, b"[]", {}),
        "no choices": (200, {"choices": []}, {}),
        "choices as text": (200, {"choices": "none"}, {}),
        "no message": (200, {"choices": [{}]}, {}),
        "content null": (200, said(None), {}),
        "content empty": (200, said("  "), {}),
        "content as a list": (200, said([{"type": "text", "text": "so it is"}]), {}),
        "error inside a 200": (200, {"error": {"message": "overloaded"}}, {}),
        "streamed": (200, f"data: {json.dumps(_EVENT)}\n\ndata: {json.dumps(_EVENT)}\n\ndata: [DONE]\n\n", {}),
        "stream cut off": (200, f"data: {json.dumps(_EVENT)}\n\ndata: {{", {}),
        "500": (500, {"error": "oops"}, {}),
        "418": (418, {"error": "a teapot"}, {}),
        "broken connection": None,
    }


def run(rounds: int, folder: Path) -> Outcome:
    """`rounds`: kinds, each at three shares."""
    outcome, strange = Outcome(), kinds()
    write_tiny(folder / "data")
    (folder / "logs").mkdir()
    address, alive = connect(folder)
    with alive:
        command = Command(address, folder, folder / "logs")
        chosen = list(strange) if rounds >= len(strange) else list(strange)[:: max(len(strange) // rounds, 1)][:rounds]
        for kind in chosen:
            for share in SHARES:
                outcome.rounds += 1
                _try(outcome, command, folder, kind, strange[kind], share)
    return outcome


def _try(outcome: Outcome, command: Command, folder: Path, kind: str, reply: Any, share: float) -> None:
    name = re.sub(r"[^a-z0-9]+", "-", f"{kind} {share:g}".lower())
    server = ChatModel(written)
    every = round(1 / share)
    server.plan = lambda number: reply if number % every == min(3, every - 1) else "no"
    with serving(server) as running:
        done = command("search", *_arguments(running.url, name), KEY_OF_TESTS=KEY, timeout=300)
    text, where = done.stdout + done.stderr, f"{kind}, {share:.0%}"
    if _RAW.search(text):
        outcome.tracebacks += 1
        outcome.examples.append(f"{where}: {text[-500:]}")
    elif done.returncode not in (0, 1, 2) or (done.returncode and not done.stderr.strip() + done.stdout.strip()):
        outcome.unclear += 1
        outcome.examples.append(f"{where}: exit {done.returncode}: {text[-300:]}")
    study = folder / "outputs" / name
    if KEY in text or any(KEY.encode() in path.read_bytes() for path in study.rglob("*") if path.is_file()):
        outcome.silent += 1
        outcome.examples.append(f"{where}: the key was written or printed")
    failed = [t.reason for t in load_trials(study / "study.db", name) if t.state == "FAIL"] if study.exists() else []
    if share < 1 and failed:
        outcome.lost += 1
        outcome.examples.append(f"{where}: a pipeline failed: {failed[0][:300]}")
    usable = Counter(orjson.dumps(body) for body in server.answered)
    again = sum(count - 1 for count in usable.values())
    if again:
        outcome.lost += 1
        outcome.examples.append(f"{where}: {again} requests with a usable reply were sent again")


def _arguments(url: str, name: str) -> list[str]:
    return [
        "experiment=answering",
        "dataset=folder",
        "dataset.documents=data/docs",
        "dataset.questions=data/questions.jsonl",
        "dataset.name=tiny",
        "dataset.language=en",
        "space.chunker.recursive.size=[16, 32]",
        "space.chunker.recursive.overlap=0.0",
        "pipeline.chunker.recursive.size=32",
        "only.chunker=recursive",
        "only.embedder=model",
        "runtime=torch",
        "tracking=none",
        "space.generator.chat.prompt=[grounded, answer_or_refuse]",
        "space.generator.chat.examples=0",
        "objective=grounded_answer",
        "study.finalists=1",
        "study.trials=3",
        f"study.name={name}",
        f"llm.base_url={url}/v1",
        "llm.model=scripted",
        "llm.key_variable=KEY_OF_TESTS",
        f"llm.revision={name}",
        "llm.timeout_s=5",
        "llm.give_up_s=1",
    ]
