"""A bundle whose embedding model another program runs, and the page in a browser (`make integration`)."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import rag_opt
from rag_opt.core.documents import Corpus, Document
from rag_opt.core.questions import Dataset
from rag_opt.models.embedder_cards import EmbedderCards
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.production.bundle_writing import BundleFacts, write_bundle
from rag_opt.production.parity import find_differences
from rag_opt.store.artifacts import Store
from tests.production.bundles import write_asked
from tests.production.service.conftest import serve

pytestmark = pytest.mark.integration
_INFINITY = [
    "--engine",
    "torch",
    "--device",
    "cpu",
    "--no-bettertransformer",
    "--no-model-warmup",
    "--url-prefix",
    "/v1",
]
EVIL = '<img src=x onerror="document.title=\'PWNED\'"><script>document.title="PWNED"</script> **Pumps** run at 40 bar.'


@pytest.fixture
def infinity(builder: PipelineBuilder, tmp_path: Path) -> Iterator[str]:
    """Address of infinity-emb with MiniLM, in an environment of its own: it wants an older NumPy."""
    folder = tmp_path / "infinity"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q"]
    subprocess.run([*pip, "torch==2.13.0"], check=True)
    subprocess.run([*pip, "infinity-emb[server,torch]==0.0.78"], check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    model = str(builder.encoder("minilm").folder)
    command = [
        str(folder / "bin" / "infinity_emb"),
        "v2",
        "--model-id",
        model,
        "--port",
        str(port),
        "--host",
        "127.0.0.1",
    ]
    named = ["--served-model-name", builder.encoder("minilm").card.id]
    with (tmp_path / "infinity.log").open("wb") as log:
        process = subprocess.Popen([*command, *named, *_INFINITY], stdout=log, stderr=log)
    for _ in range(600):
        assert process.poll() is None, (tmp_path / "infinity.log").read_text()[-3000:]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as reply:
                if reply.status == 200:
                    break
        except OSError:
            time.sleep(0.2)
    yield f"http://127.0.0.1:{port}/v1"
    process.terminate()
    process.wait(30)


def test_infinity_runs_the_embedding_model(
    infinity: str, tmp_path: Path, builder: PipelineBuilder, dataset: Dataset, spec: PipelineSpec
) -> None:
    stored = write_asked(tmp_path / "bundle", builder, spec, dataset.questions)
    bundle = rag_opt.load(tmp_path / "bundle", embedder_url=infinity)
    assert find_differences(bundle, stored) == []


def test_the_page_shows_texts_as_texts(tmp_path: Path, cards: EmbedderCards, spec: PipelineSpec) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="the extra `browser` is not installed")
    chromium = Path("/usr/bin/chromium")
    if not chromium.exists():
        pytest.skip("there is no /usr/bin/chromium (Debian's package chromium)")
    corpus = Corpus((Document("evil <b>.md", EVIL),), "en")
    builder = PipelineBuilder(corpus, Store(tmp_path / "store"), cards)
    write_bundle(tmp_path / "bundle", builder, spec, BundleFacts())
    builder.close()
    with (
        serve(rag_opt.load(tmp_path / "bundle"), feedback=tmp_path / "log") as client,
        playwright.sync_playwright() as p,
    ):
        browser = p.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
        page, asked, said = browser.new_page(), list[str](), list[str]()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.goto(str(client.base_url))
        page.fill("#question", "At how many bar do pumps run?")
        page.keyboard.press("Enter")
        page.wait_for_selector("#passages li")
        assert "onerror" in page.inner_text("#passages") and page.query_selector("#passages img") is None
        page.click(".where button")
        page.wait_for_selector("#text mark")
        assert page.query_selector("#text img, #text script, #text b") is None and "PWNED" in page.inner_text("#text")
        page.click("[data-thumb=up]")
        page.wait_for_selector("#thanks:text('Thank you.')")
        assert page.title() == "Ask the documents" and said == []
        assert {url.rstrip("/").rpartition("/")[0] for url in asked} <= {str(client.base_url).rstrip("/"), "http:/"}
        browser.close()
