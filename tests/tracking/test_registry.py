"""The registry against a real MLflow database, with real bundles."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from rag_opt.core.errors import BadBundle, BadInput, RagOptError
from rag_opt.core.questions import Dataset
from rag_opt.evaluation.non_inferiority import Verdict
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.production.bundle_writing import BundleFacts, write_bundle
from rag_opt.production.comparing import compare_bundles
from rag_opt.production.measured_scores import measure_scores
from rag_opt.production.requirements import write_requirements
from rag_opt.production.stored_questions import HELD_OUT, OBJECTIVE, SEARCH, StoredQuestion
from rag_opt.store.artifacts import write_manifest
from rag_opt.tracking.database import ensure_database
from rag_opt.tracking.registry import list_requirements, promote, register_bundle, rollback
from tests.production.bundles import seen_by_search

# MLflow's own: it warns of itself and leaves connections to the collector
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning",
    "ignore::ResourceWarning",
    "ignore::FutureWarning",
    "ignore::UserWarning:mlflow.*",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)

ROOT = Path(__file__).parent.parent.parent
PINS = "numpy==2.4.6\n"
WriteScored = Callable[..., Path]


def scored(one: StoredQuestion, value: float, part: str) -> StoredQuestion:
    seen = dataclasses.replace(one.seen, scores={OBJECTIVE: value}, part=part, unit=one.seen.id)
    return dataclasses.replace(one, seen=seen)


@pytest.fixture(scope="module")
def stored(
    builder: PipelineBuilder, spec: PipelineSpec, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> list[StoredQuestion]:
    return seen_by_search(builder, spec, dataset.questions, tmp_path_factory.mktemp("seen"))


@pytest.fixture
def write_scored(
    tmp_path: Path, builder: PipelineBuilder, spec: PipelineSpec, stored: list[StoredQuestion]
) -> WriteScored:
    """Write a bundle whose questions scored these values, one for each."""

    def write(
        name: str, values: Sequence[float], *, parts: Sequence[str] = (), requires: str = "", **scores: Any
    ) -> Path:
        parts = parts or [SEARCH] * len(values)
        questions = [scored(*row) for row in zip(stored, values, parts, strict=False)]
        given = {"objective": "evidence", "metrics": measure_scores(questions), **scores}
        facts = BundleFacts(
            study=name,
            trial=3,
            dataset={"name": "tiny", "corpus": "abc"},
            questions=questions,
            scores=given,
            requires_filter=[requires] if requires else [],
        )
        finish = lambda folder: (folder / "requirements.txt").write_text(PINS)  # noqa: E731
        write_bundle(tmp_path / name, builder, spec, facts, finish=finish)
        return tmp_path / name

    return write


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as MLflow makes it, which takes two seconds each time."""
    database = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    ensure_database(f"sqlite:///{database}")
    return database


@pytest.fixture
def uri(tmp_path: Path, empty_database: Path) -> str:
    (tmp_path / "registry").mkdir()
    shutil.copy(empty_database, tmp_path / "registry" / "mlflow.db")
    return f"sqlite:///{tmp_path / 'registry' / 'mlflow.db'}"


def aliases(uri: str) -> dict[str, str]:
    import mlflow

    found = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri).get_registered_model("wiki").aliases
    return {alias: str(version) for alias, version in found.items()}


