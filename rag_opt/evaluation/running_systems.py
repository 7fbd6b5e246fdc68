"""Systems that answer elsewhere: the log of one, or a service that is asked. Their replies become a `Run`.

Any pipeline will do, also one that was not built here: what it showed is passages, as texts or as places in documents.
"""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import orjson

from rag_opt.core import strict
from rag_opt.core.arrays import IntArray
from rag_opt.core.digests import digest
from rag_opt.core.documents import Answer, Span
from rag_opt.core.errors import BadInput, Problem, ServerDown, ServerFailed
from rag_opt.core.questions import PageOfDocument, Question, WholeDocument
from rag_opt.core.secrets import mask
from rag_opt.core.strict import PlainDict
from rag_opt.data.log_lines import LogLine, read_log
from rag_opt.data.question_lines import resolve_evidence
from rag_opt.data.quotes import QuoteResolver
from rag_opt.data.reading import Problems
from rag_opt.evaluation.run import Run
from rag_opt.metrics.evidence import RetrievedSpans
from rag_opt.models.http_client import HttpClient, TooMuch
from rag_opt.pipeline.ask import Responses
from rag_opt.pipeline.chunk_table import ChunkTable
from rag_opt.pipeline.corpus_text import CorpusText
from rag_opt.pipeline.model_usage import ModelUsage
from rag_opt.text.tokenizer_names import DEFAULT_TOKENIZER, find_tokenizer

_AT_ONCE = 8  # questions of one request to a service
_REASONS = 3  # that are told why questions have no reply
_TEXTS = ("document", "text")
KEY_VARIABLE = "RAG_OPT_SERVICE_KEY"
NOT_LOGGED = "the log has no line with this question"
NO_PASSAGES = "the log has no passages for this question"
UNKNOWN = (NOT_LOGGED, NO_PASSAGES)  # reasons that say nothing of the system


@dataclass(frozen=True)
class SystemReply:
    """What a system returned for one question.

    `passages`: best first, each with `text`, or `document` with or without `start`, `end` and `text`. `answer`: None
    where it gives none; empty: it refused. `failed`: why there is no reply; empty where there is one.
    """

    passages: tuple[PlainDict, ...] = ()
    answer: str | None = None
    failed: str = ""


class RunningSystem(Protocol):
    """A system whose replies can be had."""

    @property
    def name(self) -> str:
        """Return what people call it: a file, an address."""
        ...

    @property
    def identity(self) -> str:
        """Return what tells it from another."""
        ...

    def ask(self, questions: Sequence[Question]) -> list[SystemReply]:
        """Return the reply to each question. Raises ServerFailed where nobody answers."""
        ...


def is_running_system(given: str) -> bool:
    """Return whether a text names a log (`….jsonl`) or a service (`http…`)."""
    return given.startswith(("http://", "https://")) or given.endswith(".jsonl")


def open_system(given: str, *, where: str) -> RunningSystem:
    """Return the system that a file or an address names. Raises BadInput for a log that cannot be read."""
    return Service(given) if given.startswith(("http://", "https://")) else LoggedSystem.read(Path(given), where=where)


class LoggedSystem:
    """The replies of a log, found by the text of the question; of several with one text the last counts."""

    def __init__(self, name: str, lines: Sequence[LogLine]) -> None:
        self._name, self.lines = name, tuple(lines)
        self._by_text = {_as_asked(line.question, line.filters or {}): line for line in lines}

    @staticmethod
    def read(path: Path, *, where: str) -> LoggedSystem:
        """Return a log. Raises BadInput with every line that is none."""
        if not path.is_file():
            raise BadInput([Problem(where, f"there is no file {path}")])
        problems = Problems()
        located = read_log(path, problems)
        for place, line in located:
            for number, passage in enumerate(line.passages or ()):
                if _as_passage(passage) is None:
                    what = f"is {passage!r}; should be a text, or an object with `text` or `document`"
                    problems.add(f"{place} passages[{number}]", what)
        lines = [line for _, line in located]
        if not lines and not problems.collected:
            problems.add(str(path), "the log has no lines")
        problems.raise_if_any()
        return LoggedSystem(str(path), lines)

    @property
    def name(self) -> str:
        """Path of the file."""
        return self._name

    @functools.cached_property
    def identity(self) -> str:
        """Hash of its lines."""
        return f"log {digest([strict.dump(line) for line in self.lines])}"

    def ask(self, questions: Sequence[Question]) -> list[SystemReply]:
        """Return the reply to each question; a failed one for a question that the log does not have."""
        return [self._reply(question) for question in questions]

    def _reply(self, question: Question) -> SystemReply:
        line = self._by_text.get(_as_asked(question.text, question.filters))
        if line is None:
            return SystemReply(failed=NOT_LOGGED)
        if line.passages is None:
            return SystemReply(answer=line.answer, failed=NO_PASSAGES)
        return SystemReply(_allowed([_as_passage(one) for one in line.passages], question), line.answer)


