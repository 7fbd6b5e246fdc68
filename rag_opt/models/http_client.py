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

from rag_opt.core.errors import ServerDown, ServerFailed
from rag_opt.models.event_loop import event_loop, wait_for

if TYPE_CHECKING:
    import httpx

MOST_IN_FLIGHT = 16
_BUSY = {408, 425, 429, 500, 502, 503, 504, 424}
_REFUSED = {401, 402, 403, 404, 405}
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.25, 5.0
_NEVER_REACHED_S = 10.0
_CONNECT_S = 10.0
_TOO_MUCH = {400, 413, 422}

Item = TypeVar("Item")
Done = TypeVar("Done")


class TooMuch(Exception):
    """The server refuses a request as it stands (400, 413, 422): too many texts, one too long, or plainly wrong."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status, self.message = status, message


class HttpClient:
    """One server. `key_variable`: the environment variable with its key; `header_variables`: header -> the variable
    with its value. Proxies and certificates are those of the environment (HTTPS_PROXY, SSL_CERT_FILE) unless a
    `ca_bundle` is given.

    A request that finds the server busy (408, 424, 429, 5xx) or the connection broken is sent again after what
    Retry-After says, or a growing pause, for `patience_s` seconds of trying. Where no request at all is answered for
    `give_up_s` seconds, or for 10 by one that was never reached, it is down: all that wait for it are told so at once.
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
        self._reached = False
        self._good_at = 0.0  # when the last request was answered
        self._bad_since: float | None = None  # since when none was
        self._not_before = self._asked_s = 0.0  # by Retry-After
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
        tried_s, wait_s, place = 0.0, _FIRST_WAIT_S, self.url + path
        while True:
            async with self._free:
                await self._sleep(self._not_before - time.monotonic())
                started = time.monotonic()
                why, pause, reply = await self._tried(method, path, body, each)
            if reply is not None:
                return reply
            tried_s += time.monotonic() - started  # waiting for its turn is nobody's failure
            pause = pause or wait_s * (1 + 0.25 * self._random.random())  # so that many do not come back at once
            self._look_for_silence(why)
            if tried_s + pause > self._patience_s:
                there = "" if self._reached else " (is a server running there?)"
                raise ServerFailed(f"{place} did not answer within {self._patience_s:.0f} seconds{there}; {why}")
            self.retries += 1
            await self._sleep(pause)
            tried_s += pause
            wait_s = min(wait_s * 2, _LONGEST_WAIT_S)

    async def _tried(self, method: str, path: str, body: Any, each: Callable[[], Any] | None) -> tuple[str, float, Any]:
        """One try: (why there is no answer, the pause that was asked for, the answer)."""
        import httpx

        self._check()
        headers, started, place = self._secrets(), time.monotonic(), self.url + path
        self.requests += 1
        try:
            async with each() if each is not None else _unseen() as seen:
                sending = self._client.request(method, place, json=body, headers=headers)
                reply = await self._watched(asyncio.wait_for(sending, self._timeout_s + 1))  # however slowly it drips
                seen(reply)
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise ServerDown(f"{place}: {error} (an address begins with http:// or https://)") from None
        except (httpx.TransportError, TimeoutError) as error:
            self._bad_since = self._bad_since or max(started, self._good_at)
            return f"the last was {type(error).__name__}: {self._clean(str(error))}", 0.0, None
        self._reached = True
        if reply.status_code == 200 and _is_json(reply):
            self._good()
            return "", 0.0, reply.json()
        if reply.status_code != 200 and reply.status_code not in _BUSY:
            self._good()
            raise self._refused(place, reply)
        self._bad_since = self._bad_since or max(started, self._good_at)
        if reply.status_code == 200:
            return f"the last was no JSON: {self._clean(reply.text[:100])!r}", 0.0, None
        asked_s = _asked_to_wait(reply)
        if reply.status_code == 429 and asked_s <= self._patience_s:  # whoever asks now is refused too
            self._not_before, self._asked_s = max(self._not_before, time.monotonic() + asked_s), asked_s
        waits = f" (Retry-After: {asked_s:.0f} seconds)" if asked_s else ""
        return f"the last was {reply.status_code}: {self._clean(said(reply))}{waits}", asked_s, None

    def _good(self) -> None:
        self._good_at, self._bad_since, self._asked_s = time.monotonic(), None, 0.0

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
        if pause > 0:
            await self._watched(asyncio.sleep(pause))
        self._check()

    def _check(self) -> None:
        if self._down:
            raise ServerDown(self._down)

    def _look_for_silence(self, why: str) -> None:
        """Tells all that wait that the server is down, where nothing was answered for too long."""
        if self._bad_since is None or self._down:
            return
        # one that was never reached is more likely not there than busy
        after_s = self._give_up_s if self._reached else min(self._give_up_s, _NEVER_REACHED_S)
        after_s = max(after_s, self._asked_s + 1)  # what it asked for is no silence
        silent_s = time.monotonic() - self._bad_since
        if silent_s < after_s:
            asyncio.get_running_loop().call_later(after_s - silent_s + 0.01, self._look_for_silence, why)
            return
        never = "it never said anything else" if self._reached else "is a server running there?"
        what = "it answered before" if self._good_at else never
        self._down = f"{self.url} answers nothing for {silent_s:.0f} seconds ({what}); {why}"
        for task in list(self._waiting):
            task.cancel()
        # whoever asks later, tries it anew
        asyncio.get_running_loop().call_later(1.0, self._forget)

    def _forget(self) -> None:
        self._down, self._bad_since, self._not_before, self._asked_s = "", None, 0.0, 0.0

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
            if not value.isascii() or not value.isprintable() or value != value.strip():
                what = "holds characters that no header may have (a line end?)"
                raise ServerDown(f"{self.url}: the environment variable {variable} {what}")
            found[header] = f"Bearer {value}" if header == "Authorization" else value
        return found

    def _clean(self, text: str) -> str:
        """The text without any secret that was sent."""
        for variable in self._variables.values():
            value = os.environ.get(variable)
            if value:
                text = text.replace(value, f"${variable}")
        return text

    def _refused(self, place: str, reply: httpx.Response) -> Exception:
        """What a reply means that is not to be asked for again."""
        words = self._clean(said(reply))
        if reply.status_code in _TOO_MUCH:
            return TooMuch(reply.status_code, words)
        kind = ServerDown if reply.status_code in _REFUSED else ServerFailed
        return kind(f"{place} answered {reply.status_code}: {words}")


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
