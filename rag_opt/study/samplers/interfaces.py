"""Protocols of samplers. A sampler is made afresh for every ask, seeded by study seed, trial number and attempt."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, runtime_checkable

import optuna

from rag_opt.core.registry import declare_slot
from rag_opt.pipeline.spec import SpecDict
from rag_opt.study.cost.model import CostForecast
from rag_opt.study.space.space import Space


@dataclass(frozen=True)
class Proposal:
    """A pipeline to try next.

    `trial`: the open Optuna trial that it came from, if it came from one. `expected_improvement`: what the best new
    pipeline is expected to add to the best score, from a sampler that knows.
    """

    spec: SpecDict
    trial: optuna.Trial | None = None
    expected_improvement: float | None = None


class Sampler(Protocol):
    """Proposes pipelines."""

    slot: ClassVar[str]
    kind: ClassVar[str]

    def propose(
        self,
        space: Space,
        study: optuna.Study,
        *,
        seed: int,
        tried_digests: Collection[str],
        cost_forecast: CostForecast,
    ) -> Proposal | None:
        """Return the next pipeline to try; it may be a known one. None when everything was tried.

        `study` holds the finished trials; `tried_digests`: digests of the pipelines that were tried.
        """
        ...


@runtime_checkable
class ReadsCosts(Protocol):
    """A sampler that reads the cost forecast."""

    @property
    def paid(self) -> Literal["study", "store"]:
        """Work that counts as done already: of this study's trials, or everything that is stored."""
        ...


@runtime_checkable
class ChecksSpace(Protocol):
    """A sampler that cannot search every space."""

    def check(self, space: Space) -> None:
        """Raise BadInput for a space that it cannot search."""
        ...


declare_slot("sampler", "what proposes the next pipeline", Sampler)
