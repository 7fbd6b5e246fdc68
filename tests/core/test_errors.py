"""Suggestions of names."""

from __future__ import annotations

import pytest

from rag_opt.core.errors import suggest_names


def test_the_nearest_name_is_suggested() -> None:
    assert suggest_names("chunkr", ["chunker", "reader"]) == "; did you mean 'chunker'? There are: chunker, reader"
    assert suggest_names("x", []) == ". None is known here."


@pytest.mark.parametrize(
    ("written", "known"),
    [("cafe\u0301.md", "caf\u00e9.md"), ("a\u200b.md", "a.md"), ("a\u00a0b.md", "a b.md"), ("ﬁle.md", "file.md")],
)
def test_a_name_that_looks_the_same_is_told_by_its_characters(written: str, known: str) -> None:
    said = suggest_names(written, [known])
    assert ascii(written) in said and ascii(known) in said and "did you mean" not in said
