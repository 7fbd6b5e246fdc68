"""Retrieval data sets on the Hugging Face hub: of MTEB by the name of the task, or any by its path."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated

from annotated_doc import Doc
from pydantic.dataclasses import dataclass

from rag_opt.core.documents import Document, Span
from rag_opt.core.errors import BadInput, Problem, suggest_names
from rag_opt.core.questions import Dataset, Question, WholeDocument
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.datasets.judgements import Judgement, Judgements, exclude_own_documents, read_id
from rag_opt.data.printed import read_list
from rag_opt.data.reading import JsonObject, Located, Problems, build_corpus, check_questions

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


def _to_judgement(row: JsonObject) -> Judgement:
    score = row["score"]
    return str(row["query-id"]), str(row["corpus-id"]), int(score) if isinstance(score, (int, float, str)) else 0


@register("dataset", "mteb")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Mteb:
    """A retrieval task of MTEB by its name; one that is not known here is asked of the package mteb, if installed."""

    name: Annotated[str | None, Doc("Name of the data set; null: the task's, in small letters.")] = None
    task: Annotated[str, Doc("Name of the task, as SciFact or NFCorpus.")]
    split: Annotated[str | None, Doc("Judgements to read; null: those that MTEB scores.")] = None

    def read(self) -> Dataset:
        """Return the data set. Raises BadInput for an unknown task, or one that cannot be read."""
        path, revision, split = self._find()
        name = self.name or self.task.lower()
        return Hub(name=name, path=path, revision=revision, split=self.split or split).read()

    def _find(self) -> tuple[str, str, str]:
        """Return path on the hub, revision and split of the task."""
        if self.task in TASKS:
            return TASKS[self.task]
        try:
            import mteb
        except ImportError:
            known = suggest_names(self.task, TASKS)
            what = f"no task is called {self.task!r}{known}; with the package mteb installed, all are"
            raise BadInput([Problem("dataset.task", what)]) from None
        try:
            metadata = mteb.get_task(self.task).metadata
        except KeyError as error:
            raise BadInput([Problem("dataset.task", str(error))]) from None
        return metadata.dataset["path"], metadata.dataset["revision"], metadata.eval_splits[0]


@register("dataset", "huggingface")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Hub:
    """A data set of the hub, or a folder like one. With the configs `corpus`, `queries` and judgements (as BEIR and
    MTEB have them) evidence is whole documents. With rows of questions, each with the passage that answers it
    (`context_column`), passages are documents, and where an answer stands in its passage verbatim it is the evidence.
    """

    name: Annotated[str, Doc("Name of the data set.")] = "huggingface"
    path: Annotated[str, Doc("Path on the hub, as mteb/scifact, or a folder.")]
    revision: Annotated[str | None, Doc("Commit, branch or tag on the hub; null: the newest.")] = None
    split: Annotated[str, Doc("Split of the judgements, or of the rows.")] = "test"
    config: Annotated[str | None, Doc("Config of the rows; null: the only one.")] = None
    ignore_identical_ids: Annotated[bool, Doc("A query does not find the document that has its own id.")] = True
    judgements: Annotated[str | None, Doc("Another data set that holds the judgements, as BeIR/scifact-qrels.")] = None
    question_column: Annotated[str, Doc("Column of the rows with the question.")] = "question"
    context_column: Annotated[str, Doc("Column of the rows with the passage.")] = "context"
    answer_column: Annotated[str, Doc("Column of the rows with the answer.")] = "answer"

    def read(self) -> Dataset:
        """Return the data set. Raises BadInput where it cannot be read, and for everything wrong with it."""
        problems = Problems()
        configs = self._configs()
        is_judged = {"corpus", "queries"} <= set(configs)
        dataset = self._read_judged(configs, problems) if is_judged else self._read_rows(problems)
        problems.raise_if_any()
        return dataset

    def _read_judged(self, configs: list[str], problems: Problems) -> Dataset:
        documents = (_to_document(row) for row in self._load("corpus", None))
        with_text = (document for document in documents if document.text.strip())  # some corpora have empty ones
        corpus = build_corpus(with_text, f"{self.path} corpus", problems)
        problems.raise_if_any()
        config = next((name for name in ("qrels", "default") if name in configs), None)
        rows = self._load(None if self.judgements else config, self.split, path=self.judgements)
        judgements = Judgements((_to_judgement(row) for row in rows), corpus.position)
        located, names = list[Located](), set[str]()
        for row in self._load("queries", None):
            name = read_id(row)
            names.add(name)
            if name in judgements.by_query:
                question = Question(name, str(row.get("text") or ""), evidence=judgements.by_query[name])
                located.append((f"{self.path} queries {name}", question))
        located, own = exclude_own_documents(located, corpus.position, ignore=self.ignore_identical_ids)
        check_questions(located, corpus, problems)
        notes = judgements.notes(names, self.split) + own
        return Dataset(self.name, corpus, tuple(question for _, question in located), tuple(notes))

    def _read_rows(self, problems: Problems) -> Dataset:
        rows, passages = list(self._load(self.config, self.split)), dict[str, str]()
        for column in (self.question_column, self.context_column):
            if rows and column not in rows[0]:
                problems.add("dataset", f"{self.path} has no column {column!r}{suggest_names(column, rows[0])}")
        problems.raise_if_any()
        for row in rows:
            passages.setdefault(str(row[self.context_column]), f"passage-{len(passages) + 1:06}")
        corpus = build_corpus((Document(name, text) for text, name in passages.items()), self.path, problems)
        located = list[Located]()
        for number, row in enumerate(rows, start=1):
            question = self._to_question(f"row-{number}", row, passages[str(row[self.context_column])])
            located.append((f"{self.path} row {number}", question))
        check_questions(located, corpus, problems)
        return Dataset(self.name, corpus, tuple(question for _, question in located))

    def _to_question(self, name: str, row: JsonObject, document: str) -> Question:
        """Return a row's question. Without an answer, where others have one, it has none in its passage (SQuAD v2)."""
        text, context = str(row[self.question_column]), str(row[self.context_column])
        answers, start = read_answers(row.get(self.answer_column))
        if self.answer_column in row and not answers:
            return Question(name, text, answerable=False)
        places = find_answer(context, answers[0], start) if answers else []
        places += [place for other in answers[1:] for place in find_answer(context, other, None)]
        need = tuple(Span(document, *place) for place in dict.fromkeys(places)) or (WholeDocument(document),)
        answer, others = answers[0] if answers else None, tuple(answers[1:])
        return Question(name, text, answer, (need,), other_answers=others)

    def _configs(self) -> list[str]:
        import datasets

        try:
            return list(datasets.get_dataset_config_names(self.path, revision=self.revision))
        except Exception as error:  # whatever the hub, the network or a broken data set raises
            raise BadInput([Problem("dataset.path", f"{self.path} cannot be read: {_first_line(error)}")]) from None

    def _load(self, config: str | None, split: str | None, *, path: str | None = None) -> Iterator[JsonObject]:
        """Yield the rows of a config; of its only split where none is asked for."""
        import datasets

        path, revision = path or self.path, None if path else self.revision
        try:
            by_split = datasets.load_dataset(path, config, revision=revision)
        except Exception as error:  # as above
            what = f"{path} {config or ''} cannot be read: {_first_line(error)}"
            raise BadInput([Problem("dataset.path", what)]) from None
        names = list(by_split)
        chosen = split if split in names else names[0] if split is None else None
        if chosen is None:
            what = f"{path} {config or ''} has no split {split!r}{suggest_names(split, names)}"
            raise BadInput([Problem("dataset.split", what)])
        yield from by_split[chosen]


def _to_document(row: JsonObject) -> Document:
    title, text = str(row.get("title") or ""), str(row.get("text") or "")
    return Document(read_id(row), f"{title}\n\n{text}" if title else text, title)


def read_answers(value: object) -> tuple[list[str], int | None]:
    """Return the answers, each once, and the offset where the first begins; None where it is not known.

    `value`: a text, a list of them, or SQuAD's `{"text": [...], "answer_start": [...]}`.
    """
    start: object = None
    if isinstance(value, dict):
        starts, value = read_list(value.get("answer_start")), value.get("text")
        start = starts[0] if starts else None
    answers = list(dict.fromkeys(str(text) for text in read_list(value) if text not in (None, "")))
    return answers, start if isinstance(start, int) else None


def find_answer(context: str, answer: str, start: int | None) -> list[tuple[int, int]]:
    """Return the spans where an answer stands: where it is said to, or else everywhere as words of its own."""
    if start is not None and context.startswith(answer, start):
        return [(start, start + len(answer))]
    return [match.span() for match in re.finditer(rf"(?<!\w){re.escape(answer)}(?!\w)", context)]


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
