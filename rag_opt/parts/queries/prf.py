from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT


@register("query", "prf")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class RocchioFeedback:
    """Pseudo-relevance feedback on vectors (Rocchio, 1971; Li et al., 2021): the question's vector is moved towards
    the mean of the first `feedback` chunks found, as `weight` of the sum, and searched for again.
    """

    feedback: Annotated[int, Ge(1), Le(50)] = 3
    weight: Annotated[float, Ge(0), Le(1)] = 0.4

    requires: ClassVar[frozenset[str]] = frozenset({"feedback"})

    def refine(self, vector: NDArray[np.float32], found: NDArray[np.float32]) -> NDArray[np.float32]:
        """`vector` [dimensions], `found` [chunks, dimensions], unit length; the new vector of unit length."""
        if not len(found):
            return vector
        moved = (1 - self.weight) * vector + self.weight * found[: self.feedback].mean(axis=0)
        norm = float(np.linalg.norm(moved))
        return (moved / norm).astype(np.float32) if norm > 0 else vector
