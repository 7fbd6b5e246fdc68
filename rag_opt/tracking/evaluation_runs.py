"""Evaluation runs of MLflow: a finalist asked every question, a trace for each, compared side by side in its page.

Finished traces are imported in one go: the public way, `mlflow.genai.evaluate`, takes ten times as long and, on SQLite
with its usual workers, loses some. `mlflow.tracing.client` is no public interface: where it has changed, a run is left
without traces, and it is said (a test holds it for the version that is installed).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from rag_opt.core.strict import PlainDict, PlainMapping
from rag_opt.study.descriptions import short_name
from rag_opt.study.folder import StudyFolder
from rag_opt.study.trials import Trial
from rag_opt.tracking.run_contents import trial_times

if TYPE_CHECKING:
    from mlflow import MlflowClient

Passage = Callable[[str, int, int], str]  # document, start, end -> text; empty where it may not be told
KIND = "mlflow.runType"
_SCORES = ("objective/value", "retrieval/evidence_recall", "places/in_context")
_REASON = "/reason"
_SPAN_NS = 1_000_000  # stages are shown one after the other, each at least so long


@dataclass(frozen=True)
class EvaluationRuns:
    """The evaluation runs of one study. `uid` of the study; `parent`: its run."""

    client: MlflowClient
    experiment: str
    parent: str
    uid: str
    folder: StudyFolder
    uri: str

    def write(self, trial: Trial, role: str, *, texts: bool) -> None:
        """Write a finalist: a trace for each question that it was compared on. `role`: winner, baseline, finalist.

        An earlier one, of a search that went on since or of a worker that died, is deleted first.
        """
        known = self._find(trial.number)
        if known:
            self.client.delete_run(known)
        part = "held_out" if self.folder.rows_path(trial.number, "held_out").exists() else "rows"
        rows = self.folder.load_rows(trial.number, part)
        tags = {
            KIND: "genai_evaluate",
            "mlflow.parentRunId": self.parent,
            "rag_opt.evaluation_uid": self._own_uid(trial.number),
            "rag_opt.study": self.folder.name,
            "rag_opt.role": "evaluation",
        }
        name = f"{role} {short_name(trial).rpartition(' · ')[0]}"  # its value there is of the search questions
        run_id = str(self.client.create_run(self.experiment, tags=tags, run_name=name).info.run_id)
        passage = find_passage(self.folder.load_passages(), trial) if texts else _no_text
        started, _ = trial_times(trial)
        try:
            self._import(run_id, trial, rows, started, passage, texts=texts)
        except (ImportError, TypeError, AttributeError) as error:  # not the MLflow that this was written for
            self.client.set_tag(run_id, "mlflow.note.content", f"no traces: {type(error).__name__}: {error}")
        for metric, value in _means(rows).items():
            self.client.log_metric(run_id, metric, value)
        self.client.set_terminated(run_id)

    def comparison(self, result: PlainMapping) -> dict[str, str]:
        """Return what follows the server's address to see winner and baseline side by side, where both are there."""
        ours, theirs = (
            self._find(number) if number is not None else "" for number in (result["winner"], result["baseline"])
        )
        if not ours or not theirs or ours == theirs:
            return {}
        base = f"#/experiments/{self.experiment}/evaluation-runs"
        return {"winner and baseline": f"{base}?selectedRunUuid={ours}&compareToRunUuid={theirs}"}

    def _own_uid(self, number: int) -> str:
        return f"{self.uid}/evaluation/{number}"

    def _find(self, number: int) -> str:
        wanted = f"tags.`rag_opt.evaluation_uid` = '{self._own_uid(number)}'"
        found = self.client.search_runs([self.experiment], wanted, max_results=1)
        return str(found[0].info.run_id) if found else ""

    def _import(
        self, run_id: str, trial: Trial, rows: Sequence[PlainMapping], started_ms: int, passage: Passage, *, texts: bool
    ) -> None:
        from mlflow.entities import Span
        from mlflow.tracing.client import TracingClient

        tracing = TracingClient(self.uri)
        for position, row in enumerate(rows):
            name = hashlib.sha256(f"{run_id}/{row['question_id']}".encode()).hexdigest()[:32]
            spans = _spans(trial, row, name, started_ms + position, passage, texts=texts)
            tracing.start_trace(_trace_info(self.experiment, run_id, row, name, spans, texts=texts))
            tracing.log_spans(self.experiment, [Span.from_dict(span) for span in spans])


def _no_text(document: str, start: int, end: int) -> str:
    return ""


def find_passage(passages: PlainMapping, trial: Trial) -> Passage:
    """Return what finds the texts that a study kept of what a trial returned; empty text for what it did not."""
    own: Mapping[str, Sequence[tuple[int, str]]] = passages.get(_json(trial.spec.get("reader", {})), {})

    def passage(document: str, start: int, end: int) -> str:
        for first, text in own.get(document, ()):
            if first <= start and end <= first + len(text):
                return text[start - first : end - first]
        return ""

    return passage


def _means(rows: Sequence[PlainMapping]) -> dict[str, float]:
    """Return the means of what each question was scored by."""
    names = [*_SCORES, *(name for name in (rows[0] if rows else ()) if name.startswith("ragas/"))]
    known = {name: [float(row[name]) for row in rows if isinstance(row.get(name), int | float)] for name in names}
    return {name.rpartition("/")[2]: sum(values) / len(values) for name, values in known.items() if values}


