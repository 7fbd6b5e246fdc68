"""python -m rag_opt.production.imports BUNDLE OUT: serve a bundle once, and write what was imported for it."""

from __future__ import annotations

import importlib
import os
import resource
import sys
import threading
import time
import urllib.request
from pathlib import Path

import orjson

from rag_opt.models.cards import ModelCard
from rag_opt.production.bundle import Bundle
from rag_opt.production.bundle_reading import load_bundle
from rag_opt.production.model_identities import model_files
from rag_opt.production.requirements import find_distributions
from rag_opt.text.byte_pairs import BytePairFile
from rag_opt.text.tokenizer_names import find_tokenizer
from rag_opt.text.tokens import FileTokenizer

_READY_S = 300
_LATER = (
    "typer",  # reads the command line of `python -m rag_opt.serve`
    "cryptography.hazmat.primitives.asymmetric.ed25519",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.sdk.trace.export",
)


def main(bundle: Path, out: Path, options: list[str]) -> None:
    """Serve the bundle on loopback and ask it; write the megabytes that took, and what was imported, a line each."""
    given: dict[str, list[str]] = {"plugins": [], "allow_code": []}
    for option in options:
        name, _, value = option.partition("=")
        given[name].append(value)
    opened = load_bundle(bundle, plugins=given["plugins"], allow_code=given["allow_code"])
    _serve_once(opened)
    carried = _files_of_models(opened)
    places = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    files = {Path(place) for place in places if place}
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000
    out.write_text("\n".join([str(memory_mb), *find_distributions({*files, *carried})]), encoding="utf-8")


def _serve_once(opened: Bundle) -> None:
    """Answer one question over HTTP, as a service does, and read the metrics. Raises RuntimeError where it cannot."""
    # imported by the command, where a signature is verified, and where an endpoint for traces is configured
    for module in _LATER:
        importlib.import_module(module)

    from rag_opt.production.service.running import build_server
    from rag_opt.production.service.settings import ServiceSettings

    server = build_server(opened, ServiceSettings(), host="127.0.0.1", port=0)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + _READY_S
    while not server.started and thread.is_alive() and time.monotonic() < deadline:
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    required = dict.fromkeys(opened.manifest.requires_filter, "")
    question = orjson.dumps({"question": "Is there anything?", "filters": required})
    path = "retrieve" if opened.spec.uses_llm else "ask"
    while True:
        try:
            _send(port, "metrics", None)
            _send(port, path, question)
            break
        except urllib.error.HTTPError as error:
            if error.code != 503 or time.monotonic() > deadline:
                raise RuntimeError(f"/{path} answered {error.code}: {error.read().decode()}") from None
            time.sleep(0.1)
    server.should_exit = True
    thread.join(30)


def _send(port: int, path: str, body: bytes | None) -> None:
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/{path}", body, headers)
    with urllib.request.urlopen(request, timeout=60) as reply:
        reply.read()


def _files_of_models(opened: Bundle) -> set[Path]:
    """Return files of the models and tokenizers that packages carry: they are read, not imported."""
    found, spec = set[Path](), opened.spec
    if spec.embedding_model is not None:
        found |= _files_of(opened.pipeline.encoder.card)
    for tokenizer in (opened.pipeline.encoder.tokenizer, find_tokenizer(spec.packer.tokenizer)):
        if isinstance(tokenizer, FileTokenizer | BytePairFile):
            found.add(tokenizer.file)
    return found


def _files_of(card: ModelCard) -> set[Path]:
    if card.path is None or not card.path.startswith("package:"):
        return set()
    return {card.folder / name for name in model_files(card.folder)}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
    sys.stdout.flush()
    os._exit(0)  # nothing is left to be done; taking apart what was imported takes seconds
