"""Thirty files of known content: what the built-in reader makes of them, and what it says of the rest."""

from __future__ import annotations

from statistics import mean

import pytest

from rag_opt.core.readings import Reading
from rag_opt.data.file_readers import FileReader
from tests.documents.content import Labelled
from tests.documents.labelled import measure, write_all

Read = dict[str, tuple[Labelled, Reading]]


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Read:
    folder = tmp_path_factory.mktemp("labelled")
    labelled = write_all(folder)
    found: Read = {}
    for one, reading in zip(labelled, FileReader().read_all([folder / one.name for one in labelled]), strict=True):
        assert isinstance(reading, Reading), (one.name, reading)
        found[one.name] = one, reading
    return found


def test_nearly_every_word_and_cell_is_read_in_its_order(read: Read) -> None:
    kept = {name: measure(one, reading.text) for name, (one, reading) in read.items() if not one.is_scan}
    assert len(read) >= 30
    assert mean(one.words for one in kept.values()) >= 0.98, kept
    assert mean(one.order for one in kept.values()) >= 0.98, kept
    assert mean(one.cells for one in kept.values() if one.cells is not None) >= 0.95, kept
    worst = min(kept, key=lambda name: kept[name].order)
    assert kept[worst].order >= 0.9, (worst, read[worst][1].text)


def test_nothing_is_left_out_without_a_note(read: Read) -> None:
    for name, (one, reading) in read.items():
        said = [note.what for note in reading.notes]
        assert all(any(what.startswith(wanted) for what in said) for wanted in one.notes), (name, said)
        lost = measure(one, reading.text).words < 1
        assert not lost or said, (name, reading.text)


def test_blocks_lie_in_the_text_one_after_the_other(read: Read) -> None:
    for name, (_, reading) in read.items():
        blocks = reading.blocks or ()
        assert blocks or not reading.text, name
        edges = [edge for block in blocks for edge in (block.start, block.end)]
        assert edges == sorted(edges) and (not edges or edges[-1] <= len(reading.text)), name
        outside = list(reading.text)
        for block in blocks:
            outside[block.start : block.end] = " " * (block.end - block.start)
        assert not "".join(outside).strip(), (name, "all text lies in a block")


def test_pages_and_what_stands_on_them(read: Read) -> None:
    _, reading = read["sentences_over_pages.pdf"]
    kinds = [block.kind for block in reading.blocks or ()]
    assert kinds.count("footnote") == 2 and "circulation of the water" in reading.text
    assert {page for _, page in reading.pages} == {1, 2} and reading.page_count == 2
    _, reading = read["partly_scanned.pdf"]
    assert reading.notes[0].pages == (2,) and [page for _, page in reading.pages] == [1, 3]


def test_headings_lists_and_tables_are_told_apart(read: Read) -> None:
    def kinds(name: str) -> list[str]:
        return [block.kind for block in read[name][1].blocks or ()]

    assert kinds("one_column.pdf").count("heading") == 4
    assert kinds("clauses.docx").count("heading") == 3
    assert [b.label for b in read["clauses.docx"][1].blocks or () if b.kind == "list item"][:3] == ["4.1", "(a)", "(b)"]
    assert kinds("markdown_table.md") == ["metadata", "heading", "paragraph", "table"]
    assert {"page head", "page foot"} <= set(kinds("around_the_text.docx"))
    table = next(b for b in read["page_with_spans.html"][1].blocks or () if b.kind == "table")
    assert (
        read["page_with_spans.html"][1].text[table.start : table.header_end].startswith("| Model | Weight | Range |\n")
    )
