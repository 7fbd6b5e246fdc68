"""Pipelines that nobody wants and a careless objective pays for, made of the run of a sensible one."""

from __future__ import annotations

import dataclasses

import numpy as np

from rag_opt.core.documents import Answer, Span
from rag_opt.evaluation.run import Run
from rag_opt.metrics.evidence import RetrievedSpans


def always_refuse(run: Run) -> Run:
    """Find the same, and answer nothing."""
    answers = [Answer("", refused=True) for _ in run.questions]
    return dataclasses.replace(run, responses=dataclasses.replace(run.responses, answers=answers))


def answer_everything(run: Run) -> Run:
    """Find the same, and say all of it."""
    said = [" ".join(run.texts.of(span) for span in context) for context in run.responses.contexts]
    contexts = zip(said, run.responses.contexts, strict=True)
    answers = [Answer(text, False, context) for text, context in contexts]
    return dataclasses.replace(run, responses=dataclasses.replace(run.responses, answers=answers))


def return_the_whole_corpus(run: Run) -> Run:
    """Return every document whole, in the corpus' order, and answer as before."""
    count, documents = len(run.questions), run.corpus.documents
    whole = tuple(Span(document.id, 0, len(document.text)) for document in documents)
    ends = np.array([span.end for span in whole])
    hits = RetrievedSpans(
        np.tile(np.arange(len(whole)), (count, 1)),
        np.zeros((count, len(whole)), np.int64),
        np.tile(ends, (count, 1)),
    )
    tokens = sum(run.texts.tokens(span) for span in whole)
    scores = np.tile(-np.arange(len(whole), dtype=np.float32), (count, 1))
    responses = dataclasses.replace(
        run.responses,
        hits=hits,
        scores=scores,
        contexts=[whole] * count,
        context_tokens=np.full(count, tokens, np.int64),
    )
    return dataclasses.replace(run, responses=responses)


DEGENERATE = {
    "always refuse": always_refuse,
    "answer everything": answer_everything,
    "whole corpus": return_the_whole_corpus,
}
