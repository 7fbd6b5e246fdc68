"""Metrics of a service in the form of Prometheus."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from rag_opt.production.passages import Reply

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
_SIZES = (1, 2, 4, 8, 16, 32, 64)


class ServiceMetrics:
    """Counters and histograms of one service, in a registry of its own.

    `waiting`, `cache_bytes`: give what they are now; `reused`, `computed`: values by table since the start.
    """

    def __init__(
        self,
        *,
        waiting: Callable[[], int],
        cache_bytes: Callable[[], int],
        reused: Callable[[], Mapping[str, int]],
        computed: Callable[[], Mapping[str, int]],
    ) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "rag_opt_requests", "Requests by path and status.", ["path", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "rag_opt_request_seconds", "Seconds of a request.", ["path"], buckets=_SECONDS, registry=self.registry
        )
        self.stages = Histogram(
            "rag_opt_stage_seconds",
            "Seconds of a stage for one question, its share of its micro-batch.",
            ["stage"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.refusals = Counter("rag_opt_refusals", "Questions that were not answered.", registry=self.registry)
        self.failures = Counter("rag_opt_model_failures", "Questions whose model failed.", registry=self.registry)
        self.feedback = Counter("rag_opt_feedback", "Feedback by thumb.", ["thumb"], registry=self.registry)
        self.batch = Histogram(
            "rag_opt_batch_questions", "Questions of a micro-batch.", buckets=_SIZES, registry=self.registry
        )
        self.wait = Histogram(
            "rag_opt_queue_seconds", "Seconds that a question waited.", buckets=_SECONDS, registry=self.registry
        )
        self.ready = Gauge("rag_opt_ready", "1 once the golden question passed.", registry=self.registry)
        self.registry.register(_Live(waiting, cache_bytes, reused, computed))

    def observe(self, reply: Reply) -> None:
        """Count one reply and the milliseconds of its stages."""
        for stage, ms in reply.latency_ms.items():
            if math.isfinite(ms):  # not where a model failed
                self.stages.labels(stage).observe(ms / 1000)
        if reply.refused:
            self.refusals.inc()

    def text(self) -> bytes:
        """Return all metrics as Prometheus reads them."""
        return generate_latest(self.registry)


class _Live(Collector):
    """Numbers that are read when they are asked for."""

    def __init__(
        self,
        waiting: Callable[[], int],
        cache_bytes: Callable[[], int],
        reused: Callable[[], Mapping[str, int]],
        computed: Callable[[], Mapping[str, int]],
    ) -> None:
        self._waiting, self._cache_bytes, self._reused, self._computed = waiting, cache_bytes, reused, computed

    def collect(self) -> list[GaugeMetricFamily | CounterMetricFamily]:
        """Return the numbers now."""
        cache = CounterMetricFamily("rag_opt_cache_values", "Values of the cache by table.", labels=["table", "result"])
        for result, counts in (("hit", self._reused()), ("miss", self._computed())):
            for table, count in counts.items():
                cache.add_metric([table, result], count)
        waiting = GaugeMetricFamily("rag_opt_queue_questions", "Questions that wait.", value=self._waiting())
        size = GaugeMetricFamily("rag_opt_cache_bytes", "Bytes of what is remembered.", value=self._cache_bytes())
        return [waiting, size, cache]
