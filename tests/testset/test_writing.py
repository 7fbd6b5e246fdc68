"""Questions made by rule and by a scripted model: exact evidence, honest labels, nothing kept that should not be."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_opt.core.documents import Corpus, Document, Span
from rag_opt.core.errors import ModelUnusable
from rag_opt.core.questions import Dataset, Question
from rag_opt.data.question_lines import describe_origins, read_questions, to_question_line
from rag_opt.data.quotes import QuoteResolver
from rag_opt.data.reading import Problems
from rag_opt.models.llm.client import LLMClient
from rag_opt.models.llm.settings import LanguageModel
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.store.values import MemoryValues
from rag_opt.testset.by_model import QuestionWriter, copies_passage
from rag_opt.testset.by_rule import CONFIDENCE, make_by_rule
from rag_opt.testset.passages import cut_passages, interleave_documents
from rag_opt.testset.writing_tasks import QuestionType, WritingTask, plan_questions
from tests.scripted_writer import written
from tests.servers import ChatModel, serving

BEES = (
    "# The keeping of bees\n\nA keeper opens the hive on a warm afternoon in spring, when most of the older workers "
    "are out in the meadow and the brood will not be chilled by the air.\n\n## Smoke and patience\n\nA little smoke "
    "makes the bees fill their stomachs with honey, and a bee that is full of honey seldom stings its keeper's hand."
)
RIVERS = (
    "# Long rivers of Europe\n\nThe Danube flows through ten countries before it ends in the Black Sea near a delta of "
    "reeds. Ships carry grain along the Danube from the plains of Hungary to the harbours of the coast."
)
BREAD = (
    "# Bread from sourdough\n\nYeast makes dough rise by giving off carbon dioxide while it feeds upon sugar in the "
    "flour. Salt slows the yeast down and strengthens the web of gluten in the dough."
)


ONE, TWO, NONE = QuestionType.ONE_PASSAGE, QuestionType.TWO_PASSAGES, QuestionType.NO_ANSWER


def corpus() -> Corpus:
    texts = {"bees.md": BEES, "bread.md": BREAD, "rivers.md": RIVERS}
    return Corpus(tuple(Document(name, text) for name, text in texts.items()))


@given(size=st.integers(32, 200), seed=st.integers(0, 5))
@settings(max_examples=20, deadline=None)
def test_passages_are_whole_texts_interleave_documents(size: int, seed: int) -> None:
    found = cut_passages(corpus(), size=size)
    assert found == sorted(set(found)) and all(corpus().text(span).strip() == corpus().text(span) for span in found)
    turned = interleave_documents(found, seed=seed)
    assert sorted(turned) == found
    first = [span.document_id for span in turned[: len({span.document_id for span in found})]]
    assert len(set(first)) == len(first), "every document once before any twice"


SAID = {
    "faq.md": "# Keeping bees\n\n## How often is a hive opened?\n\nOnce a week in spring, and never in the cold.\n\n"
    "Why do bees swarm?\n\nA colony that has grown too large for its hive divides itself in early summer.\n\n"
    "## Overview\n\nThe year of a keeper begins when the willows are in bloom, and ends in autumn.\n",
    "terms.md": "# Terms of the trade\n\nA super is a box that is put on the hive to collect honey. This is a box "
    "too. The brood is the young of the bees. Propolis (bee glue) is a resin that bees collect from buds of trees.\n"
    "\n## Overview\n\nHere stand words that are only used by people who keep bees in hives.\n\nIs it so, they said?\n",
    "tools.txt": "Smokers are an old tool of the keeper: cold smoke makes bees eat. Overview follows below it.\n",
    "again.md": "# Again\n\n## Overview\n\nNothing new is said in this one, which is only here to be the third.\n",
}


def said_corpus(language: str = "en") -> Corpus:
    return Corpus(tuple(Document(name, SAID[name], title=name.split(".")[0]) for name in sorted(SAID)), language)


def test_without_a_model_documents_are_asked_what_they_say_of_themselves() -> None:
    made = make_by_rule(said_corpus(), count=50, seed=0)
    by_kind = {kind: {one.text for one in made if one.kind == f"made: {kind}"} for kind in CONFIDENCE}
    assert by_kind["asked"] == {"How often is a hive opened?", "Why do bees swarm?"}
    assert by_kind["definition"] == {"What is a super?", "What is Propolis?", "What are Smokers?"}
    assert {"faq: Overview", "terms: Overview", "again: Overview"} < by_kind["heading"]
    places = {one.text: said_corpus().text(one.evidence[0][0]) for one in made if one.evidence}
    assert places["Why do bees swarm?"].startswith("A colony that has") and places["Why do bees swarm?"].endswith(
        "summer."
    )
    assert places["What is Propolis?"].startswith("Propolis (bee glue) is a resin")
    answers = {one.text: one.reference_answer for one in made}
    assert answers["How often is a hive opened?"] == "Once a week in spring, and never in the cold."
    assert answers["faq: Overview"] is None and answers["What is a super?"] == places["What is a super?"]
    for one in made:
        assert one.origin.startswith("rough, made by rule: ") and "(confidence 0." in one.origin
    assert made == make_by_rule(said_corpus(), count=50, seed=0)
    crlf = Corpus(
        (Document("a.md", "# 2FA or codes, which is safer?\r\n\r\nA key is safer than a code by mail is.\r\n"),)
    )
    assert [one.text for one in make_by_rule(crlf, count=9, seed=0)] == ["2FA or codes, which is safer?"]
    assert len(make_by_rule(said_corpus(), count=3, seed=0)) == 3
    assert not any(one.kind == "made: definition" for one in make_by_rule(said_corpus("xx"), count=50, seed=0))


@pytest.fixture(scope="module")
def model() -> Iterator[Any]:
    with serving(ChatModel(written)) as server:
        yield server


def writer(url: str, search: Callable[[str], Sequence[Span]] = lambda text: ()) -> QuestionWriter:
    settings_ = LanguageModel(kind="openai_compatible", base_url=f"{url}/v1", model="writer")
    return QuestionWriter(corpus(), LLMClient(settings_, MemoryValues()), search)


def test_a_model_writes_of_one_passage_of_two_and_of_none(model: Any) -> None:
    spans = cut_passages(corpus(), size=200)
    tasks = [
        WritingTask(ONE, (spans[1],)),
        WritingTask(TWO, (spans[0], spans[2])),
        WritingTask(NONE, (spans[1],)),
    ]
    made = writer(model.url).write(tasks, count=9)
    by_kind = {question.kind.rpartition(": ")[2]: question for question in made.questions}
    assert set(by_kind) == {ONE, TWO, NONE}, made.dropped
    assert len(by_kind[ONE].evidence or ()) == 1 and len(by_kind[TWO].evidence or ()) == 2
    assert not by_kind[NONE].answerable and by_kind[NONE].evidence is None
    for question in made.questions:
        for need in question.evidence or ():
            assert all(corpus().text(one) in corpus()[one.document_id].text for one in need if isinstance(one, Span))
        assert question.origin == "made by model writer"


def spoilt(change: Callable[[str, str], str | None]) -> Callable[[str], str]:
    """The scripted model with some of its answers replaced; None leaves one as it is."""

    def says(message: str) -> str:
        said = written(message)
        return change(message, said) or said

    return says


def _with(said: str, **other: Any) -> str:
    return json.dumps({**json.loads(said), **other})


SPOILT: dict[str, Callable[[str, str], str | None]] = {
    "a quote does not stand in its passage": lambda m, s: (
        _with(s, quotes=["The moon is made of cheese."]) if "somebody who" in m else None
    ),
    "nothing is quoted": lambda m, s: _with(s, quotes=[]) if "somebody who" in m else None,
    "the question copies its passage": lambda m, s: (
        _with(s, question=json.loads(s)["quotes"][0]) if "somebody who" in m else None
    ),
    "the question gives its answer away": lambda m, s: (
        _with(s, question="Is it yeast that rises?", answer="Yeast that rises.") if "somebody who" in m else None
    ),
    "the evidence does not answer it": lambda m, s: _with(s, answerable=False) if "completely?" in m else None,
    "it does not stand by itself": lambda m, s: _with(s, stands_alone=False) if "completely?" in m else None,
    "answered from its evidence, the answer is another": lambda m, s: '{"same": 0}' if "say the same" in m else None,
    "the model knows the answer without any document": lambda m, s: (
        '{"answer": "I know"}' if "what you know" in m else '{"same": 1}' if "say the same" in m else None
    ),
    "no answer in the form that was asked for": lambda m, s: (
        "What?" if "somebody who" in m or "cannot be" in m else None
    ),
}


@pytest.mark.parametrize("why", SPOILT)
def test_what_is_not_good_is_left_out_with_its_reason(why: str) -> None:
    spans = cut_passages(corpus(), size=200)
    with serving(ChatModel(spoilt(SPOILT[why]))) as server:
        made = writer(server.url).write([WritingTask(ONE, (spans[2],))], count=1)
    assert made.questions == [] and dict(made.dropped) == {why: 1}


def test_a_question_of_two_passages_must_need_both() -> None:
    spans = cut_passages(corpus(), size=200)
    half = spoilt(
        lambda m, s: '{"same": 1}' if "say the same" in m else _with(s, answerable=1) if "comp" in m else None
    )
    with serving(ChatModel(half)) as server:
        made = writer(server.url).write([WritingTask(TWO, (spans[0], spans[2]))], count=1)
    assert dict(made.dropped) == {"one of the passages is not needed": 1}


def test_what_the_documents_answer_is_not_called_unanswerable(model: Any) -> None:
    spans, asked = cut_passages(corpus(), size=200), list[str]()

    def search(text: str) -> Sequence[Span]:
        asked.append(text)
        return spans

    answers = spoilt(lambda m, s: _with(s, answerable=1) if "completely?" in m else None)
    with serving(ChatModel(answers)) as server:
        made = writer(server.url, search).write([WritingTask(NONE, (spans[0],))], count=1)
    assert dict(made.dropped) == {"the documents answer what they should not": 1} and len(asked) == 1


def test_a_model_of_no_use_stops_it() -> None:
    spans = cut_passages(corpus(), size=60)
    with serving(ChatModel(lambda message: "What?")) as server, pytest.raises(ModelUnusable, match="Another model"):
        writer(server.url).write([WritingTask(ONE, (spans[n % len(spans)],)) for n in range(40)], count=40)


def test_pairs_have_to_do_with_each_other_and_are_not_neighbours(builder: PipelineBuilder) -> None:
    encoder = builder.encoder("minilm")
    work = plan_questions(builder.corpus, encoder, count=8, several=1.0, unanswerable=0.0, passage_tokens=40, seed=0)
    for kind, spans in work:
        if kind == TWO:
            one, other = spans
            overlap = one.document_id == other.document_id and one.end + 1 >= other.start >= one.start
            assert one != other and not overlap


def test_eight_words_in_a_row_are_copied() -> None:
    text = "Yeast makes dough rise by giving off carbon dioxide while it feeds."
    assert copies_passage("Why does yeast makes dough rise by giving off carbon dioxide?", text)
    assert not copies_passage("Why does dough rise when yeast is at work in it for hours?", text)


def test_a_question_as_a_line_is_read_as_it_was(dataset: Dataset, tmp_path: Path) -> None:
    asked = [*dataset.questions, Question("made", "And?", "So.", kind="k", origin="made by model m")]
    path = tmp_path / "questions.jsonl"
    path.write_bytes(b"".join(orjson.dumps(to_question_line(one), option=orjson.OPT_APPEND_NEWLINE) for one in asked))
    problems = Problems()
    again = [question for _, question in read_questions(path, QuoteResolver(dataset.corpus), problems)]
    assert again == asked and not problems.collected
    assert describe_origins(again) == [f"1 of {len(asked)} questions: made by model m"]
