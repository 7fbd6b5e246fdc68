"""The language of a corpus is that of its prose."""

from __future__ import annotations

import pytest

from rag_opt.core.documents import Corpus, Document
from rag_opt.core.questions import Dataset
from rag_opt.data.language import detect_language, read_prose, set_language

PROSE = "The museum opens at nine in the morning, and it closes late on every second Thursday of the month. " * 2
GERMAN = "Das Museum öffnet um neun Uhr am Morgen, und es schließt spät an jedem zweiten Donnerstag im Monat. " * 2
NOISE = {
    "hashes": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 " * 40,
    "base64": "iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4 " * 40,
    "data URI": "data:image/png;base64," + "iVBORw0KGgoAAAANSUhEUgAAAAUA" * 100,
    "addresses": "https://example.com/a/b?c=d user@example.com /usr/lib/x.so " * 40,
    "numbers": "12.5 88 1,000 2024-01-01 " * 80,
}


@pytest.mark.parametrize("name", NOISE)
def test_what_is_no_prose_says_nothing_of_the_language(name: str) -> None:
    assert detect_language(Corpus((Document("d", f"{NOISE[name]}\n{PROSE}"),)))[0] == "en"
    nothing, _ = detect_language(Corpus((Document("d", NOISE[name]), Document("e", PROSE), Document("f", PROSE))))
    assert nothing == "en", "a document without a language is none of another"


def test_documents_of_several_languages_are_said_to_be_mixed() -> None:
    corpus = Corpus(tuple(Document(f"{n}", PROSE if n % 2 else GERMAN) for n in range(10)))
    dataset = set_language(Dataset("d", corpus, ()), None)
    assert dataset.corpus.language == "" and "mixed: " in dataset.notes[0] and "de 50%" in dataset.notes[0]


def test_prose_is_read_up_to_its_limit() -> None:
    assert len(read_prose(PROSE * 100, 500)) < 520 and read_prose("สวัสดี 東京 hello", 99) == "สวัสดี 東京 hello"
