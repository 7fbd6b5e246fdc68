"""Data sets in the format of BEIR (Thakur et al., 2021), in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from annotated_doc import Doc
from pydantic.dataclasses import dataclass

from rag_opt.core.documents import Document
from rag_opt.core.questions import Dataset, Question
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.datasets.judgements import Judgements, exclude_own_documents, read_id, read_judgement_file
from rag_opt.data.reading import (
    Located,
    Problems,
    build_corpus,
    check_questions,
    check_unique,
    read_json_lines,
)

_SHOWN = 5


@register("dataset", "beir")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Beir:
    """A BEIR folder: `corpus.jsonl`, `queries.jsonl`, `qrels/<split>.tsv`. Evidence is whole documents."""

    name: Annotated[str, Doc("Name of the data set.")] = "beir"
    folder: Annotated[str, Doc("The folder.")]
    split: Annotated[str, Doc("Judgements to read: the name of a file in `qrels`, without its ending.")] = "test"
    ignore_identical_ids: Annotated[bool, Doc("A query does not find the document that has its own id.")] = True

    def read(self) -> Dataset:
        """Return the data set. Raises BadInput listing everything wrong with its files."""
        problems, empty = Problems(), list[str]()
        root = Path(self.folder)
        documents = _read_documents(root / "corpus.jsonl", problems, empty)
        corpus = build_corpus(documents, str(root / "corpus.jsonl"), problems)
        problems.raise_if_any()
        judged = read_judgement_file(root / "qrels" / f"{self.split}.tsv", problems)
        judgements, located = Judgements(judged, corpus.position), list[Located]()
        queries = [
            (where, read_id(line), str(line.get("text") or ""))
            for where, line in read_json_lines(root / "queries.jsonl", problems)
        ]
        for where, name, text in queries:
            if name in judgements.by_query:
                located.append((where, Question(name, text, evidence=judgements.by_query[name])))
        located, own = exclude_own_documents(located, corpus.position, ignore=self.ignore_identical_ids)
        check_questions(located, corpus, problems)
        problems.raise_if_any()
        names = {name for _, name, _ in queries}
        notes = judgements.notes(names, self.split) + own
        if empty:
            notes.append(f"{len(empty)} documents are empty and were left out: {', '.join(empty[:_SHOWN])}")
        return Dataset(self.name, corpus, tuple(question for _, question in located), tuple(notes))


def _read_documents(path: Path, problems: Problems, empty: list[str]) -> Iterator[Document]:
    """Yield the documents of a corpus; ids of those without a word are added to `empty`."""
    places = []
    for where, line in read_json_lines(path, problems):
        name, title, text = read_id(line), str(line.get("title") or ""), str(line.get("text") or "")
        places.append((name, where))
        if f"{title}{text}".strip():
            yield Document(name, f"{title}\n\n{text}" if title else text, title)
        else:
            empty.append(name)
    check_unique(places, "document", problems)