def _as_passage(given: object) -> PlainDict | None:
    """Return a passage as `text`, or `document` with or without `start`, `end` and `text`; None for what is none."""
    if isinstance(given, str):
        return {"text": given}
    if not isinstance(given, dict):
        return None
    known = {name: given[name] for name in ("document", "start", "end", "text", "page") if given.get(name) is not None}
    offsets = [known.get(name) for name in ("start", "end")]
    if any(offset is not None and (not isinstance(offset, int) or isinstance(offset, bool)) for offset in offsets):
        return None
    if (offsets[0] is None) != (offsets[1] is None) or not all(isinstance(known.get(n, ""), str) for n in _TEXTS):
        return None
    return known if "text" in known or "document" in known else None


def _allowed(passages: Sequence[PlainDict | None], question: Question) -> tuple[PlainDict, ...]:
    """Return the passages that are not of a document that the question excludes."""
    return tuple(one for one in passages if one is not None and one.get("document") not in question.exclude)


def _as_asked(text: str, filters: Mapping[str, object]) -> str:
    return orjson.dumps([" ".join(text.split()), dict(filters)], option=orjson.OPT_SORT_KEYS).decode()


class Service:
    """A running service of rag_opt, asked over HTTP. Its key: RAG_OPT_SERVICE_KEY.

    A question that it refuses (4xx) or cannot answer has failed; the others are asked. A pipeline without answers is
    asked for passages.
    """

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        key = KEY_VARIABLE if os.environ.get(KEY_VARIABLE) else None  # a service may ask for none
        self._client = HttpClient(self._url, key_variable=key, timeout_s=60, patience_s=60, most_in_flight=2)

    @property
    def name(self) -> str:
        """Its address, without a password."""
        return mask(self._url)

    @property
    def identity(self) -> str:
        """Its address: what answers there may change, and nobody is told."""
        return f"service {self.name}"

    def ask(self, questions: Sequence[Question]) -> list[SystemReply]:
        """Return the reply to each question. Raises ServerDown where nobody answers there."""
        batches = [questions[first : first + _AT_ONCE] for first in range(0, len(questions), _AT_ONCE)]
        return [reply for replies in self._client.map(self._ask_batch, batches) for reply in replies]

    def _ask_batch(self, batch: Sequence[Question]) -> list[SystemReply]:
        asked = [{"question": question.text, "filters": dict(question.filters)} for question in batch]
        try:
            found = cast(PlainDict, self._client.post("/ask/batch", {"questions": asked}))
            return [_to_reply(one, question) for one, question in zip(found["replies"], batch, strict=True)]
        except ServerDown:
            raise
        except (TooMuch, ServerFailed) as error:
            if len(batch) == 1:
                return [SystemReply(failed=str(error))]
            return [reply for question in batch for reply in self._ask_batch([question])]
        except (KeyError, TypeError, ValueError):
            raise ServerFailed(f"{self.name}/ask/batch does not answer as a service of rag_opt does") from None


def _to_reply(found: PlainDict, question: Question) -> SystemReply:
    passages = [{name: one[name] for name in ("document", "start", "end", "text")} for one in found["passages"]]
    return SystemReply(_allowed(passages, question), as_said(str(found["answer"]), refused=bool(found["refused"])))


def as_said(answer: str, *, refused: bool) -> str | None:
    """Return an answer as a `SystemReply` has it: empty for a refusal, None where a pipeline gives passages alone."""
    return "" if refused else answer or None


@dataclass(frozen=True)
class Located:
    """A run of a system, and what of its passages could not be found in the documents."""

    run: Run
    passages: int
    not_found: int
    answered: bool


