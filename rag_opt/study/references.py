"""Reference pipelines, trials 0, 1 and 2: the baseline, and the same with BM25 alone and with vectors alone."""

from __future__ import annotations

from rag_opt.core import strict
from rag_opt.core.registry import lookup
from rag_opt.pipeline.normal_form import without_unread_vectors
from rag_opt.pipeline.spec import PipelineSpec

REFERENCES = ("baseline", "BM25 alone", "dense alone")  # origins of the reference trials


def reference_pipelines(baseline: PipelineSpec, *, dense: bool = True) -> dict[str, PipelineSpec]:
    """Return the reference pipelines by the origin of their trials, in the order of these.

    `dense`: whether vectors alone are one.
    """
    found = (baseline, search_by(baseline, "lexical"), *([search_by(baseline, "dense")] if dense else []))
    return dict(zip(REFERENCES, found, strict=False))


def search_by(baseline: PipelineSpec, kind: str) -> PipelineSpec:
    """Return the pipeline with another retriever and nothing that reorders or rewrites."""
    settings = strict.dump(baseline.retriever)
    kept = {name: settings[name] for name in strict.field_names(lookup("retriever", kind)) if name in settings}
    plain = {"query": {"none": {}}, "reranker": {"none": {}}, "retriever": {kind: kept}}
    return without_unread_vectors(PipelineSpec.from_dict({**baseline.to_dict(), **plain}))
