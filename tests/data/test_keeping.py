"""Documents in a file are the same documents as those in memory."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_opt.core.documents import Corpus, Document
from rag_opt.core.errors import BadInput
from rag_opt.data import document_file
from rag_opt.data.datasets.folder import Folder
from rag_opt.data.document_file import DocumentsOnDisk, collect_documents

DOCUMENTS = st.lists(
    st.builds(
        Document,
        st.text(min_size=1, max_size=3),
        st.text(st.characters(codec=None), max_size=40),
        st.text(max_size=3),
        st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
    ),
    max_size=12,
    unique_by=lambda document: document.id,
)


@given(DOCUMENTS, st.booleans())
def test_they_are_what_was_put_there(documents: list[Document], by_id: bool) -> None:
    on_disk = DocumentsOnDisk(documents, by_id=by_id)
    expected = sorted(documents, key=lambda document: document.id) if by_id else documents
    assert list(on_disk) == list(collect_documents(documents, by_id=by_id)) == expected
    assert list(on_disk[1:3]) == expected[1:3]
    assert [on_disk[-1]] == expected[-1:] if documents else True
    with pytest.raises(IndexError):
        on_disk[len(documents)]


@given(DOCUMENTS)
def test_a_corpus_of_them_is_the_same_corpus(documents: list[Document]) -> None:
    one, other = Corpus(collect_documents(documents)), Corpus(collect_documents(documents, max_characters=0))
    assert (one.ids, one.characters, one.metadata, one.position) == (
        other.ids,
        other.characters,
        other.metadata,
        other.position,
    )


def test_memory_holds_only_what_was_read_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_file, "_MAX_CHARACTERS_CACHED", 300_000)

    def many() -> Iterator[Document]:
        for number in range(200):
            yield Document(f"{number:03}", f"{number:03} " * 25_000)

    tracemalloc.start()
    documents = collect_documents(many(), max_characters=1_000_000)
    assert isinstance(documents, DocumentsOnDisk)
    assert sum(len(document.text) for document in documents) == 20_000_000
    assert [documents[row].text[:3] for row in (7, 199, 0, 7)] == ["007", "199", "000", "007"]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000  # a million before the file, some copies of one document, and what was read last


def test_lines_after_a_broken_one_are_refused_with_its_place(tmp_path: Path) -> None:
    lines = b'\xef\xbb\xbf{"id": "a", "text": "one"}\n{"id": "b", "text": "caf\xe9"}\n'
    (tmp_path / "documents.jsonl").write_bytes(lines)
    (tmp_path / "questions.jsonl").write_text("")
    with pytest.raises(BadInput, match=f"byte 0xe9 at offset {lines.index(0xE9)}"):
        Folder(documents=str(tmp_path / "documents.jsonl"), questions=str(tmp_path / "questions.jsonl")).read()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_processes_read_their_own_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_file, "_MAX_CHARACTERS_CACHED", 1)
    documents = DocumentsOnDisk((Document(f"{n}", f"{n} " * 2000) for n in range(40)), by_id=False)
    children = []
    for seed in range(2):
        child = os.fork()
        if child == 0:
            rows = [(7 * n + seed) % 40 for n in range(2000)]
            os._exit(0 if all(documents[row].text.startswith(f"{row} ") for row in rows) else 1)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]


def test_a_place_that_takes_no_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "documents.jsonl").write_text('{"id": "a", "text": "one"}\n')
    (tmp_path / "questions.jsonl").write_text("")
    monkeypatch.setattr(document_file, "MAX_CHARACTERS_IN_MEMORY", 0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(BadInput, match="TMPDIR"):
        Folder(documents=str(tmp_path / "documents.jsonl"), questions=str(tmp_path / "questions.jsonl")).read()