def test_a_registered_bundle_is_a_typed_model_that_answers(uri: str, write_scored: WriteScored, tmp_path: Path) -> None:
    import mlflow

    bundle = write_scored("study-a", [0.5] * 10, parts=[HELD_OUT] * 10)
    wheel = tmp_path / "rag_opt_search-0.1.0-py3-none-any.whl"
    wheel.write_bytes(b"PK")
    before = mlflow.get_tracking_uri()
    assert register_bundle(bundle, name="wiki", uri=uri, wheel=wheel) == "1"
    assert mlflow.get_tracking_uri() == before, "nothing global was changed"
    assert aliases(uri) == {"challenger": "1"}
    client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
    version = client.get_model_version("wiki", "1")
    assert version.description == (bundle / "README.md").read_text(encoding="utf-8")
    assert version.tags == {
        "rag_opt.study": "study-a",
        "rag_opt.trial": "3",
        "rag_opt.dataset": "tiny",
        "rag_opt.corpus": "abc",
        "rag_opt.objective": "evidence",
        "rag_opt.held_out/objective/value": "0.5000",
    }
    run = client.get_run(version.run_id)
    assert run.info.status == "FINISHED" and run.data.metrics == {"held_out/objective/value": 0.5}
    assert client.get_experiment(run.info.experiment_id).name == "rag_opt registry"
    folder = Path(version.source.removeprefix("file://"))
    assert folder.is_relative_to(tmp_path / "registry" / "mlartifacts")
    assert (folder / "requirements.txt").read_text().splitlines() == list_requirements(bundle, wheel)
    assert (folder / "code" / wheel.name).read_bytes() == b"PK"
    assert not list(folder.rglob("*.pkl"))
    model = mlflow.pyfunc.load_model(str(folder))
    assert model.metadata.signature.inputs.input_names() == ["question", "filters"]
    check_answers(model)
    with pytest.raises(mlflow.exceptions.MlflowException, match="row 1: question Value error, is empty") as refused:
        model.predict([{"question": "What makes dough rise?"}, {"question": " "}])
    assert refused.value.get_http_status_code() == 400
    for filters, said in (('{"nam": "x"}', "did you mean 'name'"), ("{", "filters are no JSON"), ("[]", "filters")):
        with pytest.raises(mlflow.exceptions.MlflowException, match=said):
            model.predict([{"question": "What makes dough rise?", "filters": filters}])


def check_answers(model: Any) -> None:
    """The model answers whatever form its rows have: the example, with and without filters."""
    import pandas as pd

    rows: list[dict[str, object]] = [{"question": "What makes dough rise?"}, {"question": "What makes dough rise?"}]
    rows[1]["filters"] = '{"name": "bees.md"}'
    answers = model.predict(pd.DataFrame(rows))
    assert answers["answer"][0] == "Yeast makes dough rise by giving off carbon dioxide." and not answers["refused"][0]
    first = answers["passages"][0][0]
    assert set(first) == {"document", "start", "end", "text", "score"} and first["document"] == "bread.md"
    assert {passage["document"] for passage in answers["passages"][1]} == {"bees.md"}
    assert model.predict(rows[:1])["answer"][0] == answers["answer"][0]
    assert len(model.predict(model.input_example)) == 1


def test_the_champion_moves_only_to_one_that_is_not_worse(uri: str, write_scored: WriteScored) -> None:
    register_bundle(write_scored("first", [0.7] * 10), name="wiki", uri=uri)
    first = promote("wiki", uri=uri)
    assert (first.before, first.comparison) == (None, None) and aliases(uri) == {"champion": "1"}
    with pytest.raises(BadInput, match="no version with the alias 'challenger'"):
        promote("wiki", uri=uri)
    with pytest.raises(BadInput, match="no previous version"):
        rollback("wiki", uri=uri)

    register_bundle(write_scored("worse", [0.4, 0.6] * 5), name="wiki", uri=uri)
    with pytest.raises(
        BadInput, match="version 2 is not promoted over version 1: the challenger is worse by more than"
    ):
        promote("wiki", uri=uri)
    assert aliases(uri) == {"champion": "1", "challenger": "2"}, "a refusal moves nothing"

    register_bundle(write_scored("scattered", [0.3, 1.0] * 5), name="wiki", uri=uri)
    with pytest.raises(BadInput, match="undecided whether"):
        promote("wiki", uri=uri)
    register_bundle(write_scored("as good", [0.7, 0.69] * 5), name="wiki", uri=uri)
    promotion = promote("wiki", uri=uri)
    assert (promotion.version, promotion.before) == ("4", "1")
    assert promotion.comparison is not None and promotion.comparison.verdict is Verdict.NOT_WORSE
    assert "not worse by more than 2.0 points: -0.5 points" in promotion.describe()
    assert aliases(uri) == {"champion": "4", "previous": "1"}
    assert rollback("wiki", uri=uri).version == "1" and aliases(uri) == {"champion": "1", "previous": "4"}
    assert rollback("wiki", uri=uri).version == "4", "done twice, it is undone"