def build_run(
    replies: Sequence[SystemReply], questions: Sequence[Question], texts: CorpusText, resolver: QuoteResolver
) -> Located:
    """Return the replies of a system as a run over the documents of `texts`, in which `resolver` finds quotes.

    A passage that stands in no document keeps its rank and covers nothing: it counts as of a document that is not
    there. One that stands at several places counts at the first, as covering any twin of the evidence counts. Contexts
    are counted in the tokens of the texts as shown.
    """
    finder = _PassageFinder(resolver)
    width = max((len(reply.passages) for reply in replies), default=0)
    hits = RetrievedSpans.empty(len(questions), width)
    scores = np.full((len(questions), width), -np.inf, np.float32)
    tokens: IntArray = np.zeros(len(questions), np.int64)
    contexts, usage = list[tuple[Span, ...]](), ModelUsage(len(questions))
    count = find_tokenizer(DEFAULT_TOKENIZER)
    for row, reply in enumerate(replies):
        usage.failed[row] = reply.failed
        found = [finder.find(passage) for passage in reply.passages]
        for rank, span in enumerate(found):
            nowhere = len(texts.corpus.ids) + 1 + rank  # of no evidence, not even of what a reader lost
            hits.document[row, rank] = texts.corpus.position[span.document_id] if span is not None else nowhere
            hits.start[row, rank], hits.end[row, rank] = (span.start, span.end) if span is not None else (0, 0)
            scores[row, rank] = -rank
        contexts.append(tuple(span for span in found if span is not None))
        shown = [_text_of(passage, span, texts) for passage, span in zip(reply.passages, found, strict=True)]
        tokens[row] = sum(len(count.starts(text)) for text in shown)
    answered = any(reply.answer is not None for reply in replies)
    answers = [Answer(reply.answer or "", refused=reply.answer == "") for reply in replies]
    responses = Responses(hits, hits, scores, contexts, tokens, answers, {}, usage, answered)
    nothing = np.zeros(0, np.int64)
    chunks = ChunkTable(nothing.astype(np.int32), nothing, nothing, nothing, {})
    return Located(Run(tuple(questions), responses, texts, chunks), finder.asked, finder.not_found, answered)


def _text_of(passage: PlainDict, span: Span | None, texts: CorpusText) -> str:
    return str(passage["text"]) if "text" in passage else texts.of(span) if span is not None else ""


class _PassageFinder:
    """Finds passages in documents, each text once."""

    def __init__(self, resolver: QuoteResolver) -> None:
        self._corpus, self._resolver = resolver.corpus, resolver
        self._known: dict[bytes, Span | None] = {}
        self.asked = self.not_found = 0

    def find(self, passage: PlainDict) -> Span | None:
        """Return where a passage stands; None where it stands nowhere."""
        key = orjson.dumps(passage, option=orjson.OPT_SORT_KEYS)
        if key not in self._known:
            self._known[key] = self._look(passage)
        self.asked += 1
        self.not_found += self._known[key] is None
        return self._known[key]

    def _look(self, passage: PlainDict) -> Span | None:
        try:
            needs = resolve_evidence([self._as_evidence(passage)], self._resolver, "passage")
        except BadInput:
            return None
        place = next((place for need in needs or () for place in need), None)
        if isinstance(place, WholeDocument):
            return Span(place.document_id, 0, len(self._corpus[place.document_id].text))
        if isinstance(place, PageOfDocument):
            return Span(place.document_id, place.start, place.end)
        return place if isinstance(place, Span) else None

    def _as_evidence(self, passage: PlainDict) -> PlainDict:
        """Return a place by its offsets where its text stands there, or is not given; else by its text."""
        document, start, end, text = (passage.get(name) for name in ("document", "start", "end", "text"))
        row = self._corpus.position.get(str(document))
        if start is not None and (text is None or (row is not None and self._text(row)[start:end] == text)):
            return {"document": document, "start": start, "end": end}
        if text is not None:
            return {"quote": text, **({"document": document} if row is not None else {})}
        return {name: passage[name] for name in ("document", "page") if name in passage}

    def _text(self, row: int) -> str:
        return self._corpus.documents[row].text


def describe_missing(located: Located, asked: int) -> list[str]:
    """Return what a person should know of a system's replies, in sentences; none where all were had and found."""
    failed = Counter(" ".join(reason.split()) for reason in located.run.responses.usage.failed if reason)
    reasons = "; ".join(f"{count}: {reason[:200]}" for reason, count in failed.most_common(_REASONS))
    said = [f"{failed.total()} of {asked} questions have no reply that counts ({reasons})"] if failed else []
    if located.not_found:
        share = f"{located.not_found} of {located.passages} passages stand in no document"
        said.append(f"{share}: they keep their rank, and cover nothing")
    return said
