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
from rag_opt.data.quotes import Resolver
from rag_opt.parts.chunkers.markdown import headings
from rag_opt.testset.passages import in_turns, passages
from rag_opt.text.sentences import sentences, trim

CLOZE, HEADING = "made by rule: a sentence without its key terms", "made by rule: a heading"
_WORD = re.compile(r"[^\W\d_]{4,}")
_FEWEST_WORDS, _MOST_WORDS = 8, 40
_TERMS = 2
_HEADING_WORDS = (2, 12)


def made_by_rule(corpus: Corpus, *, count: int, passage_tokens: int, seed: int) -> list[Question]:
    """Sentences of passages with their rarest words taken out, and headings with what stands below them, in turns."""
    resolver = Resolver(corpus)
    streams = [_sentences(corpus, resolver, passage_tokens, seed), _headings(corpus, seed)]
    found: dict[str, Question] = {}
    while streams and len(found) < count:
        for stream in list(streams):
            question = next(stream, None)
            if question is None:
                streams.remove(stream)
            elif len(found) < count:
                found.setdefault(question.text.lower(), question)
    return [dataclasses.replace(one, id=f"made-{number:04d}") for number, one in enumerate(found.values(), start=1)]


def _sentences(corpus: Corpus, resolver: Resolver, passage_tokens: int, seed: int) -> Iterator[Question]:
    found = passages(corpus, size=passage_tokens)
    used_in = Counter(word for span in found for word in set(_WORD.findall(corpus.text(span).lower())))
    random = np.random.default_rng(seed)
    for passage in in_turns(found, seed=seed):
        text = corpus[passage.document_id].text
        inside = [(passage.start + a, passage.start + b) for a, b in sentences(text[passage.start : passage.end])]
        whole = [piece for piece in inside if _FEWEST_WORDS <= len(text[slice(*piece)].split()) <= _MOST_WORDS]
        if not whole:
            continue
        start, end = whole[int(random.integers(len(whole)))]
        asked = _without_key_terms(text[start:end], used_in, len(found))
        if asked is not None:
            need = tuple(resolver.twins(Span(passage.document_id, start, end)))
            yield Question("", asked, evidence=(need,), kind=CLOZE, origin=CLOZE)


def _without_key_terms(sentence: str, used_in: Counter[str], passages: int) -> str | None:
    """The sentence without the words that tell most of where it stands; None where nothing is left to ask."""
    rarity = {word: math.log(passages / max(used_in[word.lower()], 1)) for word in _WORD.findall(sentence)}
    if len(rarity) < 2 * _TERMS:
        return None
    taken = sorted(rarity, key=lambda word: (-rarity[word], word))[:_TERMS]
    left = re.sub(rf"\b(?:{'|'.join(map(re.escape, taken))})\b", "", sentence)
    return " ".join(re.sub(r"\s+([.,;:!?])", r"\1", left).split())


def _headings(corpus: Corpus, seed: int) -> Iterator[Question]:
    found: list[tuple[str, Span]] = []
    for document in corpus.documents:
        places = headings(document.text)
        ends = [*(place for place, _, _ in places[1:]), len(document.text)]
        for (place, _, title), end in zip(places, ends[: len(places)], strict=True):
            line_end = document.text.find("\n", place)
            body = trim(document.text, line_end, end) if 0 <= line_end < end else None
            fits = _HEADING_WORDS[0] <= len(title.split()) <= _HEADING_WORDS[1]
            if body is not None and fits and len(document.text[slice(*body)].split()) >= _FEWEST_WORDS:
                found.append((title, Span(document.id, *body)))
    titles = Counter(title.lower() for title, _ in found)
    for row in np.random.default_rng(seed).permutation(len(found)):
        title, span = found[row]
        if titles[title.lower()] == 1:
            yield Question("", title, evidence=((span,),), kind=HEADING, origin=HEADING)
