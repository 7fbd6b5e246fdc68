"""JSON over HTTP to a server of models: few requests at once, patient with a busy server, plain about a broken one."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import random
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, TypeVar

from rag_opt.core.errors import ServerDown, ServerFailed
from rag_opt.core.secrets import mask_variables
from rag_opt.models.circuit_breaker import CircuitBreaker
from rag_opt.models.event_loop import PerLoop, wait_for
from rag_opt.models.http_replies import MOST_BYTES, Json, Reply, TooLarge, read_reply

if TYPE_CHECKING:
    import httpx

Observe = Callable[[Reply], None]

MOST_IN_FLIGHT = 16
_BUSY = {408, 425, 429, 500, 502, 503, 504, 424}
_UNUSABLE = {401, 402, 403, 404, 405}
_TOO_MUCH = {400, 413, 422}
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.25, 5.0
_CONNECT_S = 10.0

Item = TypeVar("Item")
Result = TypeVar("Result")


class TooMuch(Exception):
    """A request refused as it stands (400, 413, 422): too many texts, one too long, or plainly wrong."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status, self.message = status, message


class _Unanswered(Exception):
    """A try that may succeed later, after `pause_s` seconds where the server asked for a pause."""

    def __init__(self, reason: str, pause_s: float = 0.0) -> None:
        super().__init__(reason)
        self.pause_s = pause_s


