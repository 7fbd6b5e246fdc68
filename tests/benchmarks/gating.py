"""The gate, and what runs today: a log of a plain LangChain script, a service, bundles; searches over the first two."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson
import yaml

from rag_opt.cli.composing import conf_folder
from rag_opt.core.arrays import FloatArray
from rag_opt.core.strict import PlainDict
from rag_opt.data.datasets.python_reference import PythonReference
from rag_opt.evaluation.non_inferiority import compare_scores
from rag_opt.models.embedder_cards import embedder_card_library
from rag_opt.production.gate.verdict import GateVerdict, judge
from rag_opt.production.stored_questions import question_line
from rag_opt.setup.builtins import load_built_in
from rag_opt.study.trials import load_trials
from tests.benchmarks.serving import service

Row = tuple[str, str, str]
_SIMULATED = 200


def measure() -> list[Row]:
    """Return rows of the gate's verdicts, of its time, and of searches whose baseline is what runs today."""
    load_built_in(["objectives"])
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        log = _write_log(folder)
        rows = [*_measure_log(folder, log)]
        winner, poor = _export(folder, "over_log")
        rows += _measure_gate(folder, winner, poor, log)
        rows.append(_measure_service(folder, poor))
        return [*rows, _simulate()]


def _run(*command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, cwd=folder, check=False)


def _write_log(folder: Path) -> Path:
    """Run the script over the default data set, and return its log."""
    dataset = PythonReference().read()
    documents, questions, log = (folder / f"{name}.jsonl" for name in ("documents", "questions", "log"))
    documents.write_bytes(
        b"\n".join(orjson.dumps({"id": one.id, "text": one.text}) for one in dataset.corpus.documents)
    )
    questions.write_bytes(b"\n".join(orjson.dumps(question_line(one, dataset.corpus)) for one in dataset.questions))
    script = Path(__file__).with_name("langchain_log.py")
    model = embedder_card_library([conf_folder()]).read("minilm").folder
    command = [sys.executable, str(script), str(documents), str(questions), str(log), str(model)]
    subprocess.run(command, check=True, capture_output=True, cwd=folder)
    return log


def _search(folder: Path, name: str, baseline: str, trials: int, *more: str) -> PlainDict:
    asked = [f"study.name={name}", f"study.trials={trials}", f"baseline={baseline}", "tracking=none", *more]
    done = _run("rag_opt.search", *asked, folder=folder)
    if done.returncode:
        raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
    found: PlainDict = orjson.loads((folder / "outputs" / name / "result.json").read_bytes())
    return found


def _describe_gain(result: PlainDict) -> str:
    gain = result["gain"]
    ends = f"95 % interval [{gain['low'] * 100:+.1f}, {gain['high'] * 100:+.1f}]"
    return f"{gain['mean'] * 100:+.1f} points, {ends} on {result['questions']} held-out questions: {result['verdict']}"


def _measure_log(folder: Path, log: Path) -> Iterator[Row]:
    default = yaml.safe_load((conf_folder() / "pipeline" / "default.yaml").read_text(encoding="utf-8"))
    (folder / "top1.yaml").write_text(yaml.safe_dump({**default, "retriever": {"lexical": {"top_k": 1}}}))
    first = _search(folder, "over_log", str(log), 8, "study.enqueue=[top1.yaml]")
    replies = folder / "outputs" / "over_log" / "running_baseline.jsonl"
    once = len(replies.read_bytes().splitlines())
    resumed = _search(folder, "over_log", str(log), 10, "study.enqueue=[top1.yaml]")
    twice = len(replies.read_bytes().splitlines()) - once
    yield "search over a log of a LangChain script, 8 trials", _describe_gain(first), "gain with interval"
    said = f"{_describe_gain(resumed)}; {twice} replies looked up again"
    yield "the same, resumed to 10 trials", said, "nothing asked twice"


def _export(folder: Path, name: str) -> tuple[Path, Path]:
    """Export the winner, and the pipeline of one passage, and return both bundles."""
    trials = load_trials(folder / "outputs" / name / "study.db", name)
    poor = next(trial.number for trial in trials if trial.origin == "enqueued")
    for out, more in (("winner", []), ("poor", ["--trial", str(poor)])):
        done = _run("rag_opt.export", f"outputs/{name}", "--out", out, *more, folder=folder)
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)
    return folder / "winner", folder / "poor"


def _measure_gate(folder: Path, winner: Path, poor: Path, log: Path) -> Iterator[Row]:
    cases = (
        ("the same bundle twice", winner, "0"),
        ("a bundle of one passage", poor, "1"),
        ("the log of the LangChain script", log, "judged"),
    )
    for name, new, target in cases:
        _run("rag_opt.gate", str(new), "--against", str(winner), folder=folder)  # warm
        started = time.perf_counter()
        done = _run("rag_opt.gate", str(new), "--against", str(winner), folder=folder)
        took_s = time.perf_counter() - started
        said = done.stdout.splitlines()[0].partition(": ")[2] if done.stdout else done.stderr
        yield f"gate: {name}", f"exit {done.returncode}, {took_s:.1f} s: {said}", f"{target}; 15 s on stored questions"


def _measure_service(folder: Path, poor: Path) -> Row:
    with service(poor) as (_, port, _):
        url = f"http://127.0.0.1:{port}"
        first = _search(folder, "over_service", url, 4)
        once = _asked(url)
        _search(folder, "over_service", url, 6)
        twice = _asked(url) - once
    said = f"{_describe_gain(first)}; {once:.0f} requests, {twice:.0f} more when it was resumed"
    return "search over a running service, 4 trials", said, "gain with interval; nothing asked twice"


def _asked(url: str) -> float:
    with contextlib.closing(urllib.request.urlopen(f"{url}/metrics")) as reply:
        text = reply.read().decode()
    counted = re.findall(r'^rag_opt_requests_total\{path="/ask/batch",[^}]*\} ([0-9.e+]+)$', text, re.MULTILINE)
    return sum(map(float, counted))


def _simulate() -> Row:
    """Draw equal pipelines: of each question both find all or nothing, four times in five the same; 150 questions."""
    generator = np.random.default_rng(0)

    def draw(questions: int) -> tuple[FloatArray, FloatArray, list[str]]:
        easy = (generator.random(questions) < 0.6).astype(float)
        both = [np.where(generator.random(questions) < 0.1, 1 - easy, easy) for _ in range(2)]
        return both[0], both[1], [str(number // 3) for number in range(questions)]

    first = [judge(compare_scores(*draw(150), margin=0.03)) for _ in range(_SIMULATED)]
    again = [
        judge(compare_scores(*draw(one.questions_to_tell), margin=0.03)).verdict
        for one in first
        if one.questions_to_tell is not None
    ]
    worse = sum(one.verdict is GateVerdict.WORSE for one in first) / len(first)
    passed = sum(one is GateVerdict.PASSES for one in again) / len(again)
    needed = int(np.median([one.questions_to_tell for one in first if one.questions_to_tell is not None]))
    said = (
        f"exit 1 in {worse:.1%}; exit 0 in {passed:.0%} of {len(again)} with the number asked for (median {needed:,})"
    )
    return f"gate: {_SIMULATED} simulated pairs of equal pipelines", said, "at most 5 %; at least 80 %"
