from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from typing import Any

from pydantic.dataclasses import dataclass

from rag_opt.core.documents import Document, Span
from rag_opt.core.questions import Dataset, Need, Question
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.reading import Problems, check_questions, make_corpus

_PREFIX = re.compile(r"\A(?:file_name|파일명|ファイル名)\s*:\s.*\n\s*(?:contents|내용|内容)\s*:\s?")
_BETWEEN = "\n\n"


@register("dataset", "autorag")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class AutoRag:
    """An AutoRAG project's `corpus.parquet` and `qa.parquet`. Passages of one file are put together again, by their
    offsets where they overlap, in their order else; gold passages become spans, so that chunkings can be compared.
    """

    name: str = "autorag"
    corpus: str
    qa: str

    def read(self) -> Dataset:
        problems = Problems()
        passages = _passages(Path(self.corpus), problems)
        rows = _rows(Path(self.qa), ("qid", "query", "retrieval_gt"), problems)
        problems.refuse_if_any()
        documents, spans = _together(passages)
        corpus = make_corpus(documents, self.corpus, problems)
        found, several = [], 0
        for number, row in enumerate(rows, start=1):
            where = f"{self.qa}:{number}"
            requires = _needs(row["retrieval_gt"], spans, where, problems)
            answers = [str(one) for one in _listed(row.get("generation_gt"))]
            several += len(answers) > 1
            given = Question(
                id=str(row["qid"]),
                text=str(row["query"]),
                reference_answer=answers[0] if answers else None,
                evidence=requires or None,
                answerable=bool(requires),
            )
            found.append((where, given))
        check_questions(found, corpus, problems)
        problems.refuse_if_any()
        notes = [f"{len(passages)} passages are {len(corpus.documents)} documents again"]
        if several:
            notes.append(f"{several} questions have several reference answers; the first is used")
        return Dataset(self.name, corpus, tuple(question for _, question in found), tuple(notes))


@plain_dataclass(frozen=True)
class _Passage:
    id: str
    text: str
    file: str
    page: int
    start: int | None
    following: str | None


def _rows(path: Path, needed: Sequence[str], problems: Problems) -> list[dict[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (OSError, pyarrow.ArrowInvalid) as error:
        problems.add(str(path), f"cannot be read as Parquet: {str(error).splitlines()[0]}")
        return []
    for column in needed:
        if column not in table.column_names:
            problems.add(str(path), f"there is no column {column!r}; there are: {', '.join(table.column_names)}")
    rows: list[dict[str, Any]] = table.to_pylist()
    return [] if problems.found else rows


def _passages(path: Path, problems: Problems) -> list[_Passage]:
    found = []
    for row in _rows(path, ("doc_id", "contents"), problems):
        text = _PREFIX.sub("", str(row["contents"] or ""))
        if not text.strip():
            continue
        metadata: Mapping[str, Any] = row.get("metadata") or {}
        offsets = _listed(row.get("start_end_idx"))
        page, following = metadata.get("page"), metadata.get("next_id")
        found.append(
            _Passage(
                id=str(row["doc_id"]),
                text=text,
                file=str(row.get("path") or metadata.get("path") or ""),
                page=page if isinstance(page, int) else -1,
                start=int(offsets[0]) if len(offsets) == 2 else None,
                following=str(following) if following else None,
            )
        )
    seen: dict[str, int] = {}
    for number, one in enumerate(found, start=1):
        if one.id in seen:
            problems.add(f"{path}:{number}", f"the doc_id {one.id!r} stands twice; first in row {seen[one.id]}")
        seen.setdefault(one.id, number)
    return found


def _together(passages: Sequence[_Passage]) -> tuple[list[Document], dict[str, Span]]:
    """Documents of the passages that belong together, and where in them each passage stands."""
    groups: dict[str, list[_Passage]] = defaultdict(list)
    for one in passages:
        if one.file:
            groups[one.file].append(one)
    for chain in _chains([one for one in passages if not one.file]):
        groups[chain[0].id] = chain
    documents, spans = list[Document](), dict[str, Span]()
    for name, members in groups.items():
        # the same offsets are of a passage that AutoRAG could not place: it stays where it stands in the file
        placed = len({(one.page, one.start) for one in members}) == len(members)
        ordered = sorted(members, key=lambda one: (one.page, one.start or 0)) if placed else members
        text, before = "", None
        for one in ordered:
            start = _continued(text, before, one, spans)
            text = text[:start] + one.text if start < len(text) else f"{text}{_BETWEEN if text else ''}{one.text}"
            spans[one.id] = Span(name, len(text) - len(one.text), len(text))
            before = one
        documents.append(Document(name, text, title=Path(name).stem))
    return documents, spans


def _continued(text: str, before: _Passage | None, one: _Passage, spans: Mapping[str, Span]) -> int:
    """Where in the text a passage begins that overlaps the one before it, as both their offsets and their words say."""
    if before is None or before.page != one.page or before.start is None or one.start is None:
        return len(text)
    start = spans[before.id].start + one.start - before.start
    overlap = len(text) - start
    agrees = 0 < overlap < len(one.text) and spans[before.id].start < start and text[start:] == one.text[:overlap]
    return start if agrees else len(text)


def _chains(passages: Sequence[_Passage]) -> list[list[_Passage]]:
    """Passages that name one another as the next; the others alone."""
    known = {one.id: one for one in passages}
    after = {one.following for one in passages if one.following in known}
    chains, seen = [], set[str]()
    for first in [*(one for one in passages if one.id not in after), *passages]:
        chain, one = [], first
        while one.id not in seen:
            seen.add(one.id)
            chain.append(one)
            if one.following not in known:
                break
            one = known[one.following]
        if chain:
            chains.append(chain)
    return chains


def _needs(gold: Any, spans: Mapping[str, Span], where: str, problems: Problems) -> tuple[Need, ...]:
    """`retrieval_gt`: every group must be found, any passage of a group will do; a flat list is one group."""
    groups = _listed(gold)
    if groups and all(isinstance(one, str) for one in groups):
        groups = [groups]
    requires = []
    for group in groups:
        names = [str(name) for name in _listed(group)]
        unknown = [name for name in names if name not in spans]
        for name in unknown:
            problems.add(where, f"retrieval_gt names {name!r}, which is no doc_id of the corpus")
        found = tuple(dict.fromkeys(spans[name] for name in names if name in spans))
        if found:
            requires.append(found)
    return tuple(dict.fromkeys(requires))


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)
