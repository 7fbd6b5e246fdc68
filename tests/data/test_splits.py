"""Split units are never divided, and nobody changes sides when data is added."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from rag_opt.core.documents import Span
from rag_opt.core.questions import Question
from rag_opt.data.splits import describe_repeated, same_texts, split


def asked(name: str, *documents: str, start: int = 0) -> Question:
    return Question(name, name, evidence=tuple((Span(d, start, start + 5),) for d in documents) or None)


links = st.lists(st.lists(st.integers(0, 60), min_size=0, max_size=2, unique=True), min_size=1, max_size=80)


@given(links, st.floats(0.1, 0.9))
@settings(max_examples=100, deadline=None)
def test_every_question_has_one_side_and_units_are_not_divided(raw: list[list[int]], share: float) -> None:
    questions = [asked(f"q{i}", *(f"d{d}" for d in documents)) for i, documents in enumerate(raw)]
    parts = split(questions, search_share=share)
    assert sorted(parts.search + parts.held_out) == list(range(len(questions)))
    sides: dict[str, set[bool]] = {}
    for i, unit in enumerate(parts.units):
        sides.setdefault(unit, set()).add(i in parts.search)
    assert all(len(side) == 1 for side in sides.values())
    if parts.unit_kind == "documents":
        owner: dict[str, str] = {}
        for question, unit in zip(questions, parts.units, strict=True):
            for document in question.document_ids:
                assert owner.setdefault(document, unit) == unit


def test_nobody_changes_sides_when_data_is_added() -> None:
    questions = [asked(f"q{i}", f"d{i}") for i in range(60)]
    before = split(questions, search_share=0.6)
    after = split([asked("new", "d99"), *questions, asked("more", "d98")], search_share=0.6)
    assert {questions[i].id for i in before.search} <= {
        ["new", *(q.id for q in questions), "more"][i] for i in after.search
    }


def test_too_few_documents_are_cut_into_sections_and_it_says_so() -> None:
    questions = [asked(f"q{i}", "one", start=i * 1000) for i in range(60)]
    parts = split(questions, search_share=0.6)
    assert "split by sections: 30 units" in parts.basis and "into 1 units" in parts.basis
    assert len(set(parts.units)) == 30


def test_without_any_structure_questions_are_their_own_units() -> None:
    parts = split([asked(f"q{i}", "one") for i in range(30)], search_share=0.5)
    assert "split by question: 30 units" in parts.basis


def test_evidence_across_the_edge_of_a_section_links_both() -> None:
    questions = [asked(f"q{i}", "one", start=i * 2000 + 10) for i in range(40)]
    crossing = [Question("x", "x", evidence=((Span("one", 1990, 2100),),)), asked("y", "one", start=2050)]
    parts = split([*questions, *crossing], search_share=0.5)
    assert "split by sections" in parts.basis
    assert len({parts.units[0], parts.units[1], parts.units[40], parts.units[41]}) == 1


@given(st.integers(1, 19), st.floats(0.05, 0.95))
@settings(deadline=None)
def test_few_questions_are_shared_out_and_no_side_is_empty(count: int, share: float) -> None:
    parts = split([asked(f"q{i}", "one") for i in range(count)], search_share=share)
    assert 1 <= len(parts.search) <= max(count - 1, 1)
    assert abs(len(parts.search) - share * count) <= 1
    assert "dealt in order to meet the share" in parts.basis


@given(st.lists(st.integers(1, 12), min_size=20, max_size=60), st.floats(0.2, 0.8))
@settings(deadline=None)
def test_the_share_is_met_within_ten_points_where_units_allow_it(sizes: list[int], share: float) -> None:
    questions = [asked(f"q{d}-{i}", f"d{d}") for d, size in enumerate(sizes) for i in range(size)]
    parts = split(questions, search_share=share)
    largest = max(sizes) if parts.unit_kind == "documents" else 1
    assert abs(len(parts.search) - share * len(questions)) <= max(0.1 * len(questions), largest)


def test_units_say_what_a_gain_is_about() -> None:
    many = split([asked(f"q{i}", f"d{i}") for i in range(60)], search_share=0.6)
    one = split([asked(f"q{i}", "one", start=i * 1000) for i in range(60)], search_share=0.6)
    assert (many.claim, one.claim) == ("documents like these", "these documents")
    assert len(many.search_units) == len(many.search) and set(one.held_out_units).isdisjoint(one.search_units)


def test_questions_of_one_text_are_one_unit() -> None:
    texts = ["Who wrote it?", "who wrote it", "WHO  WROTE IT ?!", "Who wrote that?"]
    questions = [Question(str(i), text, evidence=((Span(f"d{i}", 0, 5),),)) for i, text in enumerate(texts)]
    more = [asked(f"q{i}", f"e{i}") for i in range(40)]
    units = split([*questions, *more], search_share=0.5).units
    assert len(set(units[:3])) == 1 and units[3] != units[0]
    alone = split([Question(str(i), text) for i, text in enumerate(texts)], search_share=0.5).units
    assert len(set(alone[:3])) == 1 and alone[3] != alone[0], "without evidence too"


def test_questions_without_evidence_do_not_count_as_units() -> None:
    questions = [asked(f"q{i}-{d}", f"d{d}") for i in range(15) for d in range(6)]
    parts = split([*questions, *(asked(f"none-{i}") for i in range(60))], search_share=0.6)
    assert "split by question" in parts.basis


def test_questions_a_letter_apart_with_the_same_evidence_are_one_unit_and_said() -> None:
    need = ((Span("d", 0, 10),),)
    texts = ["How does it open?", "how does it  OPEN", "How does it opens?", "How does it close?"]
    asked = [Question(f"{n}", text, evidence=need) for n, text in enumerate(texts)]
    same = same_texts(asked)
    assert same[0] == same[1] == same[2] != same[3]
    elsewhere = Question("x", "How does it opens?", evidence=((Span("e", 0, 10),),))
    assert same_texts([*asked, elsewhere])[4] not in same, "of another place: another question"
    assert describe_repeated(asked) == ["3 of 4 questions are 1 texts asked more than once: each text counts as one"]
    assert describe_repeated(asked[2:]) == []
