"""The log of a running system: questions, its answers and passages, and what people said of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from annotated_doc import Doc
from pydantic.dataclasses import dataclass

from rag_opt.core.errors import BadInput
from rag_opt.core.questions import Alternative, Dataset, Question
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.datasets.files import DocumentFiles
from rag_opt.data.file_readers import FileReader
from rag_opt.data.log_lines import read_log
from rag_opt.data.question_lines import resolve_evidence
from rag_opt.data.quotes import QuoteResolver
from rag_opt.data.reading import Located, Problems, check_questions, number_in

_BIAS = (
    "questions from the log of a running system: their evidence is what that system found, so pipelines that are like "
    "it score better than they should, and what it never found counts for nobody (`python -m rag_opt.questions label`)"
)


@register("dataset", "logs")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Logs(DocumentFiles):
    """A log of questions with the answers and passages that a system gave, and what people said of them.

    A thumb up makes the answer a reference and any one of the passages its evidence. A passage that a person named as
    the right one is the evidence, whatever the thumb says.
    """

    name: Annotated[str, Doc("Name of the data set.")] = "logs"
    documents: Annotated[str, Doc("Folder of documents, or a `.jsonl` file of them.")]
    log: Annotated[str, Doc("File with a question as a JSON object on each line.")]
    others: Annotated[
        Literal["left_out", "without_evidence"],
        Doc("What becomes of questions without a thumb up: left out, or read without evidence and answer."),
    ] = "left_out"

    @property
    def sources(self) -> tuple[str | None, str]:
        """Folder or file of the documents, and the file of questions."""
        return self.documents, self.log

    def read(self, files: FileReader = FileReader(), *, lenient: bool = False) -> Dataset:
        """Return the data set. Raises BadInput listing everything wrong with the documents and the log."""
        problems, notes = Problems(), list[str]()
        corpus, _ = self.read_corpus(files, problems, notes)
        problems.raise_if_any()
        resolver, located, lost, unrated = QuoteResolver(corpus), list[Located](), 0, 0
        for where, line in read_log(Path(self.log), problems):
            name = line.id or f"line-{number_in(where)}"
            filters = line.filters or {}
            if not line.is_up and line.right_passage is None:
                unrated += 1
                if self.others == "without_evidence":
                    located.append((where, Question(name, line.question, filters=filters, origin="log")))
                continue
            named = line.passages or () if line.right_passage is None else (line.right_passage,)
            shown = [place for passage in named for place in _find_passage(passage, resolver)]
            lost += bool(named) and not shown
            evidence = (tuple(dict.fromkeys(shown)),) if shown else None
            answer = line.answer or None if line.is_up else None
            origin = "log, thumb up" if line.right_passage is None else "log, right passage named"
            located.append((where, Question(name, line.question, answer, evidence, filters=filters, origin=origin)))
        check_questions(located, corpus, problems)
        problems.raise_if_any()
        notes += [_BIAS, *self._count_notes(unrated, lost)]
        return Dataset(self.name, corpus, tuple(question for _, question in located), tuple(notes))

    def _count_notes(self, unrated: int, lost: int) -> list[str]:
        fate = "left out" if self.others == "left_out" else "read without evidence"
        notes = [f"{unrated} questions of the log have no thumb up and were {fate}"] if unrated else []
        return notes + ([f"{lost} questions of the log name passages that stand in no document now"] if lost else [])


def _find_passage(passage: object, resolver: QuoteResolver) -> tuple[Alternative, ...]:
    """Return the places of a passage; none if the documents have changed since it was shown."""
    try:
        needs = resolve_evidence([passage], resolver, "")
    except BadInput:
        return ()
    return tuple(place for need in needs or () for place in need)
