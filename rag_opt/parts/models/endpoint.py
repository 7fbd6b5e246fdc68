"""JSON over HTTP to a server of models: few requests at once, patient with a busy one, plain about a broken one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from rag_opt.errors import ServerDown, ServerFailed
from rag_opt.parts.models.waiting import event_loop, wait_for

if TYPE_CHECKING:
    import httpx

MOST_IN_FLIGHT = 16
_BUSY = {408, 425, 429, 500, 502, 503, 504, 424}
_REFUSED = {401, 402, 403, 404, 405}
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.25, 5.0
_NEVER_ANSWERED_S = 10.0
_CONNECT_S = 10.0
_TOO_MUCH = {400, 413, 422}

Item = TypeVar("Item")
Done = TypeVar("Done")


class TooMuch(Exception):
    """The server refuses a request as it stands (400, 413, 422): too many texts, one too long, or plainly wrong."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status, self.message = status, message


class Endpoint:
    """One server. `key_variable`: the environment variable with its key; `header_variables`: header -> the variable
    with its value. Proxies and certificates are those of the environment (HTTPS_PROXY, SSL_CERT_FILE) unless a
    `ca_bundle` is given.

    A request that finds the server busy (408, 424, 429, 5xx) or the connection broken is sent again after what
    Retry-After says, or a growing pause, for `patience_s` seconds. Where no request at all is answered for `give_up_s`
    seconds, or for 10 by one that never answered, the server is down: all that wait for it are told so at once.
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
    ) -> None:
        self.url = url.rstrip("/")
        self.most_in_flight = most_in_flight
        self.requests = self.retries = 0
        self._variables = {**(header_variables or {}), **({"Authorization": key_variable} if key_variable else {})}
        self._headers = {"Accept": "application/json", **(headers or {})}
        self._ca_bundle, self._timeout_s, self._patience_s = ca_bundle, timeout_s, patience_s
        self._give_up_s = max(give_up_s, timeout_s)
        self._random = random.Random()
        self._open: httpx.AsyncClient | None = None
        self._free = asyncio.Semaphore(most_in_flight)
        self._answered = False
        self._failing_since: float | None = None
        self._not_before = 0.0
        self._waiting: set[asyncio.Task[Any]] = set()
        self._down = ""

    def get(self, path: str) -> Any:
        """Raises ServerFailed."""
        return wait_for(self.ask("GET", path, None))

    def post(self, path: str, body: Any) -> Any:
        """Raises TooMuch for what should be sent in another form, ServerFailed for everything else."""
        return wait_for(self.ask("POST", path, body))

    def map(self, do: Callable[[Item], Done], items: Sequence[Item]) -> Iterator[Done]:
        """`do` of every item, as many at once as may be in flight, in the order of the items."""
        if len(items) == 1:
            yield do(items[0])
            return
        with ThreadPoolExecutor(max_workers=min(self.most_in_flight, max(len(items), 1))) as pool:
            yield from pool.map(do, items)

    async def ask(self, method: str, path: str, body: Any, *, each: Callable[[], Any] | None = None) -> Any:
        """As `get` and `post`, in the event loop. `each` gives a context that surrounds every single try.

        Raises ServerDown where the server cannot be used by anybody, ServerFailed where this request is not answered.
        """
        begun, wait_s, place = time.monotonic(), _FIRST_WAIT_S, self.url + path
        while True:
            try:
                async with self._free:
                    await asyncio.sleep(max(self._not_before - time.monotonic(), 0))
                    reply = await self._tried(method, path, body, each)
            except _Unanswered as error:
                why, pause = str(error), wait_s
            else:
                if reply.status_code == 200:
                    return reply.json()
                why, pause = self._judged(place, reply), _asked_to_wait(reply) or wait_s
                if reply.status_code == 429:  # whoever asks now is refused too
                    self._not_before = max(self._not_before, time.monotonic() + _asked_to_wait(reply))
            pause *= 1 + 0.25 * self._random.random()  # so that many waiting do not come back at once
            self._failed(why)
            waited_s = time.monotonic() - begun
            if waited_s + pause > self._patience_s:
                there = "" if self._answered else " (is a server running there?)"
                raise ServerFailed(f"{place} did not answer for {waited_s:.0f} seconds{there}; the last was {why}")
            self.retries += 1
            await self._sleep(pause)
            wait_s = min(wait_s * 2, _LONGEST_WAIT_S)

    async def _tried(self, method: str, path: str, body: Any, each: Callable[[], Any] | None) -> httpx.Response:
        """One try. Raises _Unanswered where there is no reply."""
        import httpx

        self._check()
        headers, started = self._secrets(), time.monotonic()
        self.requests += 1
        try:
            async with each() if each is not None else _unseen() as seen:
                reply = await self._watched(self._client.request(method, self.url + path, json=body, headers=headers))
                seen(reply)
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise ServerDown(f"{self.url}{path}: {error} (an address begins with http:// or https://)") from None
        except (httpx.TransportError, TimeoutError) as error:
            if self._failing_since is None:
                self._failing_since = started
            raise _Unanswered(f"{type(error).__name__}: {self._clean(str(error))}") from None
        if reply.status_code == 200 and not _is_json(reply):
            self._failing_since = self._failing_since or started
            raise _Unanswered(f"something that is not JSON: {self._clean(reply.text[:100])!r}")
        if reply.status_code not in _BUSY:
            self._answered, self._failing_since = True, None
        elif self._failing_since is None:
            self._failing_since = started
        return reply

    async def _watched(self, work: Coroutine[Any, Any, Done]) -> Done:
        """The reply, unless the server is found to be down first."""
        task = asyncio.ensure_future(work)
        self._waiting.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            self._check()
            task.cancel()
            raise
        finally:
            self._waiting.discard(task)

    async def _sleep(self, pause: float) -> None:
        """A pause that ends early where the server is found to be down."""
        await self._watched(asyncio.sleep(pause))
        self._check()

    def _check(self) -> None:
        if self._down:
            raise ServerDown(self._down)

    def _failed(self, why: str) -> None:
        """Tells all that wait that the server is down, where nothing was answered for too long."""
        since = self._failing_since
        if since is None or self._down:
            return
        # one that never answered is more likely not there than busy
        after_s = self._give_up_s if self._answered else min(self._give_up_s, _NEVER_ANSWERED_S)
        failing_s = time.monotonic() - since
        if failing_s < after_s:
            asyncio.get_running_loop().call_later(after_s - failing_s + 0.01, self._failed, why)
            return
        what = "is a server running there?" if not self._answered else "it answered before"
        self._down = f"{self.url} answers nothing for {failing_s:.0f} seconds ({what}); the last was {why}"
        for task in list(self._waiting):
            task.cancel()
        # whoever asks later, tries it anew
        asyncio.get_running_loop().call_later(1.0, self._forget)

    def _forget(self) -> None:
        self._down, self._failing_since, self._not_before = "", None, 0.0

    @property
    def _client(self) -> httpx.AsyncClient:
        """Made in the event loop, once."""
        import httpx

        if self._open is None:
            verify: Any = True
            if self._ca_bundle is not None:
                import ssl

                verify = ssl.create_default_context(cafile=self._ca_bundle)
            timeout = httpx.Timeout(self._timeout_s, connect=min(_CONNECT_S, self._timeout_s), pool=None)
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=self.most_in_flight)
            self._open = httpx.AsyncClient(timeout=timeout, limits=limits, headers=self._headers, verify=verify)
            weakref.finalize(self, _close, self._open)
        return self._open

    def _secrets(self) -> dict[str, str]:
        """Headers whose values stand in environment variables. Raises ServerDown where one is empty."""
        found = {}
        for header, variable in self._variables.items():
            value = os.environ.get(variable)
            if not value:
                raise ServerDown(f"{self.url}: the environment variable {variable} should hold its key, but is empty")
            found[header] = f"Bearer {value}" if header == "Authorization" else value
        return found

    def _clean(self, text: str) -> str:
        """The text without any secret that was sent."""
        for variable in self._variables.values():
            value = os.environ.get(variable)
            if value:
                text = text.replace(value, f"${variable}")
        return text

    def _judged(self, place: str, reply: httpx.Response) -> str:
        """What a busy server said. Raises for every reply that is not to be asked for again."""
        words = self._clean(said(reply))
        if reply.status_code in _TOO_MUCH:
            raise TooMuch(reply.status_code, words)
        if reply.status_code in _REFUSED:
            raise ServerDown(f"{place} answered {reply.status_code}: {words}")
        if reply.status_code not in _BUSY:
            raise ServerFailed(f"{place} answered {reply.status_code}: {words}")
        return f"{reply.status_code}: {words}"


class _Unanswered(Exception):
    pass


@contextlib.asynccontextmanager
async def _unseen() -> AsyncIterator[Callable[[httpx.Response], None]]:
    yield lambda reply: None


def _close(client: httpx.AsyncClient) -> None:
    asyncio.run_coroutine_threadsafe(client.aclose(), event_loop())


def _is_json(reply: httpx.Response) -> bool:
    try:
        reply.json()
    except ValueError:
        return False
    return True


def said(reply: httpx.Response) -> str:
    """The message in an error's body, in whichever form it is given."""
    try:
        body = reply.json()
    except ValueError:
        return reply.text.strip()[:300]
    for key in ("error", "message", "detail"):
        inside = body.get(key) if isinstance(body, dict) else None
        if inside:
            return str(inside.get("message", inside) if isinstance(inside, dict) else inside)[:300]
    return str(body)[:300]


def _asked_to_wait(reply: httpx.Response) -> float:
    """Seconds by Retry-After, a number or a date; 0 where it says nothing."""
    given = reply.headers.get("retry-after", "")
    try:
        return max(float(given), 0.0)
    except ValueError:
        pass
    import email.utils

    try:
        return max(email.utils.parsedate_to_datetime(given).timestamp() - time.time(), 0.0)
    except (TypeError, ValueError):
        return 0.0
