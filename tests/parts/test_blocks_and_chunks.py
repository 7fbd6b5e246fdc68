"""Chunks of documents with blocks: tables keep their header, paragraphs stay whole, headings stay with what follows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_opt.core.documents import Block, Chunk, Corpus, Document, Span
from rag_opt.parts.chunkers.markdown import Markdown
from rag_opt.parts.chunkers.paragraphs import Paragraphs
from rag_opt.parts.chunkers.recursive import Recursive
from rag_opt.parts.chunkers.sentence import Sentence
from rag_opt.parts.interfaces import TextChunker
from rag_opt.pipeline.corpus_text import CorpusText
from rag_opt.text.markdown_blocks import markdown_blocks
from rag_opt.text.reading_writer import ReadingWriter
from rag_opt.text.tokenizer_names import find_tokenizer

TOKENIZER = find_tokenizer("wordpiece")
HEADER = "| Pump | Speed (rpm) | Noise (dB) |"


def pumps(rows: int = 40, *, caption: str = "") -> Document:
    writer = ReadingWriter()
    writer.heading("Pumps", 1)
    writer.block("paragraph", "All pumps were measured in May. The next measurement follows in autumn.")
    body = [[f"Pump {n}", str(900 + 7 * n), str(20 + n)] for n in range(rows)]
    writer.table([["Pump", "Speed (rpm)", "Noise (dB)"], *body], caption=caption)
    reading = writer.finish()
    return Document("pumps.pdf", reading.text, blocks=reading.blocks)


@pytest.mark.parametrize("chunker", [Recursive(size=64), Sentence(size=64), Markdown(size=64), Paragraphs(size=64)])
def test_every_piece_of_a_cut_table_knows_its_columns(chunker: TextChunker) -> None:
    document = pumps(caption="Table 1: pumps")
    chunks = chunker.split(document, tokenizer=TOKENIZER)
    embedded = [chunk.embed_text or document.text[chunk.start : chunk.end] for chunk in chunks]
    with_rows = [text for text in embedded if "| Pump " in text and "9" in text]
    assert len(with_rows) > 5 and all(HEADER in text for text in with_rows)
    assert max(TOKENIZER.lengths(embedded)) - TOKENIZER.special_tokens <= 64
    assert sum("Table 1" in text for text in embedded) >= len(with_rows)


def test_plain_tables_are_cut_without_their_header() -> None:
    chunks = Recursive(size=64, tables="plain").split(pumps(), tokenizer=TOKENIZER)
    assert all(chunk.embed_text is None for chunk in chunks)


def test_a_header_that_fills_the_chunk_is_not_repeated() -> None:
    assert all(chunk.embed_text is None for chunk in Recursive(size=16).split(pumps(), tokenizer=TOKENIZER))


def test_a_piece_of_a_table_is_read_and_counted_with_its_header() -> None:
    document = pumps()
    start = document.text.index("| Pump 30")
    span = Span("pumps.pdf", start, len(document.text))
    plain, repeating = (CorpusText(Corpus((document,)), repeats_headers=repeats) for repeats in (False, True))
    assert plain.passage(span) == plain.of(span) == repeating.of(span)
    assert repeating.passage(span).startswith(HEADER) and repeating.tokens(span) > plain.tokens(span)
    assert repeating.citation(span).headings == ("Pumps",)


def test_whole_paragraphs_are_joined_and_headings_stay_with_what_follows() -> None:
    words = "one two three four five six seven eight nine ten"
    text = f"# First\n\n{words}\n\n{words}\n\n## Second\n\n{words}\n\n- item {words}\n\n" + " ".join([words] * 9)
    document = Document("a.md", text, blocks=markdown_blocks(text))
    contents = [text[c.start : c.end] for c in Paragraphs(size=40).split(document, tokenizer=TOKENIZER)]
    assert contents[0] == f"# First\n\n{words}\n\n{words}", "half full, so it ends before the heading"
    assert contents[1].startswith("## Second\n\none") and "- item" in contents[1]
    assert not any(content.endswith(("First", "Second")) for content in contents)
    assert len(contents) > 4, "the long paragraph is cut"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["paragraph", "heading", "code", "list item"]), st.text("ab .\n|", min_size=1)),
        max_size=12,
    ),
    st.sampled_from([8, 24, 64]),
)
def test_paragraph_groups_cover_all_text_within_their_size(parts: list[tuple[str, str]], size: int) -> None:
    writer = ReadingWriter()
    for kind, text in parts:
        writer.block(kind, text, level=1)  # type: ignore[arg-type]
    reading = writer.finish()
    document = Document("d", reading.text, blocks=reading.blocks)
    chunks: list[Chunk] = Paragraphs(size=size).split(document, tokenizer=TOKENIZER)
    seen = np.zeros(len(reading.text), bool)
    for chunk in chunks:
        assert TOKENIZER.lengths([reading.text[chunk.start : chunk.end]])[0] - TOKENIZER.special_tokens <= size
        assert not seen[chunk.start : chunk.end].any()
        seen[chunk.start : chunk.end] = True
    assert all(character.isspace() for character, inside in zip(reading.text, seen, strict=True) if not inside)


def test_no_heading_is_found_in_front_matter_or_code() -> None:
    text = '+++\n# comment\ntitle = "x"\n+++\n\n# Real\n\n```\n# in code\n```\n\n> # quoted\n'
    headings = [text[b.start : b.end] for b in markdown_blocks(text) if b.kind == "heading"]
    assert headings == ["# Real"]
    assert markdown_blocks(text)[0] == Block("metadata", 0, text.index("\n\n# Real"))
