"""The table of a trial: a row for each question, with what was returned, where it stands, and every score."""

from __future__ import annotations

import numpy as np

from rag_opt.core.documents import Span
from rag_opt.core.questions import LostPassage, PageOfDocument, Question, WholeDocument
from rag_opt.core.strict import PlainDict
from rag_opt.evaluation.run import Run, Scores

_KINDS: dict[type, str] = {Span: "span", WholeDocument: "document", PageOfDocument: "page", LostPassage: "lost"}


def row_columns(run: Run, scores: Scores) -> dict[str, object]:
    """Return the columns of the table, an entry per question. Scores that do not apply are null."""
    import pyarrow as pa

    responses, questions = run.responses, run.questions
    place = {"document": pa.string(), "start": pa.int64(), "end": pa.int64()}
    alternative = pa.struct({"need": pa.int32(), "kind": pa.string(), **place})
    span = pa.struct(place)
    cited = [
        [{"document": s.document_id, "start": s.start, "end": s.end} for s in answer.cited]
        for answer in responses.answers
    ]
    latency = [pa.array(np.round(times, 3), from_pandas=True) for times in responses.latency_ms.values()]
    columns: dict[str, object] = {
        "question_id": [question.id for question in questions],
        "kind": [question.kind for question in questions],
        "question": [question.text for question in questions],
        "reference_answer": pa.array([question.reference_answer for question in questions], pa.string()),
        "answerable": [question.answerable for question in questions],
        "answer": [answer.text for answer in responses.answers],
        "refused": [answer.refused for answer in responses.answers],
        "cited": pa.array(cited, pa.list_(span)),
        "evidence": pa.array(list(map(_evidence, questions)), pa.list_(alternative)),
        "hits": _hits(run),
        "context_tokens": responses.context_tokens,
        "model_calls": responses.usage.calls,
        "input_tokens": responses.usage.input_tokens,
        "output_tokens": responses.usage.output_tokens,
        "usd": responses.usage.usd,
        "failed": responses.usage.failed,
        "latency_ms": pa.StructArray.from_arrays(latency, list(responses.latency_ms)),
    }
    return columns | {name: pa.array(column, from_pandas=True) for name, column in scores.items()}


def _hits(run: Run) -> object:
    """Return the column of hits: for each question a list of spans with their scores."""
    import pyarrow as pa

    hits, scores = run.responses.hits, run.responses.scores
    documents = np.array(run.corpus.ids, object)
    kept = hits.document >= 0
    ends = np.concatenate([[0], kept.sum(axis=1).cumsum()])
    columns = [documents[hits.document[kept]], hits.start[kept], hits.end[kept], scores[kept].astype(float)]
    cited = [
        run.texts.citation(Span(*place)) for place in zip(*(column.tolist() for column in columns[:3]), strict=True)
    ]
    arrays = [
        *(pa.array(column) for column in columns),
        pa.array([one.page for one in cited], pa.int32()),
        pa.array([list(one.headings) for one in cited], pa.list_(pa.string())),
    ]
    spans = pa.StructArray.from_arrays(arrays, ["document", "start", "end", "score", "page", "headings"])
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), spans)


def _evidence(question: Question) -> list[PlainDict] | None:
    """Return every alternative of every need; one that is no place in a text has no offsets."""
    if question.evidence is None:
        return None
    return [
        {
            "need": need,
            "kind": _KINDS[type(one)],
            "document": one.document_id,
            "start": getattr(one, "start", None),
            "end": getattr(one, "end", None),
        }
        for need, alternatives in enumerate(question.evidence)
        for one in alternatives
    ]
