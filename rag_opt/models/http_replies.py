"""Replies of servers: read up to a limit, and turned into plain data whatever they hold."""

from __future__ import annotations

import email.utils
import functools
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    import httpx

MOST_BYTES = 20_000_000  # of a reply, decompressed
_LONGEST_MESSAGE = 300  # characters
_LONGEST_PAUSE_S = 24 * 3600.0
Json = Any  # a reply: whoever reads it checks what it holds


class TooLarge(Exception):
    """A reply that is too large to be read."""


@dataclass(frozen=True)
class Reply:
    """A reply of a server, read whole. Headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @functools.cached_property
    def json(self) -> Json:
        """The body as plain data; raises ValueError where it is no JSON.

        One that was streamed although that was not asked for is put together. Halves of characters become U+FFFD.
        """
        if self.body.lstrip().startswith(b"data:"):
            return _join_stream(self.body)
        return read_json(self.body)

    @property
    def is_json(self) -> bool:
        """Return whether the body is JSON."""
        try:
            _ = self.json
        except ValueError:
            return False
        return True

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    @property
    def error_message(self) -> str:
        """The message in the body of an error, in whichever form servers give it."""
        said = (find_error(self.json) or str(self.json)) if self.is_json else self.text.strip()
        return said[:_LONGEST_MESSAGE]

    @property
    def retry_after_s(self) -> float:
        """Seconds that the header Retry-After asks for, given as a number or a date; 0 where it asks for none."""
        value = self.headers.get("retry-after", "")
        try:
            seconds = float(value)
        except ValueError:
            try:
                seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
            except (TypeError, ValueError, OverflowError):
                return 0.0
        return min(max(seconds, 0.0), _LONGEST_PAUSE_S) if math.isfinite(seconds) else 0.0


async def read_reply(
    streamed: httpx.Response, most_bytes: int = MOST_BYTES, hear: Callable[[bytes], None] = lambda _: None
) -> Reply:
    """Read a reply; `hear` is told each part of a good one as it comes.

    Raises TooLarge, and what httpx raises for a body that is not what its headers say.
    """
    parts, size = list[bytes](), 0
    async for part in streamed.aiter_bytes():
        size += len(part)
        if streamed.status_code == 200:
            hear(part)
        if size > most_bytes:
            raise TooLarge(f"answered more than {most_bytes / 1e6:.0f} MB")
        parts.append(part)
    headers = {name.lower(): value for name, value in streamed.headers.items()}
    return Reply(streamed.status_code, headers, b"".join(parts))


def read_json(content: bytes | str) -> Json:
    """Return plain data of any JSON. Raises ValueError, for what is nested too deeply too."""
    try:
        return orjson.loads(content)
    except ValueError:  # orjson takes no halves of characters and no NaN; Python's own reader does
        pass
    try:
        text = content if isinstance(content, str) else content.decode("utf-8")
        return _repair(json.loads(text))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _repair(data: Json) -> Json:
    """Return the data with U+FFFD for halves of characters, which nothing can store."""
    if isinstance(data, str):
        return data.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    if isinstance(data, list):
        return [_repair(value) for value in data]
    if isinstance(data, dict):
        return {_repair(key): _repair(value) for key, value in data.items()}
    return data


def find_error(body: Json) -> str:
    """Return the words of an error in a body, empty where it holds none."""
    for key in ("error", "message", "detail"):
        inside = body.get(key) if isinstance(body, dict) else None
        if inside:
            return str(inside.get("message", inside) if isinstance(inside, dict) else inside)[:_LONGEST_MESSAGE]
    return ""


def read_delta(line: bytes) -> str:
    """Return the text that one line of a stream adds; empty where it adds none."""
    content = line.partition(b"data:")[2].strip() if line.startswith(b"data:") else b""
    try:
        choices = read_json(content)["choices"] if content not in (b"", b"[DONE]") else []
        piece = choices[0]["delta"]["content"] if choices else ""
    except (ValueError, LookupError, TypeError):
        return ""
    return piece if isinstance(piece, str) else ""


def _join_stream(body: bytes) -> Json:
    """Return the chat completion that the events of a stream make up. Raises ValueError where one is no JSON."""
    text, finish, usage = list[str](), None, None
    for line in body.splitlines():
        content = line.partition(b"data:")[2].strip() if line.startswith(b"data:") else b""
        if not content or content == b"[DONE]":
            continue
        event = read_json(content)
        if find_error(event):
            return event
        choices = event.get("choices") if isinstance(event, dict) else None
        choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
        said = choice.get("delta") or choice.get("message") or {}
        piece = said.get("content") if isinstance(said, dict) else None
        text += [piece] if isinstance(piece, str) else []
        finish = choice.get("finish_reason") or finish
        usage = event.get("usage") or usage if isinstance(event, dict) else usage
    return {"choices": [{"message": {"content": "".join(text)}, "finish_reason": finish}], "usage": usage}
