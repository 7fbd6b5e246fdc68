"""Data sets from settings: documents by every reader of a space, questions with their evidence in each."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Hashable, Iterable, Sequence

from rag_opt.core import strict
from rag_opt.core.corpus_readings import CorpusReading, CorpusReadings
from rag_opt.core.errors import BadInput, Problem, list_names
from rag_opt.core.questions import Dataset, LostPassage
from rag_opt.core.registry import lookup
from rag_opt.core.strict import PlainMapping
from rag_opt.data.datasets.files import DocumentFiles
from rag_opt.data.datasets.interfaces import DatasetFormat, FilesDatasetFormat
from rag_opt.data.evidence_in_readings import find_evidence
from rag_opt.data.file_readers import FileReader, Reader
from rag_opt.data.language import set_language
from rag_opt.data.quotes import QuoteResolver
from rag_opt.pipeline.spec import PipelineSpec, part_from
from rag_opt.store.values import Values
from rag_opt.study.space.domains import Range
from rag_opt.study.space.space import Space

_MOST_READERS = 20
_NEARLY = 75.0  # of 100, by rapidfuzz: evidence as like as that to something in a file was mistyped, not lost


def find_readers(space: Space, specs: Iterable[PipelineSpec]) -> list[Reader]:
    """Return every reader that a pipeline may have: those of the space with all their settings, and of some specs.

    Raises BadInput where they are too many: each reads all documents.
    """
    readers = [spec.reader for spec in specs]
    for kind, parameters in space.tree.get("reader", {}).items():
        endless = [name for name, domain in parameters.items() if isinstance(domain, Range) and domain.continuous]
        if endless:
            where = f"space.reader.{kind}.{endless[0]}"
            raise BadInput([Problem(where, "is a range without steps; each reader reads all documents before trial 0")])
        values = [[domain.at(index) for index in range(len(domain))] for domain in parameters.values()]
        for chosen in itertools.islice(itertools.product(*values), _MOST_READERS + 1):
            settings = dict(zip(parameters, chosen, strict=True))
            readers.append(part_from("reader", {kind: settings}, where="space.reader"))
    distinct = list(dict.fromkeys(readers))
    if len(distinct) > _MOST_READERS:
        what = (
            f"names more than {_MOST_READERS} readers with their settings, and each reads all documents before trial 0"
        )
        raise BadInput([Problem("space.reader", what)])
    return distinct


def read_dataset(
    given: PlainMapping,
    readers: Sequence[Reader] = (),
    *,
    values: Callable[[], Values] | None = None,
    announce: Callable[[str], None] = lambda _: None,
) -> tuple[Dataset, CorpusReadings]:
    """Return the data set that the settings `dataset` describe, and its documents by each of some readers.

    The questions are resolved on the reading of the first one. Raises BadInput with everything wrong with it.
    """
    part, language = _load_format(given)
    base = readers[0] if readers else None
    if not isinstance(part, FilesDatasetFormat):
        _refuse_readers(part, readers)
        dataset = set_language(part.read(), language)
        return dataset, CorpusReadings(CorpusReading(dataset.corpus))
    files = FileReader(base, values, announce)
    dataset = set_language(part.read(files, lenient=len(readers) > 1), language)
    if len(readers) < 2:
        return dataset, CorpusReadings(CorpusReading(dataset.corpus))
    notes, others = list(dataset.notes), dict[Hashable, CorpusReading]()
    for reader in readers:
        corpus = dataset.corpus
        if reader != base:
            corpus, its_notes = part.read_documents(dataclasses.replace(files, reader=reader))
            corpus = dataclasses.replace(corpus, language=dataset.corpus.language)
            notes += [f"{describe_reader(reader)}: {note}" for note in its_notes]
        others[reader] = reading = find_evidence(dataset.questions, dataset.corpus, corpus)
        notes.append(_describe_kept(reader, reading))
    notes += _describe_lost_by_all(dataset, [*others.values()])
    return dataclasses.replace(dataset, notes=tuple(notes)), CorpusReadings(others[readers[0]], others)


def read_documents(
    given: PlainMapping, *, values: Callable[[], Values] | None = None, announce: Callable[[str], None] = lambda _: None
) -> Dataset:
    """Return a data set without its questions where its documents are files, else all of it. Raises BadInput."""
    format_ = lookup("dataset", str(given.get("format", "")), where="dataset.format")
    unread = {name: "" for name, value in given.items() if value == "???" and name != "documents"}  # no question is
    settings = {**given, **unread}
    if not issubclass(format_, DocumentFiles) or settings.get("documents") in (None, "???"):
        return read_dataset(given, values=values, announce=announce)[0]
    part, language = _load_format(settings)
    assert isinstance(part, DocumentFiles)
    corpus, notes = part.read_documents(FileReader(None, values, announce))
    return set_language(Dataset(str(given.get("name", "documents")), corpus, (), tuple(notes)), language)


def _load_format(given: PlainMapping) -> tuple[DatasetFormat | FilesDatasetFormat, str | None]:
    settings = dict(given)
    format_ = lookup("dataset", str(settings.pop("format", "")), where="dataset.format")
    missing = [key for key, value in settings.items() if value == "???"]
    if missing:
        raise BadInput([Problem(f"dataset.{key}", f"must be given: dataset.{key}=…") for key in missing])
    language = settings.pop("language", None)
    part: DatasetFormat | FilesDatasetFormat = strict.load(format_, settings, path="dataset")
    return part, None if language is None else str(language)


def _refuse_readers(part: DatasetFormat, readers: Sequence[Reader]) -> None:
    others = sorted({reader.kind for reader in readers} - {"builtin"})
    if others:
        what = f"names {', '.join(others)}, but the documents of dataset.format={part.kind} are no files to be read"
        raise BadInput([Problem("space.reader", what)])


def describe_reader(reader: Reader) -> str:
    """Return a reader in words: its name, and its settings where they are not the usual ones."""
    shown = strict.drop_defaults(type(reader), strict.dump(reader))
    settings = " ".join(f"{name}={value}" for name, value in shown.items())
    return f"reader {reader.kind} {settings}".strip()


def _describe_kept(reader: Reader, reading: CorpusReading) -> str:
    kept = f"{describe_reader(reader)} keeps {reading.kept} of {reading.needs} needs of evidence"
    named = list_names([f"{name} ({count})" for name, count in reading.lost_in.items()])
    return f"{kept}; what it lost counts as not found: {named}" if named else kept


def _describe_lost_by_all(dataset: Dataset, readings: Sequence[CorpusReading]) -> list[str]:
    """Return a note of the evidence that no reader has.

    Raises BadInput where a reading has something much like it: then its words are probably a mistake.
    """
    resolvers = [QuoteResolver(reading.corpus) for reading in readings]
    problems, lost = list[Problem](), list[str]()
    for question in dataset.questions:
        for number, need in enumerate(question.evidence or ()):
            found = [one for reading in readings for one in reading.evidence[question.id][number]]
            if not all(isinstance(one, LostPassage) for one in found):
                continue
            text, document = (need[0].text if isinstance(need[0], LostPassage) else ""), need[0].document_id
            like = _find_nearly(text, document, resolvers) if text else None
            if like is not None:
                what = f"no reader finds its evidence: {text[:80]!r}; nearest is {like[:80]!r}"
                problems.append(Problem(f"question {question.id}", what))
            lost.append(f"{question.id} ({document or 'no file named'})")
    if problems:
        raise BadInput(problems)
    what = "needs of evidence are found by no reader, and count as not found"
    return [f"{len(lost)} {what}: {list_names(lost)}"] if lost else []


def _find_nearly(text: str, document: str, resolvers: Sequence[QuoteResolver]) -> str | None:
    for resolver in resolvers:
        if not document or document in resolver.corpus.position:
            span = resolver.find_like(text, document or None, min_similarity=_NEARLY)
            if span is not None:
                return resolver.corpus.text(span)
    return None
