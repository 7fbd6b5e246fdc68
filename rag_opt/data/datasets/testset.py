"""Test sets of other programs: questions, right answers and the passages that these rest on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

from annotated_doc import Doc
from pydantic.dataclasses import dataclass

from rag_opt.core.documents import Corpus, Document
from rag_opt.core.questions import Dataset, Need, Question, WholeDocument
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.csv_files import read_csv
from rag_opt.data.datasets.files import DocumentFiles
from rag_opt.data.file_readers import FileReader
from rag_opt.data.printed import read_list
from rag_opt.data.quotes import QuoteResolver
from rag_opt.data.reading import (
    JsonObject,
    Located,
    Problems,
    build_corpus,
    check_questions,
    number_in,
    read_json,
    read_json_lines,
)

_HOP = re.compile(r"\A<\d+-hop>\s*")
# keys by what they hold: ragas, ragas 0.1, DeepEval, LlamaIndex
_QUESTION = ("user_input", "question", "input", "query")
_ANSWER = ("reference", "ground_truth", "ground_truths", "expected_output", "reference_answer")
_CONTEXTS = ("reference_contexts", "contexts", "context")
_KIND = ("synthesizer_name", "evolution_type")
_RESPONSES = ("answer", "response", "actual_output")  # of a system; then `contexts` are what it retrieved
_LISTS = ("examples", "goldens", "test_cases", "samples", "data", "questions")  # of rows, in an object
_RETRIEVED = "have contexts that a system retrieved: these are no evidence, and were left out"
_SHOWN = 60


class _Sample(NamedTuple):
    """One row, as far as it is used. `documents`: ids of nodes that come with the test set, instead of contexts."""

    where: str
    id: str
    question: str
    answers: list[str]
    contexts: list[str]
    kind: str
    documents: tuple[str, ...] = ()


@register("dataset", "testset")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class ForeignTestset(DocumentFiles):
    """A test set of ragas (also 0.1), DeepEval or LlamaIndex, as JSON, JSON lines or CSV.

    Contexts are looked up in the documents and become spans; without documents each distinct context is one.
    """

    name: Annotated[str, Doc("Name of the data set.")] = "testset"
    testset: Annotated[str, Doc("The `.json`, `.jsonl` or `.csv` file.")]
    documents: Annotated[str | None, Doc("Folder or `.jsonl` file of the documents that it was made from.")] = None

    @property
    def sources(self) -> tuple[str | None, str]:
        """Folder or file of the documents, and the file of questions."""
        return self.documents, self.testset

    def read(self, files: FileReader = FileReader(), *, lenient: bool = False) -> Dataset:
        """Return the data set. Raises BadInput listing everything wrong with the test set and the documents."""
        problems, notes, counts = Problems(), list[str](), Counter[str]()
        nodes = dict[str, str]()
        samples = list(_read_samples(Path(self.testset), nodes, counts, problems))
        problems.raise_if_any()
        corpus = self._build_corpus(samples, nodes, files, problems, notes)
        problems.raise_if_any()
        resolver, located = QuoteResolver(corpus), list[Located]()
        for sample in samples:
            needs = self._find_needs(sample, nodes, resolver)
            if needs is None:
                counts["have a context that stands in no document as it is; they were left out"] += 1
                continue
            answer, others = sample.answers[0] if sample.answers else None, tuple(sample.answers[1:])
            question = Question(
                sample.id, sample.question, answer, needs or None, kind=sample.kind, other_answers=others
            )
            located.append((sample.where, question))
        check_questions(located, corpus, problems)
        problems.raise_if_any()
        notes += [f"{count} questions {what}" for what, count in counts.items()] + resolver.notes()
        return Dataset(self.name, corpus, tuple(question for _, question in located), tuple(notes))

    def read_documents(self, files: FileReader = FileReader()) -> tuple[Corpus, list[str]]:
        """Return the documents alone, and notes of them; without any, the contexts. Raises BadInput."""
        if self.documents is None:
            dataset = self.read(files)
            return dataset.corpus, list(dataset.notes)
        return super().read_documents(files)

    def _build_corpus(
        self,
        samples: Sequence[_Sample],
        nodes: Mapping[str, str],
        files: FileReader,
        problems: Problems,
        notes: list[str],
    ) -> Corpus:
        if self.documents is not None:
            return self.read_corpus(files, problems, notes)[0]
        if nodes:
            return build_corpus((Document(name, text) for name, text in nodes.items()), self.testset, problems)
        texts = dict.fromkeys(text for sample in samples for text in sample.contexts if text.strip())
        if not texts:
            problems.add("dataset.documents", "must be given: the test set has no contexts to read instead")
        notes.append("no documents are given: each context of the test set is one, which is easier than your documents")
        named = (Document(f"context-{number:05}", text) for number, text in enumerate(texts, start=1))
        return build_corpus(named, self.testset, problems)

    def _find_needs(
        self, sample: _Sample, nodes: Mapping[str, str], resolver: QuoteResolver
    ) -> tuple[Need, ...] | None:
        """Return a need per context, with every place where it stands; None where one stands nowhere."""
        if self.documents is None and sample.documents:
            return tuple((WholeDocument(name),) for name in sample.documents)
        needs: list[Need] = []
        for context in [*sample.contexts, *(nodes[name] for name in sample.documents)]:
            spans = resolver.find(context)
            if not spans:
                return None
            needs.append(tuple(spans))
        return tuple(dict.fromkeys(needs))


def _read_samples(path: Path, nodes: dict[str, str], counts: Counter[str], problems: Problems) -> Iterator[_Sample]:
    """Yield the rows of a test set. `nodes` get the texts that come with it, by their ids."""
    if path.suffix.lower() == ".json":
        content = read_json(path, problems)
        if isinstance(content, dict) and {"queries", "corpus", "relevant_docs"} <= set(content):
            yield from _read_nodes(path, content, nodes, problems)
            return
        rows: Sequence[tuple[str, JsonObject]] = _find_rows(path, content, problems)
    elif path.suffix.lower() == ".csv":
        rows = read_csv(path, problems)[1]
    else:
        rows = list(read_json_lines(path, problems))
    for where, row in rows:
        question = next((row[key] for key in _QUESTION if key in row), None)
        if not isinstance(question, str):
            keys = ", ".join(_QUESTION)
            problems.add(where, f"there is no question ({keys}); conversations of several turns are not read")
            continue
        yield _to_sample(where, question, row, counts)


def _to_sample(where: str, question: str, row: JsonObject, counts: Counter[str]) -> _Sample:
    truth = next((key for key in _ANSWER if row.get(key) is not None), "")
    answer = row.get(truth)
    # one answer may look like a list; several are one
    answers = read_list(answer) if truth == "ground_truths" or isinstance(answer, list) else [answer or ""]
    found = next((key for key in _CONTEXTS if row.get(key) is not None), "")
    contexts = read_list(row[found]) if found else []
    if found == "context" and contexts == [row[found]]:  # DeepEval writes several into one cell of CSV
        contexts = list(str(row[found]).split("|"))
    if found == "contexts" and any(row.get(key) for key in _RESPONSES):
        counts[_RETRIEVED] += 1
        contexts = []
    return _Sample(
        where=where,
        id=f"row-{number_in(where)}",
        question=question,
        answers=[str(answer) for answer in answers if str(answer).strip()],
        contexts=[_HOP.sub("", str(context)) for context in contexts if str(context).strip()],
        kind=str(next((row[key] for key in _KIND if row.get(key)), "")),
    )


def _find_rows(path: Path, content: object, problems: Problems) -> list[tuple[str, JsonObject]]:
    """Return the rows of a JSON file: an array, an object with one, or columns as pandas and `datasets` write them."""
    rows, inside = content, ""
    if isinstance(content, dict):
        inside = next((key for key in _LISTS if isinstance(content.get(key), list)), "")
        rows = content[inside] if inside else _turn_columns(content)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        if content is not None:
            problems.add(str(path), f"should hold rows of questions; begins with {str(content)[:_SHOWN]!r}")
        return []
    return [(f"{path} {inside}[{number}]", row) for number, row in enumerate(rows, start=1)]


def _turn_columns(content: JsonObject) -> list[JsonObject] | None:
    """Return the rows of an object of columns; None where it is none."""
    columns = {
        name: list(column.values()) if isinstance(column, dict) else column
        for name, column in content.items()
        if isinstance(column, (list, dict))
    }
    lengths = {len(column) for column in columns.values()}
    if len(lengths) != 1 or not set(columns) & set(_QUESTION):
        return None
    return [{name: column[row] for name, column in columns.items()} for row in range(lengths.pop())]


def _read_nodes(path: Path, content: JsonObject, nodes: dict[str, str], problems: Problems) -> Iterator[_Sample]:
    """Yield the questions of LlamaIndex's EmbeddingQAFinetuneDataset, whose nodes are the documents."""
    parts = [content[key] for key in ("queries", "corpus", "relevant_docs")]
    queries, corpus, relevant = (part if isinstance(part, dict) else {} for part in parts)
    nodes |= {str(name): str(text) for name, text in corpus.items()}
    for number, (name, text) in enumerate(queries.items(), start=1):
        where = f"{path} queries[{number}]"
        wanted = tuple(str(node) for node in read_list(relevant.get(name)))
        missing = [node for node in wanted if node not in nodes]
        if missing:
            problems.add(where, f"relevant_docs names {missing[0]!r}, which is not in the corpus")
            continue
        yield _Sample(where, str(name), str(text), [], [], "", wanted)
