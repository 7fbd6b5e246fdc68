"""The text of a streamed reply, as far as it has come."""

from __future__ import annotations

from collections.abc import Callable

from rag_opt.models.http_replies import read_delta
from rag_opt.models.llm.messages import strip_thinking


class StreamedText:
    """Puts the parts of a streamed reply together, and tells `say` what can be shown: without its thinking.

    A request that is sent again begins anew; what was said already is not said twice, and where the model now says
    something else nothing more is said: the whole answer comes at the end.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._said = ""
        self.begin()

    def begin(self) -> None:
        """Expect a new reply."""
        self._text, self._rest = "", b""

    def hear(self, part: bytes) -> None:
        """Take the next bytes of a reply."""
        *lines, self._rest = (self._rest + part).split(b"\n")
        self._text += "".join(read_delta(line) for line in lines)
        visible = strip_thinking(self._text)
        if len(visible) > len(self._said) and visible.startswith(self._said):
            self._say(visible[len(self._said) :])
            self._said = visible