def test_force_promotes_and_the_reason_stays_with_the_version(uri: str, write_scored: WriteScored) -> None:
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
    register_bundle(write_scored("first", [0.7] * 10), name="wiki", uri=uri)
    promote("wiki", uri=uri)
    register_bundle(write_scored("worse", [0.4] * 10), name="wiki", uri=uri)
    assert "by force: the challenger is worse" in promote("wiki", uri=uri, force=True).describe()
    assert "by force" in client.get_model_version("wiki", "2").tags["rag_opt.promoted"]
    register_bundle(write_scored("other", [0.9] * 10, objective="rouge"), name="wiki", uri=uri)
    with pytest.raises(BadBundle, match="optimised for `rouge` and the champion for `evidence`"):
        promote("wiki", uri=uri)
    assert promote("wiki", uri=uri, force=True).comparison is None
    assert aliases(uri) == {"champion": "3", "previous": "2"}


def test_what_cannot_be_registered_is_refused(uri: str, write_scored: WriteScored, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"wiki: is no registered model$"):
        promote("wiki", uri=uri)
    with pytest.raises(BadBundle, match="is not a bundle"):
        register_bundle(tmp_path, name="wiki", uri=uri)
    bundle = write_scored("study", [0.5] * 10, requires="name")
    with pytest.raises(BadInput, match=r"wheel: .* is not there"):
        register_bundle(bundle, name="wiki", uri=uri, wheel=tmp_path / "no.whl")
    with pytest.raises(RagOptError, match=r"MLflow at sqlite:.* refused"):
        register_bundle(bundle, name="no/such:name", uri=uri)
    register_bundle(bundle, name="wiki", uri=uri)
    with pytest.raises(BadInput, match="wik: is no registered model; there are: wiki"):
        rollback("wik", uri=uri)
    (bundle / "requirements.txt").write_text("touched")
    with pytest.raises(BadBundle, match=r"requirements\.txt has changed"):
        register_bundle(bundle, name="wiki", uri=uri)


def test_bundles_are_compared_on_what_neither_search_saw(write_scored: WriteScored) -> None:
    halves = [HELD_OUT] * 5 + [SEARCH] * 5
    flattered = write_scored("flattered", [0.4, 0.45] * 2 + [0.4] + [1.0] * 5, parts=halves)
    champion = write_scored("champion", [0.7] * 10, parts=halves)
    result = compare_bundles(flattered, champion).comparison
    assert result.verdict is Verdict.WORSE and (result.questions, result.asked) == (
        5,
        "held out from both searches",
    )
    some = write_scored("some", [0.7] * 10, parts=[HELD_OUT] * 4 + [SEARCH] * 6)
    result = compare_bundles(some, champion).comparison
    assert result.is_not_worse and result.questions == 10
    assert "also those that a search chose by" in result.describe() and "4 in 4 clusters" in result.describe()


def test_bundles_that_cannot_be_compared_are_refused(write_scored: WriteScored) -> None:
    champion = write_scored("champion", [0.7] * 10)
    with pytest.raises(BadBundle, match=r"have 4 questions in common \(the challenger stores 4, the champion 10\)"):
        compare_bundles(write_scored("few", [0.7] * 4), champion)
    with pytest.raises(BadBundle, match="maximised in one bundle and minimised in the other"):
        compare_bundles(write_scored("lower", [0.7] * 10, direction="minimize"), champion)
    with pytest.raises(BadBundle, match="does not say which objective"):
        compare_bundles(write_scored("unsaid", [0.7] * 10, objective=None), champion)
    lower = [write_scored(f"lower {value}", [value] * 10, direction="minimize") for value in (0.3, 0.6)]
    assert compare_bundles(*lower).comparison.gain.mean == pytest.approx(0.3), "of what is minimised, less is better"


