"""Judgements of documents as benchmarks publish them: read, counted, said."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from rag_opt.core.questions import WholeDocument
from rag_opt.data.reading import JsonObject, Located, Problems, read_utf8_or_report

Judgement = tuple[str, str, int]  # query, document, relevance


class Judgements:
    """Relevant documents by query.

    A pair that was judged twice has the higher relevance. Documents that the corpus lacks are left out. `notes` count
    both.
    """

    def __init__(self, judged: Iterable[Judgement], known: Collection[str]) -> None:
        best, found = dict[tuple[str, str], int](), Counter[str]()
        for query, document, relevance in judged:
            if document not in known:
                found["missing"] += 1
                continue
            found["twice"] += (query, document) in best
            best[query, document] = max(relevance, best.get((query, document), 0))
        self.by_query: dict[str, tuple[tuple[WholeDocument], ...]] = {}
        relevant: dict[str, list[WholeDocument]] = defaultdict(list)
        for (query, document), relevance in best.items():
            if relevance > 0:
                relevant[query].append(WholeDocument(document, relevance))
        self.by_query = {query: tuple((one,) for one in documents) for query, documents in relevant.items()}
        self._found = found

    def notes(self, queries: Collection[str], split: str) -> list[str]:
        """Return what a person should know. `queries`: all that there are."""
        unjudged = sum(query not in self.by_query for query in queries)
        unasked = sum(query not in queries for query in self.by_query)
        counts = {
            f"{unjudged} queries have no judgement in split {split!r} and were left out": unjudged,
            f"{unasked} queries of split {split!r} have judgements and no text: they were left out": unasked,
            f"{self._found['missing']} judgements name documents that the corpus lacks: they were left out, and can "
            "neither be found nor missed": self._found["missing"],
            f"{self._found['twice']} pairs were judged twice: the higher relevance counts": self._found["twice"],
        }
        return [note for note, count in counts.items() if count]


def exclude_own_documents(
    located: Sequence[Located], documents: Collection[str], *, ignore: bool
) -> tuple[list[Located], list[str]]:
    """Return the questions without the document of their own id, if that is to be ignored, and a note.

    A query that is a document of the corpus too (ArguAna, Quora) stands first in its own list, and nobody scores 1. A
    document that is judged to answer the query of its id is no such one.
    """
    own = {one.id for _, one in located if one.id in documents and one.id not in one.document_ids}
    if not own:
        return list(located), []
    which = f"{len(own)} of {len(located)} queries have the id of a document that is not judged to answer them"
    if not ignore:
        return list(located), [f"{which}, and may find it; dataset.ignore_identical_ids=true ignores it"]
    found = [(where, dataclasses.replace(one, exclude=(one.id,)) if one.id in own else one) for where, one in located]
    return found, [f"{which}: it is never returned for them; dataset.ignore_identical_ids=false returns it"]


def read_id(row: JsonObject) -> str:
    """Return the id of a document or query, whichever key has it."""
    return str(next((row[key] for key in ("_id", "id") if key in row), None))


def read_judgement_file(path: Path, problems: Problems) -> Iterator[Judgement]:
    """Yield the rows of a file in BEIR's three columns (with any header, or none), or in TREC's four.

    A row that is neither is a problem.
    """
    rows = (read_utf8_or_report(path, problems) or "").splitlines()
    for number, row in enumerate(rows, start=1):
        if not row.strip():
            continue
        columns = [column.strip() for column in (row.split("\t") if "\t" in row else row.split())]
        if len(columns) == 4:
            columns = [columns[0], columns[2], columns[3]]
        relevance = _to_relevance(columns[2]) if len(columns) == 3 else None
        if relevance is not None:
            yield columns[0], columns[1], relevance
        elif number > 1:  # the first may be a header
            problems.add(f"{path}:{number}", f"should be query, document and score between tabs; is {row!r}")


def _to_relevance(text: str) -> int | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return int(value) if value.is_integer() else None
