"""A model of the score over a conditional space: an additive Gaussian process with pairwise terms (NumPy only).

f(x) = constant + sum of main effects + sum of interactions of two parameters + noise. A parameter that a pipeline does
not have adds nothing. This is Bayesian regression on functions of one and of two parameters (Duvenaud, Nickisch &
Rasmussen, 2011, with orders one and two); published grids of RAG pipelines are additive to R^2 of 0.93.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rag_opt.core.arrays import FloatArray
from rag_opt.pipeline.spec import SpecDict
from rag_opt.study.space.domains import Choice, Range, Scalar
from rag_opt.study.space.space import Space

# what the marginal likelihood chooses from
_LENGTHS = (0.25, 0.6)  # of a numeric parameter's range
_INTERACTIONS = (0.1, 0.4, 0.7)  # share of the variance that pairs explain
_NOISES = (0.003, 0.03, 0.2)  # of the variance of the scores
_MIN_SCORES = 4
_TYPICAL_PARAMETERS = 6.0
_LOG_SCALE_RATIO = 4  # numbers that span so much are placed by their logarithms


class Features:
    """Pipelines as rows of numbers: a column per parameter of the space.

    A number has its place in [0, 1] of its range, a choice its index, an absent parameter NaN. `columns`: path, whether
    the values have an order, and the place of each choice. `numeric`: the second of these, as an array.
    """

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
        """Return the pipelines as [specs, parameters]."""
        rows = np.full((len(specs), len(self.columns)), np.nan)
        for row, spec in enumerate(specs):
            for column, (path, _, places) in enumerate(self.columns):
                slot, *inside = path.split(".")
                ((kind, settings),) = spec[slot].items()
                if not inside:
                    rows[row, column] = places.get(kind, np.nan)
                elif inside[0] == kind:
                    rows[row, column] = self._place(path, settings.get(inside[1]), places)
        return rows

    def _place(self, path: str, value: Scalar, places: Mapping[Scalar, float]) -> float:
        domain = self._ranges.get(path)
        if domain is None:
            return places.get(value, np.nan)
        low, high, at = float(domain.low), float(domain.high), float(value)  # type: ignore[arg-type] # a number
        if domain.log:
            low, high, at = np.log(low), np.log(high), np.log(at)
        return (at - low) / max(high - low, 1e-12)


def _scale(domain: Choice | Range) -> tuple[bool, Mapping[Scalar, float]]:
    """Return whether the values have an order, and the place of each choice.

    Numbers are placed by their size, by its logarithm where they span a lot.
    """
    if isinstance(domain, Range):
        return True, {}
    numbers = [v for v in domain.values if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if len(numbers) < len(domain):
        return False, {value: float(i) for i, value in enumerate(domain.values)}
    places = np.array(numbers, float)
    if places.min() > 0 and places.max() / places.min() >= _LOG_SCALE_RATIO:
        places = np.log(places)
    places = (places - places.min()) / max(float(np.ptp(places)), 1e-12)
    return True, dict(zip(numbers, places.tolist(), strict=True))


class Hyperparameters(NamedTuple):
    """Length scale of numeric parameters, share of the variance that pairs explain, noise variance."""

    length: float
    interactions: float
    noise: float


@dataclass(frozen=True)
class Surrogate:
    """The fitted process: mean and scale of the scores, rows that it was fitted on, their Cholesky factor, weights."""

    features: Features
    rows: FloatArray
    mean: float
    scale: float
    hyperparameters: Hyperparameters
    factor: tuple[FloatArray, bool]
    weights: FloatArray

    @staticmethod
    def fit(features: Features, specs: Sequence[SpecDict], scores: FloatArray) -> Surrogate:
        """Return the process with the hyperparameters of the largest marginal likelihood.

        Raises ValueError with fewer than four scores, or where they do not differ.
        """
        if len(scores) < _MIN_SCORES or float(np.ptp(scores)) <= 0:
            raise ValueError("too few different scores to learn from")
        from scipy.linalg import cho_factor, cho_solve

        rows = features.rows(specs)
        mean, scale = float(scores.mean()), float(scores.std())
        targets = (scores - mean) / scale
        best: tuple[float, Surrogate] | None = None
        for length in _LENGTHS:
            orders = _kernels(features, rows, rows, length)
            for interactions, noise in itertools.product(_INTERACTIONS, _NOISES):
                kernel = _mix_orders(*orders, interactions) + (noise + 1e-6) * np.eye(len(rows))
                factor = cho_factor(kernel, lower=True)
                weights = cho_solve(factor, targets)
                likelihood = -0.5 * float(targets @ weights) - float(np.log(np.diag(factor[0])).sum())
                if best is None or likelihood > best[0]:
                    chosen = Hyperparameters(length, interactions, noise)
                    best = likelihood, Surrogate(features, rows, mean, scale, chosen, factor, weights)
        assert best is not None
        return best[1]

    def predict(self, specs: Sequence[SpecDict]) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation of the score of each pipeline, [specs] each."""
        from scipy.linalg import cho_solve

        new = self.features.rows(specs)
        length, interactions, _ = self.hyperparameters
        cross = _mix_orders(*_kernels(self.features, new, self.rows, length), interactions)
        own = _mix_orders(*_own_kernels(new), interactions)
        mean = cross @ self.weights
        variance = own - np.einsum("ij,ji->i", cross, cho_solve(self.factor, cross.T))
        return self.mean + self.scale * mean, self.scale * np.sqrt(np.maximum(variance, 1e-10))


