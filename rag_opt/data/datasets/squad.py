"""SQuAD v1 and v2, and data sets in their format."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from pathlib import Path
from typing import (
    Annotated,
    Literal,
    NotRequired,  # pydantic wants these before Python 3.12
)

from annotated_doc import Doc
from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from typing_extensions import TypedDict

from rag_opt.core.documents import Document, Span
from rag_opt.core.questions import Dataset, Question
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.printed import read_list, read_printed
from rag_opt.data.reading import (
    Located,
    Problems,
    build_corpus,
    check_questions,
    check_unique,
    read_json,
)

_BETWEEN_PARAGRAPHS = "\n\n"
_NEAR = 20  # characters that an offset may be wrong by


class _Entry(TypedDict):
    id: str | int
    question: str
    answers: NotRequired[object]
    is_impossible: NotRequired[bool | None]


class _Paragraph(TypedDict):
    context: str
    qas: list[_Entry]


class _Article(TypedDict):
    title: NotRequired[str | int | None]
    paragraphs: list[_Paragraph]


_ARTICLE = TypeAdapter(_Article)


@register("dataset", "squad")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Squad:
    """SQuAD v1 or v2 JSON (Rajpurkar et al., 2018). One document per article, or per paragraph.

    The answers of a question are alternatives of one need; an impossible question is unanswerable.
    """

    name: Annotated[str, Doc("Name of the data set.")] = "squad"
    file: Annotated[str, Doc("The JSON file.")]
    documents: Annotated[
        Literal["articles", "paragraphs"],
        Doc(
            "What a document is: an article, its paragraphs between blank lines, or a paragraph, as in XQuAD's tables."
        ),
    ] = "articles"

    def read(self) -> Dataset:
        """Return the data set. Raises BadInput listing everything wrong with the file."""
        problems, repairs = Problems(), Counter[str]()
        documents, located, titles = list[Document](), list[Located](), list[tuple[str, str]]()
        for number, article in enumerate(self._read_articles(problems)):
            where = f"{self.file} data[{number}]"
            title = str(article.get("title") or f"article-{number}")
            titles.append((title, where))
            contexts = [paragraph["context"] for paragraph in article["paragraphs"]]
            if self.documents == "articles":
                documents.append(Document(title, _BETWEEN_PARAGRAPHS.join(contexts), title))
            else:
                documents += [Document(f"{title}/{n + 1}", text, title) for n, text in enumerate(contexts)]
            start = 0
            for place, (paragraph, context) in enumerate(zip(article["paragraphs"], contexts, strict=True)):
                document, first = (title, start) if self.documents == "articles" else (f"{title}/{place + 1}", 0)
                for entry in paragraph["qas"]:
                    at = f"{where} paragraphs[{place}] {entry.get('id')}"
                    located.append((at, _to_question(entry, document, first, context, at, problems, repairs)))
                start += len(context) + len(_BETWEEN_PARAGRAPHS)
        check_unique(titles, "document", problems)
        corpus = build_corpus(documents, self.file, problems)
        problems.raise_if_any()
        check_questions(located, corpus, problems)
        problems.raise_if_any()
        notes = [f"{count} {what}" for what, count in repairs.items() if count]
        return Dataset(self.name, corpus, tuple(question for _, question in located), tuple(notes))

    def _read_articles(self, problems: Problems) -> list[_Article]:
        content = read_json(Path(self.file), problems)
        problems.raise_if_any()
        if not isinstance(content, dict) or not isinstance(content.get("data"), list):
            problems.add(self.file, 'should be a JSON object with a list "data" of articles')
            problems.raise_if_any()
            return []
        articles = list[_Article]()
        for number, article in enumerate(content["data"]):
            try:
                articles.append(_ARTICLE.validate_python(article))
            except ValidationError as error:
                for detail in error.errors(include_url=False):
                    place = "".join(f"[{one}]" if isinstance(one, int) else f" {one}" for one in detail["loc"])
                    problems.add(f"{self.file} data[{number}]{place}", detail["msg"].replace("Input", "it", 1))
        problems.raise_if_any()
        return articles


def _to_question(
    entry: _Entry, title: str, start: int, context: str, where: str, problems: Problems, repairs: Counter[str]
) -> Question:
    """Return a question with its evidence; `start`: where its paragraph begins in the document."""
    answerable = not entry.get("is_impossible", False)
    answers = _read_answers(entry.get("answers"), where, problems) if answerable else []
    if any(not text for text, _ in answers):
        repairs["answers are empty and were left out"] += 1
    answers = [(text, place) for text, place in answers if text]
    spans = []
    for text, place in answers:
        first = _find_near(context, text, place)
        if first is None:
            problems.add(where, f"the answer {text!r} does not stand at offset {place} of its paragraph, nor near it")
            continue
        repairs["answers stand some characters beside their offset, and were found there"] += place not in (None, first)
        repairs["answers have no offset; the first place where they stand was taken"] += place is None
        spans.append(Span(title, start + first, start + first + len(text)))
    return Question(
        id=str(entry["id"]),
        text=str(entry["question"]),
        reference_answer=answers[0][0] if answers else None,
        evidence=(tuple(dict.fromkeys(spans)),) if spans else None,
        answerable=answerable,
        other_answers=tuple(dict.fromkeys(text for text, _ in answers if text != answers[0][0])),
    )


def _read_answers(given: object, where: str, problems: Problems) -> list[tuple[str, int | None]]:
    """Return text and offset of each answer: a list of objects, or the hub's object of lists."""
    given = read_printed(given)
    if isinstance(given, dict):
        texts, starts = given.get("text"), given.get("answer_start")
        given = [
            {"text": text, "answer_start": start}
            for text, start in itertools.zip_longest(read_list(texts), read_list(starts))
        ]
    answers = []
    for one in read_list(given):
        text, start = (one.get("text"), one.get("answer_start")) if isinstance(one, dict) else (one, None)
        if not isinstance(text, str) or not (start is None or isinstance(start, int)):
            problems.add(where, f"an answer is {one!r}; should have a text and its answer_start")
            continue
        answers.append((text, start))
    return answers


def _find_near(context: str, text: str, place: int | None) -> int | None:
    """Return where a text stands: at its offset, or nearest to it within some characters; None where it does not."""
    if place is None:
        found = context.find(text)
        return found if found >= 0 else None
    low, high = max(place - _NEAR, 0), place + _NEAR + len(text)
    places = [match.start() for match in re.finditer(f"(?={re.escape(text)})", context[low:high])]
    return min((low + found for found in places), key=lambda one: abs(one - place), default=None)
