"""Candidates for evidence: what several searches find, so that no one of them decides what may be found."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

from rag_opt.core.documents import Span
from rag_opt.core.questions import Question
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec

_VARIANTS: tuple[dict[str, Any], ...] = ({}, {"query": {"prf": {}}})  # as asked, and with feedback


def pooled(
    builder: PipelineBuilder, spec: PipelineSpec, questions: Sequence[Question], *, depth: int
) -> list[list[Span]]:
    """For each question up to `depth` passages, best first: the lists of BM25, of vectors and of vectors with feedback
    by turns, each passage once.
    """
    plain = [dataclasses.replace(question, filters={}, evidence=None) for question in questions]
    columns: list[dict[str, list[list[Span]]]] = []
    for change in _VARIANTS:
        both = {"retriever": {"rrf": {"top_k": 1, "depth": depth}}, **change}
        pipeline = builder.pipeline(PipelineSpec.from_dict({**spec.to_dict(), **both}))
        start, end = pipeline.returned
        ids = pipeline.corpus.ids
        lists = pipeline.lists(plain)
        columns.append(
            {
                name: [
                    [Span(ids[pipeline.chunks.document[i]], int(start[i]), int(end[i])) for i in row[row >= 0].tolist()]
                    for row in found.chunks
                ]
                for name, found in lists.items()
            }
        )
    taken = [columns[0]["lexical"], columns[0]["dense"], columns[1]["dense"]]
    return [_by_turns([one[row] for one in taken], depth) for row in range(len(questions))]


def _by_turns(lists: Sequence[Sequence[Span]], depth: int) -> list[Span]:
    turns = itertools.chain.from_iterable(itertools.zip_longest(*lists))
    return list(dict.fromkeys(span for span in turns if span is not None))[:depth]
