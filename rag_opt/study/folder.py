"""Files of a study: what it is bound to, its finished trials, a table of rows per trial, its result."""

from __future__ import annotations

import contextlib
import gzip
import os
import socket
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NotRequired, TypedDict, cast

import filelock
import numpy as np
import orjson

from rag_opt.core.arrays import FloatArray
from rag_opt.core.digests import canonical_json, checksum
from rag_opt.core.errors import BadStudy, StudyBusy, StudyMismatch
from rag_opt.core.faults import find_fault
from rag_opt.core.strict import PlainDict, PlainMapping
from rag_opt.evaluation.run import Run, Scores
from rag_opt.models.runtimes import DocumentRuntime
from rag_opt.store.artifacts import sweep_leftovers, write_atomically
from rag_opt.study.question_rows import row_columns

_PASSAGES = "passages.json.gz"
FORMAT = 1
_RESULT, _ROWS_CHECKSUM = "result.json", "rag_opt.checksum"
_AGAIN = "give the search's command again: it writes the file anew"
Row = PlainDict  # column -> value of one question


class StudySettings(TypedDict):
    """Content of `study.json`. `format`: 1, and of a study before 0.2 nothing, which is the same."""

    format: NotRequired[int]
    name: str
    uid: str
    digests: dict[str, str]
    runtimes: dict[str, DocumentRuntime]
    settings: PlainDict


