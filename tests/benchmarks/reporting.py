"""The report: its size, its requests, its errors, when it is painted; of a usual study and of a large one."""

from __future__ import annotations

import dataclasses
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from rag_opt.report.contents import open_contents
from rag_opt.report.page import MOST_BYTES, PAGE, render_page
from rag_opt.setup.builtins import load_built_in
from rag_opt.study.folder import StudyFolder
from rag_opt.study.space.composed import read_space
from rag_opt.study.trials import TrialLog, load_trials

_TRIALS, _QUESTIONS = 300, 1000
_STATUS_TARGET, _PAINT_TARGET = "under 2 s", "at most 2 s"


def measure() -> list[tuple[str, str, str]]:
    """Return size, time and behaviour of the report of a default search, and of 300 trials with 1,000 questions."""
    load_built_in(["objectives"])
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "outputs" / "usual"
        command = [
            sys.executable,
            "-m",
            "rag_opt.search",
            "study.name=usual",
            f"outputs={folder.parent}",
            "tracking=none",
        ]
        subprocess.run(command, check=True, capture_output=True)
        large = _multiply(folder, folder.parent / "large")
        rows = [*_rows("default search", folder), *_rows(f"{_TRIALS} trials x {_QUESTIONS} questions", large)]
        started = time.perf_counter()
        status = [sys.executable, "-m", "rag_opt.report", str(folder), "--status"]
        subprocess.run(
            status, check=True, capture_output=True, env={**os.environ, "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
        )
        took = time.perf_counter() - started
        return [*rows, ("report --status, MLflow down", f"{took:.1f} s", _STATUS_TARGET)]


def _rows(name: str, folder: Path) -> Iterator[tuple[str, str, str]]:
    from rag_opt.cli.report_command import find_text

    text = find_text(folder)
    started = time.perf_counter()
    page = render_page(open_contents(folder), text)
    took = time.perf_counter() - started
    (folder / PAGE).write_text(page)
    size = len(page.encode())
    yield f"report: {name}", f"{size / 1e6:.1f} MB, written in {took:.1f} s", f"at most {MOST_BYTES / 1e6:g} MB"
    seen = _look(folder / PAGE)
    told = "Chromium or playwright is not installed" if seen is None else seen
    yield f"report in Chromium: {name}", told, f"0 requests, 0 errors, {_PAINT_TARGET} to the first paint"


def _look(page: Path) -> str | None:
    """Open a page in headless Chromium, and return requests, errors and times in words."""
    chromium = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    if chromium is None:
        return None
    with sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_context(viewport={"width": 1280, "height": 720}, offline=True).new_page()
        errors, requests = list[str](), list[str]()
        tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("request", lambda request: requests.append(request.url))
        started = time.perf_counter()
        tab.goto(page.resolve().as_uri())
        tab.wait_for_function("document.documentElement.dataset.drawn === 'true'", timeout=120_000)
        drawn = time.perf_counter() - started
        paint = tab.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0") / 1000
        browser.close()
    outside = [url for url in requests if url.startswith("http")]
    return f"{len(outside)} requests, {len(errors)} errors, painted after {paint:.2f} s, all drawn after {drawn:.1f} s"


def _multiply(usual: Path, large: Path) -> Path:
    """Make a study of 300 trials and 1,000 search questions of a smaller one: the same rows under other ids."""
    for name in ("study.json", "result.json"):
        large.mkdir(parents=True, exist_ok=True)
        shutil.copy(usual / name, large / name)
    folder = StudyFolder(large)
    settings = folder.settings()
    trials = load_trials(StudyFolder(usual).database, settings["name"])
    space = read_space(settings["settings"]["composed"])
    log = TrialLog(folder.database, settings["name"], space, directions=["maximize"])
    generator, complete = random.Random(1), [trial for trial in trials if trial.value is not None]
    for number in range(_TRIALS):
        trial = trials[number] if number < len(trials) else generator.choice(complete)
        if trial.value is not None:
            _tile(usual / "rows" / f"{trial.number:04d}.parquet", large / "rows" / f"{number:04d}.parquet")
        log.commit(dataclasses.replace(trial, number=number), None)
    shutil.copytree(usual / "held_out", large / "held_out")
    return large


def _tile(source: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    table = pq.read_table(source)
    copies = -(-_QUESTIONS // table.num_rows)
    tiled = pa.concat_tables([table] * copies).slice(0, _QUESTIONS)
    ids = pa.array([f"q{number}" for number in range(_QUESTIONS)])
    tiled = tiled.set_column(tiled.schema.get_field_index("question_id"), "question_id", ids)
    pq.write_table(tiled.replace_schema_metadata({}), target)
