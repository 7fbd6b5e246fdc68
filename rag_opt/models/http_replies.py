"""Replies of servers: the message of an error, the pause that is asked for."""

from __future__ import annotations

import email.utils
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

_LONGEST_MESSAGE = 300  # characters


def is_json(reply: httpx.Response) -> bool:
    """Return whether the body of a reply is JSON."""
    try:
        reply.json()
    except ValueError:
        return False
    return True


def error_message(reply: httpx.Response) -> str:
    """Return the message in the body of an error, in whichever form servers give it."""
    try:
        body = reply.json()
    except ValueError:
        return reply.text.strip()[:_LONGEST_MESSAGE]
    for key in ("error", "message", "detail"):
        inside = body.get(key) if isinstance(body, dict) else None
        if inside:
            return str(inside.get("message", inside) if isinstance(inside, dict) else inside)[:_LONGEST_MESSAGE]
    return str(body)[:_LONGEST_MESSAGE]


def retry_after_s(reply: httpx.Response) -> float:
    """Return the seconds that the header Retry-After asks for, given as a number or a date; 0 where it has none."""
    value = reply.headers.get("retry-after", "")
    try:
        return max(float(value), 0.0)
    except ValueError:
        pass
    try:
        return max(email.utils.parsedate_to_datetime(value).timestamp() - time.time(), 0.0)
    except (TypeError, ValueError):
        return 0.0
