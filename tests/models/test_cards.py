"""What a card says of a model that is not here: how much would have to be downloaded."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from rag_opt.models.embedder_cards import embedder_card_library
from rag_opt.models.encoder import Encoder
from rag_opt.store.values import MemoryValues
from tests.tiny_models import build

ASK = """
from rag_opt.models.embedder_cards import EmbedderCard
card = EmbedderCard(id="some/model", dimensions=8, reads_tokens=16, parameters_millions={millions})
print(card.download_bytes)
"""


class Hub(http.server.BaseHTTPRequestHandler):
    """Knows one model by its files, and serves another to whoever shows the token."""

    folder: Path
    commit = "0123456789abcdef0123456789abcdef01234567"
    tokens: ClassVar[set[str | None]] = set()

    def do_HEAD(self) -> None:
        self.do_GET()

    def _serve(self) -> None:
        """As the hub does: the list of a revision's files, then each of them with its commit and a tag."""
        if self.headers.get("Authorization") != "Bearer let-me-in":
            self.send_response(401)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.tokens.add(self.headers.get("Authorization"))
        names = sorted(path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file())
        path = self.path.partition("?")[0]
        if "/tree/" in path:
            files = [(name, (self.folder / name).read_bytes()) for name in names]
            rows = [{"type": "file", "path": n, "size": len(b), "oid": hashlib.sha1(b).hexdigest()} for n, b in files]
            body, kind = json.dumps(rows).encode(), "application/json"
        elif path.startswith("/api/"):
            siblings = [{"rfilename": name} for name in names]
            facts = {"id": "private/model", "modelId": "private/model", "sha": self.commit, "siblings": siblings}
            body, kind = json.dumps(facts).encode(), "application/json"
        else:
            body = (self.folder / path.split("/resolve/")[1].partition("/")[2]).read_bytes()
            kind = "application/octet-stream"
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Repo-Commit", self.commit)
        self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_GET(self) -> None:
        if "private/model" in self.path:
            self._serve()
            return
        files = {"config.json": 100, "model.safetensors": 2_000_000, "pytorch_model.bin": 9_000_000, "onnx/m.onnx": 7}
        siblings = [{"rfilename": name, "size": size} for name, size in files.items()]
        body = json.dumps({"id": "some/model", "siblings": siblings}).encode()
        self.send_response(200 if "/some/model" in self.path else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def asked(hub: str, folder: Path, *, millions: float | None, offline: bool) -> str:
    environment = {**os.environ, "HF_ENDPOINT": hub, "HF_HOME": str(folder), "HF_HUB_OFFLINE": str(int(offline))}
    script = ASK.format(millions=millions)
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_hub_says_how_much_would_be_downloaded(hub: str, tmp_path: Path) -> None:
    assert asked(hub, tmp_path, millions=22.7, offline=False) == "2000100", "other forms of the weights are left out"


def test_without_a_hub_the_parameters_say_it(hub: str, tmp_path: Path) -> None:
    assert asked(hub, tmp_path, millions=22.7, offline=True) == "90800000"
    assert asked("http://127.0.0.1:9", tmp_path, millions=None, offline=False) == "None"


LOAD = """
import os
from rag_opt.models.embedder_cards import EmbedderCard, infer
from rag_opt.models.encoder import Encoder
from rag_opt.store.values import MemoryValues
for token in ("wrong", "let-me-in"):
    os.environ["HF_TOKEN"] = token
    try:
        print(infer("private/model").dimensions)
    except Exception as error:  # its class is the hub library's; its words are what is tested
        print(str(error).splitlines()[0])
card = EmbedderCard(id="private/model", revision="{commit}", dimensions=32, reads_tokens=64, pooling="mean")
print(Encoder(card, values=MemoryValues()).vectors(["bees"], "query").shape, card.download_bytes, flush=True)
os._exit(0)  # Python would take apart for seconds what was imported
"""


@pytest.mark.integration  # ten seconds, for a process that reads HF_HOME anew
def test_a_model_comes_from_a_mirror_with_a_token_into_hf_home(hub: str, tmp_path: Path) -> None:
    Hub.folder = build(tmp_path / "model", "bert", "mean")
    script = LOAD.format(commit=Hub.commit)
    environment = {**os.environ, "HF_ENDPOINT": hub, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"}
    environment |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    refused, *rest = done.stdout.split("\n")
    assert "private/model is neither in the local cache nor could it be downloaded" in refused
    assert rest[:2] == ["32", "(1, 32) 0"], done.stderr
    assert Hub.tokens == {"Bearer let-me-in"}
    assert list((tmp_path / "home" / "hub" / "models--private--model").rglob("model.safetensors"))


def test_a_folder_of_static_vectors_is_carded_with_licence_and_language(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding
    from tokenizers import Tokenizer as Fast
    from tokenizers import models, pre_tokenizers

    words = Fast(models.WordLevel({"[UNK]": 0, "bees": 1, "make": 2, "honey": 3}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    table = np.random.default_rng(0).normal(size=(4, 24)).astype(np.float32)
    SentenceTransformer(modules=[StaticEmbedding(words, embedding_weights=table), Normalize()]).save(
        str(tmp_path / "m")
    )
    (tmp_path / "m" / "README.md").write_text("---\nlanguage:\n- en\n- de\nlicense: apache-2.0\n---\n# a table\n")
    card = embedder_card_library([]).read(str(tmp_path / "m"))
    assert (card.dimensions, card.licence, card.languages) == (24, "apache-2.0", ["en", "de"])
    assert card.parameters_millions == pytest.approx(96 / 1e6, abs=1e-3)
    assert Encoder(card, values=MemoryValues()).vectors(["bees make honey"], "query").shape == (1, 24)
