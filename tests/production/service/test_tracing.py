from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from rag_opt.production.bundle import Bundle
from tests.production.service.conftest import serve

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Receiver(http.server.BaseHTTPRequestHandler):
    """An OTLP receiver over HTTP: keeps what it was sent."""

    kept: list[ExportTraceServiceRequest]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.kept.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[ExportTraceServiceRequest]]:
    Receiver.kept = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield Receiver.kept
    server.shutdown()
    server.server_close()


def test_a_question_is_a_span_with_its_stages_below_it(
    bundle: Bundle, receiver: list[ExportTraceServiceRequest]
) -> None:
    with serve(bundle, name="traced") as client:
        reply = client.post("/ask", json={"question": "What makes dough rise?"}, headers={"traceparent": PARENT})
        assert reply.status_code == 200
    spans = [s for sent in receiver for r in sent.resource_spans for scope in r.scope_spans for s in scope.spans]
    (root,) = [span for span in spans if span.name == "/ask"]
    assert root.trace_id.hex() == PARENT.split("-")[1] and root.parent_span_id.hex() == PARENT.split("-")[2]
    below = {span.name for span in spans if span.parent_span_id == root.span_id}
    assert below == reply.json()["latency_ms"].keys()
    names = {a.key: a.value.string_value for r in receiver[0].resource_spans for a in r.resource.attributes}
    assert names["service.name"] == "traced"
    assert "dough" not in str(receiver), "texts are in no span"
