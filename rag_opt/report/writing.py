"""The report on disk: written at the end of a search, and now and then while it goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from rag_opt.core.corpus_readings import CorpusReadings
from rag_opt.core.faults import find_fault
from rag_opt.core.strict import PlainMapping
from rag_opt.pipeline.spec import SpecDict, part_from
from rag_opt.report.contents import Contents, Text, open_contents
from rag_opt.report.page import PAGE, render_page
from rag_opt.report.payload import collect_passages
from rag_opt.store.artifacts import write_atomically
from rag_opt.study.folder import StudyFolder
from rag_opt.study.sweep import Sweep
from rag_opt.study.trials import Trial

_EVERY_S, _SHARE_OF_TIME = 30.0, 0.05  # how often at most, and for how much of a search's time


def write_page(contents: Contents, path: Path, text: Text | None) -> Path:
    """Write a study's page, whole, and return where it is."""
    write_atomically(path, render_page(contents, text, texts=shows_texts(contents.study.settings)).encode())
    return path


def shows_texts(settings: PlainMapping) -> bool:
    """Return whether `tracking.content` lets a report say what questions, answers and documents say."""
    return str((settings.get("tracking") or {}).get("content", "auto")) in ("auto", "full")


def text_of(readings: CorpusReadings) -> Text:
    """Return what gives the text of documents as a reader made them."""

    def text(reader: PlainMapping, document: str, start: int, end: int) -> str:
        part = part_from("reader", dict(reader), where="reader") if reader else None
        corpus = readings.corpus(part)
        return corpus.documents[corpus.position[document]].text[start:end]

    return text


class ReportWriter:
    """A watcher of the search that writes its report every half minute, and for at most a twentieth of its time.

    A report that cannot be written is said once, and is no reason to fail a search.
    """

    def __init__(self, folder: Path, text: Text | None, tell: Callable[[str], None]) -> None:
        self._folder, self._text, self._tell = folder, text, tell
        self._next, self._failed = time.monotonic() + _EVERY_S, False

    def write(self) -> Path | None:
        """Write the report now, and return where it is; None where that fails."""
        started = time.monotonic()
        try:
            path = write_page(open_contents(self._folder), self._folder / PAGE, self._text)
        except Exception as error:  # of any class: charts and texts of odd studies
            if find_fault(error, [self._folder]) is not None:
                raise
            if not self._failed:
                self._tell(f"the report could not be written: {type(error).__name__}: {error}")
            self._failed = True
            return None
        took = time.monotonic() - started
        self._next = time.monotonic() + max(_EVERY_S, took / _SHARE_OF_TIME)
        return path

    def keep_passages(self, folder: StudyFolder) -> None:
        """Keep the texts of what finalists returned, for evaluation runs, where they may be told."""
        contents = open_contents(self._folder)
        if self._text is not None and contents.result is not None and shows_texts(contents.study.settings):
            folder.save_passages(collect_passages(contents, self._text))

    def trial_started(self, number: int, spec: SpecDict, origin: str) -> None:
        """Nothing."""

    def trial_finished(self, trial: Trial, done: int) -> None:
        """Write the report where it is time."""
        if time.monotonic() >= self._next:
            self.write()

    def note(self, text: str) -> None:
        """Nothing."""

    def sweep_finished(self, number: int, sweep: Sweep) -> None:
        """Nothing."""
