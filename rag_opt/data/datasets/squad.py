from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
from pydantic.dataclasses import dataclass

from rag_opt.core.documents import Document, Span
from rag_opt.core.questions import Dataset, Question
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.reading import Problems, check_questions, check_unique, decode, make_corpus


@register("dataset", "squad")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Squad:
    """SQuAD v1 or v2 JSON. One document per article, its paragraphs separated by blank lines.

    The answers of a question are alternatives of one need; an impossible question is unanswerable.
    """

    name: str = "squad"
    file: str

    def read(self) -> Dataset:
        problems = Problems()
        text = decode(Path(self.file), problems)
        problems.refuse_if_any()
        try:
            articles = orjson.loads(text or "")["data"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            problems.add(self.file, 'should be a JSON object with a list "data" of articles')
            problems.refuse_if_any()
        documents, found, titles = [], [], []
        for number, article in enumerate(articles):
            where = f"{self.file} data[{number}]"
            title = str(article.get("title") or f"article-{number}")
            titles.append((title, where))
            missing = _missing(article)
            if missing:
                problems.add(where, f"has no {missing!r}")
                continue
            contexts = [str(paragraph["context"]) for paragraph in article["paragraphs"]]
            documents.append(Document(title, "\n\n".join(contexts), title))
            start = 0
            for place, (paragraph, context) in enumerate(zip(article["paragraphs"], contexts, strict=True)):
                for asked in paragraph["qas"]:
                    at = f"{where} paragraphs[{place}] {asked.get('id')}"
                    found.append((at, _question(asked, title, start, context, at, problems)))
                start += len(context) + 2
        check_unique(titles, "document", problems)
        corpus = make_corpus(documents, self.file, problems)
        problems.refuse_if_any()
        check_questions(found, corpus, problems)
        problems.refuse_if_any()
        return Dataset(self.name, corpus, tuple(question for _, question in found))


def _missing(article: dict[str, Any]) -> str:
    """The first key that an article, its paragraphs or their questions lack; empty when none does."""
    if "paragraphs" not in article:
        return "paragraphs"
    for paragraph in article["paragraphs"]:
        lacks = [key for key in ("context", "qas") if key not in paragraph]
        lacks += [key for asked in paragraph.get("qas", ()) for key in ("id", "question") if key not in asked]
        if lacks:
            return lacks[0]
    return ""


def _question(asked: dict[str, Any], title: str, start: int, context: str, where: str, problems: Problems) -> Question:
    answerable = not asked.get("is_impossible", False)
    answers = asked.get("answers", []) if answerable else []
    spans = []
    for answer in answers:
        first, said = int(answer["answer_start"]), str(answer["text"])
        if context[first : first + len(said)] != said:
            problems.add(where, f"the answer {said!r} does not stand at offset {first} of its paragraph")
        spans.append(Span(title, start + first, start + first + len(said)))
    return Question(
        id=str(asked["id"]),
        text=str(asked["question"]),
        reference_answer=str(answers[0]["text"]) if answers else None,
        evidence=(tuple(dict.fromkeys(spans)),) if spans else None,
        answerable=answerable,
    )
