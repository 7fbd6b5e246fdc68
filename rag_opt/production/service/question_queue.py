"""Micro-batches: what waits while one batch is answered becomes the next, so that models see several texts at once."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from rag_opt.core.questions import Question
from rag_opt.production.bundle import Bundle
from rag_opt.production.passages import Reply

T = TypeVar("T")


class QueueFull(Exception):
    """So many questions wait that a further one would only wait too long."""


@dataclass
class _Waiting:
    question: Question
    answered: bool  # whether an answer is wanted, or only passages
    future: asyncio.Future[tuple[Reply, str]]
    since: float = field(default_factory=time.perf_counter)


class QuestionQueue:
    """Asks a bundle from one event loop; the work is done in threads.

    Questions are embedded and searched for in one thread, `at_once` together. Where a pipeline asks a language model
    each question goes on in a thread of its own, `model_calls` at once, since they mostly wait.
    `observe_batch` is told the size of each batch, `observe_wait` the seconds that each question waited.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        at_once: int,
        most_waiting: int,
        model_calls: int,
        observe_batch: Callable[[int], None] = lambda _: None,
        observe_wait: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._bundle, self._at_once, self._most = bundle, at_once, most_waiting
        self._waiting: deque[_Waiting] = deque()
        self._embedding = ThreadPoolExecutor(1, "rag_opt-batch")
        self._asking = ThreadPoolExecutor(model_calls, "rag_opt-ask") if bundle.spec.uses_llm else None
        self._free = asyncio.Semaphore(model_calls)
        self._wake = asyncio.Event()
        self._observe_batch, self._observe_wait = observe_batch, observe_wait
        self._dispatcher: asyncio.Task[None] | None = None
        self._running: set[asyncio.Future[None]] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    async def run_beside(self, work: Callable[[], T]) -> T:
        """Return what `work` returns, done in a thread of those that ask the language model, when one is free."""
        async with self._free:
            return await asyncio.get_running_loop().run_in_executor(self._asking, work)

    async def run(self, work: Callable[[], T]) -> T:
        """Return what `work` returns, done in the thread that embeds.

        Every thread that runs a model has a pool of threads of its own; with two of them, each is a third slower.
        """
        return await asyncio.get_running_loop().run_in_executor(self._embedding, work)

    async def ask(self, questions: Sequence[Question], *, answered: bool) -> list[tuple[Reply, str]]:
        """Return a reply for each question, and why a model that it needs did not answer; empty: it did.

        Raises QueueFull where too many wait.
        """
        if len(self._waiting) + len(questions) > self._most:
            self._waiting = deque(one for one in self._waiting if not one.future.done())  # the others were given up
        if len(self._waiting) + len(questions) > self._most:
            raise QueueFull
        if self._dispatcher is None:
            self._dispatcher = asyncio.create_task(self._dispatch())
        loop = asyncio.get_running_loop()
        mine = [_Waiting(question, answered, loop.create_future()) for question in questions]
        self._waiting.extend(mine)
        self._wake.set()
        try:
            return await asyncio.gather(*(one.future for one in mine))
        finally:  # of a request that was given up nothing is worked on any more
            for one in mine:
                one.future.cancel()

    async def _dispatch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            batch = self._take()
            if not batch:
                self._wake.clear()
                continue
            self._observe_batch(len(batch))
            if self._asking is None:
                await loop.run_in_executor(self._embedding, self._work, batch, loop)
                continue
            await loop.run_in_executor(self._embedding, self._embed, batch)
            for one in batch:
                await self._free.acquire()
                if one.future.done():  # given up while it waited
                    self._free.release()
                    continue
                task = loop.run_in_executor(self._asking, self._work, [one], loop)
                self._running.add(task)
                task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Future[None]) -> None:
        self._running.discard(task)
        self._free.release()

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        while self._waiting and len(batch) < self._at_once:
            one = self._waiting.popleft()
            if not one.future.done():
                self._observe_wait(time.perf_counter() - one.since)
                batch.append(one)
        return batch

    def _embed(self, batch: Sequence[_Waiting]) -> None:
        """Embed the questions together; each finds its vector in memory. A fault shows when the question is asked."""
        with contextlib.suppress(BaseException):
            self._bundle.pipeline.encoder.vectors([one.question.text for one in batch], "query")

    def _work(self, batch: Sequence[_Waiting], loop: asyncio.AbstractEventLoop) -> None:
        """Ask the questions of a batch, and hand each reply, or what went wrong, to its request."""
        if len({one.answered for one in batch}) > 1:
            self._embed(batch)
        for answered in (False, True):
            some = [one for one in batch if one.answered is answered and not one.future.done()]
            if some:
                self._ask_together(some, answered, loop)

    def _ask_together(self, batch: Sequence[_Waiting], answered: bool, loop: asyncio.AbstractEventLoop) -> None:
        """Ask questions together; where that fails each alone, so that one's fault is not the others'."""
        ask = self._bundle.try_questions if answered else self._bundle.try_retrieval
        try:
            replies, failed = ask([one.question for one in batch])
            loop.call_soon_threadsafe(_hand_over, batch, list(zip(replies, failed, strict=True)))
        except BaseException as error:  # whatever a library raises ends a question, never the thread that asks them
            if len(batch) > 1:
                for one in batch:
                    self._ask_together([one], answered, loop)
                return
            told = error if isinstance(error, Exception) else RuntimeError(f"{type(error).__name__}: {error}")
            loop.call_soon_threadsafe(_hand_over_error, batch, told)

    async def close(self) -> None:
        """End: what was asked was answered, or given up; what a thread still does for it is not waited for."""
        if self._dispatcher is not None:
            self._dispatcher.cancel()
        for threads in (self._embedding, self._asking):
            if threads is not None:
                threads.shutdown(wait=False, cancel_futures=True)


def _hand_over(batch: Sequence[_Waiting], replies: Sequence[tuple[Reply, str]]) -> None:
    for one, reply in zip(batch, replies, strict=True):
        if not one.future.done():
            one.future.set_result(reply)


def _hand_over_error(batch: Sequence[_Waiting], error: Exception) -> None:
    for one in batch:
        if not one.future.done():
            one.future.set_exception(error)
