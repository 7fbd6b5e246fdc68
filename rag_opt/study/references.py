"""Reference pipelines, trials 0, 1 and 2: the baseline, and the same with BM25 alone and with vectors alone."""

from __future__ import annotations

from rag_opt.core import strict
from rag_opt.core.registry import lookup
from rag_opt.pipeline.spec import PipelineSpec

REFERENCES = ("baseline", "BM25 alone", "dense alone")  # origins of the reference trials


def reference_pipelines(baseline: PipelineSpec) -> dict[str, PipelineSpec]:
    """Return the reference pipelines by the origin of their trials, in the order of these."""
    settings = strict.dump(baseline.retriever)

    def retrieve_by(kind: str) -> PipelineSpec:
        kept = {name: settings[name] for name in strict.field_names(lookup("retriever", kind)) if name in settings}
        plain = {"query": {"none": {}}, "reranker": {"none": {}}, "retriever": {kind: kept}}
        return PipelineSpec.from_dict({**baseline.to_dict(), **plain})

    return dict(zip(REFERENCES, (baseline, retrieve_by("lexical"), retrieve_by("dense")), strict=True))
