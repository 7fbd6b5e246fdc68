"""JSON over HTTP to a server of models: few requests at once, patient with a busy one, plain about a broken one."""

from __future__ import annotations

import os
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from rag_opt.errors import ServerFailed

if TYPE_CHECKING:
    import httpx

MOST_IN_FLIGHT = 16
_BUSY = {408, 425, 429, 500, 502, 503, 504, 424}
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.25, 20.0
_NEVER_ANSWERED_S = 10.0
_TOO_MUCH = {400, 413, 422}

Item = TypeVar("Item")
Done = TypeVar("Done")


class TooMuch(Exception):
    """The server refuses a request as it stands (400, 413, 422): too many texts, one too long, or plainly wrong."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status, self.message = status, message


class Endpoint:
    """One server. `key_variable`: the environment variable with its key. Proxies and certificates are those of the
    environment (HTTPS_PROXY, SSL_CERT_FILE).

    A request that finds the server busy (408, 424, 429, 5xx) or the connection broken is sent again after a growing
    pause, or after what Retry-After says, for `patience_s` seconds.
    """

    def __init__(
        self,
        url: str,
        *,
        key_variable: str | None = None,
        timeout_s: float = 120.0,
        patience_s: float = 120.0,
        most_in_flight: int = MOST_IN_FLIGHT,
    ) -> None:
        self.url = url.rstrip("/")
        self.most_in_flight = most_in_flight
        self.requests = self.retries = 0
        self._answered = False
        self._key_variable, self._timeout_s, self._patience_s = key_variable, timeout_s, patience_s
        self._free = threading.BoundedSemaphore(most_in_flight)
        self._random = random.Random()
        self._open: httpx.Client | None = None
        self._opening = threading.Lock()

    def get(self, path: str) -> Any:
        """Raises ServerFailed."""
        return self._asked("GET", path, None)

    def post(self, path: str, body: Any) -> Any:
        """Raises TooMuch for what should be sent in another form, ServerFailed for everything else."""
        return self._asked("POST", path, body)

    def map(self, do: Callable[[Item], Done], items: Sequence[Item]) -> Iterator[Done]:
        """`do` of every item, as many at once as may be in flight, in the order of the items."""
        if len(items) == 1:
            yield do(items[0])
            return
        with ThreadPoolExecutor(max_workers=min(self.most_in_flight, max(len(items), 1))) as pool:
            yield from pool.map(do, items)

    @property
    def _client(self) -> httpx.Client:
        import httpx

        with self._opening:
            if self._open is None:
                self._open = httpx.Client(timeout=self._timeout_s, headers={"Accept": "application/json"})
                weakref.finalize(self, self._open.close)
            return self._open

    def _headers(self) -> dict[str, str]:
        if self._key_variable is None:
            return {}
        key = os.environ.get(self._key_variable)
        if not key:
            raise ServerFailed(
                f"{self.url}: the environment variable {self._key_variable} should hold its key, but is empty"
            )
        return {"Authorization": f"Bearer {key}"}

    def _asked(self, method: str, path: str, body: Any) -> Any:
        import httpx

        headers, begun, wait_s = self._headers(), time.monotonic(), _FIRST_WAIT_S
        deadline = begun + self._patience_s
        while True:
            pause = wait_s
            try:
                with self._free:
                    self.requests += 1
                    reply = self._client.request(method, self.url + path, json=body, headers=headers)
            except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
                raise ServerFailed(f"{self.url}{path}: {error} (an address begins with http:// or https://)") from None
            except httpx.TransportError as error:
                why = f"{type(error).__name__}: {error}"
            else:
                self._answered = True
                if reply.status_code == 200:
                    return _json(self.url + path, reply)
                why = f"{reply.status_code}: {said(reply)}"
                if reply.status_code in _TOO_MUCH:
                    raise TooMuch(reply.status_code, said(reply))
                if reply.status_code not in _BUSY:
                    raise ServerFailed(f"{self.url}{path} answered {why}")
                pause = max(pause, _asked_to_wait(reply))
            pause *= 1 + 0.25 * self._random.random()  # so that many waiting do not come back at once
            # one that never answered is more likely not there than busy
            until = deadline if self._answered else min(deadline, begun + _NEVER_ANSWERED_S)
            if time.monotonic() + pause > until:
                waited_s = time.monotonic() - begun
                what = f"did not answer for {waited_s:.0f} seconds (is a server running there?); the last was {why}"
                raise ServerFailed(f"{self.url}{path} {what}")
            self.retries += 1
            time.sleep(pause)
            wait_s = min(wait_s * 2, _LONGEST_WAIT_S)


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


def _json(place: str, reply: httpx.Response) -> Any:
    try:
        return reply.json()
    except ValueError:
        raise ServerFailed(f"{place} answered something that is not JSON: {reply.text[:100]!r}") from None
