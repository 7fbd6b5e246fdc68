"""The report of a real search: its numbers are those on disk, it asks nobody for anything, texts can be left out."""

from __future__ import annotations

import base64
import csv
import gzip
import re
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import lxml.html
import orjson
import pytest

from rag_opt.report.page import MOST_BYTES
from rag_opt.report.study import Study
from tests.cli.conftest import Command


@pytest.fixture(scope="module")
def reported(command: Command, tiny: list[str], workplace: Path) -> Path:
    done = command("search", *tiny, "study.name=reported", "study.trials=10")
    assert done.returncode == 0, done.stderr
    assert "outputs/reported/report.html" in done.stdout, done.stdout
    return workplace / "outputs" / "reported"


def _page(path: Path) -> Any:
    return lxml.html.fromstring(path.read_text(encoding="utf-8"))


def _data(page: Any) -> dict[str, Any]:
    packed = page.get_element_by_id("data").text
    loaded: dict[str, Any] = orjson.loads(gzip.decompress(base64.b64decode(packed)))
    return loaded


def test_every_number_of_the_first_screen_is_the_one_on_disk(reported: Path) -> None:
    page, study = _page(reported / "report.html"), Study(reported)
    result = study.result
    assert result is not None
    shown = {
        one.get("data-number"): float(one.get("data-value")) for one in page.iter("span", "p") if one.get("data-number")
    }
    assert {"expected_gain", "gain.mean", "indistinguishable", "tried"} <= {*shown} or result["winner"] == result[
        "baseline"
    ]
    means = result["held_out_means"]
    for name, value in shown.items():
        metric, _, trial = name.partition("@")
        known = {
            "expected_gain": lambda: result["expected_gain"],
            "indistinguishable": lambda: len(result["indistinguishable"]),
            "tried": lambda: result["tried"],
            "objective": lambda trial=trial: means[trial],
            "searched": lambda trial=trial: result["searched_means"][trial],
        }
        if metric.startswith("gain."):
            assert value == result["gain"][metric.removeprefix("gain.")]
        elif metric in known:
            assert value == known[metric]()
        else:
            assert value == result["metrics"][trial][metric]
    rows = study.rows(result["winner"], held_out=True)
    scored = [row["objective/value"] for row in rows if row["objective/value"] is not None]
    assert shown[f"objective@{result['winner']}"] == pytest.approx(sum(scored) / len(scored))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning")
def test_the_first_screen_says_what_the_database_and_mlflow_say(
    command: Command, tiny: list[str], workplace: Path
) -> None:
    import mlflow

    done = command(
        "search", *tiny[:-1], "outputs=numbers", "study.name=numbers", "study.trials=8", MLFLOW_TRACKING_URI=""
    )
    assert done.returncode == 0, done.stderr
    folder = workplace / "numbers" / "numbers"
    page, study = _page(folder / "report.html"), Study(folder)
    shown = {
        one.get("data-number"): float(one.get("data-value")) for one in page.iter("span", "p") if one.get("data-number")
    }
    values = {trial.number: trial.value for trial in study.trials}
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{workplace}/numbers/mlflow.db")
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    runs = {
        run.data.tags.get("rag_opt.trial_uid", "study").rpartition("/")[2]: run.data.metrics
        for run in client.search_runs([experiment.experiment_id], "tags.`rag_opt.role` != 'evaluation'")
    }
    parent, compared = runs["study"], 0
    for name, value in shown.items():
        metric, _, trial = name.partition("@")
        if metric == "searched":
            assert value == values[int(trial)] == runs[trial]["objective/value"]
        elif metric.startswith("gain."):
            assert value == parent[f"gain/{metric.removeprefix('gain.')}"]
        elif metric == "expected_gain":
            assert value == parent["gain/expected"]
        elif "/" in metric:
            assert value == runs[trial][f"held_out/{metric}"], name
        else:
            continue
        compared += 1
    assert compared >= 10


def test_the_page_opens_offline_and_stays_small(reported: Path) -> None:
    content = (reported / "report.html").read_text(encoding="utf-8")
    assert len(content.encode()) < MOST_BYTES
    ours = re.sub(r'<script type="application/octet-stream".*?</script>', "", content, flags=re.DOTALL)
    assert not re.search(r"(?:src|href)\s*=\s*[\"']?(?:https?:)?//|@import|url\(", ours)


def test_the_page_has_what_its_questions_were_answered_with(reported: Path) -> None:
    data, study = _data(_page(reported / "report.html")), Study(reported)
    assert study.result is not None
    assert data["shown"][0] == study.result["winner"] and len(data["trials"]) == len(study.trials)
    (pipeline, *_) = data["pipelines"]
    assert len(pipeline["rows"]) == len(data["questions"]) == 10
    question = next(one for one in data["questions"].values() if one["evidence"])
    _, kind, document, start, end = question["evidence"][0]
    texts = data["passages"][0][document]
    first, text = next((first, text) for first, text in texts if first <= start and end <= first + len(text))
    assert (
        kind == "span"
        and text[start - first : end - first] in (reported.parents[1] / "data/docs" / document).read_text()
    )
    assert all(row["o"] in data["outcomes"] for row in pipeline["rows"].values())


