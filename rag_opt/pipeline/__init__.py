"""One pipeline object, searched, exported and served alike."""

from rag_opt.pipeline.asking import Pipeline, Responses
from rag_opt.pipeline.building import Workshop
from rag_opt.pipeline.spec import SLOTS, PipelineSpec

__all__ = ["SLOTS", "Pipeline", "PipelineSpec", "Responses", "Workshop"]
