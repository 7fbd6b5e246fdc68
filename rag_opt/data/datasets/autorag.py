"""The data of AutoRAG projects: passages are put together again as the documents that they were cut from."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from typing import Annotated

from annotated_doc import Doc
from pydantic.dataclasses import dataclass

from rag_opt.core.documents import Document, Span
from rag_opt.core.questions import Dataset, Need, Question
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.printed import read_list, read_printed
from rag_opt.data.reading import JsonObject, Located, Problems, build_corpus, check_questions

_PREFIX = re.compile(r"\A(?:file_name|파일명|ファイル名)\s*:\s.*\n\s*(?:contents|내용|内容)\s*:\s?")
_BETWEEN = "\n\n"


@register("dataset", "autorag")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class AutoRag:
    """An AutoRAG project's `corpus.parquet` and `qa.parquet`. Passages of one file are put together again, by their
    offsets where they overlap, in their order else; gold passages become spans, so that chunkings can be compared.
    """

    name: Annotated[str, Doc("Name of the data set.")] = "autorag"
    corpus: Annotated[str, Doc("Parquet file of the passages.")]
    qa: Annotated[str, Doc("Parquet file of the questions.")]

    def read(self) -> Dataset:
        """Return the data set. Raises BadInput listing everything wrong with both files."""
        problems = Problems()
        passages = _read_passages(Path(self.corpus), problems)
        rows = _read_rows(Path(self.qa), ("qid", "query", "retrieval_gt"), problems)
        problems.raise_if_any()
        documents, spans = _join_passages(passages)
        corpus = build_corpus(documents, self.corpus, problems)
        located = list[Located]()
        for number, row in enumerate(rows, start=1):
            where = f"{self.qa}:{number}"
            needs = _read_needs(row["retrieval_gt"], spans, where, problems)
            answers = [str(answer) for answer in read_list(row.get("generation_gt"))]
            question = Question(
                id=str(row["qid"]),
                text=str(row["query"]),
                reference_answer=answers[0] if answers else None,
                evidence=needs or None,
                answerable=bool(needs),
                other_answers=tuple(answers[1:]),
            )
            located.append((where, question))
        check_questions(located, corpus, problems)
        problems.raise_if_any()
        notes = [f"{len(passages)} passages are {len(corpus.documents)} documents again"]
        return Dataset(self.name, corpus, tuple(question for _, question in located), tuple(notes))


@plain_dataclass(frozen=True)
class _Passage:
    """A row of the corpus. `start`: offset in its page; `following`: id of the next passage; both where known."""

    id: str
    text: str
    file: str
    page: int
    start: int | None
    following: str | None


def _read_rows(path: Path, columns: Sequence[str], problems: Problems) -> list[JsonObject]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (OSError, pyarrow.ArrowInvalid) as error:
        problems.add(str(path), f"cannot be read as Parquet: {str(error).splitlines()[0]}")
        return []
    for column in columns:
        if column not in table.column_names:
            problems.add(str(path), f"there is no column {column!r}; there are: {', '.join(table.column_names)}")
    rows: list[JsonObject] = table.to_pylist()
    return [] if problems.collected else rows


def _read_passages(path: Path, problems: Problems) -> list[_Passage]:
    passages = []
    for row in _read_rows(path, ("doc_id", "contents"), problems):
        text = _PREFIX.sub("", str(row["contents"] or ""))
        if not text.strip():
            continue
        metadata = read_printed(row.get("metadata"))
        metadata = metadata if isinstance(metadata, dict) else {}
        offsets = read_list(row.get("start_end_idx"))
        start = offsets[0] if len(offsets) == 2 else None
        page, following = metadata.get("page"), metadata.get("next_id")
        passages.append(
            _Passage(
                id=str(row["doc_id"]),
                text=text,
                file=str(row.get("path") or metadata.get("path") or ""),
                page=page if isinstance(page, int) else -1,
                start=int(start) if isinstance(start, (int, float, str)) else None,
                following=str(following) if following else None,
            )
        )
    first: dict[str, int] = {}
    for number, passage in enumerate(passages, start=1):
        if passage.id in first:
            what = f"the doc_id {passage.id!r} stands twice; first in row {first[passage.id]}"
            problems.add(f"{path}:{number}", what)
        first.setdefault(passage.id, number)
    return passages


def _join_passages(passages: Sequence[_Passage]) -> tuple[list[Document], dict[str, Span]]:
    """Return documents of the passages that belong together, and where in them each passage stands."""
    groups: dict[str, list[_Passage]] = defaultdict(list)
    for passage in passages:
        if passage.file:
            groups[passage.file].append(passage)
    for chain in _chain_passages([passage for passage in passages if not passage.file]):
        groups[chain[0].id] = chain
    documents, spans = list[Document](), dict[str, Span]()
    for name, members in groups.items():
        # the same offsets are of a passage that AutoRAG could not place: it stays where it stands in the file
        placed = len({(passage.page, passage.start) for passage in members}) == len(members)
        ordered = sorted(members, key=lambda passage: (passage.page, passage.start or 0)) if placed else members
        text, before = "", None
        for passage in ordered:
            start = _overlap_start(text, before, passage, spans)
            if start < len(text):
                text = text[:start] + passage.text
            else:
                text = f"{text}{_BETWEEN if text else ''}{passage.text}"
            spans[passage.id] = Span(name, len(text) - len(passage.text), len(text))
            before = passage
        documents.append(Document(name, text, title=Path(name).stem))
    return documents, spans


def _overlap_start(text: str, before: _Passage | None, passage: _Passage, spans: Mapping[str, Span]) -> int:
    """Return where in the text a passage begins that overlaps the one before it; the end of the text where none does.

    Both their offsets and their words must say so.
    """
    if before is None or before.page != passage.page or before.start is None or passage.start is None:
        return len(text)
    start = spans[before.id].start + passage.start - before.start
    overlap = len(text) - start
    agrees = (
        0 < overlap < len(passage.text) and spans[before.id].start < start and text[start:] == passage.text[:overlap]
    )
    return start if agrees else len(text)


def _chain_passages(passages: Sequence[_Passage]) -> list[list[_Passage]]:
    """Return the passages that name one another as the next, in that order; the others alone."""
    by_id = {passage.id: passage for passage in passages}
    followers = {passage.following for passage in passages if passage.following in by_id}
    chains, taken = [], set[str]()
    for first in [*(passage for passage in passages if passage.id not in followers), *passages]:
        chain, passage = [], first
        while passage.id not in taken:
            taken.add(passage.id)
            chain.append(passage)
            if passage.following not in by_id:
                break
            passage = by_id[passage.following]
        if chain:
            chains.append(chain)
    return chains


def _read_needs(gold: object, spans: Mapping[str, Span], where: str, problems: Problems) -> tuple[Need, ...]:
    """Return the needs of `retrieval_gt`: every group must be found, any passage of a group will do.

    A flat list is one group.
    """
    groups = read_list(gold)
    if groups and not any(isinstance(group, (list, tuple)) for group in groups):
        groups = [groups]
    needs = []
    for group in groups:
        names = [str(name) for name in read_list(group)]
        for name in names:
            if name not in spans:
                problems.add(where, f"retrieval_gt names {name!r}, which is no doc_id of the corpus")
        need = tuple(dict.fromkeys(spans[name] for name in names if name in spans))
        if need:
            needs.append(need)
    return tuple(dict.fromkeys(needs))
