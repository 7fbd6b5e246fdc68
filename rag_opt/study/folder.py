"""A study on disk: what it is bound to, its finished trials, a table of rows per trial, its result."""

from __future__ import annotations

import contextlib
import os
import socket
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import orjson

from rag_opt.core.errors import StudyBusy, StudyMismatch
from rag_opt.evaluation.run import Run, Scores
from rag_opt.store.artifacts import write_atomically


class StudyFolder:
    """outputs/<study>/

    study.json            digests of corpus, questions, space, objective and baseline; the resolved settings
    study.db              finished Optuna trials (SQLite): optuna-dashboard reads it
    rows/0007.parquet     what trial 7 returned and scored, a row per search question
    held_out/0007.parquet the same on the untouched questions, for finalists and the baseline
    spending.sqlite       every request to a language model: when, who asked, tokens, dollars; never its text
    sweeps/0002.json      every rearrangement of the lists of trial 2's index, scored on evidence
    result.json           winner, baseline, gain with its interval
    outbox/               trials that tracking has not delivered yet
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name

    @property
    def database(self) -> Path:
        return self.path / "study.db"

    @property
    def budget_tracker(self) -> Path:
        return self.path / "spending.sqlite"

    @property
    def outbox(self) -> Path:
        return self.path / "outbox"

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the study against a second driver. The system frees it when this process dies."""
        self.path.mkdir(parents=True, exist_ok=True)
        holder = self.path / "driver.json"
        lock = filelock.FileLock(self.path / "driver.lock", blocking=False)
        try:
            lock.acquire()
        except filelock.Timeout:
            who = orjson.loads(holder.read_bytes()) if holder.exists() else {}
            raise StudyBusy(
                f"{self.path} is being searched by process {who.get('pid', '?')} on {who.get('host', '?')}; "
                "wait for it, or give this search another study.name"
            ) from None
        try:
            write_atomically(holder, orjson.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
            yield
        finally:
            lock.release()

    @property
    def busy(self) -> bool:
        """Whether a driver holds it right now."""
        try:
            with filelock.FileLock(self.path / "driver.lock", blocking=False):
                return False
        except filelock.Timeout:
            return True

    def bind(self, digests: Mapping[str, str], settings: Mapping[str, Any]) -> dict[str, Any] | None:
        """Tie the study to its inputs, or check that it is tied to these. The settings it had before, if it was.

        Raises StudyMismatch naming what differs and a name that is free.
        """
        path = self.path / "study.json"
        known = orjson.loads(path.read_bytes()) if path.exists() else None
        if known is not None:
            changed = [what for what in digests if known["digests"].get(what) != digests[what]]
            if changed:
                raise StudyMismatch(
                    f"the study {self.name!r} in {self.path} was made with another {' and another '.join(changed)}; "
                    "its trials cannot be compared with new ones. Give this search a new name: "
                    f"study.name={self._free_name()}"
                )
        uid = known["uid"] if known else uuid.uuid4().hex
        # what does not bind (where to track, how many trials) is as it was given last
        content = {
            "name": known["name"] if known else self.name,
            "uid": uid,
            "digests": dict(digests),
            "settings": dict(settings),
        }
        write_atomically(path, orjson.dumps(content, option=orjson.OPT_INDENT_2))
        return dict(known["settings"]) if known else None

    def _free_name(self) -> str:
        number = 2
        while (self.path.parent / f"{self.name}-{number}").exists():
            number += 1
        return f"{self.name}-{number}"

    @property
    def study_name(self) -> str:
        """The name that its trials are kept under: the one it was made with, whatever its folder is called now."""
        return str(self.settings()["name"])

    def settings(self) -> dict[str, Any]:
        stored: dict[str, Any] = orjson.loads((self.path / "study.json").read_bytes())
        return stored

    def rows_path(self, number: int, part: str = "rows") -> Path:
        return self.path / part / f"{number:04d}.parquet"

    def save_rows(self, number: int, run: Run, scores: Scores, *, part: str = "rows") -> None:
        """Written whole and flushed before the trial is committed: a trial on disk always has its rows."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self.rows_path(number, part)
        path.parent.mkdir(exist_ok=True)
        buffer = pa.BufferOutputStream()
        pq.write_table(pa.table(_columns(run, scores)), buffer, compression="zstd")
        write_atomically(path, buffer.getvalue().to_pybytes())

    def sweep_path(self, number: int) -> Path:
        return self.path / "sweeps" / f"{number:04d}.json"

    def save_sweep(self, number: int, table: Mapping[str, Any]) -> None:
        path = self.sweep_path(number)
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, orjson.dumps(table))

    def load_rows(self, number: int, part: str = "rows") -> list[dict[str, Any]]:
        import pyarrow.parquet as pq

        rows: list[dict[str, Any]] = pq.read_table(self.rows_path(number, part)).to_pylist()
        return rows


def _columns(run: Run, scores: Scores) -> dict[str, Any]:
    """One entry per question: what was asked, returned and scored. Scores that do not apply are null."""
    import pyarrow as pa

    r, questions = run.responses, run.questions
    documents = np.array(run.corpus.ids, object)
    kept = r.hits.document >= 0
    ends = np.concatenate([[0], kept.sum(axis=1).cumsum()])
    hit_columns = [documents[r.hits.document[kept]], r.hits.start[kept], r.hits.end[kept], r.scores[kept].astype(float)]
    hits = pa.StructArray.from_arrays([pa.array(c) for c in hit_columns], ["document", "start", "end", "score"])
    cited = [[{"document": s.document_id, "start": s.start, "end": s.end} for s in a.cited] for a in r.answers]
    latency = [pa.array(np.round(times, 3), from_pandas=True) for times in r.latency_ms.values()]
    columns: dict[str, Any] = {
        "question_id": [question.id for question in questions],
        "kind": [question.kind for question in questions],
        "question": [question.text for question in questions],
        "reference_answer": pa.array([question.reference_answer for question in questions], pa.string()),
        "answerable": [question.answerable for question in questions],
        "answer": [answer.text for answer in r.answers],
        "refused": [answer.refused for answer in r.answers],
        "cited": pa.array(
            cited, pa.list_(pa.struct({"document": pa.string(), "start": pa.int64(), "end": pa.int64()}))
        ),
        "hits": pa.ListArray.from_arrays(pa.array(ends, pa.int32()), hits),
        "context_tokens": r.context_tokens,
        "model_calls": r.usage.calls,
        "input_tokens": r.usage.input_tokens,
        "output_tokens": r.usage.output_tokens,
        "usd": r.usage.usd,
        "failed": r.usage.failed,
        "latency_ms": pa.StructArray.from_arrays(latency, list(r.latency_ms)),
    }
    return columns | {name: pa.array(column, from_pandas=True) for name, column in scores.items()}