def test_a_comparison_and_a_table_are_files_of_their_own(reported: Path, command: Command, tmp_path: Path) -> None:
    trials = [trial.number for trial in Study(reported).trials if trial.value is not None][-2:]
    done = command("report", "outputs/reported", "--compare", *map(str, trials))
    assert done.returncode == 0, done.stderr
    page = reported / f"compare-{trials[0]}-{trials[1]}.html"
    assert [one["n"] for one in _data(_page(page))["pipelines"]] == trials
    assert "there is no complete trial 99" in command("report", "outputs/reported", "--compare", "0", "99").stderr
    table = tmp_path / "trials.csv"
    assert command("report", "outputs/reported", "--csv", str(table)).returncode == 0
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["value"]) for row in rows if row["value"]] == [t.value for t in Study(reported).trials if t.value]


def test_a_report_without_texts_is_complete_in_figures(reported: Path, tmp_path: Path) -> None:
    from rag_opt.report.contents import open_contents
    from rag_opt.report.page import render_page

    content = render_page(open_contents(reported), None, texts=False)
    (tmp_path / "report.html").write_text(content)
    page = _page(tmp_path / "report.html")
    data = _data(page)
    everything = orjson.dumps(data).decode() + content
    assert "waggle" not in everything and "honey" not in everything.casefold()
    assert not any(hit[5] for one in data["pipelines"] for row in one["rows"].values() for hit in row["hits"])
    assert len(data["pipelines"][0]["rows"]) == 10 and page.get_element_by_id("trials") is not None
    assert "tracking.content leaves them out" in content


def test_a_search_that_runs_tells_where_it_stands_and_ends_when_it_is_asked(
    command: Command, tiny: list[str], workplace: Path
) -> None:
    refused = command("report", "outputs/reported", "--finish")
    assert refused.returncode == 2 and "no search runs" in refused.stderr
    search = command.start("search", *tiny, "study.name=live", "study.trials=400")
    folder = workplace / "outputs" / "live"
    deadline = time.monotonic() + 90
    while not (folder / "rows" / "0003.parquet").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    status = command("report", "outputs/live", "--status").stdout
    assert "live: the search goes on" in status and "best so far" in status
    asked = command("report", "outputs/live", "--finish")
    if asked.returncode:  # it had ended by itself
        search.send_signal(signal.SIGTERM)
    done = search.finish()
    assert done.returncode == 0, done.stderr
    assert "a person asked for the end" in done.stdout and (folder / "result.json").exists()
    assert len(Study(folder).trials) < 400


@pytest.mark.integration
def test_the_page_works_in_a_browser_without_any_request(reported: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install '.[browser]'")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs Chromium: apt install chromium")
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_context(viewport={"width": 1280, "height": 720}, offline=True).new_page()
        errors, requests = list[str](), list[str]()
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto((reported / "report.html").as_uri())
        page.wait_for_function("document.documentElement.dataset.drawn === 'true'")
        bottom = page.locator("#winner .cards").evaluate("element => element.getBoundingClientRect().bottom")
        assert bottom <= 720, "the first screen does not fit"
        page.select_option("#which", "all")
        assert page.locator("#list tbody tr").count() == 10
        page.fill("#words", "danube")
        assert page.locator("#list tbody tr").count() == 1
        page.locator("#list tbody tr").first.focus()
        page.keyboard.press("Enter")
        assert page.locator("#detail mark").count() > 0 and page.locator("#detail .side").count() == 2
        page.select_option("#left", index=1)
        assert "wins" in page.locator("#score").inner_text()
        page.click("#theme")
        for chart in ("history", "importance", "effects", "parallel", "heat", "front", "stages"):
            assert page.locator(f"#chart-{chart} svg").count() > 0, chart
        browser.close()
    assert not errors and all(url.startswith(("file:", "blob:", "data:")) for url in requests)


@pytest.mark.filterwarnings(  # MLflow's own
    "ignore::DeprecationWarning",
    "ignore::ResourceWarning",
    "ignore::FutureWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)
def test_a_study_and_a_document_are_forgotten(command: Command, tiny: list[str], workplace: Path) -> None:
    import mlflow

    where = ["outputs=forgotten", "study.name=gone"]
    done = command("search", *tiny[:-1], *where, "study.trials=4", MLFLOW_TRACKING_URI="")
    assert done.returncode == 0, done.stderr
    outputs = workplace / "forgotten"
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{outputs}/mlflow.db")
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None and len(client.search_runs([experiment.experiment_id])) > 4
    assert client.search_traces(locations=[experiment.experiment_id], max_results=5)

    namesake = client.create_run(experiment.experiment_id, tags={"rag_opt.study": "gone", "rag_opt.study_uid": "other"})
    document = command("store", "forget", "--document", "bees.md", "--store", "forgotten/store")
    assert document.returncode == 0, document.stderr
    assert "gone holds answers and passages of bees.md" in " ".join(document.stdout.split())
    left = b"".join(path.read_bytes() for path in (outputs / "store").rglob("*") if path.is_file())
    assert b"waggle" not in left

    study = command("store", "forget", "--study", "forgotten/gone", "--store", "forgotten/store")
    assert study.returncode == 0, study.stderr
    assert not (outputs / "gone").exists()
    (left_run,) = client.search_runs([experiment.experiment_id], run_view_type=3)  # of any stage
    assert left_run.info.run_id == namesake.info.run_id  # somebody else's study of the same name
    assert not client.search_traces(locations=[experiment.experiment_id], max_results=5)
    again = client.get_experiment_by_name("tiny")
    assert again is not None and not [tag for tag in again.tags if "sharedViewState" in tag]
    texts = [p for p in outputs.rglob("*") if p.is_file() and b"waggle" in p.read_bytes()]
    assert not texts
