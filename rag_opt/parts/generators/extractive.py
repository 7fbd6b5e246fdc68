"""Answers made of sentences of the context."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar

import numpy as np
from annotated_doc import Doc
from annotated_types import Ge, Le
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from rag_opt.core.documents import Answer, Span
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT


@register("generator", "extractive")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Extractive:
    """Answer with the sentences of the context that are nearest to the question, in reading order.

    Refuses when even the nearest is too far. Only sentences that stand whole in the context can be said. No language
    model.
    """

    sentences: Annotated[int, Ge(1), Le(20), Doc("Sentences of an answer.")] = 2
    refuse_below: Annotated[float, Ge(-1), Le(1), Doc("Cosine of the nearest sentence below which it refuses.")] = 0.2

    uses_llm: ClassVar[bool] = False

    def answer(
        self,
        question_vectors: NDArray[np.float32],
        contexts: Sequence[Sequence[Span]],
        *,
        sentences: Callable[[Span], list[Span]],
        text: Callable[[Span], str],
        vectors: Callable[[Sequence[str]], NDArray[np.float32]],
    ) -> list[Answer]:
        """Return one answer per question. `question_vectors`: [questions, dimensions], unit length."""
        choices = [[s for passage in context for s in (sentences(passage) or [passage])] for context in contexts]
        said = sorted({text(span) for spans in choices for span in spans})
        row = {sentence: number for number, sentence in enumerate(said)}
        known = vectors(said)
        answers = []
        for question, spans in zip(question_vectors, choices, strict=True):
            rows = [row[text(span)] for span in spans]
            cosine = np.einsum("sd,d->s", known[rows], question) if rows else np.empty(0)
            confidence = float(cosine.max()) if rows else -1.0
            if confidence < self.refuse_below or not rows:
                answers.append(Answer("", refused=True, confidence=confidence))
                continue
            nearest = np.argsort(-cosine, kind="stable")[: self.sentences]
            cited = [spans[i] for i in sorted(nearest.tolist())]
            answers.append(Answer(" ".join(" ".join(text(s).split()) for s in cited), False, tuple(cited), confidence))
        return answers
