"""Quotes and locators resolve to exact offsets, whatever their white space and Unicode."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_opt.core.documents import Corpus, Document, Span
from rag_opt.core.errors import BadInput
from rag_opt.core.questions import WholeDocument
from rag_opt.data.normalized_text import normalize
from rag_opt.data.question_lines import resolve_evidence
from rag_opt.data.quotes import QuoteResolver, is_too_short

CORPUS = Corpus(
    (
        Document("a", "It’s  a\nsmall world. The café is open. It’s a small world."),
        Document("b", "Nobody said so: it's a small world indeed. It's a small world."),
    )
)


def test_a_quote_resolves_to_every_place_whatever_its_white_space_and_unicode() -> None:
    spans = QuoteResolver(CORPUS).find("It's a small world.")
    assert [CORPUS.text(s) for s in spans] == ["It’s  a\nsmall world.", "It’s a small world.", "It's a small world."]
    decomposed = unicodedata.normalize("NFD", "The café is open.")
    assert [CORPUS.text(s) for s in QuoteResolver(CORPUS).find(decomposed)] == ["The café is open."]


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=80))
@settings(max_examples=300, deadline=None)
def test_normalised_text_maps_back_to_where_it_came_from(text: str) -> None:
    one = normalize(text)
    assert len(one.text) == len(one.starts) == len(one.ends)
    assert "  " not in one.text
    for i in range(len(one.text)):
        start, end = one.original(i, i + 1)
        assert 0 <= start < end <= len(text)
        assert one.text[i].strip() in normalize(text[start:end]).text


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_any_slice_of_a_document_is_found_again(data: st.DataObject) -> None:
    text = data.draw(st.text(st.sampled_from("ab ‘’“”é\u0301\n\t–ﬁ"), min_size=3, max_size=60))
    corpus = Corpus((Document("d", text),))
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    piece = text[start:end]
    if (
        piece.strip()
        and not unicodedata.combining(piece.lstrip()[0])
        and not unicodedata.combining(text[end : end + 1] or "a")
    ):
        found = QuoteResolver(corpus).find(piece)
        trimmed = normalize(piece).text.strip()
        assert not trimmed or any(s.start <= start + len(piece) - len(piece.lstrip()) < s.end for s in found)


@pytest.mark.parametrize(
    ("text", "quote"),
    [
        ("She said „Nein” and left «quickly».", 'said "Nein" and left "quickly"'),
        ("It fell to \u221212 °C on Tuesday.", "fell to -12 °C on"),
        ("The file \u200ereport.pdf\u200f was sent.", "file report.pdf was"),
        ("Poli\u00adtik\u00adwissenschaft in Berlin", "Politikwissenschaft in"),
        (unicodedata.normalize("NFD", "서울은 대한민국의 수도이다."), "대한민국의 수도이다."),
        ("கொழும்பு நகரில்".replace("\u0bca", "\u0bc6\u0bbe"), "கொழும்பு நகரில்"),
        ("北京是中国的首都。", "中国的首都"),
    ],
)
def test_forms_of_writing_do_not_matter(text: str, quote: str) -> None:
    (span,) = QuoteResolver(Corpus((Document("d", f"Before it. {text} After it."),))).find(quote)
    resolver = QuoteResolver(Corpus((Document("d", text),)))
    assert len(resolver.find(quote)) == 1 and resolver.loose == 0
    assert span.document_id == "d" and not is_too_short(quote)


@pytest.mark.parametrize(
    ("text", "quote"),
    [
        ("This is a di ffi cult, well-known case.", "a difficult, wellknown case"),
        ("Sequence trans-\nduction models", "Sequence transduction models"),
        ("a comma-\r\n  separated list here", "a comma-separated list"),
        ("• Revenue\u2003rose\uf0b7 by “5 %”", "Revenue rose by 5%"),
        ("Net income (loss) -- 2023", "NET INCOME LOSS – 2023"),
    ],
)
def test_a_quote_of_another_reader_is_found_by_its_letters_and_said(text: str, quote: str) -> None:
    resolver = QuoteResolver(Corpus((Document("d", f"One. {text} Two."), Document("e", "Other."))))
    assert len(resolver.find(quote)) == 1 and "1 quotes stand in the documents with other" in resolver.notes()[0]
    twice = QuoteResolver(Corpus((Document("d", f"{text} {text}"),)))
    assert twice.find(quote) == [] and twice.notes() == [], "two places: nobody knows which"


def test_a_document_is_named_in_any_unicode_form() -> None:
    name = "Übersicht.md"
    corpus = Corpus((Document(unicodedata.normalize("NFD", name), "A sentence of some length."),))
    needs = resolve_evidence([{"document": name, "quote": "sentence of some"}], QuoteResolver(corpus), "q:1")
    assert needs == ((Span(corpus.ids[0], 2, 18),),)


def test_every_refused_quote_has_its_hint_with_whole_words() -> None:
    filler = "Nothing of this matters to anybody at all. " * 3000
    corpus = Corpus((Document("d", f"{filler}Honeybees perform the waggle dance inside the hive. {filler}"),))
    resolver = QuoteResolver(corpus)
    for _ in range(40):
        said = resolver.describe_nearest("oneybees performed the waggel dance inside a hive", None)
        start, end = (int(n) for n in said[said.index("[") + 1 : said.index(")")].split(","))
        assert corpus["d"].text[start:end] == "Honeybees perform the waggle dance inside the hive"


def test_all_shapes_of_evidence() -> None:
    needs = resolve_evidence(
        [
            "The café is open.",
            {"document": "b", "start": 0, "end": 6},
            {"document": "b", "from": "Nobody said", "to": "indeed."},
            {"document": "a"},
            [{"document": "b", "quote": "Nobody said so"}, {"quote": "small world."}],
        ],
        QuoteResolver(CORPUS),
        "q:1",
    )
    assert needs is not None
    assert needs[0] == (Span("a", 21, 38),)
    assert needs[1] == (Span("b", 0, 6),)
    assert needs[2] == (Span("b", 0, 42),)
    assert needs[3] == (WholeDocument("a"),)
    assert len(needs[4]) == 4


@pytest.mark.parametrize(
    ("evidence", "said"),
    [
        ("Zzyzx qwv, kkjjhh: xxpplq", "does not stand in any document: 'Zzyzx qwv, kkjjhh: xxpplq'; nothing like it"),
        ("The caffe was opened", "nearest is 'The café is open.' at [21, 38) of 'a'"),
        ("small", "shorter than 8 characters"),
        ({"document": "c"}, "there is no document 'c'"),
        ({"document": "a", "start": 5, "end": 5}, "should be 0 <= start < end <="),
        ({"document": "a", "start": 0, "end": 5000}, "should be 0 <= start < end <="),
        ({"document": "a", "from": "small world", "to": "open"}, "stands 2 times"),
        ({"document": "a", "from": "The café", "to": "closed"}, "does not follow"),
        ({"document": "a", "quote": "Nobody said so"}, "does not stand in 'a'"),
        ({"start": 1, "end": 2}, "should be a quote or"),
        (7, "should be a quote or"),
    ],
)
def test_evidence_that_does_not_resolve_says_why(evidence: object, said: str) -> None:
    with pytest.raises(BadInput) as error:
        resolve_evidence([evidence], QuoteResolver(CORPUS), "questions.jsonl:3")
    assert said in str(error.value) and str(error.value).startswith("questions.jsonl:3 evidence[0]: ")
