"""Questions without a language model: honest stand-ins, labelled as such. They are easier than what people ask."""

from __future__ import annotations

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Iterator

import numpy as np

from rag_opt.core.documents import Corpus, Span
from rag_opt.core.questions import Question
from rag_opt.data.quotes import QuoteResolver
from rag_opt.parts.chunkers.markdown import headings
from rag_opt.testset.passages import cut_passages, interleave_documents
from rag_opt.text.sentences import split_sentences
from rag_opt.text.trimming import trim

CLOZE, HEADING = "made by rule: a sentence without its key terms", "made by rule: a heading"
_WORD = re.compile(r"[^\W\d_]{4,}")
_MIN_WORDS, _MAX_WORDS = 8, 40  # of a sentence
_KEY_TERMS = 2
_HEADING_WORDS = (2, 12)


def make_by_rule(corpus: Corpus, *, count: int, passage_tokens: int, seed: int) -> list[Question]:
    """Return up to `count` questions: sentences without their rarest words, and headings, in turns.

    The evidence of a heading is what stands below it. `passage_tokens`: largest passage, in tokens of the budget's
    tokenizer.
    """
    resolver = QuoteResolver(corpus)
    streams = [_cloze_questions(corpus, resolver, passage_tokens, seed), _heading_questions(corpus, seed)]
    by_text: dict[str, Question] = {}
    while streams and len(by_text) < count:
        for stream in list(streams):
            question = next(stream, None)
            if question is None:
                streams.remove(stream)
            elif len(by_text) < count:
                by_text.setdefault(question.text.lower(), question)
    return [
        dataclasses.replace(question, id=f"made-{number:04d}")
        for number, question in enumerate(by_text.values(), start=1)
    ]


def _cloze_questions(corpus: Corpus, resolver: QuoteResolver, passage_tokens: int, seed: int) -> Iterator[Question]:
    passages = cut_passages(corpus, size=passage_tokens)
    passages_with = Counter(word for span in passages for word in set(_WORD.findall(corpus.text(span).lower())))
    random = np.random.default_rng(seed)
    for passage in interleave_documents(passages, seed=seed):
        text = corpus[passage.document_id].text
        sentences = [
            (passage.start + start, passage.start + end)
            for start, end in split_sentences(text[passage.start : passage.end])
        ]
        fitting = [piece for piece in sentences if _MIN_WORDS <= len(text[slice(*piece)].split()) <= _MAX_WORDS]
        if not fitting:
            continue
        start, end = fitting[int(random.integers(len(fitting)))]
        question = _remove_key_terms(text[start:end], passages_with, len(passages))
        if question is not None:
            need = tuple(resolver.find_twins(Span(passage.document_id, start, end)))
            yield Question("", question, evidence=(need,), kind=CLOZE, origin=CLOZE)


def _remove_key_terms(sentence: str, passages_with: Counter[str], passages: int) -> str | None:
    """Return the sentence without the words that tell most of where it stands; None where too few are left."""
    rarity = {word: math.log(passages / max(passages_with[word.lower()], 1)) for word in _WORD.findall(sentence)}
    if len(rarity) < 2 * _KEY_TERMS:
        return None
    removed = sorted(rarity, key=lambda word: (-rarity[word], word))[:_KEY_TERMS]
    left = re.sub(rf"\b(?:{'|'.join(map(re.escape, removed))})\b", "", sentence)
    return " ".join(re.sub(r"\s+([.,;:!?])", r"\1", left).split())


def _heading_questions(corpus: Corpus, seed: int) -> Iterator[Question]:
    sections: list[tuple[str, Span]] = []
    for document in corpus.documents:
        places = headings(document.text)
        ends = [*(place for place, _, _ in places[1:]), len(document.text)]
        for (place, _, title), end in zip(places, ends[: len(places)], strict=True):
            line_end = document.text.find("\n", place)
            body = trim(document.text, line_end, end) if 0 <= line_end < end else None
            fits = _HEADING_WORDS[0] <= len(title.split()) <= _HEADING_WORDS[1]
            if body is not None and fits and len(document.text[slice(*body)].split()) >= _MIN_WORDS:
                sections.append((title, Span(document.id, *body)))
    titles = Counter(title.lower() for title, _ in sections)
    for row in np.random.default_rng(seed).permutation(len(sections)):
        title, span = sections[row]
        if titles[title.lower()] == 1:
            yield Question("", title, evidence=((span,),), kind=HEADING, origin=HEADING)
