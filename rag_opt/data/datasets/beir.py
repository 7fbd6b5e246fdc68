from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from pydantic.dataclasses import dataclass

from rag_opt.core.documents import Document
from rag_opt.core.questions import Dataset, Question, WholeDocument
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.reading import Problems, check_questions, check_unique, decode, json_lines, make_corpus


@register("dataset", "beir")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Beir:
    """A BEIR folder: `corpus.jsonl`, `queries.jsonl`, `qrels/<split>.tsv`. Evidence is whole documents."""

    name: str = "beir"
    folder: str
    split: str = "test"

    def read(self) -> Dataset:
        problems = Problems()
        root = Path(self.folder)
        corpus = make_corpus(_documents(root / "corpus.jsonl", problems), str(root / "corpus.jsonl"), problems)
        problems.refuse_if_any()
        gold = self._judgements(root / "qrels" / f"{self.split}.tsv", corpus.position, problems)
        found, unjudged = [], 0
        for where, line in json_lines(root / "queries.jsonl", problems):
            name = str(line.get("_id"))
            if name in gold:
                found.append((where, Question(name, str(line.get("text")), evidence=tuple((d,) for d in gold[name]))))
            else:
                unjudged += 1
        check_questions(found, corpus, problems)
        problems.refuse_if_any()
        notes = [f"{unjudged} queries have no judgement in split {self.split!r} and were left out"] if unjudged else []
        return Dataset(self.name, corpus, tuple(q for _, q in found), tuple(notes))

    def _judgements(self, path: Path, known: dict[str, int], problems: Problems) -> dict[str, list[WholeDocument]]:
        gold: dict[str, list[WholeDocument]] = defaultdict(list)
        for number, row in enumerate((decode(path, problems) or "").splitlines(), start=1):
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


def _documents(path: Path, problems: Problems) -> Iterator[Document]:
    places = []
    for where, line in json_lines(path, problems):
        title, text = str(line.get("title") or ""), str(line.get("text") or "")
        places.append((str(line.get("_id")), where))
        yield Document(str(line.get("_id")), f"{title}\n\n{text}" if title else text, title)
    check_unique(places, "document", problems)