def test_the_same_question_is_found_by_its_quote_whatever_its_id_and_offsets(
    write_scored: WriteScored,
) -> None:
    champion, moved = write_scored("champion", [0.7] * 10), write_scored("moved", [0.7] * 10)
    lines = [orjson.loads(line) for line in (moved / "questions.jsonl").read_bytes().splitlines()]
    seen = [orjson.loads(line) for line in (moved / "seen.jsonl").read_bytes().splitlines()]
    for number, (line, one) in enumerate(zip(lines, seen, strict=True)):
        line["id"] = one["id"] = f"renamed {number}"
        for place in (place for need in line.get("evidence", []) for place in need):
            place["start"], place["end"] = place["start"] + 7, place["end"] + 7
    lines[0]["question"] += " Really?"
    for name, content in (("questions.jsonl", lines), ("seen.jsonl", seen)):
        (moved / name).write_bytes(b"".join(orjson.dumps(one) + b"\n" for one in content))
    manifest = orjson.loads((moved / "manifest.json").read_bytes())
    write_manifest(moved, manifest)
    assert compare_bundles(moved, champion).comparison.questions == 9


SERVE_S = 120


@pytest.fixture
def served_model(
    tmp_path: Path, uri: str, builder: PipelineBuilder, spec: PipelineSpec, stored: list[StoredQuestion]
) -> Iterator[str]:
    """Address of `mlflow models serve` in a fresh environment that has the model's requirements and nothing else."""
    import mlflow

    def pin(folder: Path) -> None:
        write_requirements(folder)

    facts = BundleFacts(questions=stored, scores={"objective": "evidence"})
    write_bundle(tmp_path / "bundle", builder, spec, facts, finish=pin)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist"), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    register_bundle(tmp_path / "bundle", name="wiki", uri=uri, wheel=wheel)
    client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
    version = client.get_model_version_by_alias("wiki", "challenger").version
    source = client.get_model_version_download_uri("wiki", version).removeprefix("file://")
    model = str(shutil.copytree(source, tmp_path / "model"))
    fresh = tmp_path / "fresh"
    subprocess.run([sys.executable, "-m", "venv", fresh], check=True)
    install = [str(fresh / "bin" / "pip"), "install", "-q", "--no-deps", "-r", "requirements.txt"]
    subprocess.run(install, cwd=model, check=True, capture_output=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(fresh / "bin" / "mlflow"), "models", "serve", "-m", model, "--env-manager", "local", "-p", str(port)]
    variables = {"PATH": f"{fresh / 'bin'}:{os.defpath}", "HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    with (tmp_path / "serve.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=tmp_path, env=variables, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + SERVE_S
        while not is_up(port):
            assert server.poll() is None and time.monotonic() < deadline, (tmp_path / "serve.log").read_text()
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def is_up(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def post(address: str, body: object) -> Any:
    request = urllib.request.Request(address, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as reply:
        return json.load(reply)


@pytest.mark.integration
def test_mlflow_serves_it_in_a_fresh_environment(served_model: str, tmp_path: Path) -> None:
    installed = {path.name.partition("-")[0] for path in (tmp_path / "fresh").glob("lib/*/site-packages/*.dist-info")}
    assert not installed & {"mlflow", "optuna", "ragas", "hydra_core", "chromadb"}, "mlflow_skinny serves it"
    rows = [{"question": "What makes dough rise?"}, {"question": "What is it?", "filters": '{"name": "bees.md"}'}]
    first, second = post(served_model, {"dataframe_records": rows})["predictions"]
    assert first["answer"] == "Yeast makes dough rise by giving off carbon dioxide." and first["refused"] is False
    assert first["passages"][0]["document"] == "bread.md" and "Yeast" in first["passages"][0]["text"]
    assert {passage["document"] for passage in second["passages"]} == {"bees.md"}
    with pytest.raises(urllib.error.HTTPError) as refused:
        post(served_model, {"dataframe_records": [{"question": " "}]})
    with refused.value as reply:
        assert reply.code == 400 and "is empty" in json.load(reply)["message"]
