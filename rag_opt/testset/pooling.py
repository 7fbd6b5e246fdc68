"""Candidates for evidence, pooled from several searches, so that no one of them decides what may be found."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

from rag_opt.core.documents import Span
from rag_opt.core.questions import Question
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec

_DEEPEST = 1000  # that a list of a retriever may be
_QUERY_SETTINGS: tuple[Mapping[str, object], ...] = ({}, {"query": {"prf": {}}})  # as asked, and with feedback


def pool_candidates(
    builder: PipelineBuilder, spec: PipelineSpec, questions: Sequence[Question], *, depth: int
) -> list[list[Span]]:
    """Return for each question up to `depth` passages, best first, each once.

    The lists of BM25, of vectors and of vectors with feedback take turns; without an embedding model it is BM25 alone.
    """
    plain = [dataclasses.replace(question, filters={}, evidence=None) for question in questions]
    if spec.embedding_model is None:
        words = _search(builder, spec, plain, {"retriever": {"lexical": {"top_k": 1, "depth": depth}}}, depth)
        return [_take_turns([row], depth) for row in words["lexical"]]
    as_asked, with_feedback = (_search(builder, spec, plain, settings, depth) for settings in _QUERY_SETTINGS)
    lists = (as_asked["lexical"], as_asked["dense"], with_feedback["dense"])
    return [_take_turns(rows, depth) for rows in zip(*lists, strict=True)]


class PooledCandidates:
    """Passages for each of some questions, `at_once` at first, and more when they are asked for."""

    def __init__(
        self, builder: PipelineBuilder, spec: PipelineSpec, questions: Sequence[Question], *, at_once: int
    ) -> None:
        self._builder, self._spec, self._questions, self._at_once = builder, spec, questions, at_once
        self._found = pool_candidates(builder, spec, questions, depth=at_once) if questions else []

    def __getitem__(self, row: int) -> Sequence[Span]:
        return self._found[row]

    def find_more(self, row: int) -> Sequence[Span]:
        """Return those that were shown, in their order, and others: none are left where there are no more."""
        shown = self._found[row]
        depth = min(len(shown) + self._at_once, _DEEPEST)
        (deeper,) = pool_candidates(self._builder, self._spec, [self._questions[row]], depth=depth)
        others = [span for span in deeper if span not in shown]
        self._found[row] = [*shown, *others[: self._at_once]]
        return self._found[row]


def _search(
    builder: PipelineBuilder,
    spec: PipelineSpec,
    questions: Sequence[Question],
    query: Mapping[str, object],
    depth: int,
) -> dict[str, list[list[Span]]]:
    """Return by index, for each question, the spans that it finds."""
    hybrid = {"retriever": {"rrf": {"top_k": 1, "depth": depth}}, **query}
    pipeline = builder.pipeline(PipelineSpec.from_dict({**spec.to_dict(), **hybrid}))
    start, end = pipeline.returned
    ids, document = pipeline.corpus.ids, pipeline.chunks.document
    return {
        name: [
            [Span(ids[document[chunk]], int(start[chunk]), int(end[chunk])) for chunk in row[row >= 0].tolist()]
            for row in ranked.chunks
        ]
        for name, ranked in pipeline.lists(questions).items()
    }


def _take_turns(lists: Sequence[Sequence[Span]], depth: int) -> list[Span]:
    turns = itertools.chain.from_iterable(itertools.zip_longest(*lists))
    return list(dict.fromkeys(span for span in turns if span is not None))[:depth]