def _kernels(features: Features, left: FloatArray, right: FloatArray, length: float) -> tuple[FloatArray, FloatArray]:
    """Return the sum of the parameters' kernels, and of the products of two: [rows of left, rows of right] each."""
    first, squares = np.zeros((len(left), len(right))), np.zeros((len(left), len(right)))
    for column, numeric in enumerate(features.numeric):
        a, b = left[:, column][:, None], right[:, column][None]
        with np.errstate(invalid="ignore"):
            similarity = np.exp(-0.5 * ((a - b) / length) ** 2) if numeric else (a == b).astype(float)
        similarity = np.nan_to_num(similarity, nan=0.0)
        first += similarity
        squares += similarity**2
    return first, (first**2 - squares) / 2


def _own_kernels(rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return `_kernels` of each row with itself, [rows] each."""
    present = (~np.isnan(rows)).sum(axis=1).astype(float)
    return present, present * (present - 1) / 2


def _mix_orders(first: FloatArray, second: FloatArray, interactions: float) -> FloatArray:
    """Return both orders scaled so that a typical pipeline has variance one, with the constant's variance of one."""
    typical = _TYPICAL_PARAMETERS
    mixed: FloatArray = (
        1.0 + (1 - interactions) * first / typical + interactions * second / (typical * (typical - 1) / 2)
    )
    return mixed


def log_expected_improvement(mean: FloatArray, spread: FloatArray, best: float) -> FloatArray:
    """Return log E[max(f - best, 0)] for normal f, stable far below `best` (Ament et al., 2023).

    `mean` and `spread`: mean and standard deviation of f.
    """
    from scipy.special import erfcx, log_ndtr

    z = (mean - best) / spread
    near = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi) + z * np.exp(log_ndtr(z))
    # for z < -1: phi(z) * (1 + z * Phi(z) / phi(z)), by the scaled complementary error function
    ratio = np.sqrt(np.pi / 2) * erfcx(-z / np.sqrt(2))
    far = -0.5 * z**2 - 0.5 * np.log(2 * np.pi) + np.log1p(np.maximum(z * ratio, -1 + 1e-12))
    logs: FloatArray = np.log(spread) + np.where(z < -1, far, np.log(np.maximum(near, 1e-300)))
    return logs
