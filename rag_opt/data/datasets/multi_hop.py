"""Questions that need several documents: HotpotQA, and MultiHop-RAG."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from annotated_doc import Doc
from pydantic.dataclasses import dataclass

from rag_opt.core.documents import Document, Span
from rag_opt.core.questions import Alternative, Dataset, Need, Question, WholeDocument
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.printed import read_list
from rag_opt.data.quotes import QuoteResolver
from rag_opt.data.reading import (
    JsonObject,
    Located,
    Problems,
    build_corpus,
    check_questions,
    number_in,
    read_json_lines,
)

_METADATA = ("source", "category", "author", "published_at")
_NO_ANSWER = "null_query"  # the type of MultiHop-RAG's questions that its articles do not answer


@register("dataset", "hotpotqa")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class HotpotQA:
    """HotpotQA's JSON (Yang et al., 2018), or its rows from the hub: paragraphs are documents, supporting sentences
    the evidence. The documents are the paragraphs of all questions together.
    """

    name: Annotated[str, Doc("Name of the data set.")] = "hotpotqa"
    file: Annotated[str, Doc("The `.json` or `.jsonl` file.")]

    def read(self) -> Dataset:
        """Return the data set. Raises BadInput listing everything wrong with the file."""
        problems, located, counts = Problems(), list[Located](), Counter[str]()
        sentences, ids = dict[str, tuple[str, ...]](), dict[tuple[str, tuple[str, ...]], str]()
        for where, row in read_json_lines(Path(self.file), problems):
            own = dict[str, str]()
            for title, found in _read_paragraphs(row, where, problems):
                name = ids.setdefault((title, found), title if title not in sentences else f"{title} ({len(ids)})")
                sentences[name] = found
                own[title] = name
            needs = tuple(_find_facts(row, own, sentences, counts))
            answer = str(row.get("answer") or "")
            name = str(row.get("_id") or row.get("id") or f"row-{number_in(where)}")
            kind = str(row.get("type") or "")
            located.append(
                (where, Question(name, str(row.get("question") or ""), answer or None, needs or None, kind=kind))
            )
        problems.raise_if_any()
        full = (Document(name, "".join(found), title=name) for name, found in sentences.items())
        corpus = build_corpus((document for document in full if document.text.strip()), self.file, problems)
        check_questions(located, corpus, problems)
        problems.raise_if_any()
        notes = [f"{count} {what}" for what, count in counts.items()]
        return Dataset(self.name, corpus, tuple(question for _, question in located), tuple(notes))


def _read_paragraphs(row: JsonObject, where: str, problems: Problems) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield title and sentences of each paragraph: pairs of them, or the hub's two columns."""
    context = row.get("context")
    if isinstance(context, dict):
        pairs: Sequence[object] = list(
            zip(read_list(context.get("title")), read_list(context.get("sentences")), strict=False)
        )
    else:
        pairs = read_list(context)
    for pair in pairs:
        parts = read_list(pair)
        if len(parts) != 2 or not isinstance(parts[1], (list, tuple)):
            problems.add(where, f"a paragraph of the context is {str(pair)[:60]!r}; should be a title and sentences")
            continue
        yield str(parts[0]), tuple(str(sentence) for sentence in parts[1])


def _find_facts(
    row: JsonObject, own: dict[str, str], sentences: dict[str, tuple[str, ...]], counts: Counter[str]
) -> Iterator[Need]:
    """Yield a need for each supporting sentence."""
    facts = row.get("supporting_facts")
    if isinstance(facts, dict):
        facts = list(zip(read_list(facts.get("title")), read_list(facts.get("sent_id")), strict=False))
    for fact in read_list(facts):
        title, number = [*read_list(fact), None, None][:2]
        name = own.get(str(title))
        lengths = [len(one) for one in sentences[name]] if name is not None else []
        if name is None or not isinstance(number, int) or not 0 <= number < len(lengths) or not lengths[number]:
            counts["supporting sentences stand in no paragraph of their question and were left out"] += 1
            continue
        start = sum(lengths[:number])
        lead = len(sentences[name][number]) - len(sentences[name][number].lstrip())
        yield (Span(name, start + lead, start + lengths[number]),)


@register("dataset", "multihop_rag")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class MultiHopRag:
    """MultiHop-RAG (Tang & Yang, 2024): news articles, and questions whose facts stand in several of them.

    A fact is a span where it stands in its article; where one does not, a question's evidence is whole articles.
    """

    name: Annotated[str, Doc("Name of the data set.")] = "multihop_rag"
    corpus: Annotated[str, Doc("File of the articles, `corpus.json`.")]
    questions: Annotated[str, Doc("File of the questions, `MultiHopRAG.json`.")]

    def read(self) -> Dataset:
        """Return the data set. Raises BadInput listing everything wrong with both files."""
        problems, counts = Problems(), Counter[str]()
        corpus = build_corpus(_read_articles(Path(self.corpus), problems), self.corpus, problems)
        problems.raise_if_any()
        by_title = {document.title: document.id for document in corpus.documents}
        resolver, located = QuoteResolver(corpus), list[Located]()
        for where, row in read_json_lines(Path(self.questions), problems):
            names, facts = list[str](), list[str]()
            for fact in read_list(row.get("evidence_list")):
                found = fact if isinstance(fact, dict) else {}
                name = by_title.get(str(found.get("title") or ""), str(found.get("url") or ""))
                if name not in corpus.position:
                    problems.add(
                        where, f"evidence_list names {found.get('title')!r}, which is no article of the corpus"
                    )
                    continue
                names.append(name)
                facts.append(str(found.get("fact") or ""))
            answerable = str(row.get("question_type")) != _NO_ANSWER
            evidence = _locate_facts(names, facts, resolver, counts) if answerable else None
            question = Question(
                id=f"row-{number_in(where)}",
                text=str(row.get("query") or ""),
                reference_answer=str(row.get("answer") or "") or None if answerable else None,
                evidence=evidence or None,
                answerable=answerable,
                kind=str(row.get("question_type") or ""),
            )
            located.append((where, question))
        check_questions(located, corpus, problems)
        problems.raise_if_any()
        notes = [f"{count} {what}" for what, count in counts.items()] + resolver.notes()
        return Dataset(self.name, corpus, tuple(question for _, question in located), tuple(notes))


def _read_articles(path: Path, problems: Problems) -> Iterator[Document]:
    for where, row in read_json_lines(path, problems):
        title, body = str(row.get("title") or ""), str(row.get("body") or row.get("text") or "")
        if not body.strip():
            problems.add(where, "the article has no body")
            continue
        metadata = {key: str(row[key]) for key in _METADATA if row.get(key)}
        yield Document(str(row.get("url") or title or f"article-{number_in(where)}"), body, title, metadata)


def _locate_facts(
    names: Sequence[str], facts: Sequence[str], resolver: QuoteResolver, counts: Counter[str]
) -> tuple[Need, ...]:
    needs, whole = list[Need](), tuple((WholeDocument(name),) for name in dict.fromkeys(names))
    for name, fact in zip(names, facts, strict=True):
        alternatives: list[Alternative] = [span for span in resolver.find(fact) if span.document_id == name]
        if not alternatives:
            counts["questions have a fact that does not stand in its article as it is: whole articles count"] += 1
            return whole
        needs.append(tuple(alternatives))
    return tuple(dict.fromkeys(needs))
