"""Running a service: sockets, signals, and an end that cuts off no request."""

from __future__ import annotations

import asyncio
import math
import select
import signal
import socket
import threading
import time
from types import FrameType
from typing import Any

import uvicorn

from rag_opt.production.bundle import Bundle
from rag_opt.production.service.app import Service
from rag_opt.production.service.settings import ServiceSettings

_MOST_ACCEPTED_S, _LATE_S = 5.0, 1.0


class _Server(uvicorn.Server):
    """Ends in two steps: it tells callers to go elsewhere, then stops accepting and finishes what was begun."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain at the first signal, stop accepting a little later; end at once at the second."""
        if self._service.guard.draining:
            self._captured_signals.append(sig)
            self.should_exit = True
            self.force_exit = sig == signal.SIGINT
            return
        self._service.guard.draining = True
        threading.Timer(self._service.settings.drain_s, self._stop, [sig]).start()

    def _stop(self, sig: int) -> None:
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting when nobody waits to be accepted, answer those who connected last, then end."""
        listening = [one for server in self.servers for one in server.sockets]
        deadline = time.monotonic() + _MOST_ACCEPTED_S
        # whoever the system has connected, and we have not accepted, would be cut off by closing
        while select.select(listening, [], [], 0)[0] and time.monotonic() < deadline:
            await asyncio.sleep(0)
        for server in self.servers:
            server.close()
        await asyncio.sleep(_LATE_S)  # a connection without a request would be closed: its request is on the way
        await super().shutdown(sockets)


def build_server(bundle: Bundle, settings: ServiceSettings, *, host: str, port: int) -> uvicorn.Server:
    """Return a server that is not running yet."""
    service = Service(bundle, settings)
    options: dict[str, Any] = {
        "log_level": "warning",
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,
    }
    config = uvicorn.Config(
        service.guard,
        host=host,
        port=port,
        lifespan="on",
        backlog=2048,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=math.ceil(settings.timeout_s) + 1,
        h11_max_incomplete_event_size=64_000,
        **options,
    )
    return _Server(config, service)


def run_service(bundle: Bundle, settings: ServiceSettings, *, host: str, port: int) -> None:
    """Serve until a signal ends it."""
    build_server(bundle, settings, host=host, port=port).run()
