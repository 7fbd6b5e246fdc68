"""Answers of a language model in pieces, as they come."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable, Coroutine, Generator
from typing import Any

from rag_opt.models.event_loop import event_loop
from rag_opt.models.http_replies import read_delta
from rag_opt.models.llm.messages import may_be_thinking, strip_thinking
from rag_opt.models.llm.settings import Completion


class StreamedText:
    """Puts the parts of a streamed reply together, and tells `say` what can be shown: neither thinking nor secrets.

    `clean` takes secrets out of a text; so many characters of the end are held back as the longest has, `hold`. A
    request that is sent again begins anew; what was said already is not said twice, and where the model now says
    something else nothing more is said: the whole answer comes at the end.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._said = ""
        self.clean: Callable[[str], str] = lambda text: text
        self.hold = 0
        self.begin()

    def begin(self) -> None:
        """Expect a new reply."""
        self._text, self._rest = "", b""

    def hear(self, part: bytes) -> None:
        """Take the next bytes of a reply."""
        *lines, self._rest = (self._rest + part).split(b"\n")
        self._text += "".join(read_delta(line) for line in lines)
        if may_be_thinking(self._text):
            return
        visible = self.clean(strip_thinking(self._text))
        visible = visible[: len(visible) - self.hold] if self.hold else visible
        if len(visible) > len(self._said) and visible.startswith(self._said):
            self._say(visible[len(self._said) :])
            self._said = visible


def yield_pieces(ask: Callable[[StreamedText], Coroutine[Any, Any, Completion]]) -> Generator[str, None, Completion]:
    """Yield an answer in pieces as they are heard, and return it whole. Raises what `ask` raises.

    What was not heard of it comes at the end; all of it, on lines of its own, where something else was heard (thinking
    that began in the prompt). `ask` is run in the event loop of all servers; it goes on where nobody asks for further
    pieces, since others may wait for the same answer.
    """
    pieces: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    async def work() -> Completion:
        try:
            return await ask(StreamedText(pieces.put))
        finally:
            pieces.put(None)

    future, said = asyncio.run_coroutine_threadsafe(work(), event_loop()), ""
    while (piece := pieces.get()) is not None:
        said += piece
        yield piece
    completion = future.result()
    if not completion.text.startswith(said):
        yield f"\n\n{completion.text}"
    elif completion.text != said:
        yield completion.text[len(said) :]
    return completion
