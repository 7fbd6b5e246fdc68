"""Booking of calls: one try of a request that is paid for."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable

from rag_opt.models.http_client import Observe
from rag_opt.models.http_replies import Reply
from rag_opt.models.llm.budget import BudgetTracker, Usage


@contextlib.asynccontextmanager
async def book_call(
    tracker: BudgetTracker, who: str, model: str, *, most_usd: float, cost: Callable[[Reply, float], Usage]
) -> AsyncIterator[Observe]:
    """Surround one try, and yield the function that is shown its reply.

    `cost` gives what a reply costs after so many seconds. A try that was not sent costs nothing; one that was not
    answered the most it can, since it may well be answered and billed, only not to us. Raises BudgetSpent instead of
    letting it be sent.
    """
    import httpx

    async with tracker.call(who, model, most_usd=most_usd) as end:
        started = time.perf_counter()

        def observe(reply: Reply) -> None:
            end(str(reply.status), cost(reply, time.perf_counter() - started))

        try:
            yield observe
        except (httpx.ConnectError, httpx.ConnectTimeout):
            end("not sent", Usage())
            raise
        except BaseException:
            end("unanswered", Usage(usd=most_usd))
            raise
