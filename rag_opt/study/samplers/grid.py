"""Grid search: every pipeline of the space."""

from __future__ import annotations

from collections.abc import Collection

import optuna
from pydantic.dataclasses import dataclass

from rag_opt.core.errors import BadInput, Problem
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.study.cost.model import CostForecast
from rag_opt.study.samplers.interfaces import Proposal
from rag_opt.study.samplers.proposals import LARGEST_GRID, draw_new
from rag_opt.study.space.space import Space


@register("sampler", "grid")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Grid:
    """Every pipeline of the space once, in one shuffled order."""

    def check(self, space: Space) -> None:
        """Raise BadInput for a space that is too large to be tried whole."""
        size = space.size
        if size is None or size > LARGEST_GRID:
            count = "endless" if size is None else f"{size:,} pipelines"
            raise BadInput([Problem("sampler", f"a grid over this space is {count}; at most {LARGEST_GRID:,}")])

    def propose(
        self,
        space: Space,
        study: optuna.Study,
        *,
        seed: int,
        tried_digests: Collection[str],
        cost_forecast: CostForecast,
    ) -> Proposal | None:
        """Return the first pipeline of the order that was not tried; the same order for every seed."""
        return draw_new(space, seed=0, tried_digests=tried_digests)
