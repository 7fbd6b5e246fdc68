"""Who proposes the next pipeline. A sampler is made afresh for every ask, seeded by study seed, trial and attempt."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass as plain_dataclass
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import optuna

from rag_opt.study.cost.model import CostForecast
from rag_opt.study.space.space import Space, SpecDict

if TYPE_CHECKING:
    pass


@plain_dataclass(frozen=True)
class Proposal:
    """`trial` is the open Optuna trial it came from, if it came from one; `promise` the improvement it is expected to
    bring, from a sampler that knows.
    """

    spec: SpecDict
    trial: optuna.Trial | None = None
    expected_improvement: float | None = None


class Sampler(Protocol):
    def propose(
        self, space: Space, study: optuna.Study, *, seed: int, seen: Collection[str], cost_forecast: CostForecast
    ) -> Proposal | None:
        """The next pipeline to try, which may be a known one; None when everything was tried."""
        ...


@runtime_checkable
class ReadsCosts(Protocol):
    """A sampler that wants to know what pipelines would cost. `paid`: by which trials, of the study or of all."""

    paid: Literal["study", "store"]
