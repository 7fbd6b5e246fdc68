"""Passages that a language model writes, to be searched for."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from annotated_doc import Doc
from annotated_types import Ge, Le
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.models.llm.settings import Request

_ASK = (
    "Write a short passage, as it could stand in a document, that answers the question. "
    "If you do not know the answer, write what such a passage would say.\n\nQuestion: {question}\n\nPassage:"
)


@register("query", "hyde")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class HypotheticalPassages:
    """HyDE (Gao et al., 2023): a language model writes passages that could answer the question.

    What is searched for is the mean of their vectors and the question's. Words are searched for as they were asked.
    """

    passages: Annotated[int, Ge(1), Le(8), Doc("Passages that are written for a question.")] = 1

    uses_llm: ClassVar[bool] = True

    def requests(self, question: str) -> list[Request]:
        """Return the requests for the passages; a number sets them apart."""
        asked = [{"role": "user", "content": _ASK.format(question=question)}]
        return [Request(asked, attempt) for attempt in range(self.passages)]

    def refine_by_passages(self, vector: NDArray[np.float32], written: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the new vector, of unit length. `vector` [dimensions], `written` [passages, dimensions]."""
        mean = np.concatenate([vector[None], written]).mean(axis=0)
        norm = float(np.linalg.norm(mean))
        return (mean / norm).astype(np.float32) if norm > 0 else vector
