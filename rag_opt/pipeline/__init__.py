"""One pipeline object, searched, exported and served alike."""

from rag_opt.pipeline.asking import Pipeline, Responses
from rag_opt.pipeline.building import Workshop
from rag_opt.pipeline.planning import Ledger, Plan, Planner, Stage, plan
from rag_opt.pipeline.spec import SLOTS, PipelineSpec

__all__ = ["SLOTS", "Ledger", "Pipeline", "PipelineSpec", "Plan", "Planner", "Responses", "Stage", "Workshop", "plan"]
