"""What a service does with a question: admit it, ask the bundle, count, remember, trace."""

from __future__ import annotations

import asyncio
import functools
import secrets
import sys
import time
from collections.abc import Sequence
from typing import NoReturn

from fastapi import Request

from rag_opt.core.errors import BadInput, ServerFailed
from rag_opt.core.questions import Question
from rag_opt.production.bundle import Bundle
from rag_opt.production.passages import Reply
from rag_opt.production.service import wire
from rag_opt.production.service.feedback import FeedbackLog
from rag_opt.production.service.limits import CALLER, RateLimit
from rag_opt.production.service.memory import release_free_memory
from rag_opt.production.service.metrics import ServiceMetrics
from rag_opt.production.service.question_queue import QuestionQueue, QueueFull
from rag_opt.production.service.readiness import warm_up
from rag_opt.production.service.refusals import refusal
from rag_opt.production.service.settings import ServiceSettings
from rag_opt.production.service.tracing import Tracing

_SERVER_DOWN = "a server that this pipeline needs does not answer now"
_RELEASED_EVERY_S = 2  # 3,000 questions leave 40 MB behind


class Answering:
    """A bundle that answers what was admitted: its queue, metrics, feedback, rates and traces."""

    def __init__(self, bundle: Bundle, settings: ServiceSettings) -> None:
        self.bundle, self.settings = bundle, settings
        values = bundle.pipeline.values
        self.metrics = ServiceMetrics(
            waiting=lambda: len(self.queue),
            cache_bytes=lambda: bundle.cache_bytes,
            reused=lambda: dict(values.reused),
            computed=lambda: dict(values.computed),
        )
        self.queue = QuestionQueue(
            bundle,
            at_once=settings.at_once,
            most_waiting=settings.max_waiting,
            model_calls=settings.model_calls,
            observe_batch=self.metrics.batch.observe,
            observe_wait=self.metrics.wait.observe,
        )
        self.feedback = FeedbackLog(settings.feedback, remembered_bytes=settings.remembered_bytes)
        self.rate = RateLimit(settings.per_minute)
        self.tracing = Tracing(settings.name)
        self.not_ready = "is starting"
        self.answered = 0  # questions so far

    async def prepare(self) -> None:
        """Load everything by the golden question, again and again until it is answered as the search saw."""
        while self.not_ready:
            told = await self.queue.run(functools.partial(warm_up, self.bundle))
            self.not_ready = told.public
            self.metrics.ready.set(not self.not_ready)
            if self.not_ready:
                print(f"not ready: {told.detail or told.public}", file=sys.stderr, flush=True)
                await asyncio.sleep(self.settings.retry_s)

    async def release_memory(self) -> None:
        """Give free memory back to the system, again and again while questions are answered."""
        released_at = 0
        while True:
            await asyncio.sleep(_RELEASED_EVERY_S)
            if self.answered != released_at:
                released_at = self.answered
                await self.queue.run(release_free_memory)

    async def ask(
        self, request: Request, asked: Sequence[wire.AskedQuestion], *, answered: bool
    ) -> list[tuple[str, Reply]]:
        """Return an id and a reply for each question. Raises HTTPException for what cannot be served."""
        self.admit(request, asked)
        return await self.answer(request, asked, answered=answered, within_s=self.settings.timeout_s)

    async def answer(
        self, request: Request, asked: Sequence[wire.AskedQuestion], *, answered: bool, within_s: float
    ) -> list[tuple[str, Reply]]:
        """Return an id and a reply for each question that was admitted, within so many seconds."""
        started = time.perf_counter()
        questions = [Question("", one.question, filters=one.filters) for one in asked]
        try:
            waiting = self.queue.ask(questions, answered=answered)
            found = await asyncio.wait_for(waiting, within_s)
        except QueueFull:
            raise refusal(503, "busy", "too many questions wait; try again", retry_after=1) from None
        except TimeoutError:
            raise refusal(504, "timeout", f"no answer within {self.settings.timeout_s:g} s") from None
        except ServerFailed as error:
            self.server_failed(str(error))
        replies, self.answered = [], self.answered + len(asked)
        for one, (reply, failed) in zip(asked, found, strict=True):
            if failed:
                self.server_failed(failed)
            id = secrets.token_hex(8)
            self.metrics.observe(reply)
            self.feedback.remember(id, reply, one.filters)
            self.tracing.record(request.url.path, reply, request.headers, seconds=time.perf_counter() - started)
            replies.append((id, reply))
        return replies

    def admit(self, request: Request, asked: Sequence[wire.AskedQuestion]) -> None:
        """Raise HTTPException for questions that are not allowed; those that are count on the caller's rate."""
        if self.not_ready:
            raise refusal(503, "not_ready", "the service is not ready", retry_after=1)
        if len(asked) > self.settings.max_questions:
            raise refusal(422, "invalid", f"has {len(asked)} questions; at most {self.settings.max_questions}")
        for number, one in enumerate(asked):
            if len(one.question) > self.settings.max_characters:
                what = f"question {number} has {len(one.question)} characters; at most {self.settings.max_characters}"
                raise refusal(422, "invalid", what, fields=["question"])
            try:
                self.bundle.check_filters(one.filters)
            except BadInput as error:
                raise refusal(422, "invalid", str(error), fields=[p.where for p in error.problems]) from None
        self.count(request, len(asked))

    def count(self, request: Request, number: int) -> None:
        """Count so many questions on the caller's rate. Raises HTTPException where they are too many."""
        wait_s = self.rate.take(str(request.scope.get(CALLER, "")), number)
        if wait_s:
            raise refusal(429, "too_many", f"at most {self.settings.per_minute} questions a minute", retry_after=wait_s)

    def server_failed(self, reason: str) -> NoReturn:
        """Tell the operator why, and the caller only that; the next question asks the server again."""
        if self.bundle.pipeline.llm_client is not None:
            self.bundle.pipeline.llm_client.allow_again()
        self.metrics.failures.inc()
        print(f"a server failed: {reason}", file=sys.stderr, flush=True)
        raise refusal(502, "server_failed", _SERVER_DOWN, retry_after=5)

    async def close(self) -> None:
        """End the threads and send what waits."""
        await self.queue.close()
        self.tracing.close()
