"""Data sets in the format of BEIR (Thakur et al., 2021), in a folder."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from annotated_doc import Doc
from pydantic.dataclasses import dataclass

from rag_opt.core.documents import Document
from rag_opt.core.questions import Dataset, Question, WholeDocument
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.reading import (
    Located,
    Problems,
    build_corpus,
    check_questions,
    check_unique,
    read_json_lines,
    read_utf8_or_report,
)


@register("dataset", "beir")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Beir:
    """A BEIR folder: `corpus.jsonl`, `queries.jsonl`, `qrels/<split>.tsv`. Evidence is whole documents."""

    name: Annotated[str, Doc("Name of the data set.")] = "beir"
    folder: Annotated[str, Doc("The folder.")]
    split: Annotated[str, Doc("Judgements to read: the name of a file in `qrels`, without its ending.")] = "test"

    def read(self) -> Dataset:
        """Return the data set. Raises BadInput listing everything wrong with its files."""
        problems = Problems()
        root = Path(self.folder)
        corpus = build_corpus(_read_documents(root / "corpus.jsonl", problems), str(root / "corpus.jsonl"), problems)
        problems.raise_if_any()
        gold = self._read_judgements(root / "qrels" / f"{self.split}.tsv", corpus.position, problems)
        located, unjudged = list[Located](), 0
        for where, line in read_json_lines(root / "queries.jsonl", problems):
            name = str(line.get("_id"))
            if name in gold:
                evidence = tuple((document,) for document in gold[name])
                located.append((where, Question(name, str(line.get("text")), evidence=evidence)))
            else:
                unjudged += 1
        check_questions(located, corpus, problems)
        problems.raise_if_any()
        notes = [f"{unjudged} queries have no judgement in split {self.split!r} and were left out"] if unjudged else []
        return Dataset(self.name, corpus, tuple(question for _, question in located), tuple(notes))

    def _read_judgements(self, path: Path, known: dict[str, int], problems: Problems) -> dict[str, list[WholeDocument]]:
        """Return the relevant documents of each query."""
        gold: dict[str, list[WholeDocument]] = defaultdict(list)
        for number, row in enumerate((read_utf8_or_report(path, problems) or "").splitlines(), start=1):
            columns = row.split("\t")
            if number == 1 and columns[-1:] == ["score"]:
                continue
            if len(columns) != 3 or not columns[2].strip().lstrip("-").isdigit():
                problems.add(f"{path}:{number}", f"should be query, document and score between tabs; is {row!r}")
            elif columns[1] not in known:
                problems.add(f"{path}:{number}", f"there is no document {columns[1]!r}")
            elif int(columns[2]) > 0:
                gold[columns[0]].append(WholeDocument(columns[1], int(columns[2])))
        return gold


def _read_documents(path: Path, problems: Problems) -> Iterator[Document]:
    places = []
    for where, line in read_json_lines(path, problems):
        title, text = str(line.get("title") or ""), str(line.get("text") or "")
        places.append((str(line.get("_id")), where))
        yield Document(str(line.get("_id")), f"{title}\n\n{text}" if title else text, title)
    check_unique(places, "document", problems)
