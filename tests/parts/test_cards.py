"""What a card says of a model that is not here: how much would have to be downloaded."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

ASK = """
from rag_opt.parts.embedders.cards import Card
card = Card(id="some/model", dimensions=8, reads_tokens=16, parameters_millions={millions})
print(card.download_bytes)
"""


class Hub(http.server.BaseHTTPRequestHandler):
    """Knows one model, by its files."""

    def do_GET(self) -> None:
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
    threading.Thread(target=server.serve_forever, daemon=True).start()
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
