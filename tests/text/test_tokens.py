"""Tokens of texts that a tokenizer does not know: every size stays a measure."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_opt.core.documents import Document
from rag_opt.core.registry import kinds
from rag_opt.setup.builtins import load_built_in
from rag_opt.text.tokenizer_names import find_tokenizer

TOKENIZER = find_tokenizer("wordpiece")
SIZE = 64
UNSPACED = {
    "hex": "0f3a9c",
    "base64": "QmFzZTY0",
    "thai": "สวัสดีชาวโลก",
    "one letter": "a",
    "khmer": "ភាសាខ្មែរ",
    "emoji": "😀🎉",
    "amharic": "ሰላምዓለም",
    "private": "\ue000\ue001",
}


@pytest.mark.parametrize("name", UNSPACED)
def test_no_chunk_and_no_count_is_without_a_bound(name: str) -> None:
    load_built_in()
    text = (UNSPACED[name] * 100_000)[:100_000]
    for kind in ("fixed", "recursive", "sentence"):
        chunks = kinds("chunker")[kind](size=SIZE).split(Document("d", text), tokenizer=TOKENIZER)
        largest = max(len(text[chunk.start : chunk.end].encode()) for chunk in chunks)
        assert largest <= 4 * SIZE, (kind, largest)
    assert len(TOKENIZER.starts(text)) >= len(text.encode()) / 4 - 1


def test_words_that_are_known_count_as_before() -> None:
    text = "Internationalization of the honeybee's waggle dance."
    known = TOKENIZER._rust.encode(text, add_special_tokens=False)
    assert TOKENIZER.starts(text).tolist() == [start for start, _ in known.offsets]


@given(st.text(max_size=200))
def test_tokens_begin_at_characters_and_ascend(text: str) -> None:
    starts = TOKENIZER.starts(text)
    assert (np.diff(starts) > 0).all() and all(0 <= start < len(text) for start in starts)
