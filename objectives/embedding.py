"""Vectors as ragas asks for them: through the store, and in batches."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from rag_opt.core.arrays import Vectors
from rag_opt.models.encoder import Encoder

_MAX_KNOWN = 20_000


class RagasEmbedding(Protocol):
    """What ragas asks for vectors."""

    async def aembed_texts(self, texts: Sequence[str]) -> list[Vectors]:
        """Return a vector for each text."""
        ...


@functools.cache
def embedding_class() -> Callable[[Encoder | None], RagasEmbedding]:
    """Return the class of ragas' embedding behind the store. It is built late: ragas takes seconds to import.

    Without an encoder it can be handed to a metric, but not asked.
    """
    from ragas.embeddings.base import BaseRagasEmbedding

    class StoredEmbedding(BaseRagasEmbedding):  # type: ignore[misc]  # ragas is untyped here
        """Vectors through the store; texts that arrive together go through the model together."""

        def __init__(self, encoder: Encoder | None) -> None:
            super().__init__()
            self._encoder = encoder

        @property
        def _batches(self) -> _Batches:
            assert self._encoder is not None
            return _batches(self._encoder)

        def embed_text(self, text: str, **_: object) -> Vectors:
            return self._batches.find_vector(text)

        async def aembed_text(self, text: str, **_: object) -> Vectors:
            return await self._batches.vector(text)

        async def aembed_texts(self, texts: Sequence[str], **_: object) -> list[Vectors]:
            return list(await asyncio.gather(*map(self._batches.vector, texts)))

    return StoredEmbedding


@functools.lru_cache(8)
def _batches(encoder: Encoder) -> _Batches:
    return _Batches(encoder)


class _Batches:
    """Batches of texts for one encoder: texts wait while the model is busy, which runs outside the event loop."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._known: dict[str, Vectors] = {}
        self._waiting: dict[str, asyncio.Future[Vectors]] = {}
        self._thread = ThreadPoolExecutor(1)
        self._running: asyncio.Task[None] | None = None

    def find_vector(self, text: str) -> Vectors:
        """Return the vector of a text that was most likely embedded before."""
        if text in self._known:
            return self._known[text]
        vector: Vectors = self._encoder.vectors([text], "sentence")[0]
        return vector

    async def vector(self, text: str) -> Vectors:
        """Return the vector of a text, embedded with the others that wait."""
        if text in self._known:
            return self._known[text]
        if text not in self._waiting:
            self._waiting[text] = asyncio.get_running_loop().create_future()
        future = self._waiting[text]
        if self._running is None or self._running.done():
            self._running = asyncio.get_running_loop().create_task(self._run())
        return await future

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting, {}
            texts = list(batch)
            try:
                vectors = await loop.run_in_executor(self._thread, self._encoder.vectors, texts, "sentence")
            except BaseException as error:  # an interrupt in that thread must not end this one
                reason = error if isinstance(error, Exception) else RuntimeError("stopped while embedding")
                for future in batch.values():
                    if not future.done():
                        future.set_exception(reason)
                continue
            if len(self._known) > _MAX_KNOWN:
                self._known.clear()
            self._known |= dict(zip(texts, vectors, strict=True))
            for future, vector in zip(batch.values(), vectors, strict=True):
                if not future.done():
                    future.set_result(vector)
