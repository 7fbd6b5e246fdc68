"""The contract of every chunker, found through the registry: a new one is tested unasked."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rag_opt.core.documents import Chunk, Document
from rag_opt.core.registry import kinds
from rag_opt.parts.interfaces import VectorChunker
from rag_opt.text.tokenizer_names import find_tokenizer
from rag_opt.text.tokens import TokenMap

TOKENIZER = find_tokenizer("wordpiece")


def split(part: Any, document: Document) -> list[Chunk]:
    """Split as the builder does; vectors are of the words' letters, so that similar texts have similar ones."""
    if not isinstance(part, VectorChunker):
        return part.split(document, tokenizer=TOKENIZER)
    pieces = part.pieces(document, tokenizer=TOKENIZER)

    def vectors(texts: Sequence[str]) -> np.ndarray:
        assert set(texts) <= set(pieces), "only what was named before may be asked for"
        counts = np.array([[1.0 + text.count(letter) for letter in "aeiou"] for text in texts], np.float32)
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)

    return part.split_by_vectors(document, tokenizer=TOKENIZER, vectors=vectors)


CHUNKERS = sorted(kinds("chunker"))
prose = st.lists(
    st.sampled_from(["word", "Два", "слова.", "e.g.", "\n\n", "\n- item", "。", "x" * 40, "\t", "A?", "🙂"])
).map(" ".join)
anything = st.text(max_size=400) | prose


@pytest.mark.parametrize("kind", CHUNKERS)
@given(text=anything, size=st.integers(8, 40))
@example(text=f"{'0' * 22} \x1b", size=11)  # what the tokenizer leaves out counts, also behind a space
@example(text=f"{'0' * 22}{' ' * 120}{'0' * 22}", size=40)
@settings(max_examples=150, deadline=None)
def test_offsets_are_exact_and_nothing_is_left_out(kind: str, text: str, size: int) -> None:
    chunks = split(kinds("chunker")[kind](size=size), Document("d.py", text))
    covered = [False] * len(text)
    tokens = TokenMap(TOKENIZER.starts(text))
    for chunk in chunks:
        content = text[chunk.start : chunk.end]
        assert 0 <= chunk.start < chunk.end <= len(text)
        assert content == content.strip() and content
        assert tokens.count(chunk.start, chunk.end) <= size
        covered[chunk.start : chunk.end] = [True] * len(content)
    kept = chunks[-1].end if kind == "document" and chunks else len(text)  # which keeps the beginning alone
    missed = [c for c, yes in zip(text[:kept], covered, strict=False) if not yes and not c.isspace()]
    assert not missed and (kind != "document" or len(chunks) <= 1)
    assert [c.start for c in chunks] == sorted(c.start for c in chunks)


@pytest.mark.parametrize("kind", CHUNKERS)
def test_the_same_text_is_cut_the_same_way(kind: str) -> None:
    text = "One sentence here. Another one there.\n\nA new paragraph, rather longer than the others. " * 5
    part = kinds("chunker")[kind](size=16)
    assert split(part, Document("a.go", text)) == split(part, Document("b.go", text))


@pytest.mark.parametrize("kind", ["fixed", "recursive"])
def test_overlap_is_shared_and_bounded(kind: str) -> None:
    text = " ".join(f"word{i}." for i in range(400))
    tokens = TokenMap(TOKENIZER.starts(text))
    chunks = kinds("chunker")[kind](size=40, overlap=0.25).split(Document("d", text), tokenizer=TOKENIZER)
    shared = [tokens.count(b.start, a.end) for a, b in pairwise(chunks)]
    assert len(shared) > 5 and all(0 < count <= 10 for count in shared)
