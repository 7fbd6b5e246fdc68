"""A model of the score over a conditional space: an additive Gaussian process with pairwise terms (NumPy only).

f(x) = constant + sum of main effects + sum of interactions of two parameters + noise. A parameter that a pipeline does
not have adds nothing. This is Bayesian regression on functions of one and of two parameters (Duvenaud, Nickisch &
Rasmussen, 2011, with orders one and two); published grids of RAG pipelines are additive to R^2 of 0.93.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rag_opt.core.arrays import FloatArray
from rag_opt.study.space.domains import Choice, Range, Scalar
from rag_opt.study.space.space import Space, SpecDict

# what the marginal likelihood chooses from
_LENGTHS = (0.25, 0.6)  # of a numeric parameter's range
_INTERACTIONS = (0.1, 0.4, 0.7)  # share of the variance that pairs explain
_NOISES = (0.003, 0.03, 0.2)  # of the variance of the scores
_FEWEST = 4


class Features:
    """Specs as rows of numbers: per parameter its place in [0, 1], the index of its choice, or NaN where absent."""

    def __init__(self, space: Space) -> None:
        self.columns: list[tuple[str, bool, Mapping[Scalar, float]]] = []
        for slot, kinds in space.tree.items():
            if len(kinds) > 1:
                self.columns.append((slot, False, {kind: float(i) for i, kind in enumerate(kinds)}))
            for kind, parameters in kinds.items():
                for name, domain in parameters.items():
                    if isinstance(domain, Range) or len(domain) > 1:
                        self.columns.append((f"{slot}.{kind}.{name}", *_scale(domain)))
        self._ranges = {
            f"{slot}.{kind}.{name}": domain
            for slot, kind, parameters in space.branches()
            for name, domain in parameters.items()
            if isinstance(domain, Range)
        }
        self.numeric = np.array([numeric for _, numeric, _ in self.columns], bool)

    def rows(self, specs: Sequence[SpecDict]) -> FloatArray:
        """[specs, parameters]"""
        found = np.full((len(specs), len(self.columns)), np.nan)
        for row, spec in enumerate(specs):
            for column, (path, _, places) in enumerate(self.columns):
                slot, *inside = path.split(".")
                ((kind, settings),) = spec[slot].items()
                if not inside:
                    found[row, column] = places.get(kind, np.nan)
                elif inside[0] == kind:
                    found[row, column] = self._place(path, settings.get(inside[1]), places)
        return found

    def _place(self, path: str, value: Any, places: Mapping[Scalar, float]) -> float:
        if path not in self._ranges:
            return places.get(value, np.nan)
        domain = self._ranges[path]
        low, high, at = float(domain.low), float(domain.high), float(value)
        if domain.log:
            low, high, at = np.log(low), np.log(high), np.log(at)
        return (at - low) / max(high - low, 1e-12)


def _scale(domain: Choice | Range) -> tuple[bool, Mapping[Scalar, float]]:
    """Whether values have an order, and the place of each choice: numbers by their size, log where they span a lot."""
    if isinstance(domain, Range):
        return True, {}
    numbers = [v for v in domain.values if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if len(numbers) < len(domain):
        return False, {value: float(i) for i, value in enumerate(domain.values)}
    at = np.array(numbers, float)
    if at.min() > 0 and at.max() / at.min() >= 4:
        at = np.log(at)
    at = (at - at.min()) / max(float(np.ptp(at)), 1e-12)
    return True, dict(zip(numbers, at.tolist(), strict=True))


@dataclass(frozen=True)
class Surrogate:
    """The process, fitted. `predict` gives mean and standard deviation of the score of new rows."""

    features: Features
    rows: FloatArray
    mean: float
    scale: float
    hyper: tuple[float, float, float]
    factor: Any
    weights: FloatArray

    @staticmethod
    def fit(features: Features, specs: Sequence[SpecDict], scores: FloatArray) -> Surrogate:
        """Raises ValueError with fewer than four scores, or where they do not differ."""
        if len(scores) < _FEWEST or float(np.ptp(scores)) <= 0:
            raise ValueError("too few different scores to learn from")
        from scipy.linalg import cho_factor, cho_solve

        rows = features.rows(specs)
        mean, scale = float(scores.mean()), float(scores.std())
        targets = (scores - mean) / scale
        best: tuple[float, Any] | None = None
        for length in _LENGTHS:
            parts = _kernels(features, rows, rows, length)
            for share, noise in itertools.product(_INTERACTIONS, _NOISES):
                kernel = _mixed(*parts, share) + (noise + 1e-6) * np.eye(len(rows))
                factor = cho_factor(kernel, lower=True)
                weights = cho_solve(factor, targets)
                evidence = -0.5 * float(targets @ weights) - float(np.log(np.diag(factor[0])).sum())
                if best is None or evidence > best[0]:
                    best = evidence, ((length, share, noise), factor, weights)
        assert best is not None
        return Surrogate(features, rows, mean, scale, *best[1])

    def predict(self, specs: Sequence[SpecDict]) -> tuple[FloatArray, FloatArray]:
        from scipy.linalg import cho_solve

        new = self.features.rows(specs)
        length, share, _ = self.hyper
        cross = _mixed(*_kernels(self.features, new, self.rows, length), share)
        own = _mixed(*_own(new), share)
        mean = cross @ self.weights
        spread = own - np.einsum("ij,ji->i", cross, cho_solve(self.factor, cross.T))
        return self.mean + self.scale * mean, self.scale * np.sqrt(np.maximum(spread, 1e-10))


def _kernels(features: Features, one: FloatArray, other: FloatArray, length: float) -> tuple[FloatArray, FloatArray]:
    """Sum of the parameters' kernels, and sum of the products of two: [rows of one, rows of other]."""
    first, squares = np.zeros((len(one), len(other))), np.zeros((len(one), len(other)))
    for column, numeric in enumerate(features.numeric):
        a, b = one[:, column][:, None], other[:, column][None]
        with np.errstate(invalid="ignore"):
            alike = np.exp(-0.5 * ((a - b) / length) ** 2) if numeric else (a == b).astype(float)
        alike = np.nan_to_num(alike, nan=0.0)
        first += alike
        squares += alike**2
    return first, (first**2 - squares) / 2


def _own(rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    present = (~np.isnan(rows)).sum(axis=1).astype(float)
    return present, present * (present - 1) / 2


def _mixed(first: FloatArray, second: FloatArray, share: float) -> FloatArray:
    """Both orders scaled so that a pipeline of about six parameters has variance one, and the constant's."""
    typical = 6.0
    mixed: FloatArray = 1.0 + (1 - share) * first / typical + share * second / (typical * (typical - 1) / 2)
    return mixed


def log_expected_improvement(mean: FloatArray, spread: FloatArray, best: float) -> FloatArray:
    """log E[max(f - best, 0)] for a normal f, stable far below `best` (Ament et al., 2023)."""
    from scipy.special import erfcx, log_ndtr

    z = (mean - best) / spread
    near = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi) + z * np.exp(log_ndtr(z))
    # for z < -1: phi(z) * (1 + z * Phi(z) / phi(z)), by the scaled complementary error function
    ratio = np.sqrt(np.pi / 2) * erfcx(-z / np.sqrt(2))
    far = -0.5 * z**2 - 0.5 * np.log(2 * np.pi) + np.log1p(np.maximum(z * ratio, -1 + 1e-12))
    logs: FloatArray = np.log(spread) + np.where(z < -1, far, np.log(np.maximum(near, 1e-300)))
    return logs
