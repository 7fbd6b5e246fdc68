"""Every pipeline of the space, in one shuffled order."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import optuna
from pydantic.dataclasses import dataclass

from rag_opt.core.errors import BadInput, Problem
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.study.cost.model import CostForecast
from rag_opt.study.samplers.interfaces import Proposal
from rag_opt.study.samplers.proposals import LARGEST_GRID, unseen
from rag_opt.study.space.space import Space

if TYPE_CHECKING:
    pass


@register("sampler", "grid")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Grid:
    """Every pipeline of the space, in one shuffled order."""

    def check(self, space: Space) -> None:
        """Raise BadInput for a space that cannot be tried whole."""
        size = space.size
        if size is None or size > LARGEST_GRID:
            count = "endless" if size is None else f"{size:,} pipelines"
            raise BadInput([Problem("sampler", f"a grid over this space is {count}; at most {LARGEST_GRID:,}")])

    def propose(
        self, space: Space, study: optuna.Study, *, seed: int, seen: Collection[str], cost_forecast: CostForecast
    ) -> Proposal | None:
        return unseen(space, seed=0, seen=seen)
