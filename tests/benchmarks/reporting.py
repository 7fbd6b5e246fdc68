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

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from rag_opt.report.contents import open_contents
from rag_opt.report.page import MOST_BYTES, PAGE, render_page
from rag_opt.setup.builtins import load_built_in
from rag_opt.study.folder import StudyFolder, write_json
from rag_opt.study.space.composed import read_space
from rag_opt.study.trials import TrialLog, load_trials

_TRIALS, _QUESTIONS, _CHILDREN, _PORT = 300, 1000, 200, 5123
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


def _multiply(usual: Path, large: Path, *, trials: int = _TRIALS) -> Path:
    """Make a study of many trials and 1,000 search questions of a smaller one: the same rows under other ids."""
    for name in ("study.json", "result.json"):
        large.mkdir(parents=True, exist_ok=True)
        shutil.copy(usual / name, large / name)
    folder = StudyFolder(large)
    settings = folder.settings()
    known = load_trials(StudyFolder(usual).database, settings["name"])
    space = read_space(settings["settings"]["composed"])
    log = TrialLog(folder.database, settings["name"], space, directions=["maximize"])
    generator, complete = random.Random(1), [trial for trial in known if trial.value is not None]
    for number in range(trials):
        trial = known[number] if number < len(known) else generator.choice(complete)
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


def open_mlflow() -> list[tuple[str, str, str]]:
    """Return how long 200 trials take to be written to MLflow, and its table and charts of them to open."""
    from rag_opt.tracking.outbox import Outbox
    from rag_opt.tracking.views import VIEWS
    from rag_opt.tracking.worker import Delivery

    load_built_in(["objectives"])
    with tempfile.TemporaryDirectory() as place:
        outputs = Path(place) / "outputs"
        command = [sys.executable, "-m", "rag_opt.search", "study.name=usual", f"outputs={outputs}", "study.trials=12"]
        subprocess.run(command, check=True, capture_output=True)
        large = _multiply(outputs / "usual", outputs / "large", trials=_CHILDREN)
        known = StudyFolder(large).settings()
        write_json(large / "study.json", {**known, "uid": "large"})  # a study of its own
        outbox = Outbox(StudyFolder(large))
        for trial in load_trials(StudyFolder(large).database, known["name"]):
            outbox.trial_finished(trial, 0)
        started = time.perf_counter()
        Delivery(StudyFolder(large)).deliver_waiting()
        written = time.perf_counter() - started
        opened = _open_views(outputs, orjson.loads((large / VIEWS).read_bytes()))
    told = "; ".join(f"{name} {seconds:.1f} s" for name, seconds in opened.items()) or "no Chromium"
    return [
        (f"MLflow: {_CHILDREN} trials written", f"{written:.1f} s", ""),
        (f"MLflow: {_CHILDREN} trials open", told, "table and charts within 5 s"),
    ]


def _open_views(outputs: Path, views: dict[str, str]) -> dict[str, float]:
    """Return by view the seconds until a browser shows its runs; the page was loaded once before."""
    import httpx
    from playwright.sync_api import sync_playwright

    base = f"http://127.0.0.1:{_PORT}"
    database = f"sqlite:///{outputs / 'mlflow.db'}"
    with subprocess.Popen(
        [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", database, "--port", str(_PORT)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        for _ in range(120):
            try:
                if httpx.get(f"{base}/health", timeout=2).is_success:
                    break
            except httpx.HTTPError:
                time.sleep(0.5)
        opened = {}
        with sync_playwright() as engine:
            browser = engine.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            tab = browser.new_context(viewport={"width": 1500, "height": 900}).new_page()
            for name, shown in (
                ("table", "text=/^t0\\d+ /"),
                ("table", "text=/^t0\\d+ /"),
                ("charts", ".js-plotly-plot"),
            ):
                tab.goto("about:blank")
                started = time.perf_counter()
                tab.goto(f"{base}/{views[name]}")
                tab.wait_for_selector(shown, timeout=60_000)
                opened[name] = time.perf_counter() - started
            browser.close()
        server.terminate()
    return opened
