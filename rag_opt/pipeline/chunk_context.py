"""Contexts of chunks: what stands before each where it is embedded and indexed."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from rag_opt.core.documents import Corpus
from rag_opt.core.errors import ServerFailed
from rag_opt.parts.interfaces import ChunkContext, DescribedContext, WrittenContext
from rag_opt.pipeline.chunk_table import AT_ONCE, ChunkTable, count_tokens
from rag_opt.text.tokens import Tokenizer

if TYPE_CHECKING:
    from rag_opt.models.llm.client import LLMClient

_DOCUMENTS_AT_ONCE = 64
_MOST_FAILED = 0.1  # share of the chunks: more of them without their line, and the pipeline is not what it says


def with_context(
    part: ChunkContext,
    table: ChunkTable,
    corpus: Corpus,
    tokenizer: Tokenizer,
    *,
    llm_client: LLMClient | None,
    report: Callable[[str], None],
) -> ChunkTable:
    """Return the chunks with what a part puts before them; the spans stay as they are.

    `report` is told how many lines are missing. Raises ServerFailed where more than a tenth are, or a
    request is not answered.
    """
    if isinstance(part, DescribedContext):
        before = [part.describe(document) for document in corpus.documents]
        contexts = [before[document] for document in table.document.tolist()]
    elif isinstance(part, WrittenContext):
        assert llm_client is not None
        contexts = _write(part, table, corpus, llm_client, report)
    else:
        return table
    texts = (text for block in table.blocks(corpus, AT_ONCE) for text in block)
    changed = {
        row: f"{context}\n\n{text}"
        for row, (context, text) in enumerate(zip(contexts, texts, strict=True))
        if context and not _begins_with(text, context)  # a first chunk often begins with the title
    }
    table = dataclasses.replace(table, embed_texts={**table.embed_texts, **changed})
    return dataclasses.replace(table, tokens=count_tokens(table, corpus, tokenizer))


def _begins_with(text: str, context: str) -> bool:
    """Return whether a text begins with a context, as whole words."""
    rest = text.removeprefix(context)
    return len(rest) < len(text) and not rest[:1].isalnum()


def _write(
    part: WrittenContext, table: ChunkTable, corpus: Corpus, llm_client: LLMClient, report: Callable[[str], None]
) -> list[str]:
    """Return the line of each chunk, empty where the model gave none."""
    lines = [""] * len(table)
    for rows in _in_turn(table):
        columns = (table.document[rows].tolist(), table.start[rows].tolist(), table.end[rows].tolist())
        requests = [part.request(corpus.documents[d], start, end) for d, start, end in zip(*columns, strict=True)]
        for row, reply in zip(rows, llm_client.answers(requests), strict=True):
            if isinstance(reply, ServerFailed):  # it may pass: what is stored must not depend on it
                raise reply
            lines[row] = part.read_line(reply.text)
    missing = lines.count("")
    if missing > _MOST_FAILED * len(lines):
        what = f"{missing} of {len(lines)} chunks have no line, since the replies hold none"
        raise ServerFailed(f"chunk_context {part.kind}: {what}")
    if missing:
        report(f"chunk_context {part.kind}: {missing} of {len(lines)} chunks have no line before them")
    return lines


def _in_turn(table: ChunkTable) -> Iterator[list[int]]:
    """Yield rows in groups, each asked for after the one before: the first chunks of some documents, then the others.

    So that a service has read a document before it is asked about its other chunks, and has them cached.
    """
    by_document = [list(rows) for _, rows in itertools.groupby(range(len(table)), key=lambda row: table.document[row])]
    for first in range(0, len(by_document), _DOCUMENTS_AT_ONCE):
        some = by_document[first : first + _DOCUMENTS_AT_ONCE]
        yield [rows[0] for rows in some]
        others = [row for rows in some for row in rows[1:]]
        if others:
            yield others
