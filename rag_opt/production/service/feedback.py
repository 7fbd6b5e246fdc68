"""Feedback of people, appended to a log that becomes the next questions."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from datetime import UTC, datetime
from pathlib import Path

import orjson

from rag_opt.core import strict
from rag_opt.core.strict import PlainDict, PlainMapping
from rag_opt.data.log_lines import LogLine
from rag_opt.production.passages import Reply
from rag_opt.production.service.wire import Feedback

_BESIDE = 400  # bytes of a remembered reply beside its text


class UnknownReply(Exception):
    """Feedback on a reply that is not remembered, and without its question."""


class FeedbackLog:
    """A file of `LogLine`s, one appended for each feedback; and the replies that feedback may still name."""

    def __init__(self, path: Path | None, *, remembered_bytes: int) -> None:
        self.path, self._most = path, remembered_bytes
        self._replies: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def remember(self, id: str, reply: Reply, filters: PlainMapping) -> None:
        """Keep a reply, so that feedback needs only its id; those that are longest ago are forgotten."""
        if self.path is None:
            return
        passages = [{"document": hit.document, "start": hit.start, "end": hit.end} for hit in reply.hits]
        kept = {"question": reply.question, "answer": reply.answer, "passages": passages}
        content = orjson.dumps(kept | ({"filters": filters} if filters else {}))
        with self._lock:
            self._replies[id] = content
            self._bytes += len(content) + _BESIDE
            while self._bytes > self._most and self._replies:
                self._bytes -= len(self._replies.popitem(last=False)[1]) + _BESIDE

    def filters_of(self, id: str) -> PlainMapping | None:
        """Return the filters that the question of a remembered reply had; None where it is not remembered."""
        with self._lock:
            kept = self._replies.get(id)
        if kept is None:
            return None
        filters: PlainMapping = orjson.loads(kept).get("filters", {})
        return filters

    def append(self, feedback: Feedback) -> LogLine:
        """Write what a person said, flushed to disk, and return it. Raises UnknownReply, OSError."""
        assert self.path is not None
        with self._lock:
            kept = self._replies.get(feedback.id)
        if kept is None and feedback.question is None:
            raise UnknownReply
        known: PlainDict = orjson.loads(kept) if kept is not None else {"question": feedback.question}
        right = None if feedback.right_passage is None else feedback.right_passage.model_dump(exclude_none=True)
        said = {"thumb": feedback.thumb, "right_passage": right, "comment": feedback.comment}
        when = datetime.now(UTC).isoformat(timespec="seconds")
        line = strict.load(LogLine, {**known, **said, "id": feedback.id, "time": when})
        content = {name: value for name, value in strict.dump(line).items() if value is not None}
        _append(self.path, orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE))
        return line


def _append(path: Path, line: bytes) -> None:
    """Append one line with one write, so that several services may share a file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        if os.write(descriptor, line) < len(line):  # a disk that is nearly full
            os.write(descriptor, b"\n")
            raise OSError(f"{path}: a line was not written whole")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