def _trace_info(
    experiment: str, run_id: str, row: PlainMapping, name: str, spans: Sequence[PlainDict], *, texts: bool
) -> Any:
    from mlflow.entities import AssessmentSource, Expectation, Feedback, TraceInfo, TraceLocation, TraceState

    trace_id, root = f"tr-{name}", spans[0]
    source = AssessmentSource(source_type="CODE", source_id="rag_opt")
    assessments: list[Any] = []
    for metric in [*_SCORES, *(one for one in row if one.startswith("ragas/"))]:
        value = row.get(metric)
        if isinstance(value, int | float):
            why = str(row.get(f"{metric}{_REASON}") or "") if texts else ""
            label = metric.rpartition("/")[2]
            assessments.append(
                Feedback(name=label, value=float(value), source=source, trace_id=trace_id, rationale=why or None)
            )
    if texts and row.get("reference_answer"):
        assessments.append(
            Expectation(name="expected_response", value=row["reference_answer"], source=source, trace_id=trace_id)
        )
    started, ended = int(root["start_time"]), int(root["end_time"])
    return TraceInfo(
        trace_id=trace_id,
        trace_location=TraceLocation.from_experiment_id(experiment),
        request_time=started // 1_000_000,
        state=TraceState.ERROR if row.get("failed") else TraceState.OK,
        request_preview=root["attributes"]["mlflow.spanInputs"],
        response_preview=root["attributes"]["mlflow.spanOutputs"],
        execution_duration=(ended - started) // 1_000_000,
        trace_metadata={"mlflow.sourceRun": run_id},
        tags={"mlflow.traceName": "pipeline"},
        assessments=assessments,
    )


def _spans(
    trial: Trial, row: PlainMapping, name: str, started_ms: int, passage: Passage, *, texts: bool
) -> list[PlainDict]:
    """Return the stages of an answer as spans in MLflow's plain form: root, retriever, reranker, packer, generator."""
    latency: Mapping[str, float | None] = row.get("latency_ms") or {}
    question = str(row["question"]) if texts else str(row["question_id"])
    documents = [_document(hit, rank, passage) for rank, hit in enumerate(row["hits"], start=1)]
    answer = (
        ("refused" if row["refused"] else row["answer"]) if texts else ("refused" if row["refused"] else "answered")
    )
    kinds = {slot: next(iter(part)) for slot, part in trial.spec.items()}
    stages: list[tuple[str, str, str, object, list[str]]] = [
        (
            "retriever",
            "RETRIEVER",
            question,
            documents,
            [k for k in latency if k.startswith(("embed", "search", "fuse"))],
        )
    ]
    if kinds.get("reranker", "none") != "none":
        stages.append(("reranker", "RERANKER", question, documents, ["rerank"]))
    tokens = {"passages": len(documents), "context_tokens": row["context_tokens"]}
    stages.append(("packer", "TOOL", question, tokens, ["pack"]))
    stages.append(("generator", "LLM" if row.get("model_calls") else "CHAIN", question, answer, ["answer"]))
    begin = started_ms * 1_000_000
    at, spans = begin, list[PlainDict]()
    for number, (stage, kind, given, made, timed) in enumerate(stages, start=1):
        took = int(sum(latency.get(one) or 0.0 for one in timed) * 1_000_000)
        inputs, title = {"question": given}, f"{stage}: {kinds.get(stage, '')}"
        spans.append(_span(name, number, title, kind, inputs, made, at, at + max(took, _SPAN_NS), parent=0))
        at += max(took, _SPAN_NS)
    if row.get("model_calls"):
        usage = {"input_tokens": row["input_tokens"], "output_tokens": row["output_tokens"]}
        usage["total_tokens"] = usage["input_tokens"] + usage["output_tokens"]
        spans[-1]["attributes"]["mlflow.chat.tokenUsage"] = _json(usage)
    return [_span(name, 0, "pipeline", "CHAIN", {"question": question}, answer, begin, at, parent=None), *spans]


def _document(hit: PlainMapping, rank: int, passage: Passage) -> PlainDict:
    place = f"{hit['document']}:{hit['start']}-{hit['end']}"
    return {
        "page_content": passage(hit["document"], hit["start"], hit["end"]) or place,
        "metadata": {"doc_uri": place, "chunk_id": place, "score": hit["score"], "rank": rank},
        "id": place,
    }


def _span(
    trace: str,
    number: int,
    title: str,
    kind: str,
    inputs: object,
    outputs: object,
    start: int,
    end: int,
    *,
    parent: int | None,
) -> PlainDict:
    def span_id(which: int) -> str:
        return f"0x{(int(trace[:16], 16) + which) % (1 << 64) or 1:016x}"

    attributes = {
        "mlflow.traceRequestId": _json(f"tr-{trace}"),
        "mlflow.spanType": _json(kind),
        "mlflow.spanInputs": _json(inputs),
        "mlflow.spanOutputs": _json(outputs),
    }
    return {
        "context": {"trace_id": f"0x{trace}", "span_id": span_id(number)},
        "parent_id": None if parent is None else span_id(parent),
        "name": title,
        "start_time": start,
        "end_time": end,
        "status_code": "OK",
        "status_message": "",
        "attributes": attributes,
        "events": [],
    }


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
