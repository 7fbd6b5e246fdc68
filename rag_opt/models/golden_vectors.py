"""Golden vectors: those that a model must give for one fixed text, as query and as document, prompts included."""

from __future__ import annotations

import base64
import functools
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from rag_opt.core.errors import ModelRefused

TEXT = "Which passages of these documents answer the question, and how surely?"
_LEAST_COSINE = 0.999


def to_base64(vector: NDArray[np.float32]) -> str:
    """Return a vector as it stands in a card: base64 of little-endian float16."""
    return base64.b64encode(vector.astype("<f2").tobytes()).decode()


@functools.cache
def _from_base64(text: str) -> NDArray[np.float32]:
    return np.frombuffer(base64.b64decode(text), "<f2").astype(np.float32)


def validate(golden: Mapping[str, str], purpose: str, vector: NDArray[np.float32], where: str) -> None:
    """Raise ModelRefused where `vector`, of unit length, is not the golden one of its purpose.

    `golden`: vectors by purpose as a card has them; `where`: how messages call the card.
    """
    if purpose not in golden:
        return
    expected = _from_base64(golden[purpose])
    if expected.shape != vector.shape:
        raise ModelRefused(f"{where}: gives {len(vector)} dimensions, its golden vector has {len(expected)}")
    cosine = float(expected @ vector) / max(float(np.linalg.norm(expected)), 1e-12)
    if cosine < _LEAST_COSINE:
        raise ModelRefused(
            f"{where}: the {purpose} vector of a fixed text has cosine {cosine:.4f} to the golden vector of its card, "
            f"should be {_LEAST_COSINE} or more: other weights, prompt, pooling or library"
        )
