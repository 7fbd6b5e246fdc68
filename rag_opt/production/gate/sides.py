"""The two sides of a gate: bundles, running services, or logs."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import orjson

from rag_opt.core.errors import BadInput, Problem, ServerFailed
from rag_opt.core.questions import Question
from rag_opt.data.datasets.files import read_documents_alone
from rag_opt.data.file_readers import FileReader
from rag_opt.evaluation.running_systems import RunningSystem, SystemReply, as_said, is_running_system, open_system
from rag_opt.pipeline.corpus_text import CorpusText
from rag_opt.production.bundle import Bundle
from rag_opt.production.bundle_reading import load_bundle
from rag_opt.production.manifest import Manifest, read_manifest
from rag_opt.production.stored_questions import StoredQuestion, load_questions
from rag_opt.store.artifacts import MANIFEST


class BundleSide:
    """A bundle. What it returned when it was exported is known and was checked; only other questions are asked.

    `asks`: everything is asked. `plugins`, `allow_code`: as of `load_bundle`.
    """

    def __init__(
        self, folder: Path, *, asks: bool = False, plugins: Sequence[str] = (), allow_code: Sequence[str] = ()
    ) -> None:
        self.folder, self._asks = folder, asks
        self.manifest: Manifest = read_manifest(folder, check=True)
        self.stored: list[StoredQuestion] = load_questions(folder)
        self._plugins, self._allow_code = tuple(plugins), tuple(allow_code)
        self.asked = 0

    @property
    def name(self) -> str:
        """The folder, as it was given."""
        return str(self.folder)

    @property
    def identity(self) -> str:
        """Its folder."""
        return f"bundle {self.folder.resolve()}"

    @functools.cached_property
    def bundle(self) -> Bundle:
        """The bundle, open."""
        return load_bundle(self.folder, check=False, plugins=self._plugins, allow_code=self._allow_code)

    @property
    def texts(self) -> CorpusText:
        """Its documents."""
        return self.bundle.pipeline.texts

    def ask(self, questions: Sequence[Question]) -> list[SystemReply]:
        """Return the reply to each question: as it was seen, or asked now."""
        seen = {} if self._asks else {_key(one.question): one for one in self.stored}
        known = [seen.get(_key(question)) for question in questions]
        missing = [question for question, one in zip(questions, known, strict=True) if one is None]
        self.asked += len(missing)
        asked = iter(self._ask_now(missing))
        return [_from_seen(one) if one is not None else next(asked) for one in known]

    def _ask_now(self, questions: Sequence[Question]) -> list[SystemReply]:
        if not questions:
            return []
        try:
            replies, failed = self.bundle.try_questions(questions)
        except ServerFailed as error:
            return [SystemReply(failed=str(error))] * len(questions)
        return [
            SystemReply(
                tuple({"document": hit.document, "start": hit.start, "end": hit.end} for hit in reply.hits),
                as_said(reply.answer, refused=reply.refused),
                reason,
            )
            for reply, reason in zip(replies, failed, strict=True)
        ]


def _key(question: Question) -> bytes:
    asked = [question.text, dict(question.filters), sorted(question.exclude)]
    return orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)


def _from_seen(one: StoredQuestion) -> SystemReply:
    places = tuple({"document": hit.document, "start": hit.start, "end": hit.end} for hit in one.seen.hits)
    return SystemReply(places, as_said(one.seen.answer, refused=one.seen.refused))


Side = BundleSide | RunningSystem


def open_side(
    given: str, *, where: str, asks: bool = False, plugins: Sequence[str] = (), allow_code: Sequence[str] = ()
) -> Side:
    """Return what a text names: a bundle's folder, the address of a service, or a log. Raises BadInput for others."""
    if is_running_system(given):
        return open_system(given, where=where)
    folder = Path(given)
    if not (folder / MANIFEST).is_file():
        what = f"{given!r} is no bundle (a folder with {MANIFEST}), no log (….jsonl) and no address (http://…)"
        raise BadInput([Problem(where, what)])
    return BundleSide(folder, asks=asks, plugins=plugins, allow_code=allow_code)


def find_documents(sides: Sequence[Side], given: str | None) -> CorpusText:
    """Return the documents for sides that bring none: those that are named, else those of the first bundle.

    Raises BadInput where there are none.
    """
    if given is not None:
        return CorpusText(read_documents_alone(given, FileReader())[0])
    for side in sides:
        if isinstance(side, BundleSide):
            return side.texts
    raise BadInput([Problem("--documents", "is missing: neither side is a bundle, which has documents")])
