"""Retrieval data sets on the Hugging Face hub: of MTEB by the name of the task, or any by its path."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from pydantic.dataclasses import dataclass

from rag_opt.core.documents import Document, Span
from rag_opt.core.errors import BadInput, Problem, among
from rag_opt.core.questions import Dataset, Question, WholeDocument
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.reading import Problems, check_questions, make_corpus

# path on the hub, revision, split with judgements: as MTEB's registry has them (mteb 2.26)
TASKS = {
    "ArguAna": ("mteb/arguana", "c22ab2a51041ffd869aaddef7af8d8215647e41a", "test"),
    "FiQA2018": ("mteb/fiqa", "27a168819829fe9bcd655c2df245fb19452e8e06", "test"),
    "HotpotQA": ("mteb/hotpotqa", "ab518f4d6fcca38d87c25209f94beba119d02014", "test"),
    "MSMARCO": ("mteb/msmarco", "c5a29a104738b98a9e76336939199e264163d4a0", "dev"),
    "MedicalQARetrieval": ("mteb/medical_qa", "ae763399273d8b20506b80cf6f6f9a31a6a2b238", "test"),
    "NFCorpus": ("mteb/nfcorpus", "ec0fa4fe99da2ff19ca1214b7966684033a58814", "test"),
    "NQ": ("mteb/nq", "b774495ed302d8c44a3a7ea25c90dbce03968f31", "test"),
    "NanoSciFactRetrieval": ("mteb/NanoSciFactRetrieval", "8c5f7bbe90bb865f46c67710221afa7d9096251b", "train"),
    "QuoraRetrieval": ("mteb/quora", "e4e08e0b7dbe3c8700f0daef558ff32256715259", "test"),
    "SCIDOCS": ("mteb/scidocs", "f8c2fcf00f625baaa80f62ec5bd9e1fff3b8ae88", "test"),
    "SciFact": ("mteb/scifact", "d56462d0e63a25450459c4f213e49ffdb866f7f9", "test"),
    "TRECCOVID": ("mteb/trec-covid", "bb9466bac8153a0349341eb1b22e06409e78ef4e", "test"),
}


@register("dataset", "mteb")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Mteb:
    """A retrieval task of MTEB by its name; one that is not known here is asked of the package mteb, if installed."""

    name: str | None = None
    task: str
    split: str | None = None

    def read(self) -> Dataset:
        path, revision, split = self._place()
        name = self.name or self.task.lower()
        return Hub(name=name, path=path, revision=revision, split=self.split or split).read()

    def _place(self) -> tuple[str, str, str]:
        if self.task in TASKS:
            return TASKS[self.task]
        try:
            import mteb
        except ImportError:
            what = f"no task is called {self.task!r}{among(self.task, TASKS)}; with the package mteb installed, all are"
            raise BadInput([Problem("dataset.task", what)]) from None
        try:
            found = mteb.get_task(self.task).metadata
        except KeyError as error:
            raise BadInput([Problem("dataset.task", str(error))]) from None
        return found.dataset["path"], found.dataset["revision"], found.eval_splits[0]


@register("dataset", "huggingface")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Hub:
    """A data set of the hub, or a folder like one. With the configs `corpus`, `queries` and judgements (as BEIR and
    MTEB have them) evidence is whole documents. With rows of questions, each with the passage that answers it
    (`context_column`), passages are documents, and where an answer stands in its passage verbatim it is the evidence.
    """

    name: str = "huggingface"
    path: str
    revision: str | None = None
    split: str = "test"
    config: str | None = None
    judgements: str | None = None
    question_column: str = "question"
    context_column: str = "context"
    answer_column: str = "answer"

    def read(self) -> Dataset:
        problems = Problems()
        configs = self._configs()
        found = self._judged(configs, problems) if {"corpus", "queries"} <= set(configs) else self._rows(problems)
        problems.refuse_if_any()
        return found

    def _judged(self, configs: list[str], problems: Problems) -> Dataset:
        documents = (_document(row) for row in self._load("corpus", None))
        kept = (document for document in documents if document.text.strip())  # some corpora have empty ones
        corpus = make_corpus(kept, f"{self.path} corpus", problems)
        problems.refuse_if_any()
        gold: dict[str, list[WholeDocument]] = defaultdict(list)
        named = next((one for one in ("qrels", "default") if one in configs), None)
        for row in self._load(None if self.judgements else named, self.split, path=self.judgements):
            document, relevance = str(row["corpus-id"]), int(row["score"])
            if relevance > 0 and document in corpus.position:
                gold[str(row["query-id"])].append(WholeDocument(document, relevance))
        asked, unjudged = [], 0
        for row in self._load("queries", None):
            name = str(row.get("_id", row.get("id")))
            evidence = tuple((one,) for one in gold.get(name, ()))
            unjudged += not evidence
            if evidence:
                asked.append((f"{self.path} queries {name}", Question(name, str(row["text"]), evidence=evidence)))
        check_questions(asked, corpus, problems)
        notes = [f"{unjudged} queries have no judgement in split {self.split!r} and were left out"] if unjudged else []
        return Dataset(self.name, corpus, tuple(question for _, question in asked), tuple(notes))

    def _rows(self, problems: Problems) -> Dataset:
        rows, passages = list(self._load(self.config, self.split)), dict[str, str]()
        for column in (self.question_column, self.context_column):
            if rows and column not in rows[0]:
                problems.add("dataset", f"{self.path} has no column {column!r}{among(column, rows[0])}")
        problems.refuse_if_any()
        for row in rows:
            passages.setdefault(str(row[self.context_column]), f"passage-{len(passages) + 1:06}")
        corpus = make_corpus((Document(name, text) for text, name in passages.items()), self.path, problems)
        asked = []
        for number, row in enumerate(rows, start=1):
            question = self._question(f"row-{number}", row, passages[str(row[self.context_column])])
            asked.append((f"{self.path} row {number}", question))
        check_questions(asked, corpus, problems)
        return Dataset(self.name, corpus, tuple(question for _, question in asked))

    def _question(self, name: str, row: dict[str, Any], document: str) -> Question:
        """A row without an answer, where others have one, has none in its passage (SQuAD v2)."""
        text, given = str(row[self.question_column]), row.get(self.answer_column)
        answer, start = _answer(given)
        if self.answer_column in row and answer is None:
            return Question(name, text, answerable=False)
        places = _places(str(row[self.context_column]), answer, start) if answer else []
        need = tuple(Span(document, *place) for place in places) or (WholeDocument(document),)
        return Question(name, text, answer, (need,))

    def _configs(self) -> list[str]:
        import datasets

        try:
            return list(datasets.get_dataset_config_names(self.path, revision=self.revision))
        except Exception as error:  # whatever the hub, the network or a broken data set raises
            raise BadInput([Problem("dataset.path", f"{self.path} cannot be read: {_first_line(error)}")]) from None

    def _load(self, config: str | None, split: str | None, *, path: str | None = None) -> Iterator[dict[str, Any]]:
        """Rows of a config; of its only split where none is asked for."""
        import datasets

        place, revision = path or self.path, None if path else self.revision
        try:
            found = datasets.load_dataset(place, config, revision=revision)
        except Exception as error:  # as above
            raise BadInput(
                [Problem("dataset.path", f"{place} {config or ''} cannot be read: {_first_line(error)}")]
            ) from None
        names = list(found)
        chosen = split if split in names else names[0] if split is None else None
        if chosen is None:
            raise BadInput(
                [Problem("dataset.split", f"{place} {config or ''} has no split {split!r}{among(split, names)}")]
            )
        yield from found[chosen]


def _document(row: dict[str, Any]) -> Document:
    title, text = str(row.get("title") or ""), str(row.get("text") or "")
    return Document(str(row.get("_id", row.get("id"))), f"{title}\n\n{text}" if title else text, title)


def _answer(value: Any) -> tuple[str | None, int | None]:
    """A text, the first of several, or SQuAD's `{"text": [...], "answer_start": [...]}`; and where it begins."""
    start = None
    if isinstance(value, dict):
        starts, value = value.get("answer_start"), value.get("text")
        start = (starts[0] if starts else None) if isinstance(starts, (list, tuple)) else starts
    if isinstance(value, (list, tuple)):
        value = value[0] if value else None
    return (str(value) if value else None), start if isinstance(start, int) else None


def _places(context: str, answer: str, start: int | None) -> list[tuple[int, int]]:
    """Where an answer stands: where it is said to, or else everywhere as words of its own."""
    if start is not None and context.startswith(answer, start):
        return [(start, start + len(answer))]
    return [match.span() for match in re.finditer(rf"(?<!\w){re.escape(answer)}(?!\w)", context)]


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
