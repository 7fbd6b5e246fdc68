"""The chunk table of a corpus, and how documents are cut into it."""

from __future__ import annotations

import dataclasses
import functools
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from rag_opt.core.arrays import IntArray
from rag_opt.core.digests import digest
from rag_opt.core.documents import Chunk, Corpus, Document
from rag_opt.core.ranked_lists import ChunkColumns
from rag_opt.parts.interfaces import Chunker, EmbedTexts, TextChunker, VectorChunker
from rag_opt.text.tokens import Tokenizer

AT_ONCE = 8192
_PIECES_AT_ONCE = 4096


@dataclass(frozen=True)
class ChunkTable(ChunkColumns):
    """All chunks of a corpus as arrays. `embed_texts` holds what is embedded only where it differs from the content."""

    embed_texts: dict[int, str]

    @functools.cached_property
    def digest(self) -> str:
        """Hash of everything in it."""
        return digest([self.document, self.start, self.end, {str(k): v for k, v in self.embed_texts.items()}])

    def texts(self, corpus: Corpus) -> list[str]:
        """Return what is embedded and indexed, one text a chunk."""
        return [text for block in self.blocks(corpus, AT_ONCE) for text in block]

    def blocks(self, corpus: Corpus, size: int) -> Iterator[list[str]]:
        """Yield these texts in blocks of `size` chunks, so that not all need to be in memory."""
        for first in range(0, len(self), size):
            yield self.texts_of(corpus, range(first, min(first + size, len(self))))

    def texts_of(self, corpus: Corpus, rows: Sequence[int]) -> list[str]:
        """Return what is embedded and indexed of some chunks."""
        at = np.asarray(rows, np.int64)
        columns = zip(self.document[at].tolist(), self.start[at].tolist(), self.end[at].tolist(), strict=True)
        contents = (corpus.documents[document].text[start:end] for document, start, end in columns)
        return [self.embed_texts.get(int(row), content) for row, content in zip(rows, contents, strict=True)]

    def save(self, folder: Path) -> None:
        """Write the table into a folder."""
        np.savez(folder / "chunks.npz", document=self.document, start=self.start, end=self.end, tokens=self.tokens)
        (folder / "embed_texts.json").write_bytes(orjson.dumps({str(k): v for k, v in self.embed_texts.items()}))

    @staticmethod
    def load(folder: Path) -> ChunkTable:
        """Return the table that was saved into a folder."""
        with np.load(folder / "chunks.npz") as arrays:
            document, start, end, tokens = (arrays[name] for name in ("document", "start", "end", "tokens"))
        other = orjson.loads((folder / "embed_texts.json").read_bytes())
        return ChunkTable(document, start, end, tokens, {int(k): v for k, v in other.items()})


def cut_corpus(chunker: Chunker, corpus: Corpus, tokenizer: Tokenizer, vectors: EmbedTexts) -> ChunkTable:
    """Return the chunks of every document. `vectors`: of the pieces that a VectorChunker compares."""
    rows, embed_texts = array("q"), dict[int, str]()
    if isinstance(chunker, VectorChunker):
        split = _split_by_vectors(chunker, corpus, tokenizer, vectors)
    else:
        split = _split(chunker, corpus, tokenizer)
    for number, chunks in enumerate(split):
        for chunk in chunks:
            if chunk.embed_text is not None:
                embed_texts[len(rows) // 3] = chunk.embed_text
            rows.extend((number, chunk.start, chunk.end))
    columns = np.array(rows, np.int64).reshape(-1, 3).T
    nothing = np.zeros(len(rows) // 3, np.int64)
    table = ChunkTable(columns[0].astype(np.int32), columns[1], columns[2], nothing, embed_texts)
    return dataclasses.replace(table, tokens=count_tokens(table, corpus, tokenizer))


def count_tokens(table: ChunkTable, corpus: Corpus, tokenizer: Tokenizer) -> IntArray:
    """Return how many tokens each chunk has as it is embedded, special tokens included, [chunks]."""
    lengths = [tokenizer.lengths(block) for block in table.blocks(corpus, AT_ONCE)]
    return np.concatenate(lengths) if lengths else np.zeros(0, np.int64)


def _split(chunker: TextChunker, corpus: Corpus, tokenizer: Tokenizer) -> Iterator[list[Chunk]]:
    for document in corpus.documents:
        yield chunker.split(document, tokenizer=tokenizer)


def _split_by_vectors(
    chunker: VectorChunker, corpus: Corpus, tokenizer: Tokenizer, vectors: EmbedTexts
) -> Iterator[list[Chunk]]:
    """Embed the pieces of many documents together, then cut each document."""
    waiting: list[tuple[Document, list[str]]] = []

    def done() -> Iterator[list[Chunk]]:
        texts = list(dict.fromkeys(text for _, pieces in waiting for text in pieces))
        known = dict(zip(texts, vectors(texts), strict=True)) if texts else {}
        for document, _ in waiting:
            yield chunker.split_by_vectors(
                document, tokenizer=tokenizer, vectors=lambda some: np.stack([known[text] for text in some])
            )
        waiting.clear()

    for document in corpus.documents:
        waiting.append((document, chunker.pieces(document, tokenizer=tokenizer)))
        if sum(len(pieces) for _, pieces in waiting) >= _PIECES_AT_ONCE:
            yield from done()
    yield from done()
