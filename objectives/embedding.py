"""Vectors as ragas wants them: through the store, and in batches."""

from __future__ import annotations

import asyncio
import functools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rag_opt.models.encoder import Encoder

_MOST_KNOWN = 20_000


@functools.cache
def embedding_class() -> Any:
    """Made when ragas is first needed: it takes seconds to import."""
    from ragas.embeddings.base import BaseRagasEmbedding

    class StoredEmbedding(BaseRagasEmbedding):  # type: ignore[misc]  # ragas is untyped here
        """Vectors through the store; texts that arrive together go through the model together."""

        def __init__(self, encoder: Encoder) -> None:
            super().__init__()
            self._batches = _batches(encoder)

        def embed_text(self, text: str, **_: Any) -> Any:
            return self._batches.known(text)

        async def aembed_text(self, text: str, **_: Any) -> Any:
            return await self._batches.vector(text)

        async def aembed_texts(self, texts: list[str], **_: Any) -> Any:
            return list(await asyncio.gather(*map(self._batches.vector, texts)))

    return StoredEmbedding


@functools.lru_cache(8)
def _batches(encoder: Encoder) -> _Batches:
    return _Batches(encoder)


class _Batches:
    """Texts wait for others while the model is busy; the model runs outside the event loop. One for each encoder."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._known: dict[str, Any] = {}
        self._waiting: dict[str, asyncio.Future[Any]] = {}
        self._thread = ThreadPoolExecutor(1)
        self._running: asyncio.Task[None] | None = None

    def known(self, text: str) -> Any:
        """Of an answer or a reference, which were embedded before."""
        return self._known[text] if text in self._known else self._encoder.vectors([text], "sentence")[0]

    async def vector(self, text: str) -> Any:
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
                why = error if isinstance(error, Exception) else RuntimeError("stopped while embedding")
                for future in batch.values():
                    if not future.done():
                        future.set_exception(why)
                continue
            if len(self._known) > _MOST_KNOWN:
                self._known.clear()
            self._known |= dict(zip(texts, vectors, strict=True))
            for future, vector in zip(batch.values(), vectors, strict=True):
                if not future.done():
                    future.set_result(vector)
