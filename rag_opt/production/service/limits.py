"""Limits of a service, before any of its own code sees a request: keys, rates, sizes, times."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag_opt.production.service.settings import ServiceSettings

OPEN_PATHS = frozenset({"/", "/page.js", "/page.css", "/healthz", "/readyz", "/metrics", "/openapi.json"})
CALLER = "rag_opt.caller"  # in the scope of a request: whose rate it counts on
_WINDOW_S = 60.0
_CALLERS = 10_000  # whose rate is remembered


class BodyTooLarge(Exception):
    """A body of more bytes than are allowed."""


class RateLimit:
    """Questions a minute by caller: a bucket that fills evenly, and is full after a minute (token bucket)."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = per_minute, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # caller -> tokens, when

    def take(self, caller: str, count: int = 1) -> float:
        """Take so many questions of a caller; return 0, or the seconds until they may be taken."""
        if not self._most:
            return 0.0
        now = self._clock()
        tokens, when = self._buckets.pop(caller, (float(self._most), now))
        tokens = min(self._most, tokens + (now - when) * self._most / _WINDOW_S)
        short = min(count, self._most) - tokens
        self._buckets[caller] = (tokens if short > 0 else tokens - count, now)
        if len(self._buckets) > _CALLERS:
            self._buckets.popitem(last=False)
        return max(0.0, short * _WINDOW_S / self._most)


class Guard:
    """ASGI middleware: refuses what is not allowed, counts what is open, and closes connections while it drains."""

    def __init__(
        self, app: ASGIApp, settings: ServiceSettings, *, observe: Callable[[str, int, float], None] = lambda *_: None
    ) -> None:
        self._app, self._settings, self._observe = app, settings, observe
        self._keys = [hashlib.sha256(key.encode()).digest() for key in settings.keys]
        self.open = 0
        self.draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it; tell its path, status and seconds."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if self.draining:
                    message = {**message, "headers": [*message.get("headers", []), (b"connection", b"close")]}
            await send(message)

        try:
            await self._answer(scope, receive, watched)
        except Exception:  # once answered it was printed too: raised again, it would end a connection that others share
            if not status:
                raise
        finally:
            self._observe(scope["path"], status, time.perf_counter() - started)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        if scope["path"] in OPEN_PATHS and scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)  # whether it lives is answered however busy it is
            return
        if self.open >= self._settings.max_connections:
            await refuse(send, 503, "busy", "too many requests are open", retry_after=1)
            return
        caller = self._find_caller(scope, headers)
        if caller is None and scope["method"] != "OPTIONS":
            more = [(b"www-authenticate", b"Bearer")]
            await refuse(send, 401, "unauthorized", "send one of its keys as Authorization: Bearer …", headers=more)
            return
        if scope["method"] == "POST" and b"json" not in headers.get(b"content-type", b"").lower():
            # a page elsewhere can send a browser's form here, but no JSON without being asked first
            await refuse(send, 415, "not_json", "send JSON, with the header content-type: application/json")
            return
        if _declared_length(headers) > self._settings.max_body_bytes:
            await refuse(send, 413, "too_large", f"a body has at most {self._settings.max_body_bytes} bytes")
            return
        scope[CALLER] = caller
        self.open += 1
        try:
            await self._serve(scope, receive, send)
        finally:
            self.open -= 1

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await asyncio.wait_for(self._read(receive), self._settings.body_timeout_s)
        except BodyTooLarge:
            await refuse(
                send, 413, "too_large", f"a body has at most {self._settings.max_body_bytes} bytes", closes=True
            )
        except TimeoutError:
            within = f"the body did not arrive within {self._settings.body_timeout_s:g} s"
            await refuse(send, 408, "timeout", within, closes=True)
        else:
            await self._app(scope, _replay(body, receive), send)

    async def _read(self, receive: Receive) -> bytes:
        body, more = bytearray(), True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                break
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self._settings.max_body_bytes:
                raise BodyTooLarge
        return bytes(body)

    def _find_caller(self, scope: Scope, headers: dict[bytes, bytes]) -> str | None:
        """Return who asks: the hash of the key that was sent, or without keys the address; None without a right key.

        How long that takes does not depend on which key it is, or how near to one.
        """
        if not self._keys:
            client = scope.get("client")
            return str(client[0]) if client else ""
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        sent = hashlib.sha256(given.strip() if scheme.lower() == b"bearer" else b"").digest()
        right = [hmac.compare_digest(sent, key) for key in self._keys]
        return sent.hex() if True in right else None


def _declared_length(headers: dict[bytes, bytes]) -> int:
    with contextlib.suppress(ValueError):
        return int(headers.get(b"content-length", b"0"))
    return 0


def _replay(body: bytes, receive: Receive) -> Receive:
    """Give a body that was read already, then what comes after it."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def refuse(
    send: Send,
    status: int,
    kind: str,
    what: str,
    *,
    retry_after: float = 0,
    headers: Sequence[tuple[bytes, bytes]] = (),
    closes: bool = False,
) -> None:
    """Answer a request with a refusal. `closes`: the connection, since what it still brings is not read."""
    body = orjson.dumps({"error": {"type": kind, "message": what, "fields": []}})
    told = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *headers]
    if closes:
        told.append((b"connection", b"close"))
    if retry_after:
        told.append((b"retry-after", str(max(1, round(retry_after))).encode()))
    await send({"type": "http.response.start", "status": status, "headers": told})
    await send({"type": "http.response.body", "body": body})
