"""What each chunker promises beyond the contract of all."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_opt.core.documents import Document
from rag_opt.core.structure import heading_title
from rag_opt.parts.chunkers.cluster import Cluster, best_segmentation
from rag_opt.parts.chunkers.code import GRAMMARS, Code
from rag_opt.parts.chunkers.markdown import Markdown
from rag_opt.parts.chunkers.semantic import Semantic
from rag_opt.text.markdown_blocks import markdown_blocks
from rag_opt.text.tokenizer_names import find_tokenizer

TOKENIZER = find_tokenizer("wordpiece")
GUIDE = (
    "---\ntitle: no heading\n---\n"
    "Preface.\n\n# Bees\n\nThey dance.\n\n## Queens\n\nThey lay eggs.\n\n```\n# a comment, no heading\n```\n\n"
    "### Age\n\nSome years.\n\nRivers\n======\r\n\r\nThey flow.\u2028Still the same line.\n\n- # in a list\n"
)


def test_headings_are_those_of_commonmark() -> None:
    blocks = [block for block in markdown_blocks(GUIDE) if block.kind == "heading"]
    found = [(GUIDE[b.start : b.start + 6], b.level, heading_title(GUIDE[b.start : b.end])) for b in blocks]
    assert found == [
        ("# Bees", 1, "Bees"),
        ("## Que", 2, "Queens"),
        ("### Ag", 3, "Age"),
        ("Rivers", 1, "Rivers"),
    ]


def test_a_section_is_a_chunk_and_may_say_what_it_is_below() -> None:
    document = Document("guide.md", GUIDE)
    chunks = Markdown(size=64, headings="path").split(document, tokenizer=TOKENIZER)
    shown = [(GUIDE[c.start : c.end].split("\n", maxsplit=1)[0], c.embed_text) for c in chunks]
    assert [first for first, _ in shown] == ["---", "# Bees", "## Queens", "### Age", "Rivers"]
    assert [text.split("\n")[0] if text else None for _, text in shown] == [None, None, "Bees", "Bees > Queens", None]
    assert chunks[3].embed_text == "Bees > Queens\n\n### Age\n\nSome years."
    plain = Markdown(size=64, level=1).split(document, tokenizer=TOKENIZER)
    assert [GUIDE[c.start : c.end].split("\n", maxsplit=1)[0] for c in plain] == ["---", "# Bees", "Rivers"]
    assert all(c.embed_text is None for c in plain)


def test_every_chunk_of_a_long_section_says_where_it_stands() -> None:
    text = "# Bees\n\n## Queens\n\n" + "A queen lays eggs in spring. " * 20
    chunks = Markdown(size=48, headings="path").split(Document("d.md", text), tokenizer=TOKENIZER)
    said = [(c.embed_text or "").split("\n")[0] for c in chunks]
    assert len(said) > 4 and said[:2] == ["", "Bees"] and set(said[2:]) == {"Bees > Queens"}


@given(st.integers(12, 60), st.integers(0, 30))
@settings(deadline=None)
def test_what_is_embedded_stays_within_the_size(size: int, words: int) -> None:
    text = f"# {'long heading ' * words}\n\n## Second\n\n" + "Some words of text. " * 40
    chunks = Markdown(size=size, headings="path").split(Document("d.md", text), tokenizer=TOKENIZER)
    sizes = TOKENIZER.lengths([c.embed_text or text[c.start : c.end] for c in chunks]) - TOKENIZER.special_tokens
    assert sizes.max() <= size


@given(st.integers(1, 9), st.integers(0, 10_000), st.integers(3, 12))
@settings(max_examples=150, deadline=None)
def test_the_segmentation_is_the_best_there_is(count: int, seed: int, most: int) -> None:
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(count, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    sizes = random.integers(1, 6, count)
    alike = (vectors @ vectors.T).astype(float)
    mean = (alike.sum() - count) / (count * (count - 1)) if count > 1 else 0.0

    def worth(edges: list[tuple[int, int]]) -> float:
        return sum(float(alike[i, j]) - mean for a, b in edges for i in range(a, b) for j in range(a, b) if i != j)

    def every() -> list[list[tuple[int, int]]]:
        cuts = itertools.product([False, True], repeat=count - 1)
        every = [[0, *(i + 1 for i, here in enumerate(c) if here), count] for c in cuts]
        segments = [list(itertools.pairwise(edges)) for edges in every]
        return [s for s in segments if all(b - a == 1 or sizes[a:b].sum() <= most for a, b in s)]

    found = best_segmentation(vectors, sizes, most=most)
    assert found in every()
    assert worth(found) == pytest.approx(max(map(worth, every())), abs=1e-4)


def test_a_cluster_is_bound_by_its_tokens_or_by_its_pieces() -> None:
    text = " ".join(f"Bees fly to flower number {number}." for number in range(12))

    def vectors(texts: list[str]) -> np.ndarray:
        near = np.array([[10, text.index(one)] for one in texts], np.float32)
        return near / np.linalg.norm(near, axis=1, keepdims=True)

    document = Document("d", text)
    counts = {}
    for part in (Cluster(size=24, piece=8), Cluster(size=24, piece=8, bound="pieces"), Cluster(size=64, piece=8)):
        chunks = part.split_by_vectors(document, tokenizer=TOKENIZER, vectors=vectors)
        counts[part.size, part.bound] = max(text[chunk.start : chunk.end].count("Bees") for chunk in chunks)
    assert counts[24, "pieces"] <= 3 and counts[24, "tokens"] <= 3 < counts[64, "tokens"], counts


def test_semantic_breaks_where_the_topic_changes() -> None:
    topics = ["Bees fly to flowers. ", "Rivers run to the sea. "]
    text = topics[0] * 6 + topics[1] * 6

    def vectors(texts: list[str]) -> np.ndarray:
        made = np.array([[text.count("Bees") + 1e-3, text.count("Rivers") + 1e-3] for text in texts], np.float32)
        return made / np.linalg.norm(made, axis=1, keepdims=True)

    part = Semantic(size=400, percentile=90, buffer=0)
    chunks = part.split_by_vectors(Document("d", text), tokenizer=TOKENIZER, vectors=vectors)  # type: ignore[arg-type]
    assert [text[c.start : c.end].count("Bees") for c in chunks] == [6, 0]


SOURCES = {
    ".py": "import os\n\n\n@cached\ndef first(a):\n    return a\n\n\n"
    "class Second:\n    def third(self):\n        return 'é€😀'\n",
    ".js": "import a from 'b';\nfunction first() { return 1 }\nconst second = () => { return 2 };\n",
    ".ts": "interface A { b: string }\nfunction first(a: A): string { return a.b }\n",
    ".java": "class A {\n  int b() { return 1; }\n  int c() { return 2; }\n}\n",
    ".go": "package a\n\nfunc B() int { return 1 }\n\nfunc C() int { return 2 }\n",
    ".rs": "fn first() -> i32 { 1 }\n\nstruct A { b: i32 }\n",
    ".c": "int first(void) { return 1; }\nint second(void) { return 2; }\n",
    ".cpp": "namespace a { class B { int c() { return 1; } }; }\n",
    ".cs": "class A { int B() { return 1; } int C() { return 2; } }\n",
    ".rb": "def first\n  1\nend\n\nclass A\n  def b\n    2\n  end\nend\n",
    ".php": "<?php\nfunction first() { return 1; }\nfunction second() { return 2; }\n",
    ".sh": "first() {\n  echo 1\n}\nsecond() {\n  echo 2\n}\n",
}


@pytest.mark.parametrize("ending", sorted(SOURCES))
def test_code_is_cut_between_declarations(ending: str) -> None:
    text = SOURCES[ending] * 3
    chunks = Code(size=24).split(Document(f"folder/file{ending}", text), tokenizer=TOKENIZER)
    assert len(chunks) > 1 and ending in GRAMMARS
    said = "".join("".join(text[c.start : c.end].split()) for c in chunks)
    assert said == "".join(text.split()), "every character once"


def test_a_declaration_that_fits_stays_whole() -> None:
    text = SOURCES[".py"] * 3
    chunks = Code(size=28).split(Document("a.py", text), tokenizer=TOKENIZER)
    held = [text[c.start : c.end] for c in chunks]
    assert sum("@cached\ndef first(a):\n    return a" in one for one in held) == 3
    assert sum("class Second:\n    def third(self):\n        return 'é€😀'" in one for one in held) == 3


def test_what_has_no_grammar_and_what_is_broken_is_cut_too() -> None:
    long = "x = (" + " +\n  ".join(f"'part {n}'" for n in range(3000)) + ")"
    for name, text in (("a.cobol", "MOVE A TO B. " * 40), ("a.py", "def ((( :\n  'never closed " * 30), ("b.py", long)):
        chunks = Code(size=16).split(Document(name, text), tokenizer=TOKENIZER)
        assert "".join("".join(text[c.start : c.end].split()) for c in chunks) == "".join(text.split())
