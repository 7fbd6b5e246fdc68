"""OpenTelemetry traces of a service, where the environment names an endpoint."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from typing import Any

from rag_opt.production.passages import Reply

ENDPOINT_VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


class Tracing:
    """Writes a span for each question with one below it for each stage; does nothing without an endpoint.

    The other variables of OpenTelemetry (`OTEL_SERVICE_NAME`, headers, sampling) hold as they do everywhere. Texts are
    never in a span.
    """

    def __init__(self, name: str) -> None:
        self._tracer: Any = None
        self._provider: Any = None
        if not any(os.environ.get(variable) for variable in ENDPOINT_VARIABLES):
            return
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": name}
        self._provider = TracerProvider(resource=Resource.create(named))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("rag_opt")

    def record(self, path: str, reply: Reply, headers: Mapping[str, str], *, seconds: float) -> None:
        """Write the spans of one question that was just answered; its stages end one after another, now."""
        if self._tracer is None:
            return
        from opentelemetry import propagate, trace

        ended = time.time_ns()
        context = propagate.extract(dict(headers))
        facts = {"rag_opt.passages": len(reply.hits), "rag_opt.refused": reply.refused}
        root = self._tracer.start_span(path, context=context, start_time=ended - round(seconds * 1e9), attributes=facts)
        inside = trace.set_span_in_context(root, context)
        at = ended - sum(round(ms * 1e6) for ms in reply.latency_ms.values() if math.isfinite(ms))
        for stage, ms in reply.latency_ms.items():
            if math.isfinite(ms):  # not where a model failed
                span = self._tracer.start_span(stage, context=inside, start_time=at)
                at += round(ms * 1e6)
                span.end(end_time=at)
        root.end(end_time=ended)

    def close(self) -> None:
        """Send what waits."""
        if self._provider is not None:
            self._provider.shutdown()