class HttpClient:
    """Requests to one server.

    `key_variable`: the environment variable with its key; `header_variables`: header -> the variable with its value.
    Proxies and certificates are those of the environment (HTTPS_PROXY, SSL_CERT_FILE) unless a `ca_bundle` is given.

    A request that finds the server busy (408, 424, 429, 5xx) or the connection broken is sent again after the pause
    that Retry-After asks for, or a growing one, for `patience_s` seconds of trying. A server that answers nothing for
    `give_up_s` seconds is down (`CircuitBreaker`). A reply of more than `most_bytes` is not read. `transport` makes
    what stands where the network would.

    Any thread may use it. Connections, queue and counters are touched only in the event loop; a forked process has
    another loop, and there opens connections of its own.
    """

    def __init__(
        self,
        url: str,
        *,
        key_variable: str | None = None,
        headers: Mapping[str, str] | None = None,
        header_variables: Mapping[str, str] | None = None,
        ca_bundle: str | None = None,
        timeout_s: float = 120.0,
        patience_s: float = 120.0,
        give_up_s: float = 100.0,
        most_in_flight: int = MOST_IN_FLIGHT,
        most_bytes: int = MOST_BYTES,
        transport: Callable[[], httpx.AsyncBaseTransport] | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self.most_in_flight = most_in_flight
        self.requests = self.retries = 0
        self._variables = {**(header_variables or {}), **({"Authorization": key_variable} if key_variable else {})}
        self._timeout_s, self._patience_s, self._most_bytes = timeout_s, patience_s, most_bytes
        self._random = random.Random()
        new_session = functools.partial(
            _Session,
            self.url,
            headers={"Accept": "application/json", **(headers or {})},
            ca_bundle=ca_bundle,
            timeout_s=timeout_s,
            give_up_s=max(give_up_s, timeout_s),
            most_in_flight=most_in_flight,
            transport=transport,
        )
        self._sessions = PerLoop(new_session)

    def get(self, path: str) -> Json:
        """Return the reply to a GET request. Raises ServerFailed."""
        return wait_for(self.ask("GET", path, None))

    def post(
        self, path: str, body: object, *, each: Callable[[], AbstractAsyncContextManager[Observe]] | None = None
    ) -> Json:
        """Return the reply to a POST request; `each` as in `ask`.

        Raises TooMuch for a request that should be sent in another form, ServerFailed for everything else.
        """
        return wait_for(self.ask("POST", path, body, each=each))

    def map(self, do: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Yield `do` of every item, in their order; as many run at once as may be in flight."""
        if len(items) == 1:
            yield do(items[0])
            return
        with ThreadPoolExecutor(max_workers=min(self.most_in_flight, max(len(items), 1))) as pool:
            yield from pool.map(do, items)

    async def ask(
        self,
        method: str,
        path: str,
        body: object,
        *,
        each: Callable[[], AbstractAsyncContextManager[Observe]] | None = None,
        hear: Callable[[bytes], None] = lambda _: None,
    ) -> Json:
        """Return the reply to a request; called in the event loop.

        `each` gives a context that surrounds every single try; it yields a function that is shown the reply. `hear` is
        told each part of a good reply as it comes. Raises
        TooMuch for a request that should be sent in another form, ServerDown where the server cannot be used by
        anybody, ServerFailed where this request is not answered.
        """
        session, tried_s, wait_s = self._sessions.get(), 0.0, _FIRST_WAIT_S
        # not tenacity: it counts the time in the queue too, and Retry-After, the early end of a pause and the sum of
        # the time tried would all be callbacks of our own
        while True:
            try:
                async with session.free:
                    await session.breaker.wait_until_allowed()
                    started = time.monotonic()
                    return await self._send(session, method, path, body, each or _observe_nothing, hear)
            except _Unanswered as failure:
                tried_s += time.monotonic() - started  # waiting for its turn is nobody's failure
                # random, so that many requests do not come back at once
                pause_s = failure.pause_s or wait_s * (1 + 0.25 * self._random.random())
                reason = str(failure)
            session.breaker.trip_after_silence(reason)
            if tried_s + pause_s > self._patience_s:
                hint = "" if session.breaker.reached else " (is a server running there?)"
                raise ServerFailed(
                    f"{self.url}{path} did not answer within {self._patience_s:.0f} seconds{hint}; {reason}"
                )
            self.retries += 1
            await session.breaker.sleep(pause_s)
            tried_s += pause_s
            wait_s = min(wait_s * 2, _LONGEST_WAIT_S)

    async def _send(
        self,
        session: _Session,
        method: str,
        path: str,
        body: object,
        each: Callable[[], AbstractAsyncContextManager[Observe]],
        hear: Callable[[bytes], None],
    ) -> Json:
        """Send a request once. Raises _Unanswered where it may be sent again."""
        import httpx

        breaker, url = session.breaker, self.url + path
        breaker.check()
        headers, started = self._secret_headers(), time.monotonic()
        self.requests += 1

        async def send() -> Reply:
            async with asyncio.timeout(self._timeout_s + 1):  # however slowly it drips
                async with session.client.stream(method, url, json=body, headers=headers) as streamed:
                    return await read_reply(streamed, self._most_bytes, hear)

        try:
            async with each() as observe:
                reply = await breaker.watch(send())
                observe(reply)
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise ServerDown(f"{url}: {error} (an address begins with http:// or https://)") from None
        except TooLarge as error:
            breaker.record_success()
            raise ServerFailed(f"{url} {error}") from None
        except (httpx.RequestError, TimeoutError) as error:
            breaker.record_failure(started)
            raise _Unanswered(f"the last was {type(error).__name__}: {self.without_secrets(str(error))}") from None
        breaker.reached = True
        if reply.status == 200 and reply.is_json:
            breaker.record_success()
            return reply.json
        if reply.status != 200 and reply.status not in _BUSY:
            breaker.record_success()
            raise self._refusal(url, reply)
        breaker.record_failure(started)
        raise self._busy(breaker, reply)

    def _busy(self, breaker: CircuitBreaker, reply: Reply) -> _Unanswered:
        if reply.status == 200:
            return _Unanswered(f"the last was no JSON: {self.without_secrets(reply.text[:100])!r}")
        pause_s = reply.retry_after_s
        if reply.status == 429 and pause_s <= self._patience_s:
            breaker.hold_back(pause_s)
        asked = f" (Retry-After: {pause_s:.0f} seconds)" if pause_s else ""
        message = self.without_secrets(reply.error_message)
        return _Unanswered(f"the last was {reply.status}: {message}{asked}", pause_s)

    def _refusal(self, url: str, reply: Reply) -> Exception:
        """Return the error of a request that is not sent again."""
        message = self.without_secrets(reply.error_message)
        if reply.status in _TOO_MUCH:
            return TooMuch(reply.status, message)
        error = ServerDown if reply.status in _UNUSABLE else ServerFailed
        return error(f"{url} answered {reply.status}: {message}")

    def _secret_headers(self) -> dict[str, str]:
        """Return the headers whose values stand in environment variables. Raises ServerDown where one is empty."""
        headers = {}
        for header, variable in self._variables.items():
            value = os.environ.get(variable)
            if not value:
                raise ServerDown(f"{self.url}: the environment variable {variable} should hold its key, but is empty")
            if not value.isascii() or not value.isprintable() or value != value.strip():
                why = "holds characters that no header may have (a line end?)"
                raise ServerDown(f"{self.url}: the environment variable {variable} {why}")
            headers[header] = f"Bearer {value}" if header == "Authorization" else value
        return headers

    @property
    def longest_secret(self) -> int:
        """Length of the longest value that is sent as a secret."""
        return max((len(os.environ.get(name, "")) for name in self._variables.values()), default=0)

    def without_secrets(self, text: str) -> str:
        """Return the text without the keys that were sent: a server may repeat them."""
        return mask_variables(text, self._variables.values())


class _Session:
    """Connections to a server in one event loop, its queue, and what is known of the server."""

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        ca_bundle: str | None,
        timeout_s: float,
        give_up_s: float,
        most_in_flight: int,
        transport: Callable[[], httpx.AsyncBaseTransport] | None,
    ) -> None:
        import ssl

        import httpx

        self.free = asyncio.Semaphore(most_in_flight)
        self.breaker = CircuitBreaker(url, give_up_s=give_up_s)
        self.client = httpx.AsyncClient(
            timeout=httpx.Timeout(timeout_s, connect=min(_CONNECT_S, timeout_s), pool=None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=most_in_flight),
            headers=headers,
            transport=None if transport is None else transport(),
            verify=True if ca_bundle is None else ssl.create_default_context(cafile=ca_bundle),
        )
        weakref.finalize(self, _close, self.client, asyncio.get_running_loop(), os.getpid())


def _close(client: httpx.AsyncClient, loop: asyncio.AbstractEventLoop, process: int) -> None:
    """Close connections where they were opened: a forked process would cut those of its parent."""
    if process == os.getpid() and loop.is_running():
        asyncio.run_coroutine_threadsafe(client.aclose(), loop)


@contextlib.asynccontextmanager
async def _observe_nothing() -> AsyncIterator[Observe]:
    yield lambda reply: None
