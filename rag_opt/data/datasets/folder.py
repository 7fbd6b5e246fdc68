"""A person's own documents in a folder, and their questions as JSON lines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from annotated_doc import Doc
from pydantic.dataclasses import dataclass

from rag_opt.core.questions import Dataset
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.datasets.files import DocumentFiles
from rag_opt.data.file_readers import FileReader
from rag_opt.data.question_lines import read_questions
from rag_opt.data.quotes import QuoteResolver
from rag_opt.data.reading import Problems, check_questions, describe_cut_words


@register("dataset", "folder")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Folder(DocumentFiles):
    """A folder of documents in files (docs/your_own_data.md lists the formats), or one `.jsonl` of documents; questions
    as JSON lines.

    A file's id is its path below the folder; `folder` and `name` are its metadata for filters.
    """

    name: Annotated[str, Doc("Name of the data set.")] = "folder"
    documents: Annotated[str, Doc("The folder, one file, or a `.jsonl` file of documents.")]
    questions: Annotated[str, Doc("File with a question as a JSON object on each line.")]

    @property
    def sources(self) -> tuple[str | None, str]:
        """Folder or file of the documents, and the file of questions."""
        return self.documents, self.questions

    def read(self, files: FileReader = FileReader(), *, lenient: bool = False) -> Dataset:
        """Return the data set. Raises BadInput listing everything wrong with the documents and the questions.

        `lenient`: a quote that is not found is a LostPassage, because another reader may have it.
        """
        problems, notes = Problems(), list[str]()
        corpus, left_out = self.read_corpus(files, problems, notes)
        problems.raise_if_any()  # without documents every piece of evidence would be reported missing
        resolver = QuoteResolver(corpus, left_out=left_out, lenient=lenient)
        located = read_questions(Path(self.questions), resolver, problems, notes)
        check_questions(located, corpus, problems)
        problems.raise_if_any()
        notes += [*resolver.notes(), *describe_cut_words(located, corpus)]
        return Dataset(self.name, corpus, tuple(question for _, question in located), tuple(notes))
