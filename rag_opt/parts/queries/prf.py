"""Feedback of the first chunks found."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from annotated_doc import Doc
from annotated_types import Ge, Le
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT


@register("query", "prf")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class RocchioFeedback:
    """Pseudo-relevance feedback on vectors (Rocchio, 1971; Li et al., 2021).

    The question's vector is moved towards the mean of the first chunks found, and searched for again.
    """

    feedback: Annotated[int, Ge(1), Le(50), Doc("Chunks whose mean is used.")] = 3
    weight: Annotated[float, Ge(0), Le(1), Doc("Share of that mean in the new vector.")] = 0.4

    uses_llm: ClassVar[bool] = False

    def refine_by_chunks(self, vector: NDArray[np.float32], found: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the new vector, of unit length. `vector` [dimensions], `found` [chunks, dimensions]."""
        if not len(found):
            return vector
        moved = (1 - self.weight) * vector + self.weight * found[: self.feedback].mean(axis=0)
        norm = float(np.linalg.norm(moved))
        return (moved / norm).astype(np.float32) if norm > 0 else vector
