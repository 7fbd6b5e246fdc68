"""Trials 0, 1 and 2: the baseline, and the same with BM25 alone and with vectors alone."""

from __future__ import annotations

from rag_opt.core import strict as config
from rag_opt.core.registry import lookup
from rag_opt.pipeline.spec import PipelineSpec


def reference_pipelines(baseline: PipelineSpec) -> dict[str, PipelineSpec]:
    """Trials 0, 1 and 2: the baseline, and the same with BM25 alone and with vectors alone."""
    settings = config.dump(baseline.retriever)

    def alone(kind: str) -> PipelineSpec:
        same = {name: settings[name] for name in config.field_names(lookup("retriever", kind)) if name in settings}
        plain = {"query": {"none": {}}, "reranker": {"none": {}}, "retriever": {kind: same}}
        return PipelineSpec.from_dict({**baseline.to_dict(), **plain})

    return {"baseline": baseline, "BM25 alone": alone("lexical"), "dense alone": alone("dense")}
