"""Sentences of any script, by a labelled sample and by what must hold for every text."""

from __future__ import annotations

import statistics
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_opt.text.sentences import split_sentences
from tests.text.labelled import LANGUAGES, f1, read_sample


def test_sentences_are_those_of_the_labelled_sample() -> None:
    scores = {}
    for language in LANGUAGES:
        text, labelled = read_sample(language)
        scores[language] = f1(split_sentences(text), labelled)
    assert len(scores) == 20 and statistics.mean(scores.values()) >= 0.97, scores
    assert min(scores.values()) >= 0.93, scores


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in split_sentences(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Это дом. Он стоит здесь.", ["Это дом.", "Он стоит здесь."]),
        ("Er kam am 3. Mai und ist noch da. Übrigens: ja.", ["Er kam am 3. Mai und ist noch da.", "Übrigens: ja."]),
        ("Take vitamin C. The rest follows.", ["Take vitamin C.", "The rest follows."]),
        ("Use e.g. This one. See Dr. Who.", ["Use e.g. This one.", "See Dr. Who."]),
        ("iPhones fell. eBay rose. macOS came.", ["iPhones fell.", "eBay rose.", "macOS came."]),
        ("T. S. Eliot wrote it. J. Smith read it.", ["T. S. Eliot wrote it.", "J. Smith read it."]),
        ("¿Vienes? ¡Sí! Él no.", ["¿Vienes?", "¡Sí!", "Él no."]),
        ("他说：“好。”然后走了。", ["他说：“好。”", "然后走了。"]),
        ("First line\nwrapped by hand. Next.", ["First line\nwrapped by hand.", "Next."]),
        ("Title\n\nText here.\r\n\r\nMore.", ["Title", "Text here.", "More."]),
        ("Buy:\n- milk\n- eggs\n1. Go. Now.", ["Buy:", "- milk", "- eggs", "1. Go.", "Now."]),
        ("😀 Good. 😀 Fine. É.", ["😀 Good.", "😀 Fine.", "É."]),  # beyond the 16 bits of ICU's offsets
        ("See pp. 12 and p. 7. Done.", ["See pp. 12 and p. 7.", "Done."]),
        ("Πού είναι; Εδώ. A; b", ["Πού είναι;", "Εδώ.", "A; b"]),
    ],
)
def test_sentences_of_neighbours_of_the_sample(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@given(st.text(st.sampled_from('aÀж.!?…。।;\n\r \t"“”«»()「」1-A😀\u2028\u200b'), max_size=120))
def test_every_character_belongs_to_one_sentence(text: str) -> None:
    spans = split_sentences(text)
    assert all(a < b for a, b in spans) and all(b <= c for (_, b), (c, _) in pairwise(spans))
    covered = {place for start, end in spans for place in range(start, end)}
    assert covered >= {place for place, character in enumerate(text) if not character.isspace()}
    assert all(text[start:end] == text[start:end].strip() for start, end in spans)
