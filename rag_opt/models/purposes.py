"""Purposes that a text is embedded for, and the vectors that come of it."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Purpose = Literal["query", "document", "sentence"]
Vectors = NDArray[np.float32]