class StudyFolder:
    """Everything that a search writes, outputs/<study>/.

    study.json            digests of corpus, questions, space, objective and baseline; what encodes the documents of
                          each model; the resolved settings
    study.db              finished Optuna trials (SQLite): optuna-dashboard reads it
    rows/0007.parquet     what trial 7 returned and scored, a row per search question
    held_out/0007.parquet the same on the held-out questions, for finalists and the baseline
    spending.sqlite       every request to a language model: when, who asked, tokens, dollars; never its text
    sweeps/0002.json      every rearrangement of the lists of trial 2's index, scored on evidence
    passages.json.gz      texts of what finalists returned on the held-out questions, for evaluation runs
    report.html           the report; views.json: addresses of MLflow's views
    result.json           winner, baseline, gain with its interval
    winner.yaml           the winner, every setting by its name: another search takes it back as its baseline
    running_baseline.jsonl  what a log or a service that is the baseline replied
    outbox/               trials that tracking has not delivered yet

    `damage`: what was found damaged and written again, in words.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        self.damage: list[str] = []

    @property
    def database(self) -> Path:
        """File of the finished trials."""
        return self.path / "study.db"

    @property
    def spending_database(self) -> Path:
        """File of the requests to language models."""
        return self.path / "spending.sqlite"

    @property
    def outbox(self) -> Path:
        """Folder of the notes that tracking has not delivered."""
        return self.path / "outbox"

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the study against a second search. The system frees it when this process dies.

        Raises StudyBusy naming who holds it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        holder = self.path / "driver.json"
        lock = filelock.FileLock(self.path / "driver.lock", blocking=False)
        try:
            lock.acquire()
        except filelock.Timeout:
            driver = {}
            with contextlib.suppress(BadStudy):
                driver = read_json(holder)
            raise StudyBusy(
                f"{self.path} is being searched by process {driver.get('pid', '?')} on {driver.get('host', '?')}; "
                "wait for it, or give this search another study.name",
                pid=driver.get("pid"),
                host=driver.get("host"),
            ) from None
        try:
            sweep_leftovers(self.path)
            write_atomically(holder, orjson.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
            yield
        finally:
            lock.release()

    def ask(self, word: str) -> None:
        """Leave a word for the search that holds it: `skip` the trial that runs, or `finish`."""
        write_atomically(self.path / f"asked-{word}", b"")

    def was_asked(self, word: str) -> bool:
        """Return whether somebody left that word."""
        return (self.path / f"asked-{word}").exists()

    def forget(self, word: str) -> None:
        """Take a word away that was acted on, or came too late."""
        (self.path / f"asked-{word}").unlink(missing_ok=True)

    @property
    def busy(self) -> bool:
        """True while a search holds it."""
        try:
            with filelock.FileLock(self.path / "driver.lock", blocking=False):
                return False
        except filelock.Timeout:
            return True

    def bind(
        self,
        digests: Mapping[str, str],
        settings: PlainMapping,
        runtimes: Mapping[str, DocumentRuntime] = MappingProxyType({}),
    ) -> PlainDict | None:
        """Bind the study to its inputs, or check that it is bound to these.

        `runtimes`: by id of a model, what encodes its documents. Return the settings that it had before, None for a new
        study. Raises StudyMismatch naming what differs, and a name that is free.
        """
        known = self._read_binding()
        if known is not None:
            if not known["settings"]:
                path = self._settings_path
                self.damage.append(f"{path} was missing or damaged; it was written again from {self.database}")
            changed = [name for name in digests if known["digests"].get(name) != digests[name]]
            if changed:
                raise StudyMismatch(
                    f"the study {self.name!r} in {self.path} was made with another {' and another '.join(changed)}; "
                    "its trials cannot be compared with new ones. Give this search a new name: "
                    f"study.name={self.free_name()}",
                    changed=changed,
                )
        # what does not bind (where to track, how many trials) is as it was given last
        content = StudySettings(
            format=FORMAT,
            name=known["name"] if known else self.name,
            uid=known["uid"] if known else uuid.uuid4().hex,
            digests=dict(digests),
            runtimes={**(known.get("runtimes", {}) if known else {}), **runtimes},
            settings=dict(settings),
        )
        write_json(self._settings_path, cast("PlainDict", content))
        return dict(known["settings"]) if known else None

    @property
    def _settings_path(self) -> Path:
        return self.path / "study.json"

    def free_name(self) -> str:
        """Return a name beside its own that no study has."""
        number = 2
        while (self.path.parent / f"{self.name}-{number}").exists():
            number += 1
        return f"{self.name}-{number}"

    @property
    def study_name(self) -> str:
        """The name that its trials are kept under: the one it was made with, whatever its folder is called now."""
        return self.settings()["name"]

    def settings(self) -> StudySettings:
        """Return the content of `study.json`.

        Raises BadStudy where it is missing or damaged, StudyMismatch where another version made it in another format.
        """
        found = cast("StudySettings", read_json(self._settings_path))
        if found.get("format", FORMAT) != FORMAT:
            raise StudyMismatch(
                f"{self.path} is a study of format {found['format']}, where this version reads {FORMAT}: go on with "
                f"the rag_opt that made it, or under another name: study.name={self.free_name()}",
                changed=["format"],
            )
        return found

    @property
    def binding(self) -> PlainDict:
        """What identifies the study and its inputs: a part of its settings."""
        bound = self.settings()
        return {name: bound.get(name, {}) for name in ("name", "uid", "digests", "runtimes")}

    def kept_runtimes(self) -> dict[str, DocumentRuntime]:
        """Return what it began to encode the documents of each model with; empty for a new study."""
        known = self._read_binding()
        return known.get("runtimes", {}) if known is not None else {}

    def _read_binding(self) -> StudySettings | None:
        """Return what the study is bound to, as its database kept it if need be, then without its settings.

        None for a new study.
        """
        if self._settings_path.exists():
            with contextlib.suppress(BadStudy):
                return self.settings()
        if not self.database.exists():
            return None
        from rag_opt.study.trials import load_binding

        bound = load_binding(self.database)
        if bound is None:
            return None  # the database is damaged too, or of an earlier version: nothing is known of it
        return cast("StudySettings", {**bound, "settings": {}})

    def result(self) -> PlainDict | None:
        """Return the content of `result.json`, None before the end of the search. Raises BadStudy for a damaged one."""
        path = self.path / _RESULT
        return read_json(path) if path.exists() else None

    def save_result(self, content: PlainDict) -> None:
        """Write `result.json`."""
        write_json(self.path / _RESULT, content)

    def rows_path(self, number: int, part: str = "rows") -> Path:
        """Return the file of a trial's rows. `part`: rows, or held_out."""
        return self.path / part / f"{number:04d}.parquet"

    def save_rows(self, number: int, run: Run, scores: Scores, *, part: str = "rows") -> str:
        """Write a row per question, whole, before the trial is committed: a trial on disk always has its rows.

        Return the hash of the file.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self.rows_path(number, part)
        path.parent.mkdir(exist_ok=True)
        buffer, table = pa.BufferOutputStream(), pa.table(row_columns(run, scores))
        table = table.replace_schema_metadata({_ROWS_CHECKSUM: _checksum(table.to_pylist())})
        pq.write_table(table, buffer, compression="zstd")
        content = buffer.getvalue().to_pybytes()
        write_atomically(path, content)
        return checksum(content).hex()

    def find_damaged_rows(self, number: int, expected: str) -> str:
        """Return what is wrong with the file of a trial's rows, whose hash is `expected`, in words; empty: nothing."""
        path = self.rows_path(number)
        if not path.exists():
            return "is missing"
        written = self._recovered().get(str(number), expected)
        return "" if not written or checksum(path.read_bytes()).hex() == written else "is not what was written"

    def note_recovered(self, number: int, rows_digest: str) -> None:
        """Remember the hash of rows that were made again."""
        write_atomically(self._recovered_path, orjson.dumps({**self._recovered(), str(number): rows_digest}))

    def _recovered(self) -> PlainDict:
        try:
            return read_json(self._recovered_path)
        except BadStudy:
            return {}

    @property
    def _recovered_path(self) -> Path:
        return self.path / "rows" / "recovered.json"

    def load_column(self, number: int, name: str) -> FloatArray:
        """Return one column of numbers of a trial's rows, NaN where a question has none."""
        import pyarrow.parquet as pq

        column = pq.read_table(self.rows_path(number), columns=[name]).column(0)
        return np.array(column.to_numpy(zero_copy_only=False), float)

    def load_column_names(self, number: int) -> list[str]:
        """Return the names of the columns of a trial's rows."""
        import pyarrow.parquet as pq

        names: list[str] = pq.read_schema(self.rows_path(number)).names
        return names

    def save_passages(self, content: PlainDict) -> None:
        """Keep the passages that finalists returned: {reader as JSON: {document: [[start, text], …]}}."""
        write_atomically(self.path / _PASSAGES, gzip.compress(orjson.dumps(content), 6, mtime=0))

    def load_passages(self) -> PlainDict:
        """Return what `save_passages` kept; empty where nothing was."""
        path = self.path / _PASSAGES
        if not path.exists():
            return {}
        loaded: PlainDict = orjson.loads(gzip.decompress(path.read_bytes()))
        return loaded

    def sweep_path(self, number: int) -> Path:
        """Return the file of the sweep over the lists of a trial's index."""
        return self.path / "sweeps" / f"{number:04d}.json"

    def save_sweep(self, number: int, table: Mapping[str, object]) -> None:
        """Write the table of a sweep."""
        path = self.sweep_path(number)
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, orjson.dumps(table))

    def load_rows(self, number: int, part: str = "rows") -> list[Row]:
        """Return what a trial returned and scored, a row per question. Raises BadStudy where it was damaged since."""
        import pyarrow.parquet as pq

        path = self.rows_path(number, part)
        try:
            table = pq.read_table(path)
            rows: list[Row] = table.to_pylist()
        except Exception as error:  # whatever Arrow makes of a damaged file
            if find_fault(error) is not None:
                raise
            raise BadStudy(f"{path} cannot be read ({error}); {_AGAIN}") from None
        written = (table.schema.metadata or {}).get(_ROWS_CHECKSUM.encode(), b"").decode()
        if written and written != _checksum(rows):  # older versions wrote none
            raise BadStudy(f"{path} is not what was written; {_AGAIN}")
        return rows


def write_json(path: Path, content: PlainDict) -> None:
    """Write a JSON file of a study, whole, with a checksum over its content."""
    whole = {**content, "checksum": _checksum(content)}
    write_atomically(path, orjson.dumps(whole, option=orjson.OPT_INDENT_2))


def read_json(path: Path) -> PlainDict:
    """Return the content of a study's JSON file. Raises BadStudy where it is missing, cut or not what was written."""
    try:
        content = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        raise BadStudy(f"{path} is missing; {_AGAIN}") from None
    except ValueError as error:
        raise BadStudy(f"{path} is damaged ({error}); {_AGAIN}") from None
    if not isinstance(content, dict):
        raise BadStudy(f"{path} is damaged (no mapping); {_AGAIN}")
    written = content.pop("checksum", None)  # some files have none, nor had those of older versions
    if written is not None and written != _checksum(content):
        raise BadStudy(f"{path} is not what was written; {_AGAIN}")
    return content


def _checksum(content: object) -> str:
    return checksum(canonical_json(content)).hex()
