"""Words that lexical search compares, and that they are found in every script."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_opt.parts.indexes.bm25 import BM25
from rag_opt.text.words import split_words
from tests.text.labelled import read_sample

SCRIPTS = ("en", "ru", "el", "ar", "he", "hi", "ko", "ka", "hy", "am", "my", "km", "zh", "ja")
NO_WORD = set(map(chr, range(128))) | set("…“”。，、！？（）：「」・៖។၊။")
UNSPACED = ("my", "km", "zh", "ja")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Vitamin K, type 2, R and C++", "vitamin k type 2 r and c++"),
        ("STRASSE, Straße", "strasse strasse"),
        ("İSTANBUL istanbul", "istanbul istanbul"),
        ("ΔΡΟΜΟΣ δρόμος", "δρομοσ δρομοσ"),
        ("ёлка Ёлка елка май", "елка елка елка май"),
        ("infor\u200bmation co\u00adoperate", "information cooperate"),
        ("שָׁלוֹם كِتَاب كتـــاب", "שלום كتاب كتاب"),
        ("snake_case x86_64 __init__", "snake_case snake case x86_64 x86 64 __init__"),
        (
            "camelCase HTTPServer iPhone McDonald",
            "camelcase camel case httpserver http server iphone mcdonald mc donald",
        ),
        ("한국의 수도", "한국의 한국 국의 수도"),
        ("日本茶 3月5日 茶", "日本 本茶 日 本 茶 3 月 5 日 茶"),
        ("dog's l'eau don't", "dog eau don"),
        ("naïve ｆｕｌｌ ﬁsh", "naïve full fish"),
    ],
)
def test_words(text: str, words: str) -> None:
    assert split_words(text) == words.split()


@pytest.mark.parametrize("language", SCRIPTS)
def test_every_word_finds_its_text_among_others_of_its_article(language: str, tmp_path: Path) -> None:
    text, spans = read_sample(language)
    paragraphs = [text[start:end] for start, end in spans]
    asked = [(number, word) for number, paragraph in enumerate(paragraphs) for word in words_of(paragraph, language)]
    index = BM25(stop_words="none").in_language(language)
    index.build_from_texts(tmp_path, [paragraphs], len(paragraphs))
    found = index.open(tmp_path).search([word for _, word in asked], len(paragraphs)).chunks
    lost = [word for (number, word), row in zip(asked, found, strict=True) if number not in row]
    assert len(asked) > 100 and not lost, lost[:10]


def words_of(paragraph: str, language: str) -> list[str]:
    """Return words as a person would ask for them: where there are no spaces, any three characters that follow."""
    words = [word for word in paragraph.split() if any(character.isalnum() for character in word)]
    if language not in UNSPACED:
        return words
    runs = [run for run in words if not run.isascii()]
    threes = [run[place : place + 3] for run in runs for place in range(len(run) - 2)]
    return [three for three in threes if not set(three) & NO_WORD]


@given(st.text(max_size=60))
def test_words_are_in_one_form_and_case(text: str) -> None:
    words = split_words(text)
    assert all(word and not any(c.isspace() for c in word) for word in words)
    assert split_words(text.lower()) == words or any(c.isupper() or c.istitle() for c in text)
